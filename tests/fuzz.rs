//! Seeded fuzzing: mutated requests, forms, tokens, queries and frames, into the parsers and into
//! a hub that runs.
//!
//! `PETASOS_FUZZ_SECONDS` makes it longer, `PETASOS_SEED` repeats a run. What holds is written
//! down in `common/harness.rs`, which the fuzzers in `fuzz/` use too.

use std::{
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::{
    common::{
        client::{Stream, publication_of, publish, request},
        harness,
        hub::{Driver, Setup},
        process::{connections, wait_until},
        sse,
        swarm::Random,
        tokens,
    },
    on_both_drivers,
};

/// Of all runs together.
fn seconds() -> f64 {
    std::env::var("PETASOS_FUZZ_SECONDS").map_or(20.0, |text| text.parse().expect("a number"))
}

/// Changes a few bytes: to others, to ones that mean something, away, double, or to a piece of
/// another seed.
fn mutate(random: &mut Random, input: &mut Vec<u8>, seeds: &[Vec<u8>]) {
    const SPECIAL: &[&[u8]] = &[
        b"\r",
        b"\n",
        b"\r\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b";",
        b",",
        b"=",
        b"&",
        b"%",
        b"+",
        b"%0",
        b"%0A",
        b"%0D",
        b"%00",
        b"%FF",
        b"%C3%A9",
        b"\x7f",
        b"\x80",
        b"\xff",
        b"\xc3\xa9",
        b"\xe2\x80\x8b",
        b"\xef\xbb\xbf",
        b".",
        b"*",
        b"#",
        b"0",
        b"f",
        b"\r\n\r\n",
        b"\n\n",
        b"id: x\n",
        b"data: ",
        b"earliest",
        b"match",
        b"topic=",
        b"authorization=",
        b"mercure",
        b"HTTP/1.1",
        b"Content-Length: 5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"ffffffffffffffff",
        b"\\",
        b"\"",
        b"/",
        b"/:n",
        b"?",
        b"{",
        b"}?",
        b"{+v}",
        b"{/a,b*}",
        b"(",
        b")",
        b"a|b",
        b"[^/]+",
        b"https://",
        b"null",
        b"1e99",
    ];
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        let special = SPECIAL[random.below(SPECIAL.len())];
        match random.below(8) {
            0 if at < input.len() => input[at] = random.next() as u8,
            1 if at < input.len() => input[at] ^= 1 << random.below(8),
            2 if at < input.len() => drop(input.remove(at)),
            3 => {
                let end = at + random.below(input.len() - at + 1);
                let copy = input[at..end].to_vec();
                input.splice(at..at, copy);
            }
            4 => {
                let end = at + random.below((input.len() - at).min(8) + 1);
                input.drain(at..end);
            }
            5 => {
                let other = &seeds[random.below(seeds.len())];
                let from = random.below(other.len() + 1);
                let to = from + random.below(other.len() - from + 1);
                input.splice(at..at, other[from..to].iter().copied());
            }
            6 => input.truncate(at),
            _ => drop(input.splice(at..at, special.iter().copied())),
        }
    }
    input.truncate(8192);
}

/// Processor time that no input may take: what is not linear takes far more.
const CPU_MAX: Duration = Duration::from_secs(2);

/// Runs one harness for its share of the time.
fn run(name: &str, share: f64, seeds: &[Vec<u8>], check: fn(&[u8]) -> bool) {
    let mut random = Random::seeded(name);
    for seed in seeds {
        check(seed);
    }
    let until = Instant::now() + Duration::from_secs_f64(seconds() * share);
    let (mut count, mut taken, mut longest) = (0, 0, Duration::ZERO);
    while Instant::now() < until {
        let mut input = seeds[random.below(seeds.len())].clone();
        mutate(&mut random, &mut input, seeds);
        count += 1;
        let begin = cpu_time();
        taken += usize::from(check(&input));
        let cpu = cpu_time() - begin;
        assert!(cpu < CPU_MAX, "{name}: {cpu:?} for {}", input.escape_ascii());
        longest = longest.max(cpu);
    }
    eprintln!("{name}: {count} inputs, {taken} of them taken, {longest:?} at most");
    // Of tokens none may be taken; of all else, mutations must not be too wild.
    assert!(count > 100 && (name == "token" || taken > count / 100), "hardly anything is tested");
}

