//! What the operator may ask about tokens and keys.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::keys::Keepers;
use crate::{
    admin::{KeyUse, Tokens},
    auth::authority::Explanation,
    worker::Clock,
};

/// The keys in use, and by what the hub is called.
pub(super) struct InUse {
    pub(super) keepers: Keepers,
    pub(super) audiences: Vec<String>,
}

impl InUse {
    pub(super) fn explain(&self, token: &str) -> Explanation {
        self.keepers.keyring.authority().explain(token, &self.audiences, Clock::unix())
    }
}

/// What is in use now; it changes when settings are read again.
pub(super) struct Current(pub(super) Arc<ArcSwap<InUse>>);

impl Tokens for Current {
    fn explain(&self, token: &str) -> String {
        self.0.load().explain(token).to_string()
    }

    fn uses(&self) -> Vec<KeyUse> {
        self.0.load().keepers.uses()
    }
}
