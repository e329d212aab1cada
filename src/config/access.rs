//! Keys and issuers, put together from the settings that speak about them.

use super::{
    directives::Directive,
    keys::{IssuerKey, IssuerKeySet, MASK, Secret, parse_algorithm},
    load::Draft,
    setting::{Given, Source},
};
use crate::{
    auth::{
        Role,
        key::{Algorithm, KeyType},
    },
    keyring::Location,
};

/// Keys and issuers while settings are still being read.
#[derive(Debug, Default)]
pub(super) struct AccessDraft {
    publisher: RoleDraft,
    subscriber: RoleDraft,
    trusted_issuers: Vec<String>,
    /// From `issuer` blocks.
    issuers: Vec<(IssuerBlock, Source)>,
}

#[derive(Debug, Default)]
struct RoleDraft {
    key: Option<KeyDraft>,
    previous: Option<KeyDraft>,
    algorithm: Option<(Algorithm, u8)>,
    key_set: Option<(SetDraft, Source)>,
}

#[derive(Debug)]
struct KeyDraft {
    secret: Secret,
    /// Named beside the key.
    algorithm: Option<Algorithm>,
    source: Source,
}

#[derive(Debug, Clone)]
struct SetDraft {
    location: Location,
    algorithms: Vec<Algorithm>,
}

/// What an `issuer` block says.
#[derive(Debug, Default)]
struct IssuerBlock {
    id: String,
    keys: Vec<IssuerKey>,
    key_sets: Vec<IssuerKeySet>,
    is_authorization_server: bool,
}

/// What all settings about keys amount to, each part with where it was given.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) keys: Vec<(IssuerKey, Source)>,
    pub(super) key_sets: Vec<(IssuerKeySet, Source)>,
    pub(super) authorization_servers: Vec<String>,
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
        !self.trusted_issuers.is_empty() && roles.iter().all(|role| role.is_empty())
    }

    pub(super) fn keys(self) -> Keys {
        let mut issuers = self.issuers;
        // Issuers of a later source replace those of an earlier one.
        let tier = issuers.iter().map(|(_, source)| source.tier()).max();
        issuers.retain(|(_, source)| Some(source.tier()) == tier);
        let mut all = Keys::default();
        for (block, source) in issuers {
            let IssuerBlock { id, keys, key_sets, is_authorization_server } = block;
            all.keys.extend(keys.into_iter().map(|key| (key, source.clone())));
            all.key_sets.extend(key_sets.into_iter().map(|set| (set, source.clone())));
            if is_authorization_server && !all.authorization_servers.contains(&id) {
                all.authorization_servers.push(id);
            }
        }

        let bound_to: Vec<Option<String>> = match self.trusted_issuers.is_empty() {
            true => vec![None],
            false => self.trusted_issuers.into_iter().map(Some).collect(),
        };
        for (role, draft) in
            [(Role::Publisher, self.publisher), (Role::Subscriber, self.subscriber)]
        {
            let setting = draft.algorithm;
            let keys = [(draft.key, false), (draft.previous, true)];
            for (key, previous) in keys.into_iter().filter_map(|(key, is)| Some((key?, is))) {
                for issuer in bound_to.iter().cloned() {
                    let secret = key.secret.clone();
                    let algorithm = key.algorithm(setting);
                    let key_of_issuer = IssuerKey { issuer, role, secret, algorithm, previous };
                    all.keys.push((key_of_issuer, key.source.clone()));
                }
            }
            if let Some((set, source)) = draft.key_set {
                for issuer in bound_to.iter().cloned() {
                    all.key_sets.push((set.clone().of(issuer, role), source.clone()));
                }
            }
        }
        all
    }
}

