//! Requests, good and bad, that the other tests feed in all sorts of ways.

use crate::http::{
    body::{BodyReader, Step},
    head::Head,
    reader::{HeadReader, Limits},
    refusal::Refusal,
};

/// Larger than any body of the corpus but one.
pub(super) const BODY_LEN_MAX: u64 = 64;

pub(super) const GOOD: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n",
    "GET /.well-known/mercure?match=a&match=b HTTP/1.1\r\nHost: hub.example:8080\r\n\
     Accept: text/event-stream\r\nCookie: a=b; c=d\r\nLast-Event-ID: caf\u{e9}\r\n\r\n",
    "POST /.well-known/mercure HTTP/1.1\r\nhost: h\r\nContent-Length: 14\r\n\
     Authorization: Bearer x.y.z\r\n\r\ntopic=a&data=b",
    "POST / HTTP/1.1\r\nHost: h\r\ntransfer-encoding: CHUNKED\r\nExpect: 100-continue\r\n\r\n\
     5\r\nhello\r\n00A;x=\"y\"\r\n0123456789\r\n0\r\nX: y\r\nContent-Length: 5\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
    "GET http://h.example?q HTTP/1.1\r\nHost: other\r\nConnection: close, x\r\n\r\n",
    "PURGE /caf\u{e9} HTTP/1.1\r\nHost: [::1]:80\r\nEmpty:\r\nPadded: \t x y \t\r\n\r\n",
    "POST / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n",
];

pub(super) const BAD: &[&str] = &[
    "GET / HTTP/1.1\nHost: h\r\n\r\n",
    "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "GET / HTTP/2.0\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n41\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\n",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0",
];

/// All that there is to say about one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) head: Head,
    pub(super) body: Vec<u8>,
}

/// What a connection that received the bytes in these pieces has read, and what it has left or
/// why it ended. This is a driver in small.
pub(super) fn feed(pieces: &[&[u8]]) -> (Vec<Request>, Result<Vec<u8>, Refusal>) {
    let mut requests = Vec::new();
    let mut connection = Connection::default();
    for piece in pieces {
        connection.received.extend_from_slice(piece);
        if let Err(refusal) = connection.read(&mut requests) {
            return (requests, Err(refusal));
        }
    }
    (requests, Ok(connection.received))
}

#[derive(Default)]
struct Connection {
    received: Vec<u8>,
    reader: HeadReader,
    waiting: Option<(Head, BodyReader, Vec<u8>)>,
}

impl Connection {
    fn read(&mut self, requests: &mut Vec<Request>) -> Result<(), Refusal> {
        loop {
            let Some((head, mut reader, mut body)) = self.waiting.take() else {
                let Some((head, len)) = self.reader.read(&self.received, &Limits::default())?
                else {
                    return Ok(());
                };
                assert!(len <= self.received.len());
                self.received.drain(..len);
                let reader = BodyReader::new(head.body, BODY_LEN_MAX)?;
                self.waiting = Some((head, reader, Vec::new()));
                continue;
            };
            let Step { consumed, done } = reader.decode(&self.received, &mut body)?;
            assert!(consumed <= self.received.len());
            assert!(done || consumed == self.received.len(), "a body takes all that it can");
            self.received.drain(..consumed);
            if !done {
                self.waiting = Some((head, reader, body));
                return Ok(());
            }
            requests.push(Request { head, body });
        }
    }
}
