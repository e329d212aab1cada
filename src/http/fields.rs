//! Header fields on their way out, as the bytes that will be sent.

/// Header field lines, each with its CRLF. Whatever value is pushed, it stays one line: nobody
/// can inject a field or end a head (draft-08 #server-sent-events-field-injection is the same
/// matter for events).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    bytes: Vec<u8>,
}

impl Fields {
    /// No fields; allocates nothing.
    pub const NONE: Fields = Fields { bytes: Vec::new() };

    /// Appends a field. `name` is a constant of the program. Control bytes of `value` other than
    /// HTAB become `?`; all others are sent as they are, so text that is not ASCII goes out as
    /// UTF-8 (RFC 9110 §5.5 calls such bytes opaque data).
    pub fn push(&mut self, name: &'static str, value: impl AsRef<[u8]>) {
        debug_assert!(is_token(name.as_bytes()), "{name}");
        let value = value.as_ref();
        self.bytes.reserve(name.len() + value.len() + 4);
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b": ");
        self.bytes.extend(value.iter().map(|&byte| if is_unsafe(byte) { b'?' } else { byte }));
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// Appends other fields.
    pub fn extend(&mut self, others: &Fields) {
        self.bytes.extend_from_slice(&others.bytes);
    }

    /// The lines.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

/// Control bytes must not be in a field value (RFC 9110 §5.5).
fn is_unsafe(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Whether `bytes` is a token (RFC 9110 §5.6.2).
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().copied().all(is_token_byte)
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `bytes` without the blanks around it: SP and HTAB, which is all that RFC 9110 §5.6.3 calls
/// optional white space.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list without the blanks around them (RFC 9110 §5.6.1).
/// Empty elements are left out.
pub(super) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_stays_one_line() {
        let mut fields = Fields::NONE;
        fields.push("A", "x\r\nSet-Cookie: y\r\n\r\n\0\u{7f}\tz");
        fields.push("B", "caf\u{e9} \u{1f600}");
        let expected = "A: x??Set-Cookie: y??????\tz\r\nB: caf\u{e9} \u{1f600}\r\n";
        assert_eq!(fields.as_bytes(), expected.as_bytes());
    }

    #[test]
    fn every_control_byte_is_replaced() {
        for byte in 0..=u8::MAX {
            let mut fields = Fields::NONE;
            fields.push("A", [byte]);
            let is_kept = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            let sent = if is_kept { byte } else { b'?' };
            assert_eq!(fields.as_bytes(), [b'A', b':', b' ', sent, b'\r', b'\n'], "{byte}");
        }
    }

    #[test]
    fn lists_are_split_and_trimmed() {
        let elements = |value: &'static str| list(value.as_bytes()).collect::<Vec<_>>();
        assert_eq!(elements("a, b\t,,c "), [b"a", b"b", b"c"]);
        assert!(elements(" , ").is_empty());
        assert_eq!(elements("a b"), [b"a b"]);
    }

    #[test]
    fn tokens_are_known() {
        assert!(is_token(b"X-A_b.9!#$%&'*+^`|~"));
        for other in [&b""[..], b"a b", b"a:", b"\xe9", b"a\0", b"(", b"a,"] {
            assert!(!is_token(other), "{other:?}");
        }
    }
}
