//! What streams need besides connections: heartbeats in time, and a clock that tokens agree with.

use std::time::{Duration, SystemTime};

use super::{Asked, Finding, Machine};

/// After how many seconds of silence proxies cut a stream, as they are set up by default. Of
/// HAProxy: what Debian's configuration says.
const PROXIES: &[(&str, u64)] =
    &[("HAProxy", 50), ("Heroku", 55), ("nginx", 60), ("AWS ALB", 60), ("Cloudflare", 100)];
/// How late a heartbeat may come.
const SLACK: u64 = 5;

pub(super) fn heartbeat(_: &dyn Machine, asked: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "heartbeat";
    let heartbeat = asked.config.streams.heartbeat;
    let cuts = |limit: u64| heartbeat.is_none_or(|beat| beat.as_secs() + SLACK > limit);
    let cutting: Vec<_> = PROXIES
        .iter()
        .filter(|(_, limit)| cuts(*limit))
        .map(|(name, limit)| format!("{name} ({limit} s)"))
        .collect();
    let text = match heartbeat {
        Some(beat) => format!("every {} s", beat.as_secs_f64()),
        None => "none".to_owned(),
    };
    if cutting.is_empty() {
        return vec![Finding::ok(
            CHECK,
            format!("{text}, before usual proxies cut silent streams"),
        )];
    }
    let text = format!(
        "{text}: as they are set up by default, these cut silent streams before: {}",
        cutting.join(", ")
    );
    vec![Finding::warn(CHECK, text).fixed_by([
        "--heartbeat 40s",
        "or longer time-outs there: nginx proxy_read_timeout 1h; HAProxy timeout server 1h, \
         timeout client 1h; ALB idle timeout 4000 s",
    ])]
}

/// 2025-01-01: no clock that is right says less.
const EARLIEST: Duration = Duration::from_secs(1_735_689_600);
/// 2100-01-01.
const LATEST: Duration = Duration::from_secs(4_102_444_800);

pub(super) fn clock(machine: &dyn Machine, _: &Asked<'_>) -> Vec<Finding> {
    const CHECK: &str = "clock";
    let since_1970 = machine.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    vec![match (EARLIEST..LATEST).contains(&since_1970) {
        true => Finding::ok(CHECK, "plausible; tokens are checked with it"),
        false => Finding::fail(
            CHECK,
            format!(
                "{} s after 1970, which cannot be: tokens are checked with it, and so all are \
                     expired or not valid yet",
                since_1970.as_secs()
            ),
        )
        .fixed_by(["sudo timedatectl set-ntp true"]),
    }]
}
