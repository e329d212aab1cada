//! Whether pages of an origin may read what the hub answers (Fetch, #http-cors-protocol).

use super::{Finding, PATIENCE, Way, hints, unanswered};
use crate::client::probe::{Answer, Asking};

/// What pages of other origins ask to send.
const WANTED: &str = "authorization, last-event-id";

pub(super) fn check(way: &Way<'_>) -> Vec<Finding> {
    let Some(origin) = &way.asked.origin else {
        let text = "not tested: name the pages' origin with --origin, if it is another one";
        return vec![Finding::skip("CORS", text)];
    };
    vec![preflight(way, origin), answer(way, origin)]
}

fn preflight(way: &Way<'_>, origin: &str) -> Finding {
    const CHECK: &str = "CORS preflight";
    let asked = way.probe.ask(Asking {
        method: "OPTIONS",
        path: None,
        query: &[],
        fields: &[
            ("origin", origin),
            ("access-control-request-method", "GET"),
            ("access-control-request-headers", WANTED),
        ],
        is_authorized: false,
        wait: PATIENCE,
    });
    let answer = match asked {
        Ok(answer) => answer,
        Err(error) => return unanswered(CHECK, &error),
    };
    if let Some(finding) = not_allowed(way, CHECK, origin, &answer) {
        return finding;
    }
    if !(200..300).contains(&answer.status()) {
        let text = format!("answered {}, where browsers want 200 or 204", answer.status());
        return Finding::fail(CHECK, text).fixed_by(way.hints(&hints::CORS));
    }
    let allowed = answer.fields("access-control-allow-headers").join(",").to_ascii_lowercase();
    let allowed: Vec<_> = allowed.split(',').map(str::trim).collect();
    let missing: Vec<_> = WANTED.split(", ").filter(|name| !allowed.contains(name)).collect();
    match missing.as_slice() {
        [] => Finding::ok(CHECK, format!("pages of {origin} may send {WANTED}")),
        missing => Finding::fail(
            CHECK,
            format!("pages of {origin} may not send {}", missing.join(" and ")),
        )
        .fixed_by(way.hints(&hints::CORS)),
    }
}

fn answer(way: &Way<'_>, origin: &str) -> Finding {
    const CHECK: &str = "CORS";
    let answer = match way.head(&[], &[("origin", origin)]) {
        Ok(answer) => answer,
        Err(error) => return unanswered(CHECK, &error),
    };
    if let Some(finding) = not_allowed(way, CHECK, origin, &answer) {
        return finding;
    }
    let is_any = answer.field("access-control-allow-origin") == Some("*");
    let has_credentials = answer.field("access-control-allow-credentials") == Some("true");
    match (is_any, has_credentials) {
        (true, _) => Finding::ok(CHECK, "pages of any origin may read, but not send cookies"),
        (false, true) => {
            Finding::ok(CHECK, format!("pages of {origin} may read, and send cookies"))
        }
        (false, false) => {
            let text = format!(
                "pages of {origin} may read, but not send cookies: the hub's \
                 Access-Control-Allow-Credentials is lost"
            );
            Finding::warn(CHECK, text).fixed_by(way.hints(&hints::CORS))
        }
    }
}

/// What keeps a browser from showing this answer to a page.
fn not_allowed(
    way: &Way<'_>,
    check: &'static str,
    origin: &str,
    answer: &Answer,
) -> Option<Finding> {
    let allowed = answer.fields("access-control-allow-origin");
    match allowed.as_slice() {
        [one] if *one == "*" || *one == origin => None,
        [] => Some(
            Finding::fail(check, format!("pages of {origin} may not read the hub's answers"))
                .fixed_by([format!("the hub: --cors-origins {origin}")])
                .fixed_by(way.hints(&hints::CORS)),
        ),
        [other] => Some(
            Finding::fail(check, format!("pages of `{other}` may read, but not of {origin}"))
                .fixed_by([format!("the hub: --cors-origins {origin}")])
                .fixed_by(way.hints(&hints::CORS)),
        ),
        several => Some(
            Finding::fail(
                check,
                format!(
                    "Access-Control-Allow-Origin is there {} times, which browsers refuse: \
                         the proxy adds its own",
                    several.len()
                ),
            )
            .fixed_by(way.hints(&hints::CORS)),
        ),
    }
}
