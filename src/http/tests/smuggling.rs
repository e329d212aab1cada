//! Shapes of requests that different servers read differently, each with its refusal
//! (RFC 9112 §11.2), and beside them the nearest shapes that are good.

use crate::http::{
    body::BodyLength,
    head::Head,
    reader::{HeadReader, Limits},
    refusal::{Refusal, Refusal::*},
    status::Status,
};

fn read(input: &[u8]) -> Result<Option<(Head, usize)>, Refusal> {
    HeadReader::default().read(input, &Limits::default())
}

fn assert_refused(input: &[u8], refusal: Refusal) {
    let shown = String::from_utf8_lossy(input);
    assert_eq!(read(input).map(|_| ()), Err(refusal), "{shown:?}");
}

/// Shapes of the lines after `Host`.
const FIELDS: &[(&str, Refusal)] = &[
    // Two lengths.
    ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", LengthAndEncoding),
    ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", LengthAndEncoding),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", LengthAndEncoding),
    ("Transfer-Encoding: identity\r\nContent-Length: 5\r\n", LengthAndEncoding),
    ("Content-Length: 5\r\nContent-Length: 6\r\n", ContentLengthRepeated),
    ("Content-Length: 5\r\ncontent-length: 5\r\n", ContentLengthRepeated),
    ("Content-Length: 5, 5\r\n", ContentLength),
    ("Content-Length: 5,6\r\n", ContentLength),
    // No number.
    ("Content-Length: +5\r\n", ContentLength),
    ("Content-Length: -5\r\n", ContentLength),
    ("Content-Length: 0x5\r\n", ContentLength),
    ("Content-Length: 5 5\r\n", ContentLength),
    ("Content-Length: 5;\r\n", ContentLength),
    ("Content-Length: 5.0\r\n", ContentLength),
    ("Content-Length:\r\n", ContentLength),
    ("Content-Length: five\r\n", ContentLength),
    ("Content-Length: \u{665}\r\n", ContentLength),
    ("Content-Length: 18446744073709551616\r\n", ContentLength),
    ("Content-Length: 99999999999999999999999999\r\n", ContentLength),
    // Codings.
    ("Transfer-Encoding: chunked, chunked\r\n", TransferEncoding),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", TransferEncoding),
    ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", TransferEncoding),
    ("Transfer-Encoding: chunked, identity\r\n", TransferEncoding),
    ("Transfer-Encoding: gzip\r\n", TransferEncoding),
    ("Transfer-Encoding: identity\r\n", TransferEncoding),
    ("Transfer-Encoding: xchunked\r\n", TransferEncoding),
    ("Transfer-Encoding: chunkedx\r\n", TransferEncoding),
    ("Transfer-Encoding: chunked;q=1\r\n", TransferEncoding),
    ("Transfer-Encoding: \"chunked\"\r\n", TransferEncoding),
    ("Transfer-Encoding: chunked,\r\n", TransferEncoding),
    ("Transfer-Encoding: ,chunked\r\n", TransferEncoding),
    ("Transfer-Encoding:\r\n", TransferEncoding),
    ("Transfer-Encoding: x y\r\n", TransferEncoding),
    ("Transfer-Encoding: x y, chunked\r\n", TransferEncoding),
    ("Transfer-Encoding: chunked, gzip, chunked\r\n", TransferEncoding),
    ("Transfer-Encoding: \u{e9}chunked\r\n", TransferEncoding),
    ("Transfer-Encoding: gzip, chunked\r\n", TransferCodingUnknown),
    ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", TransferCodingUnknown),
    ("Transfer-Encoding: identity, x, chunked\r\n", TransferCodingUnknown),
    ("Transfer-Encoding: \u{b}chunked\r\n", HeaderValue),
    ("Transfer-Encoding: chunked\0\r\n", HeaderValue),
    // Names.
    ("Transfer-Encoding : chunked\r\n", HeaderName),
    ("Transfer-Encoding\t: chunked\r\n", HeaderName),
    ("Content-Length : 5\r\n", HeaderName),
    (": x\r\n", HeaderName),
    ("X\r\n", HeaderName),
    ("X Y: z\r\n", HeaderName),
    ("X\0: z\r\n", HeaderName),
    ("X\u{e9}: z\r\n", HeaderName),
    ("X(: z\r\n", HeaderName),
    ("X\r: z\r\n", HeaderName),
    ("\0: z\r\n", HeaderName),
    // Folded lines.
    (" x\r\n", HeaderName),
    ("\tx\r\n", HeaderName),
    ("X: y\r\n z\r\n", HeaderName),
    ("X:\r\n z\r\n", HeaderName),
    (" \r\n", HeaderName),
    ("Transfer-Encoding:\r\n chunked\r\n", HeaderName),
    // Values.
    ("X: a\0b\r\n", HeaderValue),
    ("X: a\u{1}b\r\n", HeaderValue),
    ("X: a\u{8}\r\n", HeaderValue),
    ("X: \u{c}\r\n", HeaderValue),
    ("X: a\u{1b}b\r\n", HeaderValue),
    ("X: a\u{7f}b\r\n", HeaderValue),
    ("X: a\rb\r\n", HeaderValue),
    ("X: a\r\r\n", HeaderValue),
    ("X:\rb\r\n", HeaderValue),
    // Line ends.
    ("X: a\nY: b\r\n", LineEnd),
    ("X: a\r\nY: b\n", LineEnd),
    ("X: a\n\r\n", LineEnd),
    ("\n", LineEnd),
    ("\rX: y\r\n", LineEnd),
    // Hosts.
    ("Host: h\r\n", HostRepeated),
    ("host: other\r\n", HostRepeated),
    ("Host:\r\n", HostRepeated),
    // Expectations.
    ("Expect: something\r\n", Expectation),
    ("Expect: 100-continue, x\r\n", Expectation),
    ("Expect: x, 100-continue\r\n", Expectation),
    ("Expect: 100-continued\r\n", Expectation),
];

