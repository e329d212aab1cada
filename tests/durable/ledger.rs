//! The ledger: publishers note what was acknowledged, the hub is killed again and again, and after
//! each start everything that was noted and is retained is there, in order, once.

use std::{
    collections::HashSet,
    path::PathBuf,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use super::{
    crowd::{Book, Crowd, Outcome},
    files, number,
};
use crate::common::{
    hub::{Driver, Hub, Setup},
    process::wait_until,
    swarm::{PeerId, Random},
    tools::Directory,
};

const PUBLISHERS: usize = 16;

/// Publishing goes on for so long if nothing ends it before.
const LIFE_MAX: Duration = Duration::from_secs(3);

#[test]
fn a_history_of_so_many_updates_outlives_kills() {
    Run::new("kills-updates", "size=1500", Kept::Updates(1500)).go();
}

#[test]
fn a_history_of_so_many_bytes_outlives_kills() {
    Run::new("kills-bytes", "max_bytes=5MiB", Kept::Bytes(5 << 20)).go();
}

#[test]
fn a_history_that_is_not_synced_outlives_kills() {
    Run::new("kills-unsynced", "max_bytes=9MiB&sync=off", Kept::Bytes(9 << 20)).go();
}

/// What is retained.
#[derive(Clone, Copy)]
enum Kept {
    Updates(usize),
    Bytes(usize),
}

/// When a hub is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After some time.
    Any,
    /// When a segment is full: the next one is being prepared, the full one is to be sealed.
    Full,
    /// When the next one was prepared.
    Prepared,
    /// When one was deleted.
    Deleted,
}

struct Run {
    random: Random,
    directory: Directory,
    transport: String,
    kept: Kept,
    book: Book,
    /// Everything that was ever committed, in order, as far as it was heard of.
    order: Vec<usize>,
    /// Updates that had been sent when the hub was started that was killed last.
    sent_before: usize,
}

impl Run {
    fn new(name: &str, options: &str, kept: Kept) -> Self {
        Run {
            random: Random::seeded(name),
            directory: Directory::new(name),
            transport: format!("embedded://?{options}"),
            kept,
            book: Book::new(3000),
            order: Vec::new(),
            sent_before: 0,
        }
    }

    fn go(mut self) {
        // A third of them each.
        for cycle in 0..number("PETASOS_KILLS", 25).div_ceil(3) {
            let driver = if cycle % 2 == 0 { Driver::IoUring } else { Driver::Epoll };
            while self.random.one_in(3) {
                self.start_and_kill(driver);
            }
            let hub = self.setup(driver).start();
            self.live(hub);
        }
        let hub = self.setup(Driver::IoUring).start();
        let mut book = std::mem::replace(&mut self.book, Book::new(0));
        self.check(&mut Crowd::new(&hub, &mut book));
        self.check_room();
    }

    fn setup(&self, driver: Driver) -> Setup {
        Setup::new(driver).durable(&self.directory.0).env("MERCURE_TRANSPORT_URL", &self.transport)
    }

    fn history(&self) -> PathBuf {
        files::history(&self.directory.0)
    }

