//! The form of an access token: a JWS in compact serialization (RFC 7515 §7.1) whose header is
//! that of a JWT access token (RFC 9068 §2.1).

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value};

use super::{
    error::{Part, TokenError},
    json,
};

/// The parts of a token, as they were sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compact<'t> {
    header: &'t str,
    claims: &'t str,
    /// What the signature signs.
    pub(super) message: &'t str,
    pub(super) signature: &'t str,
}

/// What the header of an access token says about its key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) alg: String,
    /// A hint and nothing more; one that is no text is none.
    pub(super) kid: Option<String>,
    typ: Option<String>,
}

impl Header {
    /// Whether it says that the token is an access token; those of 0.x do not.
    pub(super) fn check_type(&self) -> Result<(), TokenError> {
        match &self.typ {
            None => Err(TokenError::HeaderMember { name: "typ" }),
            Some(typ) if is_access_token_type(typ) => Ok(()),
            Some(typ) => Err(TokenError::Typ { typ: typ.clone() }),
        }
    }
}

impl<'t> Compact<'t> {
    pub(super) fn split(token: &'t str, len_max: usize) -> Result<Compact<'t>, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Empty);
        }
        let parts = memchr::memchr_iter(b'.', token.as_bytes()).count() + 1;
        let split = token.rsplit_once('.').and_then(|(message, signature)| {
            let (header, claims) = message.split_once('.')?;
            Some(Compact { header, claims, message, signature })
        });
        match (parts, split) {
            (3, Some(_)) if token.len() > len_max => {
                Err(TokenError::TooLong { len: token.len(), len_max })
            }
            (3, Some(compact)) => Ok(compact),
            (5, _) => Err(TokenError::Encrypted),
            _ => Err(TokenError::NotThreeParts { parts, hint: foreign_form(token) }),
        }
    }

    /// Checks the header and returns what is for the keys to judge. `jwk`, `jku`, `x5u` and `x5c`
    /// are never looked at: "hubs MUST NOT use key material supplied by the token itself".
    pub(super) fn check_header(&self) -> Result<Header, TokenError> {
        let mut header = object(self.header, Part::Header)?;
        json::check_case(&header, &["alg", "typ", "crit"])
            .map_err(|source| TokenError::WrongCase { part: Part::Header, source })?;
        // Any extension is one that this hub does not know, and no list or an empty one is
        // malformed (RFC 7515 §4.1.11).
        if header.contains_key("crit") {
            return Err(TokenError::Critical);
        }
        let mut text = |name| match header.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let alg = text("alg").ok_or(TokenError::HeaderMember { name: "alg" })?;
        Ok(Header { alg, kid: text("kid"), typ: text("typ") })
    }

    /// The members of the claims, which nobody vouches for before the signature is checked.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, TokenError> {
        object(self.claims, Part::Claims)
    }
}

/// What the text is instead of a JWS, as far as that can be told from its form.
pub(super) fn foreign_form(text: &str) -> Option<&'static str> {
    let padding = text.replace("%3D", "=");
    let decoded = STANDARD.decode(padding).ok();
    let object = decoded.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    if object.is_some_and(|object| object.get("iv").is_some() && object.get("value").is_some()) {
        return Some(
            "it looks encrypted by a framework (Laravel encrypts its cookies); tell it to leave \
             this cookie alone",
        );
    }
    if text.starts_with("s:") || text.starts_with("s%3A") {
        return Some("it looks like a cookie that a framework (Express) signed; set it unsigned");
    }
    if ["v1.", "v2.", "v3.", "v4."].iter().any(|version| text.starts_with(version)) {
        return Some("it looks like a PASETO; this hub takes JSON Web Tokens");
    }
    if text.contains('%') {
        return Some("it looks percent-encoded; a token is sent as it is");
    }
    (!text.is_empty() && !text.contains('.')).then_some(
        "it looks like an opaque token, which only its issuer understands; the issuer has to make \
         JSON Web Tokens",
    )
}

/// "`at+jwt`, or the equivalent `application/at+jwt`, compared with the `application/` prefix
/// omitted and case-insensitively" (draft-08 #token-validation).
fn is_access_token_type(typ: &str) -> bool {
    typ.eq_ignore_ascii_case("at+jwt") || typ.eq_ignore_ascii_case("application/at+jwt")
}

