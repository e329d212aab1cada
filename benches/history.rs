//! Reading the history on disk: what a replay takes without the network, and finding where it
//! starts. `PETASOS_BENCH_HISTORY=10000000` adds a history of so many updates.

mod common;

use std::{
    cell::LazyCell,
    env, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use common::worker::{interest, jump};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use petasos::{
    log::{
        embedded::{self, Opened, Retention, Settings, SyncMode},
        history::{History, ReadBudget, Store, UnknownId},
        sequence::Places,
    },
    protocol::{
        frame::{Fields, Form, FrameDraft},
        hub_url::HubUrl,
        id::IdCipher,
        matcher::{Interest, Matcher, MatcherSet},
        subscribe::Since,
        time::UnixTime,
        topic::{Topic, TopicHasher},
        update::{Draft, Position},
    },
};

/// Updates that are appended at once.
const GROUP: u64 = 1024;
/// Every so many updates, one has an id that its publisher gave.
const GIVEN: u64 = 10;
/// Topics, each with as many updates as any other.
const TOPICS: u64 = 1_000;

/// A history that was closed, and opened again: nothing of it lies in memory beforehand, but the
/// kernel has read the files.
struct Filled {
    opened: Opened,
    directory: PathBuf,
    /// Of updates all over it.
    generated: Vec<String>,
    given: Vec<String>,
}

impl Drop for Filled {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn open(directory: &Path) -> Opened {
    let settings = Settings {
        directory: directory.to_owned(),
        retention: Retention::default(),
        update_max: 1 << 20,
        sync: SyncMode::Off,
        hub: HubUrl::without_name(),
    };
    embedded::open(&settings, &mut || Ok::<_, io::Error>([7; 16])).expect("a history")
}

impl Filled {
    fn new(count: u64) -> Filled {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{count}"));
        let _ = fs::remove_dir_all(&directory);
        let Opened { mut store, cipher, last, beginning, .. } = open(&directory);
        beginning.begin(|| ());
        let ids = fill(&mut *store, cipher, last, count);
        drop(store);
        let opened = open(&directory);
        assert_eq!(opened.last, Position(count));
        let (generated, given) = ids;
        Filled { opened, directory, generated, given }
    }

    fn history(&self) -> &Arc<dyn History> {
        &self.opened.history
    }
}

/// Appends `count` updates. Returns some generated ids and some given ones.
fn fill(
    store: &mut dyn Store,
    cipher: IdCipher,
    last: Position,
    count: u64,
) -> (Vec<String>, Vec<String>) {
    let (mut places, hasher) = (Places::new(cipher, 1, last), TopicHasher::new());
    let (mut generated, mut given) = (Vec::new(), Vec::new());
    let every = (count / 1_000).max(1);
    for start in (0..count).step_by(GROUP as usize) {
        let group: Vec<_> = (start..count.min(start + GROUP))
            .map(|number| Arc::new(places.place(draft(number, &hasher))))
            .collect();
        for (number, update) in (start..).zip(&group) {
            let ids = if update.id_is_generated { &mut generated } else { &mut given };
            if (number / GIVEN).is_multiple_of(every) {
                ids.push(update.id().to_owned());
            }
        }
        while !store.has_room().expect("a disk that works") {
            std::thread::sleep(Duration::from_millis(1));
        }
        store.append(&group).expect("a disk that works");
    }
    (generated, given)
}

fn draft(number: u64, hasher: &TopicHasher) -> Draft {
    let topic = common::topic_of_a_host((number % TOPICS) as u32);
    let id = number.is_multiple_of(GIVEN).then(|| format!("order-{number}"));
    let frame =
        FrameDraft::new(Fields { id: id.as_deref(), data: common::SMALL, ..Fields::default() });
    let topics = [Topic::new(&topic, &HubUrl::without_name(), hasher)].into();
    Draft { frame, topics, private: false, published: UnixTime::default() }
}

/// Everything, from the beginning to the end. Returns how many updates were selected.
fn read_all(history: &dyn History, last: Position, interest: &Interest) -> u64 {
    let (mut after, mut count) = (Position::START, 0);
    while after < last {
        let chunk = history.read(after, interest, Form::Chunked, ReadBudget::CHUNK);
        let chunk = chunk.expect("a sound history");
        count += chunk.events.count();
        after = chunk.through;
    }
    count
}

/// 10,000, a million, and what was asked for.
fn sizes() -> Vec<u64> {
    let asked = env::var("PETASOS_BENCH_HISTORY").ok();
    let asked = asked.map(|count| count.parse().expect("a number of updates"));
    [10_000, 1_000_000].into_iter().chain(asked).collect()
}

fn all() -> Interest {
    let matchers: MatcherSet = [Matcher::Any].into_iter().collect();
    Interest { matchers: Arc::new(matchers), ..interest(&[], &[]) }
}

fn reading(criterion: &mut Criterion) {
    let count = 1_000_000;
    let filled = LazyCell::new(|| Filled::new(count));
    let one = common::topic_of_a_host(7);
    let pattern = common::pattern(7);
    let mut group = criterion.benchmark_group(format!("read {count} updates from disk"));
    group.throughput(Throughput::Elements(count)).sample_size(10);
    for (name, interest, expected) in [
        ("all are selected", all(), count),
        ("one topic of a thousand is", interest(&[&one], &[]), count / TOPICS),
        ("a pattern selects one topic of a thousand", interest(&[&pattern], &[]), count / TOPICS),
    ] {
        group.bench_function(name, |bencher| {
            let (history, last) = (filled.history(), filled.opened.last);
            bencher.iter(|| assert_eq!(read_all(&**history, last, &interest), expected));
        });
    }
    group.finish();
}

fn finding(criterion: &mut Criterion) {
    for count in sizes() {
        let filled = LazyCell::new(|| Filled::new(count));
        let mut group = criterion.benchmark_group(format!("find an id, of updates: {count}"));
        group.throughput(Throughput::Elements(1));
        for name in ["generated", "given by the publisher", "unknown"] {
            let mut number = 0;
            group.bench_function(name, |bencher| {
                let ids = match name {
                    "generated" => filled.generated.clone(),
                    "unknown" => (0..1_000).map(|i| format!("nobody's-{i}")).collect(),
                    _ => filled.given.clone(),
                };
                let is_known = name != "unknown";
                bencher.iter(|| {
                    let id = &ids[jump(&mut number, ids.len() as u32) as usize];
                    let since = Since::Id(id.as_str().into());
                    let located = filled.history().locate(&since, UnknownId::Live);
                    assert_eq!(located.expect("a sound history").gap.is_none(), is_known);
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, reading, finding);
criterion_main!(benches);
