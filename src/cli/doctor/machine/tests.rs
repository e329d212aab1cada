//! Every check on machines that are made up: one where all is well, and each thing that is not.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use super::{super::report::Level, *};
use crate::config::{ConfigFile, Sources, load};

/// A machine that is made up.
#[derive(Clone)]
struct MadeUp {
    files: BTreeMap<String, String>,
    io_uring: Result<(), String>,
    cores: u64,
    directory: Directory,
    since_1970: u64,
}

impl Machine for MadeUp {
    fn text(&self, path: &str) -> Option<String> {
        self.files.get(path).cloned()
    }

    fn io_uring(&self) -> Result<(), String> {
        self.io_uring.clone()
    }

    fn cores(&self) -> u64 {
        self.cores
    }

    fn directory(&self, path: &Path) -> Directory {
        assert!(path.ends_with("history"), "{}", path.display());
        self.directory.clone()
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(self.since_1970)
    }
}

impl MadeUp {
    /// A server that somebody has prepared for many connections.
    fn good() -> Self {
        let files = [
            ("/proc/sys/kernel/osrelease", "6.12.9-amd64\n"),
            ("/proc/sys/kernel/io_uring_disabled", "0\n"),
            ("/proc/self/limits", LIMITS),
            ("/proc/sys/fs/nr_open", "4194304\n"),
            ("/proc/sys/fs/file-max", "9223372036854775807\n"),
            ("/proc/sys/fs/file-nr", "1000\t0\t9223372036854775807\n"),
            ("/proc/meminfo", "MemTotal:       65536000 kB\nMemFree:         1000 kB\n"),
            ("/proc/self/cgroup", "0::/system.slice/petasos.service\n"),
            ("/sys/fs/cgroup/system.slice/petasos.service/memory.max", "max\n"),
            ("/sys/fs/cgroup/system.slice/petasos.service/cpu.max", "max 100000\n"),
            ("/proc/1/cgroup", "0::/init.scope\n"),
            ("/proc/sys/net/core/somaxconn", "4096\n"),
            ("/proc/sys/net/ipv4/tcp_max_syn_backlog", "4096\n"),
            ("/proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n"),
            ("/proc/sys/net/ipv4/tcp_mem", "1000000\t2000000\t4000000\n"),
            ("/proc/self/mountinfo", MOUNTS),
        ];
        let files = files.map(|(path, text)| (path.to_owned(), text.to_owned()));
        MadeUp {
            files: BTreeMap::from(files),
            io_uring: Ok(()),
            cores: 8,
            directory: Directory {
                nearest: PathBuf::from("/var/lib/petasos"),
                problem: None,
                free: Some(100 << 30),
                used: 0,
            },
            since_1970: 1_800_000_000,
        }
    }

    fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    fn without(mut self, path: &str) -> Self {
        assert!(self.files.remove(path).is_some(), "{path}");
        self
    }

    fn in_container(self) -> Self {
        self.with("/.dockerenv", "")
    }

    /// What is found for so many connections.
    fn findings(&self, settings: &str, connections: u64) -> Vec<Finding> {
        look_at(self, &config(settings), connections)
    }

    /// What this check finds.
    fn finding(&self, settings: &str, connections: u64, check: &str) -> Finding {
        let findings = self.findings(settings, connections);
        let mut found = findings.iter().filter(|finding| finding.check == check);
        let finding = found.next().unwrap_or_else(|| panic!("no {check} in {findings:?}"));
        assert_eq!(found.next(), None);
        finding.clone()
    }

    /// That this check, and no other, finds this; with something of its text and of its fixes.
    fn finds(&self, settings: &str, connections: u64, expected: (Level, &str, &str, &str)) {
        let (level, check, text, fix) = expected;
        let finding = self.finding(settings, connections, check);
        assert_eq!(finding.level, level, "{finding:?}");
        assert!(finding.text.contains(text), "{finding:?}");
        assert!(finding.fixes.iter().any(|one| one.contains(fix)), "{finding:?}");
        let mut others = self.findings(settings, connections);
        // No address has ports for more than 64,512 connections.
        let expected = [check, "net.ipv4.ip_local_port_range"];
        others.retain(|one| one.level != Level::Ok && !expected.contains(&one.check));
        assert_eq!(others, []);
    }
}

const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max processes             96365                96365                processes 
Max open files            1024                 2097152              files     
Max locked memory         8388608              8388608              bytes     
";

const MOUNTS: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
28 27 0:30 / /var/lib/petasos/scratch\\040space rw - tmpfs tmpfs rw
29 27 0:31 / /mnt/share rw shared:1 - nfs4 server:/share rw
";

