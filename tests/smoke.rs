//! The main job: a subscriber holds a stream, a publisher posts, the update arrives.

use crate::{
    common::{
        client::{Stream, publish},
        hub::{Driver, Setup},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(an_update_arrives);

fn an_update_arrives(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let token = tokens::publisher(&["*"]);
    let id = publish(hub.addr, &token, &[("topic", "a"), ("data", "hello")]);
    let event = stream.next().unwrap();
    assert_eq!((event.id, event.data), (id, "hello".to_owned()));
}
