//! `petasos healthcheck`: for containers that have no shell and no `wget`.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use clap::{ArgMatches, Command};

use super::{Failure, Surroundings, serve};

/// Longest that the answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) fn command() -> Command {
    Command::new("healthcheck")
        .about("Ask a running hub whether it is ready; the exit code is 0 or 1")
        .after_help("Finds the admin listener by the settings of the hub; --admin names another.")
        .args(serve::few_arguments())
}

pub(super) fn healthcheck(
    matches: &ArgMatches,
    surroundings: &mut Surroundings<'_>,
) -> Result<(), Failure> {
    let address = serve::admin_address(matches, surroundings)?;
    let told = |problem: String| Failure::Told(format!("http://{address}: {problem}"));
    let answer = ask(address).map_err(|error| told(error.to_string()))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(told(body.trim_end().to_owned())),
    }
}

fn ask(mut address: SocketAddr) -> io::Result<String> {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = "GET /mercure/health/ready HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    Ok(answer)
}
