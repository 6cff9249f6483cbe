//! The content of all static files, concatenated.
//!
//! A component keeps it outside its linear memory, which a host copies or clears for every request.
//! Neither rustc nor the linker emits passive data segments, so here it is a custom section, which
//! `crates/componentize/src/passive.rs` turns into one, with a function for the import.

use std::borrow::Cow;

/// The `length` bytes at `offset`.
#[cfg(not(target_family = "wasm"))]
pub fn read(offset: usize, length: usize) -> Cow<'static, [u8]> {
    let files: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs/assets.gz"));
    Cow::Borrowed(&files[offset..offset + length])
}

/// The `length` bytes at `offset`.
#[cfg(target_family = "wasm")]
pub fn read(offset: usize, length: usize) -> Cow<'static, [u8]> {
    let mut bytes = vec![0; length];
    passive::read(&mut bytes, offset);
    Cow::Owned(bytes)
}

#[cfg(target_family = "wasm")]
#[allow(
    unsafe_code,
    reason = "the data is not in linear memory, so a foreign function copies it"
)]
mod passive {
    const FILES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs/assets.gz"));

    #[allow(
        dead_code,
        reason = "only the linker uses it: a reference would put it into memory as well"
    )]
    #[unsafe(link_section = "hello-assets")]
    static SECTION: [u8; FILES.len()] =
        *include_bytes!(concat!(env!("OUT_DIR"), "/docs/assets.gz"));

    #[link(wasm_import_module = "hello-assets")]
    unsafe extern "C" {
        /// Copies the `length` bytes at `offset` to `to`. Traps if they are out of bounds.
        #[link_name = "read"]
        fn copy(to: *mut u8, offset: usize, length: usize);
    }

    /// Fills `bytes` with the data at `offset`.
    pub fn read(bytes: &mut [u8], offset: usize) {
        // SAFETY: `bytes` is writable, and no more than its length is written.
        unsafe { copy(bytes.as_mut_ptr(), offset, bytes.len()) };
    }
}
