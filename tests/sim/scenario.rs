//! What one schedule is made of: sizes, limits and habits, all drawn from the seed. Everything is
//! tiny, so that every limit is met all the time.

use std::time::Duration;

use petasos::{
    hub::Limits,
    log::{
        exchange::Capacities,
        history::{ReadBudget, UnknownId},
        memory::Retention,
        reused::ReusedIds,
        sequence::LagLimits,
    },
    worker::pump::PumpLimits,
};

use super::rng::Rng;

#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) workers: usize,
    /// The application publishes too.
    pub(crate) has_guest: bool,
    pub(crate) capacities: Capacities,
    pub(crate) hub: Limits,
    pub(crate) pump: PumpLimits,
    pub(crate) lag: LagLimits,
    pub(crate) retention: Retention,
    pub(crate) unknown: UnknownId,
    pub(crate) read_budget: ReadBudget,
    /// Ids that the log remembers.
    pub(crate) recent_ids: usize,
    /// The store fails instead of making this many groups durable.
    pub(crate) fails_after: Option<usize>,
    /// One look at the store in this many finds that there is no room any more.
    pub(crate) fills_up_every: Option<usize>,
    /// How long that lasts.
    pub(crate) full_for: u64,
    /// Percentage of reads that fail.
    pub(crate) unreadable: usize,
    /// Things that happen: arrivals, publications, departures.
    pub(crate) actions: usize,
    /// One step in this many is such a thing.
    pub(crate) action_every: usize,
    pub(crate) topics: Vec<&'static str>,
    /// How often each kind of actor gets a step: some are slow in some schedules.
    pub(crate) weights: Weights,
    pub(crate) habits: Habits,
    /// One point in this many inside a turn lets other threads go on meanwhile.
    pub(crate) interlude_every: usize,
    /// Padding of an event's data, at most.
    pub(crate) padding: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Weights {
    pub(crate) workers: [usize; 4],
    pub(crate) log: usize,
    pub(crate) guest: usize,
    pub(crate) readers: usize,
    pub(crate) clients: usize,
}

/// Percentages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) publish: usize,
    pub(crate) private: usize,
    pub(crate) given_id: usize,
    pub(crate) resume: usize,
    pub(crate) wildcard: usize,
    pub(crate) many_matchers: usize,
    /// Matchers that are URL patterns.
    pub(crate) patterns: usize,
    /// Those that are URI templates, as clients of 0.x have them.
    pub(crate) templates: usize,
    pub(crate) with_grants: usize,
    pub(crate) short_lived: usize,
    pub(crate) bad_clients: usize,
    pub(crate) bare: usize,
    pub(crate) random_shorts: usize,
}

impl Scenario {
    pub(crate) fn draw(rng: &mut Rng) -> Self {
        let workers = rng.pick(&[1, 1, 2, 2, 3, 4]);
        let capacities = Capacities {
            inlet: rng.range(1, 4),
            updates: rng.pick(&[1, 1, 2, 3, 4, 64]),
            under_way: rng.range(1, 6),
            reads: rng.range(1, 4),
            searches: rng.range(1, 3),
        };
        let hub = Limits {
            heartbeat: rng.pick(&[None, None, Some(70), Some(150), Some(2_000), Some(10)]).map(ms),
            dispatch_timeout: ms(rng.pick(&[70, 200, 1_000, 5_000])),
            subscriber_buffer: rng.pick(&[150, 400, 1_000, 100_000]),
            outbox_budget: rng.pick(&[600, 2_000, 1_000_000, 1_000_000]),
            batch: rng.pick(&[1, 2, 3, 4, 64]),
            batch_bytes: rng.pick(&[1, 200, 1_000_000]),
            slice: rng.pick(&[1, 1, 2, 3, 16]),
            frames: rng.pick(&[1, 2, 3, 64]),
            timers: rng.pick(&[1, 1, 2, 1024]),
            recent_updates: rng.pick(&[1, 2, 3, 5, 64]),
            recent_bytes: rng.pick(&[300, 1_000, 100_000]),
            recent_piece: rng.pick(&[1, 150, 500, 65_536]),
        };
        let pump = PumpLimits {
            publish_wait: ms(rng.pick(&[0, 1, 20, 500, 5_000])),
            reads: rng.range(1, 4),
            reused_ids: rng.pick(&[
                ReusedIds::Accept,
                ReusedIds::Accept,
                ReusedIds::Refuse,
                ReusedIds::First,
            ]),
        };
        let lag = LagLimits {
            updates: rng.pick(&[1, 2, 4, 16, 1_000_000]),
            bytes: rng.pick(&[400, 2_000, 1_000_000_000]),
        };
        let retention = rng.pick(&[
            Retention { updates: 0, bytes: 0 },
            Retention { updates: 0, bytes: 0 },
            Retention { updates: 2, bytes: 0 },
            Retention { updates: 5, bytes: 0 },
            Retention { updates: 20, bytes: 3_000 },
            Retention { updates: 0, bytes: 1_500 },
            Retention::NOTHING,
        ]);
        Scenario {
            workers,
            has_guest: rng.one_in(3),
            capacities,
            hub,
            pump,
            lag,
            retention,
            unknown: rng.pick(&[UnknownId::All, UnknownId::All, UnknownId::Live]),
            read_budget: ReadBudget {
                bytes: rng.pick(&[1, 200, 600, 65_536]),
                updates: rng.pick(&[1, 2, 5, 1_000]),
            },
            recent_ids: rng.pick(&[1, 2, 5, 100]),
            fails_after: rng.one_in(10).then(|| rng.range(0, 12)),
            fills_up_every: rng.pick(&[None, None, Some(5), Some(30)]),
            full_for: rng.pick(&[1, 20, 300, 10_000]),
            unreadable: rng.pick(&[0, 0, 0, 10, 40]),
            actions: rng.pick(&[20, 60, 60, 150]),
            action_every: rng.pick(&[2, 6, 15, 40]),
            topics: ["a", "/x/1", "/x/2", "b"][..rng.range(1, 4)].to_vec(),
            weights: Weights {
                workers: std::array::from_fn(|_| rng.pick(&[1, 4, 4, 12])),
                log: rng.pick(&[1, 4, 12]),
                guest: rng.pick(&[1, 4, 12]),
                readers: rng.pick(&[1, 4]),
                clients: rng.pick(&[1, 4, 12]),
            },
            habits: Habits {
                publish: rng.pick(&[40, 60, 75]),
                private: rng.pick(&[0, 20, 60]),
                given_id: match pump.reused_ids {
                    ReusedIds::Accept => rng.pick(&[0, 20, 60]),
                    ReusedIds::Refuse | ReusedIds::First => rng.pick(&[50, 90]),
                },
                resume: rng.pick(&[0, 30, 60]),
                wildcard: rng.pick(&[0, 15, 40]),
                many_matchers: rng.pick(&[0, 30, 60]),
                patterns: rng.pick(&[0, 20, 50]),
                templates: rng.pick(&[0, 20, 50]),
                with_grants: rng.pick(&[20, 60]),
                short_lived: rng.pick(&[0, 15, 50]),
                bad_clients: rng.pick(&[0, 15, 40]),
                bare: 20,
                random_shorts: rng.pick(&[0, 5, 30]),
            },
            interlude_every: rng.pick(&[4, 12, 50]),
            padding: rng.pick(&[0, 30, 200]),
        }
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
