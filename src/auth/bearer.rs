//! The `Authorization` header field (draft-08 #authorization-http-header, RFC 6750 §2.1).

/// Why the field holds no bearer token. Always a 400 with `Challenge::InvalidRequest`, never a
/// fall back to a cookie or to an anonymous subscriber. The texts may be shown to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BearerError {
    #[error("`Authorization` has no scheme: write `Bearer`, a space and the token")]
    NoScheme,
    #[error("`Authorization` has a scheme that this hub does not take: it takes `Bearer`")]
    OtherScheme,
    #[error("`Authorization` has no token after `Bearer`")]
    NoToken,
    #[error("the token in `Authorization` has characters that no token has, or spaces in it")]
    NotAToken,
}

/// The token in the value of an `Authorization` header field. "The scheme name is matched
/// case-insensitively".
pub fn token(field_value: &[u8]) -> Result<&str, BearerError> {
    let value = field_value.trim_ascii();
    let scheme_len = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (scheme, rest) = value.split_at(scheme_len);
    let credentials = rest.trim_ascii_start();
    if !scheme.eq_ignore_ascii_case(b"Bearer") {
        // A lone word is a token that lacks its scheme, rather than a scheme.
        return Err(match credentials.is_empty() {
            true => BearerError::NoScheme,
            false => BearerError::OtherScheme,
        });
    }
    if credentials.is_empty() {
        return Err(BearerError::NoToken);
    }
    if !is_b64token(credentials) {
        return Err(BearerError::NotAToken);
    }
    std::str::from_utf8(credentials).map_err(|_| BearerError::NotAToken)
}

/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1).
fn is_b64token(credentials: &[u8]) -> bool {
    let is_character = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    let padding = credentials.iter().rev().take_while(|byte| **byte == b'=').count();
    let characters = &credentials[..credentials.len() - padding];
    !characters.is_empty() && characters.iter().all(is_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_follows_its_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", "  bEaReR a.b.c \t"] {
            assert_eq!(token(value.as_bytes()), Ok("a.b.c"), "{value}");
        }
        assert_eq!(token(b"Bearer aZ09-._~+/=="), Ok("aZ09-._~+/=="));
    }

    #[test]
    fn all_else_is_malformed() {
        use BearerError::*;
        for (value, expected) in [
            (&b""[..], NoScheme),
            (b" ", NoScheme),
            (b"a.b.c", NoScheme),
            (b"Basic", NoScheme),
            (b"Bearera.b.c", NoScheme),
            (b"Bearer", NoToken),
            (b"Bearer ", NoToken),
            (b"bearer  ", NoToken),
            (b"Basic dTpw", OtherScheme),
            (b"DPoP a.b.c", OtherScheme),
            (b"Bearer: a.b.c", OtherScheme),
            (b"Token Bearer a.b.c", OtherScheme),
            (b"Bearer a.b.c d", NotAToken),
            (b"Bearer a.b.c, Bearer a.b.c", NotAToken),
            (b"Bearer Bearer a.b.c", NotAToken),
            (b"Bearer \"a.b.c\"", NotAToken),
            (b"Bearer ==", NotAToken),
            (b"Bearer a=b", NotAToken),
            (b"Bearer a.\xc3\xa9.c", NotAToken),
            (b"Bearer a.\xff.c", NotAToken),
            (b"Bearer a\0b", NotAToken),
        ] {
            assert_eq!(token(value), Err(expected), "{}", value.escape_ascii());
        }
    }
}
