//! Disks that are full or fail: what was not kept is not acknowledged, publishers are told to come
//! again, subscribers do not notice.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{
    crowd::{Book, Crowd, Outcome},
    mount::{self, Mount},
};
use crate::common::{
    client::{Answer, request},
    hub::{Driver, Hub, PATIENCE, Setup},
    process::{run_to_end, wait_until},
};

/// Room for some segments of 4 MiB, the smallest.
const LEN: u64 = 48 << 20;

#[test]
fn a_full_tmpfs_stops_publishers_until_there_is_room() {
    if mount::can_mount() {
        full(Driver::Epoll, &Mount::tmpfs("full-tmpfs", LEN), 3000);
    }
}

#[test]
fn a_full_ext4_stops_publishers_until_there_is_room() {
    if mount::can_mount() {
        full(Driver::IoUring, &Mount::ext4("full-ext4", 2 * LEN), 3000);
    }
}

/// An update that is larger than what is left of the segment meets the full disk itself.
#[test]
fn a_full_disk_stops_publishers_of_large_updates_until_there_is_room() {
    if mount::can_mount() {
        full(Driver::Epoll, &Mount::tmpfs("full-large", 4 * LEN), 1_000_000);
    }
}

/// The hub tries again twice in this time.
const TWO_PERIODS: Duration = Duration::from_secs(2);

fn setup(driver: Driver, mount: &Mount) -> Setup {
    // Whoever reads late is not cut: the test has other things to do meanwhile.
    Setup::new(driver)
        .durable(mount.path())
        .directive("publish_wait 100ms")
        .directive("subscriber_buffer 1GiB")
        .directive("outbox_budget 1GiB")
        .directive("dispatch_timeout 0")
}

fn readiness(hub: &Hub) -> Answer {
    request(hub.admin(), "GET /mercure/health/ready HTTP/1.1\r\nHost: admin\r\n\r\n")
}

/// Waits until the hub is not ready, for this reason.
fn wait_for_obstacle(hub: &Hub, reason: &str) {
    wait_until(reason, || {
        let answer = readiness(hub);
        answer.status == 503 && answer.body.contains(reason)
    });
}

fn full(driver: Driver, mount: &Mount, padding: usize) {
    let mut hub = setup(driver, mount).start();
    let mut book = Book::new(padding);
    let mut crowd = Crowd::new(&hub, &mut book);
    let live = crowd.subscribed(Some("earliest"));
    crowd.publishers(4);
    crowd.publish(usize::MAX);
    for _ in 0..3 {
        // Until it is told, since segments that are not retained, or were not made, leave room.
        let begin = Instant::now();
        while crowd.refusals.len() < 4 {
            mount.fill();
            crowd.turn();
            assert!(begin.elapsed() < PATIENCE, "nobody is refused");
        }
        wait_for_obstacle(&hub, "there is no room for more history: is the disk full?");
        crowd.stop();
        for head in crowd.refusals.drain(..) {
            assert!(head.contains("Retry-After: "), "{head}");
        }
        assert_everybody_has_everything(&mut crowd);
        assert_others_have_what_is_left(mount);

        mount.empty();
        wait_until("a hub that is ready", || readiness(&hub).status == 200);
        let acknowledged = crowd.book.count(Outcome::Acknowledged);
        crowd.publish(usize::MAX);
        crowd.until("publishing goes on", |crowd| {
            crowd.book.count(Outcome::Acknowledged) >= acknowledged + 20
        });
    }
    crowd.stop();
    let order = assert_everybody_has_everything(&mut crowd);
    assert_eq!(crowd.streams[&live].got, order, "it was never disturbed");
    drop(crowd);
    hub.signal(libc::SIGTERM);
    assert_eq!(hub.wait().code(), Some(0), "{}", hub.log());
    let hub = setup(driver, mount).start();
    let mut again = Crowd::new(&hub, &mut book).replay("earliest");
    again.pop();
    assert_eq!(again, order);
}

