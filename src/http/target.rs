//! The request target and the host: what a request is about (RFC 9112 §3.2).

use std::ops::Range;

use super::{head::Method, refusal::Refusal};

/// Where the parts of a request target lie in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// Empty for an URL without a path, which means `/`.
    pub(super) path: Range<usize>,
    /// Without its question mark.
    pub(super) query: Option<Range<usize>>,
    /// Host and port of the absolute form.
    pub(super) authority: Option<Range<usize>>,
}

/// Splits a target of origin-form, absolute-form, or `*` for OPTIONS. Authority-form is for
/// CONNECT only, which a hub has no use for.
pub(super) fn split(method: Method, target: &[u8]) -> Result<Target, Refusal> {
    // No form has a fragment (RFC 9112 §3.2); cutting it off would lose what a client meant to
    // be part of a topic.
    if memchr::memchr(b'#', target).is_some() {
        return Err(Refusal::Target);
    }
    match target {
        [b'/', ..] => Ok(split_path(target, 0, None)),
        b"*" if method == Method::Options => Ok(split_path(target, 0, None)),
        _ => {
            let start = scheme_len(target).ok_or(Refusal::Target)?;
            let len = target[start..].iter().position(|byte| matches!(byte, b'/' | b'?'));
            let end = len.map_or(target.len(), |len| start + len);
            let authority = &target[start..end];
            // An http URL without a host is invalid (RFC 9110 §4.2.1), and user information is
            // there to mislead (RFC 9110 §4.2.4): `is_host` takes no `@`.
            if authority.is_empty() || !is_host(authority) {
                return Err(Refusal::Target);
            }
            Ok(split_path(target, end, Some(start..end)))
        }
    }
}

fn split_path(target: &[u8], start: usize, authority: Option<Range<usize>>) -> Target {
    match memchr::memchr(b'?', &target[start..]) {
        None => Target { path: start..target.len(), query: None, authority },
        Some(len) => Target {
            path: start..start + len,
            query: Some(start + len + 1..target.len()),
            authority,
        },
    }
}

/// The length of `http://` or `https://`, if the target begins with one.
fn scheme_len(target: &[u8]) -> Option<usize> {
    let begins_with = |scheme: &&str| {
        target
            .get(..scheme.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes()))
    };
    ["http://", "https://"].iter().find(|scheme| begins_with(scheme)).map(|scheme| scheme.len())
}

/// Whether `value` is empty or `host[:port]` (RFC 9110 §7.2, RFC 3986 §3.2.2): a registered name,
/// an IPv4 address, or an IP literal in brackets. Names are not looked up, so any will do.
pub(super) fn is_host(value: &[u8]) -> bool {
    let (is_name, port) = match value {
        [] => return true,
        [b'[', rest @ ..] => match memchr::memchr(b']', rest) {
            None => return false,
            Some(len) => (len > 0 && rest[..len].iter().all(is_ip_literal), &rest[len + 1..]),
        },
        _ => {
            let len = memchr::memchr(b':', value).unwrap_or(value.len());
            (len > 0 && value[..len].iter().all(is_reg_name), &value[len..])
        }
    };
    let is_port = match port {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_name && is_port
}

fn is_ip_literal(byte: &u8) -> bool {
    byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')
}

fn is_reg_name(byte: &u8) -> bool {
    // Digits, letters and dots are nearly all there are; the slow look is for the others.
    byte.is_ascii_alphanumeric() || *byte == b'.' || b"-_~%!$&'()*+,;=".contains(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (&'a str, Option<&'a str>, Option<&'a str>);

    fn parts(method: Method, target: &str) -> Option<Parts<'_>> {
        let split = split(method, target.as_bytes()).ok()?;
        Some((
            &target[split.path],
            split.query.map(|range| &target[range]),
            split.authority.map(|range| &target[range]),
        ))
    }

    #[test]
    fn targets_are_split() {
        let table: [(&str, Parts); 14] = [
            ("/", ("/", None, None)),
            ("/a?b", ("/a", Some("b"), None)),
            ("/a?", ("/a", Some(""), None)),
            ("/a?b?c", ("/a", Some("b?c"), None)),
            ("/?q=http://x/", ("/", Some("q=http://x/"), None)),
            ("//h/p", ("//h/p", None, None)),
            ("/caf\u{e9}?\u{e9}", ("/caf\u{e9}", Some("\u{e9}"), None)),
            ("http://h/p?q", ("/p", Some("q"), Some("h"))),
            ("HTTPS://h:443/p", ("/p", None, Some("h:443"))),
            ("http://h", ("", None, Some("h"))),
            ("http://h?q", ("", Some("q"), Some("h"))),
            ("http://h?/", ("", Some("/"), Some("h"))),
            ("http://[::1]:80/", ("/", None, Some("[::1]:80"))),
            ("http://h//p", ("//p", None, Some("h"))),
        ];
        for (target, expected) in table {
            assert_eq!(parts(Method::Get, target), Some(expected), "{target}");
        }
        assert_eq!(parts(Method::Options, "*"), Some(("*", None, None)));
    }

    #[test]
    fn other_targets_are_refused() {
        for target in [
            "",
            "*",
            "a",
            "?q",
            "h:443",
            "http:/p",
            "http://",
            "http:///p",
            "http://?q",
            "http://u@h/",
            "http://u:p@h/",
            "http://h:port/",
            "http://:80/",
            "ftp://h/",
            "/a#b",
            "http://h/#",
            "http://h\u{e9}/",
        ] {
            assert_eq!(parts(Method::Get, target), None, "{target}");
        }
        assert_eq!(parts(Method::Options, "*?q"), None);
    }

    #[test]
    fn hosts_are_known() {
        for host in [
            "",
            "h",
            "h:",
            "h:1",
            "a.b-c_d",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:65535",
            "%41",
            "[::ffff:1.2.3.4]",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for other in [
            ":",
            ":80",
            "h:a",
            "h:1:2",
            "h:-1",
            "h:123456",
            "h/",
            "h?",
            "a b",
            "a@b",
            "[",
            "[]",
            "[::1",
            "[::1]80",
            "[::1]:x",
            "[g]",
            "[fe80::1%eth0]",
            "h\\",
            "\u{e9}",
            "<h>",
            "h\t",
        ] {
            assert!(!is_host(other.as_bytes()), "{other}");
        }
    }
}
