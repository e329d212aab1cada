//! `docker run`, by buildah: the image is built from its Dockerfile, and command lines of Docker
//! are run, with what buildah runs without a daemon and without a runtime for containers.

use std::{
    collections::HashMap,
    env, fs,
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicUsize, Ordering},
    },
};

use serde_json::Value;

use super::network::Network;
use crate::common::{
    hub::{Hub, Output, Setup},
    tools::{Directory, has_tools},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What `deploy/image/assemble target/image` makes.
const ASSEMBLED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/image");
const BINARY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/image/rootfs/usr/bin/petasos");

/// The image, and the containers that are made of it.
pub(super) struct Image {
    directory: Directory,
    containers: AtomicUsize,
}

/// The image; `None` where it cannot be built and run. A test that goes without says so, loudly,
/// and fails where everything has to be tested.
pub(super) fn image() -> Option<Arc<Image>> {
    static IMAGE: Mutex<Weak<Image>> = Mutex::new(Weak::new());
    if !has_tools(&["buildah", "unshare", "nsenter", "ip", BINARY]) {
        return None;
    }
    // SAFETY: a plain system call.
    let is_root = unsafe { libc::geteuid() } == 0;
    let must = env::var("CI").as_deref() == Ok("true");
    assert!(is_root || !must, "networks need root: run the tests as root");
    if !is_root {
        let _ = writeln!(std::io::stderr(), "NOT TESTED: networks need root");
        return None;
    }
    let mut shared = IMAGE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Whoever is last removes it.
    Some(shared.upgrade().unwrap_or_else(|| {
        let image = Arc::new(Image::build());
        *shared = Arc::downgrade(&image);
        image
    }))
}

impl Image {
    fn build() -> Image {
        static BUILT: AtomicUsize = AtomicUsize::new(0);
        // The last one may still be being removed.
        let number = BUILT.fetch_add(1, Ordering::Relaxed);
        let directory = Directory::new(&format!("image-{number}"));
        let image = Image { directory, containers: AtomicUsize::new(0) };
        // The first stage of the Dockerfile would compile the same, elsewhere.
        let mut build = image.buildah(&["build-using-dockerfile", "--isolation", "chroot"]);
        build.args(["--format", "docker", "--build-context", &format!("build={ASSEMBLED}")]);
        build.args(["--file", &format!("{ROOT}/deploy/Dockerfile"), "--tag", "petasos", ROOT]);
        Output::of(build.output().unwrap()).ok();
        image
    }

    fn buildah(&self, args: &[&str]) -> Command {
        let mut command = Command::new("buildah");
        command.args(self.storage()).args(args);
        command
    }

    /// Layers are plain directories, which need no support of the kernel.
    fn storage(&self) -> [String; 6] {
        let place = |name| self.directory.0.join(name).to_str().unwrap().to_owned();
        let driver = "vfs".to_owned();
        [
            "--storage-driver".into(),
            driver,
            "--root".into(),
            place("root"),
            "--runroot".into(),
            place("run"),
        ]
    }

    /// What the image says of itself.
    pub(super) fn config(&self) -> Value {
        let mut inspect = self.buildah(&["inspect", "--type", "image", "petasos"]);
        let told: Value =
            serde_json::from_str(&Output::of(inspect.output().unwrap()).ok()).unwrap();
        told["Docker"]["config"].clone()
    }

    /// A container that is to be run as `line` says.
    pub(super) fn docker(self: &Arc<Self>, line: &str) -> Run {
        // Of `buildah from`, of `buildah run`, and inside of the container.
        let (mut made_with, mut options, mut ports) = (vec![], vec![], vec![]);
        let mut words = words(line).into_iter();
        assert_eq!(
            (words.next().as_deref(), words.next().as_deref()),
            (Some("docker"), Some("run"))
        );
        loop {
            let word = words.next().expect("a line names the image");
            let mut value = || words.next().expect("an option has a value");
            match word.as_str() {
                "-e" => options.extend(["--env".to_owned(), value()]),
                "-v" => options.extend(["--volume".to_owned(), value()]),
                "--user" | "--cap-drop" => options.extend([word, value()]),
                "--dns" | "--add-host" => made_with.extend([word, value()]),
                "-p" => {
                    let mapping = value();
                    let (_, port) = mapping.split_once(':').expect("HOST:CONTAINER");
                    ports.push(port.parse().unwrap());
                }
                // Of no account here: this ends with the test.
                "-d" | "--rm" => {}
                "--name" | "--restart" | "--ulimit" => drop(value()),
                "petasos" => break,
                other => panic!("`{other}` is not understood: {line}"),
            }
        }
        let config = self.config();
        let mut command = strings(&config["Entrypoint"]);
        let count = command.len();
        command.extend(words);
        if command.len() == count {
            command.extend(strings(&config["Cmd"]));
        }
        let container = self.container(&made_with);
        Run { image: Arc::clone(self), container, options, ports, command }
    }

    fn container(&self, options: &[String]) -> String {
        let name = format!("c{}", self.containers.fetch_add(1, Ordering::Relaxed));
        let mut from = self.buildah(&["from", "--name", &name]);
        from.args(options).arg("localhost/petasos");
        Output::of(from.output().unwrap()).ok();
        name
    }
}

/// An array of texts, which may be left out.
pub(super) fn strings(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// The words of a command line, as a shell takes them.
fn words(line: &str) -> Vec<String> {
    let mut shell = Command::new("sh");
    let output =
        shell.args(["-c", &format!("printf '%s\\0' {line}")]).env_clear().output().unwrap();
    let text = Output::of(output).ok();
    text.split_terminator('\0').map(str::to_owned).collect()
}

/// Runs the rest of a command line in a directory, as process 1 of a namespace of its own.
const AS_FIRST: &str = "mkdir -p $0/proc $0/dev && mount --bind /proc $0/proc && \
                        mount --bind /dev $0/dev && exec chroot $0 /usr/bin/busybox env -i \"$@\"";

/// A container that is to be run.
pub(super) struct Run {
    image: Arc<Image>,
    container: String,
    /// Of `buildah run`.
    options: Vec<String>,
    /// In the container.
    ports: Vec<u16>,
    command: Vec<String>,
}

impl Run {
    /// What runs `words` in the container.
    fn words(&self, words: &[String]) -> Vec<String> {
        let mut all = vec!["buildah".to_owned()];
        all.extend(self.image.storage());
        all.extend(["run", "--isolation", "chroot"].map(str::to_owned));
        all.extend(self.options.iter().cloned());
        all.extend([self.container.clone(), "--".to_owned()]);
        all.extend(words.iter().cloned());
        all
    }

    /// Everything that it starts ends with the command that is returned.
    fn command(&self, network: &Network) -> Command {
        let mut command = network.command();
        command.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.args(self.words(&self.command));
        command
    }

    /// Where the container's files lie: of its own and of the image.
    pub(super) fn files(&self) -> PathBuf {
        let mut mount = self.image.buildah(&["mount", &self.container]);
        PathBuf::from(Output::of(mount.output().unwrap()).ok().trim_end())
    }

    /// A command that ends by itself.
    pub(super) fn run_in(&self, network: &Network) -> Output {
        Output::of(self.command(network).stdin(Stdio::null()).output().unwrap())
    }

    pub(super) fn run(&self) -> Output {
        self.run_in(&Network::new())
    }

    /// A hub, from when on it listens.
    pub(super) fn start_in(self, network: Network) -> Container {
        let hub = Setup::of(self.command(&network)).start();
        let ports = self.ports.iter().map(|&port| (port, network.publish(port))).collect();
        Container { hub, run: self, network, ports }
    }

    pub(super) fn start(self) -> Container {
        self.start_in(Network::new())
    }

    /// As process 1, which buildah has no way for.
    pub(super) fn start_as_first(self) -> Container {
        let network = Network::new();
        let config = self.image.config();
        let mut command = network.command();
        command.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]);
        command.args(["sh", "-c", AS_FIRST]).arg(self.files()).args(strings(&config["Env"]));
        let options = self.options.chunks_exact(2);
        command.args(options.filter(|option| option[0] == "--env").map(|option| &option[1]));
        command.args(["sh", "-c", "cd $0 && exec \"$@\""]);
        command.args([config["WorkingDir"].as_str().unwrap()]).args(&self.command);
        let hub = Setup::of(command).start();
        Container { hub, run: self, network, ports: HashMap::new() }
    }
}

