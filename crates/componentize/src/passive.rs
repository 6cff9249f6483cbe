//! The documentation's files as a passive data segment of a core module.
//!
//! `src/api/docs/files.rs` puts the files into a custom section and imports a function that reads
//! them. Here the section becomes a *passive* data segment, and the import a function that is one
//! `memory.init` from it. An active segment would be a part of the memory's first image, which
//! Spin's pooling allocator copies back after every request: with the files in it, that was the
//! largest single item of a GET.

use std::convert::Infallible;

use anyhow::{Context, Result, ensure};
use wasm_encoder::{
    CodeSection, DataCountSection, DataSection, Function, FunctionSection, ImportSection, Module,
    SectionId,
    reencode::{self, Reencode, utils},
};
use wasmparser::{
    CodeSectionReader, CustomSectionReader, DataSectionReader, FunctionSectionReader, Imports,
    Parser, Payload, TypeRef,
};

/// The custom section with the files, and the module that the function is imported from.
const ASSETS: &str = "hello-assets";

/// The imported function: `(to, offset, length)`, the operands of `memory.init`.
const READ: &str = "read";

/// `module` with the files in a passive data segment.
///
/// # Errors
///
/// One sentence, if it is not of the shape that `src/api/docs/files.rs` gives it.
pub(crate) fn with_passive_assets(module: &[u8]) -> Result<Vec<u8>> {
    let mut rewritten = Module::new();
    Rewriting::of(module)?.parse_core_module(&mut rewritten, Parser::new(0), module)?;
    Ok(rewritten.finish())
}

/// What is known of a module before it is written anew.
struct Rewriting<'a> {
    files: &'a [u8],
    /// The index of the imported function, and that of its type.
    read: u32,
    signature: u32,
    /// How many functions there are, imported or not: the index of one that comes after them, but
    /// for the import that goes.
    functions: u32,
    /// How many data segments there are: the index of one that comes after them.
    segments: u32,
    counts_segments: bool,
}

impl<'a> Rewriting<'a> {
    fn of(module: &'a [u8]) -> Result<Self> {
        let mut files = Vec::new();
        let mut read = None;
        let (mut functions, mut segments, mut counts_segments) = (0, None, false);
        for payload in Parser::new(0).parse_all(module) {
            match payload.context("the linker left no core module")? {
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        let import = import?;
                        let TypeRef::Func(signature) = import.ty else {
                            continue;
                        };
                        if (import.module, import.name) == (ASSETS, READ) {
                            read = Some((functions, signature));
                        }
                        functions += 1;
                    }
                }
                Payload::FunctionSection(section) => functions += section.count(),
                Payload::DataCountSection { .. } => counts_segments = true,
                Payload::DataSection(section) => segments = Some(section.count()),
                Payload::CustomSection(section) if section.name() == ASSETS => {
                    files.push(section.data());
                }
                _ => {}
            }
        }
        let (read, signature) =
            read.with_context(|| format!("it imports no `{READ}` of `{ASSETS}`"))?;
        ensure!(files.len() < 2, "it has two custom sections `{ASSETS}`");
        let files = files.pop();
        let files = files.with_context(|| format!("it has no custom section `{ASSETS}`"))?;
        ensure!(!files.is_empty(), "the section `{ASSETS}` is empty");
        Ok(Self {
            files,
            read,
            signature,
            functions,
            segments: segments.context("it has no data")?,
            counts_segments,
        })
    }
}

