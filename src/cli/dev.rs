//! What `--dev` prints: everything that is needed to try the hub out.

use super::token::{self, Claims};
use crate::{
    client::Matcher,
    config::{Config, DEV_ISSUER, Secret},
};
use std::time::Duration;

const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);

/// A key for this run only.
pub(super) fn new_key() -> Result<Secret, String> {
    super::random::<32>().map(Secret::new)
}

/// The text for a hub with these settings.
pub(super) fn banner(config: &Config) -> Result<String, String> {
    // The preset adds its key behind those that were given.
    let key = config.access.keys.last().filter(|_| config.dev);
    let key = key.ok_or("the settings have no key of --dev")?;
    let claims = Claims {
        issuer: Some(DEV_ISSUER.to_owned()),
        audience: config.identity.resource_identifier.clone(),
        publish: vec![Matcher::Any],
        subscribe: vec![Matcher::Any],
        life: Some(TOKEN_LIFE),
        ..Claims::default()
    };
    let token = token::mint(&claims, &key.secret, key.algorithm)?;
    let curl = match (config.listen.addresses.first(), config.listen.unix.first()) {
        (None, Some(socket)) => format!("curl --unix-socket '{}'", socket.path.display()),
        _ => "curl".to_owned(),
    };
    Ok(text(&curl, &config.listen.hub_url(), &token))
}

fn text(curl: &str, url: &str, token: &str) -> String {
    format!(
        "\
*** INSECURE: --dev is for trying things out. Anybody may subscribe, from any web page. ***

Hub    {url}
Token  {token}

Subscribe:
  {curl} -N '{url}?match=https%3A%2F%2Fexample.com%2Fbooks%2F1'

Publish:
  {curl} '{url}' -H 'Authorization: Bearer {token}' \\
    --data-urlencode 'topic=https://example.com/books/1' --data-urlencode 'data=Hello'
"
    )
}
