//! The preset of `--dev`: a hub to try things out with, on this machine only, and not secure.

use super::{
    keys::{IssuerKey, Secret},
    setting::Source,
    tree::Config,
};
use crate::auth::{Role, key::Algorithm};

/// The issuer of the tokens that `--dev` prints.
pub const DEV_ISSUER: &str = "urn:petasos:dev";

/// What differs from the defaults. Files, variables and flags win over it.
pub(super) const PRESET: [(&str, &str); 4] = [
    ("listen", "127.0.0.1:8080"),
    ("anonymous", "on"),
    ("cors_origins", "*"),
    ("transport", "memory"),
];

/// Adds the key of the printed token, behind those that were given, and pins the audience to the
/// URL that is printed.
pub(super) fn complete(config: &mut Config, key: &Secret, keys: &mut Vec<(IssuerKey, Source)>) {
    config.dev = true;
    if config.identity.resource_identifier.is_none() {
        config.identity.resource_identifier = Some(config.listen.hub_url());
    }
    // Keys that are bound to an issuer and keys that are not do not go together.
    let is_bound = keys.iter().all(|(given, _)| given.issuer.is_some());
    for role in [Role::Publisher, Role::Subscriber] {
        let key = IssuerKey {
            issuer: is_bound.then(|| DEV_ISSUER.to_owned()),
            role,
            secret: key.clone(),
            algorithm: Algorithm::Hs256,
            previous: false,
        };
        keys.push((key, Source::Dev));
    }
}
