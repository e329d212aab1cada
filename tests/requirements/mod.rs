//! Every sentence of the specification that says MUST or SHOULD: what it binds this hub to, and
//! which tests prove it.
//!
//! A sentence is named by the anchor of its section and by a few of its words. MAY and OPTIONAL
//! bind nobody and are left out; what REQUIRED and RECOMMENDED are, MUST and SHOULD are. What is
//! proven is cited in the code too, as `draft-08 #anchor`.

mod access;
mod discovery;
mod presence;
mod publishing;
mod security;
mod subscribing;

use std::collections::HashSet;

use crate::tidy::{Source, repository};

/// A section of the specification that binds anybody to anything.
struct Section {
    anchor: &'static str,
    rows: &'static [Row],
}

/// The keywords of a sentence in their order, a few of its words, and what it comes to here.
type Row = (&'static str, &'static str, Verdict);

/// What a sentence comes to here.
#[derive(Clone, Copy)]
enum Verdict {
    /// These tests fail when it is violated: `module::test` below `tests`, or
    /// `src/path.rs::test`.
    Proven(&'static [&'static str]),
    /// Knowingly otherwise, or with an exception: what it is instead, and the tests that show it.
    Stated(&'static str, &'static [&'static str]),
    /// It binds others than the hub.
    Others(&'static str),
    /// It is about what this version does not have.
    Later(&'static str),
}

use Verdict::{Later, Others, Proven, Stated};

const PUBLISHERS: Verdict = Others("binds publishers");
const SUBSCRIBERS: Verdict = Others("binds subscribers");
/// Publishers and subscribers.
const CLIENTS: Verdict = Others("binds clients of the hub");
const ISSUERS: Verdict = Others("binds issuers of tokens");
const SITES: Verdict = Others("binds sites that hand tokens to browsers");
const OPERATORS: Verdict = Others("binds operators of the hub");
const REGISTRANTS: Verdict = Others("binds those who register names with IANA");

const PRESENCE: Verdict = Later("there are no subscription events and no subscription API yet");
const HTTP_2: Verdict = Later("HTTP/1.1 only");
const TLS: Verdict = Later("plain HTTP only: a proxy ends TLS, and a warning at start says so");

/// Words that name a sentence: enough to find it, too few to be a copy.
const WORDS_MAX: usize = 12;

const KEYWORDS: &[&str] = &["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "RECOMMENDED"];

/// What the specification has in each section: sentences as they are told apart here, and
/// keywords. (The definition of the keywords themselves is not counted.)
const COUNTS: &[(&str, usize, usize)] = &[
    ("terminology", 2, 3),
    ("subscription", 26, 28),
    ("matcher-types", 2, 2),
    ("exact-matching", 4, 5),
    ("url-pattern", 7, 8),
    ("summary-of-matcher-types", 2, 2),
    ("publication", 28, 33),
    ("authorization", 8, 9),
    ("presenting-the-access-token", 4, 5),
    ("authorization-http-header", 3, 3),
    ("cookie", 9, 9),
    ("error-responses", 7, 8),
    ("token-validation", 18, 22),
    ("authorization-details", 7, 8),
    ("publishers", 2, 4),
    ("subscribers", 5, 6),
    ("topic-matcher-list", 5, 5),
    ("payloads", 4, 4),
    ("reconciliation", 16, 16),
    ("active-subscriptions", 1, 1),
    ("subscription-events", 17, 17),
    ("subscription-api", 15, 15),
    ("hub-discovery", 11, 11),
    ("protected-resource-metadata", 5, 6),
    ("topic-discovery", 2, 2),
    ("content-negotiation", 1, 1),
    ("encryption", 5, 6),
    ("using-http", 1, 1),
    ("mercure-topic-matcher-types-registry", 1, 2),
    ("mercure-actions-registry", 1, 1),
    ("security-considerations", 8, 10),
    ("server-sent-events-field-injection", 1, 1),
    ("reserved-hub-namespace", 1, 1),
    ("authorization-on-event-replay", 1, 1),
    ("private-update-audience", 1, 1),
    ("protected-resource-metadata-and-authorization-server-selection", 2, 2),
    ("publish-request-replay", 1, 1),
    ("privacy-considerations", 2, 2),
];

fn sections() -> impl Iterator<Item = &'static Section> {
    let chapters = [
        subscribing::SECTIONS,
        publishing::SECTIONS,
        access::SECTIONS,
        presence::SECTIONS,
        discovery::SECTIONS,
        security::SECTIONS,
    ];
    chapters.into_iter().flatten()
}

fn nothing_is_missing(section: &Section) -> Option<String> {
    let keywords = section.rows.iter().map(|(keywords, ..)| keywords.split(", ").count()).sum();
    let found = (section.anchor, section.rows.len(), keywords);
    (!COUNTS.contains(&found)).then(|| format!("{found:?} is not what the specification has"))
}

fn keywords_are_keywords((keywords, ..): &Row) -> Option<String> {
    let mut others = keywords.split(", ").filter(|keyword| !KEYWORDS.contains(keyword));
    others.next().map(|other| format!("{other:?} is no keyword"))
}

fn quotations_are_short((_, quotation, _): &Row) -> Option<String> {
    let words = quotation.split_whitespace().count();
    (!(1..=WORDS_MAX).contains(&words)).then(|| format!("{words} words are quoted"))
}

fn reasons_are_given((.., verdict): &Row) -> Option<String> {
    let is_given = match verdict {
        Proven(tests) => !tests.is_empty(),
        Stated(why, tests) => !why.is_empty() && !tests.is_empty(),
        Others(why) | Later(why) => !why.is_empty(),
    };
    (!is_given).then(|| "nothing is said for it".to_owned())
}

impl Verdict {
    fn tests(self) -> &'static [&'static str] {
        match self {
            Proven(tests) | Stated(_, tests) => tests,
            Others(_) | Later(_) => &[],
        }
    }
}

/// What is said more than once.
fn repeated<'t>(texts: impl IntoIterator<Item = &'t str>) -> Option<String> {
    let mut seen = HashSet::new();
    let twice = texts.into_iter().find(|text| !seen.insert(*text));
    twice.map(|text| format!("{text:?} is there twice"))
}

/// The tests of a file as verdicts name them.
fn tests_of(source: &Source) -> Vec<String> {
    let module = match source.path.strip_prefix("tests/") {
        Some(path) => path.trim_end_matches(".rs").trim_end_matches("/mod").replace('/', "::"),
        None => source.path.clone(),
    };
    let code = source.code.join("\n");
    let function = |text: &str| {
        let name = text.split_once("fn ")?.1;
        Some(name[..name.find('(')?].to_owned())
    };
    let attributed = code.split("#[test]").skip(1).filter_map(function);
    let on_drivers = ["on_both_drivers!(", "wherever_it_is_kept!("]
        .iter()
        .flat_map(|list| code.split(list).skip(1))
        .filter_map(|rest| rest.split_once(')'))
        .flat_map(|(names, _)| names.split(','))
        .map(|name| name.trim().to_owned());
    let names = attributed.chain(on_drivers.filter(|name| !name.is_empty()));
    names.map(|name| format!("{module}::{name}")).collect()
}

/// The anchors that a comment cites: `draft-08 #a, #b and #c`.
fn anchors_of(text: &str) -> impl Iterator<Item = &str> {
    text.split("draft-08").skip(1).flat_map(|rest| {
        let words = rest.split_whitespace().filter(|word| !["///", "//!", "//"].contains(word));
        let list = words.scan(true, |goes_on, word| {
            let belongs = *goes_on && (word.starts_with('#') || word == "and");
            *goes_on = word.ends_with(|c: char| c == ',' || c.is_ascii_alphanumeric());
            belongs.then_some(word)
        });
        list.filter_map(|word| word.strip_prefix('#'))
            .map(|anchor| anchor.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()))
    })
}

