//! `application/x-www-form-urlencoded`, as forms and queries are written (WHATWG URL,
//! #urlencoded-parsing).
//!
//! UTF-8 is checked on the percent-decoded bytes and never repaired: the specification wants
//! what is not UTF-8 refused (draft-08 #subscription, #publication), where the WHATWG algorithm
//! would put replacement characters.

use std::borrow::Cow;

/// A pair whose name or value is not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("parameter {number} is not UTF-8: percent-encode the UTF-8 bytes of names and values")]
pub struct InvalidUtf8 {
    /// The pair's number, counted from 1.
    pub number: usize,
}

/// The pairs of a form or query, in their order. Empty ones (`&&`) are left out; a name without
/// `=` has an empty value; a stray `%` and a raw `;` are data; `+` is a space.
pub fn pairs(
    input: &[u8],
) -> impl Iterator<Item = Result<(Cow<'_, str>, Cow<'_, str>), InvalidUtf8>> {
    let mut rest = input;
    let mut number = 0;
    std::iter::from_fn(move || {
        while let [b'&', after @ ..] = rest {
            rest = after;
        }
        if rest.is_empty() {
            return None;
        }
        let (pair, after) = split(rest, b'&');
        rest = after;
        number += 1;
        let (name, value) = split(pair, b'=');
        Some(match (decode(name), decode(value)) {
            (Some(name), Some(value)) => Ok((name, value)),
            _ => Err(InvalidUtf8 { number }),
        })
    })
}

/// What is before and behind the first `separator`; nothing behind if there is none.
fn split(input: &[u8], separator: u8) -> (&[u8], &[u8]) {
    match memchr::memchr(separator, input) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

/// The text that `input` encodes; without a copy if it stands there as it is.
fn decode(input: &[u8]) -> Option<Cow<'_, str>> {
    let Some(first) = memchr::memchr2(b'%', b'+', input) else {
        return std::str::from_utf8(input).ok().map(Cow::Borrowed);
    };
    let mut bytes = Vec::with_capacity(input.len());
    bytes.extend_from_slice(&input[..first]);
    let mut at = first;
    while let Some(&byte) = input.get(at) {
        let (decoded, len) = match byte {
            b'+' => (b' ', 1),
            b'%' => triplet(&input[at..]).map_or((b'%', 1), |byte| (byte, 3)),
            _ => (byte, 1),
        };
        bytes.push(decoded);
        at += len;
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

/// The byte that `%` and two hexadecimal digits stand for.
fn triplet(input: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*input.get(at)?).to_digit(16);
    u8::try_from(digit(1)? << 4 | digit(2)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8]) -> Vec<Result<(String, String), InvalidUtf8>> {
        let own = |(name, value): (Cow<str>, Cow<str>)| (name.into_owned(), value.into_owned());
        pairs(input).map(|pair| pair.map(own)).collect()
    }

    #[test]
    fn pairs_are_read_as_the_url_standard_says() {
        let table: [(&str, &[(&str, &str)]); 19] = [
            ("", &[]),
            ("&&&", &[]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=", &[("", "")]),
            ("=b", &[("", "b")]),
            ("a=b&a=c", &[("a", "b"), ("a", "c")]),
            ("&a=b&&c=d&", &[("a", "b"), ("c", "d")]),
            ("a=b=c", &[("a", "b=c")]),
            ("a+b=c+%2B", &[("a b", "c +")]),
            ("a;b=c;d", &[("a;b", "c;d")]),
            ("a=%", &[("a", "%")]),
            ("a=%4", &[("a", "%4")]),
            ("a=%zz%4g%g4%%41", &[("a", "%zz%4g%g4%A")]),
            ("%61%3d=%26%3D", &[("a=", "&=")]),
            ("a=%C3%A9%c3%a9\u{e9}", &[("a", "\u{e9}\u{e9}\u{e9}")]),
            ("a=%00%0d%0A", &[("a", "\0\r\n")]),
            ("a=\u{feff}b", &[("a", "\u{feff}b")]),
            ("a=%25%32%35", &[("a", "%25")]),
        ];
        for (input, expected) in table {
            let expected: Vec<_> =
                expected.iter().map(|(n, v)| Ok((n.to_string(), v.to_string()))).collect();
            assert_eq!(read(input.as_bytes()), expected, "{input}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_told_and_not_repaired() {
        let bad = |number| Err(InvalidUtf8 { number });
        let good = || Ok(("b".to_owned(), "c".to_owned()));
        for input in
            [&b"a=%ff"[..], b"a=\xff", b"%ff=a", b"\xff", b"a=%C3", b"a=%ED%A0%80", b"a=%C0%80"]
        {
            assert_eq!(read(input), [bad(1)], "{input:?}");
        }
        assert_eq!(read(b"b=c&&a=%ff&b=c"), [good(), bad(2), good()]);
        // Only together are they a character.
        assert_eq!(read(b"a=%C3&b=%A9"), [bad(1), bad(2)]);
    }

    #[test]
    fn plain_text_is_not_copied() {
        let pair = pairs(b"topic=abc").next().unwrap().unwrap();
        assert!(matches!(pair, (Cow::Borrowed("topic"), Cow::Borrowed("abc"))));
    }

    #[test]
    fn it_agrees_with_the_lossy_decoder_on_what_is_utf8() {
        for input in ["a=b&c=%20d+e&%41=%zz&&=&x", "topic=https%3A%2F%2Fe%2F%C3%A9&data=%7B%7D"] {
            let lossy: Vec<_> =
                form_urlencoded::parse(input.as_bytes()).into_owned().map(Ok).collect();
            assert_eq!(read(input.as_bytes()), lossy);
        }
    }
}
