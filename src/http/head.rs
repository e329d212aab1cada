//! The head of a request, once it is known to be well formed.

use std::ops::Range;

use super::{body::BodyLength, forwarded::Forwarded, framing::Framing, refusal::Refusal, target};

/// What a request wants done (RFC 9110 §9). Methods are case-sensitive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    Get,
    Head,
    Post,
    Options,
    /// RFC 10008: a safe request with a body.
    Query,
    /// Any other token.
    Other,
}

impl Method {
    pub(super) fn from_token(token: &str) -> Method {
        match token {
            "GET" => Method::Get,
            "HEAD" => Method::Head,
            "POST" => Method::Post,
            "OPTIONS" => Method::Options,
            "QUERY" => Method::Query,
            _ => Method::Other,
        }
    }
}

/// The version that the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    Http10,
    Http11,
}

/// A well-formed request head. It holds its own bytes, in one allocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    pub method: Method,
    pub version: Version,
    /// The client lets the connection live on after this request (RFC 9112 §9.3).
    pub keep_alive: bool,
    /// The client waits for [`super::response::CONTINUE`] before it sends the body
    /// (RFC 9110 §10.1.1).
    pub expects_continue: bool,
    /// How the body is framed.
    pub body: BodyLength,
    /// What trusted proxies say of the request; filled in by whoever knows whom to trust.
    pub forwarded: Forwarded,
    /// The request target; then, for each field, the lengths of name and value, name, value.
    bytes: Box<[u8]>,
    path: Span,
    query: Option<Span>,
    host: Span,
    fields_start: u32,
}

/// A range of a head's bytes. Heads are far smaller than 4 GiB (`reader::HEAD_LEN_MAX`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    const EMPTY: Span = Span { start: 0, end: 0 };

    fn new(range: Range<usize>) -> Span {
        Span { start: length(range.start), end: length(range.end) }
    }

    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..self.end as usize]
    }
}

fn length(len: usize) -> u32 {
    u32::try_from(len).expect("the reader takes heads of a few MiB at most")
}

/// Bytes that a field takes besides name and value: the two lengths.
const FIELD_OVERHEAD: usize = 2 * size_of::<u32>();

impl Head {
    pub(super) fn new(
        method: Method,
        version: Version,
        target: &str,
        fields: &[httparse::Header<'_>],
    ) -> Result<Head, Refusal> {
        let parts = target::split(method, target.as_bytes())?;
        let fields_len: usize =
            fields.iter().map(|field| FIELD_OVERHEAD + field.name.len() + field.value.len()).sum();
        let mut bytes = Vec::with_capacity(target.len() + fields_len);
        bytes.extend_from_slice(target.as_bytes());
        let mut framing = Framing::default();
        let mut host = None;
        for field in fields {
            bytes.extend_from_slice(&length(field.name.len()).to_ne_bytes());
            bytes.extend_from_slice(&length(field.value.len()).to_ne_bytes());
            bytes.extend_from_slice(field.name.as_bytes());
            bytes.extend_from_slice(field.value);
            if field.name.eq_ignore_ascii_case("host") {
                if host.is_some() {
                    return Err(Refusal::HostRepeated);
                }
                if !target::is_host(field.value) {
                    return Err(Refusal::Host);
                }
                host = Some(bytes.len() - field.value.len()..bytes.len());
            } else {
                framing.read(field.name, field.value)?;
            }
        }
        // RFC 9112 §3.2. HTTP/1.0 knows no Host.
        if host.is_none() && version == Version::Http11 {
            return Err(Refusal::HostMissing);
        }
        let framing = framing.finish(version)?;
        Ok(Head {
            method,
            version,
            keep_alive: framing.keep_alive,
            expects_continue: framing.expects_continue,
            body: framing.body,
            forwarded: Forwarded::default(),
            path: Span::new(parts.path),
            query: parts.query.map(Span::new),
            // The host of an absolute target counts more than the field (RFC 9112 §3.2.2).
            host: parts.authority.or(host).map_or(Span::EMPTY, Span::new),
            fields_start: length(target.len()),
            bytes: bytes.into_boxed_slice(),
        })
    }

    /// The path of the target as it was sent: still percent-encoded; `*` for `OPTIONS *`.
    pub fn path(&self) -> &[u8] {
        match self.path.of(&self.bytes) {
            // An URL without a path (RFC 9112 §3.2.1).
            b"" => b"/",
            path => path,
        }
    }

    /// The query of the target as it was sent, without its question mark.
    pub fn query(&self) -> Option<&[u8]> {
        self.query.map(|query| query.of(&self.bytes))
    }

    /// Host and perhaps port that the request is addressed to, as they were sent: as a trusted
    /// proxy says, else from an absolute target, else from the `Host` field. `None` if the client
    /// named none, or an empty one.
    pub fn host(&self) -> Option<&[u8]> {
        let own = || Some(self.host.of(&self.bytes)).filter(|host| !host.is_empty());
        self.forwarded.host.as_deref().or_else(own)
    }

    /// The value of the first field called `name`, in whatever case.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers(name).next()
    }

    /// The values of all fields called `name`, in whatever case, in their order.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.fields()
            .filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value)
    }

    /// All fields with their values, in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let mut rest = &self.bytes[self.fields_start as usize..];
        std::iter::from_fn(move || {
            let (name_len, after) = rest.split_first_chunk()?;
            let (value_len, after) = after.split_first_chunk()?;
            let (name, after) = after.split_at_checked(u32::from_ne_bytes(*name_len) as usize)?;
            let (value, after) = after.split_at_checked(u32::from_ne_bytes(*value_len) as usize)?;
            rest = after;
            Some((name, value))
        })
    }
}
