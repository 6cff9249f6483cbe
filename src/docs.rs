//! The OpenAPI document, and Swagger UI, which needs no other origin.
//!
//! `build.rs` takes Swagger UI's files out of a crate and compresses them; a name holds its
//! content's checksum, so that a browser may keep the file for ever.

mod files;

use std::borrow::Cow;

/// The OpenAPI 3.1 document of this service. Written by hand; `tests/contract/openapi.rs` holds it to
/// what the router does.
pub const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs/openapi.json"));

/// The page that loads Swagger UI.
pub const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/docs/index.html"));

/// What the page may load and do: its own files, requests to this service, and the pictures
/// that Swagger UI's style sheet holds as data.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// A file of the page, compressed with gzip.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// `swagger-ui-bundle.0f3a….js`
    pub name: &'static str,
    /// Its media type.
    pub content_type: &'static str,
    /// Where it is in [`files`], and how long.
    offset: usize,
    length: usize,
}

impl Asset {
    /// Its content, compressed.
    #[must_use]
    pub fn gzip(&self) -> Cow<'static, [u8]> {
        files::read(self.offset, self.length)
    }
}

/// Every file of the page.
pub const ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/docs/assets.rs"));

/// The file of this name.
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}
