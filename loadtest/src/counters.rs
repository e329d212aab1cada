//! Numbers that a hub shows of itself, in the text form of Prometheus.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// Where a hub shows its numbers.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    pub(crate) addr: SocketAddr,
    pub(crate) path: String,
}

impl Counters {
    /// What it shows now.
    pub(crate) fn read(&self) -> io::Result<HashMap<String, f64>> {
        let mut stream = TcpStream::connect(self.addr)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let Counters { addr, path } = self;
        let head = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        if !text.starts_with("HTTP/1.1 200 ") {
            let line = text.lines().next().unwrap_or("nothing").to_owned();
            return Err(io::Error::other(format!("http://{addr}{path} answered {line}")));
        }
        Ok(parse(&text))
    }
}

fn parse(text: &str) -> HashMap<String, f64> {
    let number = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.trim().parse().ok()?))
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(number).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# HELP a b\n# TYPE a counter\na 7\nb{c=\"d\"} 8\n";
        let numbers = parse(text);
        assert_eq!(numbers.get("a"), Some(&7.0));
        assert_eq!(numbers.get("b{c=\"d\"}"), Some(&8.0));
        assert_eq!(numbers.len(), 2);
    }
}
