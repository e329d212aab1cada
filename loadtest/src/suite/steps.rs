//! What is measured: command lines, the servers that take turns, and the figures of the table.

use super::servers::{FLOOR, Kind, PETASOS};

/// One line of the suite.
pub(super) struct Step {
    /// Of its file of results.
    pub(super) name: &'static str,
    /// The first is measured against the second.
    pub(super) servers: [Kind; 2],
    /// The scenario and its options.
    pub(super) words: &'static str,
    pub(super) rounds: usize,
    /// Servers are started anew for each round: what matters is how much they grow.
    pub(super) afresh: bool,
    /// The servers may use every core, beside the load.
    pub(super) on_all_cores: bool,
    /// Only if it is asked for.
    pub(super) is_huge: bool,
    pub(super) figures: &'static [Figure],
}

/// A line of the table.
pub(super) struct Figure {
    pub(super) what: &'static str,
    /// The name of the number in the report.
    pub(super) number: &'static str,
    /// The ratio of the two servers, instead of the first one's own figure.
    pub(super) is_ratio: bool,
    pub(super) target: &'static str,
    pub(super) at_most: Option<f64>,
    pub(super) at_least: Option<f64>,
}

pub(super) const DEFAULT: Step = Step {
    name: "",
    servers: [PETASOS, FLOOR],
    words: "",
    rounds: 5,
    afresh: false,
    on_all_cores: false,
    is_huge: false,
    figures: &[],
};

pub(super) const fn figure(what: &'static str, number: &'static str) -> Figure {
    Figure { what, number, is_ratio: false, target: "", at_most: None, at_least: None }
}

const fn ratio(what: &'static str, number: &'static str) -> Figure {
    Figure { is_ratio: true, ..figure(what, number) }
}

pub(super) const fn at_most(figure: Figure, target: &'static str, most: f64) -> Figure {
    Figure { target, at_most: Some(most), ..figure }
}

const fn at_least(figure: Figure, target: &'static str, least: f64) -> Figure {
    Figure { target, at_least: Some(least), ..figure }
}

/// Threads that hold 100,000 connections where a file table holds 20,000.
const MANY: usize = 6;
pub(super) const PETASOS_MANY: Kind = Kind::Petasos { workers: MANY, driver: "auto" };
pub(super) const FLOOR_MANY: Kind = Kind::Floor { threads: MANY };
/// And 200,000, and a million.
pub(super) const PETASOS_12: Kind = Kind::Petasos { workers: 12, driver: "auto" };
pub(super) const FLOOR_12: Kind = Kind::Floor { threads: 12 };
const PETASOS_60: Kind = Kind::Petasos { workers: 60, driver: "auto" };
const FLOOR_60: Kind = Kind::Floor { threads: 60 };
const PETASOS_2: Kind = Kind::Petasos { workers: 2, driver: "auto" };
const PETASOS_EPOLL: Kind = Kind::Petasos { workers: 1, driver: "epoll" };

pub(super) const CPU: &str = "CPU per delivery";
const CUT: &str = "stalled subscribers that were cut, share";
const PSS: &str = "memory per subscriber (PSS)";
const REACHED: &str = "time until all have an update";

