//! The hub's URL: the base of relative topics, and the namespace below it that only the hub may
//! publish in (draft-08 #publication, #reserved-hub-namespace).

use url::Url;

use super::topic::Topic;

/// The path under which a hub is found unless it is configured otherwise (draft-08
/// #hub-discovery).
pub const DEFAULT_HUB_PATH: &str = "/.well-known/mercure";

/// The one base URL of a hub. It comes from the configuration and never from a request: a back
/// end that publishes through an inner host name must meet browsers that come by the outer one.
#[derive(Debug, Clone)]
pub struct HubUrl {
    url: Url,
    /// Normalized paths, each starting with a slash and not ending with one.
    reserved: Vec<Box<str>>,
}

/// Why a text cannot be the hub's URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HubUrlError {
    #[error("{url} is no absolute URL: {source}")]
    NotAbsolute { url: String, source: url::ParseError },
    #[error("{url} must start with http:// or https://")]
    NotHttp { url: String },
    #[error(
        "the hub path {path} must start with a slash and consist of segments of letters, digits, \
         `-`, `.`, `_` and `~`, like {DEFAULT_HUB_PATH}"
    )]
    Path { path: String },
}

impl HubUrl {
    /// The URL of a hub that serves `hub_path` below `base`, an absolute http(s) URL. Where the
    /// path of `base` ends with `hub_path` it is kept (a proxy may serve the hub below a path of
    /// its own); both paths are reserved then.
    pub fn new(base: &str, hub_path: &str) -> Result<HubUrl, HubUrlError> {
        let bad_path = |path: &str| HubUrlError::Path { path: path.to_owned() };
        let mut url = Url::parse(base)
            .map_err(|source| HubUrlError::NotAbsolute { url: base.to_owned(), source })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HubUrlError::NotHttp { url: base.to_owned() });
        }
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with(hub_path) {
            url.set_path(hub_path);
        }
        // The comparison below relies on both: paths whose text is already their normal form.
        if !is_plain_path(hub_path) {
            return Err(bad_path(hub_path));
        }
        if !is_plain_path(url.path()) || !url.path().ends_with(hub_path) {
            return Err(bad_path(url.path()));
        }
        let mut reserved: Vec<Box<str>> = vec![url.path().into(), hub_path.into()];
        reserved.dedup();
        Ok(HubUrl { url, reserved })
    }

    /// The URL of a hub that was told no name of its own: a host that cannot exist (RFC 6761).
    pub fn without_name() -> HubUrl {
        HubUrl::new("https://hub.invalid", DEFAULT_HUB_PATH).expect("a constant that tests parse")
    }

    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The base of relative topics and patterns.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Whether a topic addresses the namespace of the hub, under which "every topic value MUST
    /// NOT" be published: its path, resolved against the hub's URL, with percent-encoded
    /// unreserved octets decoded, is the hub's path or below it; scheme and authority do not
    /// matter. What is no URL cannot name a hub path (draft-08 #publication).
    pub fn is_reserved(&self, topic: &Topic) -> bool {
        topic.url().is_some_and(|url| {
            self.reserved.iter().any(|reserved| is_at_or_below(url.path(), reserved))
        })
    }
}

impl Default for HubUrl {
    fn default() -> Self {
        HubUrl::without_name()
    }
}

fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

fn is_plain_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|segments| {
        segments.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..") && segment.bytes().all(is_unreserved)
        })
    })
}

/// Whether `path`, once normalized, is `reserved` or continues it with a slash.
fn is_at_or_below(path: &str, reserved: &str) -> bool {
    let mut octets = with_unreserved_decoded(path.as_bytes());
    reserved.bytes().all(|octet| octets.next() == Some(octet))
        && matches!(octets.next(), None | Some(b'/'))
}

