//! Measures a hub on this machine. For now: the first numbers of the engine.
//!
//! `loadtest engine [--hub target/release/petasos] [--driver io_uring|epoll]`

mod engine;
mod floor;
mod hub;
mod machine;
mod swarm;

use std::process::ExitCode;

const USAGE: &str = "\
usage: loadtest engine [--hub PATH] [--driver NAME]

Starts the hub on one core and measures, with the load on the other one:
  bytes of user memory for each idle subscriber, at 10,000 subscribers
  CPU for each delivery at 1,000 subscribers, against a bare `send` loop that takes turns with it
  CPU for each publication without subscribers, at 1 and at 64 under way
  CPU for each new subscriber

  --hub PATH      the binary [default: target/release/petasos]
  --driver NAME   io_uring or epoll [default: the hub's own choice]";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some("engine") {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    }
    let mut options = hub::Options::default();
    while let Some(flag) = args.next() {
        let value = args.next();
        match (flag.as_str(), value) {
            ("--hub", Some(path)) => options.binary = path.into(),
            ("--driver", Some(name)) => options.driver = name,
            _ => {
                eprintln!("{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    match engine::measure(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}
