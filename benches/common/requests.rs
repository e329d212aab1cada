//! Requests, as clients send them.

use petasos::http::{
    head::Head,
    reader::{HeadReader, Limits},
};

/// As a back end sends it: a token of some 300 bytes, a small JSON document.
pub(crate) fn publication() -> Vec<u8> {
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
pub(crate) const SUBSCRIPTION: &[u8] =
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

/// A head, and the number of its bytes.
pub(crate) fn read(input: &[u8]) -> (Head, usize) {
    let read = HeadReader::default().read(input, &Limits::default());
    read.expect("well formed").expect("whole")
}
