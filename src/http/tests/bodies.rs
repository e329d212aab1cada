//! Bodies, whole and in pieces, good and bad.

use crate::http::{
    body::{BodyLength, BodyReader, EXTENSIONS_LEN_MAX, Step, TRAILER_COUNT_MAX, TRAILERS_LEN_MAX},
    refusal::Refusal::{self, *},
};

const LEN_MAX: u64 = 20;

/// The body, and how many bytes it took; `None` if there must be more.
fn read(length: BodyLength, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let mut body = Vec::new();
    let whole = BodyReader::new(length, LEN_MAX)?.decode(input, &mut body);
    let whole = whole.map(|step| step.done.then_some((body, step.consumed)));
    assert_eq!(whole, read_by_byte(length, input), "{:?}", String::from_utf8_lossy(input));
    whole
}

fn read_by_byte(length: BodyLength, input: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let mut reader = BodyReader::new(length, LEN_MAX)?;
    let mut body = Vec::new();
    if reader.decode(&[], &mut body)?.done {
        return Ok(Some((body, 0)));
    }
    for (at, byte) in input.iter().enumerate() {
        let Step { consumed, done } = reader.decode(&[*byte], &mut body)?;
        assert_eq!(consumed, 1);
        if done {
            return Ok(Some((body, at + 1)));
        }
    }
    Ok(None)
}

#[test]
fn sized_bodies_end_where_they_say() {
    let sized = |len, input: &str| read(BodyLength::Sized(len), input.as_bytes());
    assert_eq!(sized(5, "hello, next"), Ok(Some((b"hello".to_vec(), 5))));
    assert_eq!(sized(5, "hell"), Ok(None));
    assert_eq!(sized(0, "next"), Ok(Some((vec![], 0))));
    assert_eq!(read(BodyLength::None, b"next"), Ok(Some((vec![], 0))));
}

#[test]
fn a_declared_length_beyond_the_limit_is_refused_at_once() {
    assert!(BodyReader::new(BodyLength::Sized(LEN_MAX), LEN_MAX).is_ok());
    for len in [LEN_MAX + 1, u64::MAX] {
        let refusal = BodyReader::new(BodyLength::Sized(len), LEN_MAX).map(|_| ());
        assert_eq!(refusal, Err(BodyTooLarge));
    }
}

#[test]
fn a_declared_length_makes_no_memory_ready() {
    let len = 1 << 40;
    let mut body = Vec::new();
    let mut sized = BodyReader::new(BodyLength::Sized(len), u64::MAX).unwrap();
    sized.decode(b"x", &mut body).unwrap();
    assert!(body.capacity() <= 32 * 1024, "{}", body.capacity());
    let mut body = Vec::new();
    let mut chunked = BodyReader::new(BodyLength::Chunked, u64::MAX).unwrap();
    chunked.decode(b"10000000000\r\nx", &mut body).unwrap();
    assert_eq!(body, b"x");
    assert!(body.capacity() <= 32 * 1024, "{}", body.capacity());
}

#[test]
fn a_body_that_is_there_is_not_copied() {
    let input = b"hello, next";
    let mut reader = BodyReader::new(BodyLength::Sized(5), LEN_MAX).unwrap();
    assert_eq!(reader.take_whole(&input[..4]), None);
    assert_eq!(reader.take_whole(input), Some(&b"hello"[..]));
    let step = reader.decode(input, &mut Vec::new());
    assert_eq!(step, Ok(Step { consumed: 0, done: true }));

    let mut reader = BodyReader::new(BodyLength::Sized(5), LEN_MAX).unwrap();
    let mut body = Vec::new();
    assert_eq!(reader.decode(b"he", &mut body), Ok(Step { consumed: 2, done: false }));
    assert_eq!(reader.take_whole(b"llo, next"), Some(&b"llo"[..]));

    let mut none = BodyReader::new(BodyLength::None, LEN_MAX).unwrap();
    assert_eq!(none.take_whole(input), Some(&b""[..]));
    let mut chunked = BodyReader::new(BodyLength::Chunked, LEN_MAX).unwrap();
    assert_eq!(chunked.take_whole(b"0\r\n\r\n"), None);
}

#[test]
fn chunked_bodies_are_put_together() {
    let table: &[(&str, &str)] = &[
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("5\r\nhello\r\n00C\r\n, and more!!\r\n0\r\n\r\n", "hello, and more!!"),
        ("a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x"),
        ("4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"),
        ("1;a\r\nx\r\n0;b=\"c;d\"\r\n\r\n", "x"),
        ("1;a=\t\u{e9}\r\nx\r\n0\r\n\r\n", "x"),
        ("1;\r\nx\r\n0\r\n\r\n", "x"),
        ("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n", "x"),
        ("0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", ""),
    ];
    for (input, expected) in table {
        let rest = format!("{input}GET / HTTP/1.1\r\n\r\n");
        let expected = (expected.as_bytes().to_vec(), input.len());
        assert_eq!(read(BodyLength::Chunked, rest.as_bytes()), Ok(Some(expected)), "{input:?}");
        for len in 0..input.len() {
            assert_eq!(read(BodyLength::Chunked, &input.as_bytes()[..len]), Ok(None), "{input:?}");
        }
    }
}

