//! What the kernel keeps for connections: queues, ports, buffers, and what a firewall remembers.

use super::{Asked, Finding, Machine, kernel::number, place::Scope};

pub(super) fn backlog(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    let backlog = u64::from(asked.config.listen.backlog);
    let queue = |name: &'static str, path: &str, what: &str| {
        let value = number(machine, path)?;
        Some(match value < backlog {
            false => Finding::ok(name, format!("{value}, `backlog` is {backlog}")),
            true => {
                let text = format!(
                    "{value}, but `backlog` is {backlog}: {what}; when everybody comes back at \
                     once, connections time out"
                );
                let sysctl = asked.place.sysctl(Scope::Network, name, &backlog.to_string());
                Finding::warn(name, text).fixed_by(sysctl)
            }
        })
    };
    let accepted = queue(
        "net.core.somaxconn",
        "/proc/sys/net/core/somaxconn",
        "no more connections than this may wait to be accepted, for each worker",
    );
    let half_open = queue(
        "net.ipv4.tcp_max_syn_backlog",
        "/proc/sys/net/ipv4/tcp_max_syn_backlog",
        "no more than this may be half open",
    );
    accepted.into_iter().chain(half_open).collect()
}

/// Each connection of a proxy to the hub takes a port of the proxy's machine.
pub(super) fn ports(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "net.ipv4.ip_local_port_range";
    const WIDEST: &str = "1024 65535";
    const WIDEST_COUNT: u64 = 64_512;
    let range = machine.text("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ends = range.split_whitespace().map_while(|end| end.parse::<u64>().ok());
    let Some((first, last)) = ends.next().zip(ends.next()) else { return vec![] };
    let (ports, connections) = ((last + 1).saturating_sub(first), asked.connections);
    let addresses = asked.config.listen.addresses.len().max(1) as u64;
    let text = format!("{first} to {last}: a proxy on this machine has {ports} ports");
    if connections <= ports * addresses {
        let text = format!("{text} for each address of the hub");
        return vec![Finding::ok(CHECK, text)];
    }
    let text = format!(
        "{text} for each address of the hub, and so cannot hold {connections} connections; without \
         a proxy on this machine it does not matter"
    );
    let mut finding = Finding::warn(CHECK, text);
    if ports < WIDEST_COUNT {
        finding = finding.fixed_by(asked.place.sysctl(Scope::Network, CHECK, WIDEST));
    }
    let more = connections.div_ceil(WIDEST_COUNT);
    if more > addresses {
        finding = finding.fixed_by([format!(
            "let the hub listen on {more} addresses of loopback, and name all of them in the \
             proxy: --listen '127.0.0.1:8080 127.0.0.2:8080 …'"
        )]);
    }
    vec![finding]
}

/// Pages that all TCP of the machine may hold. A connection that waits holds none; one that
/// something was sent to holds one until its peer acknowledges.
pub(super) fn buffers(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "net.ipv4.tcp_mem";
    let text = machine.text("/proc/sys/net/ipv4/tcp_mem").unwrap_or_default();
    let Some(max) = text.split_whitespace().nth(2).and_then(|max| max.parse::<u64>().ok()) else {
        return vec![];
    };
    let connections = asked.connections;
    if connections <= max {
        let text = format!("{max} pages at most, a fan-out to {connections} takes up to one each");
        return vec![Finding::ok(CHECK, text)];
    }
    let text = format!(
        "{max} pages at most, but a fan-out to {connections} connections takes up to one each: \
         the kernel then drops what it should send"
    );
    let value = format!("{connections} {} {}", connections * 3 / 2, connections * 2);
    vec![Finding::warn(CHECK, text).fixed_by(asked.place.sysctl(Scope::Machine, CHECK, &value))]
}

pub(super) fn conntrack(machine: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "net.netfilter.nf_conntrack_max";
    let Some(max) = number(machine, "/proc/sys/net/netfilter/nf_conntrack_max") else {
        let text = "connection tracking is not loaded here, so it limits nothing";
        return vec![Finding::ok(CHECK, text)];
    };
    let count = number(machine, "/proc/sys/net/netfilter/nf_conntrack_count").unwrap_or(0);
    let connections = asked.connections;
    // Those that have just gone stay for two minutes: as many again may be on their way back.
    let needed = connections * 2;
    if needed <= max {
        return vec![Finding::ok(CHECK, format!("{max} connections are tracked, {count} now"))];
    }
    let text = format!(
        "{max}, of which {count} are used; {connections} connections that all come back at once \
         need {needed}. Past it the kernel drops packets (\"nf_conntrack: table full\")"
    );
    let value = needed.next_power_of_two().to_string();
    let finding = match connections <= max {
        true => Finding::warn(CHECK, text),
        false => Finding::fail(CHECK, text),
    };
    let port = asked.config.listen.addresses.first().map_or(8080, |address| address.port());
    vec![finding.fixed_by(asked.place.sysctl(Scope::Machine, CHECK, &value)).fixed_by([format!(
        "or do not track the hub's: sudo iptables -t raw -A PREROUTING -p tcp --dport {port} -j \
         NOTRACK && sudo iptables -t raw -A OUTPUT -p tcp --sport {port} -j NOTRACK"
    )])]
}