#[test]
fn fields_that_can_be_read_in_two_ways_are_refused() {
    for (lines, refusal) in FIELDS {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        assert_refused(request.as_bytes(), *refusal);
        // Not by their place either.
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}X: y\r\n\r\n");
        assert_refused(request.as_bytes(), *refusal);
    }
}

#[test]
fn every_control_byte_in_a_value_is_refused() {
    for byte in 0..=u8::MAX {
        let request = [b"GET / HTTP/1.1\r\nHost: h\r\nX: a", &[byte][..], b"b\r\n\r\n"].concat();
        match byte {
            b'\n' => assert_refused(&request, LineEnd),
            b'\t' => assert!(read(&request).is_ok()),
            0..=0x1f | 0x7f => assert_refused(&request, HeaderValue),
            _ => assert!(read(&request).is_ok(), "{byte}"),
        }
    }
}

#[test]
fn long_values_are_looked_through_as_well() {
    // `httparse` looks at many bytes at once: a bad one may hide anywhere in a block.
    for at in 0..100 {
        for byte in [0, 1, 0x1f, 0x7f] {
            let mut value = [b'x'; 100];
            value[at] = byte;
            let request = [b"GET / HTTP/1.1\r\nHost: h\r\nX: ", &value[..], b"\r\n\r\n"].concat();
            assert_refused(&request, HeaderValue);
            let mut target = [b'x'; 100];
            target[at] = byte;
            let request = [b"GET /", &target[..], b" HTTP/1.1\r\nHost: h\r\n\r\n"].concat();
            assert_refused(&request, RequestLine);
        }
    }
}

#[test]
fn request_lines_are_read_strictly() {
    let table: &[(&[u8], Refusal)] = &[
        (b" GET / HTTP/1.1\r\n", RequestLine),
        (b"\tGET / HTTP/1.1\r\n", RequestLine),
        (b"GET  / HTTP/1.1\r\n", RequestLine),
        (b"GET /  HTTP/1.1\r\n", RequestLine),
        (b"GET\t/ HTTP/1.1\r\n", RequestLine),
        (b"GET /\tHTTP/1.1\r\n", RequestLine),
        (b"GET / x HTTP/1.1\r\n", RequestLine),
        (b"GET / HTTP/1.1 \r\n", LineEnd),
        (b"GET / HTTP/1.1x\r\n", LineEnd),
        (b"GET / HTTP/1.1\rX\r\n", LineEnd),
        (b"GET / HTTP/1.1\r\r\n", LineEnd),
        (b"GET / HTTP/1.1\n", LineEnd),
        (b"GET /\r\n", RequestLine),
        (b"GET\r\n", RequestLine),
        (b"GET / \r\n", RequestLine),
        (b"GET / http/1.1\r\n", RequestLine),
        (b"GET / HTTP/1.\r\n", RequestLine),
        (b"GET / HTTP/11\r\n", RequestLine),
        (b"GET / HTTP/1.10\r\n", LineEnd),
        (b"GET / HTTP/01.1\r\n", RequestLine),
        (b"GET / HTTP 1.1\r\n", RequestLine),
        (b"GET / ICY/1.1\r\n", RequestLine),
        (b"GET / HTTP/2.0\r\n", Version),
        (b"PRI * HTTP/2.0\r\n", Version),
        (b"GET / HTTP/0.9\r\n", Version),
        (b"GET / HTTP/1.2\r\n", Version),
        (b"GET / HTTP/3.0\r\n", Version),
        (b"GET / HTTP/2\r\n", RequestLine),
        (b"GET / HTTP/2.0x\r\n", RequestLine),
        (b"GET /  HTTP/2.0\r\n", RequestLine),
        (b"GET / HTTP/2.0 x\r\n", RequestLine),
        (b"GET /\0 HTTP/1.1\r\n", RequestLine),
        (b"GET /\x7f HTTP/1.1\r\n", RequestLine),
        (b"GET /\xff HTTP/1.1\r\n", RequestLine),
        (b"GET /\xc3 HTTP/1.1\r\n", RequestLine),
        (b"GET /\rX HTTP/1.1\r\n", RequestLine),
        (b"G(T / HTTP/1.1\r\n", RequestLine),
        (b"G\xe9T / HTTP/1.1\r\n", RequestLine),
        (b": / HTTP/1.1\r\n", RequestLine),
        (b"\x16\x03\x01\r\n", RequestLine),
        (b"\0\r\n", RequestLine),
        (b"GET x HTTP/1.1\r\n", Target),
        (b"GET * HTTP/1.1\r\n", Target),
        (b"GET /a#b HTTP/1.1\r\n", Target),
        (b"CONNECT h:443 HTTP/1.1\r\n", Target),
        (b"GET http://u@h/ HTTP/1.1\r\n", Target),
        (b"GET ftp://h/ HTTP/1.1\r\n", Target),
        (b"GET http:///p HTTP/1.1\r\n", Target),
        (b"\nGET / HTTP/1.1\r\n", LineEnd),
        (b"\r\n\nGET / HTTP/1.1\r\n", LineEnd),
        (b"\r\r\nGET / HTTP/1.1\r\n", LineEnd),
        (b"\rGET / HTTP/1.1\r\n", LineEnd),
        (b"\r\n GET / HTTP/1.1\r\n", RequestLine),
        (b"\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", EmptyLines),
    ];
    for (line, refusal) in table {
        assert_refused(&[line, &b"Host: h\r\n\r\n"[..]].concat(), *refusal);
    }
}

