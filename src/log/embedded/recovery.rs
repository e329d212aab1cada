//! Opening a history: what is there, whether it is sound, and what an unclean end left behind.
//!
//! A sealed segment is taken at its word; segments that are not sealed, the last few, are read.
//! Their groups tell up to where everything had been synced (the greatest mark). Damage up to there
//! is rot: nobody but the operator decides what becomes of it. Damage beyond it is a write that did
//! not end, and goes.
//!
//! Whole updates beyond the mark stay. But they may be in the page cache alone (a failed sync
//! leaves them there), and a later sync of the same pages would not write them: so they are written
//! once more, into a new segment, before anything is served.

use std::{collections::VecDeque, io, sync::Arc};

use super::{
    Sizes,
    bytes::aligned,
    catalog::{Catalog, Retention},
    disk::{Disk, DiskFile},
    group::Header,
    head::{self, BadHead, Head},
    index::{IdHasher, Index},
    keeper,
    manifest::{self, Manifest, ManifestError},
    prepare::{self, Prepared},
    scan::{self, Found, Rest, Scan},
    seal::{Contents, Seal, TRAILER_LEN},
    segment::{self, Segment},
    writer::Active,
};
use crate::{
    log::sequencer::GROUP_BYTES_MAX,
    protocol::{time::UnixTime, update::Position},
};

/// A history that was found sound.
pub(super) struct Recovered {
    pub(super) catalog: Arc<Catalog>,
    pub(super) manifest: Manifest,
    pub(super) active: Active,
    pub(super) prepared: Option<Prepared>,
}

/// Why a history is not opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecoveryError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("{file}: {reason}")]
    Foreign { file: String, reason: String },
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// What is wrong with a history, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}, byte {offset}: {what}")]
pub(super) struct Damage {
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) what: String,
}

/// What is wrong with a segment that is shorter than it was made, and has no seal.
pub(super) const CUT_SHORT: &str = "it was cut short: updates may be missing at its end";

/// A segment that is not sealed, or follows one that is not, as far as it can be read.
pub(super) struct Unsealed {
    /// It has a seal all the same.
    is_sealed: bool,
    pub(super) head: Head,
    pub(super) file: Box<dyn DiskFile>,
    /// The position of its first update, or, of one with marks alone, of the update to come.
    pub(super) first: Option<Position>,
    pub(super) contents: Contents,
    index: Index,
    /// Where the last group that counts ends.
    pub(super) end: u64,
    /// The last group says that the hub ended in good order.
    closed: bool,
    /// The greatest mark.
    mark: Position,
    pub(super) rest: Rest,
}

impl Unsealed {
    pub(super) fn last(&self) -> Position {
        Position((self.contents.first.0 + u64::from(self.contents.count)).saturating_sub(1))
    }
}

/// What is in a file.
pub(super) enum Kind {
    Sealed(Seal),
    Unsealed(Unsealed),
}

/// Opens the history in `disk`, or begins one with the keys that `random` makes.
pub(super) fn open(
    disk: &Arc<dyn Disk>,
    retention: Retention,
    sizes: Sizes,
    random: &mut dyn FnMut() -> io::Result<[u8; 16]>,
) -> Result<Recovered, RecoveryError> {
    let mut manifest = open_manifest(&**disk, random)?;
    tidy_up(&**disk, &manifest)?;
    let name = manifest.contents.history;
    let hasher = IdHasher::new(manifest.contents.hash_key);
    let (mut sealed, mut unsealed) = (Vec::new(), Vec::new());
    for number in manifest.contents.first..=manifest.contents.last {
        match read(&**disk, name, number, &hasher)? {
            Kind::Sealed(seal) if unsealed.is_empty() => sealed.push(seal),
            // Its seal says no more than its records do.
            Kind::Sealed(_) => {
                let file = disk.open(&segment::name(number))?;
                let head = read_head(&**disk, &*file, name, number)?;
                let survey = survey(file, head, &hasher)?;
                unsealed.push(Unsealed { is_sealed: true, ..survey });
            }
            Kind::Unsealed(segment) => unsealed.push(segment),
        }
    }
    check_chain(&**disk, &sealed)?;
    let end = find_end(&**disk, &hasher, &sealed, &mut unsealed)?;
    let (mut segments, begin) = sealed_segments(disk, &sealed);
    let (active, prepared) = match end.resume {
        Some(resume) => {
            let resumed = resume_at(disk, unsealed, resume, end.first, begin, &mut segments);
            drop_spares(&**disk, &mut manifest, &resumed)?;
            resumed
        }
        None => {
            tell(&end, &unsealed);
            let place = Place { hasher: &hasher, room: sizes.smallest, begin };
            let active = rewrite(disk, &mut manifest, unsealed, &end, place, &mut segments)?;
            (active, None)
        }
    };
    segments.push_back(Arc::clone(&active.segment));
    let catalog =
        Catalog::new(Arc::clone(disk), name, hasher, retention, sizes, segments, end.last);
    Ok(Recovered { catalog: Arc::new(catalog), manifest, active, prepared })
}

