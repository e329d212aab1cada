//! Ids that the hub generates: opaque, and yet cursors that need no index.
//!
//! A generated id is a version 8 UUID (RFC 9562) whose 122 free bits are a keyed permutation of
//! (incarnation, position, sub-position). It discloses neither time nor order (draft-08
//! #reconciliation and #authorization-on-event-replay recommend that), and whoever has the key
//! finds the position in it.

use siphasher::sip::SipHasher24;
use std::{fmt, hash::Hasher};

use super::position::Position;

/// `urn:uuid:` and 36 characters.
pub const GENERATED_ID_LEN: usize = 45;

const PREFIX: &str = "urn:uuid:";
const HALF_BITS: u32 = 61;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
/// Four rounds of a keyed pseudo-random function make a strong pseudo-random permutation (Luby
/// and Rackoff); two more cost nothing that can be measured.
const ROUNDS: u64 = 6;
const SUB_POSITION_BITS: u32 = 26;

/// What a generated id means to the hub that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Drawn at random each time a history is opened, since copied histories differ afterwards.
    pub incarnation: u32,
    pub position: Position,
    /// Tells events apart that share a durable position; 0 for updates. 26 bits.
    pub sub_position: u32,
}

/// Makes and reads generated ids. The key lies with the history.
#[derive(Clone)]
pub struct IdCipher {
    keys: [(u64, u64); ROUNDS as usize],
}

impl fmt::Debug for IdCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdCipher")
    }
}

impl IdCipher {
    pub fn new(key: [u8; 16]) -> Self {
        let word = |range: std::ops::Range<usize>| {
            u64::from_le_bytes(key[range].try_into().expect("eight bytes"))
        };
        let (k0, k1) = (word(0..8), word(8..16));
        let subkey = |round: u64, part: u64| {
            let mut hasher = SipHasher24::new_with_keys(k0, k1);
            hasher.write_u64(round);
            hasher.write_u64(part);
            hasher.finish()
        };
        IdCipher { keys: std::array::from_fn(|i| (subkey(i as u64, 0), subkey(i as u64, 1))) }
    }

    /// The text of the id for `place`.
    pub fn encode(&self, place: Place) -> [u8; GENERATED_ID_LEN] {
        debug_assert!(place.sub_position < 1 << SUB_POSITION_BITS);
        let plain = (u128::from(place.incarnation) << 90)
            | (u128::from(place.position.0) << SUB_POSITION_BITS)
            | u128::from(place.sub_position);
        format_uuid(spread(self.permute(plain)))
    }

    /// The place that `id` means, if it has the form of a generated id. Anybody can write an id
    /// of that form: whether the update at that place really bears it is for the caller to check.
    pub fn decode(&self, id: &str) -> Option<Place> {
        let plain = self.unpermute(gather(parse_uuid(id)?)?);
        Some(Place {
            incarnation: (plain >> 90) as u32,
            position: Position((plain >> SUB_POSITION_BITS) as u64),
            sub_position: plain as u32 & ((1 << SUB_POSITION_BITS) - 1),
        })
    }

    fn round(&self, round: usize, half: u64) -> u64 {
        let (k0, k1) = self.keys[round];
        let mut hasher = SipHasher24::new_with_keys(k0, k1);
        hasher.write_u64(half);
        hasher.finish() & HALF_MASK
    }

    fn permute(&self, plain: u128) -> u128 {
        let (mut left, mut right) = halves(plain);
        for round in 0..self.keys.len() {
            (left, right) = (right, left ^ self.round(round, right));
        }
        join(left, right)
    }

    fn unpermute(&self, mixed: u128) -> u128 {
        let (mut left, mut right) = halves(mixed);
        for round in (0..self.keys.len()).rev() {
            (left, right) = (right ^ self.round(round, left), left);
        }
        join(left, right)
    }
}

fn halves(value: u128) -> (u64, u64) {
    ((value >> HALF_BITS) as u64 & HALF_MASK, value as u64 & HALF_MASK)
}

fn join(left: u64, right: u64) -> u128 {
    (u128::from(left) << HALF_BITS) | u128::from(right)
}