fn config(settings: &str) -> Config {
    let loaded = load(&Sources {
        dev_key: None,
        file: Some(ConfigFile { name: "test", text: settings }),
        environment: &BTreeMap::new(),
        flags: &[],
        application: None,
        is_to_run: false,
        read_file: &|_| Err("no file".to_owned()),
    });
    loaded.unwrap().config
}

const MILLION: u64 = 1_000_000;

#[test]
fn a_machine_that_is_prepared_is_well() {
    let findings = MadeUp::good().findings("", 60_000);
    let bad: Vec<_> = findings.iter().filter(|finding| finding.level != Level::Ok).collect();
    assert!(bad.is_empty(), "{bad:?}");
    assert!(findings.iter().all(|finding| finding.fixes.is_empty()), "{findings:?}");
    let checks: Vec<_> = findings.iter().map(|finding| finding.check).collect();
    assert_eq!(
        checks,
        [
            "kernel",
            "io_uring",
            "cpu",
            "open files",
            "fs.nr_open",
            "fs.file-max",
            "memory",
            "net.core.somaxconn",
            "net.ipv4.tcp_max_syn_backlog",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.tcp_mem",
            "net.netfilter.nf_conntrack_max",
            "history",
            "room for history",
            "heartbeat",
            "clock",
        ]
    );
}

#[test]
fn a_machine_that_shows_nothing_is_no_reason_to_panic() {
    let mut machine = MadeUp::good();
    machine.files.clear();
    let findings = machine.findings("", MILLION);
    let skipped: Vec<_> = findings.iter().filter(|finding| finding.level == Level::Skip).collect();
    assert_eq!(skipped.len(), 3, "{findings:?}");
    assert!(findings.iter().all(|finding| finding.level != Level::Fail), "{findings:?}");
    for garbage in ["", "\n", "x y z", "-1", "99999999999999999999999", ": :\n0:\n1:a:b:c"] {
        let mut machine = MadeUp::good();
        machine.files.values_mut().for_each(|text| *text = garbage.to_owned());
        machine.findings("", 100_000_000);
    }
}

#[test]
fn open_files_are_counted_for_each_table() {
    let limits = |hard: &str| {
        let line = format!("Max open files            1024                 {hard}");
        MadeUp::good().with("/proc/self/limits", &line)
    };
    let is = |machine: MadeUp, settings: &str, connections| {
        machine.finding(settings, connections, "open files").level
    };
    // Eight workers, each with a table of its own.
    assert_eq!(is(limits("20000"), "", 100_000), Level::Warn);
    assert_eq!(is(limits("20000"), "", 200_000), Level::Fail);
    assert_eq!(is(limits("20000"), "file_tables shared", 100_000), Level::Fail);
    assert_eq!(is(limits("20000"), "workers 1", 10_000), Level::Warn);
    assert_eq!(is(limits("20000"), "workers 1", 20_000), Level::Fail);
    assert_eq!(is(limits("unlimited"), "", MILLION), Level::Ok);
    let unit = "LimitNOFILE=1048576";
    limits("4096").finds("", 40_000, (Level::Fail, "open files", "limit is 4096", unit));
    let docker = "docker run --ulimit nofile=1048576:1048576";
    let finding = limits("4096").in_container().finding("", 40_000, "open files");
    assert!(finding.fixes[0].contains(docker), "{finding:?}");
}

