//! Where this runs, and so where and how a limit of the kernel is changed.

use super::{Finding, Machine};

/// Where the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Host,
    /// Some limits belong to the container; most belong to its host.
    Container,
}

/// To whom a limit of the kernel belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// To the whole machine.
    Machine,
    /// To a network: a container may have its own.
    Network,
}

/// What runtimes leave in the containers that they make.
const MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];
/// What the control group of the first process is called in a container.
const GROUPS: [&str; 5] = ["docker", "kubepods", "containerd", "libpod", "lxc"];

impl Place {
    pub(super) fn of(machine: &dyn Machine) -> Place {
        let is_marked = MARKS.iter().any(|mark| machine.text(mark).is_some());
        let group = machine.text("/proc/1/cgroup").unwrap_or_default();
        match is_marked || GROUPS.iter().any(|name| group.contains(name)) {
            true => Place::Container,
            false => Place::Host,
        }
    }

    pub(super) fn finding(self) -> Option<Finding> {
        let text = "this is one: what belongs to the host is changed there, and said to be so; \
                    limits on open files and memory are those of the container";
        (self == Place::Container).then(|| Finding::ok("container", text))
    }

    /// How a limit of the kernel is set, now and at the next start.
    pub(super) fn sysctl(self, scope: Scope, name: &str, value: &str) -> Vec<String> {
        let of_machine = format!(
            "echo '{name} = {value}' | sudo tee -a /etc/sysctl.d/60-petasos.conf && \
             sudo sysctl --system"
        );
        match (self, scope) {
            (Place::Host, _) => vec![of_machine],
            (Place::Container, Scope::Machine) => {
                vec![format!("on the host, not in the container: {of_machine}")]
            }
            (Place::Container, Scope::Network) => vec![
                format!("docker run --sysctl '{name}={value}' …"),
                format!("compose.yaml: sysctls: {{ {name}: \"{value}\" }}"),
                format!("with the host's network (--network host), on the host: {of_machine}"),
            ],
        }
    }
}
