//! Addresses to listen on, web origins and URLs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;
use url::Url;

use super::tree::{Listen, Origins};
use crate::worker::{PATH_LEN_MAX, Proxies, UnixAddress};

/// One address to listen on.
#[derive(Debug, PartialEq, Eq)]
struct Site {
    address: SocketAddr,
    /// Empty for a catch-all.
    origins: Vec<String>,
}

/// Every interface, of both families where there are both.
const EVERY_INTERFACE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// Reads the addresses of `words` into `listen`.
pub(super) fn parse_listen<'a>(
    words: impl Iterator<Item = &'a str>,
    listen: &mut Listen,
) -> Result<(), String> {
    *listen = Listen { backlog: listen.backlog, ..Listen::default() };
    for word in words {
        if let Some(address) = parse_unix(word).transpose()? {
            // Whoever comes there names any host.
            listen.catch_all = true;
            if listen.unix.iter().any(|other| other.path == address.path) {
                return Err(format!("`{word}` is there twice"));
            }
            listen.unix.push(address);
            continue;
        }
        let site = parse_site(word)?;
        listen.catch_all |= site.origins.is_empty();
        if !listen.addresses.contains(&site.address) {
            listen.addresses.push(site.address);
        }
        listen.origins.extend(site.origins);
    }
    if listen.addresses.is_empty() && listen.unix.is_empty() {
        return Err("no address given; write it like :8080 or 127.0.0.1:8080".to_owned());
    }
    Ok(())
}

/// Reads the address of a UNIX socket, `unix:/PATH`, or as Caddy writes it, `unix//PATH`, both
/// perhaps with the permissions of its file, `|0660`. `None`: it is something else.
fn parse_unix(text: &str) -> Option<Result<UnixAddress, String>> {
    let path = text.strip_prefix("unix:").or(text.strip_prefix("unix/"))?;
    // A host may be called unix.
    let is_port = !path.is_empty() && path.bytes().all(|byte| byte.is_ascii_digit());
    if is_port && text.starts_with("unix:") {
        return None;
    }
    let (path, mode) = match path.rsplit_once('|') {
        Some((path, mode)) => (path, Some(mode)),
        None => (path, None),
    };
    let is_octal = |mode: &str| {
        matches!(mode.len(), 3 | 4) && mode.bytes().all(|byte| matches!(byte, b'0'..=b'7'))
    };
    let bits = mode
        .filter(|mode| is_octal(mode))
        .and_then(|mode| u32::from_str_radix(mode, 8).ok().filter(|bits| *bits <= 0o777));
    let problem = if !path.starts_with('/') {
        "the whole path has to be there, like unix:/run/petasos/hub.sock".to_owned()
    } else if path.ends_with('/') {
        "this is a directory; name the socket in it, like unix:/run/petasos/hub.sock".to_owned()
    } else if path.len() > PATH_LEN_MAX {
        format!("a path of a socket has at most {PATH_LEN_MAX} bytes")
    } else if mode.is_some() && bits.is_none() {
        "permissions are octal, like |0660".to_owned()
    } else {
        return Some(Ok(UnixAddress { path: path.into(), mode: bits }));
    };
    Some(Err(format!("`{text}`: {problem}")))
}

/// Reads the address of the operator's listener; `None` for `off`.
pub fn parse_admin(text: &str) -> Result<Option<SocketAddr>, String> {
    if text == "off" {
        return Ok(None);
    }
    let wrong = || format!("`{text}` is not an address; write it like 127.0.0.1:2019, or off");
    let (host, port) = split_port(text).ok_or_else(wrong)?;
    let site = site(host, port.ok_or_else(wrong)?, false)?;
    Ok(Some(site.address))
}

/// What `private_ranges` stands for: where nobody outside can send from.
const PRIVATE_RANGES: [&str; 6] =
    ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "fc00::/7", "::1/128"];

