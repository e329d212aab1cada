//! What a run says: a line for each row, with what was wrong below it, and a table of chapters.

use std::collections::BTreeMap;

use crate::{
    check::Outcomes,
    row::{Level, Row},
};

/// What came of a row on all hubs that it was run on.
pub(crate) struct Result<'r> {
    pub(crate) row: &'r Row,
    /// With the name of the hub.
    pub(crate) outcomes: Vec<(String, Outcomes)>,
}

/// What a row comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    Passed,
    Failed,
    /// A SHOULD that does not hold.
    Warned,
    Skipped,
}

/// What is asked of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standard {
    /// Every MUST.
    Musts,
    /// Every SHOULD too.
    Strict,
    /// And that no row says nothing: for our own hubs, which are configured for all of them.
    Complete,
}

impl Result<'_> {
    /// It failed if it failed anywhere, and was skipped if it was skipped everywhere.
    pub(crate) fn mark(&self, standard: Standard) -> Mark {
        let any = |is: fn(&Outcomes) -> bool| self.outcomes.iter().any(|(_, it)| is(it));
        match () {
            () if any(|it| matches!(it, Outcomes::Failed(_))) => match self.row.level {
                Level::Should if standard == Standard::Musts => Mark::Warned,
                _ => Mark::Failed,
            },
            () if any(|it| matches!(it, Outcomes::Passed)) => Mark::Passed,
            () if standard == Standard::Complete => Mark::Failed,
            () => Mark::Skipped,
        }
    }

    /// If it was skipped everywhere, why.
    fn why_skipped(&self) -> String {
        let skipped = self.outcomes.iter().map(|(_, outcome)| match outcome {
            Outcomes::Skipped(why) => Some(why),
            _ => None,
        });
        match skipped.collect::<Option<Vec<_>>>().as_deref() {
            None => String::new(),
            Some([]) => " (there is no hub for it)".to_owned(),
            Some([why, ..]) => format!(" ({why})"),
        }
    }

    pub(crate) fn print(&self, standard: Standard) {
        let mark = self.mark(standard);
        let Row { level, section, says, .. } = self.row;
        let name = match mark {
            Mark::Passed => "ok",
            Mark::Failed => "FAILED",
            Mark::Warned => "warning",
            Mark::Skipped => "skipped",
        };
        println!("  {name:8}{level:7}{says}{}", self.why_skipped());
        for (hub, outcome) in &self.outcomes {
            let Outcomes::Failed(failures) = outcome else { continue };
            println!("            hub       {hub}");
            println!("            section   #{section}");
            for failure in failures {
                println!("            sent      {}", failure.sent);
                println!("            expected  {}", failure.expected);
                println!("            came      {}", failure.came);
            }
        }
    }
}

/// Counts rows of chapters.
#[derive(Default)]
pub(crate) struct Tally {
    chapters: Vec<(String, BTreeMap<Mark, usize>)>,
}

impl Tally {
    /// Begins a chapter.
    pub(crate) fn chapter(&mut self, title: String) {
        println!("\n{title}");
        self.chapters.push((title, BTreeMap::new()));
    }

    pub(crate) fn count(&mut self, mark: Mark) {
        let (_, marks) = self.chapters.last_mut().expect("a chapter");
        *marks.entry(mark).or_default() += 1;
    }

    pub(crate) fn total(&self, mark: Mark) -> usize {
        self.chapters.iter().filter_map(|(_, marks)| marks.get(&mark)).sum()
    }

    /// The table, and the line that counts.
    pub(crate) fn print(&self) {
        println!(
            "\n{:36}{:>8}{:>8}{:>10}{:>9}",
            "chapter", "passed", "failed", "warnings", "skipped"
        );
        for (title, marks) in &self.chapters {
            let count = |mark| marks.get(&mark).copied().unwrap_or_default();
            let [passed, failed, warned, skipped] =
                [Mark::Passed, Mark::Failed, Mark::Warned, Mark::Skipped].map(count);
            println!("{title:36}{passed:8}{failed:8}{warned:10}{skipped:9}");
        }
        let total = |mark| self.total(mark);
        let warned = total(Mark::Warned);
        if warned > 0 {
            println!(
                "\nA SHOULD that does not hold is counted as skipped; with --strict, as failed."
            );
        }
        println!(
            "\n{} passed, {} failed, {} skipped",
            total(Mark::Passed),
            total(Mark::Failed),
            total(Mark::Skipped) + warned,
        );
    }
}
