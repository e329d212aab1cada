//! Mangled requests: nothing panics, and nothing depends on how the bytes arrive.

use super::corpus::{BAD, GOOD, feed};
use crate::http::{
    body::{BodyLength, BodyReader, Step},
    form,
};

/// Marsaglia's xorshift: enough to mangle, and the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn bytes(&mut self, len_max: usize) -> Vec<u8> {
        (0..self.below(len_max + 1)).map(|_| self.below(256) as u8).collect()
    }

    /// Cuts `input` into pieces.
    fn cut<'a>(&mut self, mut input: &'a [u8]) -> Vec<&'a [u8]> {
        let mut pieces = Vec::new();
        while !input.is_empty() {
            let (piece, rest) = input.split_at(1 + self.below(input.len().min(40)));
            pieces.push(piece);
            input = rest;
        }
        pieces
    }

    /// Changes a few bytes of `input`: to others, to ones that mean something, away, or double.
    fn mangle(&mut self, input: &mut Vec<u8>) {
        for _ in 0..1 + self.below(3) {
            let at = self.below(input.len());
            let special = b"\r\n\0 \t:;,=&%+0f\x7f\x80\xff"[self.below(17)];
            match self.below(5) {
                0 => input[at] = self.below(256) as u8,
                1 => input[at] = special,
                2 => input.insert(at, special),
                3 if input.len() > 1 => drop(input.remove(at)),
                _ => {
                    let end = at + self.below(input.len() - at);
                    let copy = input[at..end].to_vec();
                    input.splice(end..end, copy);
                }
            }
        }
    }
}

#[test]
fn mangled_requests_do_no_harm_and_mean_the_same_in_pieces() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut good_count = 0;
    for round in 0..20_000 {
        let mut input = Vec::new();
        for _ in 0..1 + random.below(2) {
            let all = GOOD.len() + BAD.len();
            let request = GOOD.iter().chain(BAD).nth(random.below(all)).unwrap();
            input.extend_from_slice(request.as_bytes());
        }
        random.mangle(&mut input);
        let whole = feed(&[&input]);
        let pieces = feed(&random.cut(&input));
        assert_eq!(whole, pieces, "round {round}: {:?}", String::from_utf8_lossy(&input));
        good_count += whole.0.len();
    }
    assert!(good_count > 3_000, "{good_count}: hardly anything is read, so nothing is tested");
}

#[test]
fn decoding_undoes_encoding() {
    let mut random = Random(42);
    for _ in 0..2_000 {
        let body = random.bytes(200);
        let mut encoded = Vec::new();
        for chunk in random.cut(&body) {
            encoded.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            encoded.extend_from_slice(chunk);
            encoded.extend_from_slice(b"\r\n");
        }
        encoded.extend_from_slice(b"0\r\n\r\n");
        let len = encoded.len();
        encoded.extend_from_slice(b"rest");
        let mut reader = BodyReader::new(BodyLength::Chunked, 200).unwrap();
        let (mut decoded, mut taken, mut done) = (Vec::new(), 0, false);
        for piece in random.cut(&encoded) {
            assert!(!done || taken == len);
            let step: Step = reader.decode(piece, &mut decoded).unwrap();
            taken += step.consumed;
            done = step.done;
        }
        assert_eq!((decoded, taken, done), (body, len, true));
    }
}

#[test]
fn random_bytes_do_no_harm_to_bodies_and_forms() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let mut input = random.bytes(60);
        input.extend_from_slice(b"5\r\nab%c+\r\n&=");
        random.mangle(&mut input);
        for length in [BodyLength::Chunked, BodyLength::Sized(30)] {
            let mut body = Vec::new();
            let mut reader = BodyReader::new(length, 40).unwrap();
            if let Ok(step) = reader.decode(&input, &mut body) {
                assert!(step.consumed <= input.len() && body.len() <= 40);
            }
        }
        let pair_count = form::pairs(&input).count();
        let segments = input.split(|&byte| byte == b'&').filter(|segment| !segment.is_empty());
        assert_eq!(pair_count, segments.count());
    }
}
