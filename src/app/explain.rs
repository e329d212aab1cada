//! `petasos token explain`: tokens and the settings of a hub that need not run.

use super::{ServeError, keys, settings, tokens::InUse};
use crate::{auth::authority::Explanation, config::Config};

/// Says why a token passes or fails on a hub with these settings.
///
/// # Errors
/// The keys cannot be used.
pub fn explain(config: &Config, token: &str) -> Result<Explanation, ServeError> {
    let keepers = keys::start(config, 1, None)?;
    Ok(InUse { keepers, audiences: settings::audiences(config) }.explain(token))
}