/// A hub that waits for room does not take, even for a moment, what is too little for it.
fn assert_others_have_what_is_left(mount: &Mount) {
    let left = 2 << 20;
    mount.leave(left);
    let begin = Instant::now();
    while begin.elapsed() < TWO_PERIODS {
        let room = mount.room();
        assert!(room > left / 2, "{room}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_hub_that_was_killed_while_the_disk_was_full_serves_what_it_has() {
    if !mount::can_mount() {
        return;
    }
    let mount = Mount::tmpfs("full-at-start", LEN);
    let hub = setup(Driver::IoUring, &mount).start();
    let mut book = Book::new(3000);
    let mut crowd = Crowd::new(&hub, &mut book);
    crowd.publishers(4);
    crowd.publish(usize::MAX);
    while crowd.refusals.len() < 4 {
        mount.fill();
        crowd.turn();
    }
    hub.signal(libc::SIGKILL);
    crowd.until_all_ended();
    drop(crowd);
    let hub = setup(Driver::IoUring, &mount).start();
    wait_for_obstacle(&hub, "there is no room for more history: is the disk full?");
    let mut crowd = Crowd::new(&hub, &mut book);
    let newcomer = crowd.subscribed(Some("earliest"));
    let count = crowd.book.count(Outcome::Acknowledged);
    crowd.until("a replay", |crowd| crowd.streams[&newcomer].got.len() >= count);
    mount.empty();
    wait_until("a hub that is ready", || readiness(&hub).status == 200);
    let probe = crowd.probe();
    crowd.until("the probe", |crowd| crowd.streams[&newcomer].got.ends_with(&[probe]));
    let got = crowd.leave(newcomer).got;
    let mut sorted = got.clone();
    sorted.sort_unstable();
    sorted.dedup();
    assert_eq!(sorted.len(), got.len(), "once");
    for number in crowd.book.all(Outcome::Acknowledged) {
        assert!(sorted.binary_search(&number).is_ok(), "{number} is lost");
    }
}

#[test]
fn no_history_can_be_begun_on_a_full_disk_and_that_is_said() {
    if !mount::can_mount() {
        return;
    }
    let mount = Mount::tmpfs("full-begin", LEN);
    mount.fill();
    let (code, told) = run_to_end(setup(Driver::IoUring, &mount));
    assert_eq!(code, Some(1), "{told}");
    for part in ["the disk is full", "Make room", mount.path().to_str().unwrap()] {
        assert!(told.contains(part), "{part}: {told}");
    }
    mount.empty();
    drop(setup(Driver::IoUring, &mount).start());
}

/// Those who are there, and who comes now, have all that was acknowledged, once, and nothing else.
/// The numbers, in order.
fn assert_everybody_has_everything(crowd: &mut Crowd<'_>) -> Vec<usize> {
    let newcomer = crowd.subscribed(Some("earliest"));
    let count = crowd.book.count(Outcome::Acknowledged);
    crowd.until("a replay", |crowd| {
        crowd.streams.values().all(|stream| stream.ended || stream.got.len() >= count)
    });
    assert!(crowd.streams.values().all(|stream| !stream.ended));
    let order = crowd.leave(newcomer).got;
    let mut sorted = order.clone();
    sorted.sort_unstable();
    assert!(sorted.into_iter().eq(crowd.book.all(Outcome::Acknowledged)), "everything, once");
    order
}

#[test]
fn a_disk_that_fails_takes_no_more_updates_until_a_restart() {
    if mount::can_mount() {
        let mount = Mount::ext4("read-only", LEN);
        read_only(Driver::IoUring, &mount);
        read_only(Driver::Epoll, &mount);
    }
}

fn read_only(driver: Driver, mount: &Mount) {
    let data = mount.path().join(driver.name());
    let setup = || Setup::new(driver).durable(&data).directive("publish_wait 100ms");
    let mut book = Book::new(1000);
    let mut hub = setup().start();
    let mut crowd = Crowd::new(&hub, &mut book);
    let live = crowd.subscribed(Some("earliest"));
    crowd.publishers(8);
    crowd.publish(usize::MAX);
    crowd.until("updates", |crowd| crowd.book.sent.len() >= 1000);
    mount.set_read_only();
    crowd.until("refusals", |crowd| !crowd.refusals.is_empty());
    wait_for_obstacle(&hub, "takes no more updates until it is restarted");
    let obstacle = readiness(&hub).body;
    assert!(obstacle.contains("writing the history failed: "), "{obstacle}");
    crowd.stop();
    let refused = crowd.refusals.len();
    let acknowledged = crowd.book.count(Outcome::Acknowledged);
    crowd.publish_all(50);
    assert_eq!(crowd.refusals.len(), refused + 50, "nothing is taken any more");
    assert!(crowd.refusals.iter().all(|head| head.contains("Retry-After: ")));
    let newcomer = crowd.subscribed(Some("earliest"));
    crowd.until("a replay", |crowd| crowd.streams[&newcomer].got.len() == acknowledged);
    let order = crowd.leave(newcomer).got;
    assert_eq!(crowd.streams[&live].got, order);
    assert!(!crowd.streams[&live].ended);
    drop(crowd);

    hub.signal(libc::SIGTERM);
    hub.wait();
    mount.mount_again();
    // What was refused may have been kept: only its answer was lost.
    book.sent.iter_mut().for_each(|sent| {
        if sent.outcome == Outcome::Refused {
            sent.outcome = Outcome::Open;
        }
    });
    let hub = setup().start();
    let again = Crowd::new(&hub, &mut book).replay("earliest");
    assert_eq!(again[..order.len()], order);
}
