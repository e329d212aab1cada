//! Requests that two servers could read in two ways (RFC 9112 §11.2): each is refused, and the
//! connection ends there, so that nothing behind it is ever taken for a request.

use crate::{
    common::{
        client::{Stream, exchange},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(what_can_be_read_in_two_ways_is_refused, nothing_hides_in_a_trailer);

fn what_can_be_read_in_two_ways_is_refused(driver: Driver) {
    let hub = Setup::new(driver).start();
    let token = tokens::publisher(&["*"]);
    let mut stream = Stream::open(hub.addr, "match=*", "");
    let smuggled = crate::common::client::publication(&token, &[("topic", "smuggled")]);
    let post = |fields: &str| {
        format!(
            "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/x-www-form-urlencoded\r\n{fields}\r\n0\r\n\r\n{smuggled}"
        )
    };
    let te = "Transfer-Encoding: chunked\r\n";
    for fields in [
        &format!("Content-Length: 5\r\n{te}"),
        &format!("{te}Content-Length: 5\r\n"),
        &format!("Content-Length: 0\r\n{te}"),
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: 5,6\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length: 5;\r\n",
        "Content-Length: \"5\"\r\n",
        "Content-Length:\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Content-Length: \u{0665}\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        &format!("{te}{te}"),
        "Transfer-Encoding: chunked, identity\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: chunked;q=1\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: chunked,\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding: \u{b}chunked\r\n",
        "Transfer-Encoding: chunked\u{0}\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Transfer-Encoding\t: chunked\r\n",
        " Transfer-Encoding: chunked\r\n",
        "X: y\r\n Transfer-Encoding: chunked\r\n",
        "X: y\r\n\tz\r\n",
        "X: y\rTransfer-Encoding: chunked\r\n",
        "X: y\nTransfer-Encoding: chunked\r\n",
        "X: y\0\r\n",
        "X y\r\n",
        ": y\r\n",
        "X(: y\r\n",
        "X\u{e9}: y\r\n",
        "Transfer-Encoding: chunked\n",
    ] {
        let all = exchange(hub.addr, post(fields));
        assert!(all.starts_with("HTTP/1.1 400 "), "{fields:?} {all}");
        assert!(all.contains("\r\nConnection: close\r\n"), "{fields:?} {all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{fields:?} {all}");
    }
    for request in [
        // HTTP/1.0 has no transfer codings.
        post(te).replacen("HTTP/1.1", "HTTP/1.0", 1),
        post("").replacen("POST ", "POST  ", 1),
        post("").replacen("POST ", "POST\t", 1),
        post("").replacen(" HTTP/1.1", "  HTTP/1.1", 1),
        post("").replacen(" HTTP/1.1", " HTTP/1.1 ", 1),
        post("").replacen(" HTTP/1.1", " HTTP/1.1 x", 1),
        post("").replacen(" HTTP/1.1", " http/1.1", 1),
        post("").replacen(" HTTP/1.1", " HTTP/1.10", 1),
        post("").replacen(" HTTP/1.1", " HTTP/01.1", 1),
        post("").replacen("mercure HTTP", "mer cure HTTP", 1),
        post("").replacen("mercure HTTP", "mercure#f HTTP", 1),
        post("").replacen("/.well", ".well", 1),
        post("").replacen("/.well", "http:///.well", 1),
        post("").replacen("/.well", "http://u@h/.well", 1),
        post("").replacen("\r\n", "\n", 1),
        post("").replacen("\r\n", "\r", 1),
        format!("\n{}", post("")),
        format!(" {}", post("")),
        format!("{}{}", "\r\n".repeat(10), post("")),
    ] {
        let all = exchange(hub.addr, &request);
        assert!(all.starts_with("HTTP/1.1 400 "), "{request} {all}");
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{request} {all}");
    }
    assert!(stream.is_silent_for(std::time::Duration::from_millis(100)));
}

fn nothing_hides_in_a_trailer(driver: Driver) {
    let hub = Setup::new(driver).start();
    let sent = "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n\
                Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n\r\n7\r\ntopic=a\r\n0\r\nAuthorization: Bearer ";
    let all = exchange(hub.addr, format!("{sent}{}\r\n\r\n", tokens::publisher(&["*"])));
    assert!(all.starts_with("HTTP/1.1 401 "), "{all}");
}
