//! Does the suite notice what is wrong? What cannot fail is no test.

mod alterations;
mod commands;
mod proxy;
mod wrong;

use crate::{
    challenge,
    common::hub::Driver,
    options::Options,
    own,
    report::{Mark, Tally},
    row::Row,
    rows,
};

/// What the filter of rows sees of this.
pub(crate) const SECTION: &str = "itself";
pub(crate) const SAYS: &str = "the suite itself";

/// What is wrong with the suite, line by line.
type Complaints = Vec<String>;

/// Looks at the suite with a hub of our own.
pub(crate) fn look(options: &Options, tally: &mut Tally) {
    tally.chapter("The suite itself".to_owned());
    let chapters = rows::chapters();
    let all: Vec<&Row> = chapters.iter().flat_map(|chapter| &chapter.rows).collect();
    let own = own::open(Driver::Epoll);
    let mut tell = |says: &str, complaints: Complaints| {
        let is_right = complaints.is_empty();
        println!("  {:8}{says}", if is_right { "ok" } else { "FAILED" });
        complaints.iter().for_each(|it| println!("            {it}"));
        tally.count(if is_right { Mark::Passed } else { Mark::Failed });
    };
    let unread = if challenge::is_read_well() { vec![] } else { vec!["they are not".to_owned()] };
    tell("challenges are read", unread);
    tell("every row has a name of its own", twice(&all));
    wrong::look(&own, &all, options, &mut tell);
    commands::look(&own, &mut tell);
}

fn twice(all: &[&Row]) -> Complaints {
    let is_again = |(at, row): &(usize, &&Row)| all[..*at].iter().any(|it| it.says == row.says);
    let again = all.iter().enumerate().filter(is_again);
    again.map(|(_, row)| format!("two rows are called {:?}", row.says)).collect()
}
