//! One test for each mistake that was found in the hub, by what a client saw.

use crate::{
    common::{
        client::{Connection, Stream, publication},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(what_is_published_after_the_first_byte_is_received);

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
