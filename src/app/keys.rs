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
    auth::{
        Role,
        authority::{self, Authority, Issuer, RoleKeys, SetId},
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

/// A set, which several issuers and roles may share.
type Set = (Location, Vec<Algorithm>);

/// Ends the threads when it is dropped.
pub(super) struct Keepers(pub(super) Arc<Keyring>);

impl Drop for Keepers {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Makes the keyring, and starts fetching.
pub(super) fn start(config: &Config) -> Result<Keepers, ServeError> {
    let (authority, sets) = authority(config)?;
    let keyring = Arc::new(Keyring::new(authority, sets.len()));
    let keepers = Keepers(Arc::clone(&keyring));
    let (began, has_begun) = mpsc::channel();
    let timing = Timing { refresh: config.access.jwks_refresh, stale: config.access.jwks_stale };
    for (index, (location, algorithms)) in sets.into_iter().enumerate() {
        let is_file = matches!(location, Location::File(_));
        let keyring = Arc::clone(&keyring);
        let mut keeper = Keeper::new(SetId(index), location, algorithms, timing, keyring);
        if is_file {
            keeper.begin().map_err(settings_error)?;
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
fn authority(config: &Config) -> Result<(Authority, Vec<Set>), ServeError> {
    let mut issuers: Vec<Issuer> = Vec::new();
    for IssuerKey { issuer, role, secret, algorithm, .. } in &config.access.keys {
        let key = Key::from_text(secret.expose(), *algorithm).map_err(settings_error)?;
        role_keys(&mut issuers, issuer.as_deref(), *role).configured.push(key);
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
        generation: 0,
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
