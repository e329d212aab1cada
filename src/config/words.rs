//! Words of the reference hub that are known here and do nothing: some never will, some will in
//! a later version.

/// Directives that are accepted and have no effect, each with the reason.
pub(super) const WITHOUT_EFFECT: [(&str, &str); 3] = [
    ("topic_matcher_cache", "this hub sizes its caches by itself"),
    ("topic_selector_cache", "this hub sizes its caches by itself"),
    ("subscriber_list_cache_size", "this hub sizes its caches by itself"),
];

/// Options of the reference hub's `transport bolt` that are accepted and have no effect, each with
/// the reason.
pub(super) const BOLT_WITHOUT_EFFECT: [(&str, &str); 2] = [
    ("bucket_name", "the history is no BoltDB file"),
    ("cleanup_frequency", "what is beyond the limits goes at once"),
];

/// Variables that are accepted and have no effect, each with the reason.
pub(super) const VARIABLES_WITHOUT_EFFECT: [(&str, &str); 1] =
    [("MERCURE_LICENSE", "this hub needs no licence")];

/// Directives that mean something to the reference hub, or will here.
pub(super) const DIRECTIVES_TO_COME: [&str; 6] =
    ["debugger", "demo", "playground", "subscriptions", "tls", "ui"];

/// Variables that mean something to the reference hub, or will here.
pub(super) const VARIABLES_TO_COME: [&str; 2] =
    ["CADDY_EXTRA_CONFIG", "CADDY_SERVER_EXTRA_DIRECTIVES"];

/// Words of `GLOBAL_OPTIONS` that are settings here.
pub(super) const GLOBAL_SETTINGS: [&str; 3] = ["admin", "debug", "grace_period"];

/// Words of `GLOBAL_OPTIONS` that will mean something here.
pub(super) const GLOBAL_TO_COME: [&str; 5] =
    ["auto_https", "cert_issuer", "email", "http_port", "https_port"];

/// Words of `GLOBAL_OPTIONS` that ask for what is the case anyway.
pub(super) const GLOBAL_WITHOUT_EFFECT: [(&str, &str, &str); 3] = [
    ("auto_https", "off", "there is no automatic HTTPS yet"),
    ("auto_https", "disable_redirects", "there is no automatic HTTPS yet"),
    ("metrics", "", "there are always metrics, on the admin listener"),
];

/// Variables that belong to commands, not to the table of settings.
pub(super) const COMMAND_VARIABLES: [&str; 6] = [
    "PETASOS_CONFIG",
    "PETASOS_DEV",
    "PETASOS_KEY",
    "PETASOS_REVISION",
    "PETASOS_TOKEN",
    "PETASOS_URL",
];

/// Variables of the reference hub that hold directives.
pub(super) const EXTRA_DIRECTIVES: &str = "MERCURE_EXTRA_DIRECTIVES";
pub(super) const GLOBAL_OPTIONS: &str = "GLOBAL_OPTIONS";

/// Whether Kubernetes sets a variable of this name for a service called `petasos` or `mercure`.
pub(super) fn is_service_link(name: &str) -> bool {
    let rest = name.strip_prefix("PETASOS_").or_else(|| name.strip_prefix("MERCURE_"));
    rest.is_some_and(|rest| {
        let is_port = |rest: &str| rest == "PORT" || rest.starts_with("PORT_");
        is_port(rest)
            || rest.contains("_PORT_")
            || rest.ends_with("_PORT")
            || rest.contains("SERVICE_HOST")
            || rest.contains("SERVICE_PORT")
    })
}
