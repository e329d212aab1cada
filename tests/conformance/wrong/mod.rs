//! Shows that the suite notices wrong hubs: a proxy makes a wrong one of a good one, in one way
//! after the other, and the rows that it is about must fail. Without an alteration they pass.

mod alterations;
mod proxy;

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use crate::{
    challenge,
    check::Outcomes,
    common::hub::Driver,
    hub::{Hub, Target},
    options::Options,
    own::{self, Own},
    report::{Mark, Tally},
    row::{Level, Need, Row},
    rows,
};

use alterations::{WRONGS, Wrong};
use proxy::Alteration;

/// What the filter of rows sees of this.
pub(crate) const SAYS: &str = "wrong hubs are noticed";

/// Of a hub that is wrong, nothing more is to be expected.
const PATIENCE: Duration = Duration::from_secs(2);

/// Rows with these needs say nothing of the hub that is altered here.
const OTHERS: [Need; 3] = [Need::Lifetime, Need::Closed, Need::PublicKey];
/// Only what is no hub at all does not pass.
const UNALTERABLE: [&str; 1] = ["the hub is at the well-known path"];

/// Looks at all wrong hubs.
pub(crate) fn notice(options: &Options, tally: &mut Tally) {
    tally.chapter("The suite itself".to_owned());
    let chapters = rows::chapters();
    let all: Vec<&Row> = chapters.iter().flat_map(|chapter| &chapter.rows).collect();
    let own = own::open(Driver::Epoll);
    let mut tell = |says: String, complaints: Vec<String>| {
        let is_right = complaints.is_empty();
        println!("  {:8}{says}", if is_right { "ok" } else { "FAILED" });
        complaints.iter().for_each(|it| println!("            {it}"));
        tally.count(if is_right { Mark::Passed } else { Mark::Failed });
    };
    let challenges = if challenge::is_read_well() { vec![] } else { vec!["they are not".into()] };
    tell("challenges are read".to_owned(), challenges);
    let mut names: Vec<_> = WRONGS.iter().flat_map(|wrong| wrong.noticed_by).collect();
    names.sort_unstable();
    names.dedup();
    let missing = names.iter().filter(|name| !all.iter().any(|row| row.says == ***name));
    let missing: Vec<_> = missing.map(|name| format!("there is no row {name:?}")).collect();
    tell("the rows that are spoken of are there".to_owned(), missing);
    let is_first =
        |(at, row): &(usize, &&Row)| all.iter().position(|it| it.says == row.says) == Some(*at);
    let twice = all.iter().enumerate().filter(|it| !is_first(it));
    let twice = twice.map(|(_, row)| format!("two rows are called {:?}", row.says)).collect();
    tell("every row has a name of its own".to_owned(), twice);
    let of_another = |row: &Row| OTHERS.iter().any(|need| row.needs.contains(need));
    let unspoken = all.iter().filter(|row| !names.contains(&&row.says) && !of_another(row));
    let unspoken = unspoken.filter(|row| !UNALTERABLE.contains(&row.says));
    let unspoken = unspoken.map(|row| format!("what hub would not pass {:?}?", row.says)).collect();
    tell("for every row there is a wrong hub".to_owned(), unspoken);
    let named: Vec<&Row> = all.iter().copied().filter(|row| names.contains(&&row.says)).collect();
    let same = behind(&own, Alteration::default());
    let outcomes = outcomes(&same, &named, options.patience, options.jobs);
    let failed = outcomes.iter().filter(|(_, it)| matches!(it, Outcomes::Failed(_)));
    let failed = failed.map(|(says, outcome)| format!("{says}: {outcome:?}")).collect();
    tell("a hub behind a proxy that alters nothing is right".to_owned(), failed);
    // Most of this is waiting.
    let mut complaints = thread::scope(|scope| {
        let (own, all) = (&own, &all);
        let looks = WRONGS.iter().map(|wrong| scope.spawn(move || unnoticed(own, wrong, all)));
        let looks: Vec<_> = looks.collect();
        looks.into_iter().map(|look| look.join().expect("rows do not panic")).collect::<Vec<_>>()
    });
    for (wrong, complaints) in WRONGS.iter().zip(complaints.drain(..)) {
        tell(format!("noticed: a hub that {}", wrong.does), complaints);
    }
    let none = at(&own, nothing());
    let outcomes = self::outcomes(&none, &all, PATIENCE, options.jobs);
    let passed = outcomes.iter().filter(|(_, it)| matches!(it, Outcomes::Passed));
    let passed = passed.map(|(says, _)| format!("a row passes: {says}")).collect();
    tell("noticed: a server that is no hub".to_owned(), passed);
}

/// The rows that should have noticed, and have not.
fn unnoticed(own: &Own, wrong: &Wrong, all: &[&Row]) -> Vec<String> {
    let rows: Vec<&Row> =
        all.iter().copied().filter(|row| wrong.noticed_by.contains(&row.says)).collect();
    let target = behind(own, wrong.alteration);
    let outcomes = outcomes(&target, &rows, PATIENCE, 2);
    let is_noticed = |row: &Row, outcome: &Outcomes| match outcome {
        Outcomes::Failed(_) => true,
        // What a hub need not have cannot be asked of it.
        Outcomes::Skipped(_) => row.level == Level::May,
        Outcomes::Passed => false,
    };
    let pairs = rows.iter().zip(&outcomes);
    let unnoticed = pairs.filter(|(row, (_, outcome))| !is_noticed(row, outcome));
    unnoticed.map(|(_, (says, outcome))| format!("not by {says:?}: {outcome:?}")).collect()
}

/// What comes of rows on a hub.
fn outcomes(
    target: &Target,
    rows: &[&Row],
    patience: Duration,
    jobs: usize,
) -> Vec<(&'static str, Outcomes)> {
    let hub = Hub::new(target.clone(), patience);
    let runs = |row: &Row| !OTHERS.iter().any(|need| row.needs.contains(need));
    let results = crate::run(rows, &[(&hub, &runs)], jobs);
    let skipped = || Outcomes::Skipped("for another hub".to_owned());
    let first = |result: crate::report::Result<'_>| {
        result.outcomes.into_iter().next().map_or_else(skipped, |(_, outcome)| outcome)
    };
    rows.iter().map(|row| row.says).zip(results.into_iter().map(first)).collect()
}

/// The hub at another address.
fn at(own: &Own, addr: SocketAddr) -> Target {
    Target { url: format!("http://{addr}/.well-known/mercure"), ..own.target.clone() }
}

fn behind(own: &Own, alteration: Alteration) -> Target {
    at(own, proxy::start(own.hub.addr, alteration))
}

/// A server that has nothing.
fn nothing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut buffer = [0; 64 << 10];
                // Whatever is asked: who does not wait for the answer has gone.
                let _ = client.read(&mut buffer);
                let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\
                              Connection: close\r\n\r\n";
                let _ = client.write_all(answer.as_bytes());
                let _ = client.shutdown(std::net::Shutdown::Write);
                while client.read(&mut buffer).is_ok_and(|len| len > 0) {}
            });
        }
    });
    addr
}
