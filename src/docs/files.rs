//! The files of all assets, one after the other.
//!
//! A component has them outside its memory, which a host copies or clears for every request.
//! Neither rustc nor the linker can leave data there, so here they are a custom section, and
//! `crates/componentize/src/component.rs` makes a passive data segment of it and a function of the import.

use std::borrow::Cow;

/// `length` bytes from `offset` on.
#[cfg(not(target_family = "wasm"))]
pub fn read(offset: usize, length: usize) -> Cow<'static, [u8]> {
    let files: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs/assets.gz"));
    Cow::Borrowed(&files[offset..offset + length])
}

#[cfg(target_family = "wasm")]
pub use passive::read;

#[cfg(target_family = "wasm")]
#[allow(
    unsafe_code,
    reason = "the data is in no memory that Rust knows, so a foreign function brings it"
)]
mod passive {
    use super::Cow;

    const FILES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs/assets.gz"));

    #[allow(
        dead_code,
        reason = "it is for the linker, and to name it would put it into memory as well"
    )]
    #[unsafe(link_section = "hello-assets")]
    static SECTION: [u8; FILES.len()] =
        *include_bytes!(concat!(env!("OUT_DIR"), "/docs/assets.gz"));

    #[link(wasm_import_module = "hello-assets")]
    unsafe extern "C" {
        /// Copies `length` bytes from `offset` on to `to`. Traps if there are fewer.
        #[link_name = "read"]
        fn copy(to: *mut u8, offset: usize, length: usize);
    }

    /// `length` bytes from `offset` on.
    pub fn read(offset: usize, length: usize) -> Cow<'static, [u8]> {
        let mut bytes = vec![0; length];
        // SAFETY: `bytes` has room for `length`, and that is all that is written.
        unsafe { copy(bytes.as_mut_ptr(), offset, length) };
        Cow::Owned(bytes)
    }
}
