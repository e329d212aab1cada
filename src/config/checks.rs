//! What only all settings together can tell: what is missing, what does not fit, what is risky.

use url::{Host, Url};

use super::{
    keys::{self, IssuerKey, IssuerKeySet},
    load::{Mistake, Notice},
    setting::Source,
    tree::{Config, Embedded, LogLevel, Origins, ReusedIds, SyncMode, Transport},
    units::format_size,
};
use crate::{
    auth::{Role, jwks},
    keyring::Location,
};

pub(super) fn issuers_without_keys() -> Mistake {
    missing(
        "trusted issuers are given, but no key to bind to them: \
         set MERCURE_PUBLISHER_JWT_KEY and MERCURE_SUBSCRIBER_JWT_KEY, or write `issuer` blocks",
    )
}

pub(super) fn mixed_issuers(config: &Config) -> Option<Mistake> {
    let mut issuers = config.access.issuers().map(|issuer| issuer.is_some());
    let first = issuers.next()?;
    issuers.any(|other| other != first).then(|| {
        missing(
            "some keys are bound to an issuer and some are not, so tokens of anybody would count \
             beside those of the issuers: name the issuer of the others (MERCURE_TRUSTED_ISSUERS, \
             or an `issuer` block)",
        )
    })
}

/// `publishers`: everybody who publishes needs a token.
pub(super) fn missing_keys(config: &Config, publishers: bool) -> Vec<Mistake> {
    let has = |role| {
        config.access.keys.iter().any(|key| key.role == role)
            || config.access.key_sets.iter().any(|set| set.role == role)
    };
    let mut mistakes = Vec::new();
    if publishers && !has(Role::Publisher) {
        mistakes.push(missing(
            "no key for publishers: set MERCURE_PUBLISHER_JWT_KEY (or a directive `publisher_jwt` \
             or `issuer`), or run `petasos --dev` to try things out",
        ));
    }
    if !has(Role::Subscriber) && !config.access.anonymous {
        mistakes.push(missing(
            "no key for subscribers, and anonymous is off, so nobody could subscribe: set \
             MERCURE_SUBSCRIBER_JWT_KEY (or a directive `subscriber_jwt` or `issuer`), or allow \
             everybody with MERCURE_ALLOW_ANONYMOUS=1",
        ));
    }
    mistakes
}

fn missing(problem: &str) -> Mistake {
    Mistake { source: None, problem: problem.to_owned() }
}

/// What a setting means cannot be had without a history.
pub(super) fn reused_ids_without_history(config: &Config) -> Option<Mistake> {
    let wants = config.log.reused_ids != ReusedIds::Accept;
    (wants && config.log.transport == Transport::Local).then(|| {
        missing(
            "reused_ids needs a history in which ids can be found, and `transport local` keeps \
             none: choose another transport, or leave reused_ids out",
        )
    })
}

/// A budget for many is never smaller than what it must allow for one.
pub(super) fn fit_budgets(config: &mut Config) {
    let requests = &mut config.requests;
    requests.body_budget = requests.body_budget.max(requests.body_bytes_max);
    let streams = &mut config.streams;
    streams.outbox_budget = streams.outbox_budget.max(streams.subscriber_buffer);
}

/// Keys that cannot be used.
pub(super) fn bad_keys(keys: &[(IssuerKey, Source)]) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = Vec::new();
    for (key, source) in keys {
        let Err(problem) = keys::check(key) else { continue };
        let problem = format!("the {} key: {problem}", key.role);
        let mistake = Mistake { source: Some(source.clone()), problem };
        // A key that is bound to several issuers is one key, and one variable may give both roles.
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }
    mistakes
}

/// Files of key sets that cannot be used: they are there before the hub starts, or a mistake.
pub(super) fn bad_key_files(
    sets: &[(IssuerKeySet, Source)],
    read_file: &dyn Fn(&str) -> Result<String, String>,
) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = Vec::new();
    for (set, source) in sets {
        let Location::File(path) = &set.location else { continue };
        let problem = match read_file(path) {
            Ok(text) => match jwks::parse(text.as_bytes(), &set.algorithms) {
                Ok(_) => continue,
                Err(problem) => {
                    format!("what is at {} is no set of keys: {problem}", set.location)
                }
            },
            Err(problem) => format!("{problem}; put the issuer's JWK Set there"),
        };
        let mistake = Mistake { source: Some(source.clone()), problem };
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }
    mistakes
}

/// Key sets that somebody on the way could replace.
pub(super) fn exposed_key_sets(sets: &[(IssuerKeySet, Source)]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    for (set, source) in sets.iter().filter(|(set, _)| set.location.is_exposed()) {
        let text = format!(
            "the keys at {} travel by plain http: who can change them on their way can sign \
             tokens; use https",
            set.location
        );
        let notice = Notice { level: LogLevel::Warn, source: Some(source.clone()), text };
        if !notices.contains(&notice) {
            notices.push(notice);
        }
    }
    notices
}

pub(super) fn lint_keys(keys: &[(IssuerKey, Source)]) -> Vec<Notice> {
    let mut notices: Vec<Notice> = Vec::new();
    for (key, source) in keys {
        for finding in keys::lint(key) {
            let text = format!("{}: {finding}", key.role);
            // A key that is bound to several issuers is one key.
            let notice = Notice { level: LogLevel::Warn, source: Some(source.clone()), text };
            if !notices.contains(&notice) {
                notices.push(notice);
            }
        }
    }
    notices
}

