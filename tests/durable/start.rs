//! How a history is opened: by one hub at a time, whoever held it before, and not if it is damaged.

use std::{
    fs,
    os::unix::{
        fs::{FileExt, PermissionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    crowd::{Book, Crowd},
    files,
};
use crate::{
    common::{
        client::{Stream, encode, publish, request},
        hub::{Driver, Hub, Setup},
        process::{run_to_end, wait_until},
        tokens,
        tools::Directory,
    },
    on_both_drivers,
};

on_both_drivers!(
    a_clean_end_keeps_everything_and_ids_mean_the_same,
    without_syncs_the_end_of_the_process_alone_loses_nothing,
);

pub(super) fn setup(directory: &Directory) -> Setup {
    Setup::new(Driver::IoUring).durable(&directory.0)
}

pub(super) fn end(mut hub: Hub) {
    hub.signal(libc::SIGTERM);
    assert_eq!(hub.wait().code(), Some(0), "{}", hub.log());
}

fn kill(mut hub: Hub) {
    hub.signal(libc::SIGKILL);
    hub.wait();
}

/// A hub that is not to start; what it says.
fn refusal(setup: Setup) -> String {
    let (code, told) = run_to_end(setup);
    assert_eq!(code, Some(1), "{told}");
    let lines: Vec<_> = told.lines().filter(|line| line.starts_with("petasos: ")).collect();
    assert_eq!(lines.len(), 1, "{told}");
    assert!(!told.contains("panicked"), "{told}");
    lines[0].to_owned()
}

/// Publishes so many updates, and one more. All that is retained, in order.
pub(super) fn fill(hub: &Hub, book: &mut Book, count: usize) -> Vec<usize> {
    let mut crowd = Crowd::new(hub, book);
    crowd.publishers(4);
    crowd.publish_all(count);
    crowd.replay("earliest")
}

#[test]
fn a_second_hub_is_refused_and_told_who_has_it() {
    let directory = Directory::new("second");
    let hub = setup(&directory).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let told = refusal(setup(&directory));
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let holder = format!("process {} on {}", hub.pid(), host.trim());
    let history = files::history(&directory.0);
    for part in [&*holder, history.to_str().unwrap(), "data_dir", "open in another hub"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // The first one is not disturbed.
    let id = publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    assert_eq!(stream.next().unwrap().id, id);
    kill(hub);
    // Nothing is left behind that would have to be believed.
    let hub = setup(&directory).start();
    assert_eq!(Stream::open(hub.addr, "match=a&last_event_id=earliest", "").next().unwrap().id, id);
}

#[test]
fn a_file_of_another_hub_is_left_alone() {
    let directory = Directory::new("bolt");
    let bolt = directory.file("bolt.db", &"not ours".repeat(1000));
    let look = || {
        let meta = fs::metadata(&bolt).unwrap();
        (fs::read(&bolt).unwrap(), meta.modified().unwrap(), meta.permissions().mode())
    };
    fs::set_permissions(&bolt, fs::Permissions::from_mode(0o444)).unwrap();
    let before = look();
    let setup =
        || Setup::new(Driver::IoUring).directive(&format!("transport bolt {{\n path {bolt}\n}}"));
    let hub = setup().start();
    let id = publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    let log = hub.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains("BoltDB")).collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains(&bolt) && lines[0].contains("not read"), "{lines:?}");
    end(hub);
    let ours = format!("{bolt}.petasos");
    assert!(files::names(Path::new(&ours)).contains(&"MANIFEST".to_owned()));
    let hub = setup().start();
    assert_eq!(Stream::open(hub.addr, "match=a&last_event_id=earliest", "").next().unwrap().id, id);
    assert!(look() == before, "not a byte was touched");
}

fn a_clean_end_keeps_everything_and_ids_mean_the_same(driver: Driver) {
    let directory = Directory::new(&format!("clean-{}", driver.name()));
    let setup = || Setup::new(driver).durable(&directory.0);
    let mut book = Book::new(100);
    let hub = setup().start();
    let mut order = fill(&hub, &mut book, 200);
    end(hub);
    for _ in 0..2 {
        let hub = setup().start();
        // Before anything is published.
        let metrics = request(hub.admin(), "GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n").body;
        let retained = format!("\npetasos_history_updates {}\n", order.len());
        assert!(metrics.contains(&retained), "{metrics}");
        let mut crowd = Crowd::new(&hub, &mut book);
        // Ids that publishers gave, and ids that hubs made, this one and those before it.
        for at in [0, 1, 99, 100, order.len() - 2, order.len() - 1] {
            let id = crowd.book.id(order[at]).to_owned();
            let replayed = crowd.replay(&id);
            let last = *replayed.last().unwrap();
            order.push(last);
            assert_eq!(replayed, order[at + 1..], "after {id}");
        }
        drop(crowd);
        assert!(!hub.log().contains("did not end in good order"), "{}", hub.log());
        end(hub);
    }
    // To another history they mean nothing.
    let other = Directory::new(&format!("other-{}", driver.name()));
    let hub = Setup::new(driver).durable(&other.0).start();
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "x")]);
    for number in order {
        let query = format!("match=a&last_event_id={}", encode(book.id(number)));
        let mut stream = Stream::open(hub.addr, &query, "");
        assert_eq!(stream.field("mercure-last-event-id"), Some("earliest"), "{query}");
        assert_eq!(stream.data(1), ["x"]);
    }
}

