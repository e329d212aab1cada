//! Commands as a whole, with their input, output and surroundings in memory.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    thread,
};

use super::*;
use crate::{
    auth::Role,
    config::{Transport, settings},
};

struct Outcome {
    code: ExitCode,
    output: String,
    errors: String,
    served: Option<(Config, Option<String>)>,
    checked: Option<(Config, bool)>,
}

fn petasos(arguments: &[&str], variables: &[(&str, &str)], input: &str) -> Outcome {
    let environment =
        variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let mut recorder = Recorder::default();
    let mut surroundings = Surroundings {
        environment: &environment,
        input: &mut input.as_bytes(),
        output: &mut output,
        errors: &mut errors,
    };
    let arguments = std::iter::once("petasos").chain(arguments.iter().copied());
    let code = execute(arguments.map(OsString::from), &mut surroundings, &mut recorder);
    let [output, errors] = [output, errors].map(|bytes| String::from_utf8(bytes).unwrap());
    let Recorder { served, checked } = recorder;
    Outcome { code, output, errors, served, checked }
}

/// Takes down what it was asked for.
#[derive(Default)]
struct Recorder {
    served: Option<(Config, Option<String>)>,
    checked: Option<(Config, bool)>,
}

impl Application for Recorder {
    fn serve(
        &mut self,
        loaded: Loaded,
        banner: Option<String>,
        again: &dyn Fn() -> Result<Loaded, String>,
    ) -> ExitCode {
        assert_eq!(again().unwrap().config, loaded.config, "the same when it is read again");
        self.served = Some((loaded.config, banner));
        ExitCode::SUCCESS
    }

    fn fsck(&mut self, config: Config, cut: bool) -> ExitCode {
        self.checked = Some((config, cut));
        ExitCode::from(3)
    }

    fn explain(&mut self, _: Config, token: &str) -> Result<Explanation, String> {
        let verdict = if token == "good" { Ok(()) } else { Err("bad".to_owned()) };
        Ok(Explanation { rules: vec![], verdicts: vec![(Role::Publisher, verdict)] })
    }
}

const KEYS: [(&str, &str); 1] = [("MERCURE_JWT_KEY", "0123456789abcdef0123456789abcdef")];

#[test]
fn help_mentions_every_flag_with_variables_and_default() {
    let help = petasos(&["serve", "--help"], &[], "");
    assert_eq!(help.code, ExitCode::SUCCESS);
    let squeezed = help.output.split_whitespace().collect::<Vec<_>>().join(" ");
    for setting in settings() {
        assert!(squeezed.contains(&format!("--{}", setting.flag())), "{}", setting.name);
        let variables: Vec<_> = setting.variables().into_iter().map(|v| v.name).collect();
        let default = if setting.default.is_empty() { "none" } else { setting.default };
        let expected =
            format!("{} [env: {}] [default: {default}]", setting.help, variables.join(", "));
        assert!(squeezed.contains(&expected), "{expected}\n{squeezed}");
    }
    for command in ["serve", "run", "check", "doctor", "fsck", "token", "publish", "subscribe"] {
        assert!(petasos(&["--help"], &[], "").output.contains(&format!("\n  {command} ")));
        assert_eq!(petasos(&[command, "--help"], &[], "").code, ExitCode::SUCCESS);
    }
}

#[test]
fn the_command_line_is_well_formed() {
    command().debug_assert();
    let version = petasos(&["--version"], &[], "").output;
    assert!(version.starts_with(concat!("petasos ", env!("CARGO_PKG_VERSION"))), "{version}");
}

#[test]
fn the_hub_is_served_by_every_name() {
    for arguments in [
        &["--listen", ":81", "--anonymous"][..],
        &["serve", "--listen=:81", "--anonymous=1"],
        &["run", "--listen", ":81", "--anonymous", "--adapter", "caddyfile"],
    ] {
        let outcome = petasos(arguments, &KEYS, "");
        let (config, banner) = outcome.served.unwrap_or_else(|| panic!("{}", outcome.errors));
        assert_eq!(config.listen.addresses[0].port(), 81);
        assert!(config.access.anonymous);
        assert_eq!(banner, None);
    }
}

