//! How bytes arrive makes no difference to what they mean.

use super::corpus::{BAD, GOOD, feed};

fn byte_by_byte(input: &[u8]) -> Vec<&[u8]> {
    input.chunks(1).collect()
}

#[test]
fn good_requests_are_read_whole() {
    for request in GOOD {
        let (requests, left) = feed(&[request.as_bytes()]);
        assert_eq!((requests.len(), left), (1, Ok(vec![])), "{request}");
    }
}

#[test]
fn bad_requests_are_refused() {
    for request in BAD {
        let (requests, left) = feed(&[request.as_bytes()]);
        assert!(requests.is_empty() && left.is_err(), "{request}");
    }
}

#[test]
fn byte_by_byte_is_the_same_as_whole() {
    for request in GOOD.iter().chain(BAD) {
        let bytes = request.as_bytes();
        assert_eq!(feed(&byte_by_byte(bytes)), feed(&[bytes]), "{request}");
    }
}

#[test]
fn every_cut_is_the_same_as_whole() {
    for request in GOOD.iter().chain(BAD) {
        let bytes = request.as_bytes();
        for cut in 0..bytes.len() {
            let (start, end) = bytes.split_at(cut);
            assert_eq!(feed(&[start, end]), feed(&[bytes]), "{request} cut at {cut}");
        }
    }
}

#[test]
fn no_good_request_ends_early() {
    for request in GOOD {
        for len in 0..request.len() {
            let (requests, left) = feed(&[&request.as_bytes()[..len]]);
            assert!(requests.is_empty() && left.is_ok(), "{request} after {len} bytes");
        }
    }
}

#[test]
fn pipelined_requests_are_told_apart() {
    let all = GOOD.concat();
    let one_by_one: Vec<_> =
        GOOD.iter().flat_map(|request| feed(&[request.as_bytes()]).0).collect();
    assert_eq!(one_by_one.len(), GOOD.len());
    let whole = feed(&[all.as_bytes()]);
    assert_eq!(whole, (one_by_one, Ok(vec![])));
    assert_eq!(feed(&byte_by_byte(all.as_bytes())), whole);
}

#[test]
fn what_follows_a_request_is_left_alone() {
    for request in GOOD {
        let (requests, left) = feed(&[request.as_bytes(), b"GET /next HT"]);
        assert_eq!((requests.len(), left), (1, Ok(b"GET /next HT".to_vec())), "{request}");
    }
}
