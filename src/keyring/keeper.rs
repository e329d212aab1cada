//! Keeps one set fresh. What may block, blocks here.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    Keyring, Location,
    fetch::{FetchError, Fetcher},
    schedule,
};
use crate::auth::{
    authority::{SetId, SetKeys},
    jwks::KeySet,
    key::Algorithm,
};

/// How often a file is looked at for a change.
const LOOK_AT_FILE: Duration = Duration::from_secs(2);

/// When sets are fetched.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    pub refresh: Duration,
    /// How long keys stay in use after they were fetched last.
    pub stale: Duration,
}

/// The file of a set cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the keys at {location} cannot be used: {reason}")]
pub struct Unusable {
    location: Location,
    reason: String,
}

/// Fetches one set, again and again, and gives its keys to the keyring.
pub struct Keeper {
    set: SetId,
    fetcher: Fetcher,
    timing: Timing,
    keyring: Arc<Keyring>,
    /// When the keys that are in use were fetched last. `None`: there are none.
    fresh_at: Option<Instant>,
    /// There were some, and they are too old.
    given_up: bool,
    /// Fetches in a row that failed.
    failures: u32,
    due: Instant,
    /// What was said about keys that were left out: said again only when it changes.
    notes: Vec<String>,
}

impl Keeper {
    pub fn new(
        set: SetId,
        location: Location,
        algorithms: Vec<Algorithm>,
        timing: Timing,
        keyring: Arc<Keyring>,
    ) -> Keeper {
        Keeper {
            set,
            fetcher: Fetcher::new(location, algorithms),
            timing,
            keyring,
            fresh_at: None,
            given_up: false,
            failures: 0,
            due: Instant::now(),
            notes: Vec::new(),
        }
    }

    /// Goes on with keys that were fetched before, at this time.
    pub fn with_keys_of(mut self, fetched_at: Instant) -> Keeper {
        self.fresh_at = Some(fetched_at);
        self.note_freshness(fetched_at);
        self
    }

    fn note_freshness(&self, at: Instant) {
        let since = at.saturating_duration_since(self.keyring.begun).as_millis();
        let demand = &self.keyring.demands[self.set.0];
        demand.fresh_at_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Release);
    }

    /// The first fetch. A file that cannot be used is a mistake that somebody has to correct;
    /// what comes over the network may be there a moment later.
    pub fn begin(&mut self) -> Result<(), Unusable> {
        match self.fetcher.fetch() {
            Err(error) if self.fetcher.is_file() => Err(Unusable {
                location: self.fetcher.location().clone(),
                reason: error.to_string(),
            }),
            result => {
                self.take(result);
                Ok(())
            }
        }
    }

    /// Keeps the set fresh until the keyring ends. `begun` is called after the first fetch.
    pub fn run(mut self, begun: impl FnOnce()) {
        if self.fresh_at.is_none() {
            let result = self.fetcher.fetch();
            self.take(result);
        }
        begun();
        let keyring = Arc::clone(&self.keyring);
        let demand = &keyring.demands[self.set.0];
        // There is one keeper for each set.
        let _ = demand.keeper.set(thread::current());
        while !keyring.ended.load(Ordering::Acquire) {
            let asked = demand.asked.load(Ordering::Acquire);
            let is_asked = asked != demand.answered.load(Ordering::Relaxed);
            let now = Instant::now();
            if is_asked || now >= self.due || self.fetcher.has_changed() {
                let result = self.fetcher.fetch();
                self.take(result);
                demand.answered.store(asked, Ordering::Release);
                continue;
            }
            self.give_up_old_keys(now);
            let mut wait = self.due.saturating_duration_since(now);
            if self.fetcher.is_file() {
                wait = wait.min(LOOK_AT_FILE);
            }
            if let Some(fresh_at) = self.fresh_at.filter(|_| self.failures > 0) {
                let left = (fresh_at + self.timing.stale).saturating_duration_since(now);
                wait = wait.min(left);
            }
            thread::park_timeout(wait);
        }
    }

    fn take(&mut self, result: Result<KeySet, FetchError>) {
        let random = random();
        let wait = match result {
            Ok(set) => {
                self.succeeded(set);
                schedule::after_success(self.timing.refresh, random)
            }
            Err(error) => {
                self.failed(&error);
                schedule::after_failure(self.failures, self.timing.refresh, random)
            }
        };
        self.due = Instant::now() + wait;
    }

    fn succeeded(&mut self, set: KeySet) {
        let location = self.fetcher.location();
        let KeySet { keys, notes } = set;
        if notes != self.notes {
            for note in &notes {
                tracing::warn!(set = %location, "{note}");
            }
            self.notes = notes;
        }
        if std::mem::take(&mut self.failures) > 0 {
            tracing::info!(set = %location, "the key set is fetched again");
        }
        let now = Instant::now();
        self.fresh_at = Some(now);
        self.note_freshness(now);
        self.given_up = false;
        let (count, names) = (keys.len(), names(&keys));
        if self.publish(Ok(keys.into())) {
            tracing::info!(set = %self.fetcher.location(), keys = count, kids = names,
                "new keys are in use");
        }
    }

    fn failed(&mut self, error: &FetchError) {
        self.failures = self.failures.saturating_add(1);
        let location = self.fetcher.location();
        if self.failures == 1 {
            let consequence = match self.fresh_at {
                Some(_) => "the last good keys stay in use (jwks_stale says how long)",
                None => "tokens that only its keys could have signed are refused",
            };
            tracing::warn!(set = %location, reason = %error,
                "a key set cannot be fetched: {consequence}");
        }
        self.give_up_old_keys(Instant::now());
        if self.fresh_at.is_none() {
            let since = if self.given_up { "any more (jwks_stale)" } else { "yet" };
            let location = self.fetcher.location();
            let reason = format!("those at {location} could not be fetched {since}: {error}");
            self.publish(Err(reason.into()));
        }
    }

    /// Keys that nobody confirms any more may have been withdrawn.
    fn give_up_old_keys(&mut self, now: Instant) {
        let stale = self.timing.stale;
        if self.failures == 0 || self.fresh_at.is_none_or(|at| now < at + stale) {
            return;
        }
        self.fresh_at = None;
        self.given_up = true;
        let location = self.fetcher.location();
        tracing::warn!(set = %location,
            "the keys of a set that cannot be fetched are too old (jwks_stale): they are not used \
             any more");
        let reason = format!("those at {location} could not be fetched any more (jwks_stale)");
        self.publish(Err(reason.into()));
    }

    /// Whether that changed which tokens pass.
    fn publish(&self, keys: SetKeys) -> bool {
        let authority = &self.keyring.authority;
        let old = authority.rcu(|old| old.with_set(self.set, &keys));
        // Another keeper may have changed its own set since: that is only one line more.
        old.generation() != authority.load().generation()
    }
}

/// What keys are called, for the operator.
fn names(keys: &[crate::auth::key::Key]) -> String {
    const SHOWN: usize = 8;
    let kids = keys.iter().filter_map(|key| key.kid()).take(SHOWN);
    kids.map(crate::protocol::text::excerpt).collect::<Vec<_>>().join(", ")
}

/// From 0 up to 1. Without randomness there is no jitter, which is no reason to end.
fn random() -> f64 {
    f64::from(getrandom::u32().unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
}
