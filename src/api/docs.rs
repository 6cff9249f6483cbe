//! The OpenAPI document, and Swagger UI, self-hosted.
//!
//! `build.rs` extracts Swagger UI from a crate and compresses it. File names contain a checksum, so
//! that browsers may cache them as immutable.

mod files;

use std::borrow::Cow;

/// The OpenAPI 3.1 document of this service. Written by hand; `tests/contract/openapi.rs` checks it
/// against the router.
pub const OPENAPI: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/docs/openapi.json"));

/// The HTML page that loads Swagger UI.
pub const PAGE: &str = include_str!(concat!(env!("OUT_DIR"), "/docs/index.html"));

/// The page's Content Security Policy: scripts, styles and requests of its own origin alone, and
/// the images that Swagger UI's style sheet embeds as `data:` URLs.
pub const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; \
    style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

/// A static file, compressed with gzip.
#[derive(Clone, Copy, Debug)]
pub struct Asset {
    /// `swagger-ui-bundle.0f3a….js`
    pub name: &'static str,
    /// The value of `content-type`.
    pub content_type: &'static str,
    /// Its position in [`files`], in bytes.
    offset: usize,
    length: usize,
}

impl Asset {
    /// The compressed content.
    #[must_use]
    pub fn gzip(&self) -> Cow<'static, [u8]> {
        files::read(self.offset, self.length)
    }
}

/// Every static file.
pub const ASSETS: &[Asset] = &include!(concat!(env!("OUT_DIR"), "/docs/assets.rs"));

/// The static file `name`.
///
/// ```
/// use hello::api::docs;
///
/// for asset in docs::ASSETS {
///     assert_eq!(docs::asset(asset.name).map(|found| found.name), Some(asset.name));
///     assert!(docs::PAGE.contains(asset.name));
/// }
/// assert!(docs::asset("index.html").is_none());
/// ```
#[must_use]
pub fn asset(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_one_gzip_member() {
        for asset in ASSETS {
            let gzip = asset.gzip();
            // RFC 1952: the magic number, deflate, and at the end the length of the content.
            assert!(gzip.starts_with(&[0x1f, 0x8b, 8]), "{}", asset.name);
            assert_eq!(gzip.len(), asset.length, "{}", asset.name);
            let length = gzip.last_chunk().map(|bytes| u32::from_le_bytes(*bytes));
            assert!(length > Some(100), "{}: {length:?} bytes", asset.name);
        }
    }
}