pub(super) const STEPS: &[Step] = &[
    Step {
        name: "fanout-1000",
        words: "fanout --subscribers 1000 --rate 50 --seconds 3",
        figures: &[
            at_most(
                ratio(
                    "CPU per delivery, one update at a time, 1,000 subscribers, to the floor",
                    CPU,
                ),
                "<= 1.10",
                1.10,
            ),
            ratio("p99 from publish to receive there, to the floor", "delivery p99"),
        ],
        ..DEFAULT
    },
    Step {
        name: "fanout-1000-epoll",
        servers: [PETASOS_EPOLL, FLOOR],
        words: "fanout --subscribers 1000 --rate 50 --seconds 3",
        figures: &[at_most(ratio("the same on epoll", CPU), "<= 1.10", 1.10)],
        ..DEFAULT
    },
    Step {
        name: "fanout-1000-nchan",
        servers: [PETASOS, Kind::Nchan],
        words: "fanout --subscribers 1000 --rate 50 --seconds 3",
        figures: &[ratio("the same, to nchan", CPU)],
        ..DEFAULT
    },
    Step {
        name: "fanout-10000",
        words: "fanout --subscribers 10000 --rate 5 --seconds 4",
        figures: &[at_most(
            ratio("CPU per delivery, one at a time, 10,000 subscribers, to the floor", CPU),
            "<= 1.10",
            1.10,
        )],
        ..DEFAULT
    },
    Step {
        name: "waiting-4",
        words: "fanout --subscribers 1000 --burst 4 --seconds 2",
        figures: &[at_most(
            ratio("CPU per delivery, four updates waiting, to the floor", CPU),
            "<= 0.35",
            0.35,
        )],
        ..DEFAULT
    },
    Step {
        name: "saturated",
        words: "fanout --subscribers 1000 --under-way 64 --seconds 2",
        figures: &[
            at_least(
                figure("deliveries a second, 1,000 subscribers, saturated", "deliveries"),
                ">= 1,000,000",
                1e6,
            ),
            figure("CPU per delivery there", CPU),
        ],
        ..DEFAULT
    },
    Step {
        name: "hold-100000",
        servers: [PETASOS_MANY, FLOOR_MANY],
        words: "hold --subscribers 100000 --seconds 1",
        rounds: 3,
        afresh: true,
        figures: &[
            at_most(
                figure("user memory per idle subscriber, 100,000 on one topic", PSS),
                "<= 150 B",
                150.0,
            ),
            at_most(figure("CPU per new subscriber", "CPU per new subscriber"), "<= 40 us", 40.0),
            ratio("the same, to the floor", "CPU per new subscriber"),
        ],
        ..DEFAULT
    },
    Step {
        name: "hold-own-topics",
        servers: [PETASOS_MANY, FLOOR_MANY],
        words: "hold --subscribers 100000 --own-topics --seconds 1",
        rounds: 1,
        figures: &[at_most(
            figure("user memory per idle subscriber, each on a topic of its own", PSS),
            "<= 400 B",
            400.0,
        )],
        ..DEFAULT
    },
    Step {
        name: "hold-200000",
        servers: [PETASOS_12, FLOOR_12],
        words: "hold --subscribers 200000 --seconds 1",
        rounds: 1,
        figures: &[
            figure("200,000 subscribers: memory of each", PSS),
            figure("until a publication has reached all of them", REACHED),
            ratio("the same, to the floor", REACHED),
        ],
        ..DEFAULT
    },
    Step {
        name: "hold-1000000",
        servers: [PETASOS_60, FLOOR_60],
        words: "hold --subscribers 1000000 --seconds 1",
        rounds: 1,
        is_huge: true,
        figures: &[
            figure("1,000,000 subscribers: memory of each", PSS),
            at_most(
                figure("memory of the hub with all of them", "memory in all (PSS)"),
                "<= 500 MB",
                500.0,
            ),
            figure("until a publication has reached all of them", REACHED),
            ratio("the same, to the floor", REACHED),
        ],
        ..DEFAULT
    },
    Step {
        name: "hold-nchan",
        servers: [PETASOS, Kind::Nchan],
        words: "hold --subscribers 10000 --seconds 1",
        rounds: 3,
        afresh: true,
        figures: &[
            ratio("memory of 10,000 subscribers, to nchan", PSS),
            ratio("CPU per new subscriber, to nchan", "CPU per new subscriber"),
        ],
        ..DEFAULT
    },
    Step {
        name: "mixed",
        words: "mixed --subscribers 17000 --rate 3 --seconds 8",
        rounds: 3,
        figures: &[
            at_most(
                figure(
                    "p99 of small topics beside a fan-out to 17,000 on the same worker",
                    "small topics: delivery p99",
                ),
                "<= 5 ms",
                5.0,
            ),
            ratio("the same, to the floor", "small topics: delivery p99"),
        ],
        ..DEFAULT
    },
    Step {
        name: "mixed-100000",
        servers: [PETASOS_MANY, FLOOR_MANY],
        words: "mixed --subscribers 100000 --rate 0.5 --seconds 12",
        rounds: 1,
        figures: &[figure(
            "the same beside 100,000 on six workers that share the core",
            "small topics: delivery p99",
        )],
        ..DEFAULT
    },
    Step {
        name: "publish",
        words: "publish --under-way 1,16,64 --seconds 1.5",
        figures: &[
            at_most(figure("CPU per publish, 64 under way", "64 under way: CPU"), "<= 8 us", 8.0),
            ratio("the same, to the floor", "64 under way: CPU"),
            figure("publishes a second, 64 under way", "64 under way: publications"),
        ],
        ..DEFAULT
    },
    Step {
        name: "publish-nchan",
        servers: [PETASOS, Kind::Nchan],
        words: "publish --under-way 64 --seconds 2",
        figures: &[ratio("CPU per publish, to nchan", "64 under way: CPU")],
        ..DEFAULT
    },
    Step {
        name: "two-workers",
        servers: [PETASOS_2, PETASOS],
        words: "fanout --subscribers 1000 --rate 50 --seconds 3",
        on_all_cores: true,
        figures: &[at_most(
            ratio("CPU per delivery with two workers, to one", CPU),
            "<= 1.10",
            1.10,
        )],
        ..DEFAULT
    },
    Step {
        name: "slow",
        words: "slow --subscribers 900 --data 1000 --seconds 9",
        rounds: 3,
        figures: &[
            at_most(
                figure(
                    "CPU per delivery to the others while a tenth is stalled, to before",
                    "ratio",
                ),
                "<= 1.10",
                1.10,
            ),
            figure("memory per stalled subscriber", "memory per stalled subscriber (PSS)"),
            figure("stalled subscribers that the hub has cut by then, share", CUT),
        ],
        ..DEFAULT
    },
    Step {
        name: "topics",
        words: "topics --subscribers 10000 --topics 10000 --each 1 --rate 150 --seconds 3",
        rounds: 3,
        figures: &[ratio("CPU per delivery, 10,000 topics by Zipf, to the floor", CPU)],
        ..DEFAULT
    },
    Step {
        name: "private",
        servers: [PETASOS, PETASOS_EPOLL],
        words: "private --subscribers 2000 --rate 50 --seconds 3",
        rounds: 3,
        figures: &[
            figure("CPU per delivery of private updates to 1,000 of 2,000", CPU),
            ratio("the same, io_uring to epoll", CPU),
        ],
        ..DEFAULT
    },
    Step {
        name: "replay",
        servers: [PETASOS, PETASOS_EPOLL],
        words: "replay --subscribers 1000 --missed 1000 --seconds 3",
        rounds: 3,
        figures: &[
            figure("updates replayed a second, from memory, to 1,000 who missed 1,000", "replayed"),
            figure("p99 of acknowledgements during that", "acknowledgement during replays p99"),
            figure("the same before", "acknowledgement without replays p99"),
        ],
        ..DEFAULT
    },
    Step {
        name: "durable",
        servers: [Kind::Durable, PETASOS],
        words: "durable --under-way 1,16,64,256 --turns 3 --seconds 1.5 --folder {disk}",
        rounds: 3,
        figures: &[
            figure("durable publishes a second, one under way", "1 under way: publications"),
            figure(
                "the same, to the disk's syncs of such writes",
                "1 under way: groups, to the disk alone",
            ),
            figure("durable publishes a second, 16 under way", "16 under way: publications"),
            at_least(
                figure("durable publishes a second, 64 under way", "64 under way: publications"),
                ">= 50,000",
                50e3,
            ),
            figure("updates of a group there", "64 under way: updates of a group"),
            figure(
                "groups a second, to the disk alone with such writes",
                "64 under way: groups, to the disk alone",
            ),
            at_most(figure("CPU per durable publish there", "64 under way: CPU"), "<= 12 us", 12.0),
            ratio("the same, to a history in memory", "64 under way: CPU"),
            figure("p99 of acknowledgements there", "64 under way: acknowledgement p99"),
            figure("durable publishes a second, 256 under way", "256 under way: publications"),
        ],
        ..DEFAULT
    },
    Step {
        name: "replay-disk-one",
        servers: [Kind::Durable, PETASOS],
        words: "replay --subscribers 1 --missed 200000 --bury 24000000 --seconds 2 --cat \
                --folder {disk}",
        rounds: 3,
        figures: &[
            figure("updates replayed a second from disk, to one who missed 200,000", "replayed"),
            ratio("the same, to a history in memory", "replayed"),
            figure("CPU per replayed update there", "CPU per replayed update"),
            figure(
                "the same, to a bare server that sends those bytes from a file",
                "CPU, to the bare server",
            ),
        ],
        ..DEFAULT
    },
    Step {
        name: "replay-disk-many",
        servers: [Kind::Durable, PETASOS],
        words: "replay --subscribers 1000 --missed 10000 --bury 24000000 --seconds 4 --cat \
                --folder {disk}",
        rounds: 3,
        figures: &[
            figure("updates replayed a second from disk, to 1,000 who missed 10,000", "replayed"),
            ratio("the same, to a history in memory", "replayed"),
            figure("bytes replayed a second there", "bytes replayed"),
            figure(
                "the same, to a bare server that sends them from a file",
                "bytes replayed, to the bare server",
            ),
            figure("CPU per replayed update there", "CPU per replayed update"),
            figure("the same, to that bare server", "CPU, to the bare server"),
            at_most(
                figure(
                    "p99 of acknowledgements during that, to before",
                    "p99 during replays, to without",
                ),
                "<= 1.5",
                1.5,
            ),
        ],
        ..DEFAULT
    },
    Step {
        name: "churn",
        servers: [PETASOS, PETASOS_EPOLL],
        words: "churn --subscribers 5000 --joins 2000 --seconds 3",
        rounds: 3,
        figures: &[figure(
            "CPU per join with a new token and a last event id, 2,000 a second",
            "CPU per join (new token, last event id)",
        )],
        ..DEFAULT
    },
];
