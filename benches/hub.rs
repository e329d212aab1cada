//! What a worker's hub costs, without the kernel: finding who listens, fan-out, coming and going.

mod common;

use std::{
    cell::LazyCell,
    time::{Duration, Instant},
};

use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
    measurement::WallTime,
};

use common::worker::{NEWS, Worker, deliver, interest, jump};

/// Updates that are made at once, before what is measured, so that little memory is used for them.
const AHEAD: BatchSize = BatchSize::NumIterations(256);

/// Everybody listens to a topic of its own; an update concerns one of them.
fn matching(criterion: &mut Criterion) {
    // Without any, what remains is to keep the update for a while and to forget an old one.
    for count in [0, 1, 10_000, 1_000_000] {
        // Made by the first benchmark that needs it: a million take their time.
        let mut worker = LazyCell::new(|| Worker::with_topics(count));
        let mut number = 0;
        let mut group = criterion.benchmark_group(format!("one update, exact topics: {count}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("find who listens", |bencher| {
            let worker = &mut *worker;
            let mut topic = || common::topic(jump(&mut number, count));
            bencher.iter_custom(|iterations| takes(worker, iterations, &mut topic));
        });
        group.bench_function("find who listens, and send", |bencher| {
            let Worker { hub, order, batch } = &mut *worker;
            let update = || order.next(&common::topic(jump(&mut number, count)), false);
            let deliver = |update| {
                hub.take(update);
                deliver(hub, batch)
            };
            bencher.iter_batched(update, deliver, AHEAD);
        });
        group.finish();
    }
}

/// Everybody listens to a pattern of its own, on one of a thousand hosts; an update concerns one of
/// them.
fn matching_patterns(criterion: &mut Criterion) {
    for count in [1, 1_000, 100_000] {
        let of_own = |number| interest(&[&common::pattern(number)], &[]);
        let mut worker = LazyCell::new(|| Worker::with_readers(count, of_own));
        let mut number = 0;
        let mut group = criterion.benchmark_group(format!("one update, patterns: {count}"));
        group.throughput(Throughput::Elements(1));
        group.bench_function("find who listens", |bencher| {
            let worker = &mut *worker;
            let mut topic = || common::topic_of_a_host(jump(&mut number, count));
            bencher.iter_custom(|iterations| takes(worker, iterations, &mut topic));
        });
        group.finish();
    }
}

/// Everybody listens to a URI template of its own; an update concerns one of them, or all.
fn matching_templates(criterion: &mut Criterion) {
    type Template = fn(u32) -> String;
    let alone: Template = common::template;
    let alike: Template = common::template_that_begins_alike;
    for (name, template, counts) in [
        ("templates", alone, &[1, 1_000, 100_000][..]),
        ("templates that begin alike", alike, &[10, 1_000]),
    ] {
        for &count in counts {
            let of_own = |number| interest(&[&template(number)], &[]);
            let mut worker = LazyCell::new(|| Worker::with_readers(count, of_own));
            let mut number = 0;
            let mut group = criterion.benchmark_group(format!("one update, {name}: {count}"));
            group.throughput(Throughput::Elements(1));
            group.bench_function("find who listens", |bencher| {
                let worker = &mut *worker;
                let mut topic = || common::topic(jump(&mut number, count));
                bencher.iter_custom(|iterations| takes(worker, iterations, &mut topic));
            });
            group.finish();
        }
    }
}

/// How long it takes to take `iterations` updates; that they are sent as well does not count.
fn takes(worker: &mut Worker, iterations: u64, mut topic: impl FnMut() -> String) -> Duration {
    const AT_ONCE: u64 = 256;
    let mut elapsed = Duration::ZERO;
    for start in (0..iterations).step_by(AT_ONCE as usize) {
        let updates: Vec<_> = (start..iterations.min(start + AT_ONCE))
            .map(|_| worker.order.next(&topic(), false))
            .collect();
        let begin = Instant::now();
        updates.into_iter().for_each(|update| worker.hub.take(update));
        elapsed += begin.elapsed();
        deliver(&mut worker.hub, &mut worker.batch);
    }
    elapsed
}

/// Measures what an update of [`NEWS`] costs for each of the `readers` who listen to it.
fn fan_out(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: String,
    readers: u32,
    (updates, private): (usize, bool),
    worker: impl Fn() -> Worker,
) {
    let mut worker = LazyCell::new(worker);
    group.throughput(Throughput::Elements(u64::from(readers)));
    group.bench_function(name, |bencher| {
        let Worker { hub, order, batch } = &mut *worker;
        let waiting = || -> Vec<_> { (0..updates).map(|_| order.next(NEWS, private)).collect() };
        let all = |waiting: Vec<_>| {
            waiting.into_iter().for_each(|update| hub.take(update));
            deliver(hub, batch)
        };
        bencher.iter_batched(waiting, all, AHEAD);
    });
}

fn public_updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send to all");
    for readers in [1_000, 10_000] {
        for updates in [1, 4] {
            let name = format!("readers: {readers}, updates that wait: {updates}");
            let worker = || Worker::with_readers(readers, |_| interest(&[NEWS], &[]));
            fan_out(&mut group, name, readers, (updates, false), worker);
        }
    }
    // Nobody has the same list of rosters as the one before: nothing is shared between visits.
    for updates in [1, 4] {
        let readers = 10_000;
        let name = format!("readers with another topic: {readers}, updates that wait: {updates}");
        let two = |number| interest(&[NEWS, &common::topic(number)], &[]);
        let worker = || Worker::with_readers(readers, two);
        fan_out(&mut group, name, readers, (updates, false), worker);
    }
    group.finish();
}

/// Whoever is granted the topic may read it; each set of grants is checked once.
fn private_updates(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("send a private update to all");
    let readers = 10_000;
    for sets in [1, 1_000, 10_000] {
        let name = format!("readers: {readers}, sets of grants: {sets}");
        let granted = |number| interest(&[NEWS], &[NEWS, &common::topic(number % sets)]);
        let worker = || Worker::with_readers(readers, granted);
        fan_out(&mut group, name, readers, (1, true), worker);
    }
    group.finish();
}

fn coming_and_going(criterion: &mut Criterion) {
    let others = 10_000;
    let own = common::topic(others);
    let ten: Vec<String> = (others..others + 10).map(common::topic).collect();
    let mut group = criterion.benchmark_group(format!("join and leave, others: {others}"));
    group.throughput(Throughput::Elements(1));
    for (name, topics, worker) in [
        ("a topic of its own", vec![own.as_str()], Worker::with_topics as fn(u32) -> Worker),
        ("ten topics of its own", ten.iter().map(String::as_str).collect(), Worker::with_topics),
        ("the topic of all", vec![NEWS], |others| {
            Worker::with_readers(others, |_| interest(&[NEWS], &[]))
        }),
    ] {
        let mut worker = LazyCell::new(|| worker(others));
        group.bench_function(name, |bencher| {
            let worker = &mut *worker;
            let arrive = || interest(&topics, &[NEWS]);
            bencher.iter_batched(arrive, |interest| worker.visit(interest), AHEAD);
        });
    }
    group.finish();
}

criterion_group!(
    benches,
    matching,
    matching_patterns,
    matching_templates,
    public_updates,
    private_updates,
    coming_and_going
);
criterion_main!(benches);
