//! The compose file: what it says of the hub, said to `docker run`.

use std::process::Command;

use serde_json::Value;

use super::docker::{image, strings};
use crate::common::{
    client::{Stream, publish},
    hub::Output,
    tokens,
    tools::{PYTHON, has_tools},
};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/compose.yaml");
const TO_JSON: &str = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
const KEY: &str = "a secret of at least 32 bytes, please";

/// A line of Docker that does what a service says; what is not understood here is a mistake.
fn line(service: &Value) -> String {
    let mut line = "docker run".to_owned();
    for (name, value) in service.as_object().unwrap() {
        match name.as_str() {
            "image" => assert_eq!(value, "petasos"),
            "build" => assert_eq!(value["dockerfile"], "deploy/Dockerfile"),
            "environment" => {
                for (name, value) in value.as_object().unwrap() {
                    let value = value.as_str().unwrap();
                    // `${NAME:?why}`: from the environment of who calls.
                    let value =
                        if value.starts_with(&format!("${{{name}:?")) { KEY } else { value };
                    line.push_str(&format!(" -e '{name}={value}'"));
                }
            }
            "ports" => strings(value).iter().for_each(|port| line.push_str(&format!(" -p {port}"))),
            // A new volume is as the image has the directory.
            "volumes" => assert_eq!(strings(value), ["data:/data"]),
            "user" => line.push_str(&format!(" --user {}", value.as_str().unwrap())),
            "cap_drop" => {
                strings(value).iter().for_each(|cap| line.push_str(&format!(" --cap-drop {cap}")));
            }
            // The user cannot write to the image in any case.
            "read_only" | "restart" | "security_opt" | "ulimits" => {}
            other => panic!("`{other}` is not understood"),
        }
    }
    line + " petasos"
}

#[test]
fn what_the_compose_file_starts_is_a_hub() {
    if !has_tools(&[PYTHON]) {
        return;
    }
    let Some(image) = image() else { return };
    let file = std::fs::File::open(FILE).unwrap();
    let output = Command::new(PYTHON).args(["-c", TO_JSON]).stdin(file).output().unwrap();
    let compose: Value = serde_json::from_str(&Output::of(output).ok()).unwrap();
    let services = compose["services"].as_object().unwrap();
    assert_eq!(services.keys().collect::<Vec<_>>(), ["hub"]);
    assert_eq!(compose["volumes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["data"]);

    let container = image.docker(&line(&services["hub"])).start();
    let address = container.port(80);
    let mut stream = Stream::open(address, "match=a", "Origin: https://app.example.com\r\n");
    let allowed = stream.field("access-control-allow-origin");
    assert_eq!(allowed, Some("https://app.example.com"));
    let mut claims = tokens::claims("publish", &["*"]);
    claims["aud"] = "http://hub/.well-known/mercure".into();
    publish(address, &tokens::sign(&claims, KEY), &[("topic", "a"), ("data", "x")]);
    assert_eq!(stream.data(1), ["x"]);
    assert_eq!(container.exec(&["petasos", "healthcheck"]).code, Some(0));
    assert_eq!(container.stop(), Some(0));
}
