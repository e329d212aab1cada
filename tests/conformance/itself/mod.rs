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

/// What was looked at, and what is wrong with it.
#[derive(Default)]
pub(crate) struct Told(Vec<(String, Complaints)>);

impl Told {
    fn tell(&mut self, says: &str, complaints: Complaints) {
        self.0.push((says.to_owned(), complaints));
    }

    pub(crate) fn print(&self, tally: &mut Tally) {
        tally.chapter("The suite itself".to_owned());
        for (says, complaints) in &self.0 {
            let is_right = complaints.is_empty();
            println!("  {:8}{says}", if is_right { "ok" } else { "FAILED" });
            complaints.iter().for_each(|it| println!("            {it}"));
            tally.count(if is_right { Mark::Passed } else { Mark::Failed });
        }
    }
}

/// Looks at the suite with a hub of our own.
pub(crate) fn look(options: &Options) -> Told {
    let chapters = rows::chapters();
    let all: Vec<&Row> = chapters.iter().flat_map(|chapter| &chapter.rows).collect();
    let own = own::open(Driver::Epoll);
    let mut told = Told::default();
    let unread = if challenge::is_read_well() { vec![] } else { vec!["they are not".to_owned()] };
    told.tell("challenges are read", unread);
    told.tell("every row has a name of its own", twice(&all));
    wrong::look(&own, &all, options, &mut told);
    commands::look(&own, &mut told);
    told
}

fn twice(all: &[&Row]) -> Complaints {
    let is_again = |(at, row): &(usize, &&Row)| all[..*at].iter().any(|it| it.says == row.says);
    let again = all.iter().enumerate().filter(is_again);
    again.map(|(_, row)| format!("two rows are called {:?}", row.says)).collect()
}