fn without_syncs_the_end_of_the_process_alone_loses_nothing(driver: Driver) {
    for sync in ["interval+1h", "interval+1ms", "off"] {
        let directory = Directory::new(&format!("unsynced-{}-{sync}", driver.name()));
        let transport = format!("embedded://?sync={sync}");
        let setup =
            || Setup::new(driver).durable(&directory.0).env("MERCURE_TRANSPORT_URL", &transport);
        let mut book = Book::new(2000);
        let hub = setup().start();
        let order = fill(&hub, &mut book, 500);
        kill(hub);
        let hub = setup().start();
        let mut again = Crowd::new(&hub, &mut book).replay("earliest");
        again.pop();
        assert_eq!(again, order, "{sync}");
    }
}

#[test]
fn a_history_is_for_its_owner_alone() {
    let directory = Directory::new("mode");
    let data = directory.0.join("data");
    let hub = Setup::new(Driver::Epoll).durable(&data).start();
    publish(hub.addr, &tokens::publisher(&["*"]), &[("topic", "a"), ("data", "secret")]);
    let history = files::history(&data);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode(&data), mode(&history)], [0o700; 2]);
    for name in files::names(&history) {
        assert_eq!(mode(&history.join(&name)), 0o600, "{name}");
    }
}

#[test]
fn a_place_that_cannot_be_used_is_named() {
    let directory = Directory::new("places");
    let file = directory.file("file", "not a directory");
    let locked = directory.0.join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o500)).unwrap();
    for (data, reason) in [(Path::new(&file), "Not a directory"), (&locked, "Permission denied")] {
        let mut setup = Setup::new(Driver::Epoll).durable(data);
        without_privileges(setup.command());
        let told = refusal(setup);
        assert!(told.contains(files::history(data).to_str().unwrap()), "{told}");
        assert!(told.contains(reason), "{told}");
    }
    assert_eq!(fs::read_to_string(file).unwrap(), "not a directory");
    let data = directory.0.join("other");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("history"), "not a directory").unwrap();
    let told = refusal(Setup::new(Driver::Epoll).durable(&data));
    assert!(told.contains(data.join("history").to_str().unwrap()), "{told}");
    assert_eq!(fs::read_to_string(data.join("history")).unwrap(), "not a directory");
}

/// Permissions count for the child, whoever runs the tests.
fn without_privileges(command: &mut Command) {
    const CAP_DAC_OVERRIDE: libc::c_ulong = 1;
    const CAP_DAC_READ_SEARCH: libc::c_ulong = 2;
    let drop = || {
        for capability in [CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH] {
            // SAFETY: a plain system call. Who may not do it has no privileges to lose.
            unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) };
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(drop) };
}

/// A history of some segments, which ended in good order: 8 MiB and more.
pub(super) fn some_segments(name: &str, book: &mut Book) -> (Directory, Vec<usize>) {
    let directory = Directory::new(name);
    let hub = setup(&directory).start();
    let order = fill(&hub, book, 200);
    end(hub);
    let segments = files::segments(&files::history(&directory.0));
    assert!(segments.len() >= 3, "{segments:?}");
    (directory, order)
}

/// What is done to a history.
pub(super) type Harm = fn(&Path);

pub(super) fn flip(path: &Path, offset: u64) {
    let file = fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 4], offset).unwrap();
}

pub(super) fn segment(history: &Path, nth: usize) -> PathBuf {
    history.join(&files::segments(history)[nth])
}

