//! Compiled patterns by their text: who comes with a pattern that somebody else has gets the same.

use std::{
    collections::HashMap,
    hash::RandomState,
    sync::{Arc, Weak},
};

use url::Url;

use super::{
    hub_url::HubUrl,
    pattern::{Pattern, PatternError},
};

/// Patterns that somebody holds.
#[derive(Debug)]
pub struct Patterns {
    base: Url,
    known: HashMap<Box<str>, Weak<Pattern>>,
    /// With so many entries, those that nobody holds any more are taken out.
    sweep_at: usize,
}

const SWEEP_AT_MIN: usize = 1_000;

impl Patterns {
    /// `hasher` is keyed at random, since patterns are chosen by clients.
    pub fn new(hub: &HubUrl, hasher: RandomState) -> Patterns {
        let base = hub.url().clone();
        Patterns { base, known: HashMap::with_hasher(hasher), sweep_at: SWEEP_AT_MIN }
    }

    /// The pattern that `text` is, compiled if nobody holds it yet.
    pub fn get(&mut self, text: &str) -> Result<Arc<Pattern>, PatternError> {
        if let Some(pattern) = self.known.get(text).and_then(Weak::upgrade) {
            return Ok(pattern);
        }
        let pattern = Arc::new(Pattern::parse(text, &self.base)?);
        if self.known.len() >= self.sweep_at {
            self.known.retain(|_, pattern| pattern.strong_count() > 0);
            // The next sweep pays for itself.
            self.sweep_at = SWEEP_AT_MIN.max(2 * self.known.len());
        }
        self.known.insert(text.into(), Arc::downgrade(&pattern));
        Ok(pattern)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::fixture::HUB;

    #[test]
    fn patterns_are_shared_while_they_are_held_and_forgotten_afterwards() {
        let mut patterns = Patterns::new(&HUB, RandomState::new());
        let held = patterns.get("/a/:b").unwrap();
        assert!(Arc::ptr_eq(&held, &patterns.get("/a/:b").unwrap()));
        for number in 0..5 * SWEEP_AT_MIN {
            patterns.get(&format!("/{number}/:b")).unwrap();
            assert!(patterns.known.len() <= SWEEP_AT_MIN);
        }
        assert!(Arc::ptr_eq(&held, &patterns.get("/a/:b").unwrap()));
        assert!(patterns.get("(").is_err());
    }
}
