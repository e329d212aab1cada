//! Why a token passes or fails, rule by rule: for people, who want to hear of every rule and not
//! of the first that is broken. What counts is [`Authority::verify`], whose verdict stands last.

use std::fmt;

use super::{Authority, Claims, Compact, Header, Issuer, Key, Role, UnixTime};
use crate::{
    auth::{bearer, details::Grants, error::TokenError, key::Algorithm},
    legacy::Version,
    protocol::{matcher::MatcherSet, text::excerpt},
};

/// What is known of a token, in the order in which a hub looks at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    pub rules: Vec<Rule>,
    /// Whether it passes for publishers and for subscribers, or why not. Empty: it is no token.
    pub verdicts: Vec<(Role, Result<(), String>)>,
}

/// One rule with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub outcome: Outcome,
    pub name: &'static str,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Holds,
    Broken,
    /// Nothing depends on it.
    Note,
}

impl Explanation {
    /// Whether it passes for anybody.
    pub fn passes(&self) -> bool {
        self.verdicts.iter().any(|(_, verdict)| verdict.is_ok())
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Rule { outcome, name, text } in &self.rules {
            let outcome = match outcome {
                Outcome::Holds => "ok",
                Outcome::Broken => "NO",
                Outcome::Note => "",
            };
            writeln!(f, "{outcome:<4}{name:<11}{text}")?;
        }
        if self.verdicts.is_empty() {
            return writeln!(f, "\nThis is no token: a request with it is refused (400).");
        }
        writeln!(f)?;
        for (role, verdict) in &self.verdicts {
            match verdict {
                Ok(()) => writeln!(f, "For a {role}: it passes.")?,
                Err(reason) => writeln!(f, "For a {role}: it is refused: {reason}.")?,
            }
        }
        Ok(())
    }
}

/// Of more matchers or audiences than so many, the rest is counted.
const SHOWN_MAX: usize = 8;

impl Authority {
    /// Explains what `text`, which may be a token, is to a hub with these resource identifiers,
    /// one for each name of it; none: it takes them from requests.
    pub fn explain(&self, text: &str, audiences: &[String], now: UnixTime) -> Explanation {
        let mut rules = Rules::default();
        let token = rules.unwrapped(text);
        let verdicts = match self.look_at(&mut rules, token, audiences, now) {
            None => Vec::new(),
            Some(audience) => {
                let verdict = |role| {
                    let verdict = self.verify(token, role, &audience, now);
                    (role, verdict.map(drop).map_err(|error| error.to_string()))
                };
                [Role::Publisher, Role::Subscriber].map(verdict).into()
            }
        };
        Explanation { rules: rules.0, verdicts }
    }

    /// Looks at every rule; returns by which resource identifier the token is checked, if it is a
    /// token.
    fn look_at(
        &self,
        rules: &mut Rules,
        token: &str,
        audiences: &[String],
        now: UnixTime,
    ) -> Option<String> {
        let has_form =
            bearer::token(token.as_bytes()).ok_or_else(|| TokenError::not_a_token(token));
        let split = |token| Compact::split(token, self.settings.limits.token_len_max);
        let compact = match has_form.and_then(split) {
            Ok(compact) => compact,
            Err(error) => return rules.unreadable("form", &error),
        };
        rules.holds("form", format!("a JWS of three parts, {} bytes", token.len()));
        let (header, mut claims) = match (compact.check_header(), compact.claims()) {
            (Ok(header), Ok(claims)) => match Claims::new(claims) {
                Ok(claims) => (header, claims),
                Err(error) => return rules.unreadable("claims", &error),
            },
            (Err(error), _) => return rules.unreadable("header", &error),
            (_, Err(error)) => return rules.unreadable("claims", &error),
        };
        let version = self.settings.legacy.filter(|_| !claims.has_details());
        rules.generation(&header, &claims, self.settings.legacy, version);
        let issuer = self.look_at_issuer(rules, &claims, version.is_some());
        self.look_at_signature(rules, &compact, &header, issuer);
        let is_strict = version.is_none() && issuer.is_none_or(|issuer| issuer.id.is_some());
        rules.dates(&claims, version.is_some(), is_strict, self.settings.leeway, now);
        let fits = |hub: &&String| claims.check_audience(hub) == Ok(true);
        let audience = audiences.iter().find(fits).or(audiences.first()).map(String::as_str);
        rules.audience(&claims, audience, version.is_some(), is_strict);
        // Where any will do, its own.
        let own = claims.audiences().ok().flatten().and_then(|all| all.first().copied());
        let audience = audience.or(own).unwrap_or_default().to_owned();
        rules.result("grants", self.grants(&mut claims, version));
        Some(audience)
    }

