//! How large requests may be on the way.

use super::{Finding, Way, hints, unanswered};
use crate::client::{ClientError, NewUpdate, probe::Answer};

/// One matcher, far below what hubs allow.
const MATCHER_LEN: usize = 1_000;
/// The body of a large update; hubs take 1 MiB.
const BODY_LEN: usize = 1_000_000;
const HEADER_LEN: usize = 8 << 10;

pub(super) fn requests(way: &Way<'_>) -> Vec<Finding> {
    let filler = "x".repeat(MATCHER_LEN);
    let url = |kilobytes: usize| {
        let query = vec![("match", filler.as_str()); kilobytes];
        way.head(&query, &[])
    };
    let cookie = format!("petasos_doctor={}", "x".repeat(HEADER_LEN));
    let large = way.head(&[], &[("cookie", &cookie)]);
    vec![
        taken(way, "URL of 9 KB", "some hundred topics in one stream", false, url(9)),
        taken(way, "URL of 60 KB", "a thousand topics in one stream", true, url(60)),
        taken(way, "header of 8 KB", "the cookies of a site and a token", false, large),
    ]
}

/// `is_rare`: few need it.
fn taken(
    way: &Way<'_>,
    check: &'static str,
    what_for: &str,
    is_rare: bool,
    answered: Result<Answer, ClientError>,
) -> Finding {
    let told = |problem: String| {
        let text = format!("{problem}; {what_for} need it");
        let finding = if is_rare { Finding::warn(check, text) } else { Finding::fail(check, text) };
        finding.fixed_by(way.hints(&hints::HEADERS))
    };
    match answered {
        Ok(answer) if answer.status() == 200 => {
            Finding::ok(check, format!("goes through: {what_for}"))
        }
        // The hub has read it.
        Ok(answer) if answer.status() == 401 && !way.may_subscribe() => {
            Finding::ok(check, format!("goes through: {what_for}"))
        }
        Ok(answer) => told(format!("{} instead of a stream", answer.into_error())),
        Err(error @ ClientError::Unreachable { .. }) => told(error.to_string()),
        Err(error) => unanswered(check, &error),
    }
}

pub(super) fn body(way: &Way<'_>) -> Finding {
    const CHECK: &str = "update of 1 MB";
    let Some(publisher) = &way.publisher else {
        return Finding::skip(CHECK, "not tested: it takes a token that may publish, or its key");
    };
    let data = "x".repeat(BODY_LEN);
    match publisher.send(NewUpdate::new(&[&way.topic], &data)) {
        Ok(_) => Finding::ok(CHECK, "goes through"),
        Err(ClientError::Refused(refusal)) if refusal.status == 413 => {
            let text = format!(
                "{refusal}: by itself the hub takes 1 MiB (max_request_body_size), something on \
                 the way less"
            );
            Finding::fail(CHECK, text).fixed_by(way.hints(&hints::BODY))
        }
        // Who refuses may close the connection while it is still being sent to.
        Err(error @ ClientError::Unreachable { .. }) => {
            let text = format!("{error}: something on the way may take less than the hub's 1 MiB");
            Finding::fail(CHECK, text).fixed_by(way.hints(&hints::BODY))
        }
        Err(error) => unanswered(CHECK, &error),
    }
}