/// Tells the operator what an unclean end left behind.
fn tell(end: &End, unsealed: &[Unsealed]) {
    if unsealed.is_empty() {
        return;
    }
    let kept = end.last.0 - end.mark.0;
    let torn = unsealed.iter().filter(|segment| segment.rest.is_written).count();
    tracing::warn!(
        kept,
        torn,
        "the hub did not end in good order: {kept} updates that may not have been synced are kept \
         and written once more; writes that did not end, in {torn} segments, are cut off"
    );
}

fn open_manifest(
    disk: &dyn Disk,
    random: &mut dyn FnMut() -> io::Result<[u8; 16]>,
) -> Result<Manifest, RecoveryError> {
    if let Some(manifest) = read_manifest(disk)? {
        return Ok(manifest);
    }
    let contents = manifest::Contents {
        history: random()?,
        id_key: random()?,
        hash_key: random()?,
        first: 1,
        last: 0,
    };
    Ok(Manifest::create(disk, contents)?)
}

/// The manifest of the history in `disk`; `None` if there is no history. Without it nothing can be
/// read: it has the keys.
pub(super) fn read_manifest(disk: &dyn Disk) -> Result<Option<Manifest>, RecoveryError> {
    let lost = |what: &str| RecoveryError::Foreign {
        file: disk.show(manifest::NAME),
        reason: format!(
            "it {what}, and without it the history cannot be read: bring it back from a backup, \
             or move the directory away, and a new history is begun"
        ),
    };
    match Manifest::open(disk) {
        Ok(None) if disk.list()?.iter().any(|name| segment::number(name).is_some()) => {
            Err(lost("is missing"))
        }
        Ok(manifest) => Ok(manifest),
        Err(ManifestError::Io(error)) => Err(error.into()),
        Err(ManifestError::Damaged) => Err(lost("is damaged")),
        Err(error @ ManifestError::Version(_)) => Err(RecoveryError::Foreign {
            file: disk.show(manifest::NAME),
            reason: error.to_string(),
        }),
    }
}

/// Removes what the last hub was about to make or to delete.
fn tidy_up(disk: &dyn Disk, manifest: &Manifest) -> Result<(), RecoveryError> {
    let manifest::Contents { first, last, .. } = manifest.contents;
    for name in disk.list()? {
        match segment::number(&name) {
            // Nothing was ever published into it: the manifest comes first.
            Some(number) if number < first || number == last + 1 => disk.remove(&name)?,
            Some(number) if number > last => {
                let what = format!("the manifest knows segments {first} to {last} only");
                return Err(Damage { file: disk.show(&name), offset: 0, what }.into());
            }
            None if name.ends_with(".new") => disk.remove(&name)?,
            Some(_) | None => {}
        }
    }
    Ok(())
}

/// Finds out what is in the file of a segment.
pub(super) fn read(
    disk: &dyn Disk,
    history: [u8; 16],
    number: u64,
    hasher: &IdHasher,
) -> Result<Kind, RecoveryError> {
    let name = segment::name(number);
    let damage = |what: String| Damage { file: disk.show(&name), offset: 0, what };
    let file = match disk.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(damage("it is missing".to_owned()).into());
        }
        file => file?,
    };
    let head = read_head(disk, &*file, history, number)?;
    let mut trailer = [0; TRAILER_LEN];
    let len = file.len()?;
    let at = len.saturating_sub(TRAILER_LEN as u64);
    if file.read_at(&mut trailer, at)? == TRAILER_LEN
        && let Some(seal) = Seal::decode(&trailer)
        && (seal.history, seal.number, seal.file_len()) == (history, number, len)
    {
        return Ok(Kind::Sealed(seal));
    }
    Ok(Kind::Unsealed(survey(file, head, hasher)?))
}

