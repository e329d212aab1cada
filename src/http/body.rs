//! Request bodies: sized and chunked (RFC 9112 §6, §7.1).
//!
//! Chunks are read strictly. Blanks around a chunk's size, which RFC 9112 §7.1.1 would let a
//! lenient reader take, are refused: no client sends them, and readers disagree about them.

use super::{fields::is_token_byte, refusal::Refusal};

/// How a request says where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body.
    None,
    /// `Content-Length`, in bytes.
    Sized(u64),
    /// `Transfer-Encoding: chunked`.
    Chunked,
}

/// Bytes of chunk extensions in a whole body. Nobody sends any but to make work.
pub const EXTENSIONS_LEN_MAX: u32 = 1024;
/// Bytes of a trailer section, without its last line.
pub const TRAILERS_LEN_MAX: u32 = 8 * 1024;
/// Fields of a trailer section.
pub const TRAILER_COUNT_MAX: u32 = 32;

/// Memory that is made ready for what a client has merely declared.
const RESERVE_LEN_MAX: u64 = 16 * 1024;
/// Digits of a chunk's size: what 64 bits hold.
const SIZE_DIGITS_MAX: u32 = 16;

/// Reads one body.
#[derive(Debug)]
pub struct BodyReader {
    state: State,
    /// Bytes still to come of the sized body, or of the chunk.
    left: u64,
    /// Bytes that further chunks may bring.
    room: u64,
    /// Digits of this chunk's size.
    digits: u32,
    extensions_len: u32,
    trailers_len: u32,
    trailer_count: u32,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sized,
    Size,
    Extension,
    SizeLineFeed,
    Chunk,
    ChunkReturn,
    ChunkLineFeed,
    TrailerStart,
    TrailerName,
    TrailerValue,
    TrailerLineFeed,
    LastLineFeed,
    Done,
}

/// How far one call has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input that belong to the body: all of them unless `done`.
    pub consumed: usize,
    /// The body is complete.
    pub done: bool,
}

impl BodyReader {
    /// A reader for a body of at most `len_max` bytes. A declared length beyond that is refused
    /// here, before anything is read.
    pub fn new(length: BodyLength, len_max: u64) -> Result<BodyReader, Refusal> {
        let (state, left) = match length {
            BodyLength::None | BodyLength::Sized(0) => (State::Done, 0),
            BodyLength::Sized(len) if len > len_max => return Err(Refusal::BodyTooLarge),
            BodyLength::Sized(len) => (State::Sized, len),
            BodyLength::Chunked => (State::Size, 0),
        };
        Ok(BodyReader {
            state,
            left,
            room: len_max,
            digits: 0,
            extensions_len: 0,
            trailers_len: 0,
            trailer_count: 0,
        })
    }

    /// All that is missing of the body, if it lies in `input` as it is: for most publications
    /// this is the whole body, received along with the head, and nothing need be copied. `None`
    /// changes nothing: use [`BodyReader::decode`].
    pub fn take_whole<'a>(&mut self, input: &'a [u8]) -> Option<&'a [u8]> {
        if !matches!(self.state, State::Sized | State::Done) {
            return None;
        }
        let whole = input.get(..usize::try_from(self.left).ok()?)?;
        self.left = 0;
        self.state = State::Done;
        Some(whole)
    }

    /// Appends to `body` what `input` brings of it. After a refusal the reader is of no use.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<Step, Refusal> {
        let mut consumed = 0;
        while self.state != State::Done {
            let Some(&byte) = input.get(consumed) else { break };
            if matches!(self.state, State::Sized | State::Chunk) {
                consumed += self.copy(&input[consumed..], body);
            } else {
                self.state = self.next(byte)?;
                consumed += 1;
            }
        }
        Ok(Step { consumed, done: self.state == State::Done })
    }

    /// Copies what `input` has of a sized body or a chunk; says how much.
    fn copy(&mut self, input: &[u8], body: &mut Vec<u8>) -> usize {
        let len = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        let reserve = usize::try_from(self.left.min(RESERVE_LEN_MAX)).unwrap_or(len);
        body.reserve(reserve.max(len));
        body.extend_from_slice(&input[..len]);
        self.left -= len as u64;
        if self.left == 0 {
            let is_chunk = self.state == State::Chunk;
            self.state = if is_chunk { State::ChunkReturn } else { State::Done };
        }
        len
    }

    /// The state after a byte of the framing.
    fn next(&mut self, byte: u8) -> Result<State, Refusal> {
        match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => Ok(State::SizeLineFeed),
            (State::Size, b';') if self.digits > 0 => self.extension(),
            (State::Size, _) => self.size_digit(byte),
            (State::Extension, b'\r') => Ok(State::SizeLineFeed),
            (State::Extension, byte) if is_text(byte) => self.extension(),
            (State::Extension, _) => Err(Refusal::ChunkExtension),
            (State::SizeLineFeed, b'\n') => self.size_known(),
            (State::SizeLineFeed, _) => Err(Refusal::ChunkSize),
            (State::ChunkReturn, b'\r') => Ok(State::ChunkLineFeed),
            (State::ChunkLineFeed, b'\n') => Ok(State::Size),
            (State::ChunkReturn | State::ChunkLineFeed, _) => Err(Refusal::ChunkEnd),
            (State::TrailerStart, b'\r') => Ok(State::LastLineFeed),
            (State::LastLineFeed, b'\n') => Ok(State::Done),
            // Data and `Done` never come here.
            (state, byte) => self.trailer(state, byte),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, Refusal> {
        let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
        if self.digits == SIZE_DIGITS_MAX {
            return Err(Refusal::ChunkSize);
        }
        self.digits += 1;
        self.left = (self.left << 4) | u64::from(digit);
        Ok(State::Size)
    }

    fn extension(&mut self) -> Result<State, Refusal> {
        if self.extensions_len == EXTENSIONS_LEN_MAX {
            return Err(Refusal::ChunkExtension);
        }
        self.extensions_len += 1;
        Ok(State::Extension)
    }

    fn size_known(&mut self) -> Result<State, Refusal> {
        self.digits = 0;
        if self.left == 0 {
            return Ok(State::TrailerStart);
        }
        self.room = self.room.checked_sub(self.left).ok_or(Refusal::BodyTooLarge)?;
        Ok(State::Chunk)
    }

    /// Trailer fields are read, found well formed, and forgotten: none may mean anything that
    /// the head did not say (RFC 9110 §6.5.1).
    fn trailer(&mut self, state: State, byte: u8) -> Result<State, Refusal> {
        if self.trailers_len == TRAILERS_LEN_MAX {
            return Err(Refusal::TrailersTooLarge);
        }
        self.trailers_len += 1;
        match (state, byte) {
            (State::TrailerStart, byte) if is_token_byte(byte) => {
                if self.trailer_count == TRAILER_COUNT_MAX {
                    return Err(Refusal::TrailersTooLarge);
                }
                self.trailer_count += 1;
                Ok(State::TrailerName)
            }
            (State::TrailerName, b':') => Ok(State::TrailerValue),
            (State::TrailerName, byte) if is_token_byte(byte) => Ok(State::TrailerName),
            (State::TrailerValue, b'\r') => Ok(State::TrailerLineFeed),
            (State::TrailerValue, byte) if is_text(byte) => Ok(State::TrailerValue),
            (State::TrailerLineFeed, b'\n') => Ok(State::TrailerStart),
            _ => Err(Refusal::Trailer),
        }
    }
}

/// What may be in an extension or a field value: anything but control bytes.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || !byte.is_ascii_control()
}