    fn look_at_issuer<'a>(
        &'a self,
        rules: &mut Rules,
        claims: &Claims,
        legacy: bool,
    ) -> Option<&'a Issuer> {
        // Which role asks makes no difference to the issuer.
        match self.issuer(claims, Role::Publisher, legacy) {
            Ok(issuer) => {
                rules.holds(
                    "iss",
                    match (&issuer.id, claims.issuer().ok().flatten()) {
                        (Some(_), Some(iss)) => {
                            format!("{} is an issuer of this hub", excerpt(iss))
                        }
                        (Some(id), None) => {
                            format!("it is missing: taken for one of {}", excerpt(id))
                        }
                        (None, _) => "it may be anything: the keys of this hub are bound to no \
                                      issuer"
                            .to_owned(),
                    },
                );
                Some(issuer)
            }
            Err(error) => {
                let ids = self.issuers.iter().filter_map(|issuer| issuer.id.as_deref());
                let ids: Vec<_> = ids.map(excerpt).collect();
                let known = match ids.is_empty() {
                    true => String::new(),
                    false => format!("; the issuers of this hub: {}", ids.join(", ")),
                };
                rules.broken("iss", format!("{error}{known}"));
                None
            }
        }
    }

    fn look_at_signature(
        &self,
        rules: &mut Rules,
        compact: &Compact<'_>,
        header: &Header,
        issuer: Option<&Issuer>,
    ) {
        let Some(issuer) = issuer else {
            if let Some(other) = self.key_elsewhere(compact, header, None) {
                rules.push(Outcome::Note, "signature", format!("it fits {other}"));
            }
            return;
        };
        let checked = [Role::Publisher, Role::Subscriber]
            .map(|role| (role, issuer.check_signature(compact, header, role)));
        // Most tokens are of one role.
        let bad = match checked.iter().any(|(_, checked)| checked.is_ok()) {
            true => Outcome::Note,
            false => Outcome::Broken,
        };
        for (role, checked) in checked {
            match checked {
                Ok(_) => rules.holds("signature", format!("{} of a {role} key", header.alg)),
                Err(error) => {
                    let hint = self.near_miss(compact, header, issuer, role);
                    let hint = hint.map_or(String::new(), |hint| format!("; {hint}"));
                    rules.push(bad, "signature", format!("{error}{hint}"));
                }
            }
        }
    }

    /// What may have gone wrong with a signature that fits no key.
    fn near_miss(
        &self,
        compact: &Compact<'_>,
        header: &Header,
        issuer: &Issuer,
        role: Role,
    ) -> Option<String> {
        let algorithm = Algorithm::from_name(&header.alg)?;
        let mut keys = issuer.keys(role).keys();
        let variant =
            keys.find_map(|key: &Key| key.near_miss(algorithm, compact.message, compact.signature));
        let variant = variant.map(|variant| format!("it fits the key {variant}"));
        variant.or_else(|| {
            let other = self.key_elsewhere(compact, header, Some((issuer, role)))?;
            Some(format!("it fits {other}"))
        })
    }

    /// A key for something else that the signature fits.
    fn key_elsewhere(
        &self,
        compact: &Compact<'_>,
        header: &Header,
        but: Option<(&Issuer, Role)>,
    ) -> Option<String> {
        let is_but = |issuer: &Issuer, role| {
            but.is_some_and(|(other, other_role)| other.id == issuer.id && other_role == role)
        };
        self.issuers.iter().find_map(|issuer| {
            let mut roles = [Role::Publisher, Role::Subscriber].into_iter();
            let role = roles.find(|&role| {
                !is_but(issuer, role) && issuer.check_signature(compact, header, role).is_ok()
            })?;
            let of = issuer.id.as_deref().map(|id| format!(" of the issuer {}", excerpt(id)));
            Some(format!("the {role} key{}", of.unwrap_or_default()))
        })
    }

    fn grants(&self, claims: &mut Claims, version: Option<Version>) -> Result<String, TokenError> {
        let super::Settings { hub_url, limits, .. } = &self.settings;
        let grants = match version {
            Some(_) => Grants::of_legacy(claims.legacy()?, hub_url, limits)?,
            None => Grants::read(claims.take_details(), hub_url, limits)?,
        };
        let payloads = match grants.payloads.len() {
            0 => "",
            _ => "; a payload",
        };
        let (publish, subscribe) = (listed(&grants.publish), listed(&grants.subscribe));
        Ok(format!("publish on {publish}; receive private updates of {subscribe}{payloads}"))
    }
}

/// Matchers, for people.
fn listed(matchers: &MatcherSet) -> String {
    let shown = matchers.iter().take(SHOWN_MAX).map(|matcher| excerpt(matcher.text()));
    let mut shown: Vec<_> = shown.collect();
    match matchers.iter().len() {
        0 => return "nothing".to_owned(),
        all if all > SHOWN_MAX => shown.push(format!("and {} more", all - SHOWN_MAX)),
        _ => {}
    }
    shown.join(", ")
}

#[derive(Default)]
struct Rules(Vec<Rule>);

impl Rules {
    fn push(&mut self, outcome: Outcome, name: &'static str, text: String) {
        self.0.push(Rule { outcome, name, text });
    }

