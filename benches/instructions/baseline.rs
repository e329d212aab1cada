//! What the counts were when somebody looked at them last.

use std::{error::Error, fs, path::PathBuf, process::Command};

use serde::{Deserialize, Serialize};

use super::count::Counts;

/// A count may differ by so much, up or down: one that fell is to be written down, so that it
/// cannot creep up again unseen.
const TOLERANCE: f64 = 0.03;
const RENEW: &str = "cargo bench --bench instructions -- --renew";

#[derive(Debug, Serialize, Deserialize)]
struct Baseline {
    /// Another compiler makes other code.
    compiler: String,
    /// Libraries choose their code by the processor.
    processor: String,
    instructions: Counts,
}

fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("benches/instructions/baseline.json")
}

/// The one that `rust-toolchain.toml` names.
fn compiler() -> Result<String, Box<dyn Error>> {
    let output = Command::new("rustc")
        .arg("--version")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .map_err(|error| format!("rustc: {error}"))?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What `/proc/cpuinfo` says of the first one.
fn processor() -> String {
    let lines = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        let mut fields = lines.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.trim() == name).map_or("", |(_, value)| value.trim())
    };
    let (name, family, model) = (value("model name"), value("cpu family"), value("model"));
    format!("{}, {name}, family {family}, model {model}", std::env::consts::ARCH)
}

/// Writes the counts down.
pub(super) fn renew(counts: &Counts) -> Result<bool, Box<dyn Error>> {
    let baseline =
        Baseline { compiler: compiler()?, processor: processor(), instructions: counts.clone() };
    let mut text = serde_json::to_string_pretty(&baseline)?;
    text.push('\n');
    fs::write(path(), text)?;
    println!("{} counts are written to {}", counts.len(), path().display());
    Ok(true)
}

/// Prints the counts beside those of the baseline. False if one differs too much.
pub(super) fn compare(counts: &Counts) -> Result<bool, Box<dyn Error>> {
    let text = fs::read_to_string(path())
        .map_err(|error| format!("{}: {error}; make it: {RENEW}", path().display()))?;
    let baseline: Baseline = serde_json::from_str(&text)
        .map_err(|error| format!("{}: {error}; make it anew: {RENEW}", path().display()))?;
    let compiler = compiler()?;
    if baseline.compiler != compiler {
        let (theirs, ours) = (baseline.compiler, compiler);
        println!("the baseline was made with {theirs}, this is {ours}: look at it, and {RENEW}");
        return Ok(false);
    }
    let mut all_are_near = true;
    for (name, &count) in counts {
        let Some(&before) = baseline.instructions.get(name) else {
            all_are_near = false;
            println!("{count:>10}            {name}: not in the baseline");
            continue;
        };
        let change = count as f64 / before as f64 - 1.0;
        let verdict = match change {
            _ if change > TOLERANCE => "  COSTS MORE",
            _ if change < -TOLERANCE => "  costs less: write that down",
            _ => "",
        };
        all_are_near &= verdict.is_empty();
        println!("{count:>10}  {:>+7.2} %  {name}{verdict}", change * 100.0);
    }
    for name in baseline.instructions.keys().filter(|name| !counts.contains_key(*name)) {
        all_are_near = false;
        println!("                       {name}: only in the baseline");
    }
    if baseline.processor != processor() {
        let (theirs, ours) = (baseline.processor, processor());
        println!("\nshown and not judged: the baseline was made on `{theirs}`, this is `{ours}`");
        return Ok(true);
    }
    if !all_are_near {
        println!(
            "\nMore than {} % away from benches/instructions/baseline.json. If that is meant to \
             be, renew it and say why in the commit:\n    {RENEW}",
            TOLERANCE * 100.0
        );
    }
    Ok(all_are_near)
}
