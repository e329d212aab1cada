//! Everything that `docs/performance.md` tells, in one command: servers are started, scenarios
//! take turns on them, results and a table are written.

mod curves;
mod servers;
mod start;
mod steps;

use std::{fs, path::Path, time::Instant};

use clap::Parser;

use self::{
    curves::{CURVES, Curve},
    servers::{Kind, Running},
    steps::{CPU, Figure, STEPS, Step},
};
use crate::{
    Fallible, bare, machine, measure_pairs,
    options::{self, Cli, Command},
    report::{Report, median, show},
    versus,
};

/// A floor that is further above a bare `send` was disturbed: its run says nothing.
const FLOOR_MAX: f64 = 1.25;
/// The step whose floor is held against a bare `send`.
const FLOOR_STEP: &str = "fanout-1000";

/// Runs all steps, or those that were chosen.
pub(crate) fn run(options: &options::Suite) -> Fallible<bool> {
    fs::create_dir_all(&options.out)?;
    machine::raise_open_files();
    let cores = machine::cores();
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    let mut suite = Suite { options, first, last, all_exact: true };
    let is_chosen = |name: &str| {
        options.only.is_empty() || options.only.iter().any(|part| name.contains(&**part))
    };
    let chosen =
        STEPS.iter().filter(|step| is_chosen(step.name) && (options.million || !step.is_huge));
    let (mut rows, mut floors) = (Vec::new(), Vec::new());
    for step in chosen {
        let missing = step.servers.iter().find(|kind| !kind.is_there(options));
        if let Some(kind) = missing {
            println!("{}: skipped, since there is no {kind}\n", step.name);
            continue;
        }
        let pairs = suite.measure(step)?;
        suite.write_json(step.name, &pairs)?;
        rows.extend(step.figures.iter().filter_map(|figure| row(step, figure, &pairs)));
        if step.name == FLOOR_STEP {
            floors = pairs.iter().filter_map(|(_, floor)| floor.get(CPU)).collect();
        }
    }
    if is_chosen(start::STEP.name) {
        rows.extend(suite.start_rows()?);
    }
    if !floors.is_empty() {
        rows.push(suite.floor_row(floors)?);
    }
    if !rows.is_empty() {
        let earlier = fs::read_to_string(options.out.join("table.md")).unwrap_or_default();
        write_table(&options.out, "table.md", &table(&rows, &earlier))?;
    }
    let mut curves = String::new();
    for curve in CURVES.iter().filter(|curve| is_chosen(curve.name)) {
        curves += &suite.measure_curve(curve)?;
    }
    if !curves.is_empty() {
        write_table(&options.out, "curves.md", &format!("{}\n{curves}", machine::describe()))?;
    }
    Ok(suite.all_exact)
}

struct Suite<'a> {
    options: &'a options::Suite,
    /// The core of the servers.
    first: usize,
    /// The core of the load.
    last: usize,
    /// Whether nobody missed anything yet.
    all_exact: bool,
}

impl Suite<'_> {
    /// Measures all points of a curve. Returns its table.
    fn measure_curve(&mut self, curve: &Curve) -> Fallible<String> {
        let points = curve
            .points
            .iter()
            .map(|point| self.measure(&point.step(curve)))
            .collect::<Fallible<Vec<_>>>()?;
        self.write_json(curve.name, &points)?;
        Ok(curves::table(curve, &points))
    }

    fn measure(&mut self, step: &Step) -> Fallible<Vec<(Report, Report)>> {
        let begin = Instant::now();
        let pairs = self.all_rounds(step).map_err(|error| format!("{}: {error}", step.name))?;
        self.all_exact &= pairs.iter().flat_map(|(a, b)| [a, b]).all(Report::is_exact);
        versus::print(&pairs, &mut std::io::stdout())?;
        println!("  {:.0} s\n", begin.elapsed().as_secs_f64());
        Ok(pairs)
    }

    fn all_rounds(&self, step: &Step) -> Fallible<Vec<(Report, Report)>> {
        let rounds = if self.options.quick { 1 } else { step.rounds };
        let (starts, rounds) = if step.afresh { (rounds, 1) } else { (1, rounds) };
        let mut pairs = Vec::new();
        for _ in 0..starts {
            pairs.extend(self.some_rounds(step, rounds)?);
        }
        Ok(pairs)
    }

    /// Runs rounds of a step on servers of their own.
    fn some_rounds(&self, step: &Step, rounds: usize) -> Fallible<Vec<(Report, Report)>> {
        let both = [self.first, self.last];
        let cores = if step.on_all_cores { &both[..] } else { &both[..1] };
        let servers = step
            .servers
            .iter()
            .map(|kind| Running::start(*kind, self.options, cores))
            .collect::<Fallible<Vec<_>>>()?;
        let disk = self.options.disk.display().to_string();
        let step_words = step.words.replace("{disk}", &disk);
        let mut words = format!("loadtest {step_words} --cores {}", self.last);
        for (prefix, server) in ["--", "--vs-"].iter().zip(&servers) {
            words += &server.words(prefix);
        }
        words += &format!(" --rounds {rounds}");
        if self.options.quick {
            words += " --seconds 1";
        }
        let cli = Cli::try_parse_from(words.split_whitespace())?;
        let Command::Scenario(command) = cli.command else {
            return Err("not a scenario".into());
        };
        println!("$ {words}");
        let (named, load, scenario) = command.parts();
        machine::pin_to(&[self.last]);
        measure_pairs(&named, &load, &scenario)
    }

    /// How a hub starts with a long history.
    fn start_rows(&self) -> Fallible<Vec<Row>> {
        machine::pin_to(&[self.last]);
        let report = start::measure(self.options, self.first)?;
        report.print(&mut std::io::stdout())?;
        self.write_json(start::STEP.name, &report)?;
        let one = [(report.clone(), report)];
        Ok(start::FIGURES.iter().filter_map(|figure| row(&start::STEP, figure, &one)).collect())
    }

    /// How far the floor is above a bare `send`, in this very run.
    fn floor_row(&self, mut floors: Vec<f64>) -> Fallible<Row> {
        machine::pin_to(&[self.first, self.last]);
        let bare = bare::measure(&options::Send { rounds: 100, ..options::Send::default() })?;
        self.write_json("send", &bare)?;
        let value = median(&mut floors) / bare.get("send").unwrap_or(f64::NAN);
        Ok(Row {
            what: "the floor against a bare `send`: above 1.25 the run is void".to_owned(),
            step: "send",
            value,
            least: value,
            most: value,
            unit: "x".to_owned(),
            target: "<= 1.25",
            reached: Some(value <= FLOOR_MAX),
        })
    }

    fn write_json(&self, name: &str, results: &impl serde::Serialize) -> Fallible<()> {
        let path = self.options.out.join(format!("{name}.json"));
        Ok(fs::write(path, serde_json::to_string_pretty(results)? + "\n")?)
    }
}

