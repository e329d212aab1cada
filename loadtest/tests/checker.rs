//! Whatever is wrong with a stream is found, and counted exactly.

use crate::common::{
    hub,
    proxy::{self, Fault},
    result,
};

const EVERY: u64 = 10_000;

#[test]
fn faults_on_the_way_are_counted_exactly() {
    let hub = hub();
    let (addr, done) = proxy::start(hub.addr, EVERY);
    let words = format!(
        "fanout --hub http://{addr} --subscribers 100 --rate 800 --publishers 1 --seconds 4 \
         --threads 2"
    );
    let (output, result) = result(&words);
    assert!(!output.status.success(), "inexact deliveries are no success");
    let tally = &result["deliveries"];
    let count = |name: &str| tally[name].as_u64().unwrap();
    let expected = [Fault::Drop, Fault::Repeat, Fault::Swap, Fault::Damage].map(|f| done.count(f));
    let counted = ["lost", "repeated", "reordered", "damaged"].map(count);
    assert_eq!(counted, expected, "{result}");
    assert!(expected.iter().all(|&count| count > 0), "{expected:?}: the run was too short");
    assert_eq!(count("foreign"), 0);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains(&format!("{} lost", expected[0])), "{printed}");
}

#[test]
fn without_faults_everything_is_exact() {
    let hub = hub();
    let (addr, _) = proxy::start(hub.addr, u64::MAX);
    let words = format!("fanout --hub http://{addr} --subscribers 50 --under-way 4 --seconds 1");
    let (output, result) = result(&words);
    assert!(output.status.success(), "{output:?}");
    assert!(result["deliveries"]["received"].as_u64().unwrap() > 1_000, "{result}");
}