#[test]
fn mistakes_stop_the_start_with_a_line_each() {
    let outcome = petasos(&["--workers", "x"], &[KEYS[0], ("MERCURE_DEBUG", "y")], "");
    assert!(outcome.served.is_none());
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert_eq!(
        outcome.errors,
        "petasos: MERCURE_DEBUG: `y` is neither on nor off; write 1 or 0\n\
         petasos: --workers: `x` is not a whole number from 0 to 1024\n"
    );
    let outcome = petasos(&["--config", "/none/hub.conf"], &KEYS, "");
    assert!(outcome.errors.starts_with("petasos: cannot read `/none/hub.conf`: "));
    let outcome = petasos(&["--wokers", "1"], &KEYS, "");
    assert_eq!(outcome.code, ExitCode::from(2));
    assert!(outcome.errors.contains("'--workers'"), "{}", outcome.errors);
}

#[test]
fn check_prints_what_is_in_force_or_fails() {
    let good = petasos(&["check", "--heartbeat", "9s"], &KEYS, "");
    assert_eq!(good.code, ExitCode::SUCCESS);
    assert!(good.output.contains("heartbeat 9s") && good.output.contains("# --heartbeat"));
    assert!(!good.output.contains("0123456789abcdef"));
    assert!(good.errors.starts_with("petasos: keys without an issuer"), "{}", good.errors);
    let bad = petasos(&["check"], &[], "");
    assert_eq!(bad.code, ExitCode::FAILURE);
    assert!(bad.errors.starts_with("petasos: no key for publishers"), "{}", bad.errors);
}

#[test]
fn fsck_finds_the_history_by_the_settings_of_the_hub() {
    for (arguments, variables, directory, cut) in [
        (&["fsck"][..], &[][..], "./petasos-data/history", false),
        (&["fsck", "--data-dir", "/d"], &[], "/d/history", false),
        (&["fsck", "--dry-run"], &[("PETASOS_DATA_DIR", "/d")], "/d/history", false),
        (&["fsck", "--cut"], &[("MERCURE_TRANSPORT_URL", "bolt:///m.db")], "/m.db.petasos", true),
        (&["fsck", "--listen", ":81"], &KEYS, "./petasos-data/history", false),
        (
            &["fsck"],
            &[("MERCURE_EXTRA_DIRECTIVES", "data_dir /d"), ("MERCURE_TRUSTED_ISSUERS", "urn:a")],
            "/d/history",
            false,
        ),
    ] {
        let outcome = petasos(arguments, variables, "");
        let (config, is_cut) = outcome.checked.unwrap_or_else(|| panic!("{}", outcome.errors));
        let Transport::Embedded(embedded) = config.log.transport else { panic!("{arguments:?}") };
        assert_eq!((embedded.directory, is_cut), (directory.into(), cut), "{arguments:?}");
        assert_eq!((outcome.code, &*outcome.errors), (ExitCode::from(3), ""), "{arguments:?}");
    }
    for (arguments, variables, expected) in [
        (&["fsck", "--dev"][..], &[][..], "petasos: with these settings there is no history"),
        (&["fsck"], &[("MERCURE_TRANSPORT_URL", "local://")], "petasos: with these settings"),
        (&["fsck", "--transport", "disk"], &[], "petasos: --transport: `disk` is not a transport"),
        (&["fsck", "--cut", "--dry-run"], &[], "error: the argument '--cut' cannot be used with"),
        (&["fsck", "history"], &[], "error: unexpected argument 'history'"),
    ] {
        let outcome = petasos(arguments, variables, "");
        assert!(outcome.checked.is_none(), "{arguments:?}");
        assert!(outcome.errors.starts_with(expected), "{arguments:?} {}", outcome.errors);
    }
    let help = petasos(&["fsck", "--help"], &[], "").output;
    for taught in ["Stop the hub first", "All that is older is dropped", "--data-dir"] {
        assert!(help.contains(taught), "{taught}\n{help}");
    }
}

