//! A hub that is measured: started on core 0, killed at the end.

use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::machine;

const KEY: &str = "a key that is long enough for HS256, and no secret";

pub(crate) struct Options {
    pub(crate) binary: PathBuf,
    /// Empty: the hub's choice.
    pub(crate) driver: String,
}

impl Default for Options {
    fn default() -> Self {
        Options { binary: "target/release/petasos".into(), driver: String::new() }
    }
}

pub(crate) struct Hub {
    child: Child,
    pub(crate) addr: SocketAddr,
}

impl Hub {
    /// One worker on core 0, history in memory.
    pub(crate) fn start(options: &Options) -> io::Result<Hub> {
        let mut command = Command::new(&options.binary);
        command
            .env("ADDR", "127.0.0.1:0")
            .env("MERCURE_JWT_KEY", KEY)
            .env("MERCURE_ALLOW_ANONYMOUS", "1")
            .env("PETASOS_WORKERS", "1")
            .env("PETASOS_DRIVER", &options.driver)
            .stderr(Stdio::piped());
        // SAFETY: only a system call is made between fork and exec.
        unsafe {
            command.pre_exec(|| {
                machine::pin_to(0);
                Ok(())
            });
        }
        let mut child = command.spawn()?;
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let mut said = String::new();
        while let Some(line) = lines.next().transpose()? {
            let address = line.split_once("listening on http://").map(|(_, rest)| rest);
            if let Some(addr) = address.and_then(|a| a.split(['"', ' ']).next()?.parse().ok()) {
                std::thread::spawn(move || lines.for_each(drop));
                return Ok(Hub { child, addr });
            }
            said.push_str(&line);
        }
        Err(io::Error::other(format!("the hub did not start: {said}")))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A token that may publish on every topic.
pub(crate) fn publisher_token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut header = Header::new(Algorithm::HS256);
    header.typ = Some("at+jwt".to_owned());
    let claims = json!({
        "iss": "loadtest", "sub": "loadtest", "client_id": "loadtest", "jti": "1",
        "iat": now, "exp": now + 3600,
        "authorization_details": [{
            "type": "https://mercure.rocks/authorization-detail",
            "actions": ["publish"],
            "topics": [{ "match": "*" }],
        }],
    });
    jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(KEY.as_bytes()))
        .expect("plain claims")
}

/// The bytes of a publication of so many bytes of data.
pub(crate) fn publication(token: &str, topic: &str, data_len: usize) -> Vec<u8> {
    let form = format!("topic={topic}&data={}", "x".repeat(data_len));
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
    .into_bytes()
}

/// The bytes of a subscription.
pub(crate) fn subscription(topic: &str) -> Vec<u8> {
    format!("GET /.well-known/mercure?match={topic} HTTP/1.1\r\nHost: hub\r\n\r\n").into_bytes()
}
