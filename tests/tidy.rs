//! Lints the repository: what its rules are, and that it keeps them. Every rule also shows that
//! it can fail.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A file of the repository, and its parts as the rules see them.
pub(crate) struct Source {
    /// From the root of the repository.
    pub(crate) path: String,
    pub(crate) text: String,
    /// Of a Rust file: without comments and the contents of strings; line for line.
    pub(crate) code: Vec<String>,
    /// The first line of the file's tests; the number of lines if it has none.
    pub(crate) tests_start: usize,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code: Vec<_> = strip(text).lines().map(str::to_owned).collect();
        let starts_tests = |i: &usize| {
            code[*i].trim() == "#[cfg(test)]"
                && code
                    .get(i + 1)
                    .is_some_and(|line| line.starts_with("mod ") && line.ends_with('{'))
        };
        let tests_start = match is_test(path) {
            true => 0,
            false => (0..code.len()).find(starts_tests).unwrap_or(code.len()),
        };
        Source { path: path.to_owned(), text: text.to_owned(), code, tests_start }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Lines that are no tests, with their numbers.
    fn production(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code[..self.tests_start].iter().enumerate().map(|(i, line)| (i + 1, line.as_str()))
    }

    /// The folder, or file, below `src` that it belongs to.
    fn layer(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        Some(below.split('/').next()?.trim_end_matches(".rs"))
    }

    /// Full paths that `use` declarations of the production code name, with the line of each
    /// declaration.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        let mut declaration: Option<(usize, String)> = None;
        for (number, line) in self.production() {
            let trimmed = line.trim_start();
            let begins = ["use ", "pub use ", "pub(crate) use ", "pub(super) use "];
            if declaration.is_none() {
                let rest = begins.iter().find_map(|begin| trimmed.strip_prefix(begin));
                declaration = rest.map(|rest| (number, rest.to_owned()));
            } else if let Some((_, text)) = &mut declaration {
                text.push_str(trimmed);
            }
            if let Some((number, text)) = declaration.take_if(|(_, text)| text.ends_with(';')) {
                let mut paths = Vec::new();
                expand(text.trim_end_matches(';'), "", &mut paths);
                imports.extend(paths.into_iter().map(|path| (number, path)));
            }
        }
        imports
    }
}

/// The paths of a tree like `std::{fs, io::{self, Read}}`.
fn expand(tree: &str, prefix: &str, paths: &mut Vec<String>) {
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        if !path.is_empty() {
            paths.push(format!("{prefix}{path}"));
        }
        return;
    };
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let prefix = format!("{prefix}{}", tree[..open].trim());
    let (mut depth, mut start) = (0, 0);
    for (i, character) in inner.char_indices().chain([(inner.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                expand(inner[start..i].trim(), &prefix, paths);
                start = i + 1;
            }
            _ => {}
        }
    }
}

/// The text without comments and without what strings and characters contain.
fn strip(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut code = Vec::with_capacity(bytes.len());
    let mut i = 0;
    // Keeps line ends, so that lines stay what they are.
    let skip_to = |code: &mut Vec<u8>, from: usize, to: usize| {
        let ends = bytes[from..to].iter().filter(|&&byte| byte == b'\n').count();
        code.extend(std::iter::repeat_n(b'\n', ends));
        to
    };
    let find = |from: usize, what: &str| {
        text.get(from..).and_then(|rest| rest.find(what)).map_or(bytes.len(), |at| from + at)
    };
    while i < bytes.len() {
        let rest = &bytes[i..];
        let after_word = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
        if rest.starts_with(b"//") {
            i = find(i, "\n");
        } else if rest.starts_with(b"/*") {
            i = skip_to(&mut code, i, (find(i, "*/") + 2).min(bytes.len()));
        } else if !after_word && (rest.starts_with(b"r\"") || rest.starts_with(b"r#")) {
            let hashes = rest[1..].iter().take_while(|&&byte| byte == b'#').count();
            if rest.get(1 + hashes) == Some(&b'"') {
                let close = format!("\"{}", "#".repeat(hashes));
                let end = find(i + 2 + hashes, &close) + close.len();
                code.extend_from_slice(b"\"\"");
                i = skip_to(&mut code, i, end.min(bytes.len()));
            } else {
                code.push(bytes[i]);
                i += 1;
            }
        } else if bytes[i] == b'"' {
            let mut end = i + 1;
            while end < bytes.len() && bytes[end] != b'"' {
                end += if bytes[end] == b'\\' { 2 } else { 1 };
            }
            code.extend_from_slice(b"\"\"");
            i = skip_to(&mut code, i, (end + 1).min(bytes.len()));
        } else if rest.starts_with(b"'\\") {
            code.extend_from_slice(b"' '");
            i = find(i + 3, "'") + 1;
        } else if rest.len() > 2 && rest[0] == b'\'' && rest[1] < 0x80 && rest[2] == b'\'' {
            code.extend_from_slice(b"' '");
            i += 3;
        } else {
            code.push(bytes[i]);
            i += 1;
        }
    }
    String::from_utf8_lossy(&code).into_owned()
}

