//! From the core module that the linker leaves to a component with the documentation's files.
//!
//! `src/api/docs/files.rs` puts the files into a custom section and imports a function that reads
//! them. Here the section becomes a *passive* data segment, and the import a function that is one
//! `memory.init` from it. An active segment would be a part of the memory's first image, which
//! Spin's pooling allocator copies back after every request: with the files in it, that was the
//! largest single item of a GET.

use anyhow::{Context, Result, ensure};
use walrus::{DataKind, ModuleConfig};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
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
    encode(&with_passive_assets(module)?)
}

/// Makes the component of a `module` that reads no files.
///
/// # Errors
///
/// One sentence, if its imports are not those of its world.
pub fn encode(module: &[u8]) -> Result<Vec<u8>> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)?
        // As the linker does. For Debian's C library; left out where nothing imports it.
        .adapter(
            WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
            WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
        )?
        .encode()
}

/// `module` with the files in a passive data segment.
fn with_passive_assets(module: &[u8]) -> Result<Vec<u8>> {
    let mut module = ModuleConfig::new()
        .generate_producers_section(false)
        .parse(module)
        .context("the linker left no core module")?;
    let mut section = || module.customs.remove_raw(ASSETS);
    let files = section().with_context(|| format!("it has no custom section `{ASSETS}`"))?;
    ensure!(section().is_none(), "it has two custom sections `{ASSETS}`");
    ensure!(!files.data.is_empty(), "the section `{ASSETS}` is empty");
    let memory = module.get_memory_id()?;
    let files = module.data.add(DataKind::Passive, files.data);
    let read = module.imports.get_func(ASSETS, READ);
    let read = read.with_context(|| format!("it imports no `{READ}` of `{ASSETS}`"))?;
    module.replace_imported_func(read, |(body, operands)| {
        for operand in operands {
            body.local_get(*operand);
        }
        body.memory_init(memory, files);
    })?;
    Ok(module.emit_wasm())
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
  (type (;0;) (func))
  (type (;1;) (func (param i32 i32 i32)))
  (import "host" "other" (func (;0;) (type 0)))
  (table (;0;) 1 1 funcref)
  (memory (;0;) 1)
  (export "memory" (memory 0))
  (export "own" (func 1))
  (elem (;0;) (i32.const 0) func 2)
  (func (;1;) (type 0)
    i32.const 16
    i32.const 1
    i32.const 2
    call 2
    call 0
  )
  (func (;2;) (type 1) (param i32 i32 i32)
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
    fn another_shape_is_refused() {
        let section = r#"(@custom "hello-assets" "files")"#;
        let twice = section.repeat(2);
        for (from, to, error) in [
            (section, "", "has no custom section `hello-assets`"),
            (section, &twice, "has two custom sections `hello-assets`"),
            (r#""files""#, r#""""#, "section `hello-assets` is empty"),
            (r#""read""#, r#""write""#, "imports no `read`"),
        ] {
            assert!(LINKED.contains(from), "{from}");
            let refused = rewritten(&LINKED.replace(from, to)).expect_err(error);
            assert!(refused.to_string().contains(error), "{refused:#}");
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
