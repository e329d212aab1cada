//! Why a token is refused. The texts are for the operator only: clients see the challenge, which
//! does not tell one failure from another (draft-08 #error-responses). No text holds a token, a
//! part of one that authorizes anything, or a key.

use std::time::Duration;

use super::{
    Role,
    authority::SetId,
    challenge::Challenge,
    details::DetailsError,
    json::JsonError,
    json::WrongCase,
    jws::foreign_form,
    key::{Algorithm, names},
};
use crate::{
    legacy::claims::ClaimError,
    protocol::{matcher::MatcherError, text::excerpt},
};

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("the token has characters that no token has, or spaces in it{}", hinted(hint))]
    NotAToken { hint: Option<&'static str> },
    #[error("the token is empty")]
    Empty,
    #[error(
        "the token looks encrypted: five parts, a JWE and not a JWS; tell the issuer to sign \
         access tokens only"
    )]
    Encrypted,
    #[error("the token has {parts} parts, a JWS has three{}", hinted(hint))]
    NotThreeParts { parts: usize, hint: Option<&'static str> },

    #[error("the token has {len} bytes, this hub takes {len_max}")]
    TooLong { len: usize, len_max: usize },
    #[error("the {part} is no base64url without padding")]
    NotBase64 { part: Part },
    #[error("the {part} {source}")]
    Json { part: Part, source: JsonError },
    #[error("in the {part}, {source}")]
    WrongCase { part: Part, source: WrongCase },
    #[error("the header member `{name}` is missing or no string")]
    HeaderMember { name: &'static str },
    #[error(
        "typ is {}, an access token has at+jwt (RFC 9068); is this an ID token, or one of an \
         earlier protocol version?",
        excerpt(typ)
    )]
    Typ { typ: String },
    #[error("the header demands extensions (crit) that this hub does not know")]
    Critical,
    #[error(
        "alg is {}, the {role} keys are configured for {}",
        excerpt(alg), names(allowed.iter().copied())
    )]
    Algorithm { alg: String, role: Role, allowed: Vec<Algorithm> },
    #[error("no {role} key is configured{}", of_issuer(issuer))]
    NoKey { role: Role, issuer: Option<String> },
    #[error("the signature fits no configured {role} key{}", of_issuer(issuer))]
    Signature { role: Role, issuer: Option<String> },
    #[error(
        "the signature fits none of the {tried} {role} keys{} that were tried, of {of} that it may \
         be of: the issuer has to name its key (kid)",
        of_issuer(issuer)
    )]
    TooManyKeys { role: Role, issuer: Option<String>, tried: usize, of: usize },
    #[error(
        "no {role} key{} has the kid {}, and {alg} signatures of no other key fit",
        of_issuer(issuer), excerpt(kid), alg = excerpt(alg)
    )]
    UnknownKid { kid: String, alg: String, role: Role, issuer: Option<String>, sets: Vec<SetId> },
    #[error("{role} keys{} are missing: {reason}", of_issuer(issuer))]
    KeysMissing { role: Role, issuer: Option<String>, reason: String, sets: Vec<SetId> },

    #[error("the claim `{name}` is missing")]
    ClaimMissing { name: &'static str },
    #[error("the claim `{name}` is no {expected}")]
    ClaimShape { name: &'static str, expected: &'static str },
    #[error("unknown iss {}: configure it as an issuer, or tell it to use another", excerpt(iss))]
    UnknownIssuer { iss: String },
    #[error("aud is {aud}, this hub is {}", excerpt(hub))]
    Audience { aud: String, hub: String },
    #[error("expired {} s ago", seconds(ago))]
    Expired { ago: Duration },
    #[error("not valid before {} s from now: do the clocks differ?", seconds(ahead))]
    NotYetValid { ahead: Duration },
    #[error(transparent)]
    Details(#[from] DetailsError),
    #[error(transparent)]
    Legacy(#[from] ClaimError),
    #[error("a topic selector of the claim `mercure` {0}")]
    Selector(MatcherError),
    #[error("the claim `mercure` has a topic selector of an unknown type, {}", excerpt(name))]
    SelectorType { name: String },
    #[error("the claim `mercure` has more than {max} topic selectors for one action")]
    TooManySelectors { max: usize },
}

/// A part of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Header,
    Claims,
}

impl TokenError {
    /// For what cannot be a token by its characters.
    pub(super) fn not_a_token(text: &str) -> TokenError {
        TokenError::NotAToken { hint: foreign_form(text) }
    }

    /// The sets of keys that, fetched anew, might hold the token's key.
    pub fn outdated_sets(&self) -> &[SetId] {
        match self {
            TokenError::UnknownKid { sets, .. } | TokenError::KeysMissing { sets, .. } => sets,
            _ => &[],
        }
    }

    /// What the client is told: a token that is none is a malformed request; every other failure
    /// is `invalid_token`, whatever it was.
    pub fn challenge(&self) -> Challenge {
        match self {
            TokenError::NotAToken { .. }
            | TokenError::Empty
            | TokenError::Encrypted
            | TokenError::NotThreeParts { .. } => Challenge::InvalidRequest,
            _ => Challenge::InvalidToken,
        }
    }
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Part::Header => "token's header",
            Part::Claims => "token's claims",
        })
    }
}

fn hinted(hint: &Option<&'static str>) -> String {
    hint.map(|hint| format!(": {hint}")).unwrap_or_default()
}

fn of_issuer(issuer: &Option<String>) -> String {
    issuer.as_ref().map(|issuer| format!(" for the issuer {}", excerpt(issuer))).unwrap_or_default()
}

/// Whole seconds where they tell enough, milliseconds where not.
fn seconds(duration: &Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{:.3}", duration.as_secs_f64()),
        seconds => seconds.to_string(),
    }
}
