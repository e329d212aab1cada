//! Is there a hub at this URL, and does it know by what name it is called?

use serde_json::Value;

use super::{Finding, PATIENCE, Way, hints};
use crate::client::{
    ClientError,
    probe::{Answer, Asking},
};

pub(super) fn encryption(way: &Way<'_>) -> Option<Finding> {
    const CHECK: &str = "https";
    let url = way.probe.url();
    let is_loopback = match url.host()? {
        url::Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        url::Host::Ipv4(ip) => ip.is_loopback(),
        url::Host::Ipv6(ip) => ip.is_loopback(),
    };
    Some(match (url.scheme(), is_loopback) {
        ("https", _) => Finding::ok(CHECK, "used"),
        (_, true) => Finding::ok(CHECK, "not used, which does no harm on this machine"),
        (_, false) => Finding::warn(
            CHECK,
            "not used: everybody on the way reads tokens and private updates, and browsers do not \
             send the cookie __Secure-…",
        )
        .fixed_by(["let the proxy serve https, and give that URL"]),
    })
}

/// Asks for what every hub refuses in a short answer, as it needs something to match. False:
/// nothing more can be found out.
pub(super) fn hub(way: &mut Way<'_>) -> (Vec<Finding>, bool) {
    let asked = way.probe.ask(Asking {
        method: "GET",
        path: None,
        query: &[],
        fields: &[],
        is_authorized: false,
        wait: PATIENCE,
    });
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return (vec![unreachable(&error)], false),
    };
    let named = ["server", "via"].map(|name| answer.fields(name).join(" "));
    way.server = named.join(" ").trim().to_ascii_lowercase();
    let by = match way.server.as_str() {
        "" => String::new(),
        server => format!(", by way of what calls itself {server}"),
    };
    let reached = format!("answers{by}, after {} ms", answer.after.as_millis());
    let mut findings = vec![Finding::ok("reachable", reached)];
    findings.push(match answer.is_http10() {
        false => Finding::ok(
            "http version",
            "HTTP/1.1, which is what this client speaks; browsers hold at most six streams to one \
             host with it, so offer HTTP/2 to them: curl -sI --http2 URL shows it",
        ),
        true => Finding::warn("http version", "HTTP/1.0: connections serve one request each")
            .fixed_by(["let the proxy speak HTTP/1.1 or 2 to the world"]),
    });
    let (finding, is_hub) = is_hub(way, answer);
    findings.push(finding);
    (findings, is_hub)
}

fn unreachable(error: &ClientError) -> Finding {
    let fix = match error {
        ClientError::Timeout { .. } => {
            "a firewall may drop packets, or the proxy waits for a hub that does not answer: is it \
             running, and where the proxy looks for it?"
        }
        _ => "is the name right, the certificate good, and the proxy running?",
    };
    Finding::fail("reachable", error.to_string()).fixed_by([fix])
}

/// Whether the answer to a request that matches nothing is a hub's.
fn is_hub(way: &Way<'_>, answer: Answer) -> (Finding, bool) {
    const CHECK: &str = "hub";
    let status = answer.status();
    let has_link = answer.fields("link").iter().any(|link| link.contains("mercure"));
    let has_challenge = answer.fields("www-authenticate").join(" ").starts_with("Bearer");
    let error = answer.into_error();
    let says_why = match &error {
        ClientError::Refused(refusal) => {
            let detail = refusal.detail.as_deref().unwrap_or_default();
            detail.contains("match") || detail.contains("topic")
        }
        _ => false,
    };
    let told = match status {
        400 if has_link || says_why => "a Mercure hub (400 without match)",
        401 if has_challenge => "a Mercure hub (401 without a token)",
        _ => return (explained_error(way, CHECK, status, &error), false),
    };
    (Finding::ok(CHECK, told), true)
}

/// What an answer means that should have been another one.
pub(super) fn explained(way: &Way<'_>, check: &'static str, answer: Answer) -> Finding {
    let status = answer.status();
    explained_error(way, check, status, &answer.into_error())
}

fn explained_error(
    way: &Way<'_>,
    check: &'static str,
    status: u16,
    error: &ClientError,
) -> Finding {
    let told = |meaning: &str| Finding::fail(check, format!("{error}: {meaning}"));
    match status {
        301 | 302 | 303 | 307 | 308 => Finding::fail(
            check,
            format!("{error}. Publishers and credentials do not follow redirections"),
        )
        .fixed_by(["give clients the URL that it redirects to"]),
        200..=299 => told("no hub answers so; something else is served here")
            .fixed_by(way.hints(&hints::PATH)),
        404 | 405 => told("no hub is served at this path, or the proxy changes it on the way")
            .fixed_by(way.hints(&hints::PATH)),
        421 => told("the hub is not known by this name, or the proxy does not tell it which one")
            .fixed_by(way.hints(&hints::HOST))
            .fixed_by([format!("and the hub: --public-urls {}", origin(way))]),
        429 => told(
            "too many streams of one client: where all come by a proxy, the hub takes it \
                     for one",
        )
        .fixed_by(["the hub: --trusted-proxies ADDRESS of the proxy, or a higher \
                        --max-connections-per-ip"]),
        502..=504 => told("the proxy does not reach the hub").fixed_by([
            "is the hub running, and is its address right in the proxy's configuration?",
        ]),
        401 | 403 => told("something on the way asks for credentials, or the hub does")
            .fixed_by(["no auth_basic and the like for the hub's path; the hub's log tells what \
                        it refuses"]),
        _ => told("no hub answers so").fixed_by(["the logs of the proxy and of the hub tell more"]),
    }
}

/// The scheme and the host of the URL.
fn origin(way: &Way<'_>) -> String {
    way.probe.url().origin().ascii_serialization()
}

/// What the hub says of itself to clients that look for its issuer, and what it says that tokens
/// must have as audience.
pub(super) fn metadata(way: &Way<'_>) -> (Finding, Option<String>) {
    const CHECK: &str = "metadata";
    let url = way.probe.url();
    let path = format!("/.well-known/oauth-protected-resource{}", url.path());
    let asked = way.probe.ask(Asking {
        method: "GET",
        path: Some(&path),
        query: &[],
        fields: &[],
        is_authorized: false,
        wait: PATIENCE,
    });
    let status = asked.as_ref().map(Answer::status).unwrap_or_default();
    let text = asked.and_then(Answer::into_text).unwrap_or_default();
    let metadata: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(resource) = metadata["resource"].as_str().filter(|_| status == 200) else {
        let text = format!(
            "{path} answers {status}, and not what the hub says of itself: clients that look for \
             its issuer do not find it"
        );
        return (Finding::warn(CHECK, text).fixed_by(way.hints(&hints::DISCOVERY)), None);
    };
    let finding = match resource == url.as_str() {
        true => Finding::ok(CHECK, format!("tokens have the audience {resource}")),
        false => Finding::warn(
            CHECK,
            format!("the hub takes itself for {resource}, which tokens must have as audience"),
        )
        .fixed_by(way.hints(&hints::HOST))
        .fixed_by([format!(
            "and the hub: --public-urls {}, or --resource-identifier {url}",
            origin(way)
        )]),
    };
    (finding, Some(resource.to_owned()))
}
