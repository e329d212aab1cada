//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    report::Report,
    target::{Target, TargetError},
};

/// Measures servers of server-sent events: any Mercure hub, or any pair of URLs to subscribe and
/// to publish. Every subscriber checks that it got every update once, whole, and in order.
///
/// Put the load and the server on cores of their own (`taskset`, `--cores`): they take from each
/// other otherwise. What is compared has to take turns in one run (`--vs`): machines drift.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub(crate) enum Command {
    #[command(flatten)]
    Scenario(ScenarioCommand),
    /// Print two results of the same scenario beside each other
    Compare {
        /// A result, as `--json` writes it
        first: PathBuf,
        /// Another one
        second: PathBuf,
    },
    /// Run the floor: a bare server that sends, and does nothing else
    ///
    /// One `send` for each subscriber and update, no protocol, no history, no authorization.
    /// `GET /sub?TOPIC` subscribes, `POST /pub?TOPIC` publishes. What a hub takes beyond this is
    /// its own.
    Floor(Floor),
    /// Run a bare server that sends a file to everybody who connects and says something
    ///
    /// What a replay takes beyond this is the hub's own; see `replay --cat`.
    Cat(Cat),
    /// Measure what the kernel takes for one send
    ///
    /// By turns: a loop of `send`, a ring of io_uring that submits 256 sends at once, and four
    /// frames in one `sendmsg`.
    Send(Send),
    /// Start servers and measure everything that docs/performance.md tells
    ///
    /// Needs two cores, and some minutes in which the machine does nothing else. Debian's `nginx`
    /// and `libnginx-mod-nchan` are measured too, where they are installed.
    Suite(Suite),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScenarioCommand {
    /// Subscribers that only wait: memory and CPU of each, and one update to all of them
    Hold(WithServer<Hold>),
    /// One topic that everybody subscribes to
    Fanout(WithServer<Fanout>),
    /// Many topics, of which few are popular (Zipf)
    Topics(WithServer<Topics>),
    /// Small topics while a huge one fans out
    Mixed(WithServer<Mixed>),
    /// Private updates, for every other subscriber
    Private(WithServer<Private>),
    /// Everybody comes back at once and wants what it missed
    Replay(WithServer<Replay>),
    /// Subscribers that come and go, each time with a new token and the last event id
    Churn(WithServer<Churn>),
    /// Publications that nobody listens to, with more and more under way
    Publish(WithServer<Publish>),
    /// Publications to a hub that keeps them on a disk, by turns with what the disk does alone
    Durable(WithServer<Durable>),
    /// A share of the subscribers does not read
    Slow(WithServer<Slow>),
}

/// A scenario and its options.
#[derive(Debug, Clone)]
pub(crate) enum Scenario {
    Hold(Hold),
    Fanout(Fanout),
    Topics(Topics),
    Mixed(Mixed),
    Private(Private),
    Replay(Replay),
    Churn(Churn),
    Publish(Publish),
    Durable(Durable),
    Slow(Slow),
}