/// Whether all of a file is tests, or for tests.
fn is_test(path: &str) -> bool {
    ["tests/", "benches/", "loadtest/", "fuzz/"].iter().any(|folder| path.starts_with(folder))
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
}

/// What a rule finds wrong with a file: the line and what to do about it.
type Findings = Vec<(usize, String)>;

struct Rule {
    name: &'static str,
    check: fn(&Source) -> Findings,
    /// A path and a text that break it.
    breaks: &'static [(&'static str, &'static str)],
    /// A path and a text that keep it, closely.
    keeps: &'static [(&'static str, &'static str)],
}

/// Pure: what happens there depends on arguments alone, so that a simulation can run it.
fn is_pure(path: &str) -> bool {
    let folders = ["src/legacy/", "src/protocol/", "src/http/", "src/auth/", "src/hub/"];
    let files = ["src/log/sequence.rs", "src/log/sequencer.rs"];
    folders.iter().any(|folder| path.starts_with(folder)) || files.contains(&path)
}

fn pure_code_names_no_outside_world(source: &Source) -> Findings {
    const MODULES: &[&str] =
        &["monoio", "tokio", "std::fs", "std::net", "std::thread", "std::env", "std::process"];
    const WORDS: &[&str] = &[
        "Instant::now",
        "SystemTime::now",
        "SystemTime",
        "getrandom",
        "RandomState::new",
        "RandomState::default",
        "Mutex",
        "RwLock",
        "Condvar",
        "thread_local!",
        "println!",
        "eprintln!",
        "unsafe",
    ];
    if !is_pure(&source.path) {
        return vec![];
    }
    let is_outside =
        |path: &str| MODULES.iter().any(|module| has_word(path, module)).then(|| path.to_owned());
    let imports = source.imports();
    let imported =
        imports.iter().filter_map(|(line, path)| is_outside(path).map(|path| (*line, path)));
    let named = source.production().flat_map(|(number, line)| {
        let words = MODULES.iter().chain(WORDS).filter(|word| has_word(line, word));
        words.map(move |word| (number, (*word).to_owned()))
    });
    imported.chain(named).map(|(line, what)| (line, format!("{what} in pure code"))).collect()
}

/// Whether `line` names `word`, not merely something that contains it.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |character: Option<char>| {
        character.is_some_and(|character| character.is_alphanumeric() || character == '_')
    };
    line.match_indices(word).any(|(at, _)| {
        !is_part(line[..at].chars().next_back()) && !is_part(line[at + word.len()..].chars().next())
    })
}

fn the_runtime_is_named_in_one_folder(source: &Source) -> Findings {
    if !source.is_rust() || source.path.starts_with("src/worker/") || is_test(&source.path) {
        return vec![];
    }
    let named = source.code.iter().enumerate().filter(|(_, line)| has_word(line, "monoio"));
    named.map(|(i, _)| (i + 1, "the runtime is named in src/worker only".to_owned())).collect()
}

