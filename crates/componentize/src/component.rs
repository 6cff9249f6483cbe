//! From the core module that the linker leaves to a component with the documentation's files.
//!
//! `src/api/docs/files.rs` puts the files into a custom section and imports a function that reads
//! them. Here the section becomes a *passive* data segment, and the import a function that is one
//! `memory.init` from it. An active segment would be a part of the memory's first image, which
//! Spin's pooling allocator copies back after every request: with the files in it, that was the
//! largest single item of a GET.

use std::convert::Infallible;

use anyhow::{Context, Result, bail, ensure};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, Function, FunctionSection, ImportSection, Module,
    SectionId,
    reencode::{self, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, DataSectionReader, FunctionSectionReader,
    ImportSectionReader, Parser, Payload, TypeRef,
};
use wit_component::ComponentEncoder;

/// The custom section with the files, and the module that the function is imported from.
const ASSETS: &str = "hello-assets";

/// The imported function: `(to, offset, length)`, the operands of `memory.init`.
const READ: &str = "read";

/// Makes the component of the linker's `module`.
///
/// # Errors
///
/// One sentence, if the module is not of the shape that `src/api/docs/files.rs` gives it, or its
/// imports are not those of its world.
pub fn component(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(&with_passive_assets(module)?)?
        // As the linker does. For Debian's C library; left out where nothing imports it.
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .encode()
}

/// `module` with the files in a passive data segment.
fn with_passive_assets(module: &[u8]) -> Result<Vec<u8>> {
    let mut rewriter = Rewriter::of(module)?;
    let mut rewritten = Module::new();
    rewriter.parse_core_module(&mut rewritten, Parser::new(0), module)?;
    Ok(rewritten.finish())
}

/// What the rewriting has to know before it starts.
struct Rewriter<'a> {
    /// What the new segment holds.
    files: &'a [u8],
    /// How many segments there are already.
    segments: u32,
    /// How many functions are imported.
    imports: u32,
    /// The number of the import that goes.
    read: u32,
    /// The type of the import that goes.
    read_type: u32,
}

impl<'a> Rewriter<'a> {
    fn of(module: &'a [u8]) -> Result<Self> {
        let mut sections = Vec::new();
        let mut segments = None;
        let mut imports = 0;
        let mut reads = Vec::new();
        for payload in Parser::new(0).parse_all(module) {
            match payload.context("the linker left no core module")? {
                Payload::CustomSection(section) if section.name() == ASSETS => {
                    sections.push(section.data());
                }
                Payload::DataSection(section) => segments = Some(section.count()),
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        let TypeRef::Func(of_type) = import.ty else {
                            continue;
                        };
                        if (import.module, import.name) == (ASSETS, READ) {
                            reads.push((imports, of_type));
                        }
                        imports += 1;
                    }
                }
                _ => {}
            }
        }
        let [files] = sections[..] else {
            bail!(
                "the module has {} custom sections `{ASSETS}`, and not one",
                sections.len()
            );
        };
        let [(read, read_type)] = reads[..] else {
            bail!(
                "the module imports `{READ}` of `{ASSETS}` {} times, and not once",
                reads.len()
            );
        };
        ensure!(!files.is_empty(), "the custom section `{ASSETS}` is empty");
        Ok(Self {
            files,
            segments: segments.context("the module has no data")?,
            imports,
            read,
            read_type,
        })
    }
}

