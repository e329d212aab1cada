//! The preset of `--dev`: a hub to try things out with, on this machine only, and not secure.

use super::{
    access::Keys,
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
pub(super) fn complete(config: &mut Config, key: &Secret, given: &mut Keys) {
    config.dev = true;
    if config.identity.resource_identifier.is_none() {
        config.identity.resource_identifier = Some(config.listen.hub_url());
    }
    // Keys that are bound to an issuer and keys that are not do not go together.
    let of_keys = given.keys.iter().map(|(key, _)| &key.issuer);
    let of_sets = given.key_sets.iter().map(|(set, _)| &set.issuer);
    let is_bound = of_keys.chain(of_sets).all(Option::is_some);
    for role in [Role::Publisher, Role::Subscriber] {
        let key = IssuerKey {
            issuer: is_bound.then(|| DEV_ISSUER.to_owned()),
            role,
            secret: key.clone(),
            algorithm: Algorithm::Hs256,
            previous: false,
        };
        given.keys.push((key, Source::Dev));
    }
}
