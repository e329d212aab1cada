//! What the operator may ask about tokens and keys.

use std::sync::{Arc, Mutex, PoisonError};

use super::{ServeError, keys, keys::Keepers, settings};
use crate::{
    admin::{KeyUse, Tokens},
    auth::authority::Explanation,
    config::Config,
    worker::Clock,
};

/// The keys in use, and by what the hub is called.
pub(super) struct InUse {
    pub(super) keepers: Keepers,
    pub(super) audiences: Vec<String>,
}

impl InUse {
    fn explain(&self, token: &str) -> Explanation {
        self.keepers.keyring.authority().explain(token, &self.audiences, Clock::unix())
    }
}

/// What is in use now; it changes when settings are read again.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<InUse>>);

impl Shared {
    pub(super) fn new(in_use: InUse) -> Shared {
        Shared(Arc::new(Mutex::new(in_use)))
    }

    pub(super) fn with<T>(&self, look: impl FnOnce(&mut InUse) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Tokens for Shared {
    fn explain(&self, token: &str) -> String {
        self.with(|in_use| in_use.explain(token)).to_string()
    }

    fn uses(&self) -> Vec<KeyUse> {
        self.with(|in_use| in_use.keepers.uses())
    }
}

/// Says why a token passes or fails on a hub with these settings.
///
/// # Errors
/// The keys cannot be used.
#[cfg(feature = "command")]
pub fn explain(config: &Config, token: &str) -> Result<Explanation, ServeError> {
    let keepers = keys::start(config, 1, None)?;
    Ok(InUse { keepers, audiences: settings::audiences(config) }.explain(token))
}
