//! Header fields that hubs need to see: each is sent with something in it that makes the hub answer
//! otherwise.

use super::{Finding, Way, hints, hints::Hint, unanswered};
use crate::client::{ClientError, probe::Answer};

/// A token that no hub accepts: `{"alg":"HS256","typ":"at+jwt"}`, `{"sub":"petasos-doctor"}`, and a
/// signature of zeros.
const BAD_TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6ImF0K2p3dCJ9.\
    eyJzdWIiOiJwZXRhc29zLWRvY3RvciJ9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// What is resumed after where nothing could be published.
const EARLIEST: &str = "earliest";

pub(super) fn last_event_id(way: &Way<'_>, published: Option<&str>) -> Finding {
    let id = published.unwrap_or(EARLIEST);
    let answered = way.head(&[], &[("last-event-id", id)]);
    resumed("Last-Event-ID", way, id, answered, &hints::LAST_EVENT_ID)
}

pub(super) fn last_event_id_in_query(way: &Way<'_>, published: Option<&str>) -> Finding {
    let id = published.unwrap_or(EARLIEST);
    let answered = way.head(&[("last_event_id", id)], &[]);
    resumed("last_event_id in the URL", way, id, answered, &hints::QUERY)
}

/// Only who asked to resume is told where the stream begins.
fn resumed(
    check: &'static str,
    way: &Way<'_>,
    id: &str,
    answered: Result<Answer, ClientError>,
    hint: &Hint,
) -> Finding {
    if !way.may_subscribe() {
        return Finding::skip(check, "not tested: it takes a token to subscribe");
    }
    let answer = match answered {
        Ok(answer) => answer,
        Err(error) => return unanswered(check, &error),
    };
    match answer.field("mercure-last-event-id") {
        Some(resumed) if resumed == id => Finding::ok(check, "arrives at the hub"),
        Some(_) => Finding::ok(check, "arrives at the hub, which keeps no history to resume in"),
        None => Finding::fail(
            check,
            "the hub does not see it, or its answer Mercure-Last-Event-ID gets lost: who \
             reconnects loses what was published meanwhile",
        )
        .fixed_by(way.hints(hint)),
    }
}

pub(super) fn authorization(way: &Way<'_>) -> Finding {
    let field = format!("Bearer {BAD_TOKEN}");
    presented(way, "Authorization", ("authorization", &field), &hints::AUTHORIZATION)
}

pub(super) fn cookie(way: &Way<'_>) -> Finding {
    let cookie = format!("{}={BAD_TOKEN}", way.asked.cookie_name);
    presented(way, "Cookie", ("cookie", &cookie), &hints::COOKIE)
}

/// A token that is no good must be refused as such, not be taken for none.
fn presented(way: &Way<'_>, check: &'static str, field: (&str, &str), hint: &Hint) -> Finding {
    let answer = match way.subscribe(way.method, &[], &[field], false) {
        Ok(answer) => answer,
        Err(error) => return unanswered(check, &error),
    };
    let challenge = answer.fields("www-authenticate").join(" ");
    match answer.status() {
        400 | 401 | 403 if !way.is_closed || challenge.contains("error=") => Finding::ok(
            check,
            format!("arrives at the hub: a bad token in it is answered {}", answer.status()),
        ),
        status => Finding::fail(
            check,
            format!(
                "the hub does not see it: a bad token in it is answered {status}, as if there \
                     were none"
            ),
        )
        .fixed_by(way.hints(hint)),
    }
}
