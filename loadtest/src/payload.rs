//! The data of a published update: where it belongs, when it was due, and bytes that can be
//! checked.
//!
//! A *series* is a run of updates whose order the publisher knows: those that one connection
//! publishes to one topic, one after the other.

use std::ops::Range;

/// Bytes of data, at least.
pub(crate) const LEN_MIN: usize = SUM.end;

const SERIES: Range<usize> = 0..8;
const SEQUENCE: Range<usize> = 8..16;
const DUE: Range<usize> = 16..32;
const SUM: Range<usize> = 32..40;

/// What an update says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Payload {
    pub(crate) series: u32,
    /// Counts from 0 in each series.
    pub(crate) sequence: u32,
    /// When it was due, in nanoseconds of the machine's clock.
    pub(crate) due_ns: u64,
}

impl Payload {
    /// Writes `len` bytes: letters, digits and `.` only, so that every way of sending leaves them
    /// as they are.
    pub(crate) fn write(&self, len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        hex(u64::from(self.series), SERIES.len(), out);
        hex(u64::from(self.sequence), SEQUENCE.len(), out);
        hex(self.due_ns, DUE.len(), out);
        let sum = checksum(&out[start..]);
        hex(u64::from(sum), SUM.len(), out);
        let rest = len.saturating_sub(LEN_MIN);
        out.extend((0..rest).map(|i| padding(sum, i)));
    }

    /// Reads what [`Payload::write`] wrote; `None` if a byte of it is another one.
    pub(crate) fn read(data: &[u8]) -> Option<Payload> {
        if data.len() < LEN_MIN {
            return None;
        }
        let sum = unhex(&data[SUM])? as u32;
        if sum != checksum(&data[..SUM.start]) {
            return None;
        }
        let rest = &data[LEN_MIN..];
        if !rest.iter().enumerate().all(|(i, &byte)| byte == padding(sum, i)) {
            return None;
        }
        Some(Payload {
            series: unhex(&data[SERIES])? as u32,
            sequence: unhex(&data[SEQUENCE])? as u32,
            due_ns: unhex(&data[DUE])?,
        })
    }
}

fn padding(sum: u32, i: usize) -> u8 {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789..";
    LETTERS[(sum as usize).wrapping_add(i) & 63]
}

/// FNV-1a, a word at a time.
fn checksum(bytes: &[u8]) -> u32 {
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for word in bytes.chunks_exact(8) {
        sum ^= u64::from_le_bytes(word.try_into().expect("a chunk of eight"));
        sum = sum.wrapping_mul(0x0000_0100_0000_01b3);
        sum ^= sum >> 29;
    }
    (sum >> 32) as u32
}

fn hex(value: u64, digits: usize, out: &mut Vec<u8>) {
    out.extend((0..digits).rev().map(|i| b"0123456789abcdef"[(value >> (4 * i)) as usize & 15]));
}

fn unhex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |value, &digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_any_other_byte_is_noticed() {
        let payload = Payload { series: 77, sequence: 1 << 30, due_ns: 1_234_567_890_123_456 };
        for len in [0, LEN_MIN, 100, 1024] {
            let mut data = Vec::new();
            payload.write(len, &mut data);
            assert_eq!(data.len(), len.max(LEN_MIN));
            assert_eq!(Payload::read(&data), Some(payload));
            for i in 0..data.len() {
                let mut damaged = data.clone();
                damaged[i] ^= 1;
                assert_eq!(Payload::read(&damaged), None, "byte {i} of {len}");
            }
            assert_eq!(Payload::read(&data[..data.len() - 1]).is_some(), len > LEN_MIN);
        }
    }
}
