//! Shows that the suite notices wrong hubs: a proxy makes a wrong one of a good one, in one way
//! after the other, and the rows that it is about must fail. Without an alteration they pass.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use super::{
    Complaints, Told,
    alterations::{Wrong, wrongs},
    proxy::{self, Alteration},
};
use crate::{
    check::Outcomes,
    hub::{Hub, Target},
    options::Options,
    own::Own,
    row::{Level, Need, Row},
};

/// Of a hub that is wrong, nothing more is to be expected.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// Rows with these needs say nothing of the hub that is altered here.
const OTHERS: [Need; 3] = [Need::Lifetime, Need::Closed, Need::PublicKey];
/// Only what is no hub at all does not pass.
const UNALTERABLE: [&str; 1] = ["the hub is at the well-known path"];

/// Looks at all wrong hubs, and at one that is right.
pub(super) fn look(own: &Own, all: &[&Row], options: &Options, told: &mut Told) {
    let wrongs = wrongs();
    let spoken_of: Vec<_> = wrongs.iter().flat_map(|wrong| wrong.noticed_by).collect();
    told.tell("for every row there is a wrong hub", unspoken(all, &spoken_of));
    let named: Vec<_> = all.iter().copied().filter(|it| spoken_of.contains(&&it.says)).collect();
    let right = behind(own, Alteration::default());
    let outcomes = outcomes(&right, &named, options.patience, options.jobs);
    let failed = outcomes.iter().filter(|(_, it)| matches!(it, Outcomes::Failed(_)));
    let failed = failed.map(|(says, outcome)| format!("{says}: {outcome:?}")).collect();
    told.tell("a hub behind a proxy that alters nothing is right", failed);
    // Most of this is waiting.
    let looks = crate::parallel(&wrongs, options.jobs, |wrong| unnoticed(own, wrong, all));
    for (wrong, complaints) in wrongs.iter().zip(looks) {
        told.tell(&format!("noticed: a hub that {}", wrong.does), complaints);
    }
    let outcomes = self::outcomes(&at(own, nothing()), all, PATIENCE, options.jobs);
    let passed = outcomes.iter().filter(|(_, it)| matches!(it, Outcomes::Passed));
    let passed = passed.map(|(says, _)| format!("a row passes: {says}")).collect();
    told.tell("noticed: a server that is no hub", passed);
}

/// What is wrong with the names in the table of wrong hubs.
fn unspoken(all: &[&Row], spoken_of: &[&&str]) -> Complaints {
    let is_row = |name: &str| all.iter().any(|row| row.says == name);
    let missing = spoken_of.iter().filter(|name| !is_row(name));
    let missing = missing.map(|name| format!("there is no row {name:?}"));
    let of_another = |row: &Row| OTHERS.iter().any(|need| row.needs.contains(need));
    let is_exempt = |row: &Row| of_another(row) || UNALTERABLE.contains(&row.says);
    let unspoken = all.iter().filter(|row| !spoken_of.contains(&&row.says) && !is_exempt(row));
    let unspoken = unspoken.map(|row| format!("which hub does not pass {:?}?", row.says));
    missing.chain(unspoken).collect()
}

/// The rows that should have noticed, and have not.
fn unnoticed(own: &Own, wrong: &Wrong, all: &[&Row]) -> Complaints {
    let rows: Vec<&Row> =
        all.iter().copied().filter(|row| wrong.noticed_by.contains(&row.says)).collect();
    let target = behind(own, wrong.alteration);
    let outcomes = outcomes(&target, &rows, PATIENCE, rows.len());
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
                let _ = client.shutdown(Shutdown::Write);
                while client.read(&mut buffer).is_ok_and(|len| len > 0) {}
            });
        }
    });
    addr
}
