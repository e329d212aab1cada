//! Curves: one thing grows, all else stays. Looked at for cliffs.

use super::{
    servers::{FLOOR, Kind, PETASOS},
    steps::{CPU, DEFAULT, FLOOR_12, FLOOR_MANY, PETASOS_12, PETASOS_MANY, Step},
};
use crate::{
    report::{Report, median, show},
    versus,
};

/// Something that grows.
pub(super) struct Curve {
    pub(super) name: &'static str,
    what: &'static str,
    pub(super) points: &'static [Point],
}

/// One size of it.
pub(super) struct Point {
    at: &'static str,
    servers: [Kind; 2],
    words: &'static str,
    rounds: usize,
}

const fn point(at: &'static str, words: &'static str) -> Point {
    Point { at, servers: [PETASOS, FLOOR], words, rounds: 3 }
}

const fn workers(at: &'static str, workers: usize) -> Point {
    let servers = [Kind::Petasos { workers, driver: "auto" }, PETASOS];
    let words = "fanout --subscribers 4000 --under-way 1 --seconds 1.5";
    Point { servers, ..point(at, words) }
}

const fn many(at: &'static str, servers: [Kind; 2], words: &'static str) -> Point {
    Point { servers, rounds: 1, ..point(at, words) }
}

impl Point {
    pub(super) fn step(&self, curve: &Curve) -> Step {
        let Point { servers, words, rounds, .. } = *self;
        Step { name: curve.name, servers, words, rounds, ..DEFAULT }
    }
}

const PETASOS_3: Kind = Kind::Petasos { workers: 3, driver: "auto" };
const FLOOR_3: Kind = Kind::Floor { threads: 3 };

/// One update is under way at a time: so the load is never more than the server can do.
pub(super) const CURVES: &[Curve] = &[
    Curve {
        name: "curve-subscribers",
        what: "subscribers of one topic",
        points: &[
            point("100", "fanout --subscribers 100 --under-way 1 --seconds 1.5"),
            point("1,000", "fanout --subscribers 1000 --under-way 1 --seconds 1.5"),
            point("3,000", "fanout --subscribers 3000 --under-way 1 --seconds 1.5"),
            point("10,000", "fanout --subscribers 10000 --under-way 1 --seconds 2"),
            point("17,000", "fanout --subscribers 17000 --under-way 1 --seconds 2"),
            many(
                "50,000 on 3 workers",
                [PETASOS_3, FLOOR_3],
                "fanout --subscribers 50000 --under-way 1 --seconds 4",
            ),
            many(
                "100,000 on 6 workers",
                [PETASOS_MANY, FLOOR_MANY],
                "fanout --subscribers 100000 --under-way 1 --seconds 6",
            ),
            many(
                "200,000 on 12 workers",
                [PETASOS_12, FLOOR_12],
                "fanout --subscribers 200000 --under-way 1 --seconds 10",
            ),
        ],
    },
    Curve {
        name: "curve-topics",
        what: "topics of 10,000 subscribers, by Zipf",
        points: &[
            point("1", "topics --topics 1 --each 1 --rate 2 --seconds 2"),
            point("100", "topics --topics 100 --each 1 --rate 30 --seconds 2"),
            point("10,000", "topics --topics 10000 --each 1 --rate 100 --seconds 2"),
            point("100,000", "topics --topics 100000 --each 1 --rate 200 --seconds 2"),
            point("1,000,000", "topics --topics 1000000 --each 1 --rate 200 --seconds 2"),
        ],
    },
    Curve {
        name: "curve-payload",
        what: "bytes of data of an update, 1,000 subscribers",
        points: &[
            point("100", "fanout --under-way 1 --seconds 1.5"),
            point("1,000", "fanout --under-way 1 --seconds 1.5 --data 1000"),
            point("10,000", "fanout --under-way 1 --seconds 1.5 --data 10000"),
            point("30,000", "fanout --under-way 1 --seconds 1.5 --data 30000"),
            point("100,000", "fanout --under-way 1 --seconds 2 --data 100000"),
        ],
    },
    Curve {
        name: "curve-workers",
        what: "workers that share one core, 4,000 subscribers, to one worker",
        points: &[workers("2", 2), workers("4", 4), workers("8", 8), workers("16", 16)],
    },
];

/// The rows of a curve as a table: `points` are what was measured at each size.
pub(super) fn table(curve: &Curve, points: &[Vec<(Report, Report)>]) -> String {
    let mut text = format!(
        "\n| {} | CPU per delivery | the other's | ratio | deliveries a second | p99 \
         | the other's |\n|---|---|---|---|---|---|---|\n",
        curve.what
    );
    for (Point { at, .. }, pairs) in curve.points.iter().zip(points) {
        let of = |pick: &dyn Fn(&(Report, Report)) -> Option<f64>| {
            show(median(&mut pairs.iter().filter_map(pick).collect::<Vec<_>>()))
        };
        let ratio = show(versus::ratio(pairs, CPU).map_or(f64::NAN, |(ratio, ..)| ratio));
        text += &format!(
            "| {at} | {} us | {} us | {ratio} | {} | {} ms | {} ms |\n",
            of(&|(a, _)| a.get(CPU)),
            of(&|(_, b)| b.get(CPU)),
            of(&|(a, _)| a.get("deliveries")),
            of(&|(a, _)| a.get("delivery p99")),
            of(&|(_, b)| b.get("delivery p99")),
        );
    }
    text
}