/// What this thread used of a processor, however busy the machine is.
fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes to `time` and nothing else.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(result, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn bytes(seeds: &[&str]) -> Vec<Vec<u8>> {
    seeds.iter().map(|seed| seed.as_bytes().to_vec()).collect()
}

fn requests() -> Vec<Vec<u8>> {
    bytes(&[
        "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        "\r\nGET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "GET /.well-known/mercure?match=a&match_exact=b HTTP/1.1\r\nHost: hub.example:80\r\n\
         Accept: text/event-stream\r\nCookie: a=b\r\nLast-Event-ID: caf\u{e9}\r\n\r\n",
        "HEAD /.well-known/mercure?match=* HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
        "POST /.well-known/mercure HTTP/1.1\r\nhost: h\r\nContent-Length: 14\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nAuthorization: Bearer x.y.z\r\n\r\n\
         topic=a&data=b",
        "POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: CHUNKED\r\nExpect: 100-continue\r\n\r\n\
         5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\nContent-Length: 5\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost:\r\nOrigin: https://example.com\r\n\r\n",
        "GET http://h.example?q HTTP/1.1\r\nHost: other\r\nConnection: close, x\r\n\r\n",
        "POST / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n\
         QUERY /x HTTP/1.1\r\nHost: [::1]:80\r\nEmpty:\r\nPadded: \t x y \t\r\n\r\n",
    ])
}

fn forms() -> Vec<Vec<u8>> {
    bytes(&[
        "topic=a&data=b",
        "topic=https%3A%2F%2Fexample.com%2Fbooks%2F1&topic=b&data=x%0Ay%0D%0Az&id=i&type=t&retry=5",
        "topic=caf%C3%A9&private=on&data=%7B%22a%22%3A+1%7D",
        "topic=a&data=&id=&type=&retry=0",
        "data=x&data=y&topic=a&topic=a&unknown=1&&=",
        "topic=https://hub.example/.well-known/mercure/subscriptions/x&data=x",
    ])
}

#[test]
fn requests_mean_the_same_however_they_arrive() {
    run("request", 0.1, &requests(), harness::request);
}

#[test]
fn accepted_forms_read_back_as_they_were() {
    run("form", 0.1, &forms(), harness::form);
}

#[test]
fn nothing_in_a_field_forges_another() {
    let fields = |fields: [&[u8]; 5]| fields.join(&0xff);
    let seeds = [
        fields([b"a", b"i", b"t", b"5", b"x\ny\rz\r\n"]),
        fields([b"https://example.com/a", b"", b"", b"", b"data: x\n\nid: forged\n\n:\n"]),
        fields(["caf\u{e9}".as_bytes(), b"urn:x", b"e", b"007", "\u{feff}x\0".as_bytes()]),
    ];
    run("frame", 0.1, &seeds, harness::frame);
}

#[test]
fn no_token_passes_that_nobody_signed() {
    let mut seeds: Vec<_> =
        harness::SIGNED.iter().map(|token| format!("Bearer {token}").into_bytes()).collect();
    assert!(seeds.iter().all(|seed| harness::token(seed)));
    seeds.push(b"bearer a.b.c".to_vec());
    run("token", 0.05, &seeds, harness::token);
}

#[test]
fn sets_of_keys_hold_what_may_be_published() {
    let of = |keys: &[&str]| format!(r#"{{"keys":[{}]}}"#, keys.join(","));
    let rsa = r#"{"kty":"RSA","kid":"1","use":"sig","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4f\
        Akd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_\
        YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7W\
        TBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9ia\
        GNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#;
    let rsa: String = rsa.split_whitespace().map(|line| line.trim_end_matches('\\')).collect();
    let es256 = r#"{"kty":"EC","crv":"P-256","alg":"ES256","key_ops":["verify"],
        "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
    let eddsa = r#"{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","d":"AAAA",
        "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    let oct = r#"{"kty":"oct","k":"AAAA","alg":"HS256"}"#;
    let seeds = [of(&[es256]), of(&[&rsa, oct]), of(&[es256, eddsa, &rsa]), of(&[eddsa, eddsa])];
    assert!(seeds.iter().all(|seed| harness::jwks(seed.as_bytes())));
    run("jwks", 0.1, &seeds.map(String::into_bytes), harness::jwks);
}

#[test]
fn claims_that_pass_are_what_a_lenient_reader_finds() {
    let detail = r#"{"type":"https://mercure.rocks/authorization-detail","actions":["publish",
        "x"],"topics":[{"match":"a"},{"match":"/b/:c","match_type":"urlpattern"},{"match":"*",
        "match_type":null}],"payload":{"a":[1,"\u00e9"]}}"#;
    let of = |details: &str| {
        format!(
            r#"{{"iss":"https://issuer.example","aud":["x","{}"],"exp":1000001.5,"nbf":1e6,
                "sub":"s","authorization_details":[{details}]}}"#,
            harness::AUDIENCE
        )
    };
    let claims = of(&format!(r#"{detail},{{"type":"other","actions":1}}"#));
    let header = r#"{"typ":"application/AT+JWT","kid":7,"alg":"HS256"}"#;
    let subscribe = claims.replace("publish", "subscribe");
    let seeds = [
        [header.as_bytes(), claims.as_bytes()].join(&0xff),
        claims.replace(r#"["x","#, "").replacen(']', "", 1).into_bytes(),
        subscribe.into_bytes(),
        of("").into_bytes(),
    ];
    assert!(seeds.iter().all(|seed| harness::claims(seed)));
    run("claims", 0.1, &seeds, harness::claims);
}

#[test]
fn claims_of_0_x_that_pass_are_what_a_lenient_reader_finds() {
    let claim = r#"{"publish":["a","/b/{c}",{"match":"/d/:e","match_type":"urlpattern"}],
        "subscribe":["*",{"match":"/f/{g}","match_type":"uritemplate"},{"match":"/h/{i}"}],
        "payload":{"a":[1,"\u00e9"]}}"#;
    let today = r#"{"aud":"AUDIENCE","mercure":{"publish":["*"]},"authorization_details":[{"type":
        "https://mercure.rocks/authorization-detail","actions":["publish"],"topics":[{"match":"a"}]
        }]}"#;
    let today = today.replace("AUDIENCE", harness::AUDIENCE);
    let claims = |name: &str| format!(r#"{{"{name}":{claim},"exp":"1000001.5","nbf":1e6}}"#);
    let header = r#"{"typ":"at+jwt","alg":"HS256","kid":"x"}"#;
    let seeds = [
        claims("mercure").into_bytes(),
        claims("https://mercure.rocks/").into_bytes(),
        br#"{"mercure":{"publish":[]},"https://mercure.rocks/":null}"#.to_vec(),
        br#"{"mercure":{"publish":["a"]},"https://mercure.rocks/":{"publish":["b"]}}"#.to_vec(),
        [header.as_bytes(), today.as_bytes()].join(&0xff),
        b"{}".to_vec(),
    ];
    assert!(seeds.iter().all(|seed| harness::legacy_claims(seed)));
    run("legacy claims", 0.1, &seeds, harness::legacy_claims);
}

