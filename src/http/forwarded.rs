//! Whom a request comes from, and by what name and scheme, where proxies stand between: `Forwarded`
//! (RFC 7239) and the fields `X-Forwarded-…`, as far as proxies that are trusted wrote them.

use core::{
    fmt,
    net::{IpAddr, SocketAddr},
};

use super::{
    fields::{list, trim},
    head::Head,
    target,
};

/// Who holds the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    Ip(IpAddr),
    /// A process of this machine, by a UNIX socket.
    Unix,
}

impl From<IpAddr> for Peer {
    fn from(address: IpAddr) -> Self {
        Peer::Ip(address.to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Peer::Ip(address) => address.fmt(f),
            Peer::Unix => f.write_str("unix"),
        }
    }
}

/// What trusted proxies say of a request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forwarded {
    /// Who sent it to the first of them. `None`: nobody knows; it counts as the peer's.
    pub client: Option<IpAddr>,
    /// Host and perhaps port that it named there.
    pub host: Option<Box<[u8]>>,
    /// It came there by https.
    pub is_https: bool,
}

impl Forwarded {
    /// Of the request with this head, which came from `peer`.
    ///
    /// Lists are read from their end, where the proxy that is next to the hub wrote, up to the
    /// first address that is not trusted: what stands before that, anybody may have written. If
    /// that cannot be read, nothing of it counts. Proxies leave the kind of fields that they do not
    /// write as the client sent it: of both kinds only what both say counts, so that a client can
    /// take something away from what a proxy says, and never add to it.
    pub fn read(peer: Peer, head: &Head, is_trusted: impl Fn(Peer) -> bool) -> Forwarded {
        if !is_trusted(peer) {
            return Forwarded::default();
        }
        let is_trusted = |address| is_trusted(Peer::Ip(address));
        let said = match (standard(head, is_trusted), customary(head, is_trusted)) {
            (None, None) => Ok(Said::default()),
            (Some(said), None) | (None, Some(said)) => said,
            (Some(one), Some(other)) => one.and_then(|one| Ok(one.and(&other?))),
        };
        let Said { client, host, is_https } = said.unwrap_or_default();
        Forwarded { client, host: host.map(Box::from), is_https: is_https == Some(true) }
    }
}

/// What the fields of one kind say.
#[derive(Debug, Clone, Copy, Default)]
struct Said<'h> {
    client: Option<IpAddr>,
    host: Option<&'h [u8]>,
    is_https: Option<bool>,
}

/// Something that is not what it has to be.
struct Unreadable;

impl Said<'_> {
    /// What both say.
    fn and(self, other: &Said<'_>) -> Self {
        let same_host =
            |host: &&[u8]| other.host.is_some_and(|other| host.eq_ignore_ascii_case(other));
        Said {
            client: self.client.filter(|_| self.client == other.client),
            host: self.host.filter(same_host),
            is_https: self.is_https.filter(|_| self.is_https == other.is_https),
        }
    }
}

/// What `X-Forwarded-For`, `-Host` and `-Proto` say; `None`: there are none.
fn customary(
    head: &Head,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<Result<Said<'_>, Unreadable>> {
    let [hops, hosts, schemes] = ["X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"]
        .map(|name| head.headers(name).flat_map(list).collect::<Vec<_>>());
    if hops.is_empty() && hosts.is_empty() && schemes.is_empty() {
        return None;
    }
    let read = || {
        let (mut client, mut behind) = (None, 0);
        for (index, hop) in hops.iter().rev().enumerate() {
            let address = address(hop)?;
            (client, behind) = (Some(address), index);
            if !is_trusted(address) {
                break;
            }
        }
        // Some proxies add to these as they add to the addresses, others keep one value.
        let index = |len: usize| len.saturating_sub(behind + 1);
        let host = hosts.get(index(hosts.len())).copied().map(host).transpose()?;
        let is_https = schemes.get(index(schemes.len())).copied().map(is_https).transpose()?;
        Ok(Said { client, host, is_https })
    };
    Some(read())
}

/// What `Forwarded` says; `None`: it is not there.
fn standard(
    head: &Head,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<Result<Said<'_>, Unreadable>> {
    let fields: Vec<_> = head.headers("Forwarded").collect();
    let read = || {
        let mut said = Said::default();
        for field in fields.iter().rev() {
            for element in elements(field)?.iter().rev() {
                // Each proxy tells of the request as it came to it.
                said = element.said()?;
                if !said.client.is_some_and(&is_trusted) {
                    return Ok(said);
                }
            }
        }
        Ok(said)
    };
    let is_there = fields.iter().any(|field| !trim(field).is_empty());
    is_there.then(read)
}