#[derive(Debug, Args)]
pub(crate) struct WithServer<T: Args> {
    #[command(flatten)]
    pub(crate) server: ServerOptions,
    #[command(flatten)]
    pub(crate) load: Load,
    #[command(flatten)]
    pub(crate) scenario: T,
}

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ServerOptions {
    /// URL of a Mercure hub
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:3000")]
    hub: String,
    /// The key that the hub checks tokens with (HS256)
    #[arg(long, env = "MERCURE_JWT_KEY", hide_env_values = true, default_value = "")]
    key: String,
    /// Speak the 0.x protocol: `topic` instead of `match`, tokens with the `mercure` claim
    #[arg(long)]
    legacy: bool,
    /// Instead of a hub: where to subscribe; `{topic}` stands for the topic
    #[arg(long, value_name = "URL", requires = "publish_url", conflicts_with = "hub")]
    subscribe_url: Option<String>,
    /// Where to publish; `{topic}` stands for the topic, and data is the body
    #[arg(long, value_name = "URL", requires = "subscribe_url")]
    publish_url: Option<String>,
    /// The server's process [default: who listens on the port, on this machine]
    #[arg(long)]
    pid: Option<u32>,
    /// Where the hub shows its numbers, such as http://127.0.0.1:2019/metrics
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Its name in reports
    #[arg(long)]
    name: Option<String>,
    /// A second hub: rounds on both take turns, and ratios are printed
    #[arg(long, value_name = "URL")]
    vs: Option<String>,
    /// The second server's key [default: that of the first]
    #[arg(long, value_name = "KEY")]
    vs_key: Option<String>,
    /// Speak the 0.x protocol to the second hub
    #[arg(long)]
    vs_legacy: bool,
    /// Instead of a second hub: where to subscribe
    #[arg(long, value_name = "URL", requires = "vs_publish_url", conflicts_with = "vs")]
    vs_subscribe_url: Option<String>,
    /// Where to publish at the second server
    #[arg(long, value_name = "URL", requires = "vs_subscribe_url")]
    vs_publish_url: Option<String>,
    /// The second server's process
    #[arg(long, value_name = "PID")]
    vs_pid: Option<u32>,
    /// Where the second hub shows its numbers
    #[arg(long, value_name = "URL")]
    vs_metrics: Option<String>,
    /// The second server's name in reports
    #[arg(long, value_name = "NAME")]
    vs_name: Option<String>,
}

/// A server that was named, and its process if that was named too.
pub(crate) type Named = (Target, Option<u32>);

impl ServerOptions {
    pub(crate) fn first(&self) -> Result<Named, TargetError> {
        let target = match (&self.subscribe_url, &self.publish_url) {
            (Some(subscribe), Some(publish)) => Target::plain(subscribe, publish)?,
            _ => Target::mercure(&self.hub, &self.key, self.legacy)?,
        };
        let target = target.with_counters(self.metrics.as_deref())?;
        Ok((named(target, self.name.as_deref()), self.pid))
    }

    pub(crate) fn second(&self) -> Result<Option<Named>, TargetError> {
        let key = self.vs_key.as_ref().unwrap_or(&self.key);
        let target = match (&self.vs, &self.vs_subscribe_url, &self.vs_publish_url) {
            (Some(hub), ..) => Target::mercure(hub, key, self.vs_legacy)?,
            (_, Some(subscribe), Some(publish)) => Target::plain(subscribe, publish)?,
            _ => return Ok(None),
        };
        let target = target.with_counters(self.vs_metrics.as_deref())?;
        Ok(Some((named(target, self.vs_name.as_deref()), self.vs_pid)))
    }
}

fn named(target: Target, name: Option<&str>) -> Target {
    match name {
        Some(name) => target.named(name),
        None => target,
    }
}