#[test]
fn hosts_are_read_strictly() {
    let table: &[(&str, Refusal)] = &[
        ("", HostMissing),
        ("X-Host: h\r\n", HostMissing),
        ("Host: h\r\nHost: h\r\n", HostRepeated),
        ("Host: a b\r\n", Host),
        ("Host: a, b\r\n", Host),
        ("Host: u@h\r\n", Host),
        ("Host: h/p\r\n", Host),
        ("Host: h?q\r\n", Host),
        ("Host: http://h\r\n", Host),
        ("Host: h:x\r\n", Host),
        ("Host: :80\r\n", Host),
        ("Host: [::1\r\n", Host),
        ("Host: \u{e9}\r\n", Host),
    ];
    for (lines, refusal) in table {
        let request = format!("GET / HTTP/1.1\r\n{lines}\r\n");
        assert_refused(request.as_bytes(), *refusal);
    }
    assert_refused(b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", Host);
    assert_refused(b"GET / HTTP/1.0\r\nHost: h\r\nHost: h\r\n\r\n", HostRepeated);
    assert_refused(b"GET http://h/ HTTP/1.1\r\nHost: a b\r\n\r\n", Host);
}

#[test]
fn http_1_0_has_no_transfer_encoding() {
    for lines in [
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        let request = format!("POST / HTTP/1.0\r\n{lines}\r\n");
        assert_refused(request.as_bytes(), TransferEncodingInHttp10);
    }
}

#[test]
fn the_nearest_good_shapes_are_taken() {
    let table = [
        ("", BodyLength::None),
        ("Content-Length: 5\r\n", BodyLength::Sized(5)),
        ("Content-Length:5\r\n", BodyLength::Sized(5)),
        ("Content-Length: \t 5 \t\r\n", BodyLength::Sized(5)),
        ("Content-Length: 0\r\n", BodyLength::Sized(0)),
        ("Content-Length: 0005\r\n", BodyLength::Sized(5)),
        ("Content-Length: 18446744073709551615\r\n", BodyLength::Sized(u64::MAX)),
        ("Transfer-Encoding: chunked\r\n", BodyLength::Chunked),
        ("TRANSFER-ENCODING:  Chunked \r\n", BodyLength::Chunked),
        ("X-Transfer-Encoding: gzip\r\n", BodyLength::None),
        ("Content_Length: 5\r\n", BodyLength::None),
        ("TE: gzip\r\n", BodyLength::None),
    ];
    for (lines, length) in table {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let (head, _) = read(request.as_bytes()).unwrap().unwrap();
        assert_eq!(head.body, length, "{lines}");
    }
    let four_empty_lines = b"\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(matches!(read(four_empty_lines), Ok(Some((_, len))) if len == four_empty_lines.len()));
}

#[test]
fn a_client_that_speaks_something_else_is_told_at_its_first_byte() {
    assert_refused(b"\x16", RequestLine);
    assert_refused(b"\n", LineEnd);
    assert_eq!(read(b""), Ok(None));
    assert_eq!(read(b"\r"), Ok(None));
    assert_eq!(read(b"G"), Ok(None));
}

#[test]
fn refusals_have_their_status() {
    let table = [
        (TargetTooLong, Status::UriTooLong),
        (HeadTooLarge, Status::HeaderFieldsTooLarge),
        (TooManyHeaders, Status::HeaderFieldsTooLarge),
        (TrailersTooLarge, Status::HeaderFieldsTooLarge),
        (BodyTooLarge, Status::ContentTooLarge),
        (Version, Status::VersionNotSupported),
        (TransferCodingUnknown, Status::NotImplemented),
        (Expectation, Status::ExpectationFailed),
        (LengthAndEncoding, Status::BadRequest),
        (ChunkSize, Status::BadRequest),
    ];
    for (refusal, status) in table {
        assert_eq!(refusal.status(), status);
    }
}
