//! How a subscriber's stream begins (draft-08 #subscription).

use super::{
    fields::Fields,
    head::Version,
    response::{Envelope, push},
    status::Status,
};

/// What keeps intermediaries from keeping, changing or holding back the stream. `no-store` is
/// what caches obey; `no-cache` and `private` are for those that know no better; `no-transform`
/// keeps compressing proxies from collecting events. `Pragma` is a request field and `Expires`
/// yields to `Cache-Control` (RFC 9111 §5.3, §5.4): neither would add anything.
const CACHE_CONTROL: &[u8] = b"private, no-cache, no-store, no-transform";

/// A comment: proxies and browsers that wait for a first byte have it.
const FIRST_COMMENT: &[u8] = b":\n";
const FIRST_COMMENT_CHUNK: &[u8] = b"2\r\n:\n\r\n";

/// How the body of a stream is framed from here on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamForm {
    /// HTTP/1.1 chunks.
    Chunked,
    /// Events as they are, ended by the end of the connection: HTTP/1.0 knows no chunks.
    Bare,
}

impl StreamForm {
    /// What a client of this version understands.
    pub fn of(version: Version) -> StreamForm {
        match version {
            Version::Http11 => StreamForm::Chunked,
            Version::Http10 => StreamForm::Bare,
        }
    }
}

/// The fields of a stream that was asked to resume: `last_event_id` is the identifier of the event
/// before the first one sent, or `earliest` (draft-08 #reconciliation).
///
/// Characters beyond ASCII are sent as UTF-8, just as browsers send them in `Last-Event-ID`; a
/// percent-encoding would be another id. Control characters, which no id has, become `?`.
///
/// `also`: the name of another field that tells the same.
pub fn last_event_id(last_event_id: &str, also: Option<&'static str>) -> Fields {
    let mut fields = Fields::NONE;
    fields.push("Mercure-Last-Event-ID", last_event_id);
    if let Some(name) = also {
        fields.push(name, last_event_id);
    }
    fields
}

/// Appends the head of a stream and its first bytes to `out`. `fields` are those of this stream,
/// such as [`last_event_id`] and the link to the hub. The answer to `HEAD` ends after the head.
///
/// A connection whose driver gives it up to the stream is not kept alive: `envelope.keep_alive`
/// should then be false. On HTTP/1.0 it never is.
pub fn encode_start(envelope: &Envelope<'_>, fields: &[&Fields], out: &mut Vec<u8>) -> StreamForm {
    let form = StreamForm::of(envelope.version);
    let keep_alive = form == StreamForm::Chunked && envelope.keep_alive;
    let fields_len: usize = fields.iter().map(|fields| fields.as_bytes().len()).sum();
    out.reserve(320 + envelope.cors.as_bytes().len() + fields_len);
    envelope.encode(Status::Ok, keep_alive, out);
    push(out, "Content-Type", b"text/event-stream");
    push(out, "Cache-Control", CACHE_CONTROL);
    // nginx collects what it forwards unless it is told not to.
    push(out, "X-Accel-Buffering", b"no");
    fields.iter().for_each(|fields| out.extend_from_slice(fields.as_bytes()));
    if form == StreamForm::Chunked {
        push(out, "Transfer-Encoding", b"chunked");
    }
    out.extend_from_slice(b"\r\n");
    if !envelope.head_only {
        out.extend_from_slice(match form {
            StreamForm::Chunked => FIRST_COMMENT_CHUNK,
            StreamForm::Bare => FIRST_COMMENT,
        });
    }
    form
}
