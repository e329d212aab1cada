//! The server under test: where it is, and how to subscribe and publish there.

use std::{
    fmt, io,
    net::{SocketAddr, ToSocketAddrs},
};

use crate::{
    counters::Counters,
    token::{self, Grant},
};

/// What the server speaks.
#[derive(Debug, Clone)]
enum Dialect {
    /// A Mercure hub. `parameter`: what a topic is subscribed to with.
    Mercure { path: String, parameter: &'static str, key: String },
    /// A pair of URLs, in which `{topic}` stands for the topic. Data is sent as it is.
    Plain { subscribe: String, publish: String },
}

/// A server that is measured.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// What reports call it.
    pub(crate) name: String,
    pub(crate) addr: SocketAddr,
    authority: String,
    dialect: Dialect,
    legacy_tokens: bool,
    /// Where it shows its numbers, if that was told.
    counters: Option<Counters>,
}

/// Why a URL is no target.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("{0}: give an http:// URL, such as http://127.0.0.1:3000")]
    NotHttp(String),
    #[error("{0}: the host cannot be resolved: {1}")]
    Unknown(String, io::Error),
    #[error("{0} and {1} are on different hosts")]
    Apart(String, String),
}

impl Target {
    /// A Mercure hub. With `legacy`, it is spoken to as 0.x clients do.
    pub(crate) fn mercure(url: &str, key: &str, legacy: bool) -> Result<Target, TargetError> {
        let (authority, path) = split(url)?;
        let path = if path == "/" { "/.well-known/mercure".to_owned() } else { path };
        let parameter = if legacy { "topic" } else { "match" };
        let dialect = Dialect::Mercure { path, parameter, key: key.to_owned() };
        Self::new(url, authority, dialect, legacy)
    }

    /// Any other server.
    pub(crate) fn plain(subscribe: &str, publish: &str) -> Result<Target, TargetError> {
        let ((authority, subscribe_path), (other, publish_path)) =
            (split(subscribe)?, split(publish)?);
        if authority != other {
            return Err(TargetError::Apart(subscribe.to_owned(), publish.to_owned()));
        }
        let dialect = Dialect::Plain { subscribe: subscribe_path, publish: publish_path };
        Self::new(subscribe, authority, dialect, false)
    }

    fn new(
        url: &str,
        authority: String,
        dialect: Dialect,
        legacy_tokens: bool,
    ) -> Result<Target, TargetError> {
        let addr = resolve(url, &authority)?;
        let name = authority.clone();
        Ok(Target { name, addr, authority, dialect, legacy_tokens, counters: None })
    }

    /// With the URL of the numbers that it shows.
    pub(crate) fn with_counters(self, url: Option<&str>) -> Result<Target, TargetError> {
        let Some(url) = url else { return Ok(self) };
        let (authority, path) = split(url)?;
        let counters = Some(Counters { addr: resolve(url, &authority)?, path });
        Ok(Target { counters, ..self })
    }

    /// How many updates it has committed, and in how many groups, if it tells.
    pub(crate) fn groups(&self) -> io::Result<Option<(f64, f64)>> {
        let Some(counters) = &self.counters else { return Ok(None) };
        let numbers = counters.read()?;
        let get = |name: &str| numbers.get(name).copied();
        Ok(get("mercure_updates_total").zip(get("petasos_groups_total")))
    }

    pub(crate) fn named(self, name: &str) -> Target {
        Target { name: name.to_owned(), ..self }
    }

    /// Whether tokens, private updates and last event ids mean something to it.
    pub(crate) fn is_mercure(&self) -> bool {
        matches!(self.dialect, Dialect::Mercure { .. })
    }

    /// A token that a Mercure hub takes; none for others.
    pub(crate) fn token(&self, grant: Grant<'_>, lifetime_s: u64) -> Option<String> {
        match &self.dialect {
            Dialect::Mercure { key, .. } => {
                Some(token::mint(key, grant, lifetime_s, self.legacy_tokens))
            }
            Dialect::Plain { .. } => None,
        }
    }

