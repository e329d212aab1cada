//! Chapter 2: what a topic is.

use super::{FORBIDDEN, NO_UTF8};
use crate::row::{BAD_REQUEST, OK, Row, must, post};

pub(super) fn rows() -> Vec<Row> {
    vec![
        must("terminology", "a topic has no control characters and no format characters")
            .answers(&[BAD_REQUEST], FORBIDDEN.iter().map(|it| post(format!("topic={{t}}{it}x"))))
            .answers(&[BAD_REQUEST], [post("topic={t}&topic={t}%0A"), post("topic=%E2%80%AE{t}")]),
        must("terminology", "a topic is UTF-8")
            .answers(&[BAD_REQUEST], NO_UTF8.iter().map(|it| post(format!("topic={{t}}{it}")))),
        must("terminology", "all other characters may be in a topic")
            .answers(&[OK], OTHERS.iter().map(|it| post(format!("topic={{t}}{it}")))),
    ]
}

/// Blanks, signs, private use, what is not assigned, and what is no URL.
const OTHERS: &[&str] = &[
    "+x",
    "%20x",
    "%C2%A0x",
    "%E3%80%80x",
    "%F0%9F%98%80",
    "%EE%80%80",
    "%F4%8F%BF%BD",
    "%E2%80%A8x",
    "%22%3C%3E%5B%5D%7B%7D%7C%5C%5E%60%25zz",
    "e%CC%81",
];
