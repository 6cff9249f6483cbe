//! From the core module that the linker leaves to a component with the documentation's files.

use anyhow::Result;
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::passive::with_passive_assets;

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
