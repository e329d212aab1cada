//! The one table of what the public listener serves.

use super::head::Method;

/// The path of the hub: the default that needs no configuration (draft-08 #hub-discovery,
/// #using-http).
pub const HUB_PATH: &str = "/.well-known/mercure";

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// Opens a stream.
    Subscribe,
    /// Asks what opening a stream would answer.
    SubscribeHead,
    /// Sends an update.
    Publish,
    /// Asks what may be done here: [`super::cors::Cors::preflight`]. `allow` as for
    /// [`Route::MethodNotAllowed`].
    Options { allow: &'static str },
    /// Says that the hub is there, to probes.
    Health,
    /// Keeps search engines away.
    Robots,
    /// Tells a person what this is.
    Welcome,
    /// Describes the hub to OAuth clients (RFC 9728).
    Metadata,
    /// There is no such path.
    NotFound,
    /// The path has no such method; `allow` lists those that it has.
    MethodNotAllowed { allow: &'static str },
}

/// A path, its methods as the `Allow` field lists them, and what each is for. `OPTIONS` is
/// everywhere. To add a path or a method, add it here.
struct Entry {
    path: &'static str,
    allow: &'static str,
    methods: &'static [(Method, Route)],
}

const TABLE: &[Entry] = &[
    Entry {
        path: HUB_PATH,
        allow: HUB_METHODS,
        methods: &[
            (Method::Get, Route::Subscribe),
            (Method::Query, Route::Subscribe),
            (Method::Post, Route::Publish),
            (Method::Head, Route::SubscribeHead),
        ],
    },
    page("/healthz", &[(Method::Get, Route::Health), (Method::Head, Route::Health)]),
    page("/robots.txt", &[(Method::Get, Route::Robots), (Method::Head, Route::Robots)]),
    page("/", &[(Method::Get, Route::Welcome), (Method::Head, Route::Welcome)]),
    // RFC 9110 §9.3.7: the server as a whole.
    Entry { path: "*", allow: HUB_METHODS, methods: &[] },
];

const HUB_METHODS: &str = "GET, HEAD, QUERY, POST, OPTIONS";

/// The metadata of the hub, wherever that is.
const METADATA: Entry =
    page("", &[(Method::Get, Route::Metadata), (Method::Head, Route::Metadata)]);

const fn page(path: &'static str, methods: &'static [(Method, Route)]) -> Entry {
    Entry { path, allow: "GET, HEAD, OPTIONS", methods }
}

/// What a request is for. `path` is compared as it was sent: nothing is decoded, so there is one
/// spelling of each path. `metadata_paths` depend on the hub's names.
pub fn route(method: Method, path: &[u8], metadata_paths: &[Box<str>]) -> Route {
    let entry = match TABLE.iter().find(|entry| entry.path.as_bytes() == path) {
        Some(entry) => entry,
        None if metadata_paths.iter().any(|known| known.as_bytes() == path) => &METADATA,
        None => return Route::NotFound,
    };
    if let Some((_, route)) = entry.methods.iter().find(|(known, _)| *known == method) {
        return *route;
    }
    let allow = entry.allow;
    match method {
        Method::Options => Route::Options { allow },
        _ => Route::MethodNotAllowed { allow },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route_of(method: Method, path: &[u8]) -> Route {
        route(method, path, &["/metadata".into()])
    }

    const METHODS: [(Method, &str); 5] = [
        (Method::Get, "GET"),
        (Method::Head, "HEAD"),
        (Method::Post, "POST"),
        (Method::Options, "OPTIONS"),
        (Method::Query, "QUERY"),
    ];

    #[test]
    fn every_path_serves_what_it_allows_and_nothing_else() {
        for path in [HUB_PATH, "/healthz", "/robots.txt", "/", "/metadata"] {
            let Route::MethodNotAllowed { allow } = route_of(Method::Other, path.as_bytes()) else {
                panic!("{path} has methods that have no name");
            };
            let allowed: Vec<_> = allow.split(", ").collect();
            for (method, name) in METHODS {
                let is_served = !matches!(
                    route_of(method, path.as_bytes()),
                    Route::MethodNotAllowed { .. } | Route::NotFound
                );
                assert_eq!(is_served, allowed.contains(&name), "{name} {path}");
            }
        }
    }

    #[test]
    fn requests_go_where_they_belong() {
        let hub = HUB_PATH.as_bytes();
        let allow = "GET, HEAD, QUERY, POST, OPTIONS";
        assert_eq!(route_of(Method::Get, hub), Route::Subscribe);
        assert_eq!(route_of(Method::Head, hub), Route::SubscribeHead);
        assert_eq!(route_of(Method::Post, hub), Route::Publish);
        assert_eq!(route_of(Method::Options, hub), Route::Options { allow });
        assert_eq!(route_of(Method::Query, hub), Route::Subscribe);
        assert_eq!(route_of(Method::Other, hub), Route::MethodNotAllowed { allow });
        assert_eq!(route_of(Method::Head, b"/healthz"), Route::Health);
        assert_eq!(route_of(Method::Get, b"/robots.txt"), Route::Robots);
        assert_eq!(route_of(Method::Get, b"/"), Route::Welcome);
        assert_eq!(route_of(Method::Get, b"/metadata"), Route::Metadata);
        assert_eq!(route_of(Method::Options, b"*"), Route::Options { allow });
        let page = Route::MethodNotAllowed { allow: "GET, HEAD, OPTIONS" };
        assert_eq!(route_of(Method::Post, b"/"), page);
    }

    #[test]
    fn other_spellings_are_other_paths() {
        for path in [
            "",
            "//",
            "/healthz/",
            "/HEALTHZ",
            "/.well-known/mercure/",
            "/.well-known/%6Dercure",
            "/.well-known/mercure/subscriptions",
            "/x/../healthz",
            "/.well-known//mercure",
        ] {
            for (method, _) in METHODS {
                assert_eq!(route_of(method, path.as_bytes()), Route::NotFound, "{path}");
            }
        }
    }
}