/// Who may use whom: everybody only what stands further down.
const LAYERS: &[(&str, &[&str])] = &[
    ("main", &["app", "cli", "auth", "config"]),
    ("lib", &[]),
    (
        "app",
        &[
            "admin", "config", "worker", "keyring", "metrics", "log", "hub", "http", "auth",
            "protocol", "legacy",
        ],
    ),
    ("cli", &["client", "config", "worker", "log", "hub", "http", "auth", "protocol"]),
    ("client", &["trust", "http", "auth", "protocol"]),
    ("config", &["worker", "keyring", "log", "hub", "http", "auth", "protocol", "legacy"]),
    ("admin", &["metrics", "log", "hub", "http"]),
    ("worker", &["keyring", "metrics", "log", "hub", "http", "auth", "protocol", "legacy"]),
    ("keyring", &["trust", "auth", "protocol"]),
    ("trust", &[]),
    ("log", &["metrics", "hub", "protocol"]),
    ("metrics", &["hub"]),
    ("hub", &["protocol", "legacy"]),
    ("http", &[]),
    ("auth", &["protocol", "legacy"]),
    ("protocol", &["legacy"]),
    ("legacy", &[]),
];

fn dependencies_point_down(source: &Source) -> Findings {
    let Some(layer) = source.layer().filter(|_| source.is_rust()) else { return vec![] };
    let Some((_, below)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return vec![(1, format!("{layer} is in no layer: give it a place in tests/tidy.rs"))];
    };
    let is_wrong = |path: &str| {
        let other = path.split("crate::").nth(1)?;
        let end = other.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(other.len());
        let other = &other[..end];
        let known = LAYERS.iter().any(|(name, _)| *name == other);
        let wrong = known && other != layer && !below.contains(&other);
        wrong.then(|| format!("{layer} must not know {other}"))
    };
    let imports = source.imports();
    let imported = imports.iter().filter_map(|(line, path)| Some((*line, is_wrong(path)?)));
    let named = source.production().filter(|(_, line)| !line.trim_start().starts_with("use "));
    imported.chain(named.filter_map(|(line, text)| Some((line, is_wrong(text)?)))).collect()
}

fn the_conformance_suite_knows_no_hub(source: &Source) -> Findings {
    if !source.path.starts_with("tests/conformance/") {
        return vec![];
    }
    let names_other = |line: &str| {
        let mut named = line.split("petasos::").skip(1);
        named.any(|rest| !rest.starts_with("trust::"))
    };
    let lines = source.code.iter().enumerate().filter(|(_, line)| names_other(line));
    let told = "of our code, only what says whose certificates count: a hub is seen from outside";
    lines.map(|(i, _)| (i + 1, told.to_owned())).collect()
}

fn lines_are_short(source: &Source) -> Findings {
    if !source.is_rust() {
        return vec![];
    }
    let long = source.text.lines().enumerate().filter(|(_, line)| line.chars().count() > 100);
    long.map(|(i, _)| (i + 1, "longer than 100 columns".to_owned())).collect()
}

fn nothing_unwraps(source: &Source) -> Findings {
    let is_bad = |line: &str| line.contains(".unwrap()") || line.contains(".unwrap_err()");
    let bad = source.production().filter(|(_, line)| source.is_rust() && is_bad(line));
    let advice = "say with `expect` why it cannot fail, or handle it";
    bad.map(|(number, _)| (number, advice.to_owned())).collect()
}

fn unsafe_code_says_why_it_is_sound(source: &Source) -> Findings {
    /// Lines between the comment and the word.
    const NEARBY: usize = 6;
    if !source.is_rust() {
        return vec![];
    }
    let lines: Vec<_> = source.text.lines().collect();
    let names_unsafe = |line: &str| {
        has_word(line, "unsafe") && !line.contains("unsafe_") && !line.trim_start().starts_with('#')
    };
    let is_explained =
        |i: usize| lines[i.saturating_sub(NEARBY)..=i].iter().any(|line| line.contains("SAFETY:"));
    (0..source.code.len())
        .filter(|&i| names_unsafe(&source.code[i]) && !is_explained(i))
        .map(|i| (i + 1, "unsafe without a SAFETY: comment".to_owned()))
        .collect()
}

