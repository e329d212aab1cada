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
}

/// What follows the scheme in the value of an `Authorization` header field; whether that is a
/// [`token`] is looked at when it is seen for the first time. "The scheme name is matched
/// case-insensitively".
pub fn credentials(field_value: &[u8]) -> Result<&[u8], BearerError> {
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
    Ok(credentials)
}

/// The token that the credentials are, if they are one:
/// `1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="` (RFC 6750 §2.1).
pub fn token(credentials: &[u8]) -> Option<&str> {
    let is_character = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/')
    };
    let padding = credentials.iter().rev().take_while(|byte| **byte == b'=').count();
    let characters = &credentials[..credentials.len() - padding];
    let is_token = !characters.is_empty() && characters.iter().all(is_character);
    std::str::from_utf8(credentials).ok().filter(|_| is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_follow_their_scheme() {
        for value in ["Bearer a.b.c", "bearer a.b.c", "BEARER  a.b.c", "  bEaReR a.b.c \t"] {
            assert_eq!(credentials(value.as_bytes()), Ok(&b"a.b.c"[..]), "{value}");
        }
    }

    #[test]
    fn without_a_scheme_or_anything_behind_it_there_are_none() {
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
        ] {
            assert_eq!(credentials(value), Err(expected), "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_token_has_its_own_characters() {
        assert_eq!(token(b"aZ09-._~+/=="), Some("aZ09-._~+/=="));
        for value in [
            &b""[..],
            b"a.b.c d",
            b"a.b.c, Bearer a.b.c",
            b"Bearer a.b.c",
            b"\"a.b.c\"",
            b"==",
            b"a=b",
            b"a.\xc3\xa9.c",
            b"a.\xff.c",
            b"a\0b",
        ] {
            assert_eq!(token(value), None, "{}", value.escape_ascii());
        }
    }
}
