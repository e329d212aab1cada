//! Reads history: from memory what is recent, from segments all else.

use std::{cell::RefCell, io, sync::Arc};

use super::{
    catalog::{Catalog, Piece},
    group,
    record::{self, Record},
    segment::Segment,
};
use crate::{
    log::{
        history::{Chunk, Found, Gap, History, Located, ReadBudget, UnknownId, Unreadable},
        kept::Kept,
    },
    protocol::{
        frame::Form,
        hub_url::HubUrl,
        id::IdCipher,
        matcher::Interest,
        subscribe::{EARLIEST, Since},
        update::Position,
    },
};

/// Bytes that are read at a time.
const READ_LEN: usize = 128 * 1024;
/// Bytes that are read where one record is wanted.
const PEEK_LEN: usize = 8 * 1024;

thread_local! {
    /// What was read, kept for the next read of the thread.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The reading end of a history on disk.
pub(super) struct Reader {
    pub(super) catalog: Arc<Catalog>,
    pub(super) recent: Kept,
    pub(super) cipher: IdCipher,
    pub(super) hub: HubUrl,
}

impl Reader {
    /// The retained update that bears `id`; of several the earliest (draft-08 #reconciliation).
    fn find(&self, id: &str) -> io::Result<Option<Position>> {
        let (start, committed) = (self.catalog.start()?, self.catalog.committed());
        let is_retained = |position: &Position| start < *position && *position <= committed;
        let generated = self.cipher.decode(id).map(|place| place.position).filter(is_retained);
        let generated = match generated {
            Some(position) if self.bears(position, id)? => Some(position),
            _ => None,
        };
        let hash = self.catalog.hasher.hash(id);
        for segment in self.catalog.segments() {
            if generated.is_some_and(|position| position < segment.first) {
                break;
            }
            let from = (start.0 + 1).saturating_sub(segment.first.0);
            let Ok(from) = u32::try_from(from) else { continue };
            let given = segment.find_id(hash, from, |number| {
                let position = Position(segment.first.0 + u64::from(number));
                Ok((is_retained(&position) && self.bears(position, id)?).then_some(position))
            });
            match given {
                Ok(Some(given)) => {
                    return Ok(Some(generated.map_or(given, |other| other.min(given))));
                }
                Ok(None) => {}
                // Deleted meanwhile.
                Err(_) if segment.extent().last <= self.catalog.known_start() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(generated)
    }

    /// Whether the update at `position` has this id.
    fn bears(&self, position: Position, id: &str) -> io::Result<bool> {
        if let Some(update) = self.recent.get(position) {
            return Ok(update.id() == id);
        }
        let mut bears = false;
        self.record(position, |record| bears = record.id() == id)?;
        Ok(bears)
    }

    /// Calls `look` with the record at `position`, if it is there.
    fn record(&self, position: Position, look: impl FnOnce(&Record<'_>)) -> io::Result<()> {
        let Some(Piece { segment, extent }) = self.catalog.segment_of(position) else {
            return Ok(());
        };
        let Some(place) = segment.place_of(position)? else { return Ok(()) };
        let mut look = Some(look);
        let mut buffer = Vec::new();
        walk(&segment, u64::from(place.offset), extent.last, &mut buffer, |record| {
            if record.position == position
                && let Some(look) = look.take()
            {
                look(&record);
            }
            record.position < position
        })
    }

    fn newest(&self) -> io::Result<Located> {
        let committed = self.catalog.committed();
        let is_retained = self.catalog.start()? < committed;
        let mut last_event_id: Box<str> = EARLIEST.into();
        match self.recent.get(committed) {
            _ if !is_retained => {}
            Some(update) => last_event_id = update.id().into(),
            None => self.record(committed, |record| last_event_id = record.id().into())?,
        }
        Ok(Located { position: committed, last_event_id, gap: None })
    }

    fn look_up(&self, since: &Since, unknown: UnknownId) -> io::Result<Located> {
        let earliest = || {
            let position = self.catalog.start()?;
            Ok(Located { position, last_event_id: EARLIEST.into(), gap: None })
        };
        let gap = match since {
            Since::Earliest => return earliest(),
            Since::Empty => return self.newest(),
            Since::Unknown => Gap::Unknown,
            Since::Id(id) => match self.find(id)? {
                Some(position) => {
                    return Ok(Located { position, last_event_id: id.clone(), gap: None });
                }
                None => self.gap(id)?,
            },
        };
        let located = match unknown {
            UnknownId::All => earliest()?,
            UnknownId::Live => self.newest()?,
        };
        Ok(Located { gap: Some(gap), ..located })
    }

    /// Why `id`, which was not found, is not there. The cipher makes something of every id of the
    /// right form, but nothing that is likely to lie in this history.
    fn gap(&self, id: &str) -> io::Result<Gap> {
        let start = self.catalog.start()?;
        let was_ours = |position| Position::START < position && position <= start;
        let is_trimmed = self.cipher.decode(id).is_some_and(|place| was_ours(place.position));
        Ok(if is_trimmed { Gap::Trimmed } else { Gap::Unknown })
    }

    fn read_disk(
        &self,
        after: Position,
        interest: &Interest,
        form: Form,
        budget: ReadBudget,
    ) -> io::Result<Option<Chunk>> {
        let mut chunk = Chunk { through: after, ..Chunk::default() };
        // From there on memory has it, unless it has moved on.
        let recent = self.recent.start();
        let through = if recent > after { recent } else { self.catalog.committed() };
        let mut looked_at = 0;
        BUFFER.with_borrow_mut(|buffer| {
            while chunk.through < through
                && chunk.events.len() < budget.bytes
                && looked_at < budget.updates
            {
                let next = chunk.through.next();
                let Some(Piece { segment, extent }) = self.catalog.segment_of(next) else {
                    return Ok(None);
                };
                let Some(place) = segment.place_of(next)? else { return Ok(None) };
                if buffer.len() < READ_LEN {
                    buffer.resize(READ_LEN, 0);
                }
                let last = extent.last.min(through);
                walk(&segment, u64::from(place.offset), last, buffer, |record| {
                    if record.position < next {
                        return true;
                    }
                    chunk.through = record.position;
                    looked_at += 1;
                    if interest.selects_texts(record.topics(), record.private, &self.hub) {
                        chunk.events.push(record.position, record.event(form));
                    }
                    chunk.events.len() < budget.bytes && looked_at < budget.updates
                })?;
                if chunk.through < next {
                    return Err(damaged(&self.catalog, &segment, u64::from(place.offset)));
                }
            }
            Ok(Some(chunk))
        })
    }

    /// Tells the operator why, and the subscriber that it is so.
    fn failed(&self, error: &io::Error) -> Unreadable {
        tracing::error!(%error, "the history cannot be read: `petasos fsck` tells more");
        Unreadable::Failed
    }
}

impl History for Reader {
    fn locate(&self, since: &Since, unknown: UnknownId) -> Result<Located, Unreadable> {
        self.look_up(since, unknown).map_err(|error| self.failed(&error))
    }

    fn search(&self, id: &str) -> Result<Found, Unreadable> {
        // Before the look: what is committed meanwhile may be found or not.
        let through = self.catalog.committed();
        let position = self.find(id).map_err(|error| self.failed(&error))?;
        Ok(Found { position, through })
    }

    fn read(
        &self,
        after: Position,
        interest: &Interest,
        form: Form,
        budget: ReadBudget,
    ) -> Result<Chunk, Unreadable> {
        let is_overtaken = || match self.catalog.start() {
            Ok(start) => Ok(after < start),
            Err(error) => Err(self.failed(&error)),
        };
        if is_overtaken()? {
            return Err(Unreadable::Overtaken);
        }
        // What is recent has more than one reader, mostly.
        match self.recent.read(after, interest, form, budget) {
            Err(Unreadable::Overtaken) => {}
            result => return result,
        }
        match self.read_disk(after, interest, form, budget) {
            Ok(Some(chunk)) => Ok(chunk),
            // Deleted meanwhile, as a whole or under our eyes.
            Ok(None) | Err(_) if is_overtaken()? => Err(Unreadable::Overtaken),
            Ok(None) => Err(self.failed(&io::Error::other("updates are missing"))),
            Err(error) => Err(self.failed(&error)),
        }
    }
}

fn damaged(catalog: &Catalog, segment: &Segment, offset: u64) -> io::Error {
    let file = catalog.disk.show(&segment.name());
    io::Error::other(format!("{file} is damaged after byte {offset}"))
}

/// Calls `look` with one record after another, from `offset` on, where a record or a group begins,
/// up to the one at `last`, or until `look` has seen enough and returns false. As much is read at a
/// time as `buffer` is long.
pub(super) fn walk(
    segment: &Segment,
    offset: u64,
    last: Position,
    buffer: &mut Vec<u8>,
    mut look: impl FnMut(Record<'_>) -> bool,
) -> io::Result<()> {
    let file = segment.file()?;
    buffer.resize(buffer.len().max(PEEK_LEN), 0);
    let damage = |at: u64| {
        let name = segment.name();
        io::Error::other(format!("the history is damaged: segment {name}, at byte {at}"))
    };
    // `buffer[at..end]` is what was read and not looked at, from byte `start + at` of the file on.
    let (mut start, mut at, mut end) = (offset, 0, 0);
    loop {
        let rest = &buffer[at..end];
        let needed = if group::begins(rest) {
            group::HEADER_LEN
        } else if rest.len() < 8 {
            8
        } else {
            record::len(rest).ok_or_else(|| damage(start + at as u64))?
        };
        if rest.len() < needed {
            start += at as u64;
            buffer.copy_within(at..end, 0);
            (at, end) = (0, end - at);
            if buffer.len() < needed {
                buffer.resize(needed, 0);
            }
            end += file.read_at(&mut buffer[end..], start + end as u64)?;
            if end < needed {
                return Err(damage(start));
            }
            continue;
        }
        if group::begins(rest) {
            at += group::HEADER_LEN;
            continue;
        }
        let (record, len) = Record::decode(rest).ok_or_else(|| damage(start + at as u64))?;
        at += len;
        let position = record.position;
        if !look(record) || position >= last {
            return Ok(());
        }
    }
}
