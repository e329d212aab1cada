//! The examples do what they say.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::common::tools::Running;

/// A program of `examples/`, as `cargo test` builds them all.
fn example(name: &str) -> Command {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_petasos"));
    let path = binary.with_file_name("examples").join(name);
    assert!(path.exists(), "{path:?} is not there; `cargo build --release --examples` builds it");
    let mut command = Command::new(path);
    command.env_clear().env("PETASOS_KEY", "a secret of at least 32 bytes, please");
    command
}

fn first_line(output: Option<impl std::io::Read>) -> String {
    let mut line = String::new();
    BufReader::new(output.unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

#[test]
fn a_hub_in_an_application_serves_a_publisher_and_a_subscriber() {
    let mut hub = Running::start(example("hub").stdout(Stdio::piped()));
    let url = first_line(hub.0.stdout.take());
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    let (clock, book) = ("https://example.com/clock", "https://example.com/books/1");
    let mut command = example("subscribe");
    let command = command.args([&url, clock, book]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut subscriber = Running::start(command);
    assert_eq!(first_line(subscriber.0.stderr.take()), "subscribed");

    let published = example("publish").args([&url, book, "sold out"]).output().unwrap();
    assert!(published.status.success(), "{published:?}");
    let expected = format!("{}: sold out", String::from_utf8(published.stdout).unwrap().trim());
    let (mut ticks, mut is_sold) = (Vec::new(), false);
    for line in BufReader::new(subscriber.0.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        match line == expected {
            true => is_sold = true,
            false => {
                let time = line.rsplit_once(": ").and_then(|(_, time)| time.parse().ok());
                ticks.push(time.unwrap_or_else(|| panic!("{line}")));
            }
        }
        if is_sold && ticks.len() > 2 {
            break;
        }
    }
    assert!(is_sold);
    assert!(ticks.is_sorted_by(|a: &u64, b| a < b), "{ticks:?}");

    let refused = example("publish").args([&url, "*", "x"]).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("the topic `*` is reserved"), "{told}");
}

#[test]
fn what_the_readme_shows_is_what_the_examples_do() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let readme = read("README.md");
    let examples = ["hub", "publish", "subscribe"].map(|name| read(&format!("examples/{name}.rs")));
    let shown: Vec<_> = readme.split("```rust\n").skip(1).collect();
    assert!(shown.len() > 3);
    for shown in shown {
        let snippet = shown.split("```").next().unwrap();
        assert!(examples.iter().any(|example| example.contains(snippet)), "{snippet}");
    }
}
