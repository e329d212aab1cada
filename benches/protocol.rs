//! What an update costs once it was read: its frame, its place, its id.

mod common;

use std::{convert::Infallible, hint::black_box};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use petasos::{
    log::sequence::Places,
    protocol::{
        frame::{Fields, FrameDraft},
        hub_url::HubUrl,
        id::{IdCipher, Place},
        limits::Limits,
        publish::Publication,
        time::UnixTime,
        topic::TopicHasher,
        update::Position,
    },
};

fn frames(criterion: &mut Criterion) {
    let many_lines =
        "  \"title\": \"A line of a document that is meant to be read\",\n".repeat(100);
    let one_long_line = many_lines.replace('\n', " ");
    let mut group = criterion.benchmark_group("format a frame");
    for (name, data) in [
        ("small", common::SMALL),
        ("a hundred lines", &many_lines),
        ("one long line", &one_long_line),
    ] {
        group.throughput(Throughput::Bytes(data.len() as u64));
        group.bench_function(name, |bencher| {
            let fields = Fields { data, ..Fields::default() };
            bencher.iter(|| FrameDraft::new(black_box(fields)));
        });
    }
    group.finish();
}

/// Topics are copied, hashed, and cut into the components of URLs, once for all workers.
fn drafts(criterion: &mut Criterion) {
    let (hub, hasher, limits) = (HubUrl::without_name(), TopicHasher::new(), Limits::default());
    let mut group = criterion.benchmark_group("make a draft");
    for count in [1, 2, 20] {
        let topics: Vec<String> = (0..count).map(common::topic).collect();
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(format!("topics: {count}"), |bencher| {
            bencher.iter(|| {
                let pairs = topics.iter().map(|topic| ("topic", topic.as_str()));
                let pairs = pairs.chain([("data", common::SMALL)]);
                let pairs =
                    pairs.map(|(name, value)| Ok::<_, Infallible>((name.into(), value.into())));
                let publication = Publication::parse(black_box(pairs), &hub, &hasher, &limits);
                publication.expect("a good publication").into_draft(UnixTime::default())
            });
        });
    }
    group.finish();
}

/// On the log's thread, one after the other: this bounds the publications of the whole hub.
fn places(criterion: &mut Criterion) {
    let hasher = TopicHasher::new();
    let mut places = Places::new(IdCipher::new([7; 16]), 1, Position::START);
    criterion.bench_function("place an update, with an id for it", |bencher| {
        let draft = || common::draft("https://example.com/books/1", false, &hasher);
        bencher.iter_batched(draft, |draft| places.place(draft), BatchSize::SmallInput);
    });
}

fn ids(criterion: &mut Criterion) {
    let cipher = IdCipher::new([7; 16]);
    let place = Place { incarnation: 3, position: Position(1 << 20), sub_position: 0 };
    let id = cipher.encode(place);
    let id = std::str::from_utf8(&id).expect("ASCII");
    assert_eq!(cipher.decode(id), Some(place));

    let mut group = criterion.benchmark_group("ids");
    group.bench_function("encode", |bencher| bencher.iter(|| cipher.encode(black_box(place))));
    group.bench_function("decode", |bencher| bencher.iter(|| cipher.decode(black_box(id))));
    let foreign = "https://example.com/updates/1";
    group.bench_function("decode one that a publisher gave", |bencher| {
        bencher.iter(|| cipher.decode(black_box(foreign)));
    });
    group.finish();
}

criterion_group!(benches, frames, drafts, places, ids);
criterion_main!(benches);