/// What one proxy says in `Forwarded`.
#[derive(Default)]
struct Element<'h> {
    node: Option<&'h [u8]>,
    host: Option<&'h [u8]>,
    scheme: Option<&'h [u8]>,
}

impl<'h> Element<'h> {
    fn said(&self) -> Result<Said<'h>, Unreadable> {
        // A proxy may choose not to tell whom it serves (RFC 7239 §6.2, §6.3).
        let is_hidden =
            |node: &&[u8]| node.starts_with(b"_") || node.eq_ignore_ascii_case(b"unknown");
        let node = self.node.filter(|node| !is_hidden(node));
        Ok(Said {
            client: node.map(address).transpose()?,
            host: self.host.map(host).transpose()?,
            is_https: self.scheme.map(is_https).transpose()?,
        })
    }
}

/// The elements of one field (RFC 7239 §4): pairs between semicolons, elements between commas.
fn elements(field: &[u8]) -> Result<Vec<Element<'_>>, Unreadable> {
    let (mut elements, mut element, mut has_pairs) = (Vec::new(), Element::default(), false);
    let mut rest = field;
    loop {
        rest = trim_start(rest);
        match *rest {
            [b';' | b',', ..] | [] => {}
            _ => {
                let (name, value, behind) = pair(rest)?;
                has_pairs = true;
                let place = match &*name.to_ascii_lowercase() {
                    b"for" => Some(&mut element.node),
                    b"host" => Some(&mut element.host),
                    b"proto" => Some(&mut element.scheme),
                    // What anybody else may need.
                    _ => None,
                };
                // "Each parameter MUST NOT occur more than once".
                if place.is_some_and(|place| place.replace(value).is_some()) {
                    return Err(Unreadable);
                }
                rest = trim_start(behind);
            }
        }
        match *rest {
            [b';', ref behind @ ..] => rest = behind,
            [b',', ref behind @ ..] => {
                if std::mem::take(&mut has_pairs) {
                    elements.push(std::mem::take(&mut element));
                }
                rest = behind;
            }
            [] => break,
            _ => return Err(Unreadable),
        }
    }
    if has_pairs {
        elements.push(element);
    }
    Ok(elements)
}

/// A name, its value, and what is behind them.
type Pair<'h> = (&'h [u8], &'h [u8], &'h [u8]);

/// The first pair. Many write addresses without the quotes that a colon
/// needs.
fn pair(text: &[u8]) -> Result<Pair<'_>, Unreadable> {
    let equals = memchr::memchr(b'=', text).ok_or(Unreadable)?;
    let (name, value) = (&text[..equals], &text[equals + 1..]);
    if !super::fields::is_token(name) {
        return Err(Unreadable);
    }
    if let Some(quoted) = value.strip_prefix(b"\"") {
        // Nothing that is read here needs an escape.
        let end = memchr::memchr2(b'"', b'\\', quoted).ok_or(Unreadable)?;
        return match quoted[end] {
            b'"' => Ok((name, &quoted[..end], &quoted[end + 1..])),
            _ => Err(Unreadable),
        };
    }
    let is_end = |byte: &u8| matches!(byte, b';' | b',' | b' ' | b'\t' | b'"' | b'=');
    let end = value.iter().position(is_end).unwrap_or(value.len());
    if end == 0 {
        return Err(Unreadable);
    }
    Ok((name, &value[..end], &value[end..]))
}

fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
    &text[start.unwrap_or(text.len())..]
}

/// An address, as proxies write it: some with a port, some in brackets.
fn address(text: &[u8]) -> Result<IpAddr, Unreadable> {
    let text = str::from_utf8(text).map_err(|_| Unreadable)?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    // RFC 7239 §6: a port may be hidden as well.
    let without_port = text.rsplit_once(":_").map_or(text, |(address, _)| address);
    let address = bare.unwrap_or(without_port).parse().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical()).ok_or(Unreadable)
}

fn host(value: &[u8]) -> Result<&[u8], Unreadable> {
    (!value.is_empty() && target::is_host(value)).then_some(value).ok_or(Unreadable)
}

