//! The unit for systemd: systemd understands all of it, and what it forbids the hub does not need.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch,
};

use crate::{
    common::{
        hub::{Driver, Output, Setup},
        tools::{Directory, has_tools},
    },
    drivers::works,
    on_both_drivers,
};

const UNIT: &str = include_str!("../../deploy/petasos.service");

on_both_drivers!(the_hub_needs_nothing_that_is_forbidden);

/// The values that the unit gives a setting, in order.
fn values(name: &str) -> Vec<&'static str> {
    let lines = UNIT.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(other, _)| *other == name).map(|(_, value)| value).collect()
}

fn analyze(args: &[&str]) -> Output {
    Output::of(Command::new("systemd-analyze").args(args).output().unwrap())
}

#[test]
fn systemd_understands_it() {
    if !has_tools(&["systemd-analyze"]) {
        return;
    }
    let directory = Directory::new("unit");
    let verify = |text: &str| {
        // A program that is there.
        let text = text.replace("/usr/bin/petasos", env!("CARGO_BIN_EXE_petasos"));
        let file = directory.file("petasos.service", &text);
        let told = analyze(&["verify", "--man=no", &file]);
        // Units of the machine may have mistakes of their own.
        told.stderr.lines().filter(|line| line.contains("petasos")).map(str::to_owned).collect()
    };
    assert_eq!(verify(UNIT), [""; 0]);
    let wrong: Vec<String> = verify(&UNIT.replace("ProtectSystem", "ProtectsSystem"));
    assert!(wrong.len() == 1 && wrong[0].contains("ProtectsSystem"), "{wrong:?}");
    // Of 100, in which 0 is the best: what a service that listens on ports can have.
    let file = directory.file("petasos.service", UNIT);
    let rated = analyze(&["security", "--offline=yes", "--no-pager", "--threshold=20", &file]);
    assert_eq!(rated.code, Some(0), "{}", rated.stdout);
}

/// The numbers of all system calls, by name, as the C compiler has them.
fn numbers() -> BTreeMap<String, i64> {
    let mut compiler = Command::new("cc");
    let compiler = compiler.args(["-E", "-dM", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = compiler.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"#include <asm/unistd.h>\n").unwrap();
    let text = Output::of(child.wait_with_output().unwrap()).ok();
    let calls = text.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
    calls.filter_map(|(name, number)| Some((name.to_owned(), number.parse().ok()?))).collect()
}

/// The system calls of a group.
fn calls(group: &str) -> BTreeSet<String> {
    let text = analyze(&["syscall-filter", group]).ok();
    let words = text.lines().skip(1).map(str::trim);
    let words = words.filter(|word| !word.is_empty() && !word.starts_with('#'));
    words
        .flat_map(|word| match word.starts_with('@') {
            true => calls(word),
            false => BTreeSet::from([word.to_owned()]),
        })
        .collect()
}

/// Everything that the unit allows; all else kills the process, where systemd only refuses it.
fn filter() -> BpfProgram {
    let mut allowed = BTreeSet::new();
    for value in values("SystemCallFilter") {
        match value.strip_prefix('~') {
            None => allowed.extend(calls(value)),
            Some(group) => {
                let forbidden = calls(group);
                allowed.retain(|call| !forbidden.contains(call));
            }
        }
    }
    assert!(allowed.len() > 200 && !allowed.contains("mount"), "{allowed:?}");
    let numbers = numbers();
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        allowed.iter().filter_map(|call| Some((*numbers.get(call)?, vec![]))).collect();
    let families = values("RestrictAddressFamilies")[0].split(' ').map(|family| match family {
        "AF_UNIX" => libc::AF_UNIX,
        "AF_INET" => libc::AF_INET,
        "AF_INET6" => libc::AF_INET6,
        other => panic!("{other} is not known here"),
    });
    let is_family = |family: i32| {
        let (len, equal) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
        let condition = SeccompCondition::new(0, len, equal, family as u64).unwrap();
        SeccompRule::new(vec![condition]).unwrap()
    };
    rules.insert(numbers["socket"], families.map(is_family).collect());
    let arch: TargetArch = std::env::consts::ARCH.try_into().unwrap();
    let (kill, allow) = (SeccompAction::KillProcess, SeccompAction::Allow);
    SeccompFilter::new(rules, kill, allow, arch).unwrap().try_into().unwrap()
}

fn the_hub_needs_nothing_that_is_forbidden(driver: Driver) {
    if !has_tools(&["systemd-analyze", "cc"]) {
        return;
    }
    assert_eq!(values("MemoryDenyWriteExecute"), ["yes"]);
    let directory = Directory::new(&format!("unit-{}", driver.name()));
    let program = filter();
    let restrict = move || {
        const PR_SET_MDWE: i32 = 65;
        const REFUSE_EXEC_GAIN: u64 = 1;
        // SAFETY: a plain system call. Kernels before 6.3 do not know it.
        unsafe { libc::prctl(PR_SET_MDWE, REFUSE_EXEC_GAIN, 0, 0, 0) };
        seccompiler::apply_filter(&program).map_err(|_| std::io::Error::from_raw_os_error(1))
    };
    // The second one finds a history.
    for _ in 0..2 {
        let mut setup = Setup::new(driver).durable(&directory.0).env("PETASOS_PIN_WORKERS", "1");
        // SAFETY: the closure makes system calls only; the program was compiled before.
        unsafe { setup.command().pre_exec(restrict.clone()) };
        let mut hub = setup.start();
        works(&hub);
        hub.signal(libc::SIGHUP);
        hub.signal(libc::SIGTERM);
        assert_eq!(hub.wait().code(), Some(0), "{}", hub.log());
    }
}