/// What works and yet is worth a line at start.
pub(super) fn warnings(config: &Config) -> Vec<Notice> {
    let mut warnings = Vec::new();
    let mut warn = |text: String| {
        warnings.push(Notice { level: LogLevel::Warn, source: None, text });
    };
    if !config.listen.is_loopback() {
        let addresses: Vec<_> = config.listen.addresses.iter().map(ToString::to_string).collect();
        warn(format!(
            "tokens travel unencrypted: {} is plain HTTP and open to other machines; \
             let a proxy that ends TLS stand before it",
            addresses.join(", ")
        ));
    }
    if let Some(address) = config.admin.address.filter(|address| !address.ip().is_loopback()) {
        warn(format!(
            "the admin listener {address} is open to other machines: it has no password, and is \
             not for the public"
        ));
    }
    let Config { listen, requests, .. } = config;
    let one_client = !listen.unix.is_empty() && !requests.trusted_proxies.unix;
    if one_client && requests.connections_per_ip_max.is_some() {
        warn(
            "max_connections_per_ip counts all who come by UNIX sockets as one client; where a \
             proxy connects there, `trusted_proxies unix` has it say who they are"
                .to_owned(),
        );
    }
    if config.listen.catch_all && config.identity.resource_identifier.is_none() {
        warn(
            "the audience of tokens is taken from the host that requests name: pin it with \
             `resource_identifier https://HOST/.well-known/mercure`"
                .to_owned(),
        );
    }
    if config.access.has_unbound_keys() {
        warn(
            "keys without an issuer: tokens of any issuer that one of them signs are accepted, \
             and `exp` and `aud` are checked only where present; become strict with \
             MERCURE_TRUSTED_ISSUERS or `issuer` blocks"
                .to_owned(),
        );
    }
    if config.access.cors_origins == Origins::Any && !config.access.anonymous {
        warn(
            "cors_origins * goes without cookies: pages of other origins need a token of their \
             own; to let pages subscribe with a cookie, list their origins"
                .to_owned(),
        );
    }
    if config.access.publish_origins == Origins::Any {
        warn(
            "publish_origins * lets any page publish with its visitor's cookie: list the origins \
             whose pages may"
                .to_owned(),
        );
    }
    let local = local_names(config);
    if !local.is_empty() && !config.listen.is_loopback() {
        warn(format!(
            "{} the name of this very machine: to clients on others it means themselves; is it \
             left over from trying things out?",
            match local.as_slice() {
                [one] => format!("{one} is"),
                _ => format!("{} are", local.join(", ")),
            }
        ));
    }
    if config.legacy().is_some() {
        warn(
            "clients of 0.x are served: `topic` parameters, tokens without a type, an expiry or an \
             audience, tokens in URLs; turn it off with `protocol_version_compatibility off`"
                .to_owned(),
        );
    }
    warnings
}

/// The settings that name this machine as only itself does.
fn local_names(config: &Config) -> Vec<String> {
    let Config { identity, access, .. } = config;
    let is_local = |url: &str| {
        let host = Url::parse(url).ok().and_then(|url| url.host().map(|host| host.to_owned()));
        host.is_some_and(|host| match host {
            Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Ipv4(ip) => ip.is_loopback(),
            Host::Ipv6(ip) => ip.is_loopback(),
        })
    };
    let listed = |origins: &Origins| match origins {
        Origins::Any => Vec::new(),
        Origins::Listed(origins) => origins.clone(),
    };
    let named: [(&str, Vec<String>); 5] = [
        ("resource_identifier", identity.resource_identifier.iter().cloned().collect()),
        ("public_urls", identity.public_urls.clone()),
        ("cors_origins", listed(&access.cors_origins)),
        ("publish_origins", listed(&access.publish_origins)),
        ("issuer", access.issuers().flatten().map(str::to_owned).collect()),
    ];
    let first_local = |(name, values): &(&str, Vec<String>)| {
        values.iter().find(|value| is_local(value)).map(|value| format!("{name} {value}"))
    };
    named.iter().filter_map(first_local).collect()
}

/// How much history is kept on disk and where, and what may be lost of it.
pub(super) fn history(transport: &Transport) -> Vec<Notice> {
    let Transport::Embedded(Embedded { directory, updates_max, bytes_max, age_max, sync }) =
        transport
    else {
        return Vec::new();
    };
    let directory = directory.display();
    let bytes = bytes_max.map(|max| {
        let (size, updates) = (format_size(max.get()), max.get() >> 10);
        format!("{size} (about {updates} updates of 1KiB)")
    });
    let updates = updates_max.map(|max| format!("{max} updates"));
    let age = age_max.map(|max| format!("an age of {max:?}"));
    let limits: Vec<_> = [bytes, updates, age].into_iter().flatten().collect();
    let notice = |level, text| Notice { level, source: None, text };
    let mut notices = vec![match limits.is_empty() {
        false => notice(
            LogLevel::Info,
            format!("history: up to {}, in {directory}; see `transport`", limits.join(" and ")),
        ),
        true => notice(
            LogLevel::Warn,
            format!(
                "history: without a limit, in {directory}, until the disk is full; set one with \
                 `transport embedded {{ max_bytes SIZE }}`"
            ),
        ),
    }];
    let lost = match sync {
        SyncMode::Always => return notices,
        SyncMode::Interval(interval) => format!(
            "sync interval {interval:?}: updates that were acknowledged within the last \
             {interval:?} may be lost when the power fails or the system crashes"
        ),
        SyncMode::Off => {
            "sync off: the operating system decides when updates reach the disk; those \
                      that did not may be lost when the power fails or the system crashes, \
                      acknowledged or not"
                .to_owned()
        }
    };
    let text = format!("{lost}; nothing is lost when only the hub ends");
    notices.push(notice(LogLevel::Warn, text));
    notices
}
