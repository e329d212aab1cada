//! Counts the instructions of the pure parts, and compares them with `baseline.json`.
//!
//! Unlike times they are the same on a busy machine and on a quiet one, so a change that costs
//! more shows in CI. Needs valgrind. `cargo bench --bench instructions -- --renew` writes the
//! baseline anew; a name, or a part of one, counts only that.

#[path = "../common/mod.rs"]
mod common;

mod baseline;
mod cases;
mod count;

use std::{env, process::ExitCode};

use cases::{CASES, Case};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        [count::RUN, name, times] => {
            let case = CASES.iter().find(|case| case.name == name).expect("a known name");
            (case.run)(times.parse().expect("a number"));
            ExitCode::SUCCESS
        }
        // All of them once, without valgrind: whether they work at all.
        ["--test"] => {
            CASES.iter().for_each(|case| (case.run)(1));
            ExitCode::SUCCESS
        }
        ["--renew"] => outcome(count::all(CASES).and_then(|counts| baseline::renew(&counts))),
        [] => outcome(count::all(CASES).and_then(|counts| baseline::compare(&counts))),
        [part] => {
            let chosen: Vec<Case> =
                CASES.iter().filter(|case| case.name.contains(part)).copied().collect();
            outcome(count::all(&chosen).map(|counts| {
                counts.iter().for_each(|(name, count)| println!("{count:>10}  {name}"));
                true
            }))
        }
        _ => outcome(Err("give one name, --renew, or nothing".into())),
    }
}

fn outcome(result: Result<bool, Box<dyn std::error::Error>>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}
