//! What an application says of the hub inside of it.

use std::{io, net::TcpListener};

use super::{Hub, ServeError, embedded, limits, start::Place};
use crate::{
    auth::key::Algorithm,
    config::{Config, Directive, Environment, Said, Sources, load},
    worker::Listening,
};

/// The hub leaves the others of so many descriptors to the application.
const OPEN_FILES_SHARE: u64 = 2;

/// Settings of a hub inside an application. Each method means what the directive of the same name
/// means in a configuration file; [`HubBuilder::setting`] takes any of them. Nothing is read from
/// files, variables or command lines unless it is asked for here. Mistakes are found, all of them,
/// by [`HubBuilder::start`].
///
/// The history is in memory unless something else is said: a library does not write to the working
/// directory unasked. One that survives restarts needs a place:
/// `.setting("transport embedded").setting("data_dir /var/lib/app/hub")`.
#[derive(Default)]
#[must_use = "a hub runs once it is started"]
pub struct HubBuilder {
    said: Vec<Said>,
    environment: Environment,
    listening: Listens,
}

/// Where the hub takes connections.
#[derive(Default)]
enum Listens {
    /// As the settings say.
    #[default]
    Addresses,
    Sockets(Vec<TcpListener>),
}

/// Without what was said, which may hold keys.
impl std::fmt::Debug for HubBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubBuilder").finish_non_exhaustive()
    }
}

/// Somebody who issues tokens, and the keys that they are signed with.
#[derive(Clone)]
pub struct Issuer {
    id: String,
    roles: Vec<Directive>,
}

/// Without the keys.
impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Issuer({})", self.id)
    }
}

impl Issuer {
    /// `id`: the `iss` of its tokens.
    pub fn new(id: impl Into<String>) -> Self {
        Issuer { id: id.into(), roles: Vec::new() }
    }

    /// A key of publishers' tokens.
    pub fn publisher_key(self, key: impl Into<String>, algorithm: Algorithm) -> Self {
        self.key("publisher", key.into(), algorithm)
    }

    /// A key of subscribers' tokens.
    pub fn subscriber_key(self, key: impl Into<String>, algorithm: Algorithm) -> Self {
        self.key("subscriber", key.into(), algorithm)
    }

    fn key(mut self, role: &str, key: String, algorithm: Algorithm) -> Self {
        let jwt = directive("jwt", [key, algorithm.name().to_owned()], None);
        self.roles.push(directive(role, [], Some(vec![jwt])));
        self
    }
}

fn directive(
    name: &str,
    words: impl IntoIterator<Item = String>,
    block: Option<Vec<Directive>>,
) -> Directive {
    Directive { line: 0, name: name.to_owned(), words: words.into_iter().collect(), block }
}

impl HubBuilder {
    /// The key that publishers' tokens are signed with: a shared secret, or whatever else the
    /// algorithm wants. Without any, only the application itself publishes.
    pub fn publisher_key(self, key: impl Into<String>, algorithm: Algorithm) -> Self {
        self.say("publisher_jwt", [key.into(), algorithm.name().to_owned()], None)
    }

    /// The key that subscribers' tokens are signed with.
    pub fn subscriber_key(self, key: impl Into<String>, algorithm: Algorithm) -> Self {
        self.say("subscriber_jwt", [key.into(), algorithm.name().to_owned()], None)
    }

    /// An issuer with keys of its own; may be repeated.
    pub fn issuer(self, issuer: Issuer) -> Self {
        self.say("issuer", [issuer.id], Some(issuer.roles))
    }

    /// What tokens must have as audience (RFC 8707).
    pub fn resource_identifier(self, uri: impl Into<String>) -> Self {
        self.say("resource_identifier", [uri.into()], None)
    }

    /// URLs under which the hub is reached; the first is the base of relative topics.
    pub fn public_urls<U: Into<String>>(self, urls: impl IntoIterator<Item = U>) -> Self {
        self.say("public_urls", urls.into_iter().map(Into::into), None)
    }

    /// Whether subscribers without a token get public updates.
    pub fn anonymous(self, is_on: bool) -> Self {
        self.say("anonymous", [if is_on { "on" } else { "off" }.to_owned()], None)
    }

    /// Web origins whose pages may use the hub; `*` for all.
    pub fn cors_origins<O: Into<String>>(self, origins: impl IntoIterator<Item = O>) -> Self {
        self.say("cors_origins", origins.into_iter().map(Into::into), None)
    }

    /// Web origins whose pages may publish with a cookie.
    pub fn publish_origins<O: Into<String>>(self, origins: impl IntoIterator<Item = O>) -> Self {
        self.say("publish_origins", origins.into_iter().map(Into::into), None)
    }

    /// History in memory: the latest `updates_max` updates (0: any number) in `bytes_max` bytes.
    /// For one on disk, which survives restarts, see [`HubBuilder`].
    pub fn history(self, updates_max: u64, bytes_max: u64) -> Self {
        let options = [("size", updates_max), ("max_bytes", bytes_max)];
        let options = options.map(|(name, value)| directive(name, [value.to_string()], None));
        self.say("transport", ["memory".to_owned()], Some(options.into()))
    }

