//! A hub inside an application.

use std::{
    fmt,
    net::{SocketAddr, TcpStream},
    sync::{Mutex, PoisonError},
};

use super::{
    HubBuilder, ServeError,
    guest::{PublishError, Publisher, Publishing},
    start::{Place, Running},
};
use crate::{
    config::Config,
    protocol::new_update::NewUpdate,
    worker::{Entrance, NotTaken},
};

/// A hub that runs inside this process, until it is stopped or dropped. There may be several.
///
/// It has threads of its own: the workers, the log, its readers, and one for what the application
/// publishes. They end with the hub.
///
/// ```no_run
/// use petasos::{Hub, auth::key::Algorithm};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let hub = Hub::builder()
///     .publisher_key("a secret of at least 32 bytes, please", Algorithm::Hs256)
///     .anonymous(true)
///     .cors_origins(["https://app.example"])
///     .listen(["127.0.0.1:0"])
///     .setting("heartbeat 20s")
///     .start()?;
/// println!("{}", hub.url().unwrap_or_default());
///
/// let id = hub.publish(&["https://example.com/books/1"], "sold out")?;
/// # let _ = id;
/// hub.stop();
/// # Ok(())
/// # }
/// ```
///
/// Mounted on the application's own listener: the application reads a request's first line, and
/// hands the connection over with all that it has read where the path is the hub's,
/// `/.well-known/mercure` and what is below it.
///
/// ```no_run
/// use petasos::Hub;
/// use std::{io::Read, net::TcpListener};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # fn answer(_: std::net::TcpStream, _: Vec<u8>) {}
/// let hub = Hub::builder().anonymous(true).without_listener().start()?;
/// for stream in TcpListener::bind("127.0.0.1:3000")?.incoming() {
///     let mut stream = stream?;
///     let mut received = vec![0; 4096];
///     let len = stream.read(&mut received)?;
///     received.truncate(len);
///     let is_for_hub = received.split(|&b| b == b' ').nth(1);
///     match is_for_hub.is_some_and(|path| path.starts_with(b"/.well-known/mercure")) {
///         true => hub.take(stream, received)?,
///         false => answer(stream, received),
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Hub {
    running: Mutex<Option<Running>>,
    publisher: Publisher,
    entrance: Entrance,
    addresses: Vec<SocketAddr>,
    url: Option<String>,
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

pub(super) fn start(config: Config, place: Place) -> Result<Hub, ServeError> {
    let running = Running::start(config, place)?;
    running.announce();
    let no_guest = || ServeError::Settings("the application cannot publish".to_owned());
    let listen = &running.config.listen;
    Ok(Hub {
        publisher: running.guest.as_ref().ok_or_else(no_guest)?.publisher(),
        entrance: running.workers.entrance(),
        addresses: running.workers.addrs().to_vec(),
        url: (!listen.addresses.is_empty()).then(|| listen.hub_url()),
        running: Mutex::new(Some(running)),
    })
}

impl Hub {
    /// The settings of a hub that is to be started.
    pub fn builder() -> HubBuilder {
        HubBuilder::default()
    }

    /// The addresses that the hub listens on, with the ports that were chosen for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The URL of the hub for clients on this machine; `None`: it does not listen.
    pub fn url(&self) -> Option<&str> {
        self.url.as_deref()
    }

    /// Publishes a public update, and waits until it is committed: from then on it is in the order
    /// and in the history. Returns its id. It needs no token; all else is as for updates that come
    /// over HTTP, with which it shares one order.
    ///
    /// # Errors
    /// As those of [`Hub::send`].
    pub fn publish(&self, topics: &[&str], data: &str) -> Result<String, PublishError> {
        self.send(NewUpdate::new(topics, data)).wait()
    }

    /// Hands an update in, without waiting: [`Publishing`] is a future of its id, for any runtime,
    /// and can be waited for on a thread.
    ///
    /// # Errors
    /// The answer is one if the update is none that may be published (draft-08 #publication), if it
    /// or what is under way is too much, if workers lag for longer than `publish_wait`, and if the
    /// hub has been stopped.
    pub fn send(&self, update: NewUpdate<'_>) -> Publishing {
        self.publisher.publish(update)
    }

    /// Takes over a connection that the application accepted, with what it has read of it. The hub
    /// serves it to its end, as one of its own: plain HTTP, whatever path a later request names.
    /// Never blocks.
    ///
    /// # Errors
    /// Gives it back if too many wait to be served, or if the hub has been stopped.
    pub fn take(&self, stream: TcpStream, received: Vec<u8>) -> Result<(), Box<NotTaken>> {
        self.entrance.take(stream, received).map_err(Box::new)
    }

    /// Ends the hub as SIGTERM ends the command: no more connections, publications under way are
    /// finished, subscribers are sent away spread over `grace_period`. Returns when that is done
    /// and its threads have ended, a few seconds after the grace period at the latest. False: not
    /// all was done by then, and what was left was cut off. Does nothing more the second time.
    ///
    /// Dropping the hub does the same.
    pub fn stop(&self) -> bool {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        running.is_none_or(|running| {
            tracing::info!("stopping: no more connections are taken");
            running.stop()
        })
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.stop();
    }
}
