//! A worker's memory of tokens that passed: a client that comes again is not checked again.
//!
//! Only passed verdicts are kept, so that garbage cannot push them out, and a verdict is nothing
//! without the clock: `exp` and `nbf` are compared at each use. A verdict holds for the very
//! token, role, resource identifier and generation of keys that it was given for.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::Arc,
};

use hashbrown::HashTable;

use super::{Role, access::Access, authority::Authority, bearer, error::TokenError};
use crate::protocol::time::UnixTime;

/// The size of a cache. With no entries, every token is checked each time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictLimits {
    pub entries_max: usize,
    /// Bytes of memory that all entries hold.
    pub bytes_max: usize,
}

impl Default for VerdictLimits {
    fn default() -> Self {
        VerdictLimits { entries_max: 10_000, bytes_max: 16 << 20 }
    }
}

/// The verdicts that one worker remembers. When it is full, a hand goes round and forgets the
/// first verdict that nobody has asked for since the hand last passed: one at a time, so that no
/// request waits for a great clearing.
#[derive(Debug)]
pub struct VerdictCache {
    limits: VerdictLimits,
    hasher: RandomState,
    verdicts: Vec<Verdict>,
    /// Places in `verdicts`, by the hash of what was asked.
    index: HashTable<usize>,
    hand: usize,
    bytes: usize,
}

/// What is asked of an authority.
#[derive(Debug, Clone, Copy)]
struct Question<'q> {
    credentials: &'q [u8],
    role: Role,
    audience: &'q str,
    generation: u64,
}

#[derive(Debug)]
struct Verdict {
    hash: u64,
    credentials: Box<[u8]>,
    role: Role,
    audience: Box<str>,
    generation: u64,
    access: Arc<Access>,
    footprint: usize,
    used: bool,
}

impl VerdictCache {
    /// `hasher` is keyed at random, since tokens are chosen by clients.
    pub fn new(limits: VerdictLimits, hasher: RandomState) -> VerdictCache {
        VerdictCache {
            limits,
            hasher,
            verdicts: Vec::new(),
            index: HashTable::new(),
            hand: 0,
            bytes: 0,
        }
    }

    /// What `authority` says of the token that a request sent, now.
    pub fn verify(
        &mut self,
        authority: &Authority,
        credentials: &[u8],
        role: Role,
        audience: &str,
        now: UnixTime,
    ) -> Result<Arc<Access>, TokenError> {
        let generation = authority.generation();
        let question = Question { credentials, role, audience, generation };
        let hash = question.hash(&self.hasher);
        let answers = |place: &usize| self.verdicts[*place].answers(hash, &question);
        if let Some(&place) = self.index.find(hash, answers) {
            let verdict = &mut self.verdicts[place];
            if let Err(error) = verdict.access.check_time(now) {
                self.forget(place);
                return Err(error);
            }
            verdict.used = true;
            return Ok(Arc::clone(&verdict.access));
        }
        // What passed once is a token.
        let not_a_token = || TokenError::not_a_token(&String::from_utf8_lossy(credentials));
        let token = bearer::token(credentials).ok_or_else(not_a_token)?;
        let access = Arc::new(authority.verify(token, role, audience, now)?);
        self.remember(hash, &question, &access);
        Ok(access)
    }

    pub fn len(&self) -> usize {
        self.verdicts.len()
    }

    pub fn is_empty(&self) -> bool {
        self.verdicts.is_empty()
    }

    /// Bytes of memory that all entries hold.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn remember(&mut self, hash: u64, question: &Question<'_>, access: &Arc<Access>) {
        let footprint = question.footprint() + access.footprint();
        if self.limits.entries_max == 0 || footprint > self.limits.bytes_max {
            return;
        }
        while self.verdicts.len() >= self.limits.entries_max
            || self.bytes + footprint > self.limits.bytes_max
        {
            self.forget_one();
        }
        self.bytes += footprint;
        let place = self.verdicts.len();
        self.verdicts.push(Verdict {
            hash,
            credentials: question.credentials.into(),
            role: question.role,
            audience: question.audience.into(),
            generation: question.generation,
            access: Arc::clone(access),
            footprint,
            used: true,
        });
        self.index.insert_unique(hash, place, |place| self.verdicts[*place].hash);
    }

    /// Ends, because a second round finds what the first one marked.
    fn forget_one(&mut self) {
        while !self.verdicts.is_empty() {
            self.hand %= self.verdicts.len();
            let verdict = &mut self.verdicts[self.hand];
            if !std::mem::take(&mut verdict.used) {
                return self.forget(self.hand);
            }
            self.hand += 1;
        }
    }

    /// The last verdict takes the place of the forgotten one.
    fn forget(&mut self, place: usize) {
        let forgotten = self.verdicts.swap_remove(place);
        self.bytes -= forgotten.footprint;
        if let Ok(entry) = self.index.find_entry(forgotten.hash, |other| *other == place) {
            entry.remove();
        }
        if let Some(moved) = self.verdicts.get(place) {
            let old_place = self.verdicts.len();
            if let Some(entry) = self.index.find_mut(moved.hash, |other| *other == old_place) {
                *entry = place;
            }
        }
    }
}

