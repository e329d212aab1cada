//! The stream itself: how it begins, and whether updates come at once.

use std::time::Instant;

use super::{Finding, PATIENCE, Way, hints, reach, unanswered};
use crate::client::{
    ClientError, NewUpdate, Parser,
    probe::{Answer, Bytes, Came},
};

const BUFFERING: &str = "buffering";
/// An update that takes longer was collected with others somewhere.
const AT_ONCE_MS: u128 = 1_000;
/// Bytes of an event, of which the doctor publishes the largest itself.
const EVENT_BYTES_MAX: usize = 2 << 20;

/// Opens a stream and looks at how it begins.
pub(super) fn open(way: &mut Way<'_>) -> (Vec<Finding>, Option<Bytes>) {
    const CHECK: &str = "stream";
    let mut opened = way.subscribe("GET", &[], &[], false);
    if opened.as_ref().is_ok_and(|answer| answer.status() == 401) {
        way.is_closed = true;
        if !way.may_subscribe() {
            way.method = "HEAD";
            let text = "not tested: the hub takes no subscribers without a token; give one with \
                        --token, or its key with --key";
            return (vec![Finding::skip(CHECK, text)], None);
        }
        opened = way.subscribe("GET", &[], &[], true);
    }
    let answer = match opened {
        Ok(answer) if answer.status() == 200 => answer,
        Ok(answer) if answer.status() == 401 => {
            let finding = Finding::fail(
                CHECK,
                format!(
                    "{}: with the token as well: it is not for subscribers, or the proxy does \
                         not pass it on",
                    answer.into_error()
                ),
            );
            return (vec![finding.fixed_by(way.hints(&hints::AUTHORIZATION))], None);
        }
        Ok(answer) => return (vec![reach::explained(way, CHECK, answer)], None),
        Err(error @ ClientError::Timeout { .. }) => {
            way.method = "HEAD";
            let finding = Finding::fail(
                BUFFERING,
                format!(
                    "{error}. Other answers come at once: something on the way holds streams \
                         back until they end, or until there is much of them"
                ),
            );
            return (vec![finding.fixed_by(way.hints(&hints::BUFFERING))], None);
        }
        Err(error) => return (vec![unanswered(CHECK, &error)], None),
    };
    let mut findings =
        vec![Finding::ok(CHECK, format!("begins after {} ms", answer.after.as_millis()))];
    findings.extend(head(way, &answer));
    let bytes = match answer.into_bytes() {
        Ok(bytes) => bytes,
        Err(error) => return (vec![unanswered(CHECK, &error)], None),
    };
    let (finding, is_open) = first_bytes(way, &bytes);
    findings.extend(finding);
    (findings, is_open.then_some(bytes))
}

/// What the head says to browsers and to whoever else is on the way.
fn head(way: &Way<'_>, answer: &Answer) -> Vec<Finding> {
    let mut findings = Vec::new();
    let content_type = answer.content_type();
    findings.push(match content_type {
        "text/event-stream" => Finding::ok("content-type", content_type),
        other => Finding::fail(
            "content-type",
            format!("`{other}` instead of text/event-stream: browsers close the stream"),
        )
        .fixed_by(["whatever sets Content-Type on the way has to leave the hub's alone"]),
    });
    let control = answer.fields("cache-control").join(", ").to_ascii_lowercase();
    let missing: Vec<_> =
        ["no-store", "no-transform"].into_iter().filter(|word| !control.contains(word)).collect();
    findings.push(match missing.as_slice() {
        [] => Finding::ok("cache-control", control),
        missing => Finding::warn(
            "cache-control",
            format!(
                "`{control}` without {}: caches may keep the stream, or hold it back to \
                     compress it",
                missing.join(" and ")
            ),
        )
        .fixed_by(["whatever sets Cache-Control on the way has to leave the hub's alone"]),
    });
    // nginx takes it for itself.
    if answer.field("x-accel-buffering") != Some("no") && !way.server.contains("nginx") {
        let text = "not there: taken by an nginx on the way, or lost, and then one that comes \
                    after holds the stream back";
        findings.push(Finding::ok("x-accel-buffering", text));
    }
    findings
}