#[test]
fn the_doctor_teaches_and_needs_no_keys() {
    let help = petasos(&["doctor", "--help"], &[], "").output;
    for taught in
        ["Run it where the hub runs", "--url", "--idle", "published on a topic of its own"]
    {
        assert!(help.contains(taught), "{taught}\n{help}");
    }
    let healthy = petasos(&["doctor", "--json", "--transport", "memory"], &[], "");
    let told: serde_json::Value = serde_json::from_str(&healthy.output).unwrap();
    assert_eq!(healthy.code == ExitCode::SUCCESS, told["ok"] == true);
    for (arguments, expected) in [
        (&["doctor", "--workers", "x"][..], "petasos: --workers: `x` is not"),
        (&["doctor", "--key", "k"], "error: the following required arguments were not provided"),
        (&["doctor", "--url", "x://y"], "petasos: `x://y` is not an http or https URL"),
        (&["doctor", "--url", "http://y", "--token", "a b"], "petasos: the token has characters"),
        (&["doctor", "--url", "http://y", "--key", ""], "petasos: the key is empty"),
        (&["doctor", "--url", "http://y", "--key", "k", "--alg", "x"], "petasos: --alg: "),
        (&["doctor", "--url", "http://y", "--connections", "1"], "error: the argument '--url"),
    ] {
        let outcome = petasos(arguments, &[], "");
        assert!(outcome.errors.starts_with(expected), "{arguments:?} {}", outcome.errors);
        assert_ne!(outcome.code, ExitCode::SUCCESS);
    }
}

#[test]
fn dev_prints_what_is_needed_to_try_the_hub() {
    for (arguments, variables) in
        [(&["--dev"][..], &[][..]), (&["serve", "--dev"], &[]), (&[], &[("PETASOS_DEV", "1")])]
    {
        let outcome = petasos(arguments, variables, "");
        let (config, banner) = outcome.served.unwrap_or_else(|| panic!("{}", outcome.errors));
        let banner = banner.unwrap();
        let url = "http://127.0.0.1:8080/.well-known/mercure";
        assert!(config.dev && config.access.anonymous);
        assert!(banner.contains("INSECURE"));
        assert!(banner.contains(&format!("curl -N '{url}?match=")));
        assert!(banner.contains(&format!("curl '{url}' -H 'Authorization: Bearer ey")));
        let token = banner.split("Token  ").nth(1).unwrap().split('\n').next().unwrap();
        let claims = claims(token, config.access.keys[0].secret.expose());
        assert_eq!(claims["aud"], url);
        assert_eq!(claims["iss"], "urn:petasos:dev");
        assert_eq!(claims["authorization_details"].as_array().unwrap().len(), 2);
    }
}

/// The claims of a token whose signature is right.
fn claims(token: &str, key: &[u8]) -> serde_json::Value {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = jsonwebtoken::DecodingKey::from_secret(key);
    let header = jsonwebtoken::decode_header(token).unwrap();
    assert_eq!(header.typ.as_deref(), Some("at+jwt"));
    let right = jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, header.alg);
    assert!(right.unwrap());
    let body = signed.split_once('.').unwrap().1;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(body).unwrap()).unwrap()
}

#[test]
fn tokens_are_made() {
    let arguments = [
        "token",
        "--key",
        "@-",
        "--alg",
        "HS512",
        "--ttl",
        "10m",
        "--publish",
        "a",
        "b",
        "--subscribe",
        "c",
        "--payload",
        "{\"x\":1}",
        "--iss",
        "urn:i",
        "--sub",
        "s",
    ];
    let outcome = petasos(&arguments, &[], "secret\n");
    assert_eq!(outcome.code, ExitCode::SUCCESS, "{}", outcome.errors);
    let claims = claims(outcome.output.trim(), b"secret");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    assert_eq!(claims["sub"], "s");
    assert_eq!(claims["authorization_details"][0]["topics"][1]["match"], "b");
    assert_eq!(claims["authorization_details"][1]["payload"]["x"], 1);

    for (arguments, expected) in [
        (&["token"][..], "petasos: no key: "),
        (&["token", "--key", ""], "petasos: the key is empty"),
        (&["token", "--key", "k", "--alg", "RS256"], "petasos: RS256 takes a key in PEM"),
        (&["token", "--key", "k", "--ttl", "x"], "petasos: --ttl: `x` is not a duration"),
        (&["token", "--key", "k", "--payload", "{}"], "petasos: --payload belongs to --subscribe"),
        (&["token", "--key", "k", "--payload", "[]"], "petasos: --payload: a JSON object"),
        (&["token", "--key", "@/none"], "petasos: cannot read `/none`"),
    ] {
        let outcome = petasos(arguments, &[], "");
        assert_eq!(outcome.code, ExitCode::FAILURE);
        assert!(outcome.errors.starts_with(expected), "{}", outcome.errors);
    }
}