/// The import goes, and the function in its place comes after all others.
impl Reencode for Rewriting<'_> {
    type Error = Infallible;

    fn function_index(&mut self, function: u32) -> Result<u32, reencode::Error> {
        Ok(match function {
            before if before < self.read => before,
            read if read == self.read => self.functions - 1,
            after => after - 1,
        })
    }

    fn parse_imports(
        &mut self,
        section: &mut ImportSection,
        imports: Imports<'_>,
    ) -> Result<(), reencode::Error> {
        match &imports {
            Imports::Single(_, import) if (import.module, import.name) == (ASSETS, READ) => Ok(()),
            _ => utils::parse_imports(self, section, imports),
        }
    }

    fn parse_function_section(
        &mut self,
        functions: &mut FunctionSection,
        section: FunctionSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_function_section(self, functions, section)?;
        functions.function(self.signature);
        Ok(())
    }

    fn parse_code_section(
        &mut self,
        code: &mut CodeSection,
        section: CodeSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_code_section(self, code, section)?;
        let mut read = Function::new([]);
        let mut body = read.instructions();
        body.local_get(0).local_get(1).local_get(2);
        body.memory_init(0, self.segments).end();
        code.function(&read);
        Ok(())
    }

    fn data_count(&mut self, count: u32) -> Result<u32, reencode::Error> {
        Ok(count + 1)
    }

    /// Without this section, which stands before the code, there may be no `memory.init`.
    fn intersperse_section_hook(
        &mut self,
        module: &mut Module,
        _: Option<SectionId>,
        before: Option<SectionId>,
    ) -> Result<(), reencode::Error> {
        if before == Some(SectionId::Code) && !self.counts_segments {
            let count = self.segments + 1;
            module.section(&DataCountSection { count });
        }
        Ok(())
    }

    fn parse_data_section(
        &mut self,
        data: &mut DataSection,
        section: DataSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        utils::parse_data_section(self, data, section)?;
        data.passive(self.files.iter().copied());
        Ok(())
    }

    fn parse_custom_section(
        &mut self,
        module: &mut Module,
        section: CustomSectionReader<'_>,
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

    /// What the linker leaves.
    const LINKED: &str = r#"(module
  (type (;0;) (func (param i32 i32 i32)))
  (type (;1;) (func))
  (import "hello-assets" "read" (func (;0;) (type 0)))
  (import "host" "other" (func (;1;) (type 1)))
  (table (;0;) 1 1 funcref)
  (memory (;0;) 1)
  (export "memory" (memory 0))
  (export "own" (func 2))
  (elem (;0;) (i32.const 0) func 0)
  (func (;2;) (type 1)
    i32.const 16
    i32.const 1
    i32.const 2
    call 0
    call 1
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
  (type (;0;) (func (param i32 i32 i32)))
  (type (;1;) (func))
  (import "host" "other" (func (;0;) (type 1)))
  (table (;0;) 1 1 funcref)
  (memory (;0;) 1)
  (export "memory" (memory 0))
  (export "own" (func 1))
  (elem (;0;) (i32.const 0) func 2)
  (func (;1;) (type 1)
    i32.const 16
    i32.const 1
    i32.const 2
    call 2
    call 0
  )
  (func (;2;) (type 0) (param i32 i32 i32)
    local.get 0
    local.get 1
    local.get 2
    memory.init 1
  )
  (data (;0;) (i32.const 8) "active")
  (data (;1;) "files")
)
"#;
        assert_eq!(rewritten(LINKED).expect("it has the shape"), expected);
    }

    #[test]
    fn segments_that_are_counted_are_one_more() {
        let counted = LINKED.replace("    call 1\n", "    call 1\n    data.drop 0\n");
        let module = rewritten(&counted).expect("it has the shape");
        assert!(module.contains("data.drop 0") && module.contains("memory.init 1"));
    }

    #[test]
    fn another_shape_is_refused() {
        let section = r#"(@custom "hello-assets" "files")"#;
        let twice = section.repeat(2);
        for (from, to, error) in [
            (section, "", "has no custom section `hello-assets`"),
            (section, &twice, "has two custom sections `hello-assets`"),
            (r#""files""#, r#""""#, "section `hello-assets` is empty"),
            (r#""read""#, r#""write""#, "imports no `read`"),
            (
                "  (data (;0;) (i32.const 8) \"active\")\n",
                "",
                "has no data",
            ),
        ] {
            assert!(LINKED.contains(from), "{from}");
            let refused = rewritten(&LINKED.replace(from, to)).expect_err(error);
            assert!(refused.to_string().contains(error), "{refused:#}");
        }
        assert!(with_passive_assets(b"\0asm").is_err());
    }

    #[test]
    fn the_operands_must_be_those_of_memory_init() {
        let two = LINKED.replace("(param i32 i32 i32)", "(param i32 i32)");
        let two = two.replace("    i32.const 2\n", "");
        assert!(rewritten(&two).is_err());
    }
}