#[test]
fn limits_of_the_kernel_are_set_where_they_belong() {
    for (path, text, connections, expected) in [
        (
            "fs/nr_open",
            "65536",
            MILLION,
            (Level::Fail, "fs.nr_open", "connections need", "fs.nr_open = 2097152"),
        ),
        (
            "fs/file-max",
            "65536",
            MILLION,
            (Level::Fail, "fs.file-max", "1000 are open", "fs.file-max = 2097152"),
        ),
        (
            "net/core/somaxconn",
            "128",
            1,
            (Level::Warn, "net.core.somaxconn", "128, but `backlog` is 4096", "somaxconn = 4096"),
        ),
        (
            "net/ipv4/tcp_max_syn_backlog",
            "512",
            1,
            (Level::Warn, "net.ipv4.tcp_max_syn_backlog", "512", "syn_backlog = 4096"),
        ),
        (
            "net/ipv4/ip_local_port_range",
            "32768 60999",
            40_000,
            (Level::Warn, "net.ipv4.ip_local_port_range", "28232 ports", "= 1024 65535'"),
        ),
        (
            "net/ipv4/ip_local_port_range",
            "1024 65535",
            100_000,
            (Level::Warn, "net.ipv4.ip_local_port_range", "64512 ports", "listen on 2 addresses"),
        ),
        (
            "net/ipv4/tcp_mem",
            "1000 2000 3000",
            10_000,
            (Level::Warn, "net.ipv4.tcp_mem", "3000 pages", "= 10000 15000 20000'"),
        ),
        (
            "net/netfilter/nf_conntrack_max",
            "65536",
            50_000,
            (Level::Warn, "net.netfilter.nf_conntrack_max", "need 100000", "max = 131072"),
        ),
        (
            "net/netfilter/nf_conntrack_max",
            "32768",
            50_000,
            (Level::Fail, "net.netfilter.nf_conntrack_max", "drops packets", "--dport 8080"),
        ),
    ] {
        let machine = MadeUp::good().with(&format!("/proc/sys/{path}"), text);
        machine.finds("", connections, expected);
        let (_, check, ..) = expected;
        let fixes = machine.in_container().finding("", connections, check).fixes;
        let networks = ["somaxconn", "syn_backlog", "port_range"];
        let is_of_network = networks.iter().any(|name| check.ends_with(name));
        let expected = match is_of_network {
            true if fixes.len() > 2 => "docker run --sysctl 'net.",
            true => "let the hub listen on 2 addresses",
            false => "on the host, not in the container: echo '",
        };
        assert!(fixes[0].starts_with(expected), "{fixes:?}");
    }
    // What is enough for few is not for many.
    let tracked = MadeUp::good().with("/proc/sys/net/netfilter/nf_conntrack_max", "65536");
    let finding = tracked.finding("", 10_000, "net.netfilter.nf_conntrack_max");
    assert_eq!(finding.level, Level::Ok);
    let short = MadeUp::good().with("/proc/sys/net/core/somaxconn", "128");
    assert_eq!(short.finding("backlog 128", 1, "net.core.somaxconn").level, Level::Ok);
}

#[test]
fn what_workers_run_on_is_tried() {
    let old = MadeUp::good().with("/proc/sys/kernel/osrelease", "5.4.0-1-amd64\n");
    old.finds("", 1, (Level::Warn, "kernel", "needs 5.6", "boot a kernel"));
    let mut refused = MadeUp::good();
    refused.io_uring = Err("Operation not permitted".to_owned());
    refused.finds("", 1, (Level::Warn, "io_uring", "not permitted", "SystemCallFilter="));
    refused.finds("driver io_uring", 1, (Level::Fail, "io_uring", "not start", "--driver auto"));
    assert_eq!(refused.finding("driver epoll", 1, "io_uring").level, Level::Ok);
    let contained = refused.clone().in_container();
    contained.finds("", 1, (Level::Warn, "io_uring", "epoll", "--security-opt seccomp="));
    let disabled = refused.with("/proc/sys/kernel/io_uring_disabled", "2\n");
    disabled.finds("", 1, (Level::Warn, "io_uring", "epoll", "kernel.io_uring_disabled = 0"));
}

