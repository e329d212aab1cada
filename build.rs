//! Names the git revision for `petasos --version`: `PETASOS_REVISION`, else what git says, else
//! nothing, so that the source builds outside a repository too.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=PETASOS_REVISION");
    // Grows with every commit and checkout.
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let given = env::var("PETASOS_REVISION").ok().filter(|revision| !revision.is_empty());
    let revision = given.or_else(|| git(&["rev-parse", "--short=12", "HEAD"]));
    let revision = revision.map_or(String::new(), |revision| format!(" ({revision})"));
    // Not `PETASOS_…`: `cargo run` sets it for the hub too, which would take it for a setting.
    println!("cargo::rustc-env=VERSION_AND_REVISION={}{revision}", env!("CARGO_PKG_VERSION"));
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
