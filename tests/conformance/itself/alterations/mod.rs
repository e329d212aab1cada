//! The ways in which a hub is made a wrong one, and the rows that must notice it.

mod answers;
mod requests;
mod streams;
mod tokens;

use super::proxy::{Alteration, Message};

/// All of them.
pub(super) fn wrongs() -> Vec<&'static Wrong> {
    let tables = [streams::WRONGS, answers::WRONGS, requests::WRONGS, tokens::WRONGS];
    tables.into_iter().flatten().collect()
}

/// A wrong hub.
pub(super) struct Wrong {
    pub(super) does: &'static str,
    pub(super) alteration: Alteration,
    /// Rows that must not pass.
    pub(super) noticed_by: &'static [&'static str],
}

const fn asks(
    does: &'static str,
    alter: fn(&mut Message),
    noticed_by: &'static [&'static str],
) -> Wrong {
    let alteration = Alteration { asked: Some(alter), answered: None, event: None };
    Wrong { does, alteration, noticed_by }
}

const fn answers(
    does: &'static str,
    alter: fn(&Message, &mut Message),
    noticed_by: &'static [&'static str],
) -> Wrong {
    let alteration = Alteration { asked: None, answered: Some(alter), event: None };
    Wrong { does, alteration, noticed_by }
}

const fn sends(
    does: &'static str,
    alter: fn(String) -> String,
    noticed_by: &'static [&'static str],
) -> Wrong {
    let alteration = Alteration { asked: None, answered: None, event: Some(alter) };
    Wrong { does, alteration, noticed_by }
}