/// A line of the table.
#[derive(Debug)]
struct Row {
    what: String,
    step: &'static str,
    value: f64,
    least: f64,
    most: f64,
    unit: String,
    target: &'static str,
    reached: Option<bool>,
}

fn row(step: &Step, figure: &Figure, pairs: &[(Report, Report)]) -> Option<Row> {
    let (value, least, most, unit) = if figure.is_ratio {
        let (value, least, most) = versus::ratio(pairs, figure.number)?;
        (value, least, most, "x".to_owned())
    } else {
        let mut values: Vec<f64> = pairs.iter().filter_map(|(a, _)| a.get(figure.number)).collect();
        let unit = pairs.first()?.0.unit_of(figure.number)?;
        let value = median(&mut values);
        (value, *values.first()?, *values.last()?, unit)
    };
    Some(Row {
        what: figure.what.to_owned(),
        step: step.name,
        value,
        least,
        most,
        unit,
        target: figure.target,
        reached: figure.at_most.map(|most| value <= most).or(figure.at_least.map(|l| value >= l)),
    })
}

/// The table with these rows, and with those of an `earlier` one whose steps were not measured now.
fn table(rows: &[Row], earlier: &str) -> String {
    let mut lines: Vec<(&str, String)> = rows.iter().map(|row| (row.step, line(row))).collect();
    let measured: Vec<&str> = rows.iter().map(|row| row.step).collect();
    let kept = earlier.lines().filter_map(|line| Some((step_of(line)?, format!("{line}\n"))));
    lines.extend(kept.filter(|(step, _)| !measured.contains(step)));
    // `start` and what is held against a bare `send` come after the steps.
    let place = |name: &str| STEPS.iter().position(|step| step.name == name);
    lines.sort_by_key(|(step, _)| (place(step).unwrap_or(STEPS.len()), *step == start::STEP.name));
    let mut text = format!("{}\n\n", machine::describe());
    text += "| what | measured | least to most | to reach | | raw |\n|---|---|---|---|---|---|\n";
    text.extend(lines.into_iter().map(|(_, line)| line));
    text
}

/// The step that a line of the table is about.
fn step_of(line: &str) -> Option<&str> {
    line.strip_suffix(".json` |")?.rsplit_once('`').map(|(_, step)| step)
}

fn line(row: &Row) -> String {
    let Row { what, step, value, least, most, unit, target, reached } = row;
    let verdict = match reached {
        Some(true) => "reached",
        Some(false) => "**not reached**",
        None => "",
    };
    format!(
        "| {what} | {} {unit} | {} to {} | {target} | {verdict} | `{step}.json` |\n",
        show(*value),
        show(*least),
        show(*most)
    )
}

fn write_table(out: &Path, name: &str, table: &str) -> Fallible<()> {
    print!("{table}");
    let path = out.join(name);
    fs::write(&path, table)?;
    println!("\nwritten to {}", path.display());
    Ok(())
}

impl Kind {
    fn is_there(self, options: &options::Suite) -> bool {
        match self {
            Kind::Petasos { .. } | Kind::Durable => options.hub.exists(),
            Kind::Floor { .. } => true,
            Kind::Nchan => servers::nchan_module().is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_measured_again_stays_in_the_table() {
        let row = |what: &str, step| Row {
            what: what.to_owned(),
            step,
            value: 1.0,
            least: 1.0,
            most: 1.0,
            unit: "x".to_owned(),
            target: "",
            reached: None,
        };
        let whats = |table: &str| -> Vec<String> {
            let rows = table.lines().filter(|line| step_of(line).is_some());
            rows.map(|line| line.split(" | ").next().unwrap().to_owned()).collect()
        };
        let first = [row("a", "fanout-1000"), row("b", "durable"), row("c", start::STEP.name)];
        let first = table(&first, "");
        assert_eq!(whats(&first), ["| a", "| b", "| c"]);
        let second = table(&[row("d", "durable"), row("e", "publish")], &first);
        assert_eq!(whats(&second), ["| a", "| e", "| d", "| c"]);
    }
}