/// Puts 122 bits around the version and variant bits of a UUID.
fn spread(bits: u128) -> u128 {
    let high = bits >> 74; // 48 bits before the version
    let middle = (bits >> 62) & 0xfff; // 12 bits between version and variant
    let low = bits & ((1 << 62) - 1);
    (high << 80) | (8 << 76) | (middle << 64) | (0b10 << 62) | low
}

fn gather(uuid: u128) -> Option<u128> {
    let is_version_8 = (uuid >> 76) & 0xf == 8 && (uuid >> 62) & 0b11 == 0b10;
    is_version_8
        .then_some(((uuid >> 80) << 74) | (((uuid >> 64) & 0xfff) << 62) | (uuid & ((1 << 62) - 1)))
}

const DASHES: [usize; 4] = [8, 13, 18, 23];
/// Where each of a UUID's bytes stands in its text.
const BYTES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];

fn format_uuid(uuid: u128) -> [u8; GENERATED_ID_LEN] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; GENERATED_ID_LEN];
    let (prefix, digits) = text.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX.as_bytes());
    for (at, byte) in BYTES.into_iter().zip(uuid.to_be_bytes()) {
        digits[at] = DIGITS[usize::from(byte >> 4)];
        digits[at + 1] = DIGITS[usize::from(byte & 0xf)];
    }
    text
}

fn parse_uuid(id: &str) -> Option<u128> {
    let digits = id.strip_prefix(PREFIX)?.as_bytes();
    if digits.len() != GENERATED_ID_LEN - PREFIX.len() {
        return None;
    }
    if DASHES.iter().any(|dash| digits[*dash] != b'-') {
        return None;
    }
    let mut bytes = [0; BYTES.len()];
    for (byte, at) in bytes.iter_mut().zip(BYTES) {
        *byte = hex_digit(digits[at])? << 4 | hex_digit(digits[at + 1])?;
    }
    Some(u128::from_be_bytes(bytes))
}

/// Only the spelling that the hub writes: ids are compared byte by byte.
fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(id: &[u8; GENERATED_ID_LEN]) -> &str {
        std::str::from_utf8(id).unwrap()
    }

    #[test]
    fn an_id_means_its_place() {
        let cipher = IdCipher::new([7; 16]);
        for incarnation in [0, 1, u32::MAX] {
            for position in [0, 1, 2, 1 << 40, u64::MAX] {
                for sub_position in [0, 1, (1 << 26) - 1] {
                    let place = Place { incarnation, position: Position(position), sub_position };
                    assert_eq!(cipher.decode(text(&cipher.encode(place))), Some(place));
                }
            }
        }
    }

    #[test]
    fn an_id_is_a_version_8_uuid() {
        let cipher = IdCipher::new([3; 16]);
        for position in 0..1000 {
            let id = cipher.encode(Place {
                incarnation: 9,
                position: Position(position),
                sub_position: 0,
            });
            let id = text(&id);
            assert!(id.starts_with("urn:uuid:"));
            assert_eq!(&id[23..24], "8", "{id}");
            assert!(matches!(&id[28..29], "8" | "9" | "a" | "b"), "{id}");
        }
    }

    #[test]
    fn neighbours_share_nothing_visible_and_keys_matter() {
        let cipher = IdCipher::new([1; 16]);
        let at = |cipher: &IdCipher, position| {
            cipher.encode(Place { incarnation: 0, position: Position(position), sub_position: 0 })
        };
        let differing = |a: &[u8], b: &[u8]| a.iter().zip(b).filter(|(a, b)| a != b).count();
        for position in 0..1000 {
            assert!(differing(&at(&cipher, position), &at(&cipher, position + 1)) > 15);
        }
        assert!(differing(&at(&cipher, 1), &at(&IdCipher::new([2; 16]), 1)) > 15);
    }

    #[test]
    fn other_texts_mean_nothing() {
        let cipher = IdCipher::new([1; 16]);
        let id = cipher.encode(Place { incarnation: 0, position: Position(1), sub_position: 0 });
        let id = text(&id);
        for other in [
            "",
            "urn:uuid:",
            &id[9..],
            &id.to_uppercase(),
            &id.replace('-', "0"),
            &format!("{id}0"),
            "urn:uuid:00000000-0000-4000-8000-000000000000",
            "urn:uuid:\u{e9}0000000-0000-8000-8000-00000000000",
        ] {
            assert_eq!(cipher.decode(other), None, "{other}");
        }
    }
}
