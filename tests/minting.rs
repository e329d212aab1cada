//! docs/tokens.md, as its readers use it: every block of code is run as it stands there, and the
//! tokens that it prints are used at a hub whose configuration stands there too.

use std::{
    collections::BTreeMap,
    env,
    io::{BufRead, BufReader},
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Stdio},
    sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::common::{
    client::{Stream, publication, publish, refused, request},
    hub::{Hub, Output, Setup},
    tokens::now,
    tools::{Directory, NODE_PACKAGES, PYTHON, Running, has_node, has_optional_tools, has_tools},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

static PAGE: LazyLock<String> =
    LazyLock::new(|| std::fs::read_to_string(format!("{ROOT}/docs/tokens.md")).unwrap());

/// The languages and the texts of all blocks.
fn blocks() -> impl Iterator<Item = (&'static str, &'static str)> {
    let inside = PAGE.split("\n```").skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').expect("a block of lines"))
}

/// The one block in a language that contains `text`.
fn block(language: &str, text: &str) -> String {
    let found: Vec<_> =
        blocks().filter(|(l, block)| *l == language && block.contains(text)).collect();
    assert_eq!(found.len(), 1, "{language} with {text}");
    format!("{}\n", found[0].1)
}

#[test]
fn no_block_is_without_a_test() {
    let mut counts = BTreeMap::new();
    blocks().for_each(|(language, _)| *counts.entry(language).or_insert(0) += 1);
    let tested = [("conf", 2), ("http", 1), ("json", 1), ("sh", 5), ("text", 1)].into_iter();
    let samples = [("go", 1), ("java", 1), ("js", 2), ("php", 1), ("python", 1)];
    assert_eq!(counts, tested.chain(samples).collect());
}

/// Where a reader works: a directory, and the secrets of the page.
struct Desk {
    directory: Directory,
    secrets: Vec<(&'static str, String)>,
}

impl Desk {
    fn new(name: &str) -> Self {
        let directory = Directory::new(&format!("minting-{name}"));
        let mut desk = Desk { directory, secrets: Vec::new() };
        let names = ["PUBLISHER_KEY", "SUBSCRIBER_KEY"];
        let script = format!("{}printenv {}", block("sh", "openssl rand"), names.join(" "));
        let printed = desk.run_script(&script);
        desk.secrets = names.into_iter().zip(printed.lines().map(str::to_owned)).collect();
        assert!(desk.secrets.iter().all(|(_, secret)| secret.len() == 64), "{printed}");
        desk
    }

    fn file(&self, name: &str, text: &str) {
        self.directory.file(name, text);
    }

    /// The command, with the secrets, in the directory, and with `petasos` in its path.
    fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let petasos = PathBuf::from(env!("CARGO_BIN_EXE_petasos"));
        let path = env::var_os("PATH").unwrap_or_default();
        let folders =
            petasos.parent().map(PathBuf::from).into_iter().chain(env::split_paths(&path));
        command
            .env("PATH", env::join_paths(folders).unwrap())
            .envs(self.secrets.iter().map(|(name, secret)| (name, secret)))
            .current_dir(&self.directory.0)
            .stdin(Stdio::null())
    }

    /// What a command prints.
    fn run(&self, command: &mut Command) -> String {
        Output::of(self.prepare(command).output().unwrap()).ok()
    }

    fn run_script(&self, script: &str) -> String {
        self.run(Command::new("sh").args(["-c", script]))
    }

    /// A hub with this configuration.
    fn hub(&self, conf: &str) -> Hub {
        self.file("hub.conf", conf);
        let mut setup = Setup::bare().env("PETASOS_WORKERS", "1").arg("--config").arg("hub.conf");
        self.prepare(setup.command());
        setup.start()
    }

    /// Tests a sample that uses the secrets.
    fn test(&self, sample: &mut Command) {
        let tokens = Tokens::of(&self.run(sample));
        tokens.say_what_the_page_says("HS256");
        let hub = self.hub(&block("conf", "PUBLISHER_KEY"));
        assert_eq!(tokens.received(&hub, &tokens.subscriber), GRANTED);
        // Each is signed with the key of its role.
        assert_eq!(publishing(&hub, &tokens.subscriber), 401);
        assert_eq!(refused(hub.addr, "match=*", &bearer(&tokens.publisher)).status, 401);
        assert_eq!(refused(hub.addr, "match=*", "").status, 401);
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// The status of a publication with a token.
fn publishing(hub: &Hub, token: &str) -> u16 {
    request(hub.addr, &publication(token, &[("topic", "https://example.com/books/1")])).status
}

/// The header of a token (0), or its claims (1).
fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// The two tokens that a sample prints.
struct Tokens {
    publisher: String,
    subscriber: String,
}

const PRIVATE: [&str; 5] = [
    "https://example.com/books/1",
    "https://example.com/books/12",
    "https://example.com/users/42/orders/7",
    "https://example.com/users/43/orders/7",
    "https://example.com/users/42/messages",
];
const PUBLIC: &str = "urn:public";
/// Of these, what the subscriber's token allows.
const GRANTED: [&str; 4] = [PRIVATE[0], PRIVATE[2], PRIVATE[4], PUBLIC];

impl Tokens {
    fn of(printed: &str) -> Self {
        let lines: Vec<_> = printed.lines().map(str::to_owned).collect();
        let [publisher, subscriber] = <[_; 2]>::try_from(lines).expect("two lines");
        Tokens { publisher, subscriber }
    }

    /// The subscriber's claims are those of the page, and the publisher's the like.
    fn say_what_the_page_says(&self, algorithm: &str) {
        let shown: Value = serde_json::from_str(&block("json", "\"iss\"")).unwrap();
        let mut publisher = shown.clone();
        publisher["sub"] = json!("back-end");
        publisher["authorization_details"][0]["actions"] = json!(["publish"]);
        publisher["authorization_details"][0]["topics"] = json!([{ "match": "*" }]);
        for (token, mut expected) in [(&self.publisher, publisher), (&self.subscriber, shown)] {
            assert_eq!(part(token, 0), json!({ "typ": "at+jwt", "alg": algorithm }));
            let claims = part(token, 1);
            let [issued, expires] = ["iat", "exp"].map(|name| claims[name].as_u64().unwrap());
            assert_eq!(expires - issued, 600);
            assert!((now() - issued as f64).abs() < 300.0, "{claims}");
            assert!(claims["jti"].as_str().unwrap().len() > 20, "{claims}");
            for name in ["iat", "exp", "jti"] {
                expected[name] = claims[name].clone();
            }
            assert_eq!(claims, expected);
        }
        assert_ne!(part(&self.publisher, 1)["jti"], part(&self.subscriber, 1)["jti"]);
    }

    /// What a subscriber to everything receives with a token while the publisher publishes.
    fn received(&self, hub: &Hub, token: &str) -> Vec<String> {
        let mut stream = Stream::open(hub.addr, "match=*", &bearer(token));
        for topic in PRIVATE {
            let fields = [("topic", topic), ("data", topic), ("private", "on")];
            publish(hub.addr, &self.publisher, &fields);
        }
        publish(hub.addr, &self.publisher, &[("topic", PUBLIC), ("data", PUBLIC)]);
        let mut received = stream.data(1);
        while received.last().is_some_and(|data| data != PUBLIC) {
            received.extend(stream.data(1));
        }
        received
    }
}

#[test]
fn command_line() {
    let script = block("sh", "petasos token");
    Desk::new("command").test(Command::new("sh").args(["-c", &script]));
}

#[test]
fn keys_without_an_issuer_are_for_the_same_tokens() {
    let desk = Desk::new("no-issuer");
    let tokens = Tokens::of(&desk.run_script(&block("sh", "petasos token")));
    let mut setup =
        Setup::bare().directive("resource_identifier https://hub.example.com/.well-known/mercure");
    for (name, secret) in &desk.secrets {
        setup = setup.env(&format!("MERCURE_{}", name.replace("KEY", "JWT_KEY")), secret);
    }
    assert_eq!(tokens.received(&setup.start(), &tokens.subscriber), GRANTED);
}

#[test]
fn javascript() {
    let Some(desk) = node_desk("javascript") else { return };
    desk.file("sample.mjs", &block("js", "PUBLISHER_KEY"));
    desk.test(Command::new("node").arg("sample.mjs"));
}

/// A desk whose `node_modules` are installed.
fn node_desk(name: &str) -> Option<Desk> {
    if !has_node() {
        return None;
    }
    let desk = Desk::new(name);
    symlink(format!("{NODE_PACKAGES}/node_modules"), desk.directory.0.join("node_modules"))
        .unwrap();
    Some(desk)
}

#[test]
fn python() {
    if !has_tools(&[PYTHON]) {
        return;
    }
    let desk = Desk::new("python");
    desk.file("sample.py", &block("python", "PUBLISHER_KEY"));
    desk.test(Command::new(PYTHON).args(["-W", "error", "sample.py"]));
}

#[test]
fn php() {
    if !has_tools(&["php"]) {
        return;
    }
    let desk = Desk::new("php");
    desk.file("sample.php", &block("php", "PUBLISHER_KEY"));
    // A warning would be a line more.
    let strict = ["-d", "error_reporting=-1", "-d", "display_errors=1"];
    desk.test(Command::new("php").args(strict).arg("sample.php"));
}

#[test]
fn go() {
    let modules = format!("{ROOT}/target/go");
    if !has_optional_tools(&["go"]) || !has_tools(&[&format!("{modules}/installed.txt")]) {
        return;
    }
    let desk = Desk::new("go");
    desk.file("main.go", &block("go", "PUBLISHER_KEY"));
    for name in ["go.mod", "go.sum"] {
        std::fs::copy(format!("{ROOT}/.ci/go/{name}"), desk.directory.0.join(name)).unwrap();
    }
    let set = [("GOMODCACHE", &*modules), ("GOPROXY", "off"), ("GOTOOLCHAIN", "local")];
    desk.test(Command::new("go").arg("run").arg(".").envs(set));
}

#[test]
fn java() {
    let archives = format!("{ROOT}/target/java");
    if !has_optional_tools(&["java", "mvn"]) || !has_tools(&[&format!("{archives}/installed.txt")])
    {
        return;
    }
    let desk = Desk::new("java");
    desk.file("Tokens.java", &block("java", "PUBLISHER_KEY"));
    let class_path = format!("{archives}/lib/*");
    desk.test(Command::new("java").args(["-cp", &class_path, "Tokens.java"]));
}

#[test]
fn with_a_private_key() {
    let Some(desk) = node_desk("private") else { return };
    desk.run_script(&block("sh", "openssl genpkey"));
    desk.file("sample.mjs", &block("js", "private.pem"));
    let tokens = Tokens::of(&desk.run(Command::new("node").arg("sample.mjs")));
    tokens.say_what_the_page_says("ES256");
    let hub = desk.hub(&block("conf", "public.pem"));
    assert_eq!(tokens.received(&hub, &tokens.subscriber), GRANTED);
    // The key is good for both roles; what is missing is the action.
    assert_eq!(publishing(&hub, &tokens.subscriber), 403);
    assert_eq!(tokens.received(&hub, &tokens.publisher), [PUBLIC]);
}

#[test]
fn tokens_are_sent_in_a_header_or_in_a_cookie() {
    if !has_tools(&["curl"]) {
        return;
    }
    let desk = Desk::new("sending");
    let tokens = Tokens::of(&desk.run_script(&block("sh", "petasos token")));
    let hub = desk.hub(&block("conf", "PUBLISHER_KEY"));
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).env("HUB", format!("http://{}/.well-known/mercure", hub.addr));
        command.env("PUBLISHER", &tokens.publisher).env("SUBSCRIBER", &tokens.subscriber);
        command
    };
    let mut subscriber = shell(&block("sh", "curl -N"));
    let mut subscriber = Running::start(desk.prepare(&mut subscriber).stdout(Stdio::piped()));
    let mut lines = BufReader::new(subscriber.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert_eq!(lines.next().unwrap(), ":");

    let cookie = block("http", "Set-Cookie: ").replace("TOKEN", &tokens.subscriber);
    let (pair, attributes) = cookie["Set-Cookie: ".len()..].split_once("; ").unwrap();
    let attributes = attributes.trim_end().split("; ").collect::<Vec<_>>();
    assert_eq!(attributes, ["Path=/.well-known/mercure", "Secure", "HttpOnly", "SameSite=Strict"]);
    let mut page = Stream::open(hub.addr, "match=*", &format!("Cookie: {pair}\r\n"));

    let id = desk.run(&mut shell(&block("sh", "private=on")));
    let event: Vec<_> = lines.take(3).collect();
    assert_eq!(event, ["data: sold out".into(), format!("id: {id}"), String::new()]);
    assert_eq!(page.data(1), ["sold out"]);
}