/// Reads networks, and addresses as networks of one.
pub(super) fn parse_proxies<'a>(words: impl Iterator<Item = &'a str>) -> Result<Proxies, String> {
    let mut proxies = Proxies::default();
    let networks = &mut proxies.networks;
    for word in words {
        match word {
            "unix" => {
                proxies.unix = true;
                continue;
            }
            "private_ranges" => {
                let ranges = PRIVATE_RANGES.map(|range| range.parse::<IpNet>().expect("a network"));
                networks.extend(ranges);
                continue;
            }
            _ => {}
        }
        let address = || word.parse::<IpAddr>().map(IpNet::from);
        let network = word.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
            format!(
                "`{word}` is not a network; write it like 10.0.0.0/8, or private_ranges, or unix"
            )
        })?;
        networks.push(network.trunc());
    }
    Ok(proxies)
}

fn parse_site(text: &str) -> Result<Site, String> {
    let (is_site, address) = match text.split_once("://") {
        Some(("http", address)) => (true, address.strip_suffix('/').unwrap_or(address)),
        Some(("https", _)) => return Err(no_https(text)),
        Some((scheme, _)) => {
            return Err(format!("`{text}` is not an address: {scheme} is not known here, http is"));
        }
        None => (false, text),
    };
    let (host, port) = split_port(address).ok_or_else(|| {
        format!("`{text}` is not an address; write it like :8080, 127.0.0.1:8080 or http://host")
    })?;
    let port = match port {
        Some(443) => return Err(no_https(text)),
        Some(port) => port,
        None if is_site => 80,
        None => return Err(no_https(text)),
    };
    site(host, port, is_site)
}

fn site(host: &str, port: u16, is_site: bool) -> Result<Site, String> {
    if host.is_empty() {
        return Ok(Site { address: SocketAddr::new(EVERY_INTERFACE, port), origins: Vec::new() });
    }
    let origin = |host: &str| {
        Url::parse(&format!("http://{host}:{port}"))
            .map(|url| url.origin().ascii_serialization())
            .map_err(|_| format!("`{host}` is not a host name"))
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let Ok(ip) = bare.parse::<IpAddr>() else {
        // A name in a site address is what clients call the hub; behind a mapped port the
        // connection does not come to the address of that name, so it is not bound to.
        let ip = match host {
            "localhost" if !is_site => IpAddr::V4(Ipv4Addr::LOCALHOST),
            _ => EVERY_INTERFACE,
        };
        return Ok(Site { address: SocketAddr::new(ip, port), origins: vec![origin(host)?] });
    };
    let mut origins = Vec::new();
    if !ip.is_unspecified() {
        origins.push(origin(host)?);
    }
    if ip.is_loopback() {
        origins.push(origin("localhost")?);
    }
    Ok(Site { address: SocketAddr::new(ip, port), origins })
}

/// Splits `host:port`, `:port`, `[ip]:port` and `host`.
fn split_port(address: &str) -> Option<(&str, Option<u16>)> {
    let is_host = |host: &str| !host.contains(['/', '@', '?', '#', '*']);
    let is_ip_v6 = |host: &str| host.starts_with('[') && host.ends_with(']');
    let (host, port) = match address.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || is_ip_v6(host) => {
            let is_number = port.bytes().all(|b| b.is_ascii_digit());
            (host, Some(port.parse().ok().filter(|_| is_number)?))
        }
        Some(_) if is_ip_v6(address) => (address, None),
        Some(_) => return None,
        None => (address, None),
    };
    (is_host(host) && !(host.is_empty() && port.is_none())).then_some((host, port))
}

fn no_https(text: &str) -> String {
    format!(
        "`{text}` asks for HTTPS, which is not built yet, neither with a certificate in \
         /etc/mercure/certs nor with one that the hub gets for a host name: let a proxy end TLS, \
         and for plain HTTP write it like :80, http://host or host:8080"
    )
}

/// Reads web origins, each as browsers send it: lower case, without the default port.
pub(super) fn parse_origins<'a>(words: impl Iterator<Item = &'a str>) -> Result<Origins, String> {
    let mut listed = Vec::new();
    let mut any = false;
    for word in words {
        match word {
            "*" => any = true,
            "null" => listed.push(word.to_owned()),
            _ => listed.push(parse_origin(word)?),
        }
    }
    Ok(if any { Origins::Any } else { Origins::Listed(listed) })
}

