//! What a request costs before anything is sent: its token and its form.

mod common;

use std::{convert::Infallible, hash::RandomState, hint::black_box};

use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use criterion::{Criterion, criterion_group, criterion_main};
use petasos::{
    auth::{
        Role,
        key::Algorithm,
        verdicts::{VerdictCache, VerdictLimits},
    },
    protocol::{
        hub_url::HubUrl, limits::Limits, publish::Publication, time::UnixTime, topic::TopicHasher,
    },
};

use common::tokens::{HUB, asymmetric, authority, token};

fn tokens(criterion: &mut Criterion) {
    let now = UnixTime::from_secs(1_795_315_283);
    let authority = authority();
    let presented = token(1, now);
    println!("a token of {} bytes", presented.len());

    criterion.bench_function("verify HS256, not cached", |bencher| {
        let verify = || authority.verify(black_box(&presented), Role::Publisher, HUB, now);
        bencher.iter(|| verify().expect("a good token"));
    });
    for (algorithm, private, public) in key_pairs() {
        let (authority, presented) = asymmetric(algorithm, &private, &public, now);
        criterion.bench_function(&format!("verify {algorithm}, not cached"), |bencher| {
            let verify = || authority.verify(black_box(&presented), Role::Publisher, HUB, now);
            bencher.iter(|| verify().expect("a good token"));
        });
    }
    for others in [0, 5_000] {
        let mut cache = VerdictCache::new(VerdictLimits::default(), RandomState::new());
        for number in 0..others {
            let other = token(1_000 + number, now);
            cache
                .verify(&authority, other.as_bytes(), Role::Publisher, HUB, now)
                .expect("a good token");
        }
        criterion.bench_function(&format!("verify, cached beside {others}"), |bencher| {
            let credentials = presented.as_bytes();
            let mut verify =
                || cache.verify(&authority, black_box(credentials), Role::Publisher, HUB, now);
            bencher.iter(|| verify().expect("a good token"));
        });
    }
}

/// A new pair for each algorithm, in PEM: the private key and the public one.
fn key_pairs() -> [(Algorithm, String, String); 3] {
    const GENERATED: &str = "the library makes good keys";
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    };
    let pair = |algorithm, private: &[u8], public: &dyn AsDer<PublicKeyX509Der<'static>>| {
        let public = public.as_der().expect(GENERATED);
        (algorithm, pem("PRIVATE KEY", private), pem("PUBLIC KEY", public.as_ref()))
    };
    let rsa = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).expect(GENERATED);
    let rsa_private: Pkcs8V1Der<'_> = rsa.as_der().expect(GENERATED);
    let p256 = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect(GENERATED);
    let ed25519 = Ed25519KeyPair::generate().expect(GENERATED);
    let p256_private = p256.to_pkcs8v1().expect(GENERATED);
    let ed25519_private = ed25519.to_pkcs8().expect(GENERATED);
    [
        pair(Algorithm::Rs256, rsa_private.as_ref(), rsa.public_key()),
        pair(Algorithm::Es256, p256_private.as_ref(), p256.public_key()),
        pair(Algorithm::EdDsa, ed25519_private.as_ref(), ed25519.public_key()),
    ]
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
                let publication = Publication::parse(black_box(pairs), &hub, &hasher, &limits);
                publication.expect("a good publication").into_draft(UnixTime::default())
            });
        });
    }
}

criterion_group!(benches, tokens, publications);
criterion_main!(benches);
