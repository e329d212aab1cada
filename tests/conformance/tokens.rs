//! Tokens for a hub: valid ones, and others.

use serde_json::{Value, json};

use crate::{
    common::tokens,
    hub::{Hub, Role, expand, random},
    row::Twist,
    signer::Signer,
};

const DETAIL_TYPE: &str = "https://mercure.rocks/authorization-detail";

impl Hub {
    pub(crate) fn signer(&self, role: Role) -> &Signer {
        match role {
            Role::Publisher => &self.target.publisher,
            Role::Subscriber => &self.target.subscriber,
        }
    }

    /// The header of a valid token.
    pub(crate) fn header(&self, role: Role) -> Value {
        json!({ "alg": self.signer(role).name(), "typ": "at+jwt" })
    }

    /// The claims of a valid token that grants the role's action on these topics, a list of topic
    /// matchers.
    pub(crate) fn claims(&self, role: Role, topics: Value) -> Value {
        let mut claims = tokens::claims(role.action(), &[]);
        claims["iss"] = self.target.issuer.as_str().into();
        claims["aud"] = self.audience().into();
        claims["jti"] = format!("{:016x}", random()).into();
        claims["authorization_details"][0]["topics"] = topics;
        claims
    }

    pub(crate) fn sign(&self, role: Role, claims: &Value) -> String {
        self.signer(role).sign(&self.header(role), claims)
    }

    /// A valid token with these grants.
    pub(crate) fn token(&self, role: Role, topics: Value) -> String {
        self.sign(role, &self.claims(role, topics))
    }

    /// A valid token that grants what a row says. `topic` stands for `{t}`.
    pub(crate) fn granting(&self, role: Role, topics: &Value, topic: &str) -> String {
        self.token(role, self.meant(topics, topic))
    }

    /// A token that may do everything that the role may.
    pub(crate) fn full_token(&self, role: Role) -> String {
        self.token(role, json!([{ "match": "*" }]))
    }

    /// A subscriber's token that reads nothing that is private.
    pub(crate) fn blind_token(&self) -> String {
        self.token(Role::Subscriber, json!([{ "match": format!("{}/nothing", self.prefix) }]))
    }

    /// A token that may do everything, but for this. `topic` stands for `{t}`.
    pub(crate) fn twisted(&self, role: Role, twist: &Twist, topic: &str) -> String {
        let mut header = self.header(role);
        let mut claims = self.claims(role, json!([{ "match": "*" }]));
        let object = |value: &mut Value, name: &str| {
            value.as_object_mut().expect("an object").remove(name);
        };
        let meant = |value: &Value| self.meant(value, topic);
        let details = "authorization_details";
        match twist {
            Twist::Nothing | Twist::StrangeKey | Twist::Text(..) => {}
            Twist::Header(name, value) => header[*name] = meant(value),
            Twist::NoHeader(name) => object(&mut header, name),
            Twist::Claim(name, value) => claims[*name] = meant(value),
            Twist::NoClaim(name) => object(&mut claims, name),
            Twist::Detail(name, value) => claims[details][0][*name] = meant(value),
            Twist::NoDetail(name) => object(&mut claims[details][0], name),
            Twist::OneMore(value) => {
                claims[details].as_array_mut().expect("an array").push(meant(value));
            }
        }
        let token = match twist {
            Twist::StrangeKey => Signer::strange(self.signer(role)).sign(&header, &claims),
            _ => self.signer(role).sign(&header, &claims),
        };
        match twist {
            Twist::Text(_, change) => change(&token),
            _ => token,
        }
    }

    /// A value with what its placeholders stand for.
    fn meant(&self, value: &Value, topic: &str) -> Value {
        match value {
            Value::String(text) => {
                let text = expand(text, topic).replace("{aud}", self.audience());
                text.replace("{iss}", &self.target.issuer).replace("{type}", DETAIL_TYPE).into()
            }
            Value::Array(all) => all.iter().map(|value| self.meant(value, topic)).collect(),
            Value::Object(members) => {
                let members = members.iter();
                members.map(|(name, value)| (name.clone(), self.meant(value, topic))).collect()
            }
            other => other.clone(),
        }
    }
}
