//! Patterns against the web platform's tests, and against regular expressions.

use super::{regexp::Regexp, *};
use crate::protocol::topic_url::TopicUrl;
use serde_json::Value;
use urlpattern::quirks::{self, StringOrInit};

fn base() -> Url {
    Url::parse("https://hub.example.com/.well-known/mercure").unwrap()
}

fn parse(text: &str) -> Result<Pattern, PatternError> {
    Pattern::parse(text, &base())
}

fn selects(pattern: &Pattern, topic: &str) -> bool {
    TopicUrl::resolve(topic, &base()).is_some_and(|url| pattern.matches(url.components(topic)))
}

/// Cases of the web platform's tests that say nothing about this hub, each with its reason.
const NOT_APPLICABLE: [(&str, &str); 4] = [
    (r#"[{"pathname":"/foo/bar"},{"ignoreCase":true}]"#, IGNORE_CASE),
    (r#"["https://example.com:8080/foo?bar#baz",{"ignoreCase":true}]"#, IGNORE_CASE),
    (r#"["/foo?bar#baz","https://example.com:8080",{"ignoreCase":true}]"#, IGNORE_CASE),
    (r#"["/foo?bar#baz",{"ignoreCase":true},"https://example.com:8080"]"#, IGNORE_CASE),
];

const IGNORE_CASE: &str = "draft-08 #url-pattern: hubs MUST NOT enable the ignoreCase option";

/// Runs one case; an error says what is wrong.
fn run(case: &Value) -> Result<(), String> {
    let (mut input, mut base) = (StringOrInit::Init(Default::default()), None);
    for (index, argument) in case["pattern"].as_array().unwrap().iter().enumerate() {
        match (index, argument) {
            (0, argument) => input = serde_json::from_value(argument.clone()).unwrap(),
            (1, Value::String(text)) => base = Some(text.as_str()),
            _ => return Err("it has options".into()),
        }
    }
    let pattern = quirks::process_construct_pattern_input(input, base)
        .map_err(|error| error.to_string())
        .and_then(|init| Pattern::compile("", init).map_err(|error| error.to_string()));
    let pattern = match (pattern, case["expected_obj"] == "error") {
        (Err(_), true) => return Ok(()),
        (Ok(_), true) => return Err("a pattern that should be none".into()),
        (Err(error), false) => return Err(error),
        (Ok(pattern), false) => pattern,
    };
    let inputs = case["inputs"].as_array().cloned().unwrap_or_default();
    let input = match inputs.first() {
        Some(input) => serde_json::from_value(input.clone()).unwrap(),
        None => StringOrInit::Init(Default::default()),
    };
    let base = inputs.get(1).map(|base| base.as_str().unwrap());
    if let Some(topic) = inputs.first().and_then(Value::as_str) {
        let base = Url::parse(base.unwrap_or("about:blank")).ok();
        let url = base.and_then(|base| TopicUrl::resolve(topic, &base));
        let matches = url.is_some_and(|url| pattern.matches(url.components(topic)));
        if matches != case["expected_match"].is_object() {
            return Err(format!("as a topic: {matches}"));
        }
    }
    let found = quirks::process_match_input(input, base)
        .map(|input| input.and_then(|(input, _)| quirks::parse_match_input(input)));
    let expected = &case["expected_match"];
    match found {
        Err(_) if expected == "error" => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) if expected == "error" => Err("an input that should be none".into()),
        Ok(None) if expected.is_null() => Ok(()),
        Ok(None) => Err("no input".into()),
        Ok(Some(input)) => {
            let matches = pattern.tests.iter().all(|(component, test)| {
                test.passes(match component {
                    Component::Host => &input.hostname,
                    Component::Path => &input.pathname,
                    Component::Scheme => &input.protocol,
                    Component::Port => &input.port,
                    Component::Query => &input.search,
                    Component::Fragment => &input.hash,
                    Component::UserName => &input.username,
                    Component::Password => &input.password,
                })
            });
            let is_right = matches == expected.is_object();
            if is_right { Ok(()) } else { Err(format!("matches: {matches}")) }
        }
    }
}

#[test]
fn patterns_are_what_the_web_platforms_tests_say() {
    let cases = include_str!("../../../tests/data/urlpatterntestdata.json");
    let cases: Vec<Value> = serde_json::from_str(cases).unwrap();
    let mut failures = Vec::new();
    for case in &cases {
        if let Err(error) = run(case) {
            failures.push((case["pattern"].to_string(), error));
        }
    }
    let unexpected: Vec<_> = failures
        .iter()
        .filter(|(pattern, _)| !NOT_APPLICABLE.iter().any(|(known, _)| known == pattern))
        .collect();
    assert!(unexpected.is_empty(), "{} of {}: {unexpected:#?}", unexpected.len(), cases.len());
    for (known, _) in NOT_APPLICABLE {
        assert!(failures.iter().any(|(pattern, _)| pattern == known), "{known} passes");
    }
}

#[test]
fn patterns_select_topics() {
    const SUBSCRIPTIONS: &str = "/.well-known/mercure/subscriptions";
    let room = format!("{SUBSCRIPTIONS}/:match_type/https%3A%2F%2Fe%2Froom{{/:subscriber}}?");
    let in_room = |rest: &str| format!("{SUBSCRIPTIONS}/exact/https%3A%2F%2Fe%2F{rest}");
    let hub = "https://hub.example.com";
    for (pattern, selected, others) in [
        // What is left out at the end takes anything; hosts have no case.
        (
            "https://Example.com/books/:id",
            &["https://example.com/books/1", "https://EXAMPLE.com/books/1?q#f"][..],
            &["https://example.com/books/", "https://example.com/books/1/2", "/books/1"][..],
        ),
        (
            "https://example.com/Books",
            &["https://example.com/Books"],
            &["https://example.com/books"],
        ),
        ("https://*.example.com/:a", &["https://a.b.example.com/x"], &["https://example.com/x"]),
        (
            "http{s}?://example.com/*",
            &["http://example.com/", "https://example.com/a/b"],
            &["urn:a"],
        ),
        (
            "https://example.com/b/:id?",
            &["https://example.com/b", "https://example.com/b/1"],
            &["https://example.com/b/"],
        ),
        (r"https://example.com/:id(\d+)", &["https://example.com/12"], &["https://example.com/1a"]),
        ("https://example.com/?q=:x", &["https://example.com/?q=1"], &["https://example.com/"]),
        ("https://example.com:8443/*", &["https://example.com:8443/"], &["https://example.com/"]),
        // Relative ones, and their `%2F`.
        ("/books/:id", &["/books/1", "https://hub.example.com/books/1"], &["https://e/books/1"]),
        (
            &room,
            &[&in_room("room/urn%3Auuid%3A1"), &in_room("room")],
            &[
                &in_room("room2"),
                &in_room("room/a/b"),
                &format!("{SUBSCRIPTIONS}/exact/https://e/room/x"),
            ],
        ),
        // Opaque ones: a colon begins a name, unless it is escaped.
        (r"urn\:book\::id", &["urn:book:1", "urn:book:1/2"], &["urn:book:", "urn:books:1"]),
        ("*://*:*/*", &["https://example.com/", hub], &[]),
    ] {
        let pattern = parse(pattern).unwrap_or_else(|error| panic!("{pattern} {error}"));
        selected.iter().for_each(|t| assert!(selects(&pattern, t), "{pattern:?} {t}"));
        others.iter().for_each(|t| assert!(!selects(&pattern, t), "{pattern:?} {t}"));
    }
    // What is no URL is selected by none.
    let all = parse("*://*:*/*").unwrap();
    assert!(!selects(&all, "https://exa mple/") && !selects(&all, "https://[/"));
}

#[test]
fn what_is_no_pattern_is_told_why() {
    let error = |text: &str| parse(text).unwrap_err().to_string();
    for (text, expected) in [
        ("https://e/(", "is no URL pattern: tokenizer error"),
        ("https://e/{a", "is no URL pattern: parser error"),
        ("https://e/:a/:a", "is no URL pattern: "),
        ("https://e/(?!x)", "is no URL pattern: "),
        ("https://e]/", "is no URL pattern: "),
        ("https://e/([z-a])", "has a regular expression that this hub does not take: "),
        ("https://e/((?=x))", "has a regular expression that this hub does not take: "),
        (r"https://e/(\p{Nope})", "has a regular expression that this hub does not take: "),
    ] {
        assert!(error(text).starts_with(expected), "{text}: {}", error(text));
        assert!(!error(text).contains('\n'), "{}", error(text));
    }
}

/// In time too: none takes longer than a long literal.
#[test]
fn hostile_patterns_are_refused() {
    let repeated = |text: &str, count| format!("https://e.example/{}", text.repeat(count));
    let nested = format!("({}a{})", "(?:".repeat(500), ")*".repeat(500));
    for text in [
        repeated("{", 8_000),
        repeated("{/a}?", 51),
        repeated("*a", 51),
        repeated(":n-", 51),
        repeated("((?:a{1000}){1000})", 1),
        repeated("((?:a{99}){99}{99})", 1),
        repeated(&format!("([{}])", "a-z".repeat(2_500)), 1),
        repeated(&format!("({})", "ab|cd|".repeat(1_000)), 1),
        repeated(&format!("({})", r"\p{L}".repeat(9)), 1),
        repeated(&nested, 1),
    ] {
        assert_eq!(parse(&text).err(), Some(PatternError::TooComplex), "{text:.60}");
    }
    // These would be exponential where every way is tried.
    let topic = format!("https://e.example/{}", "a".repeat(4_000));
    for text in ["https://e.example/((?:(?:a|a)*)*)b", "https://e.example/*a*a*a*a*a*a*a*a*b"] {
        let pattern = parse(text).unwrap();
        assert!(!selects(&pattern, &topic));
        assert!(selects(&pattern, &format!("{topic}b")), "{text}");
        assert!(pattern.footprint() < 100_000, "{}", pattern.footprint());
    }
}

struct Random(u64);

impl Random {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        from[(self.0 >> 33) as usize % from.len()]
    }
}

/// What is decided without a regular expression is decided as with one, and topics that a pattern
/// selects begin as it says.
#[test]
fn simple_tests_and_segments_agree_with_regular_expressions() {
    let mut random = Random(1);
    let (mut simple, mut selected) = (0, 0);
    for _ in 0..6_000 {
        let mut text =
            random.pick(&["https://a.b", "https://:h.b", "https://a.b", "foo:"]).to_owned();
        let mut topics = vec![random.pick(&["https://a.b", "https://c.b", "foo:"]).to_owned(); 12];
        for _ in 0..4 {
            text += random.pick(&[
                "/a", "/a", "/:n", "/:n", "/:n?", "/*", "*", "{/a}?", "{/:n}?", "{/:n/a}?", "b",
                "/", "-", "/(a)", ":n", "a*",
            ]);
            for topic in &mut topics {
                *topic += random.pick(&["/a", "/a", "/x", "/", "b", "-", "", ":a"]);
            }
        }
        // Names must differ.
        for (number, _) in text.clone().match_indices(":n").enumerate() {
            text = text.replacen(":n", &format!(":m{number}"), 1);
        }
        let Ok(pattern) = parse(&text) else { continue };
        let init = Pattern::init(&text, &base()).unwrap();
        let oracle = UrlPattern::<Source>::parse(init, UrlPatternOptions::default()).unwrap();
        let regexps = [&oracle.hostname, &oracle.pathname, &oracle.protocol].map(|component| {
            Regexp::new(urlpattern::regexp::RegExp::pattern_string(
                component.regexp.as_ref().unwrap(),
            ))
            .unwrap()
        });
        simple += usize::from(!pattern.has_regexp());
        for topic in &topics {
            let Some(url) = TopicUrl::resolve(topic, &base()) else { continue };
            let url = url.components(topic);
            let expected = [url.host(), url.path(), url.scheme()];
            let expected = regexps.iter().zip(expected).all(|(regexp, text)| regexp.matches(text));
            assert_eq!(pattern.matches(url), expected, "{text} {topic}");
            if expected {
                selected += 1;
                assert!(pattern.host().is_none_or(|host| host == url.host()), "{text} {topic}");
                let mut segments = segments(url.path());
                for wanted in pattern.path_start() {
                    let found = segments.next();
                    let fits = found.is_some() && wanted.is_none_or(|w| Some(w) == found);
                    assert!(fits, "{text} {topic} {:?}", pattern.path_start());
                }
            }
        }
    }
    assert!(simple > 500 && selected > 1_000, "{simple} {selected}");
}

#[test]
fn a_pattern_tells_where_its_topics_are() {
    let parts = |text: &str| {
        let pattern = parse(text).unwrap();
        let start = pattern.path_start().into_iter().map(|s| s.unwrap_or(":").to_owned());
        (
            pattern.host().map(str::to_owned),
            start.collect::<Vec<_>>().join(" "),
            pattern.has_regexp(),
        )
    };
    for (text, host, start, has_regexp) in [
        ("https://e.x/a/b", Some("e.x"), "a b", false),
        ("https://e.x/a/:b/c/:d", Some("e.x"), "a : c :", false),
        ("https://e.x/a/:b{/:c}?", Some("e.x"), "a :", false),
        ("https://e.x/a/:b?", Some("e.x"), "a", false),
        ("https://e.x/a/b*", Some("e.x"), "a", false),
        ("https://e.x/a/*", Some("e.x"), "a", false),
        ("https://e.x/a/:b/*", Some("e.x"), "a :", false),
        ("https://e.x/a/:b.json", Some("e.x"), "a", false),
        ("https://e.x/a/b-:c/d", Some("e.x"), "a", false),
        ("https://e.x/a/:b-:c/d", Some("e.x"), "a", true),
        (r"https://e.x/a/(\d+)/d", Some("e.x"), "a", true),
        ("https://:h.x/a", None, "a", false),
        ("*://*:*/a/:b", None, "a :", false),
        (r"urn\:a\:b\::c", Some(""), "a b", false),
        ("/a/:b", Some("hub.example.com"), "a :", false),
    ] {
        let expected = (host.map(str::to_owned), start.to_owned(), has_regexp);
        assert_eq!(parts(text), expected, "{text}");
    }
}