fn is_https(scheme: &[u8]) -> Result<bool, Unreadable> {
    match &*scheme.to_ascii_lowercase() {
        b"https" => Ok(true),
        b"http" => Ok(false),
        _ => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reader::{HeadReader, Limits};

    fn read(peer: &str, fields: &str) -> Forwarded {
        let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let (head, _) =
            HeadReader::default().read(head.as_bytes(), &Limits::default()).unwrap().unwrap();
        let is_trusted = |peer: Peer| match peer {
            Peer::Ip(address) => address.to_string().starts_with("10."),
            Peer::Unix => true,
        };
        let peer = peer.parse::<IpAddr>().map_or(Peer::Unix, Peer::from);
        Forwarded::read(peer, &head, is_trusted)
    }

    /// Client, host and scheme, as far as they are known.
    fn told(peer: &str, fields: &str) -> String {
        let Forwarded { client, host, is_https } = read(peer, fields);
        let client = client.map_or("-".to_owned(), |client| client.to_string());
        let host = host.map_or("-".into(), |host| String::from_utf8(host.into()).unwrap());
        format!("{client} {host}{}", if is_https { " https" } else { "" })
    }

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        for (peer, fields, expected) in [
            ("192.0.2.9", "", "- -"),
            // Somebody who is no proxy may write what he likes.
            ("192.0.2.9", "X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-Proto: https\r\n", "- -"),
            ("192.0.2.9", "Forwarded: for=198.51.100.1;host=a;proto=https\r\n", "- -"),
            ("10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1 -"),
            ("unix", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1 -"),
            ("::ffff:10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1 -"),
            ("10.0.0.1", "", "- -"),
            // Of a list the last one: what the client wrote itself stands before it.
            ("10.0.0.1", "x-forwarded-for: 1.1.1.1, 198.51.100.1\r\n", "198.51.100.1 -"),
            ("10.0.0.1", "X-Forwarded-For: junk, 198.51.100.1\r\n", "198.51.100.1 -"),
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 2001:db8::7,10.0.0.2\r\n", "2001:db8::7 -"),
            ("10.0.0.1", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3 -"),
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2 -"),
            ("10.0.0.1", "X-Forwarded-For: 198.51.100.1:4711\r\n", "198.51.100.1 -"),
            ("10.0.0.1", "X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7 -"),
            ("10.0.0.1", "X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7 -"),
            ("10.0.0.1", "X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1 -"),
            // Nobody knows who is behind that.
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, unknown\r\n", "- -"),
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, junk, 10.0.0.2\r\n", "- -"),
            ("10.0.0.1", "X-Forwarded-For: \r\n", "- -"),
            ("10.0.0.1", "X-Forwarded-For: \u{e9}\r\n", "- -"),
        ] {
            assert_eq!(told(peer, fields), expected, "{peer} {fields:?}");
        }
    }

    #[test]
    fn the_standard_field_is_read() {
        for (value, expected) in [
            ("for=192.0.2.43", "192.0.2.43 -"),
            ("For=192.0.2.43;Host=a.example;Proto=HTTPS", "192.0.2.43 a.example https"),
            ("proto=http ; host=\"a:80\"; for=192.0.2.43;by=10.0.0.1", "192.0.2.43 a:80"),
            (r#"for="[2001:db8::17]:4711""#, "2001:db8::17 -"),
            (r#"for="[2001:db8::17]""#, "2001:db8::17 -"),
            (r#"for="192.0.2.43:_port""#, "192.0.2.43 -"),
            (r#"for="192.0.2.43:47011", for="10.0.0.2""#, "192.0.2.43 -"),
            // Without the quotes that they need.
            ("for=[2001:db8::17]:4711;host=a:80", "2001:db8::17 a:80"),
            // Each proxy has an element of its own.
            ("for=1.1.1.1;host=x, for=2.2.2.2;host=a;proto=https, for=10.0.0.2", "2.2.2.2 a https"),
            ("for=1.1.1.1, for=10.0.0.2;host=b;proto=https", "1.1.1.1 -"),
            ("for=10.0.0.3;host=a, for=10.0.0.2;host=b", "10.0.0.3 a"),
            (r#"for=_hidden;host=a, for=10.0.0.2"#, "- a"),
            ("for=1.1.1.1, for=unknown;proto=https", "- - https"),
            ("host=a;proto=https", "- a https"),
            (",, for=192.0.2.43 ,;,", "192.0.2.43 -"),
            (r#"for=1.1.1.1;x="a, b\\", for=2.2.2.2"#, "- -"),
            (r#"for=1.1.1.1;x="a, for=3.3.3.3", for=2.2.2.2"#, "2.2.2.2 -"),
            // Nothing of what cannot be read counts.
            ("for=junk;host=a;proto=https", "- -"),
            ("for=192.0.2.43;host=a/b", "- -"),
            ("for=192.0.2.43;host=\"\"", "- -"),
            ("for=192.0.2.43;proto=ftp", "- -"),
            ("for=192.0.2.43;for=192.0.2.44", "- -"),
            ("for=192.0.2.43 junk", "- -"),
            ("for=", "- -"),
            ("for", "- -"),
            ("f or=192.0.2.43", "- -"),
            ("=192.0.2.43", "- -"),
            (r#"for="192.0.2.43"#, "- -"),
            (r#"for="192.0.2.43\"#, "- -"),
            (r#"for="192.0.2.43"x"#, "- -"),
            // A client that leaves a quote open for the proxy to write into.
            (r#"for="x, for=192.0.2.43"#, "- -"),
            ("", "- -"),
            (" , ", "- -"),
        ] {
            assert_eq!(told("10.0.0.1", &format!("Forwarded: {value}\r\n")), expected, "{value}");
        }
        // Several fields are one list, and what is not reached does no harm.
        let several = "Forwarded: for=\"\r\nForwarded: for=1.1.1.1\r\nForwarded: for=10.0.0.2\r\n";
        assert_eq!(told("10.0.0.1", several), "1.1.1.1 -");
    }

    #[test]
    fn names_and_schemes_are_those_that_the_client_used() {
        for (fields, expected) in [
            ("Proto: https", "- - https"),
            ("Proto: HTTPS|Host: a.example:8443", "- a.example:8443 https"),
            // The last one, which the proxy wrote.
            ("Host: evil, a|Proto: https, http", "- a"),
            ("Host: evil|Host: a", "- a"),
            // As many as there are addresses, or one that was kept.
            (
                "For: 1.1.1.1, 2.2.2.2, 10.0.0.2|Host: evil, a, b|Proto: http,https,http",
                "2.2.2.2 a https",
            ),
            ("For: 2.2.2.2, 10.0.0.2|Host: a|Proto: https", "2.2.2.2 a https"),
            ("For: 2.2.2.2|Proto: ws", "- -"),
            ("For: 2.2.2.2|Host: a b", "- -"),
            ("For: 2.2.2.2|Host: ", "2.2.2.2 -"),
        ] {
            let fields: String =
                fields.split('|').map(|field| format!("X-Forwarded-{field}\r\n")).collect();
            assert_eq!(told("10.0.0.1", &fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn of_both_kinds_what_both_say_counts() {
        for (standard, customary, expected) in [
            (
                "for=2.2.2.2;host=a;proto=https",
                "For: 2.2.2.2|Host: A|Proto: https",
                "2.2.2.2 a https",
            ),
            // Whichever of them the client wrote, it adds nothing,
            ("for=1.1.1.1", "For: 2.2.2.2|Proto: https", "- -"),
            ("for=2.2.2.2;host=evil;proto=https", "For: 2.2.2.2", "2.2.2.2 -"),
            ("for=2.2.2.2", "For: 2.2.2.2|Host: evil|Proto: https", "2.2.2.2 -"),
            ("for=2.2.2.2;host=a", "For: 1.1.1.1|Host: a", "- a"),
            // not by junk either.
            ("junk", "For: 2.2.2.2|Host: a", "- -"),
            ("for=2.2.2.2;host=a", "For: junk|Host: a", "- -"),
        ] {
            let customary: String =
                customary.split('|').map(|field| format!("X-Forwarded-{field}\r\n")).collect();
            let fields = format!("Forwarded: {standard}\r\n{customary}");
            assert_eq!(told("10.0.0.1", &fields), expected, "{fields:?}");
        }
    }

    #[test]
    fn peers_are_shown() {
        assert_eq!(
            Peer::from("::ffff:192.0.2.9".parse::<IpAddr>().unwrap()).to_string(),
            "192.0.2.9"
        );
        assert_eq!(Peer::Unix.to_string(), "unix");
    }
}
