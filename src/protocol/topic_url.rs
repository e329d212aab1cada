//! A topic as a URL: what URL patterns and the reserved namespace look at.

use url::{Position, Url};

/// A topic that was resolved against the hub's URL. It is parsed once for each update, whatever
/// number of patterns looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicUrl {
    /// `None`: the topic is its own normal form, as most topics are.
    normal: Option<Box<str>>,
    ends: Ends,
}

/// Where the components lie in the normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ends {
    scheme: u32,
    host_start: u32,
    host: u32,
    path_start: u32,
    path: u32,
    query: u32,
}

/// The components of a URL as URL patterns see them, without the characters that separate them.
#[derive(Debug, Clone, Copy)]
pub struct Components<'a> {
    text: &'a str,
    ends: Ends,
}

impl TopicUrl {
    /// `None` if `topic` is no URL reference (draft-08 #url-pattern: it matches no URL pattern).
    pub fn resolve(topic: &str, base: &Url) -> Option<TopicUrl> {
        if let Some(ends) = Ends::of_plain(topic.as_bytes()) {
            return Some(TopicUrl { normal: None, ends });
        }
        let url = base.join(topic).ok()?;
        let ends = Ends::of(&url)?;
        let normal = if url.as_str() == topic { None } else { Some(url.as_str().into()) };
        Some(TopicUrl { normal, ends })
    }

    /// `topic` is what this was resolved from.
    pub fn components<'a>(&'a self, topic: &'a str) -> Components<'a> {
        Components { text: self.normal.as_deref().unwrap_or(topic), ends: self.ends }
    }

    /// Bytes that the value holds beside its own size.
    pub(super) fn footprint(&self) -> usize {
        self.normal.as_ref().map_or(0, |normal| normal.len())
    }
}

impl<'a> Components<'a> {
    pub fn scheme(self) -> &'a str {
        self.slice(0, self.ends.scheme)
    }

    /// Name and password.
    pub fn user(self) -> (&'a str, &'a str) {
        // Behind `://` and before `@`.
        let start = self.ends.scheme + 3;
        match start < self.ends.host_start {
            true => {
                let user = self.slice(start, self.ends.host_start - 1);
                user.split_once(':').unwrap_or((user, ""))
            }
            false => ("", ""),
        }
    }

    /// Without the port.
    pub fn host(self) -> &'a str {
        self.slice(self.ends.host_start, self.ends.host)
    }

    /// Empty for the default port of the scheme.
    pub fn port(self) -> &'a str {
        self.slice(self.ends.host, self.ends.path_start).strip_prefix(':').unwrap_or("")
    }

    pub fn path(self) -> &'a str {
        self.slice(self.ends.path_start, self.ends.path)
    }

    pub fn query(self) -> &'a str {
        self.slice(self.ends.path, self.ends.query).strip_prefix('?').unwrap_or("")
    }

    pub fn fragment(self) -> &'a str {
        self.text[self.ends.query as usize..].strip_prefix('#').unwrap_or("")
    }

    fn slice(self, start: u32, end: u32) -> &'a str {
        &self.text[start as usize..end as usize]
    }
}

impl Ends {
    fn of(url: &Url) -> Option<Ends> {
        let end = |position| u32::try_from(url[..position].len()).ok();
        let (host_start, host) = match url.has_host() {
            true => (end(Position::BeforeHost)?, end(Position::AfterHost)?),
            // The host of a file URL is the empty one: behind `//`.
            false if url.has_authority() => {
                let start = end(Position::AfterScheme)? + 3;
                (start, start)
            }
            false => (end(Position::BeforePath)?, end(Position::BeforePath)?),
        };
        Some(Ends {
            scheme: end(Position::AfterScheme)?,
            host_start,
            host,
            path_start: end(Position::BeforePath)?,
            path: end(Position::AfterPath)?,
            // Position::AfterQuery is where the fragment's `#` stands, or the end.
            query: end(Position::AfterQuery)?,
        })
    }

    /// The same for most topics, without a parser: http(s) URLs of which the parser would change
    /// nothing. `None`: it might.
    fn of_plain(topic: &[u8]) -> Option<Ends> {
        let scheme = match topic {
            [b'h', b't', b't', b'p', b's', b':', b'/', b'/', ..] => 5,
            [b'h', b't', b't', b'p', b':', b'/', b'/', ..] => 4,
            _ => return None,
        };
        let len = u32::try_from(topic.len()).ok()?;
        let host_start = scheme + 3;
        let after_host = &topic[host_start..];
        let host = host_start + plain_host_len(after_host)?;
        // No port, and a path: the rest is `/…`.
        let (mut path, mut query) = (None, None);
        let mut at = host;
        while let Some(plain_len) = topic[at..].iter().position(|byte| !IS_PLAIN[*byte as usize]) {
            at += plain_len;
            match topic[at] {
                b'.' if topic[at - 1] != b'/' || path.is_some() => {}
                b'?' => path = path.or(Some(at)),
                b'#' if query.is_none() => query = Some(at),
                _ => return None,
            }
            at += 1;
        }
        let query = query.map_or(len, |index| index as u32);
        // A `?` behind the `#` belongs to the fragment.
        let path = path.map_or(query, |index| (index as u32).min(query));
        let (scheme, host_start, host) = (scheme as u32, host_start as u32, host as u32);
        Some(Ends { scheme, host_start, host, path_start: host, path, query })
    }
}

