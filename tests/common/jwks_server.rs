//! A server that publishes a set of keys, well or badly.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

/// What the server answers.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, and the end.
    Bytes(Vec<u8>),
    /// These bytes, one after the other with a pause.
    Drip(Vec<u8>, Duration),
    /// The beginning, and then the rest again and again.
    Endless(Vec<u8>, Vec<u8>),
    /// Nothing; the connection stays open.
    Stall,
}

impl Reply {
    /// An answer with a body and the proper length.
    pub(crate) fn new(status: &str, body: &str) -> Self {
        Reply::with_length(status, body, body.len())
    }

    /// An answer that says its body has this length.
    pub(crate) fn with_length(status: &str, body: &str, len: usize) -> Self {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n");
        Reply::Bytes((head + body).into_bytes())
    }

    pub(crate) fn keys(keys: &[&Value]) -> Self {
        Reply::new("200 OK", &json!({ "keys": keys }).to_string())
    }
}

pub(crate) struct JwksServer {
    pub(crate) addr: SocketAddr,
    scheme: &'static str,
    reply: Arc<Mutex<Reply>>,
    requests: Arc<AtomicUsize>,
}

impl JwksServer {
    pub(crate) fn start(reply: Reply) -> Self {
        JwksServer::serve("http", reply, None)
    }

    /// The same by https, with a certificate and its key in PEM.
    pub(crate) fn start_tls(reply: Reply, certificate: &str, key: &str) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()],
                PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap(),
            )
            .unwrap();
        JwksServer::serve("https", reply, Some(Arc::new(config)))
    }

    fn serve(scheme: &'static str, reply: Reply, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = JwksServer {
            addr: listener.local_addr().unwrap(),
            scheme,
            reply: Arc::new(Mutex::new(reply)),
            requests: Arc::default(),
        };
        let (reply, requests) = (Arc::clone(&server.reply), Arc::clone(&server.requests));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (reply, requests) = (Arc::clone(&reply), Arc::clone(&requests));
                let tls = tls.clone();
                thread::spawn(move || {
                    // A client that goes away is what some replies are made for.
                    let _ = match tls {
                        None => answer(stream, &reply, &requests),
                        Some(config) => {
                            let connection = rustls::ServerConnection::new(config).unwrap();
                            let stream = rustls::StreamOwned::new(connection, stream);
                            answer(stream, &reply, &requests)
                        }
                    };
                });
            }
        });
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}/jwks", self.scheme, self.addr)
    }

    pub(crate) fn set(&self, reply: Reply) {
        *self.reply.lock().unwrap() = reply;
    }

    /// Requests that were read whole.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn answer(
    mut stream: impl Read + Write + KeepsOpen,
    reply: &Mutex<Reply>,
    requests: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut stream);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    requests.fetch_add(1, Ordering::SeqCst);
    let reply = reply.lock().unwrap().clone();
    match reply {
        Reply::Bytes(bytes) => {
            stream.write_all(&bytes)?;
            stream.flush()?;
        }
        Reply::Drip(bytes, pause) => {
            for byte in bytes {
                stream.write_all(&[byte])?;
                stream.flush()?;
                thread::sleep(pause);
            }
        }
        Reply::Endless(begin, rest) => {
            stream.write_all(&begin)?;
            loop {
                stream.write_all(&rest)?;
            }
        }
        Reply::Stall => stream.keep_open(),
    }
    stream.close();
    Ok(())
}

/// What plain and encrypted streams do at the end.
trait KeepsOpen {
    /// Until the client goes away.
    fn keep_open(&mut self);
    fn close(&mut self);
}

impl KeepsOpen for TcpStream {
    fn keep_open(&mut self) {
        let _ = self.read(&mut [0]);
    }

    fn close(&mut self) {}
}

impl KeepsOpen for rustls::StreamOwned<rustls::ServerConnection, TcpStream> {
    fn keep_open(&mut self) {
        let _ = self.sock.read(&mut [0]);
    }

    fn close(&mut self) {
        self.conn.send_close_notify();
        let _ = self.conn.complete_io(&mut self.sock);
    }
}
