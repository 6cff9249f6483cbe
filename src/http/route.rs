//! Which route a path is, and which methods it takes.

use http::Method;

/// A route, by which requests are answered, counted and logged: never by their path, which
/// holds a username and has no end of values.
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

/// What stands for every method or path that has no name of its own, as in OpenTelemetry's
/// `http.request.method`.
pub const OTHER: &str = "_OTHER";

impl Route {
    /// Every route there is.
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

    /// The route of `path`, and the segment that fills its template.
    #[must_use]
    pub fn of(path: &str) -> (Self, &str) {
        let parent = |prefix| {
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
                if let Some(username) = parent("/hello/") {
                    (Self::Hello, username)
                } else if let Some(asset) = parent("/docs/") {
                    (Self::DocsAsset, asset)
                } else {
                    (Self::Unknown, "")
                }
            }
        }
    }

    /// The path with its variable part as a name, as OpenAPI writes it.
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

    /// The methods that it takes, as in the header `allow`.
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
    fn a_template_is_its_own_route_and_nothing_else_is() {
        for route in Route::ALL {
            assert_eq!(Route::of(route.template()).0, route);
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
            assert_eq!(Route::of(path), (Route::Unknown, ""), "{path}");
        }
        assert_eq!(Route::of("/hello/Ada"), (Route::Hello, "Ada"));
    }

    #[test]
    fn a_method_that_nobody_registered_has_no_name() {
        assert_eq!(method_name(&Method::PATCH), "PATCH");
        for name in ["get", "BREW", "_OTHER"] {
            let method = Method::from_bytes(name.as_bytes()).expect("a token");
            assert_eq!(method_name(&method), OTHER);
        }
    }
}