pub(super) fn read_head(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    history: [u8; 16],
    number: u64,
) -> Result<Head, RecoveryError> {
    let name = disk.show(&segment::name(number));
    let damage = |what: String| Damage { file: name.clone(), offset: 0, what };
    let mut bytes = [0; head::LEN];
    let len = file.read_at(&mut bytes, 0)?;
    match Head::decode(&bytes[..len]) {
        Ok(head) if head.history != history => {
            Err(damage("it belongs to another history".to_owned()).into())
        }
        Ok(head) if head.number != number => {
            Err(damage(format!("it says that it is segment {}", head.number)).into())
        }
        Ok(head) => Ok(head),
        Err(error @ BadHead::Damaged) => Err(damage(error.to_string()).into()),
        Err(error) => Err(RecoveryError::Foreign { file: name, reason: error.to_string() }),
    }
}

/// Reads a segment that is not sealed, as far as it is sound.
fn survey(file: Box<dyn DiskFile>, head: Head, hasher: &IdHasher) -> io::Result<Unsealed> {
    let mut survey = survey_to(file, head, hasher, Position(u64::MAX))?;
    let history = super::short_name(&survey.head.history);
    survey.rest = scan::rest(&*survey.file, history, survey.end)?;
    survey.closed &= !survey.rest.is_written;
    Ok(survey)
}

/// Reads a segment up to `limit`, where a group ends.
fn survey_to(
    file: Box<dyn DiskFile>,
    head: Head,
    hasher: &IdHasher,
    limit: Position,
) -> io::Result<Unsealed> {
    let mut survey = Unsealed {
        is_sealed: false,
        head,
        file,
        first: None,
        contents: Contents {
            first: Position(1),
            count: 0,
            end: head::LEN as u64,
            newest: UnixTime::default(),
        },
        index: Index::default(),
        end: head::LEN as u64,
        closed: false,
        mark: Position::START,
        rest: Rest::default(),
    };
    let Unsealed { file, first, contents, index, end, closed, mark, .. } = &mut survey;
    let mut scan = Scan::new(&**file, super::short_name(&head.history));
    while let Found::Group(group) = scan.next()? {
        let header = group.header;
        if first.is_none() {
            contents.first = header.first;
        }
        let next = Position(contents.first.0 + u64::from(contents.count));
        if header.first != next || header.last() > limit {
            break;
        }
        first.get_or_insert(header.first);
        *mark = header.mark.max(*mark);
        for (offset, record, _) in group.records() {
            index.places.add(contents.count, offset as u32);
            if !record.id_is_generated {
                index.add_id(hasher.hash(record.id()), contents.count);
            }
            contents.count += 1;
            contents.newest = contents.newest.max(record.published);
        }
        if header.count > 0 {
            contents.end = group.end();
        }
        *end = group.end();
        *closed = header.closed;
    }
    Ok(survey)
}

/// The sealed segments follow each other.
fn check_chain(disk: &dyn Disk, sealed: &[Seal]) -> Result<(), Damage> {
    for pair in sealed.windows(2) {
        let expected = pair[0].last().next();
        if pair[1].first != expected {
            let what = format!("it begins with update {}, not {expected}", pair[1].first);
            return Err(Damage {
                file: disk.show(&segment::name(pair[1].number)),
                offset: 0,
                what,
            });
        }
    }
    Ok(())
}

/// Where a history ends.
struct End {
    /// The first update of the segments that are not sealed, or the one to come.
    first: Position,
    /// The last update that is kept.
    last: Position,
    /// Everything up to here was synced.
    mark: Position,
    /// Which of the segments that are not sealed is written on; `None`: a new one is.
    resume: Option<usize>,
}

