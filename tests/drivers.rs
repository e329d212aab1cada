//! Both drivers, and what the system allows: io_uring forbidden, few open files.

use std::{collections::BTreeMap, os::unix::process::CommandExt};

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch};

use crate::{
    common::{
        client::{Stream, publish},
        hub::{Driver, Hub, Setup},
        process::{limit_open_files, memory, run_to_end, wait_until},
        tokens,
    },
    on_both_drivers,
};

on_both_drivers!(the_driver_is_named_at_start, an_idle_hub_sleeps);

/// Everything works: live, resumed, on each of the workers.
pub(crate) fn works(hub: &Hub) {
    let token = tokens::publisher(&["*"]);
    let mut streams: Vec<_> = (0..8).map(|_| Stream::open(hub.addr, "match=a", "")).collect();
    let first = publish(hub.addr, &token, &[("topic", "a"), ("data", "1")]);
    let second = publish(hub.addr, &token, &[("topic", "a"), ("data", "2")]);
    for stream in &mut streams {
        assert_eq!(stream.data(2), ["1", "2"]);
    }
    let mut resumed = Stream::open(hub.addr, "match=a", &format!("Last-Event-ID: {first}\r\n"));
    assert_eq!(resumed.next().unwrap().id, second);
}

fn the_driver_is_named_at_start(driver: Driver) {
    let hub = Setup::new(driver).start();
    hub.wait_for_log("listening on");
    let log = hub.log();
    let line = log.lines().find(|line| line.contains("listening on")).expect("it listens");
    assert!(line.contains(&format!(r#""driver":"{}""#, driver.name())), "{line}");
    assert!(!log.contains("not allowed"), "{log}");
    works(&hub);
}

/// A hub with nothing to do costs nothing.
fn an_idle_hub_sleeps(driver: Driver) {
    let hub = Setup::new(driver).start();
    let mut stream = Stream::open(hub.addr, "match=a", "");
    let token = tokens::publisher(&["*"]);
    publish(hub.addr, &token, &[("topic", "a"), ("data", "1")]);
    assert_eq!(stream.data(1), ["1"]);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", hub.pid())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_secs(2));
    // In hundredths of a second; one that spins takes two hundred.
    assert!(ticks() - before <= 10, "an idle hub used {} ticks", ticks() - before);
}

/// A hub that is refused everything about io_uring with `errno`, as container runtimes do.
fn without_io_uring(driver: &str, errno: i32) -> Setup {
    const SETUP_ENTER_REGISTER: [i64; 3] = [425, 426, 427];
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let rules = SETUP_ENTER_REGISTER.map(|number| (number, vec![])).into_iter().collect();
    let rules: BTreeMap<_, _> = rules;
    let refuse = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refuse, arch).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    let mut setup = Setup::new(Driver::Epoll).env("PETASOS_DRIVER", driver);
    let forbid = move || {
        seccompiler::apply_filter(&program).map_err(|_| std::io::Error::from_raw_os_error(1))
    };
    // SAFETY: the closure makes system calls only; the program was compiled before.
    unsafe { setup.command().pre_exec(forbid) };
    setup
}

#[test]
fn where_io_uring_is_forbidden_the_hub_says_so_once_and_runs_on_epoll() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let hub = without_io_uring("auto", errno).start();
        works(&hub);
        hub.wait_for_log("listening on");
        let log = hub.log();
        assert!(log.contains(r#""driver":"epoll""#), "{log}");
        assert_eq!(log.matches("io_uring is not allowed here").count(), 1, "{log}");
    }
}

#[test]
fn where_io_uring_is_forbidden_and_asked_for_the_start_fails_with_a_remedy() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let (code, log) = run_to_end(without_io_uring("io_uring", errno));
        assert_eq!(code, Some(1), "{log}");
        let told: Vec<_> = log.lines().filter(|line| line.starts_with("petasos: ")).collect();
        assert_eq!(told.len(), 1, "{log}");
        for part in ["io_uring is not allowed here", "--driver epoll", "seccomp"] {
            assert!(told[0].contains(part), "{told:?}");
        }
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[test]
fn the_limit_on_open_files_is_raised_and_a_low_one_is_explained() {
    let mut setup = Setup::new(Driver::Epoll);
    limit_open_files(setup.command(), 100, 5000);
    let hub = setup.start();
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", hub.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[3..5], ["5000", "5000"], "{line}");
    let log = hub.log();
    assert_eq!(log.matches("LimitNOFILE=").count(), 1, "{log}");
    assert!(log.contains(r#""open_files":5000"#), "{log}");
    works(&hub);
}

/// The allocator's huge pages would double it.
#[test]
fn an_idle_hub_is_small() {
    let hub = Setup::new(Driver::IoUring).start();
    works(&hub);
    wait_until("a small hub", || memory(hub.pid()) < 40 << 20);
}