impl Question<'_> {
    /// Of the token only the end, which is of its signature: nobody without a key can make two
    /// tokens that pass and end alike, and hashing all of it would cost more than the rest.
    fn hash(&self, hasher: &RandomState) -> u64 {
        const TAIL_LEN: usize = 48;
        let tail_start = self.credentials.len().saturating_sub(TAIL_LEN);
        let mut hasher = hasher.build_hasher();
        hasher.write(&self.credentials[tail_start..]);
        hasher.write(self.audience.as_bytes());
        hasher.write_u64(self.generation);
        hasher.write_u8(self.role as u8);
        hasher.finish()
    }

    fn footprint(&self) -> usize {
        /// The entry of the index, the counts of the `Arc`, and what the allocator adds.
        const OVERHEAD: usize = 96;
        OVERHEAD + size_of::<Verdict>() + self.credentials.len() + self.audience.len()
    }
}

impl Verdict {
    fn answers(&self, hash: u64, question: &Question<'_>) -> bool {
        self.hash == hash
            && self.generation == question.generation
            && self.role == question.role
            && *self.audience == *question.audience
            && *self.credentials == *question.credentials
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{
        authority::{Issuer, Settings},
        key::{Algorithm, Key, SigningKey},
        mint,
    };
    use serde_json::json;

    const HUB: &str = "https://hub.example/.well-known/mercure";
    const LARGE: VerdictLimits = VerdictLimits { entries_max: 1000, bytes_max: 1 << 20 };

    fn authority(publisher: &[u8], subscriber: &[u8], generation: u64) -> Authority {
        let keys = |secret| vec![Key::from_secret(secret, Algorithm::Hs256).unwrap()].into();
        let issuer = Issuer { id: None, publisher: keys(publisher), subscriber: keys(subscriber) };
        let settings = Settings { generation, ..Settings::default() };
        Authority::new(vec![issuer], settings).unwrap()
    }

    fn token(secret: &[u8], claims: serde_json::Value) -> String {
        let key = SigningKey::from_secret(secret, Algorithm::Hs256).unwrap();
        mint::sign(&json!({"alg": "HS256", "typ": "at+jwt"}), &claims, &key)
    }

    fn cache(limits: VerdictLimits) -> VerdictCache {
        VerdictCache::new(limits, RandomState::new())
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    /// The index and the verdicts are about the same tokens, and the sums are right.
    fn check(cache: &VerdictCache) {
        assert_eq!(cache.index.len(), cache.verdicts.len());
        for (place, verdict) in cache.verdicts.iter().enumerate() {
            assert_eq!(cache.index.find(verdict.hash, |other| *other == place), Some(&place));
        }
        assert_eq!(
            cache.bytes,
            cache.verdicts.iter().map(|verdict| verdict.footprint).sum::<usize>()
        );
        assert!(cache.len() <= cache.limits.entries_max);
        assert!(cache.bytes <= cache.limits.bytes_max);
    }

    #[test]
    fn a_verdict_is_remembered_for_its_generation_of_keys_and_shared() {
        let mut cache = cache(LARGE);
        let token = token(b"old", json!({}));
        let verify = |cache: &mut VerdictCache, authority: &Authority| {
            cache.verify(authority, token.as_bytes(), Role::Publisher, HUB, at(1))
        };
        let first = verify(&mut cache, &authority(b"old", b"s", 1)).unwrap();
        // Keys that would refuse the token show that they are not asked...
        let second = verify(&mut cache, &authority(b"new", b"s", 1)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        // ... until they are of another generation.
        let third = verify(&mut cache, &authority(b"new", b"s", 2));
        assert!(matches!(third, Err(TokenError::Signature { .. })));
        assert_eq!(cache.len(), 1);
        check(&cache);
    }

    #[test]
    fn a_verdict_holds_for_its_role_audience_and_token() {
        let mut cache = cache(LARGE);
        let authority = authority(b"p", b"s", 0);
        let claims = json!({"aud": [HUB, "other"]});
        let (good, bad) = (token(b"s", claims.clone()), token(b"p", claims));
        let mut verify = |token: &str, role, audience| {
            cache.verify(&authority, token.as_bytes(), role, audience, at(1))
        };
        assert!(verify(&good, Role::Subscriber, HUB).is_ok());
        assert!(matches!(
            verify(&good, Role::Publisher, HUB),
            Err(TokenError::Signature { role: Role::Publisher, .. })
        ));
        assert!(verify(&good, Role::Subscriber, "other").is_ok());
        assert!(matches!(
            verify(&good, Role::Subscriber, "third"),
            Err(TokenError::Audience { .. })
        ));
        assert!(verify(&bad, Role::Subscriber, HUB).is_err());
        // Another token with the end of a good one.
        let (message, signature) = good.rsplit_once('.').unwrap();
        let forged = format!("{}.{signature}", message.replacen('e', "f", 1));
        assert!(verify(&forged, Role::Subscriber, HUB).is_err());
        assert!(verify(&good[1..], Role::Subscriber, HUB).is_err());
        assert_eq!(cache.len(), 2);
        check(&cache);
    }

    /// Also where hashes collide.
    #[test]
    fn a_verdict_answers_one_question() {
        let mut cache = cache(LARGE);
        let token = token(b"s", json!({}));
        let authority = authority(b"p", b"s", 7);
        cache.verify(&authority, token.as_bytes(), Role::Subscriber, HUB, at(1)).unwrap();
        let verdict = &cache.verdicts[0];
        let asked = Question {
            credentials: token.as_bytes(),
            role: Role::Subscriber,
            audience: HUB,
            generation: 7,
        };
        assert!(verdict.answers(verdict.hash, &asked));
        let other_token = token.replacen('e', "f", 1);
        for other in [
            Question { credentials: other_token.as_bytes(), ..asked },
            Question { role: Role::Publisher, ..asked },
            Question { audience: "other", ..asked },
            Question { generation: 8, ..asked },
        ] {
            assert!(!verdict.answers(verdict.hash, &other), "{other:?}");
        }
    }

    #[test]
    fn the_clock_is_asked_at_each_use() {
        let mut cache = cache(LARGE);
        let authority = authority(b"p", b"s", 0);
        let token = token(b"s", json!({"exp": 20.5, "nbf": 10}));
        let mut verify = |now| {
            cache
                .verify(&authority, token.as_bytes(), Role::Subscriber, HUB, now)
                .map(|_| cache.len())
        };
        let ms = |ms| UnixTime::since_1970(std::time::Duration::from_millis(ms));
        assert_eq!(verify(at(15)), Ok(1));
        assert_eq!(verify(ms(20_499)), Ok(1));
        assert!(matches!(verify(ms(20_500)), Err(TokenError::Expired { .. })));
        // Forgotten, and not taken again.
        assert!(matches!(verify(at(21)), Err(TokenError::Expired { .. })));
        assert_eq!(verify(at(15)), Ok(1));
        // The clock was set back.
        assert!(matches!(verify(at(9)), Err(TokenError::NotYetValid { .. })));
        assert!(cache.is_empty());
        check(&cache);
    }

    #[test]
    fn failures_are_not_remembered() {
        let mut cache = cache(LARGE);
        let token = token(b"x", json!({}));
        for _ in 0..3 {
            let verdict = cache.verify(
                &authority(b"p", b"s", 0),
                token.as_bytes(),
                Role::Subscriber,
                HUB,
                at(1),
            );
            assert!(verdict.is_err());
        }
        assert!(cache.is_empty());
        assert!(
            cache
                .verify(&authority(b"p", b"x", 0), token.as_bytes(), Role::Subscriber, HUB, at(1))
                .is_ok()
        );
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_what_is_used() {
        let authority = authority(b"p", b"s", 0);
        let favourite = token(b"s", json!({"jti": "favourite"}));
        let one = {
            let mut cache = cache(LARGE);
            cache.verify(&authority, favourite.as_bytes(), Role::Subscriber, HUB, at(1)).unwrap();
            cache.bytes()
        };
        for (entries_max, bytes_max, held) in [
            (10, 1 << 20, 10),
            (1000, one * 10 + 50, 10),
            (1, 1 << 20, 1),
            (0, 1 << 20, 0),
            (9, 9, 0),
        ] {
            let mut cache = cache(VerdictLimits { entries_max, bytes_max });
            for number in 100..400 {
                let other = token(b"s", json!({ "jti": format!("other {number}") }));
                for token in [&favourite, &other] {
                    let verdict =
                        cache.verify(&authority, token.as_bytes(), Role::Subscriber, HUB, at(1));
                    assert!(verdict.is_ok());
                }
                check(&cache);
            }
            assert_eq!(cache.len(), held, "{entries_max} entries, {bytes_max} bytes");
            let kept =
                cache.verdicts.iter().any(|verdict| *verdict.credentials == *favourite.as_bytes());
            assert!(kept || held < 2, "{entries_max} entries, {bytes_max} bytes");
        }
    }
}
