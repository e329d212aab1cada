//! One test for each mistake that was found in the hub, by what a client saw.

use crate::{
    common::{
        client::{Connection, Stream, publication, publish},
        hub::{Driver, Setup},
        process::{free_addr, limit_open_files},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(
    what_is_published_after_the_first_byte_is_received,
    many_workers_with_few_open_files_serve_many,
    a_killed_hub_starts_again_on_its_port_at_once,
);

/// The first bytes of the answer left the hub before the subscriber was in it: what was published
/// right then was lost.
fn what_is_published_after_the_first_byte_is_received(driver: Driver) {
    let hub = Setup::new(driver).env("PETASOS_WORKERS", "4").start();
    let token = tokens::publisher(&["*"]);
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (token, addr) = (token.clone(), hub.addr);
            std::thread::spawn(move || {
                let mut publisher = Connection::open(addr);
                let topic = format!("t{thread}");
                for number in 0..1000 {
                    let number = number.to_string();
                    let mut stream = Stream::open(addr, &format!("match={topic}"), "");
                    publisher.send(publication(&token, &[("topic", &topic), ("data", &number)]));
                    assert_eq!(publisher.answer().status, 200);
                    assert_eq!(stream.data(1), [number]);
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// Each worker's table was thought to hold the descriptors of all workers: where there were many,
/// one subscriber for each was all that the hub took.
fn many_workers_with_few_open_files_serve_many(driver: Driver) {
    let mut setup = Setup::new(driver).env("PETASOS_WORKERS", "20");
    limit_open_files(setup.command(), 400, 400);
    let hub = setup.start();
    let mut streams: Vec<_> = (0..100).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    for stream in &mut streams {
        assert_eq!(stream.data(1), ["x"]);
    }
}

/// The kernel lets go of a ring's sockets a moment after their process is gone.
fn a_killed_hub_starts_again_on_its_port_at_once(driver: Driver) {
    let addr = free_addr();
    let (mut streams, mut idle) = (Vec::new(), Vec::new());
    for _ in 0..10 {
        let hub = Setup::new(driver).env("ADDR", &addr.to_string()).start();
        // They stay: who leaves first lets the kernel go on sooner.
        streams.extend((0..50).map(|_| Stream::open(addr, "match=a", "")));
        idle.extend((0..20).map(|_| Connection::open(addr)));
        hub.signal(libc::SIGKILL);
        // The next one starts at the very moment at which this one is gone.
        // SAFETY: a plain system call; what it fills in is never read. The child stays waitable.
        unsafe {
            let mut info = std::mem::zeroed();
            let flags = libc::WEXITED | libc::WNOWAIT;
            libc::waitid(libc::P_PID, hub.pid() as libc::id_t, &raw mut info, flags);
        }
    }
}