    /// A start that does not come far.
    fn start_and_kill(&mut self, driver: Driver) {
        let mut setup = self.setup(driver);
        let command = setup.command().stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().expect("the binary was built");
        thread::sleep(Duration::from_micros(self.random.below(60_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// A hub from its start to its kill.
    fn live(&mut self, mut hub: Hub) {
        let mut book = std::mem::replace(&mut self.book, Book::new(0));
        let sent_before = book.sent.len();
        let mut crowd = Crowd::new(&hub, &mut book);
        let stream = self.check(&mut crowd);
        self.sent_before = sent_before;
        crowd.publishers(PUBLISHERS);
        crowd.publish(usize::MAX);
        self.until_the_end(&mut crowd);
        hub.signal(libc::SIGKILL);
        hub.wait();
        crowd.until_all_ended();
        self.order.extend(crowd.leave(stream).got);
        self.book = book;
    }

    /// Publishes up to the moment of the kill.
    fn until_the_end(&mut self, crowd: &mut Crowd<'_>) {
        let moments = [Moment::Any, Moment::Full, Moment::Prepared, Moment::Deleted];
        let moment = moments[self.random.below(moments.len())];
        let history = self.history();
        let first = files::segments(&history);
        let begin = Instant::now();
        let is_there = || match moment {
            Moment::Any => true,
            Moment::Full => files::names(&history).iter().any(|name| name.ends_with(".new")),
            Moment::Prepared => files::segments(&history).last() != first.last(),
            Moment::Deleted => files::segments(&history).first() != first.first(),
        };
        while !is_there() && begin.elapsed() < LIFE_MAX {
            crowd.turn();
        }
        let longest = if let Moment::Any = moment { 300_000 } else { 30_000 };
        let end = Instant::now() + Duration::from_micros(self.random.below(longest) as u64);
        while Instant::now() < end {
            crowd.turn();
        }
    }

    /// What a hub that was just started has, against the book. Returns a stream that goes on
    /// behind the last update that was received before the kill.
    fn check(&mut self, crowd: &mut Crowd<'_>) -> PeerId {
        let last = self.order.last().map(|last| crowd.book.id(*last).to_owned());
        let since = last.as_deref().unwrap_or("earliest").to_owned();
        let stream = crowd.subscribed(Some(&since));
        let earliest = crowd.subscribed(Some("earliest"));
        // Anywhere, in what is retained or was once.
        let others: Vec<_> = (0..3.min(self.order.len()))
            .map(|_| {
                let at = self.random.below(self.order.len());
                let id = crowd.book.id(self.order[at]).to_owned();
                (at, crowd.subscribed(Some(&id)), id)
            })
            .collect();
        let probe = crowd.probe();
        crowd.until("all replays", |crowd| {
            crowd.streams.values().all(|stream| stream.got.last() == Some(&probe))
        });

        let following = &crowd.streams[&stream];
        assert_eq!(following.last_event_id(), Some(&*since));
        let died = following.got.iter().find(|number| **number < self.sent_before);
        assert_eq!(died, None, "it was not there after the last start, and is there now");
        let all = [&*self.order, &*following.got].concat();
        let known: HashSet<usize> = all.iter().copied().collect();
        assert_eq!(known.len(), all.len(), "nothing twice");
        let lost: Vec<_> =
            crowd.book.all(Outcome::Acknowledged).filter(|it| !known.contains(it)).collect();
        assert!(lost.is_empty(), "acknowledged, and lost: {lost:?}");

        let earliest = crowd.leave(earliest);
        assert_eq!(earliest.last_event_id(), Some("earliest"));
        assert!(all.ends_with(&earliest.got), "all that is retained, in order, once");
        self.check_retention(crowd.book, &all, earliest.got.len());
        let start = all.len() - earliest.got.len();
        for (at, peer, id) in others {
            let received = crowd.leave(peer);
            let is_retained = at >= start;
            let expected = if is_retained { &all[at + 1..] } else { &*earliest.got };
            assert_eq!(received.got, expected, "after {id}");
            let told = if is_retained { &*id } else { "earliest" };
            assert_eq!(received.last_event_id(), Some(told));
        }
        stream
    }

    /// `all`: that was ever committed, the last one after the replay had begun; `count`: that a
    /// replay brought.
    fn check_retention(&self, book: &Book, all: &[usize], count: usize) {
        /// Of a record, beside its data: about, and at most.
        const RECORD: usize = 300;
        /// What an entry of the index stands for, and one record.
        const STEP: usize = 4096 + 3300 + RECORD;
        match self.kept {
            Kept::Updates(max) => assert_eq!(count, (all.len() - 1).min(max) + 1),
            Kept::Bytes(max) => {
                let retained = &all[all.len() - count..all.len() - 1];
                let bytes: usize = retained.iter().map(|number| book.sent[*number].len).sum();
                assert!(bytes <= max, "{bytes}");
                let most = bytes + RECORD * count;
                let is_all = count == all.len();
                assert!(is_all || most + STEP > max, "{bytes} in {count} updates are too few");
            }
        }
    }

    /// What is not retained does not stay on the disk for long.
    fn check_room(&self) {
        let Kept::Bytes(max) = self.kept else { return };
        // The oldest segment that has something, the one that is written, and two to come.
        let most = (max + 4 * (5 << 20)) as u64;
        wait_until("room", || files::len(&self.history()) <= most);
    }
}
