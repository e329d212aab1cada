//! Single requests and streams as they come, for `petasos doctor`: what is asked is chosen field by
//! field, and what comes is looked at byte by byte.

use std::{
    io::Read,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use ureq::{
    Agent, Body,
    http::{HeaderMap, Method, Request, Response, Version, header},
};
use url::Url;

use super::{
    credentials::{Credentials, Matcher, Need},
    error::{ClientError, content_type, refused, shown},
    http::Hub,
};

/// Asks a hub, each time on a connection of its own.
pub(crate) struct Probe {
    hub: Hub,
}

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) method: &'a str,
    /// `None`: the hub's own path.
    pub(crate) path: Option<&'a str>,
    pub(crate) query: &'a [(&'a str, &'a str)],
    pub(crate) fields: &'a [(&'a str, &'a str)],
    /// With the credentials of the probe.
    pub(crate) is_authorized: bool,
    /// Longest that the beginning of the answer may take.
    pub(crate) wait: Duration,
}

/// The beginning of an answer.
pub(crate) struct Answer {
    /// It ends with the answer, also while another thread reads.
    agent: Agent,
    url: Url,
    response: Response<Body>,
    /// How long it took to come.
    pub(crate) after: Duration,
}

impl Probe {
    pub(crate) fn new(url: &str, credentials: Credentials) -> Result<Self, ClientError> {
        // Streams are silent for as long as they like here.
        Ok(Probe { hub: Hub::new(url, credentials, None, 0)? })
    }

    pub(crate) fn url(&self) -> &Url {
        &self.hub.url
    }

    pub(crate) fn ask(&self, asking: Asking<'_>) -> Result<Answer, ClientError> {
        let mut url = self.hub.url.clone();
        if let Some(path) = asking.path {
            url.set_path(path);
        }
        if !asking.query.is_empty() {
            url.query_pairs_mut().extend_pairs(asking.query);
        }
        let agent = self.hub.agent.config().new_agent();
        let method = Method::from_bytes(asking.method.as_bytes()).unwrap_or(Method::GET);
        let mut request = Request::builder().method(method).uri(url.as_str());
        for (name, value) in asking.fields {
            request = request.header(*name, *value);
        }
        if asking.is_authorized
            && let Some(authorization) = self.hub.authorization(Need::Subscribe(&[Matcher::Any]))?
        {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let began = Instant::now();
        let unanswered = |error| self.hub.unanswered(error);
        let request = request.body(()).map_err(|error| unanswered(error.into()))?;
        let request = agent.configure_request(request);
        let request = request.timeout_recv_response(Some(asking.wait)).build();
        let response = agent.run(request).map_err(unanswered)?;
        Ok(Answer { agent, url, response, after: began.elapsed() })
    }
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    /// It came by HTTP/1.0.
    pub(crate) fn is_http10(&self) -> bool {
        self.response.version() < Version::HTTP_11
    }

    fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// All values of a field.
    pub(crate) fn fields(&self, name: &str) -> Vec<&str> {
        let values = self.headers().get_all(name).iter();
        values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).collect()
    }

    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields(name).first().copied()
    }

    /// The media type, without parameters.
    pub(crate) fn content_type(&self) -> &str {
        content_type(self.headers())
    }

    /// The error that an answer is that is no success: with the reason that the hub gives, or where
    /// it redirects to.
    pub(crate) fn into_error(self) -> ClientError {
        refused(&self.url, self.response)
    }

    /// The whole content, as far as it is short.
    pub(crate) fn into_text(self) -> Result<String, ClientError> {
        const BYTES_MAX: u64 = 64 << 10;
        let mut body = self.response.into_body();
        let text = body.with_config().limit(BYTES_MAX).lossy_utf8(true).read_to_string();
        let url = shown(&self.url);
        text.map_err(|error| ClientError::Unreachable { url, reason: error.to_string() })
    }

    /// Reads on, in a thread of its own.
    pub(crate) fn into_bytes(self) -> Result<Bytes, ClientError> {
        const READ_BYTES: usize = 16 << 10;
        let (give, pieces) = mpsc::channel();
        let mut body = self.response.into_body().into_reader();
        let read = move || {
            let mut buffer = [0; READ_BYTES];
            loop {
                let piece = body.read(&mut buffer).map(|len| buffer[..len].to_vec());
                let is_last = !matches!(&piece, Ok(piece) if !piece.is_empty());
                if give.send(piece.ok().filter(|piece| !piece.is_empty())).is_err() || is_last {
                    break;
                }
            }
        };
        let thread = thread::Builder::new().name("probe".into()).spawn(read);
        thread.map_err(ClientError::Broken)?;
        Ok(Bytes { agent: self.agent, pieces })
    }
}

/// The content of a stream. Dropped, it ends the connection.
pub(crate) struct Bytes {
    agent: Agent,
    pieces: mpsc::Receiver<Option<Vec<u8>>>,
}

/// What came of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Came {
    Bytes(Vec<u8>),
    /// The end, in whatever way.
    End,
    Nothing,
}

impl Bytes {
    /// What comes next, until then.
    pub(crate) fn next(&self, until: Instant) -> Came {
        let left = until.saturating_duration_since(Instant::now());
        match self.pieces.recv_timeout(left) {
            Ok(Some(bytes)) => Came::Bytes(bytes),
            Ok(None) | Err(mpsc::RecvTimeoutError::Disconnected) => Came::End,
            Err(mpsc::RecvTimeoutError::Timeout) => Came::Nothing,
        }
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        self.agent.clone().shutdown();
    }
}
