//! Reading request heads out of what a connection has received (RFC 9112 §2, §3, §5).
//!
//! `httparse` takes a head apart. It is more lenient than a server that stands behind other
//! servers may be, so this file refuses beforehand what it would let pass: line ends without CR,
//! any number of empty lines in front, and, in `framing` and `target`, all that the fields mean.

use std::mem::MaybeUninit;

use super::{
    fields::is_token_byte,
    head::{Head, Method, Version},
    refusal::Refusal,
};

/// How much of a request head is taken.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the request target.
    pub target_len_max: usize,
    /// Bytes of the head, from the method to the empty line; at most [`HEAD_LEN_MAX`].
    pub head_len_max: usize,
    /// Header fields; at most [`HEADER_COUNT_MAX`].
    pub header_count_max: usize,
}

impl Default for Limits {
    /// What a thousand topics in a URL need, and more fields than browsers and proxies add.
    fn default() -> Self {
        Limits { target_len_max: 128 * 1024, head_len_max: 128 * 1024, header_count_max: 100 }
    }
}

/// No head is longer, whatever the limits say: parts of a head are found by 32-bit offsets.
pub const HEAD_LEN_MAX: usize = 16 * 1024 * 1024;
/// No head has more fields, whatever the limits say: they are found in an array on the stack.
pub const HEADER_COUNT_MAX: usize = 128;

/// Empty lines before a request line that are overlooked (RFC 9112 §2.2 wants at least one to be).
const EMPTY_LINES_MAX: usize = 4;
/// What a request line may have besides its target: method, blanks, version, CR.
const REQUEST_LINE_OVERHEAD: usize = 64;

/// The `Origin` field of a head that was refused, if it shows in what was received of it: so that
/// the page which sent it can read why.
pub fn origin(input: &[u8]) -> Option<&[u8]> {
    const NAME: &[u8] = b"origin:";
    let lines = input.split(|&byte| byte == b'\n').skip(1).take(HEADER_COUNT_MAX);
    let mut values = lines.filter_map(|line| {
        let (name, value) = line.split_at_checked(NAME.len())?;
        name.eq_ignore_ascii_case(NAME).then(|| value.trim_ascii())
    });
    values.next()
}

/// Reads one head after the other. It remembers how far it has looked, so that a head that
/// arrives in many pieces is looked at once.
#[derive(Debug, Default)]
pub struct HeadReader {
    scanned: usize,
    request_line_ended: bool,
}

impl HeadReader {
    /// The head at the start of `input` and the number of bytes to remove from `input` for it.
    /// `None`: call again with the same bytes and more behind them.
    pub fn read(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<(Head, usize)>, Refusal> {
        let start = skip_empty_lines(input)?;
        match input[start..] {
            [] | [b'\r'] => return Ok(None),
            // A client that speaks something else, such as TLS, is told so at once.
            [first, ..] if !is_token_byte(first) => return Err(Refusal::RequestLine),
            _ => {}
        }
        let Some(end) = self.find_end(input, start, limits)? else { return Ok(None) };
        *self = HeadReader::default();
        Ok(Some((parse(&input[start..end], limits)?, end)))
    }

    /// Looks for the empty line that ends the head, at bytes that were not looked at before.
    /// What is refused here is refused at the byte where it shows, however the bytes arrive.
    fn find_end(
        &mut self,
        input: &[u8],
        start: usize,
        limits: &Limits,
    ) -> Result<Option<usize>, Refusal> {
        let line_len_max = limits.target_len_max.saturating_add(REQUEST_LINE_OVERHEAD);
        let head_len_max = limits.head_len_max.min(HEAD_LEN_MAX);
        let window = &input[..input.len().min(start.saturating_add(head_len_max))];
        let from = self.scanned.clamp(start, window.len());
        for offset in memchr::memchr_iter(b'\n', &window[from..]) {
            let at = from + offset;
            if !self.request_line_ended && at - start > line_len_max {
                return Err(Refusal::TargetTooLong);
            }
            self.request_line_ended = true;
            let before = &window[start..at];
            if !before.ends_with(b"\r") {
                return Err(Refusal::LineEnd);
            }
            if before.ends_with(b"\r\n\r") {
                return Ok(Some(at + 1));
            }
        }
        self.scanned = window.len();
        if !self.request_line_ended && window.len() - start > line_len_max {
            return Err(Refusal::TargetTooLong);
        }
        match (input.len() > window.len(), self.request_line_ended) {
            (false, _) => Ok(None),
            (true, false) => Err(Refusal::TargetTooLong),
            (true, true) => Err(Refusal::HeadTooLarge),
        }
    }
}

/// The number of bytes to overlook before a request line.
fn skip_empty_lines(input: &[u8]) -> Result<usize, Refusal> {
    let mut start = 0;
    loop {
        match &input[start..] {
            [b'\r', b'\n', ..] if start == 2 * EMPTY_LINES_MAX => return Err(Refusal::EmptyLines),
            [b'\r', b'\n', ..] => start += 2,
            [b'\r', _, ..] | [b'\n', ..] => return Err(Refusal::LineEnd),
            _ => return Ok(start),
        }
    }
}

/// Takes a whole head apart, from the method to the empty line.
fn parse(head: &[u8], limits: &Limits) -> Result<Head, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; HEADER_COUNT_MAX];
    let fields = &mut fields[..limits.header_count_max.min(HEADER_COUNT_MAX)];
    let mut request = httparse::Request::new(&mut []);
    let parsed = request.parse_with_uninit_headers(head, fields);
    if request.path.is_some_and(|target| target.len() > limits.target_len_max) {
        return Err(Refusal::TargetTooLong);
    }
    match parsed {
        Ok(httparse::Status::Complete(len)) if len == head.len() => {}
        // Neither happens, for the head ends in its only empty line; but if they did, there
        // would be two opinions about where it ends.
        Ok(_) => return Err(Refusal::LineEnd),
        Err(error) => return Err(refusal(error, head)),
    }
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(Refusal::RequestLine);
    };
    let version = if version == 0 { Version::Http10 } else { Version::Http11 };
    Head::new(Method::from_token(method), version, target, request.headers)
}

fn refusal(error: httparse::Error, head: &[u8]) -> Refusal {
    match error {
        httparse::Error::HeaderName => Refusal::HeaderName,
        httparse::Error::HeaderValue => Refusal::HeaderValue,
        httparse::Error::NewLine => Refusal::LineEnd,
        httparse::Error::TooManyHeaders => Refusal::TooManyHeaders,
        httparse::Error::Version if names_a_version(head) => Refusal::Version,
        httparse::Error::Version | httparse::Error::Token | httparse::Error::Status => {
            Refusal::RequestLine
        }
    }
}

/// Whether the request line is whole but for a version of HTTP that is not spoken here.
fn names_a_version(head: &[u8]) -> bool {
    let line = &head[..memchr::memchr(b'\r', head).unwrap_or(head.len())];
    let mut words = line.splitn(3, |&byte| byte == b' ').skip(2);
    matches!(words.next(), Some([b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']))
}
