//! Cookies that clients send (RFC 6265 §4.2, §5.4; a token may be in one: draft-08 #cookie).

use super::{fields::trim, head::Head};

/// The value of the first cookie called `name` that has one, byte for byte.
///
/// Browsers send the cookie with the longer path first (RFC 6265 §5.4), so of cookies with one
/// name the first is the one that was set for the hub. One that was emptied counts as removed,
/// and must not hide another.
pub fn cookie<'a>(head: &'a Head, name: &str) -> Option<&'a [u8]> {
    head.headers("cookie").find_map(|pairs| find(pairs, name.as_bytes()))
}

fn find<'a>(pairs: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pairs.split(|&byte| byte == b';').find_map(|pair| {
        let at = memchr::memchr(b'=', pair)?;
        let value = unquote(trim(&pair[at + 1..]));
        (trim(&pair[..at]) == name && !value.is_empty()).then_some(value)
    })
}

/// Values may stand in double quotes (RFC 6265 §4.1.1), which no token contains.
fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', value @ .., b'"'] => value,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_name() {
        let table: [(&str, Option<&str>); 18] = [
            ("", None),
            ("t", None),
            ("t=", None),
            ("t=\"\"", None),
            ("t=; t=a", Some("a")),
            ("t=\"\";t= ;t=a;t=b", Some("a")),
            ("t=a", Some("a")),
            ("t=a; t=b", Some("a")),
            ("s=x; t=a; u=y", Some("a")),
            ("s=x;t=a;u=y", Some("a")),
            ("s=x;  t = a ; u=y", Some("a")),
            ("t=a.b=c==; u", Some("a.b=c==")),
            ("t=\"a\"", Some("a")),
            ("t=\"", Some("\"")),
            ("T=a", None),
            ("tt=a; xt=b", None),
            ("s=t=a", None),
            ("t; t=a", Some("a")),
        ];
        for (pairs, expected) in table {
            let found = find(pairs.as_bytes(), b"t");
            assert_eq!(found, expected.map(str::as_bytes), "{pairs}");
        }
    }
}
