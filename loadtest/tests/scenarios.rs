//! Each scenario once, for a moment: is what it reports true? Nothing here judges speed.

use serde_json::Value;

use crate::common::{floor, hub, hub_on_disk, number_of, plain_urls, result, temporary};

/// Runs a scenario on the hub, for exactness.
fn exact(scenario: &str, options: &str) -> Value {
    let hub = hub();
    let (output, result) =
        result(&format!("{scenario} --hub http://{} --seconds 0.7 {options}", hub.addr));
    assert!(output.status.success(), "{output:?}");
    let received = result["deliveries"]["received"].as_u64().unwrap();
    assert!(received > 0 || scenario == "publish", "{result}");
    assert_eq!(result["scenario"], scenario);
    result
}

#[test]
fn hold() {
    let result = exact("hold", "--subscribers 10000");
    assert_eq!(result["deliveries"]["received"], 10100);
    assert_eq!(number_of(&result, "still connected"), 10000.0);
    assert!(number_of(&result, "memory per subscriber (PSS)") > 0.0);
    exact("hold", "--subscribers 500 --own-topics");
}

#[test]
fn fanout() {
    let result = exact("fanout", "--subscribers 100 --rate 100");
    assert!(number_of(&result, "CPU per delivery") > 0.0);
    assert!(number_of(&result, "delivery p99") > 0.0);
    exact("fanout", "--subscribers 100 --under-way 8 --data 1024");
    exact("fanout", "--subscribers 100 --burst 4");
}

#[test]
fn topics() {
    exact("topics", "--subscribers 1000 --topics 500 --rate 300");
}

#[test]
fn mixed() {
    let result = exact("mixed", "--subscribers 2000 --small-topics 10 --rate 5");
    assert!(number_of(&result, "small topics: delivery p99") > 0.0);
}

#[test]
fn private() {
    let result = exact("private", "--subscribers 200 --rate 100");
    assert_eq!(result["deliveries"]["foreign"], 0);
}

#[test]
fn replay() {
    let result = exact("replay", "--subscribers 200 --missed 300");
    // Each got one before, and then all that it missed.
    assert_eq!(result["deliveries"]["received"], 200 * 301);
}

#[test]
fn replay_beside_a_bare_server() {
    let folder = temporary();
    let options =
        format!("--subscribers 20 --missed 300 --bury 300000 --cat --folder {}", folder.display());
    let result = exact("replay", &options);
    assert_eq!(result["deliveries"]["received"], 20 * 301);
    assert!(number_of(&result, "CPU, to the bare server") > 0.0);
    assert!(number_of(&result, "bytes of the bare server") > 0.0);
    // Its file is gone.
    std::fs::remove_dir(folder).unwrap();
}

#[test]
fn durable() {
    let (hub, metrics) = hub_on_disk();
    let folder = temporary();
    let words = format!(
        "durable --hub http://{} --metrics {metrics} --under-way 1,8 --turns 2 --seconds 0.5 \
         --folder {}",
        hub.addr,
        folder.display()
    );
    let (output, result) = result(&words);
    assert!(output.status.success(), "{output:?}");
    // The hub's two numbers may be read between an update and its group.
    let group = number_of(&result, "1 under way: updates of a group");
    assert!((group - 1.0).abs() < 0.05, "{group}");
    assert!(number_of(&result, "8 under way: updates of a group") > 1.0);
    assert!(number_of(&result, "8 under way: publications") > 10.0);
    assert!(number_of(&result, "8 under way: groups, to the disk alone") > 0.0);
    std::fs::remove_dir(folder).unwrap();
}

#[test]
fn churn() {
    let result = exact("churn", "--subscribers 300 --joins 300 --rate 50");
    assert!(number_of(&result, "joins") > 10.0);
}

#[test]
fn publish() {
    let result = exact("publish", "--under-way 1,8");
    assert!(number_of(&result, "8 under way: publications") > 10.0);
}

#[test]
fn slow() {
    exact("slow", "--subscribers 90 --rate 100");
}

#[test]
fn the_floor_is_driven_by_the_same_scenarios() {
    for threads in [1, 3] {
        let floor = floor(threads);
        let urls = plain_urls(floor.addr);
        // The threads of a floor have no order among each other: one of them publishes.
        let fanout = "fanout --subscribers 100 --rate 100 --publishers 1";
        for scenario in ["hold --subscribers 300", fanout] {
            let (output, result) = result(&format!("{scenario} {urls} --seconds 0.5"));
            assert!(output.status.success(), "{output:?}");
            assert!(result["deliveries"]["received"].as_u64().unwrap() > 0);
        }
    }
}

#[test]
fn two_servers_take_turns() {
    let (hub, floor) = (hub(), floor(1));
    let vs = plain_urls(floor.addr).replace("--", "--vs-");
    let words = format!(
        "fanout --hub http://{} --name hub {vs} --vs-name floor --rounds 2 --seconds 0.5 \
         --subscribers 50",
        hub.addr
    );
    let (output, pairs) = result(&words);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(pairs.as_array().unwrap().len(), 2);
    assert_eq!((&pairs[0][0]["server"], &pairs[1][1]["server"]), (&"hub".into(), &"floor".into()));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.contains("medians of 2 rounds that took turns"), "{printed}");
}
