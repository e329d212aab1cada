//! By what names the hub is known, and what follows from the name that a request uses: the
//! audience of its token, the link to the hub, the URL of the hub's metadata (draft-08
//! #token-validation, #hub-discovery, #protected-resource-metadata).

use std::borrow::Cow;

use super::link;
use crate::http::{fields::Fields, head::Head, route::HUB_PATH};

/// Where protected resource metadata lies: before the path of the resource (RFC 9728 §3.1).
const METADATA_PREFIX: &str = "/.well-known/oauth-protected-resource";

/// One name of the hub.
#[derive(Debug, Clone)]
pub struct Name {
    /// The host with its port, as requests name it.
    pub host: Box<str>,
    /// The URL of the hub. One that begins with `//` stands for http and https: what is served as
    /// plain http may be https to the world, by a proxy.
    pub hub_url: Box<str>,
    /// It is a configured public URL.
    pub public: bool,
}

/// A link to the hub.
#[derive(Debug)]
struct Link {
    target: Box<str>,
    /// The field `Link` of answers.
    fields: Fields,
}

impl Link {
    fn new(target: &str) -> Link {
        let mut fields = Fields::NONE;
        fields.push("Link", link::to_hub(target, None));
        Link { target: target.into(), fields }
    }
}

/// The names of a hub.
#[derive(Debug)]
pub struct Identity {
    /// The configured resource identifier, which tokens must name in `aud`.
    identifier: Option<Box<str>>,
    /// None: the hub answers to any.
    names: Vec<Name>,
    /// The link of each name, then that of all others.
    links: Vec<Link>,
    /// Requests must use one of the names.
    is_strict: bool,
    metadata_paths: Vec<Box<str>>,
}

impl Identity {
    /// `names` are empty where the hub is to answer to any host.
    pub fn new(identifier: Option<&str>, names: Vec<Name>) -> Identity {
        let of_name = |name: &Name| Link::new(if name.public { &name.hub_url } else { HUB_PATH });
        let mut links: Vec<_> = names.iter().map(of_name).collect();
        // By any other name, a public one is recommended.
        let first = names.iter().find(|name| name.public);
        links.push(first.map_or_else(|| Link::new(HUB_PATH), of_name));
        let mut metadata_paths: Vec<Box<str>> = Vec::new();
        let urls = identifier.into_iter().chain(names.iter().map(|name| &*name.hub_url));
        for url in urls.chain(["https://hub.invalid/.well-known/mercure"]) {
            metadata_paths.extend(metadata_path(url).map(Box::from));
        }
        metadata_paths.sort_unstable();
        metadata_paths.dedup();
        let is_strict = first.is_some();
        Identity { identifier: identifier.map(Box::from), names, links, is_strict, metadata_paths }
    }

    /// What the token of this request must name in `aud`. Never a name that only the request
    /// claims, unless the hub is to answer to any.
    pub(crate) fn audience(&self, head: &Head) -> Cow<'_, str> {
        match (&self.identifier, self.name(head).or(self.names.first())) {
            (Some(identifier), _) => Cow::Borrowed(identifier),
            (None, Some(name)) => Cow::Borrowed(&name.hub_url),
            (None, None) => Cow::Owned(any_scheme(head)),
        }
    }

    /// The resource identifier to be told to the client of this request.
    pub(crate) fn resource(&self, head: &Head) -> String {
        with_scheme(self.audience(head), head)
    }

    /// The hub's URL, or a reference to it: that is right whatever scheme a proxy speaks to the
    /// world.
    pub(crate) fn link_target(&self, head: &Head) -> &str {
        &self.link_of(head).target
    }

    /// The `Link` to the hub.
    pub(crate) fn link(&self, head: &Head) -> &Fields {
        &self.link_of(head).fields
    }

    fn link_of(&self, head: &Head) -> &Link {
        let others = self.links.len() - 1;
        &self.links[self.position(head).unwrap_or(others)]
    }

    /// The URL of the metadata: on the host that the client uses, so that it is found.
    pub(crate) fn metadata_url(&self, head: &Head) -> String {
        let hub = match self.name(head) {
            Some(name) => with_scheme(Cow::Borrowed(&name.hub_url), head),
            None => with_scheme(Cow::Owned(any_scheme(head)), head),
        };
        let origin_len = origin(hub.as_bytes()).map_or(hub.len(), <[u8]>::len);
        let path = metadata_path(&self.resource(head));
        let path = path.unwrap_or_else(|| format!("{METADATA_PREFIX}{HUB_PATH}"));
        format!("{}{path}", &hub[..origin_len])
    }

    /// Where the metadata is served.
    pub(crate) fn metadata_paths(&self) -> &[Box<str>] {
        &self.metadata_paths
    }

    /// The request came by a name that the hub does not have, and it has public ones: it was meant
    /// for another server (RFC 9110 §15.5.20).
    pub(crate) fn is_misdirected(&self, head: &Head) -> bool {
        self.is_strict && self.name(head).is_none()
    }

    /// Whether `origin` is that of the hub's own pages, as seen by this request.
    pub(crate) fn is_own_origin(&self, origin: &[u8], head: &Head) -> bool {
        let (scheme, host) = match origin {
            [b'h', b't', b't', b'p', b's', b':', b'/', b'/', host @ ..] => ("https:", host),
            [b'h', b't', b't', b'p', b':', b'/', b'/', host @ ..] => ("http:", host),
            _ => return false,
        };
        // What is not known to be https may be.
        let has_scheme = match self.name(head).filter(|name| name.public) {
            Some(name) => name.hub_url.starts_with(scheme),
            None => !head.forwarded.is_https || scheme == "https:",
        };
        has_scheme && head.host().is_some_and(|own| own.eq_ignore_ascii_case(host))
    }

    fn name(&self, head: &Head) -> Option<&Name> {
        self.position(head).map(|position| &self.names[position])
    }

    fn position(&self, head: &Head) -> Option<usize> {
        let host = head.host()?;
        let position = |host: &[u8]| {
            self.names.iter().position(|name| name.host.as_bytes().eq_ignore_ascii_case(host))
        };
        position(host).or_else(|| {
            // A default port that need not be said.
            position(host.strip_suffix(b":443").or(host.strip_suffix(b":80"))?)
        })
    }
}

