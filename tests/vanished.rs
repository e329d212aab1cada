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

use crate::{
    common::{
        client::{Stream, publish},
        hub::{Driver, Setup},
        process::connections,
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(clients_that_vanish_are_gone_within_a_minute);

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
    /// `number` tells networks of one test run apart.
    fn new(number: u32) -> Result<Self, String> {
        let id = std::process::id() * 2 + number;
        // Link-local addresses, which nobody routes: four for each network.
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

fn clients_that_vanish_are_gone_within_a_minute(driver: Driver) {
    let network = match Network::new(driver as u32) {
        Ok(network) => network,
        Err(why) => {
            assert!(std::env::var("CI").is_err(), "{why}");
            eprintln!("SKIPPED: vanished clients: no network namespace: {why}");
            return;
        }
    };
    let addr = SocketAddr::new(IpAddr::V4(network.addr), 0);
    let hub = Setup::new(driver).env("ADDR", &addr.to_string()).start();
    let token = tokens::publisher(&["*"]);
    let quiet = network.enter(|| Stream::open(hub.addr, "match=quiet", ""));
    let busy = network.enter(|| Stream::open(hub.addr, "match=busy", ""));
    let mut late = network.enter(|| Stream::open(hub.addr, "match=late", ""));
    publish(hub.addr, &token, &[("topic", "late"), ("data", "1")]);
    assert_eq!(late.data(1), ["1"]);
    let here = Stream::open(hub.addr, "match=here", "");
    let left = || connections(hub.pid(), hub.addr.port());
    assert_eq!(left(), 4);

    ip(&format!("-n {} link set {} down", network.namespace, network.inside)).unwrap();
    let begin = Instant::now();
    publish(hub.addr, &token, &[("topic", "busy"), ("data", "into the void")]);
    let mut late_was_published = false;
    while left() > 1 {
        let waited = begin.elapsed();
        assert!(waited < Duration::from_secs(60), "{} are left", left() - 1);
        // Just before the system would have found out by itself: then it starts to count anew.
        if waited > Duration::from_secs(24) && !late_was_published {
            late_was_published = true;
            publish(hub.addr, &token, &[("topic", "late"), ("data", "2")]);
        }
        thread::sleep(Duration::from_millis(200));
    }
    eprintln!("vanished clients were gone after {:?}", begin.elapsed());
    assert!(begin.elapsed() > Duration::from_secs(10), "a short silence is no end");
    drop((quiet, busy, late, here));
}
