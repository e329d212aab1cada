//! Publishes updates (draft-08 #publication).

use std::{fmt, time::Duration};

use super::http::{ClientError, Hub, Refusal};

/// Longest silence of the hub, which may hold a publication back for a while under load.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

const CONNECTIONS_KEPT: usize = 3;

/// Publishes to one hub with one token. Connections are kept and reused.
#[derive(Clone)]
pub struct Publisher {
    hub: Hub,
}

/// Without the token.
impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("url", &self.hub.url.as_str()).finish_non_exhaustive()
    }
}

/// What is published.
#[derive(Debug, Clone, Copy, Default)]
pub struct Publication<'a> {
    /// The canonical topic first; the hub wants at least one.
    pub topics: &'a [&'a str],
    pub data: &'a str,
    /// Only for subscribers whose token says so.
    pub private: bool,
    /// `None`: the hub makes one.
    pub id: Option<&'a str>,
    pub event_type: Option<&'a str>,
    /// How long subscribers shall wait before they reconnect, in milliseconds.
    pub retry: Option<u64>,
}

impl Publisher {
    /// # Errors
    /// The URL or the token is malformed.
    pub fn new(url: &str, token: Option<&str>) -> Result<Self, ClientError> {
        Ok(Publisher { hub: Hub::new(url, token, Some(READ_TIMEOUT), CONNECTIONS_KEPT)? })
    }

    /// Publishes, and returns the id that the update got.
    ///
    /// # Errors
    /// The hub refused the update or gave no answer. Without an answer the update may
    /// nevertheless have been published.
    pub fn publish(&self, publication: &Publication<'_>) -> Result<String, ClientError> {
        let mut request = self.hub.agent.post(self.hub.url.as_str());
        if let Some(authorization) = &self.hub.authorization {
            request = request.header("authorization", authorization);
        }
        let response = request
            .content_type("application/x-www-form-urlencoded")
            .send(form(publication))
            .map_err(|error| self.hub.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(ClientError::Refused(Refusal::read(response)));
        }
        let id = response.into_body().read_to_string();
        id.map_err(|error| self.hub.unreachable(&error))
    }
}

fn form(publication: &Publication<'_>) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for topic in publication.topics {
        form.append_pair("topic", topic);
    }
    form.append_pair("data", publication.data);
    if publication.private {
        form.append_pair("private", "on");
    }
    let optional = [("id", publication.id), ("type", publication.event_type)];
    for (name, value) in optional.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        form.append_pair(name, value);
    }
    if let Some(retry) = publication.retry {
        form.append_pair("retry", &retry.to_string());
    }
    form.finish()
}
