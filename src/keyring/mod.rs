//! The keys that tokens are checked with, while they change: sets that issuers publish are fetched
//! here, each by a thread of its own, and what all keys together amount to is there for the
//! workers, who wait for nobody.
//!
//! A [`Keeper`] fetches one set, again and again, and puts a new [`Authority`] in the place of the
//! old one. A worker takes what is there ([`Keyring::authority`]). A token whose key nobody knows
//! may be of one that was published a moment ago: then the worker asks for the set to be fetched
//! before its time ([`Keyring::ask`]).

mod fetch;
mod keeper;
mod location;
mod schedule;
mod uses;

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::Thread,
    time::{Duration, Instant},
};

use arc_swap::{ArcSwap, Guard};

use self::uses::Uses;
use crate::auth::authority::{Authority, KeySource, SetId, SourceId};

pub use self::{
    keeper::{Keeper, Timing, Unusable},
    location::{Location, LocationError},
};

/// A set is asked for before its time at most once in this time: tokens that name keys which do
/// not exist are made by anybody.
const ASK_AGAIN: Duration = Duration::from_secs(30);

/// What tokens are checked with now.
#[derive(Debug)]
pub struct Keyring {
    authority: ArcSwap<Authority>,
    demands: Box<[Demand]>,
    uses: Uses,
    begun: Instant,
    ended: AtomicBool,
}

/// What workers want of a set. Numbers count how often it was asked for before its time.
#[derive(Debug, Default)]
struct Demand {
    asked: AtomicU32,
    answered: AtomicU32,
    /// When it may be asked for again; milliseconds since the beginning.
    again_at_ms: AtomicU64,
    keeper: OnceLock<Thread>,
    /// When the keys that are in use were fetched; milliseconds since the beginning.
    fresh_at_ms: AtomicU64,
}

/// Sets that are being fetched, for somebody who waits for them.
#[derive(Debug)]
pub struct Asked(Vec<(SetId, u32)>);

impl Keyring {
    /// `sets`: how many sets the authority has; they are numbered from 0. `workers`: how many count
    /// what they accept.
    pub fn new(authority: Authority, sets: usize, workers: usize) -> Keyring {
        Keyring {
            uses: Uses::new(authority.sources(), workers),
            authority: ArcSwap::from_pointee(authority),
            demands: (0..sets).map(|_| Demand::default()).collect(),
            begun: Instant::now(),
            ended: AtomicBool::new(false),
        }
    }

    /// Counts a token that was accepted. Each worker has numbers of its own.
    pub fn count(&self, worker: usize, source: SourceId) {
        self.uses.count(worker, source);
    }

    /// How often tokens of each key were accepted.
    pub fn uses(&self) -> impl Iterator<Item = (&KeySource, u64)> {
        self.uses.all()
    }

    /// When the keys of a set that are in use were fetched.
    pub fn fresh_at(&self, set: SetId) -> Option<Instant> {
        let demand = self.demands.get(set.0)?;
        let at = Duration::from_millis(demand.fresh_at_ms.load(Ordering::Acquire));
        self.begun.checked_add(at)
    }

    /// Ends the keepers, which may be in the middle of a fetch: soon.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.demands.iter().filter_map(|demand| demand.keeper.get()).for_each(Thread::unpark);
    }

    /// What tokens are checked with. Takes no lock.
    pub fn authority(&self) -> Guard<Arc<Authority>> {
        self.authority.load()
    }

    /// Asks for sets to be fetched now. `None`: none of them is, since that was done a moment ago.
    pub fn ask(&self, sets: &[SetId]) -> Option<Asked> {
        let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let demand = |&set: &SetId| Some((set, self.demands.get(set.0)?.ask(now_ms)?));
        let asked: Vec<_> = sets.iter().filter_map(demand).collect();
        (!asked.is_empty()).then_some(Asked(asked))
    }

    /// Whether all that was asked for was fetched, or could not be.
    pub fn is_answered(&self, asked: &Asked) -> bool {
        asked.0.iter().all(|(set, number)| {
            let answered = self.demands[set.0].answered.load(Ordering::Acquire);
            // Numbers may have wrapped around.
            answered.wrapping_sub(*number) < u32::MAX / 2
        })
    }
}

impl Demand {
    /// The number of the fetch that is under way, or begins now.
    fn ask(&self, now_ms: u64) -> Option<u32> {
        let asked = self.asked.load(Ordering::Acquire);
        if self.answered.load(Ordering::Acquire) != asked {
            return Some(asked);
        }
        let again_at_ms = self.again_at_ms.load(Ordering::Relaxed);
        if now_ms < again_at_ms {
            return None;
        }
        let next = now_ms.saturating_add(ASK_AGAIN.as_millis() as u64);
        let is_first = self
            .again_at_ms
            .compare_exchange(again_at_ms, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok();
        // Another worker that was faster asks for the same number.
        if is_first {
            self.asked.fetch_add(1, Ordering::Release);
            if let Some(keeper) = self.keeper.get() {
                keeper.unpark();
            }
        }
        Some(asked.wrapping_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::authority::Settings;

    fn keyring() -> Keyring {
        let authority = Authority::new(vec![], Settings::default()).expect("no issuers");
        Keyring::new(authority, 2, 1)
    }

    #[test]
    fn a_set_is_asked_for_once_and_then_not_for_a_while() {
        let demand = Demand::default();
        assert_eq!(demand.ask(0), Some(1));
        // Others join.
        assert_eq!((demand.ask(0), demand.ask(40_000)), (Some(1), Some(1)));
        demand.answered.store(1, Ordering::Release);
        assert_eq!((demand.ask(1), demand.ask(29_999)), (None, None));
        assert_eq!(demand.ask(30_000), Some(2));
        assert_eq!(demand.asked.load(Ordering::Acquire), 2);
    }

    #[test]
    fn who_asked_learns_when_all_sets_were_fetched() {
        let keyring = keyring();
        let both = [SetId(0), SetId(1)];
        let asked = keyring.ask(&both).expect("for the first time");
        assert!(!keyring.is_answered(&asked));
        keyring.demands[0].answered.store(1, Ordering::Release);
        assert!(!keyring.is_answered(&asked));
        assert!(keyring.ask(&[SetId(0)]).is_none());
        // The other one is under way still.
        assert!(keyring.ask(&both).is_some());
        keyring.demands[1].answered.store(2, Ordering::Release);
        assert!(keyring.is_answered(&asked));
        assert!(keyring.ask(&[]).is_none() && keyring.ask(&[SetId(9)]).is_none());
    }
}