impl RoleDraft {
    fn is_empty(&self) -> bool {
        self.key.is_none() && self.previous.is_none() && self.key_set.is_none()
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

impl SetDraft {
    fn of(self, issuer: Option<String>, role: Role) -> IssuerKeySet {
        let SetDraft { location, algorithms } = self;
        IssuerKeySet { issuer, role, location, algorithms }
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

pub(super) fn store_key_set(draft: &mut Draft, given: &Given, role: Role) -> Result<(), String> {
    if given.block.is_some() {
        return Err("a block `{ … }` is not possible here".to_owned());
    }
    // A variable holds all of it in one text.
    let words = given.words.iter().flat_map(|word| word.split_whitespace());
    let set = read_key_set(words)?;
    draft.access.role(role).key_set = Some((set, given.source.clone()));
    Ok(())
}

pub(super) fn store_trusted_issuers(draft: &mut Draft, given: &Given) -> Result<(), String> {
    draft.access.trusted_issuers = given.list()?.map(str::to_owned).collect();
    Ok(())
}

/// Reads `issuer ID { publisher { jwt KEY [ALG] } subscriber { jwks_uri URL [ALG…] } }`.
pub(super) fn store_issuer(draft: &mut Draft, given: &Given) -> Result<(), String> {
    let [id] = given.words.as_slice() else {
        return Err("an issuer is written `issuer ID { … }`".to_owned());
    };
    if id.is_empty() {
        return Err("the id of the issuer is empty".to_owned());
    }
    let mut issuer = IssuerBlock { id: id.clone(), ..IssuerBlock::default() };
    for directive in given.block.iter().flatten() {
        match directive.name.as_str() {
            "publisher" => read_role(directive, Role::Publisher, &mut issuer)?,
            "subscriber" => read_role(directive, Role::Subscriber, &mut issuer)?,
            "authorization_server" if directive.words.is_empty() && directive.block.is_none() => {
                issuer.is_authorization_server = true;
            }
            "authorization_server" => {
                return Err("`authorization_server` is one word: it says that the issuer is one, \
                            and its id is its URL"
                    .to_owned());
            }
            other => {
                return Err(format!(
                    "`{other}` is not known in an issuer; `publisher`, `subscriber` and \
                     `authorization_server` are"
                ));
            }
        }
    }
    if issuer.keys.is_empty() && issuer.key_sets.is_empty() {
        return Err(format!(
            "the issuer `{id}` has no keys; write `publisher {{ jwt KEY }}` or \
             `publisher {{ jwks_uri URL }}`"
        ));
    }
    draft.access.issuers.push((issuer, given.source.clone()));
    Ok(())
}

fn read_role(directive: &Directive, role: Role, issuer: &mut IssuerBlock) -> Result<(), String> {
    let IssuerBlock { id, keys, key_sets, .. } = issuer;
    if !directive.words.is_empty() {
        return Err(format!("keys are written in a block: `{role} {{ jwt KEY }}`"));
    }
    let of_role = |problem| format!("{role} of `{id}`: {problem}");
    for directive in directive.block.iter().flatten() {
        match directive.name.as_str() {
            "jwt" => {
                let (secret, algorithm) = read_words(&directive.words).map_err(of_role)?;
                keys.push(IssuerKey {
                    issuer: Some(id.to_owned()),
                    role,
                    secret,
                    algorithm: algorithm.unwrap_or(Algorithm::Hs256),
                    previous: false,
                });
            }
            "jwks_uri" => {
                let words = directive.words.iter().map(String::as_str);
                let of_set = |problem| of_role(format!("jwks_uri: {problem}"));
                let set = read_key_set(words).map_err(of_set)?;
                key_sets.push(set.of(Some(id.to_owned()), role));
            }
            other => {
                return Err(format!(
                    "`{other}` is not known in `{role}`; `jwt` and `jwks_uri` are"
                ));
            }
        }
    }
    Ok(())
}

/// Reads the name of a cookie: a token (RFC 6265 §4.1.1).
pub(super) fn parse_cookie(name: &str) -> Result<String, String> {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_fit) {
        true => Ok(name.to_owned()),
        false => Err(format!("`{name}` is no name of a cookie: use letters, digits, - and _")),
    }
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
    let algorithm = Some(algorithm).filter(|name| !name.is_empty());
    Ok((Secret::new(key.as_bytes()), algorithm.map(parse_algorithm).transpose()?))
}

/// Reads `URL [ALG…]`.
fn read_key_set<'a>(words: impl Iterator<Item = &'a str>) -> Result<SetDraft, String> {
    // Empty ones come from the placeholders of unset variables.
    let mut words = words.filter(|word| !word.is_empty());
    let url = words.next().ok_or("the URL of the key set is missing")?;
    let location = Location::parse(url).map_err(|problem| problem.to_string())?;
    let algorithms = words.map(parse_algorithm).collect::<Result<Vec<_>, _>>()?;
    let of_secrets = algorithms.iter().find(|one| one.key_type() == KeyType::Secret);
    match of_secrets {
        Some(name) => Err(format!(
            "{name} is for shared secrets, and a key set holds public keys; for a secret write \
             `jwt KEY {name}`"
        )),
        None => Ok(SetDraft { location, algorithms }),
    }
}

/// The words of an issuer's block for people to see.
pub(super) fn masked(directive: &Directive) -> Directive {
    let mut masked = directive.clone();
    match directive.name.as_str() {
        "jwt" => mask_first(&mut masked.words),
        "jwks_uri" => mask_url(&mut masked.words),
        _ => {}
    }
    masked.block = directive.block.as_ref().map(|block| block.iter().map(self::masked).collect());
    masked
}

pub(super) fn mask_first(words: &mut [String]) {
    if let Some(word) = words.first_mut() {
        *word = MASK.to_owned();
    }
}

/// A key set's URL may have secrets in its query.
pub(super) fn mask_url(words: &mut [String]) {
    for word in words.iter_mut().filter(|word| word.contains('?')) {
        let end = word.find('?').unwrap_or(word.len());
        word.replace_range(end + 1.., MASK);
    }
}