    /// Nothing is kept: who reconnects gets only what is new.
    pub fn without_history(self) -> Self {
        self.say("transport", ["local".to_owned()], None)
    }

    /// Worker threads; 0: one for each core that the process may use.
    pub fn workers(self, count: usize) -> Self {
        self.say("workers", [count.to_string()], None)
    }

    /// A size hint of the reference hub; accepted, and without effect.
    pub fn topic_matcher_cache(self, size: usize) -> Self {
        self.say("topic_matcher_cache", [size.to_string()], None)
    }

    /// Where the hub listens: `127.0.0.1:0` is any free port, which [`Hub::addresses`] tells.
    pub fn listen<A: Into<String>>(mut self, addresses: impl IntoIterator<Item = A>) -> Self {
        self.listening = Listens::Addresses;
        self.say("listen", addresses.into_iter().map(Into::into), None)
    }

    /// The hub takes connections from a socket that listens already, instead of from addresses; may
    /// be repeated. The socket is the hub's from then on, its clones too: it is shut down when the
    /// hub stops.
    pub fn listener(mut self, listener: TcpListener) -> Self {
        match &mut self.listening {
            Listens::Sockets(listeners) => listeners.push(listener),
            Listens::Addresses => self.listening = Listens::Sockets(vec![listener]),
        }
        self
    }

    /// The hub takes no connections but those that [`Hub::take`] hands over.
    pub fn without_listener(mut self) -> Self {
        self.listening = Listens::Sockets(Vec::new());
        self
    }

    /// One directive, as it stands in a configuration file: `heartbeat 20s`. What is said later
    /// wins.
    pub fn setting(self, directive: impl Into<String>) -> Self {
        self.directives(directive)
    }

    /// Directives, one on a line, as they stand in a configuration file: everything that the
    /// command can be told. Log lines go to `tracing`, so what is said of logs has no effect.
    pub fn directives(mut self, text: impl Into<String>) -> Self {
        self.said.push(Said::Text(text.into()));
        self
    }

    /// Takes settings from these variables too, as the command does from those of its process; what
    /// is said by the other methods wins over them. `{env.NAME}` in directives finds them.
    pub fn environment<N: Into<String>, V: Into<String>>(
        mut self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into()));
        self.environment.extend(variables);
        self
    }

    /// Starts the hub, and returns once it takes connections.
    ///
    /// The process stays as it is: no signal is handled, no logger is set, no limit is raised. The
    /// hub reckons with half of the descriptors that the soft limit on open files allows; less or
    /// more is said with `max_connections`. Its workers share the table of open files with the
    /// application, unless `file_tables` says otherwise. A bug that would have the hub break its
    /// promises aborts the process.
    ///
    /// # Errors
    /// [`ServeError::Mistakes`], with every mistake in the settings; or why it could not be
    /// started: then nothing of it runs.
    pub fn start(self) -> Result<Hub, ServeError> {
        let (config, listening) = self.load()?;
        let open_files = limits::open_files() / OPEN_FILES_SHARE;
        embedded::start(config, Place { open_files, listening, has_guest: true })
    }

    fn load(mut self) -> Result<(Config, Option<Listening>), ServeError> {
        // What an application must ask for, since it changes what the application is.
        let say = |name, word: &str| Said::Directive(directive(name, [word.to_owned()], None));
        let mut said = vec![say("file_tables", "shared"), say("admin", "off")];
        if let Listens::Sockets(listeners) = &self.listening
            && !listeners.is_empty()
        {
            let addrs = listeners.iter().map(|it| it.local_addr().map(|addr| addr.to_string()));
            let addrs = addrs.collect::<io::Result<Vec<_>>>()?;
            self.said.push(Said::Directive(directive("listen", addrs, None)));
        }
        said.append(&mut self.said);
        let loaded = load(&Sources {
            dev_key: None,
            file: None,
            environment: &self.environment,
            flags: &[],
            application: Some(&said),
            is_to_run: true,
            read_file: &|path| {
                let text = std::fs::read_to_string(path);
                text.map_err(|error| format!("cannot read `{path}`: {error}"))
            },
        });
        let loaded = loaded.map_err(ServeError::Mistakes)?;
        loaded.notices.iter().for_each(super::notice);
        let settings = loaded.describe();
        let mut config = loaded.config;
        config.admin.settings = settings;
        let listening = match self.listening {
            Listens::Addresses => None,
            Listens::Sockets(listeners) => {
                if listeners.is_empty() {
                    config.listen.addresses.clear();
                    config.listen.unix.clear();
                    config.listen.origins.clear();
                    // Whatever the application takes in.
                    config.listen.catch_all = true;
                }
                Some(Listening::given(listeners))
            }
        };
        Ok((config, listening))
    }

    fn say(
        mut self,
        name: &str,
        words: impl IntoIterator<Item = String>,
        block: Option<Vec<Directive>>,
    ) -> Self {
        self.said.push(Said::Directive(directive(name, words, block)));
        self
    }
}