/// Percent-encoded unreserved octets decoded, once, and everything else as it is (RFC 3986
/// §6.2.2.2). `%2F` stays: an encoded slash separates nothing.
fn with_unreserved_decoded(mut rest: &[u8]) -> impl Iterator<Item = u8> {
    std::iter::from_fn(move || {
        let (&first, after) = rest.split_first()?;
        let decoded = match rest {
            [b'%', high, low, ..] => hex_pair(*high, *low).filter(|octet| is_unreserved(*octet)),
            _ => None,
        };
        rest = if decoded.is_some() { &rest[3..] } else { after };
        Some(decoded.unwrap_or(first))
    })
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::topic::TopicHasher;

    fn hub() -> HubUrl {
        HubUrl::new("https://hub.example.com", DEFAULT_HUB_PATH).unwrap()
    }

    fn is_reserved(hub: &HubUrl, topic: &str) -> bool {
        hub.is_reserved(&Topic::new(topic, hub, &TopicHasher::new()))
    }

    #[test]
    fn topics_that_address_the_hub_are_reserved() {
        for topic in [
            "",
            " ",
            "  ",
            "?q",
            "#f",
            "mercure",
            "mercure/x",
            "./mercure",
            "x/../mercure",
            "mercure?q#f",
            "https:",
            "https:?q",
            "https:mercure",
            "//mercure/.well-known/mercure",
            "/.well-known/mercure",
            "/.well-known/mercure/",
            "/.well-known/mercure//",
            "/.well-known/mercure/subscriptions/exact/a/b",
            "/.well-known/mercure/%2e%2e/mercure",
            "/.well-known/mercure/../mercure/x",
            "/.well-known/mercure/x/../../mercure",
            "/.well-known/%6Dercure",
            "/.well-known/%6dercure/x",
            "/%2Ewell-known/mercure",
            "/%2ewell%2dknown/mercur%65",
            "/a/../.well-known/mercure",
            "/a/%2E%2e/.well-known/mercure",
            "/a/.%2E/.well-known/mercure",
            "/./.well-known/./mercure",
            "\\.well-known\\mercure",
            "/.well-known\\mercure\\x",
            "https:\\\\other.example\\.well-known\\mercure",
            "https://hub.example.com/.well-known/mercure/subscriptions/x",
            "https://other.example/.well-known/mercure",
            "https://other.example/.well-known/%6Dercure/x",
            "http://other.example:8080/.well-known/mercure?q#f",
            "https://user:pass@other.example/.well-known/mercure",
            "HTTPS://other.example/.well-known/mercure",
            "https://other.example/.well-known/mer\tcure",
            " https://other.example/.well-known/mercure ",
            "ftp://other.example/.well-known/mercure",
            "file:///.well-known/mercure",
            "foo://other.example/.well-known/mercure/x",
            "foo:/a/../.well-known/%6dercure",
            "urn:/.well-known/mercure",
            "data:/.well-known/mercure/x",
        ] {
            assert!(is_reserved(&hub(), topic), "{topic:?}");
        }
    }

    #[test]
    fn other_topics_are_not() {
        for topic in [
            "books",
            ".",
            "..",
            "/",
            "/.well-known/",
            "/.well-known/mercure2",
            "/.well-known/mercur",
            "/.well-known/Mercure",
            "/.Well-known/mercure",
            "/.well-known/mercure%2F",
            "/.well-known/mercure%2Fsubscriptions",
            "/.well-known%2Fmercure",
            "/.well-known/%256Dercure",
            "/.well-known/%mercure",
            "/.well-known/mercure%",
            "/.well-known//mercure",
            "//.well-known/mercure",
            "/x/.well-known/mercure",
            "mercure2",
            "https://mercure/",
            "https://mercure.rocks/.well-known/other",
            "https://example.com/books/1",
            "https://example.com/?/.well-known/mercure",
            "https://example.com/#/.well-known/mercure",
            "urn:uuid:6bd3c1b6-7d5b-4c9f-9a3f-3ff6d3d8b2e5",
            "urn:.well-known/mercure",
            "data:text/plain,/.well-known/mercure",
            // These are no URLs.
            "https://exa mple/.well-known/mercure",
            "https://[/.well-known/mercure",
            "https://other.example:99999/.well-known/mercure",
        ] {
            assert!(!is_reserved(&hub(), topic), "{topic:?}");
        }
    }

    #[test]
    fn the_hub_url_is_the_base_at_the_hub_path() {
        let url = |base| HubUrl::new(base, DEFAULT_HUB_PATH).map(|hub| hub.as_str().to_owned());
        let expected = Ok("https://hub.example.com/.well-known/mercure".to_owned());
        assert_eq!(url("https://hub.example.com"), expected);
        assert_eq!(url("https://hub.example.com/?q#f"), expected);
        assert_eq!(url("https://hub.example.com/.well-known/mercure"), expected);
        assert_eq!(
            url("http://e/below/.well-known/mercure").as_deref(),
            Ok("http://e/below/.well-known/mercure")
        );
        assert!(matches!(url("hub.example.com"), Err(HubUrlError::NotAbsolute { .. })));
        assert!(matches!(url("urn:x"), Err(HubUrlError::NotHttp { .. })));
        for path in ["", "/", "x", "/x/", "//x", "/x%41", "/é", "/a/../b"] {
            let result = HubUrl::new("https://e", path);
            assert!(matches!(result, Err(HubUrlError::Path { .. })), "{path:?}");
        }
        assert_eq!(HubUrl::without_name().as_str(), "https://hub.invalid/.well-known/mercure");
    }

    #[test]
    fn behind_a_path_of_a_proxy_both_paths_are_reserved() {
        let hub = HubUrl::new("https://e/below/.well-known/mercure", DEFAULT_HUB_PATH).unwrap();
        assert!(is_reserved(&hub, "/.well-known/mercure/x"));
        assert!(is_reserved(&hub, "/below/.well-known/mercure"));
        assert!(is_reserved(&hub, "mercure"));
        assert!(!is_reserved(&hub, "/above/.well-known/mercure"));
    }
}
