//! Ids that publishers use again: accepted, refused, or answered like the first time.

use std::{collections::HashMap, thread, time::Duration};

use petasos::{Hub as Embedded, app::PublishError, client::NewUpdate};

use crate::{
    admin::numbers,
    common::{
        client::{Answer, Connection, Stream, encode, publication_of, try_publish},
        hub::{Driver, Hub, Setup},
        process::wait_until,
        tokens,
    },
    embedding, on_both_drivers,
};

on_both_drivers!(
    they_are_accepted_unless_told_otherwise,
    they_can_be_refused,
    the_first_result_can_be_the_answer,
    an_id_is_free_once_its_update_is_trimmed,
    of_many_at_once_one_is_published,
    the_application_and_clients_share_the_ids,
);

const PUBLISHERS: usize = 24;

/// Data of all updates that are retained, in order.
fn history(addr: std::net::SocketAddr) -> Vec<String> {
    let field = format!("Authorization: Bearer {}\r\n", tokens::subscriber(&["*"]));
    let mut stream = Stream::open(addr, "match=*&last_event_id=earliest", &field);
    let mut data = Vec::new();
    while !stream.is_silent_for(Duration::from_millis(60)) {
        data.extend(stream.next().map(|event| event.data));
    }
    data
}

fn they_are_accepted_unless_told_otherwise(driver: Driver) {
    for setup in [Setup::new(driver), Setup::new(driver).directive("reused_ids accept")] {
        let hub = setup.start();
        for data in ["1", "2"] {
            assert_eq!(try_publish(hub.addr, &format!("topic=a&id=x&data={data}")).body, "x");
        }
        assert_eq!(history(hub.addr), ["1", "2"]);
    }
}

fn assert_refused(answer: &Answer, id: &str) {
    assert_eq!(answer.status, 409, "{answer:?}");
    let detail = answer.detail();
    assert!(detail.contains(&format!("the id `{id}` is that of an update")), "{detail}");
    assert_eq!(answer.field("Retry-After"), None, "{answer:?}");
}

fn they_can_be_refused(driver: Driver) {
    let hub = Setup::new(driver).directive("reused_ids refuse").start();
    let generated = try_publish(hub.addr, "topic=a&data=1").body;
    assert_eq!(try_publish(hub.addr, "topic=a&data=2&id=x+%C3%A9").body, "x \u{e9}");
    assert_eq!(try_publish(hub.addr, "topic=a&data=3&id=secret&private=on").body, "secret");
    for (form, id) in [
        ("topic=a&data=2&id=x+%C3%A9".to_owned(), "x \u{e9}"),
        // Whatever else is in it, and whoever may read the first one.
        ("topic=other&data=other&type=t&retry=7&id=x+%C3%A9&id=y".to_owned(), "x \u{e9}"),
        ("topic=other&id=secret".to_owned(), "secret"),
        (format!("topic=a&id={}", encode(&generated)), &*generated),
    ] {
        assert_refused(&try_publish(hub.addr, &form), id);
    }
    // What is wrong is wrong first; who may not publish learns nothing.
    assert_eq!(try_publish(hub.addr, "topic=*&id=secret").status, 400);
    let form = publication_of(&tokens::publisher(&["other"]), "topic=a&id=secret");
    assert_eq!(Connection::open(hub.addr).send(form).answer().status, 403);
    // Without an id of its own, and with another one, each is new.
    for form in ["topic=a&data=4", "topic=a&data=5&id=", "topic=a&data=6&id=X+%C3%A9"] {
        assert_eq!(try_publish(hub.addr, form).status, 200, "{form}");
    }
    // The connection goes on.
    let mut connection = Connection::open(hub.addr);
    for status in [409, 409] {
        let form = publication_of(&tokens::publisher(&["*"]), "topic=a&id=secret");
        assert_eq!(connection.send(form).answer().status, status);
    }
    assert_eq!(history(hub.addr), ["1", "2", "3", "4", "5", "6"]);
    wait_until("six refusals are counted", || {
        let numbers = numbers(&hub);
        numbers["petasos_refused_total{reason=\"reused_id\"}"] == 6.0
            && numbers["mercure_updates_failed_total"] == 6.0
            && numbers["mercure_updates_total"] == 6.0
    });
}

