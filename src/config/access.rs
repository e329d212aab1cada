//! Keys and issuers, put together from the settings that speak about them.

use super::{
    directives::Directive,
    keys::{self, IssuerKey, MASK, Secret, parse_algorithm},
    load::Draft,
    setting::{Given, Source},
};
use crate::auth::{Role, key::Algorithm};

/// Keys and issuers while settings are still being read.
#[derive(Debug, Default)]
pub(super) struct AccessDraft {
    publisher: RoleDraft,
    subscriber: RoleDraft,
    trusted_issuers: Vec<String>,
    /// From `issuer` blocks.
    issuers: Vec<(IssuerKey, Source)>,
}

#[derive(Debug, Default)]
struct RoleDraft {
    key: Option<KeyDraft>,
    previous: Option<KeyDraft>,
    algorithm: Option<(Algorithm, u8)>,
}

#[derive(Debug)]
struct KeyDraft {
    secret: Secret,
    /// Named beside the key.
    algorithm: Option<Algorithm>,
    source: Source,
}

impl AccessDraft {
    fn role(&mut self, role: Role) -> &mut RoleDraft {
        match role {
            Role::Publisher => &mut self.publisher,
            Role::Subscriber => &mut self.subscriber,
        }
    }

    pub(super) fn trusts_issuers_without_keys(&self) -> bool {
        let roles = [&self.publisher, &self.subscriber];
        !self.trusted_issuers.is_empty()
            && roles.iter().all(|role| role.key.is_none() && role.previous.is_none())
    }

    /// The keys that all of this amounts to, each with where it was given.
    pub(super) fn keys(self) -> Vec<(IssuerKey, Source)> {
        let mut issuers = self.issuers;
        // Issuers of a later source replace those of an earlier one.
        let tier = issuers.iter().map(|(_, source)| source.tier()).max();
        issuers.retain(|(_, source)| Some(source.tier()) == tier);

        let bound_to: Vec<Option<String>> = match self.trusted_issuers.is_empty() {
            true => vec![None],
            false => self.trusted_issuers.into_iter().map(Some).collect(),
        };
        let roles = [(Role::Publisher, self.publisher), (Role::Subscriber, self.subscriber)];
        for (role, draft) in roles {
            let setting = draft.algorithm;
            let keys = [(draft.key, false), (draft.previous, true)];
            for (key, previous) in keys.into_iter().filter_map(|(key, is)| Some((key?, is))) {
                for issuer in &bound_to {
                    let secret = key.secret.clone();
                    let issuer = issuer.clone();
                    let algorithm = key.algorithm(setting);
                    let key_of_issuer = IssuerKey { issuer, role, secret, algorithm, previous };
                    issuers.push((key_of_issuer, key.source.clone()));
                }
            }
        }
        issuers
    }
}

impl KeyDraft {
    /// The algorithm beside the key, unless a later source sets another one.
    fn algorithm(&self, setting: Option<(Algorithm, u8)>) -> Algorithm {
        match (self.algorithm, setting) {
            (Some(beside), Some((_, tier))) if tier <= self.source.tier() => beside,
            (_, Some((algorithm, _))) => algorithm,
            (beside, None) => beside.unwrap_or(Algorithm::Hs256),
        }
    }
}

pub(super) fn store_key(draft: &mut Draft, given: &Given, role: Role) -> Result<(), String> {
    draft.access.role(role).key = Some(read_key(given)?);
    Ok(())
}

pub(super) fn store_previous_key(
    draft: &mut Draft,
    given: &Given,
    role: Role,
) -> Result<(), String> {
    draft.access.role(role).previous = Some(read_key(given)?);
    Ok(())
}

pub(super) fn store_algorithm(draft: &mut Draft, given: &Given, role: Role) -> Result<(), String> {
    let algorithm = parse_algorithm(given.word()?)?;
    draft.access.role(role).algorithm = Some((algorithm, given.source.tier()));
    Ok(())
}

pub(super) fn store_trusted_issuers(draft: &mut Draft, given: &Given) -> Result<(), String> {
    draft.access.trusted_issuers = given.list()?.map(str::to_owned).collect();
    Ok(())
}

