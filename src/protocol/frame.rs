//! The bytes of an event, formatted once and shared by everybody who receives it.
//!
//! A frame is one allocation: an HTTP/1.1 chunk (size line, server-sent event, CRLF) of which the
//! bare event is a slice, so that chunked and unchunked streams send parts of the same bytes.

use bytes::Bytes;

use super::id::GENERATED_ID_LEN;

/// A comment that keeps idle connections alive, as a chunk (draft-08 #subscription).
pub const HEARTBEAT_CHUNK: &[u8] = b"2\r\n:\n\r\n";
/// The same without a chunk around it.
pub const HEARTBEAT: &[u8] = b":\n";
/// The chunk that ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// What ends the data of a chunk.
const CHUNK_END: &[u8] = b"\r\n";

/// How a stream carries events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Form {
    /// HTTP/1.1 chunks.
    Chunked,
    /// Events as they are: HTTP/1.0, and carriers that have framing of their own.
    Bare,
}

/// The shared bytes of one event.
#[derive(Debug, Clone)]
pub struct Frame {
    bytes: Bytes,
    event_start: u32,
    id_start: u32,
    id_len: u32,
}

impl Frame {
    /// The bytes that a stream of the given form sends.
    pub fn bytes(&self, form: Form) -> &[u8] {
        match form {
            Form::Chunked => &self.bytes,
            Form::Bare => {
                &self.bytes[self.event_start as usize..self.bytes.len() - CHUNK_END.len()]
            }
        }
    }

    /// The value of the event's `id` field.
    pub fn id(&self) -> &str {
        let id = &self.bytes[self.id_start as usize..][..self.id_len as usize];
        std::str::from_utf8(id).expect("written from a str")
    }

    /// What a history keeps of it.
    pub fn parts(&self) -> FrameParts<'_> {
        FrameParts {
            bytes: &self.bytes,
            event_start: u16::try_from(self.event_start).expect("a chunk's size line is short"),
            id_start: self.id_start,
            id_len: self.id_len,
        }
    }

    /// Bytes held by the frame.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// A frame as a history keeps it: its bytes, and where the event and the id are in them.
#[derive(Debug, Clone, Copy)]
pub struct FrameParts<'a> {
    pub bytes: &'a [u8],
    pub event_start: u16,
    pub id_start: u32,
    pub id_len: u32,
}

impl<'a> FrameParts<'a> {
    /// Whether the places lie within the bytes, and the id is text.
    pub fn is_sound(&self) -> bool {
        let end = self.bytes.len().checked_sub(CHUNK_END.len());
        end.is_some_and(|end| usize::from(self.event_start) <= end)
            && self.id_bytes().is_some_and(|id| str::from_utf8(id).is_ok())
    }

    fn id_bytes(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.id_start as usize..)?.get(..self.id_len as usize)
    }

    /// The value of the event's `id` field; empty if the parts are not sound.
    pub fn id(&self) -> &'a str {
        self.id_bytes().and_then(|id| str::from_utf8(id).ok()).unwrap_or_default()
    }

    /// The bytes that a stream of the given form sends; none if the parts are not sound.
    pub fn event(&self, form: Form) -> &'a [u8] {
        let end = self.bytes.len().saturating_sub(CHUNK_END.len());
        match form {
            Form::Chunked => self.bytes,
            Form::Bare => self.bytes.get(usize::from(self.event_start)..end).unwrap_or_default(),
        }
    }
}

/// A frame that only its id may still be missing from: its place in the order decides that.
#[derive(Debug)]
pub struct FrameDraft {
    bytes: Vec<u8>,
    event_start: u32,
    id_start: u32,
    id_len: u32,
    id_is_hole: bool,
}

/// The fields of an event, found valid (draft-08 #publication).
#[derive(Debug, Clone, Copy, Default)]
pub struct Fields<'a> {
    /// `None`: the hub gives the id, once the update has its place.
    pub id: Option<&'a str>,
    pub event_type: Option<&'a str>,
    pub retry: Option<&'a str>,
    pub data: &'a str,
}

impl FrameDraft {
    /// Formats an event. `data` becomes one `data:` field a line, split on CR, LF and CRLF, so
    /// that no value can forge a field (draft-08 #publication and
    /// #server-sent-events-field-injection).
    ///
    /// The id is the last field. There are clients that resume from it as soon as they have read
    /// its line: who is cut within an event must not have read it.
    pub fn new(fields: Fields<'_>) -> Self {
        debug_assert!(fields.id.is_none_or(is_single_line));
        debug_assert!(fields.event_type.is_none_or(is_single_line));
        let id_len = fields.id.map_or(GENERATED_ID_LEN, str::len);
        let (line_count, lines_len) = measure(fields.data);
        let event_len = "id: \n".len()
            + id_len
            + fields.event_type.map_or(0, |value| "event: \n".len() + value.len())
            + fields.retry.map_or(0, |value| "retry: \n".len() + value.len())
            + line_count * "data: \n".len()
            + lines_len
            + "\n".len();
        let mut bytes = Vec::with_capacity(event_len + 20);
        push_hex(&mut bytes, event_len);
        bytes.extend_from_slice(b"\r\n");
        let event_start = bytes.len();

        if let Some(event_type) = fields.event_type {
            push_field(&mut bytes, b"event: ", event_type);
        }
        if let Some(retry) = fields.retry {
            push_field(&mut bytes, b"retry: ", retry);
        }
        for line in lines(fields.data) {
            push_field(&mut bytes, b"data: ", line);
        }
        bytes.extend_from_slice(b"id: ");
        let id_start = bytes.len();
        match fields.id {
            Some(id) => bytes.extend_from_slice(id.as_bytes()),
            None => bytes.resize(id_start + GENERATED_ID_LEN, b'?'),
        }
        bytes.extend_from_slice(b"\n\n");
        debug_assert_eq!(bytes.len() - event_start, event_len);
        bytes.extend_from_slice(b"\r\n");
        FrameDraft {
            bytes,
            event_start: u32::try_from(event_start).expect("a chunk's size line is short"),
            id_start: u32::try_from(id_start).expect("bodies are limited far below 4 GiB"),
            id_len: u32::try_from(id_len).expect("bodies are limited far below 4 GiB"),
            id_is_hole: fields.id.is_none(),
        }
    }

