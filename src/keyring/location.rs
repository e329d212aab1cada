//! Where a set of keys is published.

use std::fmt;

use url::{Host, Url};

/// A file, or a URL that is fetched by http or https.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    File(String),
    Url(Url),
}

/// Why a text is no location. Does not show it: URLs may hold secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    #[error("it is no URL; write https://host/path, or file:///path for a file")]
    NoUrl,
    #[error("its scheme is none of https, http and file")]
    Scheme,
    #[error("a file is written file:///path, or file://./path for one beside the hub")]
    File,
    #[error("it holds a user name or a password, which would show in logs; a set is public")]
    Credentials,
}

impl Location {
    /// Reads `https://…`, `http://…`, `file:///path` and `file://./path`.
    pub fn parse(text: &str) -> Result<Location, LocationError> {
        if let Some(path) = text.strip_prefix("file://") {
            let is_path =
                path.starts_with('/') || path.starts_with("./") || path.starts_with("../");
            let decoded = percent_encoding::percent_decode_str(path).decode_utf8();
            return match decoded {
                Ok(path) if is_path && !path.ends_with('/') => {
                    Ok(Location::File(path.into_owned()))
                }
                _ => Err(LocationError::File),
            };
        }
        let mut url = Url::parse(text).map_err(|_| LocationError::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(if text.contains("://") {
                LocationError::Scheme
            } else {
                LocationError::NoUrl
            });
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(LocationError::Credentials);
        }
        url.set_fragment(None);
        Ok(Location::Url(url))
    }

    /// Whether somebody between the hub and the issuer could put keys of their own in place of the
    /// issuer's.
    pub fn is_exposed(&self) -> bool {
        let Location::Url(url) = self else { return false };
        let is_local = match url.host() {
            Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.to_canonical().is_loopback(),
            None => false,
        };
        url.scheme() == "http" && !is_local
    }
}

/// As it may stand in logs: without what a query holds.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => write!(f, "file://{path}"),
            Location::Url(url) if url.query().is_some() => {
                let mut shown = url.clone();
                shown.set_query(Some("***"));
                shown.fmt(f)
            }
            Location::Url(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_urls_are_told_apart() {
        let shown = |text| Location::parse(text).map(|location| location.to_string());
        for (text, expected) in [
            ("https://a.example/jwks", "https://a.example/jwks"),
            ("HTTPS://A.example", "https://a.example/"),
            ("http://127.0.0.1:5/x?key=secret#f", "http://127.0.0.1:5/x?***"),
            ("file:///a/b%20c.json", "file:///a/b c.json"),
            ("file://./a.json", "file://./a.json"),
            ("file://../a.json", "file://../a.json"),
        ] {
            assert_eq!(shown(text), Ok(expected.to_owned()), "{text}");
        }
        for (text, expected) in [
            ("", LocationError::NoUrl),
            ("/a/b", LocationError::NoUrl),
            ("example.com/jwks", LocationError::NoUrl),
            ("mailto:x", LocationError::NoUrl),
            ("https://", LocationError::NoUrl),
            ("ftp://a/b", LocationError::Scheme),
            ("file://host/path", LocationError::File),
            ("file:///dir/", LocationError::File),
            ("file:///%ff", LocationError::File),
            ("https://user:secret@a/", LocationError::Credentials),
        ] {
            assert_eq!(shown(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn only_http_over_a_network_is_exposed() {
        for (text, is_exposed) in [
            ("http://a.example/", true),
            ("http://10.0.0.1/", true),
            ("http://localhost.example/", true),
            ("https://a.example/", false),
            ("http://localhost:1/", false),
            ("http://127.9.9.9/", false),
            ("http://[::1]/", false),
            ("file:///a", false),
        ] {
            assert_eq!(Location::parse(text).unwrap().is_exposed(), is_exposed, "{text}");
        }
    }
}
