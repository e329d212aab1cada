//! Reading a segment from its beginning to where it ends, or where it is damaged.

use std::io;

use super::{
    disk::DiskFile,
    group::{self, Header},
    head,
    record::Record,
};
use crate::protocol::update::Position;

/// Bytes that are read at a time.
const READ_LEN: usize = 1 << 20;

/// A whole and sound group.
pub(super) struct Group<'a> {
    pub(super) offset: u64,
    pub(super) header: Header,
    records: &'a [u8],
}

impl Group<'_> {
    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.offset + (group::HEADER_LEN + self.records.len()) as u64
    }

    /// Its records, and where each begins; the first with its group.
    pub(super) fn records(&self) -> impl Iterator<Item = (u64, Record<'_>, &[u8])> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let rest = &self.records[at..];
            let (record, len) = Record::decode(rest)?;
            let offset = match at {
                0 => self.offset,
                _ => self.offset + (group::HEADER_LEN + at) as u64,
            };
            at += len;
            Some((offset, record, &rest[..len]))
        })
    }
}

/// What comes next in a segment.
pub(super) enum Found<'a> {
    Group(Group<'a>),
    /// Nothing was written from here on, as far as the next bytes tell.
    End,
    /// Neither a group of this history, nor nothing.
    Damage,
}

/// Reads the groups of a segment.
pub(super) struct Scan<'f> {
    file: &'f dyn DiskFile,
    history: u32,
    /// The bytes from `start` on.
    buffer: Vec<u8>,
    start: u64,
    /// Of the next group.
    offset: u64,
}

impl<'f> Scan<'f> {
    /// `history`: the first bytes of its name.
    pub(super) fn new(file: &'f dyn DiskFile, history: u32) -> Self {
        Scan::from(file, history, head::LEN as u64)
    }

    /// From `offset` on, where a group must begin.
    pub(super) fn from(file: &'f dyn DiskFile, history: u32, offset: u64) -> Self {
        Scan { file, history, buffer: Vec::new(), start: offset, offset }
    }

    /// Where the next group begins, or what follows the last one.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn next(&mut self) -> io::Result<Found<'_>> {
        let offset = self.offset;
        let head = self.bytes(group::HEADER_LEN)?;
        if head.iter().all(|byte| *byte == 0) {
            return Ok(Found::End);
        }
        let history = self.history;
        let Some(header) = Header::decode(self.bytes(group::HEADER_LEN)?, history) else {
            return Ok(Found::Damage);
        };
        let len = group::HEADER_LEN + header.len as usize;
        let bytes = self.bytes(len)?;
        if bytes.len() < len || !is_sound(&header, &bytes[group::HEADER_LEN..]) {
            return Ok(Found::Damage);
        }
        self.offset = offset + len as u64;
        let at = (offset - self.start) as usize;
        let records = &self.buffer[at + group::HEADER_LEN..at + len];
        Ok(Found::Group(Group { offset, header, records }))
    }

    /// The next bytes: `len` of them, less only at the end of the file.
    fn bytes(&mut self, len: usize) -> io::Result<&[u8]> {
        let at = (self.offset - self.start) as usize;
        if self.buffer.len() < at + len {
            self.buffer.drain(..at);
            self.start = self.offset;
            let have = self.buffer.len();
            self.buffer.resize(len.max(READ_LEN), 0);
            let read = self.file.read_at(&mut self.buffer[have..], self.start + have as u64)?;
            self.buffer.truncate(have + read);
        }
        let at = (self.offset - self.start) as usize;
        let end = self.buffer.len().min(at + len);
        Ok(&self.buffer[at..end])
    }
}

/// Whether these are the records that the header tells of.
fn is_sound(header: &Header, records: &[u8]) -> bool {
    let (mut at, mut position) = (0, header.first);
    for _ in 0..header.count {
        match Record::decode(&records[at..]) {
            Some((record, len)) if record.position == position => at += len,
            _ => return false,
        }
        position = position.next();
    }
    at == records.len()
}

/// What lies behind the point up to which a segment can be read.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rest {
    /// There is something.
    pub(super) is_written: bool,
    /// The greatest mark of all headers of groups.
    pub(super) mark: Position,
    /// The first group that is whole and sound, and has updates.
    pub(super) group: Option<(u64, Position)>,
}

/// Looks through everything from `offset` on, wherever groups may begin.
pub(super) fn rest(file: &dyn DiskFile, history: u32, offset: u64) -> io::Result<Rest> {
    let mut rest = Rest::default();
    let mut buffer = vec![0; READ_LEN];
    let mut at = offset;
    loop {
        let len = file.read_at(&mut buffer, at)?;
        let bytes = &buffer[..len];
        rest.is_written |= bytes.iter().any(|byte| *byte != 0);
        // Items begin at multiples of eight.
        for start in (0..bytes.len().saturating_sub(group::HEADER_LEN - 1)).step_by(8) {
            if !group::begins(&bytes[start..]) {
                continue;
            }
            let Some(header) = Header::decode(&bytes[start..], history) else { continue };
            rest.mark = rest.mark.max(header.mark);
            let begin = at + start as u64;
            if rest.group.is_none()
                && header.count > 0
                && let Found::Group(_) = Scan::from(file, history, begin).next()?
            {
                rest.group = Some((begin, header.first));
            }
        }
        if len < READ_LEN {
            return Ok(rest);
        }
        // A header may lie across two reads.
        at += (READ_LEN - group::HEADER_LEN.next_multiple_of(8)) as u64;
    }
}