#[test]
fn control_groups_limit_cores_and_memory() {
    const GROUP: &str = "/sys/fs/cgroup/system.slice";
    let quota = MadeUp::good().with(&format!("{GROUP}/cpu.max"), "150000 100000\n");
    quota.finds("", 1, (Level::Warn, "cpu", "the control group allows 1.5", "--workers 2"));
    assert_eq!(quota.finding("workers 2", 1, "cpu").level, Level::Ok);
    let few = (Level::Warn, "cpu", "16 workers, but 8 cores", "--workers 8");
    MadeUp::good().finds("workers 16", 1, few);

    let memory =
        |bytes: u64| MadeUp::good().with(&format!("{GROUP}/memory.max"), &format!("{bytes}\n"));
    let killed = (Level::Fail, "memory", "512MiB is the control group's limit", "--memory");
    memory(512 << 20).finds("", 100_000, killed);
    let tight = (Level::Warn, "memory", "it may become", "MemoryMax=3G");
    memory(1 << 30).finds("", 100_000, tight);
    assert_eq!(memory(4 << 30).finding("", 100_000, "memory").level, Level::Ok);
    let history = "transport memory {\n max_bytes 4GiB\n}";
    assert_eq!(memory(4 << 30).finding(history, 100_000, "memory").level, Level::Fail);
    let small = MadeUp::good().with("/proc/meminfo", "MemTotal:        1000000 kB\n");
    small.finds(
        "workers 1",
        MILLION,
        (Level::Fail, "memory", "the machine's memory", "--max-conn"),
    );

    // The first version of control groups.
    let old = MadeUp::good()
        .with("/proc/self/cgroup", "5:cpu,cpuacct:/a/b\n4:memory:/a/b\n0::/\n")
        .with("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "200000\n")
        .with("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n")
        .with("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
        .with("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "67108864\n");
    let finding = old.finding("", 10_000, "memory");
    assert!(finding.text.starts_with("64MiB is the control group's limit"), "{finding:?}");
    let finding = old.finding("", 10_000, "cpu");
    assert!(finding.text.contains("allows 2.0"), "{finding:?}");
    let free = old.with("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "-1\n");
    assert_eq!(free.finding("", 1, "cpu").level, Level::Ok);
}

#[test]
fn the_place_of_the_history_lasts_and_has_room() {
    let at = |path: &str| {
        let mut machine = MadeUp::good();
        machine.directory.nearest = PathBuf::from(path);
        machine
    };
    let disk = at("/var/lib/petasos").finding("", 1, "history");
    assert_eq!(disk.text, "/var/lib/petasos can be written, on ext4");
    let memory = (Level::Warn, "history", "on tmpfs; that is memory", "--data-dir DIR");
    at("/var/lib/petasos/scratch space/x").finds("", 1, memory);
    let network = (Level::Warn, "history", "on nfs4; that is on the network", "--data-dir DIR");
    at("/mnt/share").finds("", 1, network);
    let layers = "1 0 0:5 / / rw - overlay overlay rw";
    let layer = at("/data").in_container().with("/proc/self/mountinfo", layers);
    let volume = "docker run -v petasos-data:/data";
    layer.finds("", 1, (Level::Warn, "history", "a layer of the container", volume));

    let mut machine = MadeUp::good();
    machine.directory.free = Some(500 << 20);
    let url = "--transport 'embedded://?max_bytes=372MiB'";
    machine.finds("", 1, (Level::Warn, "room for history", "max_bytes is 1GiB", url));
    // What it has already counts.
    machine.directory.used = 800 << 20;
    assert_eq!(machine.finding("", 1, "room for history").level, Level::Ok);
    let endless = "transport embedded {\n max_bytes 0\n}";
    machine.finds(endless, 1, (Level::Warn, "room for history", "sets no limit", "max_bytes="));
    machine.directory.free = Some(1 << 20);
    machine.directory.used = 0;
    machine.finds("", 1, (Level::Fail, "room for history", "cannot keep", "larger disk"));
    machine.directory.problem = Some("Permission denied".to_owned());
    machine.finds("", 1, (Level::Fail, "history", "Permission denied", "chown -R"));
    // Nothing is written, so nothing is looked at.
    assert_eq!(machine.finding("transport memory", 1, "history").level, Level::Ok);
}

#[test]
fn heartbeats_come_before_proxies_cut() {
    let machine = MadeUp::good();
    for (settings, text) in [
        ("heartbeat 46s", "HAProxy (50 s)"),
        ("heartbeat 58s", "HAProxy (50 s), Heroku (55 s), nginx (60 s), AWS ALB (60 s)"),
        ("heartbeat 0", "none: as they are set up by default"),
    ] {
        machine.finds(settings, 1, (Level::Warn, "heartbeat", text, "--heartbeat 40s"));
    }
    assert!(machine.finding("heartbeat 0", 1, "heartbeat").text.contains("Cloudflare"));
    for settings in ["", "heartbeat 45s", "heartbeat 500ms"] {
        assert_eq!(machine.finding(settings, 1, "heartbeat").level, Level::Ok, "{settings}");
    }
}

#[test]
fn clocks_are_in_this_century() {
    for since_1970 in [0, 86_400, 5_000_000_000] {
        let mut machine = MadeUp::good();
        machine.since_1970 = since_1970;
        machine.finds("", 1, (Level::Fail, "clock", "cannot be", "set-ntp true"));
    }
}

#[test]
fn containers_are_known_by_what_their_runtimes_leave() {
    let groups = |text: &str| MadeUp::good().with("/proc/1/cgroup", text);
    for machine in [
        MadeUp::good().in_container(),
        MadeUp::good().with("/run/.containerenv", "engine=podman"),
        groups("0::/kubepods/besteffort/pod1/2\n"),
        groups("5:cpu:/docker/0123\n"),
    ] {
        assert_eq!(Place::of(&machine), Place::Container);
        assert_eq!(machine.finding("", 1, "container").level, Level::Ok);
    }
    assert_eq!(Place::of(&MadeUp::good().without("/proc/1/cgroup")), Place::Host);
}