    /// The bytes of a subscription to some topics.
    pub(crate) fn subscription<'a>(
        &self,
        topics: impl Iterator<Item = &'a str>,
        token: Option<&str>,
        last_event_id: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(b"GET ");
        match &self.dialect {
            Dialect::Mercure { path, parameter, .. } => {
                out.extend_from_slice(path.as_bytes());
                for (i, topic) in topics.enumerate() {
                    let separator = if i == 0 { '?' } else { '&' };
                    out.extend_from_slice(format!("{separator}{parameter}={topic}").as_bytes());
                }
            }
            Dialect::Plain { subscribe, .. } => {
                let topics: Vec<&str> = topics.collect();
                out.extend_from_slice(subscribe.replace("{topic}", &topics.join(",")).as_bytes());
            }
        }
        let host = &self.authority;
        let head = format!(" HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n");
        out.extend_from_slice(head.as_bytes());
        if let Some(id) = last_event_id {
            out.extend_from_slice(format!("Last-Event-ID: {id}\r\n").as_bytes());
        }
        if let Some(token) = token {
            out.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// The bytes of a publication; `data` needs no escaping.
    pub(crate) fn publication(
        &self,
        topic: &str,
        private: bool,
        token: Option<&str>,
        data: &[u8],
        out: &mut Vec<u8>,
    ) {
        let host = &self.authority;
        match &self.dialect {
            Dialect::Mercure { path, .. } => {
                let private = if private { "&private=on" } else { "" };
                let before = format!("topic={topic}{private}&data=");
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: {host}\r\n\
                     Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                    before.len() + data.len()
                );
                out.extend_from_slice(head.as_bytes());
                if let Some(token) = token {
                    out.extend_from_slice(format!("Authorization: Bearer {token}\r\n").as_bytes());
                }
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(before.as_bytes());
            }
            Dialect::Plain { publish, .. } => {
                let path = publish.replace("{topic}", topic);
                let len = data.len();
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: text/plain\r\n\
                     Content-Length: {len}\r\n\r\n"
                );
                out.extend_from_slice(head.as_bytes());
            }
        }
        out.extend_from_slice(data);
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

fn resolve(url: &str, authority: &str) -> Result<SocketAddr, TargetError> {
    let with_port =
        if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut addrs =
        with_port.to_socket_addrs().map_err(|error| TargetError::Unknown(url.to_owned(), error))?;
    addrs.next().ok_or_else(|| TargetError::NotHttp(url.to_owned()))
}

/// The authority and the path of a URL.
fn split(url: &str) -> Result<(String, String), TargetError> {
    let rest = url.strip_prefix("http://").ok_or_else(|| TargetError::NotHttp(url.to_owned()))?;
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.is_empty() {
        return Err(TargetError::NotHttp(url.to_owned()));
    }
    Ok((authority.to_owned(), if path.is_empty() { "/".to_owned() } else { path.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn requests_of_each_dialect() {
        let topics = ["a", "b"];
        let modern = Target::mercure("http://127.0.0.1:1", "key", false).unwrap();
        let request = text(|out| modern.subscription(topics.into_iter(), None, Some("7"), out));
        assert!(request.starts_with("GET /.well-known/mercure?match=a&match=b HTTP/1.1\r\n"));
        assert!(request.contains("Last-Event-ID: 7\r\n"));
        let legacy = Target::mercure("http://127.0.0.1:1/hub", "key", true).unwrap();
        let request = text(|out| legacy.subscription(topics.into_iter(), Some("t"), None, out));
        assert!(request.starts_with("GET /hub?topic=a&topic=b HTTP/1.1\r\n"));
        assert!(request.ends_with("Authorization: Bearer t\r\n\r\n"));
        let (subscribe, publish) =
            ("http://127.0.0.1:1/s/{topic}", "http://127.0.0.1:1/p?t={topic}");
        let plain = Target::plain(subscribe, publish).unwrap();
        let request = text(|out| plain.publication("a", true, None, b"data", out));
        assert!(
            request.starts_with("POST /p?t=a HTTP/1.1\r\n") && request.ends_with("\r\n\r\ndata")
        );
        assert!(Target::mercure("https://x", "key", false).is_err());
        assert!(Target::plain("http://127.0.0.1:1/", "http://127.0.0.1:2/").is_err());
    }
}
