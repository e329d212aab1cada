//! The rows, chapter by chapter as the specification numbers them. Chapters that bind no hub, or
//! nothing that can be seen from outside, are not here.

mod authorization;
mod discovery;
mod grants;
mod matchers;
mod presence;
mod publication;
mod reconciliation;
mod security;
mod subscription;
mod terminology;
mod tokens;

use crate::row::{Chapter, Row};

/// All rows.
pub(crate) fn chapters() -> Vec<Chapter> {
    let authorization = [authorization::rows(), tokens::rows(), grants::rows()];
    let chapter = |number, title, rows: Vec<Row>| Chapter { number, title, rows };
    vec![
        chapter(2, "Terminology", terminology::rows()),
        chapter(3, "Subscription", subscription::rows()),
        chapter(4, "Matcher Types", matchers::rows()),
        chapter(5, "Publication", publication::rows()),
        chapter(6, "Authorization", authorization.into_iter().flatten().collect()),
        chapter(7, "Reconciliation", reconciliation::rows()),
        chapter(8, "Active Subscriptions", presence::rows()),
        chapter(9, "Discovery", discovery::rows()),
        chapter(13, "Security Considerations", security::rows()),
    ]
}

/// Characters that topics, matchers, ids and types must not have: C0, DEL, C1 and `Cf`.
const FORBIDDEN: &[&str] = &[
    "%00",
    "%01",
    "%09",
    "%0A",
    "%0D",
    "%1F",
    "%7F",
    "%C2%80",
    "%C2%85",
    "%C2%9F",
    "%C2%AD",
    "%D8%80",
    "%E2%80%8B",
    "%E2%80%8D",
    "%E2%80%AE",
    "%E2%81%A6",
    "%EF%BB%BF",
    "%F0%93%90%B0",
    "%F3%A0%80%81",
];

/// What is no UTF-8.
const NO_UTF8: &[&str] =
    &["%FF", "%C3", "%C3%28", "%C0%80", "%E2%82", "%ED%A0%80", "%F4%90%80%80", "a%80b"];
