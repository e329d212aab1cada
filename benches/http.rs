//! What HTTP costs a publication and a new subscriber.

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use petasos::http::{
    body::BodyReader,
    cors::{Cors, EXPOSED_HEADERS},
    date::HttpDate,
    form,
    response::{Envelope, Response},
    status::Status,
    stream,
};

use common::requests::{SUBSCRIPTION, publication, read};

fn http(criterion: &mut Criterion) {
    let publication = publication();
    let mut group = criterion.benchmark_group("http");
    group.throughput(Throughput::Bytes(publication.len() as u64));
    group.bench_function("read the head of a publication", |b| {
        b.iter(|| read(black_box(&publication)));
    });
    group.bench_function("read a publication whole", |b| {
        b.iter(|| {
            let (head, len) = read(black_box(&publication));
            black_box(head.header("authorization"));
            let mut reader = BodyReader::new(head.body, 1 << 20).expect("small");
            let body = reader.take_whole(&publication[len..]).expect("whole");
            form::pairs(body).for_each(|pair| drop(black_box(pair)));
        });
    });
    group.throughput(Throughput::Bytes(SUBSCRIPTION.len() as u64));
    group.bench_function("read a browser's subscription", |b| {
        b.iter(|| {
            let (head, _) = read(black_box(SUBSCRIPTION));
            black_box(head.header("last-event-id"));
            form::pairs(head.query().unwrap_or_default()).for_each(|pair| drop(black_box(pair)));
        });
    });
    group.finish();

    let cors = Cors::new(&["https://app.example.com"], EXPOSED_HEADERS);
    let date = HttpDate::new(1_767_225_600);
    let (head, _) = read(SUBSCRIPTION);
    let fields = cors.fields(Some(b"https://app.example.com"));
    let envelope = Envelope::for_request(&head, Some(&date), fields);
    let mut out = Vec::with_capacity(1024);
    let mut group = criterion.benchmark_group("http");
    group.bench_function("encode a 200 answer", |b| {
        let id = b"urn:uuid:e1ee88e2-532a-8d6f-ba70-f0f8bd584022";
        b.iter(|| {
            out.clear();
            Response::text(Status::Ok, black_box(&id[..])).encode(&envelope, &mut out)
        });
    });
    let mut out = Vec::with_capacity(1024);
    group.bench_function("encode the start of a stream", |b| {
        b.iter(|| {
            out.clear();
            stream::encode_start(
                &envelope,
                &[&stream::last_event_id(black_box("earliest"), None)],
                &mut out,
            )
        });
    });
    group.finish();
}

criterion_group!(benches, http);
criterion_main!(benches);