/// Finds the end of the history in its segments that are not sealed.
fn find_end(
    disk: &dyn Disk,
    hasher: &IdHasher,
    sealed: &[Seal],
    unsealed: &mut [Unsealed],
) -> Result<End, RecoveryError> {
    drop_superseded(disk, hasher, unsealed)?;
    let sealed_last = sealed.last().map(Seal::last);
    let begins = unsealed.iter().find_map(|segment| segment.first);
    let first = match (sealed_last, begins) {
        (Some(last), _) => last.next(),
        (None, Some(first)) => first,
        (None, None) => Position(1),
    };
    let mut last = Position(first.0 - 1);
    // The last segment that has something, and where it stopped.
    let mut stop: Option<usize> = None;
    let mut gap = None;
    for (i, segment) in unsealed.iter().enumerate() {
        match segment.first {
            Some(first) if first == last.next() => {
                last = segment.last();
                stop = Some(i);
            }
            Some(first) => {
                gap = Some((i, first));
                break;
            }
            None => {}
        }
    }
    let marks = unsealed.iter().map(|segment| segment.mark.max(segment.rest.mark));
    let mark = marks.max().unwrap_or_default().max(sealed_last.unwrap_or_default());
    if mark > last {
        return Err(rot(disk, unsealed, stop, gap, last, mark).into());
    }
    for segment in unsealed.iter() {
        let offset = segment.file.len()?;
        if offset < segment.head.capacity && !segment.is_sealed {
            let file = disk.show(&segment::name(segment.head.number));
            return Err(Damage { file, offset, what: CUT_SHORT.to_owned() }.into());
        }
    }
    let is_torn = gap.is_some() || unsealed.iter().any(|segment| segment.rest.is_written);
    // A segment that was prepared, and not written yet, will do as well.
    let resume = stop.or_else(|| unsealed.iter().position(|segment| segment.first.is_none()));
    let is_whole = !is_torn && mark == last;
    Ok(End { first, last, mark, resume: resume.filter(|_| is_whole) })
}

/// What a start wrote once more stands in a later segment: there it counts.
fn drop_superseded(
    disk: &dyn Disk,
    hasher: &IdHasher,
    unsealed: &mut [Unsealed],
) -> io::Result<()> {
    let mut limit = Position(u64::MAX);
    for segment in unsealed.iter_mut().rev() {
        if segment.last() > limit && segment.first.is_some() {
            let file = disk.open(&segment::name(segment.head.number))?;
            let cut = survey_to(file, segment.head, hasher, limit)?;
            // What is not cut away is sound, and what is does not matter.
            *segment = Unsealed { rest: Rest::default(), is_sealed: segment.is_sealed, ..cut };
        }
        if let Some(first) = segment.first {
            limit = limit.min(Position(first.0 - 1));
        }
    }
    Ok(())
}

/// What to say of updates that had been synced and are not there.
fn rot(
    disk: &dyn Disk,
    unsealed: &[Unsealed],
    stop: Option<usize>,
    gap: Option<(usize, Position)>,
    last: Position,
    mark: Position,
) -> Damage {
    let at = |segment: &Unsealed| (disk.show(&segment::name(segment.head.number)), segment.end);
    let (file, offset) = match (stop, gap, unsealed.first()) {
        (Some(i), _, _) => at(&unsealed[i]),
        (None, Some((i, _)), _) => at(&unsealed[i]),
        (None, None, Some(first)) => at(first),
        (None, None, None) => (disk.show(manifest::NAME), 0),
    };
    let rest = stop.map(|i| unsealed[i].rest).unwrap_or_default();
    let next = rest.group.map(|(_, first)| first).or(gap.map(|(_, first)| first));
    let until = next.map_or(mark, |first| Position(first.0.saturating_sub(1)));
    let what = format!("updates {} to {until} cannot be read", last.next());
    Damage { file, offset, what }
}

fn sealed_segments(disk: &Arc<dyn Disk>, sealed: &[Seal]) -> (VecDeque<Arc<Segment>>, u64) {
    let mut begin = 0;
    let segments = sealed.iter().map(|seal| {
        let segment = Segment::sealed(disk, begin, *seal);
        begin += seal.end;
        Arc::new(segment)
    });
    let segments = segments.collect();
    (segments, begin)
}