fn nothing_is_left_over(source: &Source) -> Findings {
    const WORDS: &[&str] = &["todo!", "dbg!", "unimplemented!"];
    // Written so that this file does not name them.
    const MARKS: &[&str] = &[concat!("FIX", "ME"), concat!("TO", "DO"), concat!("XX", "X:")];
    if !source.is_rust() {
        return vec![];
    }
    let words = source.code.iter().enumerate().flat_map(|(i, line)| {
        WORDS.iter().filter(|word| has_word(line, word)).map(move |word| (i + 1, *word))
    });
    let marks = source.text.lines().enumerate().flat_map(|(i, line)| {
        MARKS.iter().filter(|mark| has_word(line, mark)).map(move |mark| (i + 1, *mark))
    });
    words.chain(marks).map(|(line, what)| (line, format!("{what} is left over"))).collect()
}

fn files_say_what_they_are_about(source: &Source) -> Findings {
    let first = source.text.lines().next().unwrap_or_default();
    let has_head = first.starts_with("//! ") || first.starts_with("#![doc = include_str!(");
    let missing = source.is_rust() && !has_head;
    missing
        .then(|| (1, "begin with `//!` and the file's one subject".to_owned()))
        .into_iter()
        .collect()
}

fn dependencies_say_why_they_are_there(source: &Source) -> Findings {
    /// Dependencies that one comment may speak for.
    const SAME_REASON_MAX: usize = 3;
    if !source.path.ends_with("Cargo.toml") {
        return vec![];
    }
    let (mut findings, mut in_dependencies, mut unexplained) = (vec![], false, 0);
    for (i, line) in source.text.lines().enumerate() {
        if line.starts_with('[') {
            in_dependencies = line.trim_end_matches(']').ends_with("dependencies");
            unexplained = SAME_REASON_MAX;
        } else if line.starts_with('#') {
            unexplained = 0;
        } else if in_dependencies && line.contains('=') {
            unexplained += 1;
            if unexplained > SAME_REASON_MAX {
                findings.push((i + 1, "say in a comment why it is here".to_owned()));
            }
        }
    }
    findings
}

fn nothing_tells_of_the_workplace(source: &Source) -> Findings {
    // Written so that this file does not contain them.
    const WORDS: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("issue ", "#"),
        concat!("Fixes ", "#"),
        concat!("Closes ", "#"),
        concat!("index.", "crates.io"),
        concat!("static.", "crates.io"),
        concat!("proxy.", "golang.org"),
        concat!("reg", "istry.npmjs"),
        concat!("Cla", "ude"),
        concat!("Anth", "ropic"),
    ];
    if source.path.ends_with("Cargo.lock") {
        return vec![];
    }
    let findings = source.text.lines().enumerate().flat_map(|(i, line)| {
        let lower = line.to_lowercase();
        let found = WORDS.iter().filter(move |word| lower.contains(&word.to_lowercase()));
        found.map(move |word| (i + 1, format!("`{word}` belongs nowhere in the repository")))
    });
    findings.collect()
}

const HEAD: &str = "//! x\n";

