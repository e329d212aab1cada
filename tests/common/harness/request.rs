//! Requests as a connection receives them.

use petasos::http::{
    body::{BodyLength, BodyReader, Step},
    head::Head,
    reader::{HeadReader, Limits as HeadLimits},
    refusal::Refusal,
};

const BODY_LEN_MAX: u64 = 4096;

/// Small limits, so that they are reached.
const HEAD_LIMITS: HeadLimits =
    HeadLimits { target_len_max: 512, head_len_max: 2048, header_count_max: 20 };

/// Reads requests out of what arrives, as a connection does.
#[derive(Default)]
struct Reading {
    received: Vec<u8>,
    heads: HeadReader,
    waiting: Option<(Head, BodyReader, Vec<u8>)>,
    requests: Vec<(Head, Vec<u8>)>,
}

impl Reading {
    fn receive(&mut self, piece: &[u8]) -> Result<(), Refusal> {
        self.received.extend_from_slice(piece);
        loop {
            let Some((head, mut body, mut bytes)) = self.waiting.take() else {
                let Some((head, len)) = self.heads.read(&self.received, &HEAD_LIMITS)? else {
                    return Ok(());
                };
                assert!(len > 0 && len <= self.received.len(), "a head is part of the input");
                self.received.drain(..len);
                let body = BodyReader::new(head.body, BODY_LEN_MAX)?;
                self.waiting = Some((head, body, Vec::new()));
                continue;
            };
            let Step { consumed, done } = body.decode(&self.received, &mut bytes)?;
            assert!(consumed <= self.received.len(), "a body is part of the input");
            assert!(bytes.len() as u64 <= BODY_LEN_MAX);
            self.received.drain(..consumed);
            if !done {
                assert!(self.received.is_empty(), "a body takes all that it can");
                self.waiting = Some((head, body, bytes));
                return Ok(());
            }
            self.requests.push((head, bytes));
        }
    }
}

/// What was read of a connection that received these pieces, and what is left or why it ended.
type Read = (Vec<(Head, Vec<u8>)>, Result<Vec<u8>, Refusal>);

fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Read {
    let mut reading = Reading::default();
    for piece in pieces {
        if let Err(refusal) = reading.receive(piece) {
            return (reading.requests, Err(refusal));
        }
    }
    (reading.requests, Ok(reading.received))
}

/// Requests mean the same however their bytes arrive.
pub fn request(input: &[u8]) -> bool {
    let whole = read([input].into_iter());
    assert_eq!(whole, read(input.chunks(1)), "byte by byte: {}", input.escape_ascii());
    assert_eq!(whole, read(input.chunks(7)), "in pieces: {}", input.escape_ascii());
    body(input);
    !whole.0.is_empty()
}

/// Decoding a chunked body undoes encoding, however it is cut into chunks and pieces.
fn body(input: &[u8]) {
    let input = &input[..input.len().min(BODY_LEN_MAX as usize)];
    let mut encoded = Vec::new();
    let mut rest = input;
    while let [first, ..] = rest {
        let (chunk, after) = rest.split_at(rest.len().min(1 + usize::from(*first) % 40));
        encoded.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
        encoded.extend_from_slice(chunk);
        encoded.extend_from_slice(b"\r\n");
        rest = after;
    }
    encoded.extend_from_slice(b"0\r\n\r\n");
    let len = encoded.len();
    encoded.extend_from_slice(b"GET");
    for pieces in [1, 5, encoded.len()] {
        let mut reader = BodyReader::new(BodyLength::Chunked, BODY_LEN_MAX).unwrap();
        let (mut decoded, mut consumed, mut done) = (Vec::new(), 0, false);
        for piece in encoded.chunks(pieces) {
            let step = reader.decode(piece, &mut decoded).expect("well encoded");
            (consumed, done) = (consumed + step.consumed, step.done);
        }
        assert!(done && consumed == len && decoded == input, "{}", input.escape_ascii());
    }
}