    /// The id that the publisher gave.
    pub fn id(&self) -> Option<&str> {
        let id = &self.bytes[self.id_start as usize..][..self.id_len as usize];
        (!self.id_is_hole).then(|| std::str::from_utf8(id).expect("written from a str"))
    }

    /// Whether the hub has to give the id.
    pub fn wants_id(&self) -> bool {
        self.id_is_hole
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Fills the hole, if there is one, and freezes the bytes.
    pub fn finish(mut self, generate_id: impl FnOnce() -> [u8; GENERATED_ID_LEN]) -> Frame {
        if self.id_is_hole {
            self.bytes[self.id_start as usize..][..GENERATED_ID_LEN]
                .copy_from_slice(&generate_id());
        }
        Frame {
            bytes: Bytes::from(self.bytes),
            event_start: self.event_start,
            id_start: self.id_start,
            id_len: self.id_len,
        }
    }
}

fn is_single_line(value: &str) -> bool {
    !value.contains(['\r', '\n', '\0'])
}

fn push_field(bytes: &mut Vec<u8>, name: &[u8], value: &str) {
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(value.as_bytes());
    bytes.push(b'\n');
}

fn push_hex(bytes: &mut Vec<u8>, value: usize) {
    let digits = (usize::BITS - value.leading_zeros()).div_ceil(4).max(1);
    let digit = |index| b"0123456789abcdef"[value >> (4 * index) & 0xf];
    bytes.extend((0..digits).rev().map(digit));
}

/// How many lines `data` has, and their bytes without the line ends.
fn measure(data: &str) -> (usize, usize) {
    lines(data).fold((0, 0), |(count, len), line| (count + 1, len + line.len()))
}

/// The lines of `data`: pieces between CRLF, CR and LF. There is always at least one, since an
/// event without a `data` field would not be dispatched by browsers.
fn lines(data: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let text = rest?;
        match memchr::memchr2(b'\r', b'\n', text.as_bytes()) {
            None => {
                rest = None;
                Some(text)
            }
            Some(end) => {
                let is_crlf = text.as_bytes()[end..].starts_with(b"\r\n");
                rest = Some(&text[end + if is_crlf { 2 } else { 1 }..]);
                Some(&text[..end])
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(fields: Fields<'_>) -> String {
        let frame = FrameDraft::new(fields).finish(|| [b'g'; GENERATED_ID_LEN]);
        let chunk = String::from_utf8(frame.bytes(Form::Chunked).to_vec()).unwrap();
        let bare = String::from_utf8(frame.bytes(Form::Bare).to_vec()).unwrap();
        assert_eq!(chunk, format!("{:x}\r\n{bare}\r\n", bare.len()), "one chunk, well formed");
        bare
    }

    #[test]
    fn an_event_has_its_fields_in_order() {
        let fields = Fields { id: Some("a"), event_type: Some("t"), retry: Some("5"), data: "x" };
        assert_eq!(event(fields), "event: t\nretry: 5\ndata: x\nid: a\n\n");
    }

    #[test]
    fn the_hole_is_filled_and_read_back() {
        let draft = FrameDraft::new(Fields { data: "x", ..Fields::default() });
        assert!(draft.wants_id());
        assert_eq!(draft.id(), None);
        let frame = draft.finish(|| [b'7'; GENERATED_ID_LEN]);
        assert_eq!(frame.id(), "7".repeat(GENERATED_ID_LEN));
    }

    #[test]
    fn a_given_id_is_kept() {
        let draft = FrameDraft::new(Fields { id: Some("mine"), ..Fields::default() });
        assert!(!draft.wants_id());
        assert_eq!(draft.id(), Some("mine"));
        assert_eq!(draft.finish(|| unreachable!("not asked for")).id(), "mine");
    }

    #[test]
    fn sizes_are_written_in_hexadecimal() {
        for value in [0, 1, 9, 10, 15, 16, 255, 256, 0xabcdef, usize::MAX] {
            let mut bytes = Vec::new();
            push_hex(&mut bytes, value);
            assert_eq!(String::from_utf8(bytes).unwrap(), format!("{value:x}"));
        }
    }

    #[test]
    fn data_is_split_on_every_line_end() {
        let data = |data| event(Fields { id: Some("i"), data, ..Fields::default() });
        assert_eq!(data(""), "data: \nid: i\n\n");
        assert_eq!(data("a\nb\rc\r\nd"), "data: a\ndata: b\ndata: c\ndata: d\nid: i\n\n");
        assert_eq!(data("a\n"), "data: a\ndata: \nid: i\n\n");
        assert_eq!(data("\r\r\n\n"), "data: \ndata: \ndata: \ndata: \nid: i\n\n");
        assert_eq!(
            data("x\nid: forged\n\nevent: e"),
            "data: x\ndata: id: forged\ndata: \ndata: event: e\nid: i\n\n"
        );
    }
}