/// Options of every scenario.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Load")]
pub(crate) struct Load {
    /// How long is measured, in each phase
    #[arg(long, default_value_t = 5.0, overrides_with = "seconds")]
    pub(crate) seconds: f64,
    /// Bytes of data of an update, 40 at least
    #[arg(long, default_value_t = 100)]
    pub(crate) data: usize,
    /// New connections a second, at most
    #[arg(long, default_value_t = 20_000.0)]
    pub(crate) ramp: f64,
    /// Threads of subscribers [default: as many as their file tables need]
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Cores of the load, such as 1 or 2,3 [default: all that it may use]
    #[arg(long, value_delimiter = ',')]
    pub(crate) cores: Vec<usize>,
    /// Rounds on each server, with --vs
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Write the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// End with success even if deliveries were not exact
    #[arg(long)]
    pub(crate) allow_inexact: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Hold {
    #[arg(long, default_value_t = 10_000)]
    pub(crate) subscribers: usize,
    /// Each subscribes to a topic of its own, instead of all to one
    #[arg(long)]
    pub(crate) own_topics: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Fanout {
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    #[command(flatten)]
    pub(crate) pace: PaceOptions,
}

/// An open loop unless something else is said.
#[derive(Debug, Clone, Args)]
pub(crate) struct PaceOptions {
    /// Updates a second, whether or not the server keeps up (open loop)
    #[arg(long, default_value_t = 50.0, conflicts_with_all = ["under_way", "burst"])]
    pub(crate) rate: f64,
    /// Connections that publish, in the open loop: more of them help a slow server
    #[arg(long, default_value_t = 4)]
    pub(crate) publishers: usize,
    /// So many updates on their way: as soon as one is acknowledged and everybody has it, the next
    /// is published (closed loop)
    #[arg(long, conflicts_with = "burst")]
    pub(crate) under_way: Option<usize>,
    /// So many updates at once, and the next ones when everybody has them
    #[arg(long)]
    pub(crate) burst: Option<usize>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Topics {
    #[arg(long, default_value_t = 10_000)]
    pub(crate) subscribers: usize,
    #[arg(long, default_value_t = 10_000)]
    pub(crate) topics: usize,
    /// Topics of each subscriber
    #[arg(long, default_value_t = 3)]
    pub(crate) each: usize,
    /// Updates a second
    #[arg(long, default_value_t = 100.0)]
    pub(crate) rate: f64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Mixed {
    /// Subscribers of the huge topic
    #[arg(long, default_value_t = 100_000)]
    pub(crate) subscribers: usize,
    /// Updates of the huge topic, a second
    #[arg(long, default_value_t = 1.0)]
    pub(crate) rate: f64,
    /// Small topics, of three subscribers each
    #[arg(long, default_value_t = 100)]
    pub(crate) small_topics: usize,
    /// Updates of all small topics together, a second
    #[arg(long, default_value_t = 200.0)]
    pub(crate) small_rate: f64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Private {
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Updates a second
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Replay {
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Updates that everybody missed
    #[arg(long, default_value_t = 1_000)]
    pub(crate) missed: u64,
    /// Updates that are published to another topic meanwhile, a second
    #[arg(long, default_value_t = 200.0)]
    pub(crate) rate: f64,
    /// Bytes of other updates that follow the missed ones: a hub that keeps its latest updates in
    /// memory reads from its disk what lies before them
    #[arg(long, default_value_t = 0)]
    pub(crate) bury: usize,
    /// Measure afterwards what a bare server takes that sends as many bytes from a file to as many
    /// peers, on the cores of the hub
    #[arg(long)]
    pub(crate) cat: bool,
    /// A folder on the disk for that file
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Churn {
    #[arg(long, default_value_t = 5_000)]
    pub(crate) subscribers: usize,
    /// Subscribers that leave and come back, a second
    #[arg(long, default_value_t = 2_000.0)]
    pub(crate) joins: f64,
    /// Updates a second, to all
    #[arg(long, default_value_t = 2.0)]
    pub(crate) rate: f64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Publish {
    /// Publications under way, one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 4, 16, 64, 256])]
    pub(crate) under_way: Vec<usize>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Durable {
    /// Publications under way, one after the other
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16, 64, 256])]
    pub(crate) under_way: Vec<usize>,
    /// Turns of the hub and the disk, for each
    #[arg(long, default_value_t = 3)]
    pub(crate) turns: usize,
    /// A folder on the disk that the hub keeps its history on
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub(crate) folder: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Slow {
    /// Subscribers that read
    #[arg(long, default_value_t = 900)]
    pub(crate) subscribers: usize,
    /// Subscribers that do not, as a share of those that do
    #[arg(long, default_value_t = 0.111)]
    pub(crate) share: f64,
    /// Updates a second
    #[arg(long, default_value_t = 50.0)]
    pub(crate) rate: f64,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Floor {
    #[arg(long, default_value = "127.0.0.1:4000", value_name = "ADDR")]
    pub(crate) listen: std::net::SocketAddr,
    /// Threads, each with a file table of its own
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: usize,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Cat {
    #[arg(long, default_value = "127.0.0.1:4000", value_name = "ADDR")]
    pub(crate) listen: std::net::SocketAddr,
    #[arg(long)]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Send {
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Bytes of a frame
    #[arg(long, default_value_t = 169)]
    pub(crate) frame: usize,
    #[arg(long, default_value_t = 100)]
    pub(crate) rounds: usize,
    /// Write the result to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

impl Default for Send {
    fn default() -> Self {
        Send { subscribers: 1_000, frame: 169, rounds: 100, json: None }
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Suite {
    /// The hub's binary
    #[arg(long, value_name = "FILE", default_value = "target/release/petasos")]
    pub(crate) hub: PathBuf,
    /// Folder of the results
    #[arg(long, value_name = "FOLDER", default_value = "docs/performance")]
    pub(crate) out: PathBuf,
    /// Only steps whose names contain one of these
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Folder for the histories of hubs that keep them: on the disk that is measured
    #[arg(long, value_name = "FOLDER", default_value = "target")]
    pub(crate) disk: PathBuf,
    /// Updates in the history that a hub is started with
    #[arg(long, value_name = "COUNT", default_value_t = 1_000_000)]
    pub(crate) history: u64,
    /// A million subscribers too, of the hub and of the floor: needs 10 GB of memory, and takes
    /// some five minutes
    #[arg(long)]
    pub(crate) million: bool,
    /// One short round of each: to see that all of it works
    #[arg(long)]
    pub(crate) quick: bool,
}

impl ScenarioCommand {
    pub(crate) fn parts(self) -> (ServerOptions, Load, Scenario) {
        macro_rules! parts {
            ($($name:ident),*) => {
                match self {
                    $(ScenarioCommand::$name(WithServer { server, load, scenario }) => {
                        (server, load, Scenario::$name(scenario))
                    })*
                }
            };
        }
        parts!(Hold, Fanout, Topics, Mixed, Private, Replay, Churn, Publish, Durable, Slow)
    }
}

impl Scenario {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Scenario::Hold(_) => "hold",
            Scenario::Fanout(_) => "fanout",
            Scenario::Topics(_) => "topics",
            Scenario::Mixed(_) => "mixed",
            Scenario::Private(_) => "private",
            Scenario::Replay(_) => "replay",
            Scenario::Churn(_) => "churn",
            Scenario::Publish(_) => "publish",
            Scenario::Durable(_) => "durable",
            Scenario::Slow(_) => "slow",
        }
    }

    /// Notes what the run was made with.
    pub(crate) fn describe(&self, report: &mut Report) {
        match self {
            Scenario::Hold(Hold { subscribers, own_topics }) => {
                report.setting("subscribers", subscribers);
                report.setting("topics", if *own_topics { subscribers } else { &1 });
            }
            Scenario::Fanout(Fanout { subscribers, pace }) => {
                report.setting("subscribers", subscribers);
                match (pace.burst, pace.under_way) {
                    (Some(size), _) => report.setting("bursts of", size),
                    (_, Some(count)) => report.setting("under way", count),
                    _ => report.setting("updates/s", pace.rate),
                }
            }
            Scenario::Topics(Topics { subscribers, topics, each, rate }) => {
                report.setting("subscribers", subscribers);
                report.setting("topics", topics);
                report.setting("topics each", each);
                report.setting("updates/s", rate);
            }
            Scenario::Mixed(Mixed { subscribers, rate, small_topics, small_rate }) => {
                report.setting("subscribers of the huge topic", subscribers);
                report.setting("huge updates/s", rate);
                report.setting("small topics", small_topics);
                report.setting("small updates/s", small_rate);
            }
            Scenario::Private(Private { subscribers, rate }) => {
                report.setting("subscribers", subscribers);
                report.setting("updates/s", rate);
            }
            Scenario::Replay(Replay { subscribers, missed, rate, bury, .. }) => {
                report.setting("subscribers", subscribers);
                report.setting("missed updates", missed);
                report.setting("updates/s meanwhile", rate);
                report.setting("bytes of updates after these", bury);
            }
            Scenario::Churn(Churn { subscribers, joins, rate }) => {
                report.setting("subscribers", subscribers);
                report.setting("joins/s", joins);
                report.setting("updates/s", rate);
            }
            Scenario::Publish(Publish { under_way }) => {
                report.setting("under way", format!("{under_way:?}"));
            }
            Scenario::Durable(Durable { under_way, turns, .. }) => {
                report.setting("under way", format!("{under_way:?}"));
                report.setting("turns", turns);
            }
            Scenario::Slow(Slow { subscribers, share, rate }) => {
                report.setting("subscribers", subscribers);
                report.setting("stalled share", share);
                report.setting("updates/s", rate);
            }
        }
    }
}