fn parse_origin(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not an origin; write it like https://example.com");
    let Some((_, host)) = text.split_once("://") else {
        return Err(format!("the origin `{text}` has no scheme; write https://{text}"));
    };
    if text.contains('*') {
        return Err(format!(
            "`{text}`: a * inside an origin is not supported yet; name each origin, or * for all"
        ));
    }
    let host = host.strip_suffix('/').unwrap_or(host);
    if host.is_empty() || host.contains(['/', '?', '#', '@']) {
        return Err(wrong());
    }
    let url = Url::parse(text).map_err(|_| wrong())?;
    let origin = url.origin();
    // Schemes of applications (`capacitor://localhost`) have no origin by the URL Standard, and
    // yet clients send them like this.
    Ok(if origin.is_tuple() {
        origin.ascii_serialization()
    } else {
        text.strip_suffix('/').unwrap_or(text).to_owned()
    })
}

/// Reads URLs under which the hub is reached.
pub(super) fn parse_public_urls<'a>(
    words: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>, String> {
    words
        .map(|word| match Url::parse(word) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
            _ => Err(format!("`{word}` is not an http or https URL")),
        })
        .collect()
}

/// Reads a resource identifier: an absolute URI without a fragment (RFC 8707 §2).
pub(super) fn parse_resource_identifier(text: &str) -> Result<String, String> {
    match Url::parse(text) {
        Ok(url) if url.fragment().is_none() => Ok(text.to_owned()),
        _ => Err(format!(
            "`{text}` is not an absolute URI without fragment; \
             write the hub's URL, like https://example.com/.well-known/mercure"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen(text: &str) -> Result<Listen, String> {
        let mut listen = Listen::default();
        parse_listen(text.split_whitespace(), &mut listen)?;
        Ok(listen)
    }

    #[test]
    fn networks_are_read() {
        let read = |text: &str| parse_proxies(text.split_whitespace());
        let proxies = read("10.1.2.3/8 192.0.2.7 2001:db8::/32 ::1").unwrap();
        let texts: Vec<_> = proxies.networks.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32", "::1/128"]);
        assert!(!proxies.unix && read("unix").unwrap().unix);
        let private = read("unix private_ranges").unwrap().networks;
        for (address, expected) in [("172.31.0.1", true), ("172.32.0.1", false), ("::1", true)] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(private.iter().any(|range| range.contains(&address)), expected, "{address}");
        }
        for wrong in ["10.0.0.0/33", "proxy.example", "10.0.0", "static"] {
            let problem = read(wrong).unwrap_err();
            assert!(problem.contains(wrong) && problem.contains("like 10.0.0.0/8"), "{problem}");
        }
    }

    #[test]
    fn addresses_are_read() {
        let loopback = "http://127.0.0.1:8080 http://localhost:8080";
        for (text, addresses, origins, catch_all) in [
            (":8080", "[::]:8080", "", true),
            ("http://:80", "[::]:80", "", true),
            ("127.0.0.1:8080", "127.0.0.1:8080", loopback, false),
            ("0.0.0.0:80", "0.0.0.0:80", "", true),
            ("[::1]:80", "[::1]:80", "http://[::1] http://localhost", false),
            ("localhost:8080", "127.0.0.1:8080", "http://localhost:8080", false),
            ("http://localhost:8080", "[::]:8080", "http://localhost:8080", false),
            ("http://Hub.Example/", "[::]:80", "http://hub.example", false),
            ("hub.example:80", "[::]:80", "http://hub.example", false),
            ("http://10.0.0.1", "10.0.0.1:80", "http://10.0.0.1", false),
            ("http://a http://b :80", "[::]:80", "http://a http://b", true),
            (":80 :8080", "[::]:80 [::]:8080", "", true),
        ] {
            let read = listen(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            let spoken: Vec<_> = read.addresses.iter().map(ToString::to_string).collect();
            assert_eq!(spoken.join(" "), addresses, "{text}");
            assert_eq!(read.origins.join(" "), origins, "{text}");
            assert_eq!(read.catch_all, catch_all, "{text}");
        }
    }

    #[test]
    fn unix_sockets_are_read() {
        for (text, path, mode) in [
            ("unix:/run/petasos/hub.sock", "/run/petasos/hub.sock", None),
            ("unix//run/x.sock", "/run/x.sock", None),
            ("unix//run/x.sock|0660", "/run/x.sock", Some(0o660)),
            ("unix:/run/x.sock|222", "/run/x.sock", Some(0o222)),
        ] {
            let read = listen(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(read.unix, [UnixAddress { path: path.into(), mode }], "{text}");
            assert!(read.addresses.is_empty() && read.origins.is_empty() && read.catch_all);
            assert!(read.is_loopback());
        }
        let both = listen("127.0.0.1:80 unix:/a unix:/b").unwrap();
        assert_eq!((both.addresses.len(), both.unix.len()), (1, 2));
        // A host of that name.
        assert_eq!(listen("unix:8080").unwrap().origins, ["http://unix:8080"]);
        let long = format!("unix:/{}", "x".repeat(PATH_LEN_MAX));
        for (text, part) in [
            ("unix:hub.sock", "the whole path"),
            ("unix/hub.sock", "the whole path"),
            ("unix:", "the whole path"),
            ("unix:/run/", "this is a directory"),
            ("unix:/x|", "permissions are octal"),
            ("unix:/x|rw", "permissions are octal"),
            ("unix:/x|0888", "permissions are octal"),
            ("unix:/x|1777", "permissions are octal"),
            ("unix:/x|+66", "permissions are octal"),
            (&long, "at most 103 bytes"),
            ("unix:/x unix:/x|0660", "is there twice"),
        ] {
            let refused = listen(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
        assert!(listen(&long[..long.len() - 1]).is_ok());
    }

    #[test]
    fn https_is_refused_with_the_way_out() {
        for text in ["hub.example", "https://hub.example", ":443", "hub:443", "[::1]", "localhost"]
        {
            let refused = listen(text).unwrap_err();
            assert!(refused.starts_with(&format!("`{text}` asks for HTTPS")), "{refused}");
            assert!(refused.contains("for plain HTTP write"), "{refused}");
        }
    }

    #[test]
    fn other_texts_are_no_addresses() {
        for text in [
            "",
            ":",
            "ftp://a:21",
            "http://a/path",
            ":99999",
            ":+80",
            "a:b",
            "::1",
            "http://",
            "*:80",
            "http://a b:x",
            "a@b:80",
            "http://[::1",
            "fd00::1:8080",
        ] {
            assert!(listen(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (text, is_loopback) in [
            ("127.0.0.1:1", true),
            ("127.0.0.1:1 [::1]:1", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("127.0.0.1:1 :2", false),
            ("0.0.0.0:1", false),
        ] {
            assert_eq!(listen(text).unwrap().is_loopback(), is_loopback, "{text}");
        }
    }

    #[test]
    fn origins_are_read_as_browsers_send_them() {
        let listed = |text: &str| parse_origins(text.split_whitespace());
        for (text, expected) in [
            ("https://a.example", "https://a.example"),
            ("HTTPS://A.Example:443/", "https://a.example"),
            ("http://localhost:3000", "http://localhost:3000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("null", "null"),
        ] {
            assert_eq!(listed(text), Ok(Origins::Listed(vec![expected.to_owned()])), "{text}");
        }
        assert_eq!(listed("https://a.example *"), Ok(Origins::Any));
        assert_eq!(listed(""), Ok(Origins::Listed(Vec::new())));
        for (text, part) in [
            ("a.example", "has no scheme; write https://a.example"),
            ("https://a.example/x", "is not an origin"),
            ("https://*.example", "a * inside an origin is not supported yet"),
            ("https://", "is not an origin"),
            ("https://a b", ""),
        ] {
            assert!(listed(text).is_err_and(|refused| refused.contains(part)), "{text}");
        }
    }

    #[test]
    fn identifiers_are_checked() {
        assert!(parse_resource_identifier("https://e.org/.well-known/mercure").is_ok());
        assert!(parse_resource_identifier("urn:x:y").is_ok());
        assert!(parse_resource_identifier("https://e.org/#f").is_err());
        assert!(parse_resource_identifier("e.org").is_err());
        assert!(parse_public_urls(["https://e.org"].into_iter()).is_ok());
        assert!(parse_public_urls(["urn:x"].into_iter()).is_err());
    }
}