/// Every single character of a token counts: no two spellings of one token pass.
#[test]
fn no_character_of_a_token_may_change() {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/";
    for token in &*harness::SIGNED {
        for at in 0..token.len() {
            for &other in ALPHABET {
                let mut changed = format!("Bearer {token}").into_bytes();
                let place = &mut changed["Bearer ".len() + at];
                if *place != other {
                    *place = other;
                    assert!(!harness::token(&changed));
                }
            }
        }
    }
}

#[test]
fn accepted_queries_are_within_the_rules() {
    let seeds = bytes(&[
        "match=a",
        "match=a&match_exact=b&match=*&last_event_id=x\nheader",
        "topic=a&match=caf%C3%A9+b&lastEventID=urn%3Auuid%3Ax",
        "match=&last_event_id=earliest\n",
        "match_urlpattern=/books/:id&match_urlpattern=*&match=a",
        "match_urlpattern=https://e/(%5Cd%2B){/:n}?",
        "topic=/books/{id}&topic=*&topic=/books/{}&lastEventId=x&authorization=a.b.c",
        "topic=%7B%2Bv%7D&match=a&Last-Event-ID=y&petasos_gap=1\n",
        "topic=/books/1&Last-Event-ID=y&lastEventID=z",
    ]);
    run("subscribe", 0.05, &seeds, harness::subscribe);
}

