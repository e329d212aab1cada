//! Issuers with their keys, and the threads that keep published keys fresh.

use std::{
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    ServeError,
    settings::{hub_url, settings_error},
};
use crate::{
    admin::KeyUse,
    auth::{
        Role,
        authority::{self, Authority, Issuer, KeySource, RoleKeys, SetId, SourceKind},
        details::TokenLimits,
        key::{Algorithm, Key},
    },
    config::{Config, IssuerKey, IssuerKeySet},
    keyring::{Keeper, Keyring, Location, Timing},
    log::thread::vital,
};

/// The hub listens after this time at the latest, even if keys have not arrived: a browser whose
/// subscription is refused once never comes back.
const FIRST_FETCH_WAIT: Duration = Duration::from_secs(3);

/// More generations than the keys of one keyring have.
const GENERATIONS: u64 = 1 << 32;

/// A set, which several issuers and roles may share.
type Set = (Location, Vec<Algorithm>);

/// Keys with the threads that keep them fresh, which end when it is dropped.
pub(super) struct Keepers {
    pub(super) keyring: Arc<Keyring>,
    sets: Vec<Set>,
}

impl Drop for Keepers {
    fn drop(&mut self) {
        self.keyring.end();
    }
}

impl Keepers {
    /// How often tokens of each key were accepted.
    pub(super) fn uses(&self) -> Vec<KeyUse> {
        let told = |(source, accepted): (&KeySource, u64)| KeyUse {
            issuer: source.issuer.as_deref().unwrap_or_default().to_owned(),
            role: source.role.to_string(),
            key: match source.kind {
                SourceKind::Key(1) => "current".to_owned(),
                SourceKind::Key(nth) => format!("current {nth}"),
                SourceKind::Previous(_) => "previous".to_owned(),
                // One location may be there twice, for different algorithms.
                SourceKind::Set(SetId(set)) => {
                    let (location, algorithms) = &self.sets[set];
                    let words = algorithms.iter().map(|algorithm| format!(" {algorithm}"));
                    format!("{location}{}", words.collect::<String>())
                }
            },
            accepted,
        };
        self.keyring.uses().map(told).collect()
    }
}

/// Makes the keyring, and starts fetching. `before`: the keys that were in use until now, of which
/// the fetched ones stay in use until they are fetched again.
pub(super) fn start(
    config: &Config,
    workers: usize,
    before: Option<&Keepers>,
) -> Result<Keepers, ServeError> {
    // No verdict of the keys before counts for these.
    let generation = before
        .map_or(0, |before| before.keyring.authority().generation().wrapping_add(GENERATIONS));
    let (mut authority, sets) = authority(config, generation)?;
    let mut fetched_at = vec![None; sets.len()];
    for (index, set) in sets.iter().enumerate() {
        let known = before.and_then(|before| {
            let index = before.sets.iter().position(|other| other == set)?;
            let keys = before.keyring.authority().set(SetId(index))?;
            Some((keys, before.keyring.fresh_at(SetId(index))?))
        });
        if let Some((keys, at)) = known {
            authority = authority.with_set(SetId(index), &keys);
            fetched_at[index] = Some(at);
        }
    }
    let keyring = Arc::new(Keyring::new(authority, sets.len(), workers));
    let keepers = Keepers { keyring: Arc::clone(&keyring), sets: sets.clone() };
    let (began, has_begun) = mpsc::channel();
    let timing = Timing { refresh: config.access.jwks_refresh, stale: config.access.jwks_stale };
    for (index, (location, algorithms)) in sets.into_iter().enumerate() {
        let is_file = matches!(location, Location::File(_));
        let keyring = Arc::clone(&keyring);
        let mut keeper = Keeper::new(SetId(index), location, algorithms, timing, keyring);
        if is_file {
            keeper.begin().map_err(settings_error)?;
        } else if let Some(at) = fetched_at[index] {
            keeper = keeper.with_keys_of(at);
        }
        let began = began.clone();
        thread::Builder::new().name(format!("keys-{index}")).spawn(move || {
            vital(|| keeper.run(|| drop(began)));
        })?;
    }
    drop(began);
    wait_for_all(&has_begun);
    Ok(keepers)
}

/// Waits until every sender is gone.
fn wait_for_all(has_begun: &mpsc::Receiver<()>) {
    let until = Instant::now() + FIRST_FETCH_WAIT;
    if let Err(mpsc::RecvTimeoutError::Timeout) =
        has_begun.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        tracing::warn!("keys have not arrived yet: the hub starts without them");
    }
}

/// Issuers with their keys, in the order of the configuration, and the sets that they publish.
fn authority(config: &Config, generation: u64) -> Result<(Authority, Vec<Set>), ServeError> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for IssuerKey { issuer, role, secret, algorithm, previous } in &config.access.keys {
        let key = Key::from_text(secret.expose(), *algorithm).map_err(settings_error)?;
        let keys = role_keys(&mut issuers, issuer.as_deref(), *role);
        if *previous { keys.previous.push(key) } else { keys.configured.push(key) }
    }
    let mut sets: Vec<Set> = Vec::new();
    for IssuerKeySet { issuer, role, location, algorithms } in &config.access.key_sets {
        let set = (location.clone(), algorithms.clone());
        let known = sets.iter().position(|known| *known == set);
        let index = known.unwrap_or_else(|| {
            sets.push(set);
            sets.len() - 1
        });
        let of_role = &mut role_keys(&mut issuers, issuer.as_deref(), *role).sets;
        if of_role.iter().all(|(id, _)| *id != SetId(index)) {
            let reason = format!("those at {location} are being fetched for the first time");
            of_role.push((SetId(index), Err(reason.into())));
        }
    }
    let settings = authority::Settings {
        generation,
        leeway: config.access.leeway,
        hub_url: hub_url(config)?,
        legacy: config.legacy(),
        // What may be subscribed to may be granted.
        limits: TokenLimits {
            matcher_len_max: config.limits.pattern_bytes_max,
            ..TokenLimits::default()
        },
    };
    Ok((Authority::new(issuers, settings).map_err(settings_error)?, sets))
}

/// The keys of an issuer for a role; the issuer is added if it is new.
fn role_keys<'i>(issuers: &'i mut Vec<Issuer>, id: Option<&str>, role: Role) -> &'i mut RoleKeys {
    let known = issuers.iter().position(|known| known.id.as_deref() == id);
    let index = known.unwrap_or_else(|| {
        issuers.push(Issuer { id: id.map(Box::from), ..Issuer::default() });
        issuers.len() - 1
    });
    match role {
        Role::Publisher => &mut issuers[index].publisher,
        Role::Subscriber => &mut issuers[index].subscriber,
    }
}
