//! Whom a request comes from, where proxies stand between.

use core::net::{IpAddr, SocketAddr};

use super::head::Head;

/// The address of the client: that of the peer, or if the peer is a trusted proxy, the last one in
/// `X-Forwarded-For` that is none. What stands before that, anybody may have written.
pub fn client_address(peer: IpAddr, head: &Head, is_trusted: impl Fn(IpAddr) -> bool) -> IpAddr {
    let mut client = peer.to_canonical();
    let fields: Vec<_> = head.headers("X-Forwarded-For").collect();
    let mut hops = fields.iter().rev().flat_map(|field| field.rsplit(|byte| *byte == b','));
    while is_trusted(client) {
        let Some(address) = hops.next().and_then(address) else { break };
        client = address;
    }
    client
}

/// An address, as proxies write it: some with a port, some in brackets.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(text).ok()?.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok();
    let address = address.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::reader::{HeadReader, Limits};

    #[test]
    fn only_what_trusted_proxies_say_counts() {
        for (peer, fields, client) in [
            ("192.0.2.9", "", "192.0.2.9"),
            ("::ffff:192.0.2.9", "", "192.0.2.9"),
            // Somebody who is no proxy may write what he likes.
            ("192.0.2.9", "X-Forwarded-For: 198.51.100.1\r\n", "192.0.2.9"),
            ("10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1"),
            ("::ffff:10.0.0.1", "X-Forwarded-For: 198.51.100.1\r\n", "198.51.100.1"),
            ("10.0.0.1", "", "10.0.0.1"),
            // Of a list the last one: what the client wrote itself stands before it.
            ("10.0.0.1", "x-forwarded-for: 1.1.1.1, 198.51.100.1\r\n", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, 2001:db8::7,10.0.0.2\r\n", "2001:db8::7"),
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n", "2.2.2.2"),
            ("10.0.0.1", "X-Forwarded-For: 198.51.100.1:4711\r\n", "198.51.100.1"),
            ("10.0.0.1", "X-Forwarded-For: [2001:db8::7]:4711\r\n", "2001:db8::7"),
            ("10.0.0.1", "X-Forwarded-For: [2001:db8::7]\r\n", "2001:db8::7"),
            ("10.0.0.1", "X-Forwarded-For: ::ffff:192.0.2.1\r\n", "192.0.2.1"),
            // Nobody knows who is behind that.
            ("10.0.0.1", "X-Forwarded-For: 1.1.1.1, unknown\r\n", "10.0.0.1"),
            ("10.0.0.1", "X-Forwarded-For: \r\n", "10.0.0.1"),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
            let (head, _) =
                HeadReader::default().read(head.as_bytes(), &Limits::default()).unwrap().unwrap();
            let is_trusted = |address: IpAddr| address.to_string().starts_with("10.");
            let found = client_address(peer.parse().unwrap(), &head, is_trusted);
            assert_eq!(found.to_string(), client, "{peer} {fields:?}");
        }
    }
}