#[test]
fn patterns_select_what_the_standard_says() {
    let seeds = bytes(&[
        "https://e.example/books/:id\nhttps://e.example/books/1?q#f\nhttps://E.example/books/",
        "/books/:id?\n/books/1\n/books\n/books/\nhttps://hub.example/books/a%2Fb",
        "/a/:b{/:c}?\n/a/1\n/a/1/2\n/a/1/2/3\n//a/1",
        "https://*.example.com/:a/*\nhttps://a.b.example.com/x/y\nhttps://example.com/x",
        "http{s}?://:host(a|b)/:n(\\d+)-*\nhttp://a/12-x\nhttps://b/1-\nhttps://c/1-",
        "urn\\:book\\::id\nurn:book:1\nurn:book:a/b\nbook",
        "*://*:*/*\nhttps://u:p@e:8443/x?y#z\ndata:x\nhttps://[::1]/",
        "https://e/((?:a|a)*)*b\nhttps://e/aaaaaaaaaaaaaaaab\nhttps://e/aaaa",
        "https://user:*@e:8*/?q=:q#:f\nhttps://user:p@e:80/?q=1#f\nfile:///etc/x",
        "*\nanything",
    ]);
    assert!(seeds.iter().all(|seed| harness::pattern(seed)));
    run("pattern", 0.15, &seeds, harness::pattern);
}

#[test]
fn templates_select_what_their_expansions_look_like() {
    let seeds = bytes(&[
        "https://e.example/books/{id}\nhttps://e.example/books/1\nhttps://e.example/books/a/b\n",
        "/a{/b,c}{?d,e*}\n/a\n/a/1/2\n/a/1/2/3\n/a?x=y&z\n/a/1?d",
        "{+a}/{#b}x{.c}\n/#x.y\na/b/x\n/é\n/%C3%A9/x",
        "{a*}{;b,c}-{&d}\na=b,c=d;e=f-\n-&x=y\n=;-",
        "urn:{a:3}:{b.c,_d}%41\nurn:abc:d,e%41\nurn::%41\nurn:a:b",
        "{/a*}x{/a*}x\n/x/x/x\nxx\n/x",
        "/é/{}\n/é/{}\n/é/1",
        "*\nanything",
    ]);
    assert!(seeds[..6].iter().all(|seed| harness::template(seed)));
    run("template", 0.15, &seeds, harness::template);
}

#[test]
fn cookies_are_found_by_name_alone() {
    let seeds = bytes(&[
        "t=a.b.c",
        "s=x; t=\"a\"; u=y\nt=b",
        "T=x;tt=y; t \t= a b =c;t=d",
        "x\n;;t;t=\";\nt=\"\"",
    ]);
    assert!(seeds.iter().all(|seed| harness::cookie(seed)));
    run("cookie", 0.05, &seeds, harness::cookie);
}

#[test]
fn clients_add_nothing_to_what_their_proxy_says() {
    // `D`: Forwarded, `A`, `B`, `C`: X-Forwarded-For, -Host, -Proto.
    let seeds = bytes(&[
        "D for=192.0.2.1;host=evil;proto=http",
        "Dfor=\"[2001:db8::1]:80\", for=10.0.0.1;x=\"",
        "A192.0.2.1, 10.0.0.1\nBevil\nChttp, https",
        "Afor=\nA, ,\nD;;,\nB",
        "Dfor=198.51.100.1;host=evil\nA198.51.100.1\nBevil\nDhost=\"a:1",
    ]);
    assert!(seeds[..3].iter().any(|seed| harness::forwarded(seed)));
    run("forwarded", 0.05, &seeds, harness::forwarded);
}

#[test]
fn the_link_reads_back_as_it_was() {
    let seeds = bytes(&[
        "https://hub.example",
        "https://hub.example/a/.well-known/mercure\nurn:uuid:1",
        "http://u:p@[::1]:8080/\na\"b\\c, <d>; rel=x",
        "https://b\u{fc}cher.example/\n\u{e9} \u{1f600}",
    ]);
    assert!(seeds.iter().all(|seed| harness::link(seed)));
    run("link", 0.05, &seeds, harness::link);
}

#[test]
fn authorizations_are_what_the_grammar_says() {
    let seeds =
        bytes(&["Bearer a.b-_~+/==", "  bEARER \t a.b.c \t", "Bearer a=", "bearer  x y", "Basic"]);
    run("authorization", 0.05, &seeds, harness::authorization);
}

on_both_drivers!(a_running_hub_takes_anything);