fn the_first_result_can_be_the_answer(driver: Driver) {
    let hub = Setup::new(driver).directive("reused_ids first").start();
    for form in ["data=1&id=x", "data=2&id=x", "data=3", "data=4&id=y", "data=5&id=y&private"] {
        let answer = try_publish(hub.addr, &format!("topic=a&{form}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        let (_, id) = form.split_once("&id=").unwrap_or(("", "urn:uuid:"));
        assert!(answer.body.starts_with(id.trim_end_matches("&private")), "{answer:?}");
    }
    assert_eq!(history(hub.addr), ["1", "3", "4"]);
    let numbers = numbers(&hub);
    assert_eq!(numbers["mercure_updates_failed_total"], 0.0);
    assert_eq!(numbers["mercure_updates_total"], 3.0);
}

fn an_id_is_free_once_its_update_is_trimmed(driver: Driver) {
    const SIZE: usize = 20;
    let hub = Setup::new(driver)
        .directive("reused_ids refuse")
        .directive(&format!("transport memory {{\n size {SIZE}\n}}"))
        .start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    // Fewer ids than are retained, from many publishers in a hurry; the others fill history.
    let published: usize = thread::scope(|scope| {
        let publishers: Vec<_> = (0..8)
            .map(|publisher| {
                let addr = hub.addr;
                scope.spawn(move || {
                    let token = tokens::publisher(&["*"]);
                    let mut connection = Connection::open(addr);
                    let mut published = 0;
                    for number in 0..300 {
                        let form = match number % 3 {
                            0 => "topic=a&data=none".to_owned(),
                            _ => format!("topic=a&data=x&id={}", (number + publisher) % 7),
                        };
                        let answer = connection.send(publication_of(&token, &form)).answer();
                        assert!([200, 409].contains(&answer.status), "{answer:?}");
                        published += usize::from(answer.status == 200);
                    }
                    published
                })
            })
            .collect();
        publishers.into_iter().map(|publisher| publisher.join().unwrap()).sum()
    });
    let (mut last_uses, mut reused) = (HashMap::new(), 0);
    for position in 0..published {
        let id = stream.next().unwrap().id;
        if let Some(last) = last_uses.insert(id.clone(), position) {
            assert!(position - last > SIZE, "{id} at {last} and {position}");
            reused += 1;
        }
    }
    assert!(reused > 20, "{reused} of {published}");
    assert!(stream.is_silent_for(Duration::from_millis(20)));
}

/// Publishes the ids `0..IDS` on each of many connections, and returns the statuses by id.
fn race(addr: std::net::SocketAddr, publishers: usize, ids: usize) -> HashMap<usize, Vec<u16>> {
    let all: Vec<(usize, u16)> = thread::scope(|scope| {
        let one = |publisher: usize| {
            move || -> Vec<(usize, u16)> {
                let token = tokens::publisher(&["*"]);
                let mut connection = Connection::open(addr);
                let mut publish = |number: usize| {
                    // All are at the same ids, some of them the other way round.
                    let id = if publisher % 4 == 3 { number ^ 1 } else { number };
                    let form = format!("topic=a&id=id-{id}&data={id}");
                    let answer = connection.send(publication_of(&token, &form)).answer();
                    assert!(answer.status != 200 || answer.body == format!("id-{id}"));
                    (id, answer.status)
                };
                (0..ids).map(&mut publish).collect()
            }
        };
        let threads: Vec<_> = (0..publishers).map(|number| scope.spawn(one(number))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut statuses: HashMap<usize, Vec<u16>> = HashMap::new();
    for (id, status) in all {
        statuses.entry(id).or_default().push(status);
    }
    statuses
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|other| **other == status).count()
}

/// Each id once in the history.
fn assert_each_once(hub: &Hub, ids: usize) {
    let mut published: Vec<usize> =
        history(hub.addr).iter().map(|data| data.parse().unwrap()).collect();
    published.sort_unstable();
    assert_eq!(published, (0..ids).collect::<Vec<_>>());
}

fn of_many_at_once_one_is_published(driver: Driver) {
    const IDS: usize = 100;
    let hub = Setup::new(driver).directive("reused_ids refuse").start();
    for (id, statuses) in race(hub.addr, PUBLISHERS, IDS) {
        let expected = (1, PUBLISHERS - 1);
        assert_eq!((count(&statuses, 200), count(&statuses, 409)), expected, "{id}");
    }
    assert_each_once(&hub, IDS);
    let hub = Setup::new(driver).directive("reused_ids first").start();
    for (id, statuses) in race(hub.addr, PUBLISHERS, IDS) {
        assert_eq!(count(&statuses, 200), PUBLISHERS, "{id}");
    }
    assert_each_once(&hub, IDS);
}

fn the_application_and_clients_share_the_ids(driver: Driver) {
    const IDS: usize = 100;
    let hub: Embedded = embedding::builder(driver).setting("reused_ids refuse").start().unwrap();
    let addr = hub.addresses()[0];
    let publish = |id: usize| -> bool {
        let id = format!("id-{id}");
        let update = NewUpdate { id: Some(&id), ..NewUpdate::new(&["a"], "x") };
        match hub.send(update).wait() {
            Ok(published) => {
                assert_eq!(published, id);
                true
            }
            Err(PublishError::ReusedId { id: told }) => {
                assert_eq!(told, id);
                false
            }
            Err(other) => panic!("{other}"),
        }
    };
    let (own, of_clients) = thread::scope(|scope| {
        let threads = [0; 2].map(|_| scope.spawn(|| (0..IDS).map(publish).collect::<Vec<_>>()));
        let of_clients = race(addr, 4, IDS);
        (threads.map(|thread| thread.join().unwrap()), of_clients)
    });
    for id in 0..IDS {
        let own = own.iter().filter(|published| published[id]).count();
        assert_eq!(own + count(&of_clients[&id], 200), 1, "{id}");
    }
    // What the application hands in without waiting keeps its order, with ids and without.
    let mut stream = Stream::open(addr, "match=b", "");
    let handed_in: Vec<_> = (0..50)
        .map(|number: usize| {
            let (id, data) = (format!("b-{number}"), number.to_string());
            let id = number.is_multiple_of(2).then_some(&*id);
            hub.send(NewUpdate { id, ..NewUpdate::new(&["b"], &data) })
        })
        .collect();
    handed_in.into_iter().for_each(|publishing| drop(publishing.wait().unwrap()));
    assert_eq!(stream.data(50), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}
