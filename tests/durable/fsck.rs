//! `petasos fsck`, as it is given to people whose hub does not start.

use std::{fs, path::Path};

use super::{
    crowd::{Book, Crowd},
    files,
    start::{Harm, end, fill, flip, segment, setup, some_segments},
};
use crate::common::{client::Stream, hub::Setup, process::run_to_end, tools::Directory};

/// What it says, and whether it found everything in order.
fn fsck(directory: &Directory, way: &[&str]) -> (bool, String) {
    let setup = Setup::bare().durable(&directory.0).arg("fsck");
    let setup = way.iter().fold(setup, |setup, way| setup.arg(way));
    let (code, told) = run_to_end(setup);
    assert!(matches!(code, Some(0..=2)) && !told.contains("panicked"), "{code:?} {told}");
    (code == Some(0), told)
}

fn contents(history: &Path) -> Vec<(String, Vec<u8>)> {
    let names = files::names(history).into_iter().filter(|name| name != "LOCK");
    names.map(|name| (name.clone(), fs::read(history.join(name)).unwrap())).collect()
}

#[test]
fn a_whole_history_is_said_to_be_whole_and_left_as_it_is() {
    let mut book = Book::new(1_000);
    let directory = Directory::new("fsck-whole");
    let hub = setup(&directory).start();
    let order = fill(&hub, &mut book, 100);
    let (is_whole, told) = fsck(&directory, &[]);
    assert!(!is_whole && told.contains("open in another hub"), "while the hub runs: {told}");
    end(hub);
    let before = contents(&files::history(&directory.0));
    for way in [&[][..], &["--dry-run"], &["--cut"]] {
        let (is_whole, told) = fsck(&directory, way);
        let count = order.len();
        let stretch = format!("is whole: {count} updates, 1 to {count}");
        assert!(is_whole && told.contains(&stretch), "{way:?}: {told}");
        assert!(contents(&files::history(&directory.0)) == before, "{way:?}");
    }
    let (is_whole, told) = fsck(&directory, &["--cut", "--dry-run"]);
    assert!(!is_whole && told.contains("--dry-run"), "{told}");
}

#[test]
fn a_cut_keeps_the_newest_that_follow_each_other_and_the_hub_goes_on() {
    // What is done to the second segment, and what is said of it.
    let harms: [(&str, &str, Harm); 3] = [
        ("gone", "it is missing", |path| fs::remove_file(path).unwrap()),
        ("flipped", "is no group", |path| flip(path, 1 << 20)),
        ("cut", "cut short", |path| {
            fs::File::options().write(true).open(path).unwrap().set_len(1 << 20).unwrap();
        }),
    ];
    for (name, reason, harm) in harms {
        let mut book = Book::new(100_000);
        let (directory, order) = some_segments(&format!("fsck-{name}"), &mut book);
        let history = files::history(&directory.0);
        let second = segment(&history, 1);
        harm(&second);
        let before = contents(&history);
        let (is_whole, advice) = fsck(&directory, &["--dry-run"]);
        let file = second.file_name().unwrap().to_str().unwrap();
        assert!(!is_whole && advice.contains(file), "{name}: {advice}");
        assert!(advice.contains(reason), "{name}: {advice}");
        assert!(contents(&history) == before, "{name}: nothing is changed");

        let (is_done, told) = fsck(&directory, &["--cut"]);
        assert!(is_done && told.contains(".dropped"), "{name}: {told}");
        // What was said beforehand is what was done.
        let words = advice.split_once("--cut keeps ").unwrap().1;
        let stretch = words.split_once(", the newest").unwrap().0;
        assert!(told.contains(&format!("kept: {stretch}")), "{name}: {advice} {told}");
        let (is_whole, told) = fsck(&directory, &[]);
        assert!(is_whole && told.contains(&format!("is whole: {stretch}")), "{name}: {told}");

        let hub = setup(&directory).start();
        let mut crowd = Crowd::new(&hub, &mut book);
        let mut kept = crowd.replay("earliest");
        let probe = kept.pop().unwrap();
        assert!(!kept.is_empty() && kept.len() < order.len(), "{name}: {}", kept.len());
        assert!(order.ends_with(&kept), "{name}: the newest, without a gap");
        let count: usize = stretch.split(' ').next().unwrap().parse().unwrap();
        assert_eq!(kept.len(), count, "{name}: {stretch}");
        // Whoever has the id of a dropped one is sent all that there is, and told so.
        let id = crowd.book.id(order[0]).to_owned();
        kept.push(probe);
        let again = crowd.replay(&id);
        assert_eq!(again[..again.len() - 1], kept, "{name}");
        drop(crowd);
        let query = format!("match=a&last_event_id={id}");
        let stream = Stream::open(hub.addr, &query, "");
        assert_eq!(stream.field("mercure-last-event-id"), Some("earliest"), "{name}");
    }
}
