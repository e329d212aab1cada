//! Who may listen where: a port belongs to one hub.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::{linux::net::SocketAddrExt, unix::net},
    thread,
};

use socket2::{Domain, Socket, Type};

use crate::{
    common::{
        client::{Connection, Stream, publish, request},
        hub::{Driver, Hub, Setup},
        process::{free_addr, listeners, run_to_end, wait_until},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    a_port_that_a_hub_serves_stays_its_own,
    a_hub_starts_again_on_its_port_at_once,
    of_two_hubs_that_start_on_a_port_one_wins,
);

fn at(driver: Driver, addr: SocketAddr) -> Setup {
    Setup::new(driver).env("ADDR", &addr.to_string())
}

/// The start fails with one line that names the address and says what to do.
fn is_refused(setup: Setup, addr: SocketAddr) {
    let (code, log) = run_to_end(setup);
    assert_eq!(code, Some(1), "{log}");
    let told: Vec<_> = log.lines().filter(|line| line.starts_with("petasos: ")).collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains(&format!("{addr} is served already")), "{told:?}");
    assert!(told[0].contains("--listen"), "{told:?}");
    assert!(!log.contains("listening on"), "{log}");
}

/// All connections are this hub's: none is shared with another one.
fn owns_its_port(hub: &Hub) {
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<_> = (0..20).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    publish(hub.addr, &token, &[("topic", "a"), ("data", "x")]);
    for stream in &mut streams {
        assert_eq!(stream.data(1), ["x"]);
    }
    assert_eq!(listeners(hub.addr.port()), 2, "one for each worker");
}

fn a_port_that_a_hub_serves_stays_its_own(driver: Driver) {
    let hub = at(driver, free_addr()).start();
    let mut stream = Stream::open(hub.addr, "match=before", "");
    is_refused(at(driver, hub.addr), hub.addr);
    // Also where only one of two addresses is taken: nothing listens on the other then.
    let other = free_addr();
    let both = format!("{other} {}", hub.addr);
    is_refused(Setup::new(driver).env("ADDR", &both), hub.addr);
    assert!(std::net::TcpStream::connect(other).is_err());
    owns_its_port(&hub);
    let token = tokens::publisher(&["*"]);
    publish(hub.addr, &token, &[("topic", "before"), ("data", "still here")]);
    assert_eq!(stream.data(1), ["still here"]);
}

#[test]
fn a_port_that_anybody_else_serves_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    is_refused(at(Driver::IoUring, addr), addr);
    // One that would share it,
    let sharing = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    sharing.set_reuse_port(true).unwrap();
    sharing.set_reuse_address(true).unwrap();
    let addr = free_addr();
    sharing.bind(&addr.into()).unwrap();
    sharing.listen(8).unwrap();
    is_refused(at(Driver::IoUring, addr), addr);
    // and one on all addresses.
    let addr = free_addr();
    let all = TcpListener::bind((Ipv4Addr::UNSPECIFIED, addr.port())).unwrap();
    is_refused(at(Driver::IoUring, addr), addr);
    drop(all);
}

/// Between its look at the port and its listening, a hub holds a lock that others respect.
#[test]
fn a_port_is_refused_while_another_hub_is_starting_on_it() {
    let addr = free_addr();
    let name = net::SocketAddr::from_abstract_name(format!("petasos-listen-{addr}")).unwrap();
    let lock = net::UnixListener::bind_addr(&name).unwrap();
    is_refused(at(Driver::IoUring, addr), addr);
    drop(lock);
    owns_its_port(&at(Driver::IoUring, addr).start());
}

/// What the hub closed itself stays in TIME_WAIT.
fn a_hub_starts_again_on_its_port_at_once(driver: Driver) {
    let addr = free_addr();
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGTERM] {
        let mut hub = at(driver, addr).env("PETASOS_GRACE_PERIOD", "0").start();
        let mut idle = Connection::open(addr);
        let _stream = Stream::open(addr, "match=a", "");
        let answer = request(addr, "GET / HTTP/1.1\r\nHost: hub\r\nConnection: close\r\n\r\n");
        assert_eq!(answer.status, 200);
        hub.signal(signal);
        hub.wait();
        assert!(idle.is_closed());
    }
    owns_its_port(&at(driver, addr).start());
}

fn of_two_hubs_that_start_on_a_port_one_wins(driver: Driver) {
    for round in 0..20 {
        let addr = free_addr();
        let starts = [0, 1].map(|_| thread::spawn(move || at(driver, addr).try_start()));
        let mut hubs = starts.map(|start| start.join().unwrap());
        hubs.sort_by_key(Result::is_err);
        let [winner, loser] = hubs;
        let winner = winner.unwrap_or_else(|log| panic!("nobody wins round {round}: {log}"));
        let log = loser.err().unwrap_or_else(|| panic!("both win round {round}"));
        assert!(log.contains("is served already"), "{log}");
        wait_until("two listeners", || listeners(addr.port()) == 2);
        owns_its_port(&winner);
    }
}
