//! Does a hub keep the specification? A suite of rows, chapter by chapter of draft-08, that any
//! Mercure hub can be looked at with, from outside: `cargo test --release --test conformance --
//! --help` tells how. Without arguments it looks at this repository's hub.
//!
//! `rows` has the tables, which are data as far as they can be; `row` is the language that they
//! are written in, and `check` does what they say. To add a row is to add a line there.

mod challenge;
mod check;
mod common;
mod facts;
mod http;
mod hub;
mod itself;
mod messages;
mod options;
mod own;
mod report;
mod row;
mod rows;
mod signer;
mod tokens;
mod verdict;

use std::{
    env,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use crate::{
    hub::Hub,
    options::Options,
    own::Own,
    report::{Mark, Result, Standard, Tally},
    row::{Chapter, Row},
};

/// The suite could not do its work.
const CANNOT: u8 = 2;

fn main() -> ExitCode {
    let options = match Options::parse(env::args_os()) {
        Ok(options) => options,
        Err(told) => {
            let _ = told.print();
            return ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(CANNOT));
        }
    };
    let mut chapters = rows::chapters();
    for chapter in &mut chapters {
        let number = chapter.number;
        chapter.rows.retain(|row| options.filter.takes(number, row.section, row.says));
    }
    if options.list {
        list(&chapters);
        return ExitCode::SUCCESS;
    }
    match &options.target {
        None => look_at_own(&chapters, &options),
        Some(target) => {
            let hub = Hub::new(target.clone(), options.patience);
            if let Err(told) = is_there(&hub) {
                eprintln!("{told}");
                return ExitCode::from(CANNOT);
            }
            if chapters.iter().all(|chapter| chapter.rows.is_empty()) {
                eprintln!("no row is so: --list lists them all");
                return ExitCode::from(CANNOT);
            }
            let mut tally = Tally::default();
            look(&chapters, &[(&hub, &|_| true)], &options, options.standard, &mut tally);
            finish(&tally)
        }
    }
}

fn list(chapters: &[Chapter]) {
    for Chapter { number, title, rows } in chapters.iter().filter(|it| !it.rows.is_empty()) {
        println!("{number} {title}");
        for Row { section, level, says, .. } in rows {
            println!("  {level:7}{says} (#{section})");
        }
    }
}

/// Whether anything answers, before every row finds out by itself.
fn is_there(hub: &Hub) -> std::result::Result<(), String> {
    let url = &hub.target.url;
    let cannot = |told: &str| format!("{url} does not answer: {told}");
    match hub.answer(&row::get("")) {
        Ok(answer) if answer.status == 404 => {
            Err(format!("there is no hub at {url}: 404. Is the path right?"))
        }
        Ok(_) => Ok(()),
        Err(verdict::Stop::Failed(failure)) => Err(cannot(&failure.came)),
        Err(verdict::Stop::Skipped(why)) => Err(cannot(&why)),
    }
}

fn look_at_own(chapters: &[Chapter], options: &Options) -> ExitCode {
    let mut tally = Tally::default();
    thread::scope(|scope| {
        let looks_at_itself = options.filter.takes(0, itself::SECTION, itself::SAYS);
        // Most of it is waiting.
        let itself = looks_at_itself.then(|| scope.spawn(|| itself::look(options)));
        if chapters.iter().any(|chapter| !chapter.rows.is_empty()) {
            look_at_hubs(chapters, options, &mut tally);
        }
        if let Some(itself) = itself {
            itself.join().expect("it tells, and does not panic").print(&mut tally);
        }
    });
    finish(&tally)
}

fn look_at_hubs(chapters: &[Chapter], options: &Options, tally: &mut Tally) {
    let own = own::start();
    let hubs: Vec<_> = own.iter().map(|it| Hub::new(it.target.clone(), options.patience)).collect();
    let runs: Vec<_> = own.iter().map(|own: &Own| |row: &Row| own.runs(row)).collect();
    let pairs: Vec<_> = hubs.iter().zip(&runs).map(|(hub, runs)| (hub, runs as Runs)).collect();
    look(chapters, &pairs, options, Standard::Complete, tally);
}

fn finish(tally: &Tally) -> ExitCode {
    tally.print();
    if tally.total(Mark::Failed) == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Whether a hub is one for a row.
type Runs<'a> = &'a (dyn Fn(&Row) -> bool + Sync);

/// Runs the rows on the hubs that are for them, and tells what came of it.
fn look(
    chapters: &[Chapter],
    hubs: &[(&Hub, Runs<'_>)],
    options: &Options,
    standard: Standard,
    tally: &mut Tally,
) {
    let rows: Vec<&Row> = chapters.iter().flat_map(|chapter| &chapter.rows).collect();
    let mut results = run(&rows, hubs, options.jobs).into_iter();
    for Chapter { number, title, rows } in chapters.iter().filter(|it| !it.rows.is_empty()) {
        tally.chapter(format!("{number} {title}"));
        for result in results.by_ref().take(rows.len()) {
            result.print(standard);
            tally.count(result.mark(standard));
        }
    }
}

/// Runs rows on hubs, some at a time.
pub(crate) fn run<'r>(rows: &[&'r Row], hubs: &[(&Hub, Runs<'_>)], jobs: usize) -> Vec<Result<'r>> {
    let tasks: Vec<(usize, &Hub)> = rows
        .iter()
        .enumerate()
        .flat_map(|(at, row)| {
            let hubs = hubs.iter().filter(|(_, runs)| runs(row));
            hubs.map(move |(hub, _)| (at, *hub))
        })
        .collect();
    let outcomes = parallel(&tasks, jobs, |(at, hub)| check::row(hub, rows[*at]));
    let outcomes: Vec<_> = tasks.iter().zip(outcomes).collect();
    let of = |at: usize| {
        let own = outcomes.iter().filter(move |((other, _), _)| *other == at);
        own.map(|((_, hub), outcome)| (hub.target.name.clone(), outcome.clone())).collect()
    };
    rows.iter().enumerate().map(|(at, row)| Result { row, outcomes: of(at) }).collect()
}

/// Does something with each, some at a time.
pub(crate) fn parallel<T: Sync, R: Send>(
    all: &[T],
    jobs: usize,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..jobs.min(all.len()) {
            scope.spawn(|| {
                while let Some((at, one)) = next_of(all, &next) {
                    let result = work(one);
                    done.lock().expect("nobody panics with it").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("nobody panics with it");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

fn next_of<'a, T>(all: &'a [T], next: &AtomicUsize) -> Option<(usize, &'a T)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    Some((at, all.get(at)?))
}
