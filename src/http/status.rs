//! The status codes that the hub answers with.

macro_rules! statuses {
    ($($name:ident $code:literal $reason:literal)*) => {
        /// A status code (RFC 9110 §15) that the hub uses.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Status {
            $($name = $code,)*
        }

        impl Status {
            /// The reason phrase; also the title of problem details (RFC 9457 §4.2.1).
            pub fn reason(self) -> &'static str {
                match self {
                    $(Status::$name => $reason,)*
                }
            }

            /// The status line with its CRLF. Always HTTP/1.1: a server names the highest
            /// version that it speaks, whatever the client's minor version (RFC 9110 §6.2).
            pub(super) fn line(self) -> &'static str {
                match self {
                    $(Status::$name => concat!("HTTP/1.1 ", $code, " ", $reason, "\r\n"),)*
                }
            }
        }
    };
}

statuses! {
    Ok 200 "OK"
    NoContent 204 "No Content"
    PermanentRedirect 308 "Permanent Redirect"
    BadRequest 400 "Bad Request"
    Unauthorized 401 "Unauthorized"
    Forbidden 403 "Forbidden"
    NotFound 404 "Not Found"
    MethodNotAllowed 405 "Method Not Allowed"
    RequestTimeout 408 "Request Timeout"
    Conflict 409 "Conflict"
    ContentTooLarge 413 "Content Too Large"
    UriTooLong 414 "URI Too Long"
    UnsupportedMediaType 415 "Unsupported Media Type"
    ExpectationFailed 417 "Expectation Failed"
    MisdirectedRequest 421 "Misdirected Request"
    TooManyRequests 429 "Too Many Requests"
    HeaderFieldsTooLarge 431 "Request Header Fields Too Large"
    InternalServerError 500 "Internal Server Error"
    NotImplemented 501 "Not Implemented"
    ServiceUnavailable 503 "Service Unavailable"
    VersionNotSupported 505 "HTTP Version Not Supported"
}

impl Status {
    /// The three digits.
    pub fn code(self) -> u16 {
        self as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_whole() {
        assert_eq!(Status::NoContent.line(), "HTTP/1.1 204 No Content\r\n");
        assert_eq!((Status::NotFound.code(), Status::NotFound.reason()), (404, "Not Found"));
    }
}
