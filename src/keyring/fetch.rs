//! One fetch of a set: a bounded time, a bounded number of bytes, and no other place than the one
//! that was configured.

use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

use ureq::{
    Agent,
    http::{StatusCode, header},
};
use url::Url;

use super::Location;
use crate::{
    auth::{
        jwks::{self, JwksError, KeySet},
        key::Algorithm,
    },
    protocol::text::excerpt,
    trust,
};

/// From the look-up of the host to the last byte.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a set was not fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("cannot read the file: {0}")]
    File(io::Error),
    #[error("it is no file")]
    NoFile,
    #[error("no answer: {0}")]
    NoAnswer(ureq::Error),
    #[error("its certificate is not accepted ({0}); to trust its authority: SSL_CERT_FILE=FILE")]
    Certificate(String),
    #[error("the answer took longer than {} s", TIMEOUT.as_secs())]
    Timeout,
    #[error("the answer broke off: {0}")]
    Broken(ureq::Error),
    #[error("it redirects to {}: configure that, if it is the issuer's", excerpt(.0))]
    Redirect(String),
    #[error("the answer is {0} instead of 200")]
    Status(StatusCode),
    #[error("what is there is no set of keys: {0}")]
    Set(#[from] JwksError),
}

/// Fetches a set, and knows how to tell whether its file has changed.
pub(super) struct Fetcher {
    location: Location,
    /// Algorithms that the configuration allows its keys; none means those that the keys name.
    algorithms: Vec<Algorithm>,
    agent: Option<Agent>,
    /// What the file was when it was read last.
    file: Option<FileState>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileState {
    modified: Option<SystemTime>,
    len: u64,
    inode: u64,
}

impl Fetcher {
    pub(super) fn new(location: Location, algorithms: Vec<Algorithm>) -> Fetcher {
        Fetcher { location, algorithms, agent: None, file: None }
    }

    pub(super) fn location(&self) -> &Location {
        &self.location
    }

    pub(super) fn fetch(&mut self) -> Result<KeySet, FetchError> {
        let bytes = match &self.location {
            Location::File(path) => {
                self.file = state_of(path);
                read(path)?
            }
            Location::Url(url) => get(self.agent.get_or_insert_with(agent), url)?,
        };
        Ok(jwks::parse(&bytes, &self.algorithms)?)
    }

    /// Whether the file is another one than was read last.
    pub(super) fn has_changed(&self) -> bool {
        match &self.location {
            Location::File(path) => state_of(path) != self.file,
            Location::Url(_) => false,
        }
    }

    pub(super) fn is_file(&self) -> bool {
        matches!(self.location, Location::File(_))
    }
}

fn state_of(path: &str) -> Option<FileState> {
    let metadata = fs::metadata(path).ok()?;
    Some(FileState {
        modified: metadata.modified().ok(),
        len: metadata.len(),
        inode: metadata.ino(),
    })
}

fn read(path: &str) -> Result<Vec<u8>, FetchError> {
    // A pipe would be waited for.
    if !fs::metadata(path).map_err(FetchError::File)?.is_file() {
        return Err(FetchError::NoFile);
    }
    let mut bytes = Vec::new();
    // One byte more than is accepted tells that there are too many.
    let file = File::open(path).map_err(FetchError::File)?;
    file.take(jwks::LEN_MAX as u64 + 1).read_to_end(&mut bytes).map_err(FetchError::File)?;
    Ok(bytes)
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        // "Precautions against server-side request forgery" (draft-08
        // #protected-resource-metadata-and-authorization-server-selection): no other URL.
        .max_redirects(0)
        .max_idle_connections(0)
        .tls_config(trust::tls_config())
        .user_agent(concat!("petasos/", env!("CARGO_PKG_VERSION")))
        .accept("application/jwk-set+json, application/json")
        .timeout_global(Some(TIMEOUT))
        .build()
        .new_agent()
}

fn get(agent: &Agent, url: &Url) -> Result<Vec<u8>, FetchError> {
    let mut response =
        agent.get(url.as_str()).call().map_err(|error| explain(error, FetchError::NoAnswer))?;
    match response.status() {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            let target = response.headers().get(header::LOCATION);
            let target = target.map(|target| String::from_utf8_lossy(target.as_bytes()));
            return Err(FetchError::Redirect(target.unwrap_or_default().into_owned()));
        }
        status => return Err(FetchError::Status(status)),
    }
    let body = response.body_mut().with_config().limit(jwks::LEN_MAX as u64);
    body.read_to_vec().map_err(|error| match error {
        ureq::Error::BodyExceedsLimit(_) => FetchError::Set(JwksError::TooLong),
        error => explain(error, FetchError::Broken),
    })
}

fn explain(error: ureq::Error, otherwise: fn(ureq::Error) -> FetchError) -> FetchError {
    use rustls::Error::{InvalidCertificate, NoCertificatesPresented};
    let of_tls = match &error {
        ureq::Error::Timeout(_) => return FetchError::Timeout,
        ureq::Error::Rustls(error) => Some(error),
        ureq::Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
        _ => None,
    };
    match of_tls {
        Some(of_tls @ (InvalidCertificate(_) | NoCertificatesPresented)) => {
            FetchError::Certificate(of_tls.to_string())
        }
        _ => otherwise(error),
    }
}
