//! Names of hosts and certificates in the image: its binary is static, and finds them all the same.

use std::net::UdpSocket;

use super::{docker::image, network::Network};
use crate::common::{
    jwks_server::{JwksServer, Reply},
    process::wait_until,
    tools::{Directory, has_tools},
};

const NAME: &str = "keys.example";

/// A server that knows one address of one name, and no others.
fn serve_names(socket: &UdpSocket) {
    let mut query = [0; 512];
    while let Ok((len, client)) = socket.recv_from(&mut query) {
        // One question behind the head of 12 bytes: labels, a zero, type, class.
        let question = &query[12..len];
        let end = 4 + 1 + question.iter().position(|&byte| byte == 0).expect("a name");
        let question = &question[..end];
        let is_known = question.starts_with(b"\x04keys\x07example\0");
        let is_address = question[end - 4..end - 2] == [0, 1];
        let (code, count) = match is_known {
            true => (0, u8::from(is_address)),
            false => (3, 0),
        };
        let mut answer = query[..2].to_vec();
        answer.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
        answer.extend(question);
        if count == 1 {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
        }
        let _ = socket.send_to(&answer, client);
    }
}

/// A hub in the image fetches keys from `scheme://NAME`.
fn keys_are_fetched(network: Network, server: &JwksServer, scheme: &str, options: &str) {
    let Some(image) = image() else { return };
    let url = format!("{scheme}://{NAME}:{}/jwks", server.addr.port());
    let line = format!(
        "docker run {options} -e MERCURE_PUBLISHER_JWKS_URL={url} -e MERCURE_ALLOW_ANONYMOUS=1 \
         petasos"
    );
    let container = image.docker(&line).start_in(network);
    wait_until(&format!("a request at {url}:\n{}", container.hub.log()), || server.requests() > 0);
}

#[test]
fn a_name_is_found_in_the_file_of_hosts() {
    if image().is_none() {
        return;
    }
    let network = Network::new();
    let server = network.inside(|| JwksServer::start(Reply::keys(&[])));
    keys_are_fetched(network, &server, "http", &format!("--add-host {NAME}:127.0.0.1"));
}

#[test]
fn a_name_is_asked_of_a_server_and_a_certificate_of_a_known_authority_is_good() {
    if image().is_none() || !has_tools(&["openssl"]) {
        return;
    }
    let directory = Directory::new("names");
    let [certificate, key] = ["authority.pem", "key.pem"].map(|name| directory.file(name, ""));
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"])
        .args(["-subj", &format!("/CN={NAME}"), "-addext", &format!("subjectAltName=DNS:{NAME}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-days", "2"])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let pem = [&certificate, &key].map(|path| std::fs::read_to_string(path).unwrap());
    let network = Network::new();
    let server = network.inside(move || {
        let socket = UdpSocket::bind("127.0.0.1:53").unwrap();
        std::thread::spawn(move || serve_names(&socket));
        JwksServer::start_tls(Reply::keys(&[]), &pem[0], &pem[1])
    });
    let authorities = format!("{certificate}:/etc/ssl/certs/ca-certificates.crt");
    keys_are_fetched(network, &server, "https", &format!("--dns 127.0.0.1 -v {authorities}"));
}
