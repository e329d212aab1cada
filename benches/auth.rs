//! What a request costs before anything is sent: its token and its form.

mod common;

use std::{convert::Infallible, hash::RandomState, hint::black_box, time::Duration};

use criterion::{Criterion, criterion_group, criterion_main};
use petasos::{
    auth::{
        Role,
        authority::{Authority, Issuer, Settings},
        key::{Algorithm, Key, SigningKey},
        mint::{self, MintedGrant, MintedTopic, Minting},
        time::UnixTime,
        verdicts::{VerdictCache, VerdictLimits},
    },
    protocol::{limits::Limits, publish::Publication, reserved::HubUrl, topic::TopicHasher},
};

const HUB: &str = "https://hub.example.com/.well-known/mercure";
const SECRET: &[u8] = b"a secret that is long enough for every one";

fn token(number: usize, now: UnixTime) -> String {
    let key = SigningKey::from_secret(SECRET, Algorithm::Hs256).expect("a good secret");
    let token_id = format!("urn:uuid:e70ff8d7-59d5-4a92-b0b7-{number:012}");
    let topics = [MintedTopic { text: "https://example.com/books/1", matcher_type: None }];
    let minting = Minting {
        issuer: "https://example.com",
        audience: HUB,
        subject: "urn:uuid:bb3de268-05b0-4c65-b44e-8f9acefc29d6",
        client_id: "https://example.com",
        token_id: &token_id,
        issued_at: now,
        lifetime: Duration::from_secs(300),
        grants: &[MintedGrant { publish: true, subscribe: false, topics: &topics, payload: None }],
    };
    mint::token(&minting, &key)
}

fn tokens(criterion: &mut Criterion) {
    let now = UnixTime::from_secs(1_795_315_283);
    let key = Key::from_secret(SECRET, Algorithm::Hs256).expect("a good secret");
    let id = Some("https://example.com".into());
    let issuer = Issuer { id, publisher: vec![key], subscriber: vec![] };
    let authority = Authority::new(vec![issuer], Settings::default()).expect("one issuer");
    let presented = token(1, now);
    println!("a token of {} bytes", presented.len());

    criterion.bench_function("verify HS256, not cached", |bencher| {
        let verify = || authority.verify(black_box(&presented), Role::Publisher, HUB, now);
        bencher.iter(|| verify().expect("a good token"));
    });
    for others in [0, 5_000] {
        let mut cache = VerdictCache::new(VerdictLimits::default(), RandomState::new());
        for number in 0..others {
            let other = token(1_000 + number, now);
            cache.verify(&authority, other.as_bytes(), Role::Publisher, HUB, now).expect("a good token");
        }
        criterion.bench_function(&format!("verify, cached beside {others}"), |bencher| {
            let credentials = presented.as_bytes();
            let mut verify =
                || cache.verify(&authority, black_box(credentials), Role::Publisher, HUB, now);
            bencher.iter(|| verify().expect("a good token"));
        });
    }
}

fn publications(criterion: &mut Criterion) {
    let hub = HubUrl::new(HUB, "/.well-known/mercure").expect("a good URL");
    let (limits, hasher) = (Limits::default(), TopicHasher::new());
    let data = "x".repeat(100);
    for (name, topics) in [
        ("one absolute topic", &["https://example.com/books/1"][..]),
        ("one relative topic", &["books/1"]),
        ("two topics", &["https://example.com/books/1", "https://example.com/users/42/books/1"]),
    ] {
        criterion.bench_function(&format!("publication to draft, {name}"), |bencher| {
            bencher.iter(|| {
                let pairs = topics.iter().map(|topic| ("topic", *topic));
                let pairs = pairs.chain([("data", data.as_str()), ("private", "on")]);
                let pairs =
                    pairs.map(|(name, value)| Ok::<_, Infallible>((name.into(), value.into())));
                let publication = Publication::parse(black_box(pairs), &hub, &limits);
                publication.expect("a good publication").into_draft(&hasher)
            });
        });
    }
}

criterion_group!(benches, tokens, publications);
criterion_main!(benches);
