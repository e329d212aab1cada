//! What HTTP costs a publication and a new subscriber.

mod common;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use petasos::http::{
    body::BodyReader,
    cors::{Cors, EXPOSED_HEADERS},
    date::HttpDate,
    form,
    head::Head,
    reader::{HeadReader, Limits},
    response::{Envelope, Response},
    status::Status,
    stream,
};

/// As a back end sends it: a token of some 300 bytes, a small JSON document.
fn publication() -> Vec<u8> {
    let body = "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&data=%7B%22%40id%22%3A%22https%3A%2F%2F\
                example.com%2Fbooks%2F1%22%2C%22availability%22%3A%22https%3A%2F%2Fschema.org%2FIn\
                Stock%22%7D&private=on";
    let token = "eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.".to_owned() + &"x".repeat(260);
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub.example.com\r\nAccept: */*\r\n\
         User-Agent: Symfony HttpClient (Curl)\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\
         Accept-Encoding: gzip\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// As a browser sends it for an `EventSource` on another origin.
const SUBSCRIPTION: &[u8] =
    b"GET /.well-known/mercure?match=https%3A%2F%2Fexample.com%2Fbooks%2F1&\
match_urlpattern=https%3A%2F%2Fexample.com%2Fusers%2F%3Aid HTTP/1.1\r\n\
Host: hub.example.com\r\nConnection: keep-alive\r\nsec-ch-ua-platform: \"Linux\"\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) \
Chrome/140.0.0.0 Safari/537.36\r\nAccept: text/event-stream\r\n\
sec-ch-ua: \"Chromium\";v=\"140\", \"Not=A?Brand\";v=\"24\", \"Google Chrome\";v=\"140\"\r\n\
sec-ch-ua-mobile: ?0\r\nOrigin: https://app.example.com\r\nSec-Fetch-Site: same-site\r\n\
Sec-Fetch-Mode: cors\r\nSec-Fetch-Dest: empty\r\nReferer: https://app.example.com/\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-US,en;q=0.9\r\n\
Cookie: __Secure-mercure_access_token=eyJ0eXAiOiJhdCtqd3QiLCJhbGciOiJFUzI1NiJ9.x.y\r\n\
Cache-Control: no-cache\r\n\r\n";

fn read(input: &[u8]) -> (Head, usize) {
    let read = HeadReader::default().read(input, &Limits::default());
    read.expect("well formed").expect("whole")
}

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
            stream::encode_start(&envelope, &stream::last_event_id(black_box("earliest")), &mut out)
        });
    });
    group.finish();
}

criterion_group!(benches, http);
criterion_main!(benches);
