//! Requests to a hub, made of what rows write.

use crate::{
    facts::COOKIE,
    http::{Answer, Message, NO_FIELD, Stream},
    hub::{Hub, Role, expand},
    row::{Request, Twist, post},
    verdict::{Verdict, failed},
};

impl Hub {
    /// A request to another path of the hub's origin, without a token.
    pub(crate) fn at(&self, path: &str) -> Message {
        let shown = format!("GET {path}");
        let url = format!("{}{path}", self.origin());
        Message { method: "GET", url, fields: vec![], body: None, shown }
    }

    /// A request with the usual token of its role. `topic` stands for `{t}`.
    pub(crate) fn message(&self, request: &Request, topic: &str) -> Message {
        let token = match request.method {
            "POST" => Some(self.full_token(Role::Publisher)),
            _ => (!self.anonymous()).then(|| self.blind_token()),
        };
        self.message_as(request, topic, token.as_deref())
    }

    /// A request with this token, unless it says otherwise itself.
    pub(crate) fn message_as(
        &self,
        request: &Request,
        topic: &str,
        token: Option<&str>,
    ) -> Message {
        let role = match request.method {
            "POST" => Role::Publisher,
            _ => Role::Subscriber,
        };
        let expand = |text: &str| expand(text, topic).replace("{path}", self.path());
        let query = request.query.as_deref().map(expand).filter(|query| !query.is_empty());
        let body = request.body.as_deref().map(expand);
        // What is shown has placeholders in the place of tokens.
        let mut shown = vec![request.method.to_owned()];
        shown.extend(query.iter().map(|query| format!("?{query}")));
        let mut fields = Vec::new();
        for (name, value) in &request.fields {
            let value = expand(value);
            match value.as_str() {
                NO_FIELD => shown.push(format!("[no {name}]")),
                value => shown.push(format!("[{name}: {value}]")),
            }
            let value = value.replace("{cookie}", self.cookie().unwrap_or(COOKIE));
            fields.push((*name, self.with_tokens(value, role, topic)));
        }
        shown.extend(body.clone());
        let is_given = fields.iter().any(|(name, _)| *name == "Authorization");
        if let (Some(token), false) = (token, is_given) {
            fields.push(("Authorization", format!("Bearer {token}")));
        }
        let with_tokens = |text| self.with_tokens(text, role, topic);
        let (query, body) = (query.map(with_tokens), body.map(with_tokens));
        let url = match query {
            Some(query) => format!("{}?{query}", self.target.url),
            None => self.target.url.clone(),
        };
        Message { method: request.method, url, fields, body, shown: shown.join(" ") }
    }

    /// A text with the tokens that it asks for.
    fn with_tokens(&self, text: String, role: Role, topic: &str) -> String {
        if text.contains("{token}") {
            return text.replace("{token}", &self.full_token(role));
        }
        if text.contains("{strange}") {
            return text.replace("{strange}", &self.twisted(role, &Twist::StrangeKey, topic));
        }
        text
    }

    /// The answer to a request with the usual token.
    pub(crate) fn answer(&self, request: &Request) -> Verdict<Answer> {
        self.client.answer(&self.message(request, &self.topic()))
    }

    /// The stream that a request with the usual token is answered with.
    pub(crate) fn open(&self, request: &Request) -> Verdict<Stream> {
        self.client.open(&self.message(request, &self.topic()))
    }

    /// The stream of a subscriber with a token.
    pub(crate) fn open_as(&self, request: &Request, token: &str) -> Verdict<Stream> {
        self.client.open(&self.message_as(request, &self.topic(), Some(token)))
    }

    /// Publishes a form with the usual token; returns the id.
    pub(crate) fn publish(&self, form: &str) -> Verdict<String> {
        let message = self.message(&post(form), &self.topic());
        let answer = self.client.answer(&message)?;
        if answer.status != 200 {
            return failed(message, "200 and the id", answer);
        }
        Ok(answer.body)
    }

    /// Publishes numbers as data of a topic; returns their ids.
    pub(crate) fn publish_numbers(
        &self,
        topic: &str,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Verdict<Vec<String>> {
        let numbers = numbers.into_iter();
        numbers.map(|number| self.publish(&format!("topic={topic}&data={number}"))).collect()
    }
}
