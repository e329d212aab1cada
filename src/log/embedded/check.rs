//! Reads a whole history, tells what is damaged, and keeps what can be kept.
//!
//! What is kept is the newest stretch of updates without a gap. Subscribers come back with recent
//! ids, so it serves most of them as if nothing had happened; older ids are unknown from then on,
//! and whoever comes with one is told so and gets all there is. With an older stretch they would
//! be sent on over a gap as if there were none.

use std::{io, path::Path};

use super::{
    Directory, OpenError,
    disk::{Disk, DiskFile},
    head::{self, Head},
    index::IdHasher,
    manifest::Manifest,
    prepare,
    recovery::{self, Damage, RecoveryError},
    scan::{self, Found, Scan},
    seal::{Seal, TRAILER_LEN},
    segment,
};
use crate::protocol::update::Position;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is wrong, a line each; nothing: the history is whole.
    pub damages: Vec<String>,
    /// The first and the last update that are kept; `None`: there are none.
    pub kept: Option<(Position, Position)>,
    /// Whole updates that are kept.
    pub updates: u64,
    /// Whole updates that are not.
    pub dropped: u64,
    /// Files that were laid aside.
    pub aside: Vec<String>,
}

/// Consecutive groups of one segment.
#[derive(Debug, Clone, Copy)]
struct Run {
    number: u64,
    /// From where to where they lie.
    begin: u64,
    end: u64,
    first: Position,
    last: Position,
}

impl Run {
    fn len(&self) -> u64 {
        self.last.0 + 1 - self.first.0
    }
}

/// What was found, segment by segment.
struct Survey<'d> {
    disk: &'d dyn Disk,
    history: [u8; 16],
    runs: Vec<Run>,
    damages: Vec<Damage>,
    /// Segments that have to be written anew, though all their updates are whole.
    to_mend: Vec<u64>,
    /// Segments that are not sealed and shorter than they were made, and how long they are.
    short: Vec<(u64, u64)>,
    /// The greatest mark.
    mark: Position,
}

