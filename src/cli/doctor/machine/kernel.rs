//! The kernel, what it lets workers use, and how much of the processor they get.

use super::{
    Asked, Finding, Machine,
    memory::of_groups,
    place::{Place, Scope},
};
use crate::worker::Driver;

/// The first with all that the runtime wants of `io_uring`.
const VERSION_IO_URING: (u64, u64) = (5, 6);

/// The number in a file that holds nothing else.
pub(super) fn number(machine: &dyn Machine, path: &str) -> Option<u64> {
    machine.text(path)?.trim().parse().ok()
}

pub(super) fn version(machine: &dyn Machine, _: &Asked<'_>) -> Vec<Finding> {
    let Some(release) = machine.text("/proc/sys/kernel/osrelease") else {
        return vec![Finding::skip("kernel", "/proc/sys is not there to be read")];
    };
    let release = release.trim();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse().ok());
    let version = numbers.next().zip(numbers.next()).unwrap_or_default();
    vec![match version >= VERSION_IO_URING {
        true => Finding::ok("kernel", format!("Linux {release}")),
        false => Finding::warn(
            "kernel",
            format!("Linux {release}; io_uring, which workers run on best, needs 5.6 or newer"),
        )
        .fixed_by(["boot a kernel of your distribution that is 5.10 or newer"]),
    }]
}

pub(super) fn io_uring(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "io_uring";
    let driver = asked.config.workers.driver;
    let reason = match (machine.io_uring(), driver) {
        (Ok(()), Driver::Epoll) => {
            let text = "allowed here, but the settings say epoll, which costs a little more CPU \
                        for each delivery";
            return vec![Finding::ok(CHECK, text)];
        }
        (Ok(()), _) => return vec![Finding::ok(CHECK, "allowed here")],
        (Err(_), Driver::Epoll) => {
            return vec![Finding::ok(CHECK, "not allowed here, and not asked for (driver epoll)")];
        }
        (Err(reason), _) => reason,
    };
    let mut fixes = Vec::new();
    let disabled = number(machine, "/proc/sys/kernel/io_uring_disabled").unwrap_or(0);
    if disabled > 0 {
        fixes.extend(asked.place.sysctl(Scope::Machine, "kernel.io_uring_disabled", "0"));
    }
    let is_container = asked.place == Place::Container;
    if disabled == 0 && is_container {
        fixes.push(
            "docker run --security-opt seccomp=PROFILE.json with a profile that allows \
             io_uring_setup, io_uring_enter and io_uring_register (the default one forbids them)"
                .to_owned(),
        );
    }
    if disabled == 0 && !is_container {
        fixes.push("systemd unit: SystemCallFilter=@system-service @aio".to_owned());
        fixes.push("systemd unit: LimitMEMLOCK=infinity (kernels before 5.12)".to_owned());
    }
    let finding = match driver {
        Driver::IoUring => Finding::fail(
            CHECK,
            format!(
                "not allowed here ({reason}), but the settings say `driver io_uring`: the hub \
                     does not start"
            ),
        )
        .fixed_by(["--driver auto"]),
        _ => Finding::warn(
            CHECK,
            format!(
                "not allowed here ({reason}): workers run on epoll, which works as well but \
                     takes a little more CPU for each delivery"
            ),
        ),
    };
    vec![finding.fixed_by(fixes)]
}

pub(super) fn cpu(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "cpu";
    let (workers, cores) = (asked.workers, machine.cores());
    let quota = of_groups(machine, "cpu", "cpu.max", quota_v2);
    let first = of_groups(machine, "cpu", "cpu.cfs_quota_us", |quota| quota.trim().parse().ok());
    let period =
        of_groups(machine, "cpu", "cpu.cfs_period_us", |period| period.trim().parse().ok());
    let quota_v1 = first.zip(period).map(|(quota, period): (f64, f64)| quota / period.max(1.0));
    let quota = quota.or(quota_v1.filter(|quota| *quota > 0.0));
    let usable = quota.map_or(cores, |quota| (quota.ceil() as u64).clamp(1, cores.max(1)));
    let told = match quota {
        Some(quota) => format!("{cores} cores, of which the control group allows {quota:.1}"),
        None => format!("{cores} cores"),
    };
    if workers > usable {
        let text = format!(
            "{workers} workers, but {told}: workers that share a core, or wait for their quota, \
             hold up each other's subscribers"
        );
        return vec![Finding::warn(CHECK, text).fixed_by([
            format!("--workers {usable}"),
            format!("docker run --cpus {workers} …, or systemd unit: CPUQuota={}%", workers * 100),
        ])];
    }
    vec![Finding::ok(CHECK, format!("{workers} workers, {told}"))]
}

/// Cores of `cpu.max`: a quota and its period, in microseconds.
fn quota_v2(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    let (quota, period): (f64, f64) = (quota.parse().ok()?, period.parse().ok()?);
    (period > 0.0).then(|| quota / period)
}