impl Reencode for Rewriter<'_> {
    type Error = Infallible;

    /// The new function is the first that is not imported: so only imports after the one that
    /// goes change their number.
    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(if function == self.read {
            self.imports - 1
        } else if (self.read..self.imports).contains(&function) {
            function - 1
        } else {
            function
        })
    }

    fn parse_import_section(
        &mut self,
        imports: &mut ImportSection,
        section: ImportSectionReader,
    ) -> Result<(), reencode::Error> {
        for import in section.into_imports() {
            let import = import?;
            if (import.module, import.name) != (ASSETS, READ) {
                let of_type = self.entity_type(import.ty)?;
                imports.import(import.module, import.name, of_type);
            }
        }
        Ok(())
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader,
    ) -> Result<(), reencode::Error> {
        functions.function(self.read_type);
        utils::parse_function_section(self, functions, section)
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader,
    ) -> Result<(), reencode::Error> {
        let mut read = Function::new([]);
        read.instructions()
            .local_get(0)
            .local_get(1)
            .local_get(2)
            .memory_init(0, self.segments)
            .end();
        code.function(&read);
        utils::parse_code_section(self, code, section)
    }

    fn parse_data_section(
        &mut self,
        data: &mut DataSection,
        section: DataSectionReader,
    ) -> Result<(), reencode::Error> {
        utils::parse_data_section(self, data, section)?;
        data.passive(self.files.iter().copied());
        Ok(())
    }

    fn data_count(&mut self, count: u32) -> Result<u32, reencode::Error> {
        Ok(count + 1)
    }

    /// `memory.init` needs the number of segments ahead of the code; the linker has no need of it.
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        after: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), reencode::Error> {
        if before == Some(SectionId::Code) && after != Some(SectionId::DataCount) {
            module.section(&DataCountSection {
                count: self.segments + 1,
            });
        }
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader,
    ) -> Result<(), reencode::Error> {
        if section.name() == ASSETS {
            return Ok(());
        }
        utils::parse_custom_section(self, module, section)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the linker leaves: the import that goes stands between two that stay.
    const LINKED: &str = r#"(module
  (type (;0;) (func))
  (type (;1;) (func (param i32 i32 i32)))
  (import "host" "before" (func (;0;) (type 0)))
  (import "hello-assets" "read" (func (;1;) (type 1)))
  (import "host" "after" (func (;2;) (type 0)))
  (table (;0;) 4 4 funcref)
  (memory (;0;) 1)
  (global (;0;) funcref ref.func 1)
  (export "memory" (memory 0))
  (export "read" (func 1))
  (export "after" (func 2))
  (export "own" (func 3))
  (start 4)
  (elem (;0;) (i32.const 0) func 0 1 2 3)
  (func (;3;) (type 0)
    call 0
    call 2
  )
  (func (;4;) (type 0)
    i32.const 16
    i32.const 1
    i32.const 2
    call 1
    call 3
  )
  (data (;0;) (i32.const 8) "active")
  (@custom "hello-assets" "files")
)
"#;

    fn rewritten(text: &str) -> Result<String> {
        let module = with_passive_assets(&wat::parse_str(text)?)?;
        wasmparser::validate(&module)?;
        wasmprinter::print_bytes(&module)
    }

    #[test]
    fn the_import_becomes_a_function_and_the_section_a_passive_segment() {
        let expected = r#"(module
  (type (;0;) (func))
  (type (;1;) (func (param i32 i32 i32)))
  (import "host" "before" (func (;0;) (type 0)))
  (import "host" "after" (func (;1;) (type 0)))
  (table (;0;) 4 4 funcref)
  (memory (;0;) 1)
  (global (;0;) funcref ref.func 2)
  (export "memory" (memory 0))
  (export "read" (func 2))
  (export "after" (func 1))
  (export "own" (func 3))
  (start 4)
  (elem (;0;) (i32.const 0) func 0 2 1 3)
  (func (;2;) (type 1) (param i32 i32 i32)
    local.get 0
    local.get 1
    local.get 2
    memory.init 1
  )
  (func (;3;) (type 0)
    call 0
    call 1
  )
  (func (;4;) (type 0)
    i32.const 16
    i32.const 1
    i32.const 2
    call 2
    call 3
  )
  (data (;0;) (i32.const 8) "active")
  (data (;1;) "files")
)
"#;
        assert_eq!(rewritten(LINKED).expect("it has the shape"), expected);
    }

    #[test]
    fn a_module_that_counts_its_segments_keeps_one_count() {
        let uses_bulk_memory = LINKED.replace("    call 3\n", "    call 3\n    data.drop 0\n");
        assert_ne!(uses_bulk_memory, LINKED);
        let text = rewritten(&uses_bulk_memory).expect("it has the shape");
        assert!(text.contains("data.drop 0") && text.contains("memory.init 1"));
    }

    #[test]
    fn another_shape_is_refused() {
        let section = r#"  (@custom "hello-assets" "files")"#;
        let data = r#"  (data (;0;) (i32.const 8) "active")"#;
        for (from, to, error) in [
            (
                section,
                "",
                "the module has 0 custom sections `hello-assets`, and not one",
            ),
            (
                section,
                &format!("{section}{section}"),
                "the module has 2 custom sections `hello-assets`, and not one",
            ),
            (
                section,
                r#"(@custom "hello-assets" "")"#,
                "the custom section `hello-assets` is empty",
            ),
            (
                r#""hello-assets" "read""#,
                r#""hello-assets" "write""#,
                "the module imports `read` of `hello-assets` 0 times, and not once",
            ),
            (data, "", "the module has no data"),
        ] {
            assert!(LINKED.contains(from), "{from}");
            let refused = rewritten(&LINKED.replace(from, to)).expect_err(error);
            assert_eq!(refused.to_string(), error);
        }
        assert!(component(b"\0asm").is_err());
    }

    #[test]
    fn the_operands_must_be_those_of_memory_init() {
        let two = LINKED.replace("(param i32 i32 i32)", "(param i32 i32)");
        let two = two.replace("    i32.const 2\n", "");
        assert!(rewritten(&two).is_err());
    }
}