fn object(encoded: &str, part: Part) -> Result<Map<String, Value>, TokenError> {
    let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| TokenError::NotBase64 { part })?;
    json::object(&bytes).map_err(|source| TokenError::Json { part, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alg_of(header: &str) -> Result<String, TokenError> {
        let token = format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header));
        let header = Compact::split(&token, 1000)?.check_header()?;
        header.check_type()?;
        Ok(header.alg)
    }

    #[test]
    fn a_token_has_three_parts() {
        for (token, expected) in [
            ("", TokenError::Empty),
            ("a", TokenError::NotThreeParts { parts: 1, hint: foreign_form("a") }),
            ("a.b", TokenError::NotThreeParts { parts: 2, hint: None }),
            ("a.b.c.d", TokenError::NotThreeParts { parts: 4, hint: None }),
            ("a.b.c.d.e", TokenError::Encrypted),
            ("a.b.c.d.e.f", TokenError::NotThreeParts { parts: 6, hint: None }),
            ("aaa.bbb.cccc", TokenError::TooLong { len: 12, len_max: 11 }),
        ] {
            assert_eq!(Compact::split(token, 11).map(|_| ()), Err(expected), "{token}");
        }
        let compact = Compact::split("aaa.bb.cccc", 11).unwrap();
        let parts = (compact.header, compact.claims, compact.message, compact.signature);
        assert_eq!(parts, ("aaa", "bb", "aaa.bb", "cccc"));
        assert!(Compact::split("..", 11).is_ok(), "three parts, each to be found wanting later");
    }

    #[test]
    fn typ_has_two_forms_in_any_case() {
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
            let header = format!(r#"{{"typ":"{typ}","alg":"X","kid":7,"jwk":{{}}}}"#);
            assert_eq!(alg_of(&header), Ok("X".into()), "{typ}");
        }
        for typ in ["JWT", "at+jwt ", "", "jwt+at", "application/application/at+jwt", "x/at+jwt"] {
            let header = format!(r#"{{"typ":"{typ}","alg":"X"}}"#);
            assert_eq!(alg_of(&header), Err(TokenError::Typ { typ: typ.into() }));
        }
    }

    #[test]
    fn headers_that_are_not_understood_are_refused() {
        let is = |header: &str, expected: fn(&TokenError) -> bool| {
            let error = alg_of(header).expect_err(header);
            assert!(expected(&error), "{header}: {error}");
        };
        for header in [
            r#"{"typ":"at+jwt"}"#,
            r#"{"typ":"at+jwt","alg":null}"#,
            r#"{"typ":"at+jwt","alg":["HS256"]}"#,
            r#"{"alg":"HS256"}"#,
            r#"{"alg":"HS256","typ":null}"#,
        ] {
            is(header, |error| matches!(error, TokenError::HeaderMember { .. }));
        }
        for crit in [r#"["exp"]"#, r#"["b64"]"#, "[]", "null", r#""x""#] {
            let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","crit":{crit}}}"#);
            is(&header, |error| *error == TokenError::Critical);
        }
        for name in ["Alg", "TYP", "Crit"] {
            let header = format!(r#"{{"alg":"HS256","typ":"at+jwt","{name}":"at+jwt"}}"#);
            is(&header, |error| matches!(error, TokenError::WrongCase { .. }));
        }
        is(r#"{"alg":"none","alg":"HS256","typ":"at+jwt"}"#, |error| {
            matches!(error, TokenError::Json { part: Part::Header, .. })
        });
        is("[]", |error| matches!(error, TokenError::Json { .. }));
    }

    #[test]
    fn base64url_is_strict() {
        // "e30" is "{}"; "e31" has bits set that decode to nothing.
        for header in ["e30=", "e31", "e3 0", "e30\n", "e+30", "e/30", "é", "e"] {
            let token = format!("{header}.e30.c2ln");
            let error = Compact::split(&token, 1000).unwrap().check_header().unwrap_err();
            assert_eq!(error, TokenError::NotBase64 { part: Part::Header }, "{header}");
        }
    }
}
