//! Runs on after failures, and tells what failed how often: to judge a change, or the simulator.

use std::{
    collections::BTreeMap,
    panic::{catch_unwind, set_hook},
    sync::{Arc, Mutex},
};

use super::{run, world};

pub(crate) fn survey(count: u64) {
    let last = Arc::new(Mutex::new(String::new()));
    let noted = Arc::clone(&last);
    set_hook(Box::new(move |panic| {
        let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
        let text = panic.payload_as_str().unwrap_or_default();
        let text = text.split(": ").next().unwrap_or_default();
        let text: String = text.chars().filter(|c| !c.is_ascii_digit()).take(90).collect();
        *noted.lock().expect("no panic") = format!("{} {text}", place.unwrap_or_default());
    }));
    let mut failures: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for seed in 0..count {
        if catch_unwind(|| run(seed)).is_err() {
            world::set(None);
            let what = last.lock().expect("no panic").clone();
            failures.entry(what).or_insert((0, seed)).0 += 1;
        }
    }
    let failed: u64 = failures.values().map(|(times, _)| times).sum();
    eprintln!("{failed} of {count} schedules fail");
    for (what, (times, first)) in failures {
        eprintln!("{times:6} from seed {first:5}: {what}");
    }
    assert_eq!(failed, 0);
}
