//! What a client is told when its token, or the lack of one, stands in the way: a status and the
//! value of `WWW-Authenticate` (draft-08 #error-responses, RFC 6750 §3).

/// The four cases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Challenge {
    /// No token is presented and one is needed.
    NoToken,
    /// A token is presented and fails, for whatever reason.
    InvalidToken,
    /// The token is valid but does not grant what is asked for.
    InsufficientScope,
    /// The token is presented in a form that makes no sense.
    InvalidRequest,
}

impl Challenge {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Challenge::NoToken | Challenge::InvalidToken => 401,
            Challenge::InsufficientScope => 403,
            Challenge::InvalidRequest => 400,
        }
    }

    /// The value of `WWW-Authenticate`. `resource_metadata` is the URL of the hub's protected
    /// resource metadata (RFC 9728 §5.1), if it has any. Without a token there "MUST NOT" be an
    /// error code; the realm is there because a challenge needs a parameter (RFC 6750 §3).
    pub fn header_value(self, resource_metadata: Option<&str>) -> String {
        let error = match self {
            Challenge::NoToken => None,
            Challenge::InvalidToken => Some("error=\"invalid_token\""),
            Challenge::InsufficientScope => Some("error=\"insufficient_scope\""),
            Challenge::InvalidRequest => Some("error=\"invalid_request\""),
        };
        let metadata = resource_metadata.map(|url| format!("resource_metadata={}", quoted(url)));
        match (error, metadata) {
            (None, None) => "Bearer realm=\"mercure\"".into(),
            (None, Some(metadata)) => format!("Bearer {metadata}"),
            (Some(error), None) => format!("Bearer {error}"),
            (Some(error), Some(metadata)) => format!("Bearer {error}, {metadata}"),
        }
    }
}

/// A quoted string (RFC 9110 §5.6.4). What could end the header field is left out.
pub(crate) fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars().filter(|character| !character.is_control()) {
        if matches!(character, '"' | '\\') {
            text.push('\\');
        }
        text.push(character);
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_as_the_standards_want_them() {
        use Challenge::*;
        for (challenge, status, plain, with_metadata) in [
            (
                NoToken,
                401,
                r#"Bearer realm="mercure""#,
                r#"Bearer resource_metadata="https://e/m""#,
            ),
            (
                InvalidToken,
                401,
                r#"Bearer error="invalid_token""#,
                r#"Bearer error="invalid_token", resource_metadata="https://e/m""#,
            ),
            (
                InsufficientScope,
                403,
                r#"Bearer error="insufficient_scope""#,
                r#"Bearer error="insufficient_scope", resource_metadata="https://e/m""#,
            ),
            (
                InvalidRequest,
                400,
                r#"Bearer error="invalid_request""#,
                r#"Bearer error="invalid_request", resource_metadata="https://e/m""#,
            ),
        ] {
            assert_eq!(challenge.status(), status);
            assert_eq!(challenge.header_value(None), plain);
            assert_eq!(challenge.header_value(Some("https://e/m")), with_metadata);
        }
    }

    #[test]
    fn a_url_cannot_leave_its_quotes() {
        let value = Challenge::NoToken.header_value(Some("a\"b\\c\r\nd"));
        assert_eq!(value, r#"Bearer resource_metadata="a\"b\\cd""#);
    }
}