/// The tests and citations of a repository.
struct Proofs {
    tests: HashSet<String>,
    anchors: HashSet<String>,
}

impl Proofs {
    fn new(sources: &[Source]) -> Self {
        let rust = || sources.iter().filter(|source| source.is_rust());
        let of_hub = rust().filter(|source| source.path.starts_with("src/"));
        let anchors = of_hub.flat_map(|source| {
            let production = source.text.lines().take(source.tests_start).collect::<Vec<_>>();
            anchors_of(&production.join("\n")).map(str::to_owned).collect::<Vec<_>>()
        });
        Proofs { tests: rust().flat_map(tests_of).collect(), anchors: anchors.collect() }
    }

    /// What is wrong with a section and its rows.
    fn findings(&self, section: &Section) -> Vec<String> {
        let mut findings: Vec<String> = nothing_is_missing(section).into_iter().collect();
        findings.extend(repeated(section.rows.iter().map(|(_, quotation, _)| *quotation)));
        for row in section.rows {
            let checks =
                [keywords_are_keywords, quotations_are_short, reasons_are_given].map(|c| c(row));
            let missing = row.2.tests().iter().filter(|name| !self.tests.contains(**name));
            let missing = missing.map(|name| format!("there is no test {name}"));
            let wrong = checks.into_iter().flatten().chain(missing);
            findings.extend(wrong.map(|what| format!("{:?}: {what}", row.1)));
        }
        let is_proven = section.rows.iter().any(|(.., verdict)| !verdict.tests().is_empty());
        if is_proven && !self.anchors.contains(section.anchor) {
            findings.push("nothing in src cites it".to_owned());
        }
        findings.iter().map(|what| format!("#{}: {what}", section.anchor)).collect()
    }
}

