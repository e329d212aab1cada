//! Clients that vanish without a word are gone within a minute.
//!
//! A client in a network namespace of its own subscribes over a pair of virtual interfaces; then
//! its end of the pair goes down, and nothing that the hub sends is ever acknowledged. Needs root.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::AsRawFd,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::common::{
    client::{Stream, publish},
    hub::{Driver, Hub, Setup},
    process::{connections, wait_until},
    tokens,
};

/// A network namespace, and a pair of interfaces into it. Both are gone when this is dropped.
struct Network {
    namespace: String,
    inside: String,
    /// Of the interface in the namespace that tests run in.
    addr: Ipv4Addr,
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip (of iproute2): {error}"))?;
    let error = || format!("ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    output.status.success().then_some(()).ok_or_else(error)
}

impl Network {
    fn new() -> Result<Self, String> {
        let id = std::process::id();
        // Link-local addresses, which nobody routes: four for each test run.
        let start = u32::from(Ipv4Addr::new(169, 254, 8, 0)) + id % 8192 * 4;
        let [addr, other] = [start + 1, start + 2].map(Ipv4Addr::from);
        let (outside, inside) = (format!("pa{id}"), format!("pb{id}"));
        let network = Network { namespace: format!("petasos-{id}"), inside, addr };
        let Network { namespace, inside, .. } = &network;
        ip(&format!("netns add {namespace}"))?;
        ip(&format!("link add {outside} type veth peer name {inside} netns {namespace}"))?;
        ip(&format!("addr add {addr}/30 dev {outside}"))?;
        ip(&format!("link set {outside} up"))?;
        ip(&format!("-n {namespace} addr add {other}/30 dev {inside}"))?;
        ip(&format!("-n {namespace} link set {inside} up"))?;
        Ok(network)
    }

    /// Runs `work` inside. Sockets that it makes stay inside.
    fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.namespace)).unwrap();
        let inside = || {
            // SAFETY: a plain system call; it concerns this thread, which ends afterwards.
            let entered = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "{}", std::io::Error::last_os_error());
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join().unwrap())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // The interfaces go with it.
        let _ = ip(&format!("netns delete {}", self.namespace));
    }
}

/// A minute is long: all hubs at the same time, on one of the threads that run tests. By its
/// name this module comes first, so that the others run meanwhile.
#[test]
fn clients_that_vanish_are_gone_within_a_minute() {
    let network = match Network::new() {
        Ok(network) => network,
        Err(why) => {
            assert!(std::env::var("CI").is_err(), "{why}");
            eprintln!("SKIPPED: vanished clients: no network namespace: {why}");
            return;
        }
    };
    let hubs = [
        Clients::new(&network, Driver::IoUring, &[]),
        Clients::new(&network, Driver::Epoll, &[]),
        Clients::new(&network, Driver::Epoll, &["heartbeat 0"]),
    ];
    ip(&format!("-n {} link set {} down", network.namespace, network.inside)).unwrap();
    thread::scope(|scope| {
        for clients in &hubs {
            scope.spawn(|| are_gone_within_a_minute(clients));
        }
    });
}

/// A hub, and clients that are still there.
struct Clients {
    hub: Hub,
    token: String,
    /// Seconds after which the late update comes: just before the hub would have found out by
    /// itself that its subscriber is gone. Then the system starts to count anew.
    late_s: u64,
    _streams: [Stream; 4],
}

impl Clients {
    fn new(network: &Network, driver: Driver, directives: &[&str]) -> Self {
        let addr = SocketAddr::new(IpAddr::V4(network.addr), 0);
        let setup = Setup::new(driver).env("ADDR", &addr.to_string());
        let hub = directives.iter().fold(setup, |setup, it| setup.directive(it)).start();
        let open = |topic| Stream::open(hub.addr, &format!("match={topic}"), "");
        let [quiet, busy, mut late] =
            ["quiet", "busy", "late"].map(|topic| network.enter(|| open(topic)));
        let streams = |late| [quiet, busy, late, open("here")];
        let token = tokens::publisher(&["*"]);
        publish(hub.addr, &token, &[("topic", "late"), ("data", "1")]);
        assert_eq!(late.data(1), ["1"]);
        let streams = streams(late);
        assert_eq!(connections(hub.pid(), hub.addr.port()), 4);
        let beats = directives.is_empty();
        Clients { hub, token, late_s: if beats { 39 } else { 24 }, _streams: streams }
    }
}

fn are_gone_within_a_minute(Clients { hub, token, late_s, .. }: &Clients) {
    let left = || connections(hub.pid(), hub.addr.port()) - 1;
    let begin = Instant::now();
    publish(hub.addr, token, &[("topic", "busy"), ("data", "into the void")]);
    let mut late_was_published = false;
    while left() > 0 {
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(60), "{} are left", left());
        if waited > Duration::from_secs(*late_s) && !late_was_published {
            late_was_published = true;
            publish(hub.addr, token, &[("topic", "late"), ("data", "2")]);
        }
        thread::sleep(Duration::from_millis(200));
    }
    assert!(late_was_published, "a short silence is no end");
}

/// Probes of very many connections would come in bursts of which the system drops most, and those
/// who live would be taken for dead: where heartbeats show who is gone there are none.
#[test]
fn the_system_asks_for_signs_of_life_only_where_heartbeats_do_not() {
    for (directive, asks) in
        [("heartbeat 40s", false), ("heartbeat 41s", true), ("heartbeat 0", true)]
    {
        let hub = Setup::new(Driver::Epoll).directive(directive).start();
        let _stream = Stream::open(hub.addr, "match=a", "");
        // Until the answer is acknowledged, the connection has another timer.
        wait_until("a connection at rest", || has_timer(hub.addr) == Some(asks));
        thread::sleep(Duration::from_millis(300));
        assert_eq!(has_timer(hub.addr), Some(asks), "{directive}");
    }
}

/// Whether the system has a timer for the one connection that is established at the address.
fn has_timer(addr: SocketAddr) -> Option<bool> {
    let port = format!(":{:04X}", addr.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut lines = table.lines().map(fields);
    // Number, address, peer, state, queues, timer.
    let line = lines.find(|line| line[1].ends_with(&port) && line[3] == "01")?;
    Some(!line[5].starts_with("00"))
}