const RULES: &[Rule] = &[
    Rule {
        name: "pure code names no runtime, files, clock, randomness, locks",
        check: pure_code_names_no_outside_world,
        breaks: &[
            ("src/hub/a.rs", "use std::{fs, io};"),
            (
                "src/http/a.rs",
                "use std::{\n    io::{self, Read},\n    net::{\n        IpAddr,\n    },\n};",
            ),
            ("src/auth/a.rs", "fn f() { std::env::var(\"X\"); }"),
            ("src/log/sequencer.rs", "let now = Instant::now();"),
            ("src/protocol/a.rs", "use std::sync::Mutex;"),
            ("src/hub/a.rs", "let hasher = RandomState::new();"),
            ("src/hub/a.rs", "use monoio::net::TcpStream;"),
            ("src/http/a.rs", "unsafe { f() }"),
        ],
        keeps: &[
            ("src/hub/a.rs", "// std::fs\nuse std::{sync::Arc, io::{self}};\nlet s = \"std::fs\";"),
            ("src/log/memory.rs", "use std::sync::RwLock;"),
            ("src/hub/a.rs", "struct MyMutexes;"),
            ("src/hub/a.rs", "#[cfg(test)]\nmod tests {\n    use std::fs;\n}"),
            ("src/http/tests/a.rs", "use std::fs;"),
        ],
    },
    Rule {
        name: "the runtime is named in src/worker only",
        check: the_runtime_is_named_in_one_folder,
        breaks: &[("src/app/mod.rs", "monoio::spawn(f);"), ("src/hub/a.rs", "use monoio::x;")],
        keeps: &[
            ("src/worker/a.rs", "monoio::spawn(f);"),
            ("src/app/a.rs", "// monoio\nmonoio_x();"),
        ],
    },
    Rule {
        name: "dependencies point down",
        check: dependencies_point_down,
        breaks: &[
            ("src/protocol/a.rs", "use crate::hub::Hub;"),
            ("src/http/a.rs", "use crate::{http::head, protocol::topic};"),
            ("src/hub/a.rs", "fn f(x: crate::log::Log) {}"),
            ("src/worker/a.rs", "use crate::{\n    config::Config,\n};"),
            ("src/newcomer/a.rs", ""),
        ],
        keeps: &[
            ("src/worker/a.rs", "use crate::{hub::Hub, log::x, protocol::{a, b}};"),
            ("src/hub/a.rs", "use crate::hub::slab;\nuse super::log;"),
        ],
    },
    Rule {
        name: "the conformance suite knows hubs from outside only",
        check: the_conformance_suite_knows_no_hub,
        breaks: &[
            ("tests/conformance/rows/a.rs", "use petasos::protocol::id;"),
            ("tests/conformance/a.rs", "f(petasos::trust::x, petasos::auth::y);"),
        ],
        keeps: &[
            ("tests/conformance/a.rs", "let x = petasos::trust::tls_config(); // petasos::auth"),
            ("tests/a.rs", "use petasos::protocol::id;"),
        ],
    },
    Rule {
        name: "lines have 100 columns at most",
        check: lines_are_short,
        breaks: &[(
            "src/a.rs",
            "// aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             aaaaaaaaaaaaaaaaaaaaaa",
        )],
        keeps: &[(
            "src/a.rs",
            "// ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééé",
        )],
    },
    Rule {
        name: "nothing unwraps outside tests",
        check: nothing_unwraps,
        breaks: &[("src/a.rs", "let x = y\n    .unwrap();"), ("src/a.rs", "y.unwrap_err();")],
        keeps: &[
            (
                "src/a.rs",
                "// y.unwrap()\ny.unwrap_or(1);\n#[cfg(test)]\nmod tests {\ny.unwrap();\n}",
            ),
            ("tests/a.rs", "y.unwrap();"),
        ],
    },
    Rule {
        name: "unsafe code says why it is sound",
        check: unsafe_code_says_why_it_is_sound,
        breaks: &[
            ("src/a.rs", "let x = unsafe { f() };"),
            ("tests/a.rs", "// SAFETY: far away\n\n\n\n\n\n\n\nunsafe { f() }"),
            ("src/a.rs", "unsafe impl Send for X {}"),
        ],
        keeps: &[
            ("src/a.rs", "// SAFETY: fine\nlet x = unsafe { f() };"),
            ("src/a.rs", "// unsafe\n#![deny(unsafe_op_in_unsafe_fn)]\nlet s = \"unsafe\";"),
        ],
    },
    Rule {
        name: "nothing is left over",
        check: nothing_is_left_over,
        breaks: &[
            ("src/a.rs", "todo!()"),
            ("tests/a.rs", "dbg!(x);"),
            ("src/a.rs", concat!("// FIX", "ME: later")),
        ],
        keeps: &[("src/a.rs", "let s = \"todo!\"; // not dbg!\nmytodo!();")],
    },
    Rule {
        name: "files say what they are about",
        check: files_say_what_they_are_about,
        breaks: &[("src/a.rs", "use x;"), ("tests/a.rs", "// x\n//! y"), ("src/b.rs", "")],
        keeps: &[("src/a.rs", HEAD), ("README.md", "# x")],
    },
    Rule {
        name: "dependencies say why they are there",
        check: dependencies_say_why_they_are_there,
        breaks: &[
            ("Cargo.toml", "[dependencies]\na = \"1\""),
            (
                "loadtest/Cargo.toml",
                "[dev-dependencies]\n# Why.\na = \"1\"\nb = \"1\"\nc = \"1\"\nd = \"1\"",
            ),
        ],
        keeps: &[("Cargo.toml", "[package]\nname = \"x\"\n[dependencies]\n# Why.\na = \"1\"")],
    },
    Rule {
        name: "nothing tells of the workplace",
        check: nothing_tells_of_the_workplace,
        breaks: &[
            ("src/a.rs", concat!("// see /wo", "rk/x")),
            ("README.md", concat!("Issue ", "#12")),
        ],
        keeps: &[("src/a.rs", "// it works/fails; an issue with #[cfg]")],
    },
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Text files of the repository.
pub(crate) fn repository() -> Vec<Source> {
    fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
        const SKIPPED: &[&str] =
            &["target", ".git", "corpus", "artifacts", "node_modules", "petasos-data"];
        for entry in fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if SKIPPED.contains(&name.as_str()) {
                continue;
            }
            match path.is_dir() {
                true => collect(&path, files),
                false => files.push(path),
            }
        }
    }
    let mut files = Vec::new();
    collect(&root(), &mut files);
    let source = |file: PathBuf| {
        let path = file.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).ok()?;
        Some(Source::new(&path, &text))
    };
    files.into_iter().filter_map(source).collect()
}