/// A hub sends a comment at once. False: there is nothing more to see in this stream.
fn first_bytes(way: &Way<'_>, bytes: &Bytes) -> (Option<Finding>, bool) {
    match bytes.next(Instant::now() + PATIENCE) {
        Came::Bytes(_) => (None, true),
        Came::End => {
            let text = "the stream ended as soon as it had begun: something on the way does not \
                        wait for it";
            (Some(Finding::fail("stream", text).fixed_by(way.hints(&hints::IDLE))), false)
        }
        Came::Nothing => {
            let text = format!(
                "the head of the stream came, but not its first line within {} s: something on \
                 the way holds it back",
                PATIENCE.as_secs()
            );
            (Some(Finding::fail(BUFFERING, text).fixed_by(way.hints(&hints::BUFFERING))), false)
        }
    }
}

/// Publishes an update and waits for it. Returns its id.
pub(super) fn update(way: &mut Way<'_>, stream: Option<Bytes>) -> (Vec<Finding>, Option<String>) {
    const CHECK: &str = "publish";
    let Some(publisher) = &way.publisher else {
        let text = "not tested with an update: give a token that may publish (--token), or the \
                    key that makes one (--key)";
        return (stream.map(|_| Finding::skip(BUFFERING, text)).into_iter().collect(), None);
    };
    let began = Instant::now();
    let sent = publisher.send(NewUpdate::new(&[&way.topic], "petasos doctor"));
    let id = match sent {
        Ok(id) => id,
        Err(error) => {
            let mut findings = vec![refused(way, &error)];
            way.publisher = None;
            let text = "not tested with an update, since none could be published";
            findings.extend(stream.map(|_| Finding::skip(BUFFERING, text)));
            return (findings, None);
        }
    };
    let mut findings =
        vec![Finding::ok(CHECK, format!("published after {} ms", began.elapsed().as_millis()))];
    let Some(stream) = stream else { return (findings, Some(id)) };
    let published = Instant::now();
    findings.push(match wait_for(&stream, &id) {
        true => {
            let after = published.elapsed().as_millis();
            let text = format!("an update comes {after} ms after it was published");
            match after > AT_ONCE_MS {
                false => Finding::ok(BUFFERING, text),
                true => Finding::warn(BUFFERING, format!("{text}: something on the way collects"))
                    .fixed_by(way.hints(&hints::BUFFERING)),
            }
        }
        false => Finding::fail(
            BUFFERING,
            format!(
                "an update was published, but did not come within {} s: something on the way \
                     holds the stream back",
                PATIENCE.as_secs()
            ),
        )
        .fixed_by(way.hints(&hints::BUFFERING)),
    });
    (findings, Some(id))
}

/// Whether the event of this id comes in time.
fn wait_for(stream: &Bytes, id: &str) -> bool {
    let until = Instant::now() + PATIENCE;
    let mut parser = Parser::new("", EVENT_BYTES_MAX);
    let mut updates = Vec::new();
    while let Came::Bytes(bytes) = stream.next(until) {
        if parser.push(&bytes, &mut updates).is_err() {
            return false;
        }
        if updates.iter().any(|update| update.id == id) {
            return true;
        }
    }
    false
}

fn refused(way: &Way<'_>, error: &ClientError) -> Finding {
    const CHECK: &str = "publish";
    let ClientError::Refused(refusal) = error else { return unanswered(CHECK, error) };
    match refusal.status {
        401 => Finding::fail(
            CHECK,
            format!(
                "{error}: the token does not fit the hub (its log says why), or the proxy does \
                     not pass it on"
            ),
        )
        .fixed_by(way.hints(&hints::AUTHORIZATION)),
        403 => Finding::skip(
            CHECK,
            format!(
                "not tested, {error}: the token does not allow publishing to any topic, which \
                     `petasos token --key … --publish '*'` does"
            ),
        ),
        405 => Finding::fail(CHECK, format!("{error}: the proxy does not let POST through"))
            .fixed_by(["no limit_except, or other limits on methods, for the hub's path"]),
        _ => Finding::fail(CHECK, error.to_string())
            .fixed_by(["the logs of the proxy and of the hub tell more"]),
    }
}

/// Compressors collect events until there are enough to compress.
pub(super) fn compression(way: &Way<'_>) -> Finding {
    const CHECK: &str = "compression";
    match way.head(&[], &[("accept-encoding", "gzip, deflate, br, zstd")]) {
        Err(error) => unanswered(CHECK, &error),
        Ok(answer) => match answer.field("content-encoding") {
            None | Some("identity") => Finding::ok(CHECK, "streams are not compressed"),
            Some(coding) => Finding::fail(
                CHECK,
                format!(
                    "streams are compressed ({coding}), in spite of no-transform: events wait \
                         until there are enough of them"
                ),
            )
            .fixed_by(way.hints(&hints::COMPRESSION)),
        },
    }
}
