//! Answers, and their bytes.

use std::borrow::Cow;

use super::{
    date::HttpDate,
    fields::Fields,
    head::{Head, Method, Version},
    media::ProblemForm,
    refusal::Refusal,
    status::Status,
};

/// What a client that expects it is sent before it sends its body (RFC 9110 §10.1.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What every answer to one request has in common, whatever the answer is.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// What the client speaks.
    pub version: Version,
    /// Whether the client and the hub want another request on this connection. The driver of the
    /// connection clears it when it drains.
    pub keep_alive: bool,
    /// The request was `HEAD`: no body, all else as for `GET` (RFC 9110 §9.3.2).
    pub head_only: bool,
    /// A server with a clock must say the time (RFC 9110 §6.6.1); it is not read here, since this
    /// folder has no clock. `None` for a hub without one.
    pub date: Option<&'a HttpDate>,
    /// From [`super::cors::Cors::fields`].
    pub cors: &'a Fields,
}

impl<'a> Envelope<'a> {
    /// For an answer to `head`.
    pub fn for_request(head: &Head, date: Option<&'a HttpDate>, cors: &'a Fields) -> Self {
        Envelope {
            version: head.version,
            keep_alive: head.keep_alive,
            head_only: head.method == Method::Head,
            date,
            cors,
        }
    }

    /// For an answer to what is no well-formed request.
    pub fn for_refusal(date: Option<&'a HttpDate>, cors: &'a Fields) -> Self {
        let version = Version::Http11;
        Envelope { version, keep_alive: false, head_only: false, date, cors }
    }

    /// Writes the status line and the fields that have nothing to do with the content.
    pub(super) fn encode(&self, status: Status, keep_alive: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(status.line().as_bytes());
        if let Some(date) = self.date {
            push(out, "Date", date.as_bytes());
        }
        // RFC 9112 §9.3: each version has its own default.
        match (keep_alive, self.version) {
            (true, Version::Http11) => {}
            (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        }
        out.extend_from_slice(self.cors.as_bytes());
    }
}

/// Writes a field whose value is known to be harmless.
pub(super) fn push(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Room for the head of an ordinary answer.
const HEAD_LEN_TYPICAL: usize = 256;

/// An answer with its whole body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response<'a> {
    status: Status,
    fields: Fields,
    content_type: Option<&'static str>,
    body: Cow<'a, [u8]>,
    close: bool,
}

/// RFC 9457 §3.1; the type is `about:blank`, which is left out.
#[derive(serde::Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

impl<'a> Response<'a> {
    /// An answer without content.
    pub fn new(status: Status) -> Self {
        let body = Cow::Borrowed(&[][..]);
        Response { status, fields: Fields::NONE, content_type: None, body, close: false }
    }

    /// An answer with content.
    pub fn with_body(
        status: Status,
        content_type: &'static str,
        body: impl Into<Cow<'a, [u8]>>,
    ) -> Self {
        let content_type = Some(content_type);
        Response { content_type, body: body.into(), ..Response::new(status) }
    }

    /// An answer of plain text: also that to a publication (draft-08 #publication).
    pub fn text(status: Status, body: impl Into<Cow<'a, [u8]>>) -> Self {
        Response::with_body(status, "text/plain; charset=utf-8", body)
    }

    /// An error, described in the form that the client asked for. `detail` helps the client; there
    /// is none for what only the operator may know.
    pub fn problem(status: Status, detail: Option<&str>, form: ProblemForm) -> Self {
        let title = status.reason();
        match form {
            ProblemForm::Json => {
                let problem = Problem { title, status: status.code(), detail };
                let body = serde_json::to_vec(&problem).expect("strings and a number");
                Response::with_body(status, "application/problem+json", body)
            }
            ProblemForm::Text => {
                let detail = detail.unwrap_or(title);
                Response::text(status, format!("{detail}\n").into_bytes())
            }
        }
    }

    /// The answer to what cannot be read to its end; the last one on its connection.
    pub fn refusal(refusal: Refusal, form: ProblemForm) -> Self {
        Response::problem(refusal.status(), Some(&refusal.to_string()), form).close()
    }

    /// The answer to a method that a path does not have (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allow: &'static str, form: ProblemForm) -> Self {
        let detail = format!("this path has the methods {allow}");
        Response::problem(Status::MethodNotAllowed, Some(&detail), form).with("Allow", allow)
    }

    /// Adds a field. No value can end its line (see [`Fields::push`]). `Content-Length`,
    /// `Content-Type`, `Connection`, `Date` and CORS fields are written by others.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.fields.push(name, value);
        self
    }

    /// Adds fields that were written before.
    #[must_use]
    pub fn with_fields(mut self, fields: &Fields) -> Self {
        self.fields.extend(fields);
        self
    }

    /// Tells the client when to try again.
    #[must_use]
    pub fn retry_after(self, seconds: u32) -> Self {
        self.with("Retry-After", seconds.to_string())
    }

    /// Makes this the last answer on its connection: needed when the request's body was not read,
    /// since it would be taken for the next request.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.close = true;
        self
    }

    pub fn status(&self) -> Status {
        self.status
    }

    /// Appends the bytes of the answer to `out`. Says whether the connection lives on after them.
    #[must_use]
    pub fn encode(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> bool {
        let keep_alive = envelope.keep_alive && !self.close;
        let fields_len = envelope.cors.as_bytes().len() + self.fields.as_bytes().len();
        out.reserve(HEAD_LEN_TYPICAL + fields_len + self.body.len());
        envelope.encode(self.status, keep_alive, out);
        out.extend_from_slice(self.fields.as_bytes());
        if let Some(content_type) = self.content_type {
            push(out, "Content-Type", content_type.as_bytes());
        }
        // An answer that never has content must not say how long it is (RFC 9110 §8.6).
        if self.status != Status::NoContent {
            let mut digits = itoa::Buffer::new();
            push(out, "Content-Length", digits.format(self.body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        if !envelope.head_only {
            out.extend_from_slice(&self.body);
        }
        keep_alive
    }
}