/// Answers one request, and returns it.
fn answer(response: &'static str) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/.well-known/mercure", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            reader.read_line(&mut request).unwrap();
        }
        let length = request
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| rest.split_once("\r\n").unwrap().0.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        connection.write_all(response.as_bytes()).unwrap();
        request + std::str::from_utf8(&body).unwrap()
    });
    (url, server)
}

#[test]
fn publish_prints_the_id() {
    let (url, server) = answer("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nurn:1");
    let variables = [("PETASOS_URL", &*url), ("PETASOS_TOKEN", "a.b.c")];
    let outcome = petasos(&["publish", "t", "u", "--private"], &variables, "two\nlines\n");
    assert_eq!((outcome.output.as_str(), outcome.errors.as_str()), ("urn:1\n", ""));
    let request = server.join().unwrap();
    assert!(request.contains("Bearer a.b.c"), "{request}");
    let fields = "topic=t&topic=u&data=two%0Alines&private=on&id=urn%3Auuid%3A";
    assert!(request.contains(fields), "{request}");
}

#[test]
fn failures_say_what_helps() {
    let refused = "HTTP/1.1 403 No\r\nContent-Type: application/problem+json\r\n\
                   Content-Length: 22\r\n\r\n{\"detail\":\"Not yours.\"}";
    let (url, _server) = answer(refused);
    let outcome = petasos(&["publish", "t", "--data", "", "--url", &url], &[], "");
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert!(
        outcome.errors.contains("`petasos token --key … --publish TOPIC`"),
        "{}",
        outcome.errors
    );

    let (url, _server) = answer("HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n");
    let outcome = petasos(&["subscribe", "t", "--url", &url], &[], "");
    assert_eq!(outcome.code, ExitCode::FAILURE);
    assert_eq!(
        outcome.errors,
        "petasos: the hub answered 401\n\
         petasos: give a token with --token or PETASOS_TOKEN; `petasos token --help` makes one\n"
    );

    let outcome = petasos(&["publish", "t", "--data", "", "--token", "Bearer x"], &[], "");
    assert!(outcome.errors.contains("without `Bearer`"), "{}", outcome.errors);
    assert!(!outcome.errors.contains("Bearer x"));
}

#[test]
fn subscribe_prints_data_or_json() {
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n\
                  id: 1\ndata: a\ndata: b\n\nid: 2\nevent: e\ndata: c\n\nid: 3\ndata: d\n\n";
    for (json, expected) in [
        (&[][..], "a\nb\nc\n"),
        (
            &["--json"],
            "{\"data\":\"a\\nb\",\"id\":\"1\",\"type\":\"message\"}\n\
             {\"data\":\"c\",\"id\":\"2\",\"type\":\"e\"}\n",
        ),
    ] {
        let (url, server) = answer(stream);
        let mut arguments = vec!["subscribe", "x y", "--url", &url, "--count", "2"];
        arguments.extend(["--last-event-id", "0"]);
        arguments.extend(json);
        let outcome = petasos(&arguments, &[], "");
        assert_eq!(outcome.output, expected, "{}", outcome.errors);
        let request = server.join().unwrap();
        assert!(request.starts_with("GET /.well-known/mercure?match=x+y HTTP/1.1"), "{request}");
        assert!(request.contains("last-event-id: 0\r\n"), "{request}");
    }
}
