//! What people see of the command.

use std::fs;

use crate::common::{hub, result, run};

fn errors(words: &str) -> String {
    let output = run(words);
    assert!(!output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn mistakes_are_told() {
    assert!(errors("fanout --hub https://127.0.0.1").contains("give an http:// URL"));
    assert!(errors("hold --subscribe-url http://a/").contains("--publish-url"));
    let refused = errors("publish --hub http://127.0.0.1:1 --seconds 0.1");
    assert!(refused.contains("refused"), "{refused}");
    assert!(errors("compare /nowhere /nowhere").contains("/nowhere"));
    assert!(errors("hold --pid 999999999").contains("no process"));
}

#[test]
fn a_wrong_key_is_told() {
    let hub = hub();
    let told = errors(&format!("publish --hub http://{} --key wrong --seconds 0.1", hub.addr));
    assert!(told.contains("401: is the key right?"), "{told}");
}

#[test]
fn results_are_compared() {
    let hub = hub();
    let words = format!("publish --hub http://{} --seconds 0.3 --under-way 2", hub.addr);
    let paths = ["a", "b"].map(|name| {
        let (_, result) = result(&words);
        let path = std::env::temp_dir().join(format!("{}-{name}.json", std::process::id()));
        fs::write(&path, result.to_string()).unwrap();
        path
    });
    let [a, b] = paths.each_ref().map(|path| path.display());
    let output = run(&format!("compare {a} {b}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && printed.contains("2 under way: CPU [us]"), "{printed}");
    paths.iter().for_each(|path| fs::remove_file(path).unwrap());
}

#[test]
fn the_cost_of_a_send_is_measured() {
    let (output, result) = result("send --subscribers 50 --rounds 5");
    assert!(output.status.success(), "{output:?}");
    assert!(crate::common::number_of(&result, "send") > 0.0);
}