/// Reads `issuer ID { publisher { jwt KEY [ALG] } subscriber { jwt KEY [ALG] } }`.
pub(super) fn store_issuer(draft: &mut Draft, given: &Given) -> Result<(), String> {
    let [id] = given.words.as_slice() else {
        return Err("an issuer is written `issuer ID { … }`".to_owned());
    };
    if id.is_empty() {
        return Err("the id of the issuer is empty".to_owned());
    }
    let mut keys = Vec::new();
    for directive in given.block.iter().flatten() {
        let role = match directive.name.as_str() {
            "publisher" => Role::Publisher,
            "subscriber" => Role::Subscriber,
            "authorization_server" => {
                return Err(not_yet("authorization_server"));
            }
            other => {
                return Err(format!(
                    "`{other}` is not known in an issuer; `publisher` and `subscriber` are"
                ));
            }
        };
        keys.extend(read_role(directive, id, role)?);
    }
    if keys.is_empty() {
        return Err(format!("the issuer `{id}` has no keys; write `publisher {{ jwt KEY }}`"));
    }
    draft.access.issuers.extend(keys.into_iter().map(|key| (key, given.source.clone())));
    Ok(())
}

fn read_role(directive: &Directive, id: &str, role: Role) -> Result<Vec<IssuerKey>, String> {
    let role_name = role.to_string();
    if !directive.words.is_empty() {
        return Err(format!("keys are written in a block: `{role_name} {{ jwt KEY }}`"));
    }
    let mut keys: Vec<IssuerKey> = Vec::new();
    for directive in directive.block.iter().flatten() {
        match directive.name.as_str() {
            "jwt" => {
                let (secret, algorithm) = read_words(&directive.words)
                    .map_err(|problem| format!("{role_name} of `{id}`: {problem}"))?;
                keys.push(IssuerKey {
                    issuer: Some(id.to_owned()),
                    role,
                    secret,
                    algorithm: algorithm.unwrap_or(Algorithm::Hs256),
                    previous: false,
                });
            }
            "jwks_uri" => return Err(not_yet("jwks_uri")),
            other => return Err(format!("`{other}` is not known in `{role_name}`; `jwt` is")),
        }
    }
    Ok(keys)
}

/// Reads the name of a cookie: a token (RFC 6265 §4.1.1).
pub(super) fn parse_cookie(name: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_fit) {
        true => Ok(name.to_owned()),
        false => Err(format!("`{name}` is no name of a cookie: use letters, digits, - and _")),
    }
}

fn not_yet(word: &str) -> String {
    format!("`{word}` is not supported yet by this version; use `jwt KEY`")
}

fn read_key(given: &Given) -> Result<KeyDraft, String> {
    if given.block.is_some() {
        return Err("a block `{ … }` is not possible here".to_owned());
    }
    let (secret, algorithm) = read_words(&given.words)?;
    Ok(KeyDraft { secret, algorithm, source: given.source.clone() })
}

/// Reads `KEY [ALG]`. An empty algorithm comes from the placeholder of an unset variable.
fn read_words(words: &[String]) -> Result<(Secret, Option<Algorithm>), String> {
    let (key, algorithm) = match words {
        [key] => (key, ""),
        [key, algorithm] => (key, algorithm.as_str()),
        [] => return Err("the key is missing".to_owned()),
        _ => {
            return Err("a key and an algorithm are possible; \
                        a key that has spaces must be in quotes"
                .to_owned());
        }
    };
    let secret = keys::parse_secret(key)?;
    let algorithm = Some(algorithm).filter(|name| !name.is_empty());
    Ok((secret, algorithm.map(parse_algorithm).transpose()?))
}

/// The words of an issuer's block for people to see.
pub(super) fn masked(directive: &Directive) -> Directive {
    let mut masked = directive.clone();
    if directive.name == "jwt" {
        mask_first(&mut masked.words);
    }
    masked.block = directive.block.as_ref().map(|block| block.iter().map(self::masked).collect());
    masked
}

pub(super) fn mask_first(words: &mut [String]) {
    if let Some(word) = words.first_mut() {
        *word = MASK.to_owned();
    }
}