#[test]
fn a_damaged_history_is_not_opened_and_not_touched() {
    let harms: [(&str, &str, Harm); 9] = [
        ("manifest", "MANIFEST", |history| {
            flip(&history.join("MANIFEST"), 20);
            flip(&history.join("MANIFEST"), 4096 + 20);
        }),
        ("manifest-cut", "MANIFEST", |history| {
            fs::write(history.join("MANIFEST"), "").unwrap();
        }),
        ("manifest-gone", "MANIFEST", |history| {
            fs::remove_file(history.join("MANIFEST")).unwrap();
        }),
        ("first-gone", "0000000000000001.log", |history| {
            fs::remove_file(segment(history, 0)).unwrap();
        }),
        ("second-gone", "0000000000000002.log", |history| {
            fs::remove_file(segment(history, 1)).unwrap();
        }),
        ("swapped", "0000000000000001.log", |history| {
            fs::rename(segment(history, 0), history.join("aside")).unwrap();
            fs::rename(segment(history, 1), segment(history, 0)).unwrap();
            fs::rename(history.join("aside"), history.join("0000000000000002.log")).unwrap();
        }),
        ("copied", "0000000000000002.log", |history| {
            fs::copy(segment(history, 0), segment(history, 1)).unwrap();
        }),
        ("flipped", ".log", |history| flip(&written(history), 100_000)),
        ("cut", ".log", |history| {
            let file = fs::File::options().write(true).open(written(history)).unwrap();
            file.set_len(100_000).unwrap();
        }),
    ];
    for (name, file, harm) in harms {
        let (directory, _) = some_segments(&format!("harm-{name}"), &mut Book::new(100_000));
        let history = files::history(&directory.0);
        harm(&history);
        let contents = || {
            let names = files::names(&history).into_iter().filter(|name| name != "LOCK");
            names.map(|name| (fs::read(history.join(&name)).unwrap(), name)).collect::<Vec<_>>()
        };
        let before = contents();
        let told = refusal(setup(&directory));
        // Without the manifest nothing can be read, and nothing be kept by a cut.
        let ways = match file {
            "MANIFEST" => ["from a backup", "move the directory away", "cannot be read"],
            _ => ["petasos fsck --dry-run", "--cut", "is damaged"],
        };
        for part in [file].into_iter().chain(ways) {
            assert!(told.contains(part), "{name}: {told}");
        }
        assert!(contents() == before, "{name}: what is there is left as it is");
    }
}

/// The segment that is written: the last one that begins with a group.
fn written(history: &Path) -> PathBuf {
    let has_group = |path: &PathBuf| {
        let mut byte = [0; 4];
        fs::File::open(path).unwrap().read_exact_at(&mut byte, 64).unwrap();
        byte != [0; 4]
    };
    let mut segments = files::segments(history).into_iter().map(|name| history.join(name));
    segments.rfind(has_group).expect("it is not empty")
}

/// What lies in segments that are full is looked at when it is read.
#[test]
fn damage_in_the_middle_is_never_sent() {
    let mut book = Book::new(100_000);
    let (directory, order) = some_segments("rot", &mut book);
    let first = segment(&files::history(&directory.0), 0);
    flip(&first, 1 << 20);
    let hub = setup(&directory).start();
    let mut crowd = Crowd::new(&hub, &mut book);
    let earliest = crowd.subscribed(Some("earliest"));
    crowd.until("the end of the replay", |crowd| crowd.streams[&earliest].ended);
    let got = crowd.leave(earliest).got;
    assert!(got.len() < order.len() && order.starts_with(&got), "{got:?}");
    hub.wait_for_log("petasos fsck");
    assert!(hub.log().contains(first.file_name().unwrap().to_str().unwrap()), "{}", hub.log());
    // Whoever does not need it has everything.
    let id = crowd.book.id(order[order.len() - 20]).to_owned();
    let replayed = crowd.replay(&id);
    assert_eq!(replayed[..19], order[order.len() - 19..]);
}

/// A kill can come when a segment is full and not yet sealed.
#[test]
fn what_was_full_when_the_hub_was_killed_is_deleted_in_its_time() {
    let directory = Directory::new("full-at-kill");
    let history = files::history(&directory.0);
    let setup = || setup(&directory).env("MERCURE_TRANSPORT_URL", "embedded://?max_bytes=1MiB");
    let mut book = Book::new(100_000);
    let is_preparing = || files::names(&history).iter().any(|name| name.ends_with(".new"));
    let hub = loop {
        let hub = setup().start();
        wait_until("a segment to come", || files::segments(&history).len() > 1);
        let mut crowd = Crowd::new(&hub, &mut book);
        while !is_preparing() {
            crowd.probe();
        }
        kill(hub);
        let hub = setup().start();
        // Else what was not synced was written once more, and everything before it was sealed.
        if !hub.log().contains("did not end in good order") {
            break hub;
        }
        end(hub);
    };
    fill(&hub, &mut book, 800);
    wait_until("room", || files::len(&history) < 20 << 20);
}

/// A hub can end with two segments prepared.
#[test]
fn what_was_prepared_and_not_used_does_not_pile_up() {
    let directory = Directory::new("spares");
    let history = files::history(&directory.0);
    let mut book = Book::new(100_000);
    let hub = setup(&directory).start();
    wait_until("a segment to come", || files::segments(&history).len() == 2);
    // The log takes the next one when this one, of 4 MiB, is nearly full, and a third is prepared.
    let mut crowd = Crowd::new(&hub, &mut book);
    while crowd.book.sent.iter().map(|sent| sent.len).sum::<usize>() < 3_700_000 {
        crowd.probe();
    }
    drop(crowd);
    wait_until("a third segment", || files::segments(&history).len() == 3);
    end(hub);
    let hub = setup(&directory).start();
    fill(&hub, &mut book, 400);
    end(hub);
    let sealed = |name: &String| {
        let bytes = fs::read(history.join(name)).unwrap();
        bytes[bytes.len() - 80..].starts_with(b"petasoss")
    };
    let segments = files::segments(&history);
    let unsealed = segments.iter().skip_while(|name| sealed(name));
    assert!(unsealed.count() <= 3, "{segments:?}");
}