/// Goes on in a segment that is there.
fn resume_at(
    disk: &Arc<dyn Disk>,
    unsealed: Vec<Unsealed>,
    resume: usize,
    first: Position,
    mut begin: u64,
    segments: &mut VecDeque<Arc<Segment>>,
) -> (Active, Option<Prepared>) {
    let (mut active, mut prepared) = (None, None);
    let mut next = first;
    for (i, segment) in unsealed.into_iter().enumerate() {
        let Unsealed {
            head: Head { number, capacity, .. }, first, mut contents, index, end, ..
        } = segment;
        if i > resume {
            prepared.get_or_insert(Prepared { number, capacity });
            continue;
        }
        // An empty one may not know.
        contents.first = first.unwrap_or(next);
        next = Position(contents.first.0 + u64::from(contents.count));
        let size = contents.end;
        let segment = Arc::new(Segment::open(disk, number, begin, contents, index));
        match i == resume {
            true => active = Some(Active { segment, offset: end, capacity }),
            false => segments.push_back(segment),
        }
        begin += size;
    }
    (active.expect("one of them is resumed"), prepared)
}

/// The log may have taken one prepared segment, and the keeper have made another: one will do. An
/// empty one between others would keep those before it from being sealed and deleted.
fn drop_spares(
    disk: &dyn Disk,
    manifest: &mut Manifest,
    (active, prepared): &(Active, Option<Prepared>),
) -> io::Result<()> {
    let last = prepared.as_ref().map_or(active.segment.number, |prepared| prepared.number);
    while manifest.contents.last > last {
        let spare = manifest.contents.last;
        manifest.contents.last -= 1;
        manifest.write()?;
        disk.remove(&segment::name(spare))?;
    }
    Ok(())
}

/// Where segments that are not sealed begin, and what a new one needs.
struct Place<'a> {
    hasher: &'a IdHasher,
    /// Bytes in the new segment, behind what is written into it.
    room: u64,
    /// Bytes of all segments before.
    begin: u64,
}

/// Writes what was not known to be synced into a new segment, and goes on there.
fn rewrite(
    disk: &Arc<dyn Disk>,
    manifest: &mut Manifest,
    unsealed: Vec<Unsealed>,
    end: &End,
    place: Place<'_>,
    segments: &mut VecDeque<Arc<Segment>>,
) -> Result<Active, RecoveryError> {
    let Place { hasher, room, mut begin } = place;
    let history = manifest.contents.history;
    let content = content(&unsealed, end, super::short_name(&history))?;
    let number = manifest.contents.last + 1;
    let capacity = aligned(head::LEN + content.len()) as u64 + room;
    let made = Head { history, number, capacity };
    prepare::make(&**disk, made, &content)?;
    manifest.contents.last = number;
    manifest.write()?;
    // From here on the new segment counts.
    let mut next = end.first;
    for old in unsealed {
        let head = old.head;
        let file = disk.open(&segment::name(head.number))?;
        let mut cut = survey_to(file, head, hasher, end.mark)?;
        // An empty one may not know.
        cut.contents.first = cut.first.unwrap_or(next);
        let (seal, bytes) = super::seal::seal(history, head.number, cut.contents, &cut.index);
        keeper::append_seal(&*cut.file, &seal, &bytes)?;
        segments.push_back(Arc::new(Segment::sealed(disk, begin, seal)));
        begin += seal.end;
        next = seal.last().next();
    }
    let file = disk.open(&segment::name(number))?;
    let new = survey_to(file, made, hasher, Position(u64::MAX))?;
    let segment = Segment::open(disk, number, begin, new.contents, new.index);
    Ok(Active { segment: Arc::new(segment), offset: new.end, capacity })
}

/// Groups of the updates after the mark.
fn content(unsealed: &[Unsealed], end: &End, history: u32) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    let mut next =
        Header { first: end.mark.next(), mark: end.mark, count: 0, len: 0, closed: false };
    let mut records = Vec::new();
    let mut flush = |next: &mut Header, records: &mut Vec<u8>| {
        next.len = u32::try_from(records.len()).expect("groups are limited far below 4 GiB");
        content.extend_from_slice(&next.encode(history));
        content.append(records);
        *next = Header { first: next.last().next(), count: 0, ..*next };
    };
    for segment in unsealed {
        let mut scan = Scan::new(&*segment.file, history);
        while scan.offset() < segment.end {
            let Found::Group(group) = scan.next()? else { break };
            for (_, record, bytes) in group.records() {
                if record.position != next.last().next() || record.position > end.last {
                    continue;
                }
                records.extend_from_slice(bytes);
                next.count += 1;
                if records.len() >= GROUP_BYTES_MAX {
                    flush(&mut next, &mut records);
                }
            }
        }
    }
    // At least the mark: a segment without anything could have lost it.
    flush(&mut next, &mut records);
    Ok(content)
}
