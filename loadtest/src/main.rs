//! Measures servers of server-sent events, Mercure hubs first of all.

mod bare;
mod cat;
mod check;
mod counters;
mod disk;
mod floor;
mod machine;
mod options;
mod payload;
mod progress;
mod publisher;
mod report;
mod scenario;
mod stream;
mod suite;
mod swarm;
mod target;
mod token;
mod topics;
mod versus;
mod zipf;

use std::{
    error::Error,
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use clap::Parser;

use crate::{
    machine::process::Server,
    options::{Cli, Command, Load, Named, Scenario, ScenarioCommand, ServerOptions},
    report::Report,
    scenario::Run,
};

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Scenario(scenario) => measure(scenario),
        Command::Compare { first, second } => compare(&first, &second),
        Command::Floor(options) => floor::serve(&options).map_err(Into::into).map(|()| true),
        Command::Cat(options) => cat::serve(&options).map_err(Into::into).map(|()| true),
        Command::Send(options) => send(&options),
        Command::Suite(options) => suite::run(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress::clear();
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a scenario on one server, or by turns on two. Returns whether all deliveries were exact.
fn measure(command: ScenarioCommand) -> Fallible<bool> {
    let (servers, load, scenario) = command.parts();
    if !load.cores.is_empty() {
        machine::pin_to(&load.cores);
    }
    if servers.second()?.is_none() {
        let first = servers.first()?;
        let report = run_once(&first, &load, &scenario)?;
        report.print(&mut io::stdout())?;
        write_json(load.json.as_deref(), &report)?;
        return Ok(report.is_exact() || load.allow_inexact);
    }
    let pairs = measure_pairs(&servers, &load, &scenario)?;
    versus::print(&pairs, &mut io::stdout())?;
    write_json(load.json.as_deref(), &pairs)?;
    let all_exact = pairs.iter().all(|(a, b)| a.is_exact() && b.is_exact());
    Ok(all_exact || load.allow_inexact)
}

/// Rounds on two servers that take turns.
fn measure_pairs(
    servers: &ServerOptions,
    load: &Load,
    scenario: &Scenario,
) -> Fallible<Vec<(Report, Report)>> {
    let first = servers.first()?;
    let second = servers.second()?.ok_or("there is no second server")?;
    (0..load.rounds.max(1))
        .map(|_| Ok((run_once(&first, load, scenario)?, run_once(&second, load, scenario)?)))
        .collect()
}

fn run_once((target, pid): &Named, load: &Load, scenario: &Scenario) -> Fallible<Report> {
    let server = match pid {
        Some(pid) => Some(Server::new(*pid)),
        None => Server::listening_on(target.addr),
    };
    if let Some(server) = &server
        && !server.is_running()
    {
        return Err(format!("there is no process {}", server.pid()).into());
    }
    if server.is_none() {
        eprintln!("{target}: its process was not found, so its CPU and memory are not measured");
    }
    let run = Run { target, server: server.as_ref(), load };
    scenario::run(scenario, &run).map_err(|error| format!("{target}: {error}").into())
}

fn compare(first: &Path, second: &Path) -> Fallible<bool> {
    let read = |path: &Path| -> Fallible<Report> {
        let text = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_slice(&text).map_err(|error| {
            format!("{}: not the result of one run ({error})", path.display()).into()
        })
    };
    let pair = (read(first)?, read(second)?);
    if pair.0.scenario != pair.1.scenario {
        return Err(format!(
            "{} is of `{}`, and {} of `{}`: only results of the same scenario compare",
            first.display(),
            pair.0.scenario,
            second.display(),
            pair.1.scenario
        )
        .into());
    }
    versus::print(&[pair], &mut io::stdout())?;
    Ok(true)
}

fn send(options: &options::Send) -> Fallible<bool> {
    let report = bare::measure(options)?;
    report.print(&mut io::stdout())?;
    write_json(options.json.as_deref(), &report)?;
    Ok(true)
}

fn write_json(path: Option<&Path>, result: &impl serde::Serialize) -> Fallible<()> {
    let Some(path) = path else { return Ok(()) };
    let write = || -> io::Result<()> {
        let mut file = fs::File::create(path)?;
        serde_json::to_writer_pretty(&mut file, result)?;
        file.write_all(b"\n")
    };
    write().map_err(|error| format!("{}: {error}", path.display()).into())
}