#[test]
fn every_sentence_has_its_proof() {
    let proofs = Proofs::new(&repository());
    let mut findings: Vec<_> = sections().flat_map(|section| proofs.findings(section)).collect();
    findings.extend(repeated(sections().map(|section| section.anchor)));
    let anchors: HashSet<_> = sections().map(|section| section.anchor).collect();
    let missing = COUNTS.iter().filter(|(anchor, ..)| !anchors.contains(anchor));
    findings.extend(missing.map(|(anchor, ..)| format!("#{anchor} is missing")));
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

/// Sections of which nothing can be seen from outside of a hub, or nothing yet, and why.
const UNSEEN: &[(&str, &str)] = &[
    ("subscription-api", "the conformance suite has no rows on active subscriptions yet"),
    ("using-http", "the path of the hub is a row of #hub-discovery"),
    (
        "protected-resource-metadata-and-authorization-server-selection",
        "what a hub fetches is seen by those whom it asks",
    ),
];

/// The sections that the rows of the conformance suite name.
fn sections_seen(sources: &[Source]) -> HashSet<&str> {
    let rows = sources.iter().filter(|source| source.path.starts_with("tests/conformance/rows/"));
    let named = rows.flat_map(|source| {
        let begins = ["must(\"", "should(\"", "may(\"", "SECTION: &str = \""];
        begins.into_iter().flat_map(|begin| source.text.split(begin).skip(1))
    });
    named.filter_map(|rest| rest.split('"').next()).collect()
}

/// What the conformance suite leaves out, or names wrongly.
fn unseen(seen: &HashSet<&str>, all: &[&Section]) -> Vec<String> {
    let is_known = |anchor: &str| COUNTS.iter().any(|(other, ..)| *other == anchor);
    let wrong = seen.iter().filter(|anchor| !is_known(anchor));
    let wrong = wrong.map(|anchor| format!("#{anchor} is no section"));
    let binds = |section: &&&Section| section.rows.iter().any(|(.., it)| !it.tests().is_empty());
    let is_told = |anchor: &str| UNSEEN.iter().any(|(other, _)| *other == anchor);
    let missing = all.iter().filter(binds).filter_map(|section| {
        let anchor = section.anchor;
        match (seen.contains(anchor), is_told(anchor)) {
            (false, false) => Some(format!("no row of tests/conformance is about #{anchor}")),
            (true, true) => Some(format!("#{anchor} is seen")),
            _ => None,
        }
    });
    wrong.chain(missing).collect()
}

#[test]
fn every_section_that_binds_hubs_is_seen_from_outside() {
    let sources = repository();
    let all: Vec<_> = sections().collect();
    let findings = unseen(&sections_seen(&sources), &all);
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn what_is_not_seen_is_found() {
    let rows = [
        Source::new("tests/conformance/rows/a.rs", "must(\"cookie\", \"x\")"),
        Source::new("tests/conformance/rows/b.rs", "const SECTION: &str = \"using-http\";"),
        Source::new("tests/conformance/rows/c.rs", "may(\"no-section\", \"x\")"),
        Source::new("tests/conformance/a.rs", "must(\"not a row\", \"x\")"),
    ];
    let seen = sections_seen(&rows);
    assert_eq!(seen, HashSet::from(["cookie", "using-http", "no-section"]));
    const PROVEN: &[Row] = &[("MUST", "a", Proven(&["a::b"]))];
    const NOT_OURS: &[Row] = &[("MUST", "a", CLIENTS)];
    let section = |anchor, rows| Section { anchor, rows };
    let all = [
        section("cookie", PROVEN),
        section("using-http", PROVEN),
        section("publishers", PROVEN),
        section("encryption", NOT_OURS),
        section("subscription-api", PROVEN),
    ];
    let findings = unseen(&seen, &all.iter().collect::<Vec<_>>());
    assert_eq!(
        findings,
        [
            "#no-section is no section",
            "#using-http is seen",
            "no row of tests/conformance is about #publishers",
        ]
    );
}

#[test]
fn every_check_can_fail() {
    let sources = [
        Source::new("src/a.rs", "//! x (draft-08 #matcher-types, #y).\n"),
        Source::new("tests/a.rs", "on_both_drivers!(b);\nfn b() {}\nfn c() {}\n"),
    ];
    let proofs = Proofs::new(&sources);
    const GOOD: &[Row] =
        &[("MUST", "a", Proven(&["a::b"])), ("SHOULD", "b", Stated("why", &["a::b"]))];
    let find = |anchor, rows| proofs.findings(&Section { anchor, rows });
    assert_eq!(find("matcher-types", GOOD), [""; 0]);
    assert_eq!(find("url-pattern", GOOD).len(), 2, "the counts, and no citation");
    const BAD: &[(&[Row], &str)] = &[
        (&[GOOD[0]], "is not what the specification has"),
        (&[GOOD[0], GOOD[1], ("MUST", "c", PRESENCE)], "is not what the specification has"),
        (&[GOOD[0], ("SHOULD, MUST", "b", PRESENCE)], "is not what the specification has"),
        (&[GOOD[0], GOOD[0]], "\"a\" is there twice"),
        (&[GOOD[0], ("MAY", "b", PRESENCE)], "\"MAY\" is no keyword"),
        (&[GOOD[0], ("MUST", "b c d e f g h i j k l m n", PRESENCE)], "13 words"),
        (&[GOOD[0], ("MUST", "", PRESENCE)], "0 words"),
        (&[GOOD[0], ("MUST", "b", Proven(&[]))], "nothing is said"),
        (&[GOOD[0], ("MUST", "b", Others(""))], "nothing is said"),
        (&[GOOD[0], ("MUST", "b", Stated("", &["a::b"]))], "nothing is said"),
        // A function, but no test.
        (&[GOOD[0], ("MUST", "b", Proven(&["a::b", "a::c"]))], "there is no test a::c"),
    ];
    for (rows, expected) in BAD {
        let findings = find("matcher-types", rows);
        assert!(findings.len() == 1 && findings[0].contains(*expected), "{findings:?}");
    }
    assert!(repeated(["a", "b", "a"]).is_some() && repeated(["a", "b"]).is_none());
}

#[test]
fn tests_and_citations_are_found() {
    let tests = |path: &str, text: &str| tests_of(&Source::new(path, text));
    assert_eq!(tests("src/a/b.rs", "#[test]\nfn c() {}\nfn d() {}"), ["src/a/b.rs::c"]);
    assert_eq!(
        tests("tests/http/a.rs", "on_both_drivers!(\n b,\n c,\n);"),
        ["http::a::b", "http::a::c"]
    );
    assert_eq!(tests("tests/x/mod.rs", "#[test]\n#[ignore]\nfn c() {}"), ["x::c"]);
    assert_eq!(tests("tests/a.rs", "// #[test]\nlet s = \"#[test] fn c()\";"), [""; 0]);
    let cited: Vec<_> = anchors_of(
        "//! x (draft-08 #a-b, #c and\n//! #d). #e\n/// draft-08 #f: MUST #g\n// draft-08\n/// #h",
    )
    .collect();
    assert_eq!(cited, ["a-b", "c", "d", "f", "h"]);
}