    fn holds(&mut self, name: &'static str, text: String) {
        self.push(Outcome::Holds, name, text);
    }

    fn broken(&mut self, name: &'static str, text: String) {
        self.push(Outcome::Broken, name, text);
    }

    fn result(&mut self, name: &'static str, result: Result<String, TokenError>) {
        match result {
            Ok(text) => self.holds(name, text),
            Err(error) => self.broken(name, error.to_string()),
        }
    }

    fn unreadable<T>(&mut self, name: &'static str, error: &TokenError) -> Option<T> {
        self.broken(name, error.to_string());
        None
    }

    /// The token without what people copy along with it.
    fn unwrapped<'t>(&mut self, text: &'t str) -> &'t str {
        let trimmed = text.trim();
        let token = trimmed.strip_prefix("Authorization:").unwrap_or(trimmed).trim_start();
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim_start();
        let quoted = ['"', '\''].iter().find_map(|quote| {
            token.strip_prefix(*quote).and_then(|token| token.strip_suffix(*quote))
        });
        let token = quoted.unwrap_or(token);
        if token.len() != trimmed.len() {
            self.push(
                Outcome::Note,
                "form",
                "looked at without what stands around it: scheme, quotes".to_owned(),
            );
        }
        token
    }

    /// Of which generation it is, and its type.
    fn generation(
        &mut self,
        header: &Header,
        claims: &Claims,
        legacy: Option<Version>,
        version: Option<Version>,
    ) {
        let kid = header.kid.as_deref().map(|kid| format!(", kid {}", excerpt(kid)));
        let alg = format!("alg {}{}", excerpt(&header.alg), kid.unwrap_or_default());
        if version.is_some() {
            self.holds("header", format!("{alg}; of a 0.x token nothing else is looked at"));
            return self.holds("generation", "0.x: it has no authorization_details".to_owned());
        }
        match header.check_type() {
            Ok(()) => self.holds("header", format!("{alg}, typ is that of an access token")),
            Err(error) => self.broken("header", format!("{alg}; {error}")),
        }
        match (claims.has_details(), claims.has_legacy(), legacy) {
            (true, ..) => self.holds("generation", "1.0: it has authorization_details".to_owned()),
            (false, true, None) => self.broken(
                "generation",
                "0.x, by its claim `mercure`, and this hub does not serve clients of 0.x: give the \
                 token authorization_details, or set `protocol_version_compatibility 8`"
                    .to_owned(),
            ),
            (false, ..) => {
                let text = "it has no authorization_details";
                self.push(Outcome::Note, "generation", text.to_owned());
            }
        }
    }

    fn dates(
        &mut self,
        claims: &Claims,
        legacy: bool,
        is_strict: bool,
        leeway: std::time::Duration,
        now: UnixTime,
    ) {
        match claims.date("exp", legacy) {
            Err(error) => self.broken("exp", error.to_string()),
            Ok(None) if is_strict => self.broken("exp", "the claim `exp` is missing".to_owned()),
            Ok(None) => self.holds("exp", "it is missing, and need not be there".to_owned()),
            Ok(Some(exp)) => {
                let until = exp.saturating_add(leeway);
                match now < until {
                    true => {
                        let left = until.saturating_since(now).as_secs();
                        self.holds("exp", format!("valid for {left} s more"));
                    }
                    false => {
                        let ago = now.saturating_since(until);
                        self.broken("exp", TokenError::Expired { ago }.to_string());
                    }
                }
            }
        }
        match claims.date("nbf", legacy) {
            Err(error) => self.broken("nbf", error.to_string()),
            Ok(Some(nbf)) if now < nbf.saturating_sub(leeway) => {
                let ahead = nbf.saturating_sub(leeway).saturating_since(now);
                self.broken("nbf", TokenError::NotYetValid { ahead }.to_string());
            }
            Ok(Some(_)) => self.holds("nbf", "it is past".to_owned()),
            Ok(None) => {}
        }
    }

    fn audience(&mut self, claims: &Claims, audience: Option<&str>, legacy: bool, is_strict: bool) {
        let own = match claims.audiences() {
            Err(error) => return self.broken("aud", error.to_string()),
            Ok(own) => own,
        };
        match (own, audience) {
            _ if legacy => {}
            (None, _) if is_strict => {
                self.broken("aud", "the claim `aud` is missing".to_owned());
            }
            (None, _) => self.holds("aud", "it is missing, and need not be there".to_owned()),
            (Some(_), Some(hub)) => match claims.check_audience(hub) {
                Ok(_) => self.holds("aud", format!("this hub, {}", excerpt(hub))),
                Err(error) => self.broken("aud", error.to_string()),
            },
            (Some(own), None) => {
                let own: Vec<_> = own.iter().take(SHOWN_MAX).map(|aud| excerpt(aud)).collect();
                self.push(
                    Outcome::Note,
                    "aud",
                    format!(
                        "{}: this hub is what the host of each request says; pin it with \
                         `resource_identifier`",
                        own.join(", ")
                    ),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests;
