//! Where a request ends and whether another may follow: the fields that smuggling is made of
//! (RFC 9112 §6, §9.3, §11.2). Whatever can be read in two ways is refused.

use super::{
    body::BodyLength,
    fields::{is_token, list, trim},
    head::Version,
    refusal::Refusal,
};

/// What the fields of a head say about its message and connection, while they are read.
#[derive(Debug, Default)]
pub(super) struct Framing {
    content_length: Option<u64>,
    codings: Option<Codings>,
    says_close: bool,
    says_keep_alive: bool,
    expects_continue: bool,
    expects_other: bool,
}

/// The transfer codings that were named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codings {
    /// `chunked` alone.
    Chunked,
    /// `chunked` last, after others: well framed, but not to be decoded here.
    OthersThenChunked,
    /// Something else last.
    Others,
    /// Anything that nobody may send.
    Malformed,
}

/// The outcome.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) body: BodyLength,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

impl Framing {
    /// Takes note of a field.
    pub(super) fn read(&mut self, name: &str, value: &[u8]) -> Result<(), Refusal> {
        // Most fields are none of these: their length tells at once.
        match name.len() {
            6 if name.eq_ignore_ascii_case("expect") => {
                for expectation in list(value) {
                    let is_known = expectation.eq_ignore_ascii_case(b"100-continue");
                    self.expects_continue |= is_known;
                    self.expects_other |= !is_known;
                }
            }
            10 if name.eq_ignore_ascii_case("connection") => {
                for option in list(value) {
                    self.says_close |= option.eq_ignore_ascii_case(b"close");
                    self.says_keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            14 if name.eq_ignore_ascii_case("content-length") => {
                // RFC 9110 §8.6 lets equal values pass; nobody honest sends them.
                if self.content_length.is_some() {
                    return Err(Refusal::ContentLengthRepeated);
                }
                self.content_length = Some(decimal(value).ok_or(Refusal::ContentLength)?);
            }
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.read_codings(value),
            _ => {}
        }
        Ok(())
    }

    fn read_codings(&mut self, value: &[u8]) {
        // Not `list`: an empty element is a way to look different to different readers.
        for coding in value.split(|&byte| byte == b',').map(trim) {
            let is_chunked = coding.eq_ignore_ascii_case(b"chunked");
            self.codings = Some(match (self.codings, is_chunked) {
                _ if !is_token(coding) => Codings::Malformed,
                (None, true) => Codings::Chunked,
                (Some(Codings::Others), true) => Codings::OthersThenChunked,
                (None | Some(Codings::Others), false) => Codings::Others,
                // Nothing may follow `chunked` (RFC 9112 §6.1).
                (Some(_), _) => Codings::Malformed,
            });
        }
    }

    /// What it comes to (RFC 9112 §6.3).
    pub(super) fn finish(self, version: Version) -> Result<Framed, Refusal> {
        let body = match (self.codings, self.content_length) {
            (Some(_), _) if version == Version::Http10 => {
                return Err(Refusal::TransferEncodingInHttp10);
            }
            (Some(_), Some(_)) => return Err(Refusal::LengthAndEncoding),
            (Some(Codings::Chunked), None) => BodyLength::Chunked,
            (Some(Codings::OthersThenChunked), None) => {
                return Err(Refusal::TransferCodingUnknown);
            }
            // Where such a body ends cannot be known: 400, says RFC 9112 §6.3, and its MUST
            // outweighs the 501 that §6.1 recommends for unknown codings.
            (Some(Codings::Others | Codings::Malformed), None) => {
                return Err(Refusal::TransferEncoding);
            }
            (None, Some(len)) => BodyLength::Sized(len),
            (None, None) => BodyLength::None,
        };
        // HTTP/1.0 knows no expectations: they are ignored (RFC 9110 §10.1.1).
        let is_http11 = version == Version::Http11;
        if is_http11 && self.expects_other {
            return Err(Refusal::Expectation);
        }
        let has_body = !matches!(body, BodyLength::None | BodyLength::Sized(0));
        Ok(Framed {
            body,
            keep_alive: !self.says_close && (is_http11 || self.says_keep_alive),
            expects_continue: is_http11 && self.expects_continue && has_body,
        })
    }
}

/// The number that `digits`, and nothing but digits, write. `None` beyond 64 bits.
fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, &digit| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_numbers() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"0042"), Some(42));
        assert_eq!(decimal(b"18446744073709551615"), Some(u64::MAX));
        for other in [
            "",
            "18446744073709551616",
            "99999999999999999999999",
            "+5",
            "-5",
            "5 ",
            " 5",
            "5,5",
            "0x5",
            "5.0",
            "\u{661}",
            "5\0",
        ] {
            assert_eq!(decimal(other.as_bytes()), None, "{other}");
        }
    }
}