/// Whatever is sent is answered or the connection is closed, and the hub serves on.
fn a_running_hub_takes_anything(driver: Driver) {
    let hub = Setup::new(driver)
        .directive("protocol_version_compatibility 8")
        .env("PETASOS_HEADER_TIMEOUT", "1s")
        .env("PETASOS_BODY_TIMEOUT", "1s")
        .env("PETASOS_IDLE_TIMEOUT", "1s")
        .env("PETASOS_MAX_REQUEST_BODY_SIZE", "16KiB")
        .start();
    let token = tokens::publisher(&["*"]);
    let mut seeds = requests();
    for form in forms() {
        let form = String::from_utf8(form).unwrap();
        seeds.push(publication_of(&token, &form).into_bytes());
    }
    seeds.extend(requests_of_0_x(&token));
    let mut witness = Stream::open(hub.addr, "match=witness", "");
    let until = Instant::now() + Duration::from_secs_f64(seconds() * 0.1);
    let mut random = Random::seeded("a running hub");
    thread::scope(|scope| {
        for _ in 0..4 {
            let mut random = Random::new(random.next());
            let (seeds, addr) = (&seeds, hub.addr);
            scope.spawn(move || {
                while Instant::now() < until {
                    one_connection(&mut random, seeds, addr);
                }
            });
        }
        let mut count = 0;
        while Instant::now() < until {
            let data = count.to_string();
            publish(hub.addr, &token, &[("topic", "witness"), ("data", &data)]);
            assert_eq!(witness.data(1), [data], "somebody else's bytes changed nothing here");
            count += 1;
            thread::sleep(Duration::from_millis(20));
        }
    });
    drop(witness);
    let answer = request(hub.addr, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!(answer.status, 200);
    // Nothing is left but the listeners.
    let left = || connections(hub.pid(), hub.addr.port());
    wait_until("all connections to be closed", || left() == 0);
    let log = hub.log();
    assert!(!log.contains("panicked"), "{log}");
}

/// Requests as clients of 0.x send them, with this token.
fn requests_of_0_x(token: &str) -> Vec<Vec<u8>> {
    let line = |method: &str, query: &str| {
        format!("{method} /.well-known/mercure?{query} HTTP/1.1\r\nHost: h\r\n")
    };
    let in_url = format!("topic=/b/%7Bid%7D&topic=*&lastEventID=x&authorization={token}");
    let json = "Content-Type: application/ld+json\r\nContent-Length: 9\r\n";
    [
        format!("{}\r\n", line("GET", &in_url)),
        format!("{}Cookie: mercureAuthorization=a.b.c\r\n\r\n", line("GET", "topic=a")),
        format!(
            "{}{json}Link: <http://h/a>; rel=\"mercure\", <b>; rel=self\r\n\r\n{{\"a\":[1]}}",
            line("POST", &format!("authorization={token}&private=on"))
        ),
        format!("{}{json}\r\n{{\"a\": 1}} ", line("POST", &in_url)),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// Sends mutated requests, and looks at what comes back.
fn one_connection(random: &mut Random, seeds: &[Vec<u8>], addr: SocketAddr) {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    let mut received = Vec::new();
    for _ in 0..1 + random.below(3) {
        let mut input = seeds[random.below(seeds.len())].clone();
        match random.below(10) {
            0 => input = (0..random.below(300)).map(|_| random.next() as u8).collect(),
            1 => {}
            _ => mutate(random, &mut input, seeds),
        }
        // In pieces, now and then.
        let cut = if random.one_in(3) { random.below(input.len() + 1) } else { input.len() };
        let sent = stream.write_all(&input[..cut]).and_then(|()| {
            if cut < input.len() {
                thread::sleep(Duration::from_micros(random.below(500) as u64));
            }
            stream.write_all(&input[cut..])
        });
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => received.extend_from_slice(&buffer[..len]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
        if sent.is_err() {
            break;
        }
    }
    if !received.is_empty() {
        let text = String::from_utf8_lossy(&received);
        let status = text.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let known = [
            "100", "200", "204", "400", "401", "403", "404", "405", "408", "411", "413", "414",
            "415", "417", "421", "431", "501", "503", "505",
        ];
        assert!(status.is_some_and(|status| known.contains(&status)), "{text}");
    }
}

/// What the fuzzers rest on can fail.
#[test]
fn a_forged_field_would_be_seen() {
    let frame = b"id: i\ndata: x\nevent: forged\n\n";
    let (blocks, _) = sse::blocks(frame);
    assert_eq!(blocks[0].event, Some(&b"forged"[..]));
}