/// Checks the history in a directory; with `cut`, makes it whole. `progress` is told of the
/// segments that were read, and of how many there are.
///
/// # Errors
/// If a hub has it open, if the file system refuses something, and where nothing can be kept
/// without the manifest.
pub fn check(
    directory: &Path,
    cut: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, OpenError> {
    let shown = || directory.display().to_string();
    let io = |error| OpenError::Io { directory: shown(), error };
    if !directory.is_dir() {
        let what = "there is none: is data_dir, or the path of the transport, the right one?";
        return Err(io(io::Error::new(io::ErrorKind::NotFound, what)));
    }
    let _lock = super::lock(directory)?;
    let disk = Directory::open_or_create(directory).map_err(io)?;
    check_on(&disk, cut, progress).map_err(|error| super::open_error(shown(), error))
}

pub(super) fn check_on(
    disk: &dyn Disk,
    cut: bool,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Report, RecoveryError> {
    let Some(mut manifest) = recovery::read_manifest(disk)? else { return Ok(Report::default()) };
    let history = manifest.contents.history;
    let mut survey = Survey {
        disk,
        history,
        runs: Vec::new(),
        damages: Vec::new(),
        to_mend: Vec::new(),
        short: Vec::new(),
        mark: Position::START,
    };
    let (first, last) = (manifest.contents.first, manifest.contents.last);
    for number in first..=last {
        progress(number - first, last + 1 - first);
        survey.read(number)?;
    }
    let strays = survey.strays(first, last)?;
    let stretch = survey.join();
    let mut report = Report {
        damages: survey.damages.iter().map(Damage::to_string).collect(),
        kept: stretch.first().zip(stretch.last()).map(|(first, last)| (first.first, last.last)),
        updates: stretch.iter().map(Run::len).sum(),
        ..Report::default()
    };
    report.dropped = survey.runs.iter().map(Run::len).sum::<u64>() - report.updates;
    if cut && !report.damages.is_empty() {
        let hasher = IdHasher::new(manifest.contents.hash_key);
        report.aside = survey.cut(&mut manifest, &stretch, strays)?;
        // Whatever was mended is read as a start would.
        for number in manifest.contents.first..=manifest.contents.last {
            recovery::read(disk, history, number, &hasher)?;
        }
    }
    Ok(report)
}

impl Survey<'_> {
    fn damage(&mut self, number: u64, offset: u64, what: impl Into<String>) {
        let file = self.disk.show(&segment::name(number));
        self.damages.push(Damage { file, offset, what: what.into() });
    }

    /// Reads a segment to its end.
    fn read(&mut self, number: u64) -> Result<(), RecoveryError> {
        let file = match self.disk.open(&segment::name(number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.damage(number, 0, "it is missing");
                return Ok(());
            }
            file => file?,
        };
        let head = match recovery::read_head(self.disk, &*file, self.history, number) {
            Ok(head) => head,
            Err(RecoveryError::Damaged(damage)) => {
                self.damages.push(damage);
                return Ok(());
            }
            Err(other) => return Err(other),
        };
        let sealed = sealed(&*file, &head)?;
        let len = file.len()?;
        if sealed.is_none() && len < head.capacity {
            self.short.push((number, len));
        }
        let whole = self.read_groups(&*file, &head, sealed)?;
        if let Some(seal) = sealed.filter(|_| whole) {
            self.read_index(&*file, &seal)?;
        }
        Ok(())
    }

    /// Reads the groups of a segment. True if nothing is wrong with a sealed one.
    fn read_groups(
        &mut self,
        file: &dyn DiskFile,
        head: &Head,
        seal: Option<Seal>,
    ) -> io::Result<bool> {
        let (number, short) = (head.number, super::short_name(&self.history));
        let mut offset = head::LEN as u64;
        let mut whole = true;
        loop {
            self.read_run(file, number, &mut offset, seal)?;
            if seal.is_some_and(|seal| offset >= seal.end) {
                break;
            }
            let rest = scan::rest(file, short, offset)?;
            self.mark = self.mark.max(rest.mark);
            match (rest.group, seal) {
                (Some((at, _)), _) => {
                    self.damage(number, offset, format!("what lies up to byte {at} is no group"));
                    offset = at;
                    whole = false;
                }
                (None, Some(seal)) => {
                    let what = format!("what lies up to byte {}, its end, is no group", seal.end);
                    self.damage(number, offset, what);
                    return Ok(false);
                }
                // A write that did not end, or nothing.
                (None, None) => break,
            }
        }
        let expected = seal.map(|seal| (seal.first, seal.last()));
        let mut found = self.runs.iter().filter(|run| run.number == number);
        let found = found.next().map(|run| (run.first, found.next_back().unwrap_or(run).last));
        if let Some((first, last)) = expected
            && whole
            && found.unwrap_or((first, Position(first.0 - 1))) != (first, last)
        {
            self.damage(number, 0, format!("its seal tells of other updates, {first} to {last}"));
            self.to_mend.push(number);
            whole = false;
        }
        Ok(whole)
    }

    /// Reads groups as long as they follow each other.
    fn read_run(
        &mut self,
        file: &dyn DiskFile,
        number: u64,
        offset: &mut u64,
        seal: Option<Seal>,
    ) -> io::Result<()> {
        let mut scan = Scan::from(file, super::short_name(&self.history), *offset);
        let mut run: Option<Run> = None;
        while seal.is_none_or(|seal| scan.offset() < seal.end)
            && let Found::Group(group) = scan.next()?
        {
            let header = group.header;
            let (begin, end) = (group.offset, group.end());
            self.mark = self.mark.max(header.mark);
            match &mut run {
                _ if header.count == 0 => {}
                Some(run) if run.last.next() == header.first => {
                    (run.end, run.last) = (end, header.last());
                }
                _ => {
                    self.runs.extend(run.take());
                    run =
                        Some(Run { number, begin, end, first: header.first, last: header.last() });
                }
            }
        }
        self.runs.extend(run);
        *offset = scan.offset();
        Ok(())
    }

    fn read_index(&mut self, file: &dyn DiskFile, seal: &Seal) -> io::Result<()> {
        let mut bytes = vec![0; (seal.ids_end() - seal.end) as usize];
        let len = file.read_at(&mut bytes, seal.end)?;
        let (places, ids) = bytes.split_at((seal.ids_start() - seal.end) as usize);
        if len < bytes.len() || seal.read_places(places).is_none() || !seal.has_ids(ids) {
            self.damage(seal.number, seal.end, "its index is damaged");
            self.to_mend.push(seal.number);
        }
        Ok(())
    }

    /// Files of segments that should not be there.
    fn strays(&mut self, first: u64, last: u64) -> io::Result<Vec<u64>> {
        let numbers = self.disk.list()?;
        let numbers = numbers.iter().filter_map(|name| segment::number(name));
        let strays: Vec<u64> = numbers.filter(|number| *number > last + 1).collect();
        for number in &strays {
            self.damage(*number, 0, format!("the manifest knows segments {first} to {last} only"));
        }
        Ok(strays)
    }

    /// The newest runs that follow each other; notes gaps as damage.
    fn join(&mut self) -> Vec<Run> {
        let mut stretch: Vec<Run> = Vec::new();
        let mut gaps = Vec::new();
        for mut run in self.runs.clone() {
            // What a start wrote once more counts there.
            while let Some(before) = stretch.last_mut()
                && before.last >= run.first
                && before.number < run.number
            {
                if before.first >= run.first {
                    stretch.pop();
                } else {
                    before.last = Position(run.first.0 - 1);
                }
            }
            match stretch.last() {
                Some(before) if before.last >= run.first => {
                    gaps.push((run, format!("update {} is there twice", run.first)));
                    run.first = run.first.max(before.last.next());
                }
                Some(before) if before.last.next() != run.first => {
                    let missing = format!(
                        "updates {} to {} are missing before it",
                        before.last.next(),
                        run.first.0 - 1
                    );
                    gaps.push((run, missing));
                    stretch.clear();
                }
                _ => {}
            }
            stretch.push(run);
        }
        for (run, what) in gaps {
            self.damage(run.number, run.begin, what);
        }
        let last = stretch.last().map_or(Position::START, |run| run.last);
        for (number, len) in self.short.clone() {
            self.damage(number, len, recovery::CUT_SHORT);
        }
        if self.mark > last
            && let Some(run) = stretch.last().copied()
        {
            let what = format!("updates {} to {} are missing after it", last.next(), self.mark);
            self.damage(run.number, run.end, what);
        }
        stretch
    }

    /// Makes a whole history of these runs. Returns the names of files that were laid aside.
    fn cut(
        &self,
        manifest: &mut Manifest,
        stretch: &[Run],
        strays: Vec<u64>,
    ) -> Result<Vec<String>, RecoveryError> {
        let mut aside = Vec::new();
        let contents = &manifest.contents;
        let (first, last) = (contents.first, contents.last);
        let keeps = |number: u64| stretch.iter().any(|run| run.number == number);
        let from = stretch.first().map_or(last + 1, |run| run.number);
        let to = stretch.last().map_or(last, |run| run.number);
        // The order lets a cut that was interrupted be made once more.
        for number in (first..=last).chain(strays) {
            if keeps(number) && self.is_kept_as_it_is(number, stretch)? {
                continue;
            }
            let content = keeps(number).then(|| self.content(number, stretch)).transpose()?;
            aside.extend(self.lay_aside(number)?);
            if let Some(content) = content {
                let capacity = (head::LEN + content.len()) as u64;
                let head = Head { history: self.history, number, capacity };
                prepare::make(self.disk, head, &content)?;
            } else if from < number && number < to {
                let capacity = head::LEN as u64;
                let head = Head { history: self.history, number, capacity };
                prepare::make(self.disk, head, &[])?;
            }
        }
        self.disk.sync()?;
        manifest.contents.first = from;
        manifest.contents.last = to.max(from - 1);
        manifest.write()?;
        Ok(aside)
    }

    /// Whether the file needs no change: all that it has is kept, and nothing is wrong with it.
    fn is_kept_as_it_is(&self, number: u64, stretch: &[Run]) -> Result<bool, RecoveryError> {
        let all = self.runs.iter().filter(|run| run.number == number).count();
        let kept: Vec<_> = stretch.iter().filter(|run| run.number == number).collect();
        let is_whole = all == 1 && kept.len() == 1 && kept[0].begin == head::LEN as u64;
        let file = self.disk.show(&segment::name(number));
        let is_damaged = self.damages.iter().any(|damage| damage.file == file);
        Ok(is_whole && !is_damaged && !self.to_mend.contains(&number))
    }

    /// The groups of a segment that are kept.
    fn content(&self, number: u64, stretch: &[Run]) -> io::Result<Vec<u8>> {
        let file = self.disk.open(&segment::name(number))?;
        let mut content = Vec::new();
        for run in stretch.iter().filter(|run| run.number == number) {
            let start = content.len();
            content.resize(start + (run.end - run.begin) as usize, 0);
            let read = file.read_at(&mut content[start..], run.begin)?;
            if start + read < content.len() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(content)
    }

    /// Gives the file of a segment a name that no hub knows.
    fn lay_aside(&self, number: u64) -> io::Result<Option<String>> {
        let name = segment::name(number);
        let other = format!("{name}.dropped");
        match self.disk.rename(&name, &other) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            result => result.map(|()| Some(self.disk.show(&other))),
        }
    }
}

/// The seal of a segment, if it has one.
fn sealed(file: &dyn DiskFile, head: &Head) -> io::Result<Option<Seal>> {
    let mut trailer = [0; TRAILER_LEN];
    let len = file.len()?;
    let read = file.read_at(&mut trailer, len.saturating_sub(TRAILER_LEN as u64))?;
    let seal = Seal::decode(&trailer[..read]);
    let of_this = |seal: &Seal| {
        (seal.history, seal.number, seal.file_len()) == (head.history, head.number, len)
    };
    Ok(seal.filter(of_this))
}