#[test]
fn the_repository_keeps_its_rules() {
    let sources = repository();
    let rust = sources.iter().filter(|source| source.is_rust()).count();
    assert!(rust > 80, "only {rust} files were found");
    let mut findings = Vec::new();
    for source in &sources {
        for rule in RULES {
            for (line, what) in (rule.check)(source) {
                findings.push(format!("{}:{line}: {what}", source.path));
            }
        }
    }
    assert!(findings.is_empty(), "{} findings:\n{}", findings.len(), findings.join("\n"));
}

#[test]
fn every_rule_can_fail_and_be_kept() {
    for Rule { name, check, breaks, keeps } in RULES {
        for (path, text) in *breaks {
            assert!(!check(&Source::new(path, text)).is_empty(), "{name}: passes {path}: {text}");
        }
        for (path, text) in *keeps {
            let findings = check(&Source::new(path, text));
            assert!(findings.is_empty(), "{name}: refuses {path}: {text}: {findings:?}");
        }
    }
}

#[test]
fn comments_and_strings_are_no_code() {
    for (text, code) in [
        ("a // b\nc", "a \nc"),
        ("a /* b\nc */ d", "a \n d"),
        ("f(\"a // b\\\" c\") // d", "f(\"\") "),
        ("f(r#\"a \" // b\"#, c)", "f(\"\", c)"),
        ("f('\"', 'a', '\\'') // x", "f(' ', ' ', ' ') "),
        ("fn f<'a>(x: &'a str) {} // '", "fn f<'a>(x: &'a str) {} "),
        ("b\"x//\" + y", "b\"\" + y"),
    ] {
        assert_eq!(strip(text), code, "{text}");
    }
}

#[test]
fn imports_are_expanded() {
    let source = Source::new("src/a.rs", "use a::{self, b::{c, d as e},\n    f,\n};\nuse g;\n");
    let paths: Vec<_> = source.imports().into_iter().map(|(_, path)| path).collect();
    assert_eq!(paths, ["a::self", "a::b::c", "a::b::d", "a::f", "g"]);
}