/// The length of a host before a `/` that stays as it is: lowercase labels of letters, digits and
/// hyphens, none of them in an encoding, and the last one no number.
fn plain_host_len(text: &[u8]) -> Option<usize> {
    let mut label = 0;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'-' => {}
            b'.' | b'/' => {
                let first = text[label];
                if at == label || (first == b'x' && text[label..].starts_with(b"xn--")) {
                    return None;
                }
                if *byte == b'/' {
                    return first.is_ascii_lowercase().then_some(at);
                }
                label = at + 1;
            }
            _ => return None,
        }
    }
    None
}

/// Bytes that stay as they are in paths, queries and fragments alike, and mean nothing there. A
/// `%` may begin an encoded dot.
const IS_PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~!$&()*+,;=:@/";
    let mut index = 0;
    while index < plain.len() {
        table[plain[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    fn base() -> Url {
        Url::parse("https://hub.example.com/.well-known/mercure").unwrap()
    }

    /// What the parser says of the components.
    fn expected(url: &Url) -> [&str; 8] {
        use url::quirks;
        [
            url.scheme(),
            url.username(),
            url.password().unwrap_or(""),
            url.host_str().unwrap_or(""),
            quirks::port(url),
            quirks::pathname(url),
            url.query().unwrap_or(""),
            url.fragment().unwrap_or(""),
        ]
    }

    fn check(topic: &str) {
        let resolved = TopicUrl::resolve(topic, &base());
        let url = base().join(topic).ok();
        assert_eq!(resolved.is_some(), url.is_some(), "{topic:?}");
        let (Some(resolved), Some(url)) = (resolved, url) else { return };
        let parts = resolved.components(topic);
        let (name, password) = parts.user();
        let found = [
            parts.scheme(),
            name,
            password,
            parts.host(),
            parts.port(),
            parts.path(),
            parts.query(),
            parts.fragment(),
        ];
        assert_eq!(found, expected(&url), "{topic:?}");
    }

    #[test]
    fn components_are_those_of_the_parser() {
        for topic in [
            "https://example.com/books/1",
            "https://example.com/books/1?q=a?b#f?g#h",
            "https://example.com/#f?q",
            "https://example.com/?",
            "https://example.com/?#",
            "https://example.com",
            "https://EXAMPLE.com/A/../b/%7e",
            "https://name:pass@example.com:8443/x",
            "https://name@example.com/x",
            "https://:pass@example.com/x",
            "https://example.com:443/x",
            "http://[::1]:80/x",
            "http://1.2.3/x",
            "http://0x7f.1/",
            "https://xn--nxasmq6b.example/",
            "https://bücher.example/é?é#é",
            "/relative?q#f",
            "relative",
            "",
            "?q",
            "#f",
            "//other.example/x",
            "urn:uuid:6bd3c1b6-7d5b-4c9f-9a3f-3ff6d3d8b2e5",
            "urn:a?q#f",
            "data:text/plain,x",
            "mailto:a@b",
            "file:///etc/passwd",
            "file://host/etc",
            "file:c:/x",
            "web+demo:/.//not-a-host/",
            "web+demo://host:99/p",
            "web+demo://user@host/p",
            "foo:/a/b",
            "foo:",
            "blob:https://e/x",
            "https://[/",
            "https://exa mple/",
            "https://e:99999/",
            "日本語 ✓",
            "a\tb",
        ] {
            check(topic);
        }
    }

    /// Whatever the topic is put together from, and mostly by the short way.
    #[test]
    fn the_short_way_says_what_the_parser_says() {
        const PIECES: [&str; 40] = [
            "https://",
            "http://",
            "https:/",
            "HTTPS://",
            "//",
            "/",
            "/",
            "\\",
            ":",
            "?",
            "#",
            "@",
            ".",
            "..",
            "a.example",
            "example.com",
            "xn--",
            "1.2",
            "0x1",
            "-",
            "_",
            "A",
            "%2e",
            "%2F",
            "%",
            "\t",
            "\n",
            " ",
            "'",
            "\"",
            "<",
            "`",
            "{",
            "|",
            "^",
            "[",
            "é",
            "\u{ad}",
            "a",
            "9",
        ];
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut taken = 0;
        for round in 0..40_000 {
            let mut topic = String::new();
            if round % 2 == 0 {
                topic.push_str("https://a.example/");
            }
            for _ in 0..8 {
                seed ^= seed << 13;
                seed ^= seed >> 7;
                seed ^= seed << 17;
                topic.push_str(PIECES[(seed >> 32) as usize % PIECES.len()]);
                taken += usize::from(Ends::of_plain(topic.as_bytes()).is_some());
                check(&topic);
            }
        }
        assert!(taken > 10_000, "the short way was taken {taken} times");
    }

    #[test]
    fn normal_topics_hold_no_copy() {
        let resolve = |topic| TopicUrl::resolve(topic, &base()).unwrap();
        for topic in ["https://example.com/a?b#c", "urn:x", "https://e.example/%7E"] {
            assert_eq!(resolve(topic).normal, None, "{topic}");
        }
        assert!(resolve("/a").normal.is_some());
        assert_eq!(size_of::<TopicUrl>(), 40);
    }
}