#[test]
fn chunks_are_read_strictly() {
    let table: &[(&str, Refusal)] = &[
        ("\r\n", ChunkSize),
        (";a\r\n", ChunkSize),
        ("+1\r\n", ChunkSize),
        ("-1\r\n", ChunkSize),
        ("0x1\r\n", ChunkSize),
        ("1_0\r\n", ChunkSize),
        ("g\r\n", ChunkSize),
        (" 1\r\n", ChunkSize),
        ("1 \r\n", ChunkSize),
        ("1 ;a\r\n", ChunkSize),
        ("1\t\r\n", ChunkSize),
        ("1\0\r\n", ChunkSize),
        ("1,1\r\n", ChunkSize),
        ("\u{661}\r\n", ChunkSize),
        ("1\n", ChunkSize),
        ("1\rx", ChunkSize),
        ("1\r\r\n", ChunkSize),
        ("00000000000000001\r\n", ChunkSize),
        ("10000000000000000\r\n", ChunkSize),
        ("FFFFFFFFFFFFFFFFF", ChunkSize),
        ("FFFFFFFFFFFFFFFF\r\n", BodyTooLarge),
        ("15\r\n", BodyTooLarge),
        ("14\r\n01234567890123456789\r\n1\r\n", BodyTooLarge),
        ("1;a\n", ChunkExtension),
        ("1;a\0\r\n", ChunkExtension),
        ("1;a\u{7f}\r\n", ChunkExtension),
        ("1;a\rx", ChunkSize),
        ("1\r\nxy", ChunkEnd),
        ("1\r\nx\n", ChunkEnd),
        ("1\r\nx\rx", ChunkEnd),
        ("1\r\nx0\r\n\r\n", ChunkEnd),
        ("1\r\nx\r\n\r\n", ChunkSize),
        ("0\n\r\n", ChunkSize),
        ("0\r\n\n", Trailer),
        ("0\r\n\rx", Trailer),
        ("0\r\nX\r\n\r\n", Trailer),
        ("0\r\nX : y\r\n\r\n", Trailer),
        ("0\r\n: y\r\n\r\n", Trailer),
        ("0\r\n x: y\r\n\r\n", Trailer),
        ("0\r\nX: y\r\n z\r\n\r\n", Trailer),
        ("0\r\nX: y\n\r\n", Trailer),
        ("0\r\nX: y\rz\r\n\r\n", Trailer),
        ("0\r\nX: \0\r\n\r\n", Trailer),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Trailer),
    ];
    for (input, refusal) in table {
        assert_eq!(read(BodyLength::Chunked, input.as_bytes()), Err(*refusal), "{input:?}");
    }
}

#[test]
fn extensions_are_bounded_over_the_whole_body() {
    // Each semicolon counts, too.
    let chunk = |len: u32| format!("1;{}\r\nx\r\n", "e".repeat(len as usize - 1));
    let half = EXTENSIONS_LEN_MAX / 2;
    let good = format!("{}{}0\r\n\r\n", chunk(half), chunk(half));
    assert!(matches!(read(BodyLength::Chunked, good.as_bytes()), Ok(Some(_))));
    let bad = format!("{}{}0\r\n\r\n", chunk(half), chunk(half + 1));
    assert_eq!(read(BodyLength::Chunked, bad.as_bytes()), Err(ChunkExtension));
    let bad = format!("{}{}0;\r\n\r\n", chunk(half), chunk(half));
    assert_eq!(read(BodyLength::Chunked, bad.as_bytes()), Err(ChunkExtension));
}

#[test]
fn trailers_are_bounded() {
    let fields = |count: u32| format!("0\r\n{}\r\n", "X: y\r\n".repeat(count as usize));
    let input = fields(TRAILER_COUNT_MAX);
    assert!(matches!(read(BodyLength::Chunked, input.as_bytes()), Ok(Some(_))));
    let input = fields(TRAILER_COUNT_MAX + 1);
    assert_eq!(read(BodyLength::Chunked, input.as_bytes()), Err(TrailersTooLarge));
    let bytes = |len: u32| format!("0\r\nX:{}\r\n\r\n", "y".repeat(len as usize - 4));
    let input = bytes(TRAILERS_LEN_MAX);
    assert!(matches!(read(BodyLength::Chunked, input.as_bytes()), Ok(Some(_))));
    let input = bytes(TRAILERS_LEN_MAX + 1);
    assert_eq!(read(BodyLength::Chunked, input.as_bytes()), Err(TrailersTooLarge));
}
