//! The command itself, as people call it: this very program, pointed at a hub.

use std::{
    env,
    net::TcpListener,
    process::{Command, Stdio},
};

use super::{Complaints, Told, proxy, proxy::Alteration};
use crate::{
    common::hub::{AUDIENCE, ISSUER, Output, PUBLISHER_KEY, SUBSCRIBER_KEY},
    own::Own,
};

/// Where people are told how to point the suite at a hub.
const DOCUMENTS: [(&str, &str); 2] = [
    ("README.md", include_str!("../../../README.md")),
    ("docs/protocol.md", include_str!("../../../docs/protocol.md")),
];

const STRANGE: &str = "a key of nobody's, and long enough";

/// Runs the command in many ways.
pub(super) fn look(own: &Own, told: &mut Told) {
    let hub = own.target.url.as_str();
    let documents = DOCUMENTS.iter().flat_map(|(path, text)| as_told(path, text, hub));
    told.tell("the command of the documents works", documents.collect());
    told.tell(
        "what fails is told, with exit code 1",
        expect(
            &run(&["--hub", hub, "--issuer", ISSUER, "--publisher-key", STRANGE, "`event` and"]),
            1,
            &["FAILED", "#subscription", "sent      POST", "expected  200", "came      401"],
        ),
    );
    told.tell("a SHOULD that does not hold is a warning", warnings(own));
    told.tell("what cannot be seen is skipped, and why", skips(hub));
    told.tell("wrong arguments are told, with exit code 2", mistakes(hub));
    told.tell("--help and --list teach", lessons());
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(arguments).stdin(Stdio::null());
    command.env_clear().envs([
        ("MERCURE_PUBLISHER_JWT_KEY", PUBLISHER_KEY),
        ("MERCURE_SUBSCRIBER_JWT_KEY", SUBSCRIBER_KEY),
    ]);
    Output::of(command.output().expect("this program runs"))
}

/// Whether a command ended so, and said this.
fn expect(output: &Output, code: i32, said: &[&str]) -> Complaints {
    let all = format!("{}{}", output.stdout, output.stderr);
    let is_right = output.code == Some(code) && said.iter().all(|text| all.contains(text));
    if is_right { vec![] } else { vec![format!("not {code} and {said:?}, but {output:?}")] }
}

/// The command of a document, with the URL of a hub that is there, and a chapter that is short.
fn as_told(path: &str, text: &str, hub: &str) -> Complaints {
    const COMMAND: &str = "cargo test --release --test conformance -- \\\n";
    let Some((_, rest)) = text.split_once(COMMAND) else {
        return vec![format!("{path} does not tell how to point the suite at a hub")];
    };
    let line = rest.lines().next().unwrap_or_default();
    let mut arguments: Vec<&str> = line.split_whitespace().collect();
    for (name, value) in [("--hub", hub), ("--issuer", ISSUER)] {
        match arguments.iter().position(|it| *it == name) {
            Some(at) => arguments[at + 1] = value,
            None => return vec![format!("{path} does not tell of {name}")],
        }
    }
    arguments.extend(["--chapter", "9"]);
    let output = run(&arguments);
    let last = output.stdout.lines().last().unwrap_or_default();
    let mut complaints = expect(&output, 0, &["\n9 Discovery\n", "  ok      MUST   "]);
    if !last.ends_with(" passed, 0 failed, 0 skipped") || last.starts_with("0 ") {
        complaints.push(format!("{path}: the last line is {last:?}"));
    }
    complaints
}

fn warnings(own: &Own) -> Complaints {
    let answered = |_: &proxy::Message, answer: &mut proxy::Message| {
        answer.head = answer.head.replace("resource_metadata", "x");
    };
    let wrong = Alteration { answered: Some(answered), ..Alteration::default() };
    let url = format!("http://{}/.well-known/mercure", proxy::start(own.hub.addr, wrong));
    let row = "who has no token is told where the metadata are";
    let lenient = ["--hub", &url, "--issuer", ISSUER, row];
    let strict = [&lenient[..], &["--strict"]].concat();
    [
        expect(&run(&lenient), 0, &["  warning SHOULD ", "\n0 passed, 0 failed, 1 skipped\n"]),
        expect(&run(&strict), 1, &["  FAILED  SHOULD ", "\n0 passed, 1 failed, 0 skipped\n"]),
    ]
    .concat()
}

fn skips(hub: &str) -> Complaints {
    let arguments =
        ["--hub", hub, "--issuer", ISSUER, "--audience", AUDIENCE, "--anonymous", "yes"];
    let rows = ["all subscribers need a token", "comment lines", "no secret", "some day"];
    let output = run(&[&arguments[..], &rows].concat());
    let said = [
        "  skipped MAY    ",
        "(the hub takes subscribers without a token)",
        "(say with --heartbeat ",
        "(say with --lifetime ",
        "(tokens are signed with a secret)",
        "\n0 passed, 0 failed, 4 skipped\n",
    ];
    expect(&output, 0, &said)
}

fn mistakes(hub: &str) -> Complaints {
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    let nobody = format!("http://{}/.well-known/mercure", nobody.expect("a free port"));
    let elsewhere = format!("{hub}2");
    let cases: [(&[&str], &str); 9] = [
        (&["--hub", &nobody, "--issuer", ISSUER], "does not answer"),
        (&["--hub", &elsewhere, "--issuer", ISSUER], "Is the path right?"),
        (&["--hub", hub], "--issuer"),
        (&["--hub", "hub.example", "--issuer", ISSUER], "the URL of a hub is needed"),
        (&["--hub", hub, "--issuer", ISSUER, "--alg", "ES257"], "ES257"),
        (&["--hub", hub, "--issuer", ISSUER, "--alg", "ES256"], "no private key for ES256"),
        (&["--hub", hub, "--issuer", ISSUER, "--publisher-key", "@/nowhere"], "/nowhere"),
        (&["--hub", hub, "--issuer", ISSUER, "nothing is called so"], "--list"),
        (&["--hub", hub, "--issuer", ISSUER, "--patience", "soon"], "a number of seconds"),
    ];
    cases.iter().flat_map(|(arguments, said)| expect(&run(arguments), 2, &[said])).collect()
}

fn lessons() -> Complaints {
    [
        expect(&run(&["--help"]), 0, &["--hub https://", "MERCURE_PUBLISHER_JWT_KEY", "--strict"]),
        expect(&run(&["--list"]), 0, &["\n5 Publication\n", "  MUST   ", " (#publication)\n"]),
    ]
    .concat()
}