/// The hub under the host of the request, by http or https.
fn any_scheme(head: &Head) -> String {
    let host = head.host().unwrap_or_default();
    let mut url = String::with_capacity(2 + host.len() + HUB_PATH.len());
    url.push_str("//");
    url.push_str(&String::from_utf8_lossy(host));
    url.make_ascii_lowercase();
    url.push_str(HUB_PATH);
    url
}

/// The URL by the scheme that the client uses, as far as a trusted proxy tells.
fn with_scheme(url: Cow<'_, str>, head: &Head) -> String {
    if !url.starts_with("//") {
        return url.into_owned();
    }
    format!("{}:{url}", if head.forwarded.is_https { "https" } else { "http" })
}

/// Scheme and authority of a URL.
pub(super) fn origin(url: &[u8]) -> Option<&[u8]> {
    let authority = memchr::memmem::find(url, b"//")? + 2;
    let len = url[authority..].iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    Some(len.map_or(url, |len| &url[..authority + len]))
}

/// The path of the metadata of a resource: the well-known path stands before that of the resource
/// (RFC 9728 §3.1). `None` for what is no URL of a host.
fn metadata_path(resource: &str) -> Option<String> {
    let path = &resource[origin(resource.as_bytes())?.len()..];
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Some(format!("{METADATA_PREFIX}{}", if path == "/" { "" } else { path }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{
        forwarded::{Forwarded, Peer},
        reader::{HeadReader, Limits},
    };

    /// Of a request from a trusted proxy.
    fn head(host: &str, fields: &str) -> Head {
        let text = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        let limits = Limits { target_len_max: 99, head_len_max: 999, header_count_max: 9 };
        let mut head = HeadReader::default().read(text.as_bytes(), &limits).unwrap().unwrap().0;
        head.forwarded = Forwarded::read(Peer::Unix, &head, |peer| peer == Peer::Unix);
        head
    }

    fn name(host: &str, hub_url: &str, public: bool) -> Name {
        Name { host: host.into(), hub_url: hub_url.into(), public }
    }

    /// Two public URLs, one of them below a path of a proxy, and the name that is served.
    fn known(identifier: Option<&str>) -> Identity {
        Identity::new(
            identifier,
            vec![
                name("a.example", "https://a.example/.well-known/mercure", true),
                name("b.example:8443", "https://b.example:8443/x/.well-known/mercure", true),
                name("hub:80", "//hub:80/.well-known/mercure", false),
            ],
        )
    }

    const HTTPS: &str = "X-Forwarded-Proto: https\r\n";

    #[test]
    fn each_name_has_its_audience_link_and_metadata() {
        let identity = known(None);
        let link = |host| {
            let fields = identity.link(&head(host, "")).as_bytes().to_vec();
            let text = String::from_utf8(fields).unwrap();
            text.split(['<', '>']).nth(1).unwrap().to_owned()
        };
        for (host, fields, audience, linked, metadata) in [
            (
                "A.example:443",
                "",
                "https://a.example/.well-known/mercure",
                "https://a.example/.well-known/mercure",
                "https://a.example/.well-known/oauth-protected-resource/.well-known/mercure",
            ),
            (
                "b.example:8443",
                "",
                "https://b.example:8443/x/.well-known/mercure",
                "https://b.example:8443/x/.well-known/mercure",
                "https://b.example:8443/.well-known/oauth-protected-resource/x/.well-known/mercure",
            ),
            (
                "hub:80",
                HTTPS,
                "//hub:80/.well-known/mercure",
                "/.well-known/mercure",
                "https://hub:80/.well-known/oauth-protected-resource/.well-known/mercure",
            ),
            // Not one of its names: tokens must still be for one.
            (
                "c.example",
                "",
                "https://a.example/.well-known/mercure",
                "https://a.example/.well-known/mercure",
                "http://c.example/.well-known/oauth-protected-resource/.well-known/mercure",
            ),
        ] {
            let head = head(host, fields);
            assert_eq!(identity.audience(&head), audience, "{host}");
            assert_eq!(link(host), linked, "{host}");
            assert_eq!(identity.metadata_url(&head), metadata, "{host}");
            let path = metadata.split_once("example").map_or(metadata, |(_, path)| path);
            let path = path.strip_prefix(":8443").unwrap_or(path);
            let path = path.strip_prefix("https://hub:80").unwrap_or(path);
            assert!(identity.metadata_paths().iter().any(|known| **known == *path), "{path}");
            assert_eq!(identity.is_misdirected(&head), host == "c.example");
        }
    }

    #[test]
    fn a_hub_without_names_takes_the_one_of_the_request() {
        let identity = Identity::new(None, Vec::new());
        let plain = head("Any.example:8080", "");
        assert_eq!(identity.audience(&plain), "//any.example:8080/.well-known/mercure");
        assert_eq!(identity.resource(&plain), "http://any.example:8080/.well-known/mercure");
        let proxied = head("inner", "Forwarded: host=any.example;proto=HTTPS\r\n");
        assert_eq!(identity.resource(&proxied), "https://any.example/.well-known/mercure");
        let url = "https://any.example/.well-known/oauth-protected-resource/.well-known/mercure";
        assert_eq!(identity.metadata_url(&proxied), url);
        assert!(!identity.is_misdirected(&plain));
    }

    #[test]
    fn a_configured_identifier_counts_for_every_name() {
        for (identifier, path) in [
            ("https://id.example", ""),
            ("https://id.example/", ""),
            ("https://id.example/hub?x", "/hub"),
            // No URL: the metadata is where that of the hub would be.
            ("urn:hub:1", "/.well-known/mercure"),
        ] {
            let identity = known(Some(identifier));
            let head = head("b.example:8443", "");
            assert_eq!(identity.audience(&head), identifier);
            let path = format!("{METADATA_PREFIX}{path}");
            assert_eq!(identity.metadata_url(&head), format!("https://b.example:8443{path}"));
            assert!(identity.metadata_paths().contains(&path.into()));
        }
    }

    #[test]
    fn own_origins_have_the_host_and_the_scheme() {
        let known = known(None);
        let any = Identity::new(None, Vec::new());
        for (identity, host, origin, own) in [
            (&known, "a.example", "https://a.example", true),
            (&known, "a.example", "http://a.example", false),
            (&known, "a.example", "https://b.example:8443", false),
            (&known, "hub:80", "http://hub:80", true),
            (&known, "hub:80", "https://hub:80", true),
            (&any, "x.example", "https://x.example", true),
            (&any, "x.example", "https://x.example.evil", false),
            (&any, "x.example", "https://x.example:8443", false),
            (&any, "x.example", "null", false),
            (&any, "x.example", "x.example", false),
        ] {
            let found = identity.is_own_origin(origin.as_bytes(), &head(host, ""));
            assert_eq!(found, own, "{host} {origin}");
        }
        let proxied = |field: &str| head("hub:80", field);
        for (identity, head, origin, own) in [
            (&known, proxied(HTTPS), "https://hub:80", true),
            (&known, proxied(HTTPS), "http://hub:80", false),
            (&any, proxied("X-Forwarded-Host: x.example\r\n"), "https://x.example", true),
            (&any, proxied("X-Forwarded-Host: x.example\r\n"), "https://hub:80", false),
            (&known, proxied("X-Forwarded-Host: a.example\r\n"), "https://a.example", true),
            (&known, proxied("X-Forwarded-Host: a.example\r\n"), "http://a.example", false),
        ] {
            assert_eq!(identity.is_own_origin(origin.as_bytes(), &head), own, "{origin}");
        }
    }
}