/// A container in which a hub runs.
pub(super) struct Container {
    pub(super) hub: Hub,
    run: Run,
    network: Network,
    ports: HashMap<u16, SocketAddr>,
}

impl Container {
    /// Where a published port of the container is reached.
    pub(super) fn port(&self, port: u16) -> SocketAddr {
        self.ports[&port]
    }

    /// `docker exec`.
    pub(super) fn exec(&self, words: &[&str]) -> Output {
        let words: Vec<_> = words.iter().map(|&word| word.to_owned()).collect();
        Output::of(self.network.command().args(self.run.words(&words)).output().unwrap())
    }

    /// `docker stop`: the signal that the image asks for, and the exit code.
    pub(super) fn stop(mut self) -> Option<i32> {
        assert_eq!(self.run.image.config()["StopSignal"], "SIGTERM");
        // SAFETY: a signal to a process that ends with this test at the latest.
        unsafe { libc::kill(self.pid(), libc::SIGTERM) };
        self.hub.wait().code()
    }

    /// Of the hub itself, as this machine counts.
    pub(super) fn pid(&self) -> i32 {
        let is_hub = |pid: &String| {
            let network = fs::read_link(format!("/proc/{pid}/ns/net"));
            let exe = fs::read_link(format!("/proc/{pid}/exe"));
            network.is_ok_and(|network| network == fs::read_link(self.network.path()).unwrap())
                && exe.is_ok_and(|exe| exe.ends_with("usr/bin/petasos"))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let names = entries.map(|entry| entry.file_name().into_string().unwrap());
        let pids: Vec<_> =
            names.filter(|name| name.parse::<i32>().is_ok()).filter(is_hub).collect();
        assert_eq!(pids.len(), 1, "{pids:?}");
        pids[0].parse().unwrap()
    }
}
