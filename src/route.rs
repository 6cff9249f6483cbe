//! The routes: matching a path, and the methods that each allows.

use http::Method;

/// A route. Metrics and logs name a request by its route, never by its path, which contains a
/// username and has unbounded cardinality.
///
/// ```
/// use hello::route::Route;
///
/// assert_eq!(Route::match_path("/hello/Ada"), (Route::Hello, "Ada"));
/// assert_eq!(Route::Hello.template(), "/hello/{username}");
/// assert_eq!(Route::Hello.allow(), "GET, HEAD, PUT, OPTIONS");
/// // A trailing slash is another path.
/// assert_eq!(Route::match_path("/livez/"), (Route::Unknown, ""));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Route {
    /// `/hello/{username}`
    Hello,
    /// `/metrics`
    Metrics,
    /// `/docs`
    Docs,
    /// `/docs/{asset}`
    DocsAsset,
    /// `/openapi.json`
    OpenApi,
    /// `/livez`
    Livez,
    /// `/readyz`
    Readyz,
    /// Any other path.
    Unknown,
}

/// The label of an unknown method or path, as in OpenTelemetry's `http.request.method`.
pub const OTHER: &str = "_OTHER";

impl Route {
    /// Every route.
    pub const ALL: [Self; 8] = [
        Self::Hello,
        Self::Metrics,
        Self::Docs,
        Self::DocsAsset,
        Self::OpenApi,
        Self::Livez,
        Self::Readyz,
        Self::Unknown,
    ];

    /// The route that matches `path`, and the value of its path parameter, or `""` if it has none.
    /// The value is not percent-decoded.
    #[must_use]
    pub fn match_path(path: &str) -> (Self, &str) {
        let parameter = |prefix| {
            path.strip_prefix(prefix)
                .filter(|segment: &&str| !segment.is_empty() && !segment.contains('/'))
        };
        match path {
            "/metrics" => (Self::Metrics, ""),
            "/docs" => (Self::Docs, ""),
            "/openapi.json" => (Self::OpenApi, ""),
            "/livez" => (Self::Livez, ""),
            "/readyz" => (Self::Readyz, ""),
            _ => {
                if let Some(username) = parameter("/hello/") {
                    (Self::Hello, username)
                } else if let Some(asset) = parameter("/docs/") {
                    (Self::DocsAsset, asset)
                } else {
                    (Self::Unknown, "")
                }
            }
        }
    }

    /// The path template, as OpenAPI writes it.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::Hello => "/hello/{username}",
            Self::Metrics => "/metrics",
            Self::Docs => "/docs",
            Self::DocsAsset => "/docs/{asset}",
            Self::OpenApi => "/openapi.json",
            Self::Livez => "/livez",
            Self::Readyz => "/readyz",
            Self::Unknown => OTHER,
        }
    }

    /// The allowed methods, as the value of the header `allow`.
    #[must_use]
    pub fn allow(self) -> &'static str {
        match self {
            Self::Hello => "GET, HEAD, PUT, OPTIONS",
            Self::Unknown => "",
            _ => "GET, HEAD, OPTIONS",
        }
    }
}

/// Every value of [`method_name`].
pub const METHOD_NAMES: [&str; 10] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", OTHER,
];

/// The name of `method`, if it is one of RFC 9110 or RFC 5789, else [`OTHER`].
#[must_use]
pub fn method_name(method: &Method) -> &'static str {
    METHOD_NAMES
        .into_iter()
        .find(|name| *name == method.as_str())
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_matches_as_a_whole() {
        for route in Route::ALL {
            assert_eq!(Route::match_path(route.template()).0, route);
        }
        for path in [
            "/",
            "/hello",
            "/hello/",
            "/hello/a/b",
            "/docs/",
            "/docs/a/",
            "/Docs",
            "/livez/",
        ] {
            assert_eq!(Route::match_path(path), (Route::Unknown, ""), "{path}");
        }
        assert_eq!(Route::match_path("/hello/Ada"), (Route::Hello, "Ada"));
    }

    #[test]
    fn an_unknown_route_allows_no_method() {
        assert_eq!(Route::Unknown.allow(), "");
    }

    #[test]
    fn an_unregistered_method_is_other() {
        assert_eq!(method_name(&Method::PATCH), "PATCH");
        for name in ["get", "BREW", "_OTHER"] {
            let method = Method::from_bytes(name.as_bytes()).expect("a token");
            assert_eq!(method_name(&method), OTHER);
        }
    }
}
