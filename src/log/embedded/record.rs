//! Records: updates as they lie in a segment.
//!
//! ```text
//!  0  length of the record, a multiple of 8, below 2^31       u32
//!  4  checksum of all that follows                            u32
//!  8  position                                                u64
//! 16  published, microseconds since 1970                      u64
//! 24  flags: 1 private, 2 the id was generated                u16
//! 26  where the event starts in the frame                     u16
//! 28  where the id starts in the frame                        u32
//! 32  length of the id                                        u32
//! 36  length of the frame                                     u32
//! 40  number of topics                                        u32
//! 44  length of the topics                                    u32
//! 48  topics, the canonical one first: length (u32), text
//!     frame: the event as an HTTP/1.1 chunk
//!     zeros up to the length
//! ```

use super::bytes::{aligned, checksum, put_u32, put_u64, u32_at, u64_at};
use crate::protocol::{
    frame::{Form, FrameParts},
    time::UnixTime,
    update::{Position, Update},
};

pub(super) const HEADER_LEN: usize = 48;
/// No record is longer: the highest bit tells groups from records.
pub(super) const LEN_MAX: u32 = (1 << 31) - 8;

const PRIVATE: u16 = 1;
const ID_IS_GENERATED: u16 = 2;

/// A record whose checksum holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) position: Position,
    pub(super) published: UnixTime,
    pub(super) private: bool,
    pub(super) id_is_generated: bool,
    topics: &'a [u8],
    frame: FrameParts<'a>,
}

/// Appends the record of `update` to `out`.
pub(super) fn encode(update: &Update, out: &mut Vec<u8>) {
    let start = out.len();
    let frame = update.frame.parts();
    out.resize(start + HEADER_LEN, 0);
    for topic in &update.topics {
        let text = topic.text().as_bytes();
        out.extend_from_slice(&(text.len() as u32).to_le_bytes());
        out.extend_from_slice(text);
    }
    let topics_len = out.len() - start - HEADER_LEN;
    out.extend_from_slice(frame.bytes);
    out.resize(start + aligned(out.len() - start), 0);
    let private = if update.private { PRIVATE } else { 0 };
    let generated = if update.id_is_generated { ID_IS_GENERATED } else { 0 };
    let record = &mut out[start..];
    let len = u32::try_from(record.len()).ok().filter(|len| *len <= LEN_MAX);
    put_u32(record, 0, len.expect("bodies are limited far below 2 GiB"));
    put_u64(record, 8, update.position.0);
    put_u64(record, 16, update.published.as_micros());
    record[24..26].copy_from_slice(&(private | generated).to_le_bytes());
    record[26..28].copy_from_slice(&frame.event_start.to_le_bytes());
    put_u32(record, 28, frame.id_start);
    put_u32(record, 32, frame.id_len);
    put_u32(record, 36, frame.bytes.len() as u32);
    put_u32(record, 40, update.topics.len() as u32);
    put_u32(record, 44, topics_len as u32);
    let sum = checksum(&record[8..]);
    put_u32(record, 4, sum);
}

/// The length of the record that begins `bytes`, as far as its first field can be trusted.
pub(super) fn len(bytes: &[u8]) -> Option<usize> {
    let len = u32_at(bytes, 0)?;
    let is_possible = (HEADER_LEN as u32..=LEN_MAX).contains(&len) && len % 8 == 0;
    is_possible.then_some(len as usize)
}

impl<'a> Record<'a> {
    /// The record that begins `bytes`, and its length; `None` if it is not whole and sound.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<(Record<'a>, usize)> {
        let len = len(bytes)?;
        let bytes = bytes.get(..len)?;
        if checksum(&bytes[8..]) != u32_at(bytes, 4)? {
            return None;
        }
        let flags = u16::from_le_bytes(*bytes[24..].first_chunk()?);
        let topics_end = HEADER_LEN.checked_add(u32_at(bytes, 44)? as usize)?;
        let frame_end = topics_end.checked_add(u32_at(bytes, 36)? as usize)?;
        let frame = FrameParts {
            bytes: bytes.get(topics_end..frame_end)?,
            event_start: u16::from_le_bytes(*bytes[26..].first_chunk()?),
            id_start: u32_at(bytes, 28)?,
            id_len: u32_at(bytes, 32)?,
        };
        let record = Record {
            position: Position(u64_at(bytes, 8)?),
            published: UnixTime::from_micros(u64_at(bytes, 16)?),
            private: flags & PRIVATE != 0,
            id_is_generated: flags & ID_IS_GENERATED != 0,
            topics: bytes.get(HEADER_LEN..topics_end)?,
            frame,
        };
        let is_sound = frame.is_sound() && record.topics().count() == u32_at(bytes, 40)? as usize;
        is_sound.then_some((record, len))
    }

    pub(super) fn id(&self) -> &'a str {
        self.frame.id()
    }

    pub(super) fn event(&self, form: Form) -> &'a [u8] {
        self.frame.event(form)
    }

    /// The texts of the topics.
    pub(super) fn topics(&self) -> impl Iterator<Item = &'a str> + Clone {
        let mut rest = self.topics;
        std::iter::from_fn(move || {
            let len = u32_at(rest, 0)? as usize;
            let text = rest.get(4..)?.get(..len)?;
            rest = &rest[4 + len..];
            str::from_utf8(text).ok()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::embedded::fixture;

    #[test]
    fn a_record_is_what_was_encoded() {
        let update = fixture::update(7, &["a", "https://é.example/"], Some("my id"), true);
        let mut bytes = Vec::new();
        encode(&update, &mut bytes);
        let (record, len) = Record::decode(&bytes).unwrap();
        assert_eq!((len, len % 8), (bytes.len(), 0));
        assert_eq!((record.position, record.private), (Position(7), true));
        assert!(!record.id_is_generated);
        assert_eq!(record.published, update.published);
        assert_eq!(record.id(), "my id");
        assert_eq!(record.topics().collect::<Vec<_>>(), ["a", "https://é.example/"]);
        for form in [Form::Chunked, Form::Bare] {
            assert_eq!(record.event(form), update.frame.bytes(form));
        }
    }

    #[test]
    fn no_damage_goes_unnoticed() {
        let mut bytes = Vec::new();
        encode(&fixture::update(7, &["a", "b"], None, false), &mut bytes);
        assert!(Record::decode(&bytes).is_some());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&bytes).is_none(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        for len in 0..bytes.len() {
            assert!(Record::decode(&bytes[..len]).is_none(), "{len} bytes");
        }
    }

    #[test]
    fn nonsense_with_a_right_checksum_is_no_record() {
        let mut whole = Vec::new();
        encode(&fixture::update(7, &["a"], None, false), &mut whole);
        for at in (24..HEADER_LEN).step_by(4) {
            for value in [1, 60_000, u32::MAX, u32::MAX / 2] {
                let mut bytes = whole.clone();
                put_u32(&mut bytes, at, value);
                let sum = checksum(&bytes[8..]);
                put_u32(&mut bytes, 4, sum);
                if let Some((record, _)) = Record::decode(&bytes) {
                    let _ = (record.id(), record.event(Form::Bare), record.topics().count());
                }
            }
        }
    }
}
