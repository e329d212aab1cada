//! Why a request is not read to its end.

use super::status::Status;

/// A request that is malformed or too large. The text is for the client: it tells of nothing but
/// the client's own bytes.
///
/// After any of these the connection must be closed, since nobody knows where the next request
/// would begin (RFC 9112 §6.3, §11.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    #[error("there are too many empty lines before the request: send one request line")]
    EmptyLines,
    #[error("a line of the request head does not end in CR LF")]
    LineEnd,
    #[error("the request line is malformed: send METHOD, target and HTTP/1.1, one space between")]
    RequestLine,
    #[error("the request target must be a path, or an http or https URL without user and fragment")]
    Target,
    #[error("only HTTP/1.1 and HTTP/1.0 are spoken here")]
    Version,
    #[error("a header field name is malformed: no blanks around it, and no folded lines")]
    HeaderName,
    #[error("a header field value contains a control character")]
    HeaderValue,
    #[error("an HTTP/1.1 request must have a Host field")]
    HostMissing,
    #[error("a request must have one Host field only")]
    HostRepeated,
    #[error("the Host field is not a host with an optional port")]
    Host,
    #[error("Content-Length must be one decimal number")]
    ContentLength,
    #[error("a request must have one Content-Length field only")]
    ContentLengthRepeated,
    #[error("a request must not have both Content-Length and Transfer-Encoding")]
    LengthAndEncoding,
    #[error("the only Transfer-Encoding of a request body is chunked, once")]
    TransferEncoding,
    #[error("no transfer coding but chunked is implemented: send the body uncompressed")]
    TransferCodingUnknown,
    #[error("HTTP/1.0 has no Transfer-Encoding: send a Content-Length")]
    TransferEncodingInHttp10,
    #[error("the only expectation that can be met is 100-continue")]
    Expectation,
    #[error("the URL is too long: use fewer or shorter parameters")]
    TargetTooLong,
    #[error("the request's header fields are too large")]
    HeadTooLarge,
    #[error("the request has too many header fields")]
    TooManyHeaders,
    #[error("the request body is larger than this hub accepts")]
    BodyTooLarge,
    #[error("a chunk of the body has a malformed size")]
    ChunkSize,
    #[error("the chunk extensions of the body are malformed or too long")]
    ChunkExtension,
    #[error("a chunk of the body does not end where its size says")]
    ChunkEnd,
    #[error("the trailer section of the body is malformed")]
    Trailer,
    #[error("the trailer section of the body is too large")]
    TrailersTooLarge,
}

impl Refusal {
    /// The status that the client is told.
    pub fn status(self) -> Status {
        match self {
            Refusal::Version => Status::VersionNotSupported,
            // RFC 9112 §6.1.
            Refusal::TransferCodingUnknown => Status::NotImplemented,
            // RFC 9110 §10.1.1.
            Refusal::Expectation => Status::ExpectationFailed,
            // RFC 9112 §3.
            Refusal::TargetTooLong => Status::UriTooLong,
            // RFC 6585 §5.
            Refusal::HeadTooLarge | Refusal::TooManyHeaders | Refusal::TrailersTooLarge => {
                Status::HeaderFieldsTooLarge
            }
            Refusal::BodyTooLarge => Status::ContentTooLarge,
            Refusal::EmptyLines
            | Refusal::LineEnd
            | Refusal::RequestLine
            | Refusal::Target
            | Refusal::HeaderName
            | Refusal::HeaderValue
            | Refusal::HostMissing
            | Refusal::HostRepeated
            | Refusal::Host
            | Refusal::ContentLength
            | Refusal::ContentLengthRepeated
            | Refusal::LengthAndEncoding
            | Refusal::TransferEncoding
            | Refusal::TransferEncodingInHttp10
            | Refusal::ChunkSize
            | Refusal::ChunkExtension
            | Refusal::ChunkEnd
            | Refusal::Trailer => Status::BadRequest,
        }
    }
}
