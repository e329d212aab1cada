//! `docs/install.md`: its commands are run, as they stand, as far as they do not install anything.

use super::docker::image;
use crate::common::{
    client::request,
    hub::{Output, Setup},
    tools::Directory,
};

const TEXT: &str = include_str!("../../docs/install.md");
const DOCKERFILE: &str = include_str!("../../deploy/Dockerfile");
const TOOLCHAIN: &str = include_str!("../../rust-toolchain.toml");

/// The blocks of code in one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let begin = format!("```{language}\n");
    let rest = TEXT.split(&*begin).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap()).collect()
}

/// The commands in all blocks for a shell, each on one line.
fn commands() -> Vec<String> {
    let text = blocks("sh").concat().replace("\\\n", " ");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn containers_run_as_it_is_documented() {
    let Some(image) = image() else { return };
    let lines: Vec<_> = commands().into_iter().filter(|line| line.contains("docker run")).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    for line in lines {
        // Volumes have no names here.
        let run = image.docker(&line.replace("-v hub:/data", ""));
        if line.contains(" -p ") {
            let container = run.start();
            let answer = request(container.port(80), "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(answer.status, 200, "{line}");
        } else {
            let told: String = run.run().ok();
            let addresses = told.lines().find(|line| line.starts_with("listen ")).unwrap();
            assert!(addresses.contains(":80 :8080"), "{told}");
        }
    }
}

#[test]
fn the_image_is_built_as_it_is_documented() {
    let builds: Vec<_> = commands()
        .into_iter()
        .filter(|line| {
            ["docker build", "cargo rustc", "deploy/"].iter().any(|s| line.starts_with(s))
        })
        .collect();
    assert_eq!(builds.len(), 4);
    for line in &builds {
        assert!(DOCKERFILE.lines().any(|other| other == format!("#   {line}")), "{line}");
    }
    // The stage that compiles does the same.
    let [compile, assemble] = [1, 2].map(|i| builds[i].replace("target/image", "/"));
    for line in [compile, assemble] {
        assert!(
            DOCKERFILE.contains(&format!("RUN {line}\n"))
                || DOCKERFILE.contains(&format!("    {line}\n")),
            "{line}"
        );
    }
    let version = TOOLCHAIN.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    let image = format!("ARG RUST=rust:{}-bookworm", version.trim_matches('"'));
    assert!(DOCKERFILE.lines().any(|line| line == image), "{image}");
}

#[test]
fn the_service_starts_with_the_files_that_are_documented() {
    let directory = Directory::new("service");
    let [settings, variables] = ["conf", "ini"].map(|language| blocks(language)[0]);
    let file = directory.file("petasos.conf", settings);
    let mut setup = Setup::bare().env("ADDR", "").arg("check").arg("--config").arg(&file);
    for line in variables.lines() {
        let (name, value) = line.split_once('=').unwrap();
        setup = setup.env(name, value.trim_matches('"'));
    }
    let told: Output = setup.run();
    assert!(told.stdout.contains("listen :80 "), "{told:?}");
    assert_eq!(told.code, Some(0), "{told:?}");
    let unit = include_str!("../../deploy/petasos.service");
    for path in ["/usr/bin/petasos", "/etc/petasos/petasos.conf", "/etc/petasos/environment"] {
        assert!(unit.contains(path) && TEXT.contains(path), "{path}");
    }
}
