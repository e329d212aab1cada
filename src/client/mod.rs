//! Publishing and subscribing from an application, and from the command line.
//!
//! [`Publisher`] sends updates, and tries again with the same id where that makes sense.
//! [`Subscriber`] is an iterator of events and of the errors between them; it reconnects by itself
//! behind the last event, and says where something may have been lost.
//! [`Subscriber::into_stream`] makes a `Stream` of it, for any asynchronous runtime.
//! [`Credentials`] are what both show to the hub: a token, a source of fresh tokens, or a key that
//! they make short-lived tokens with.
//!
//! ```no_run
//! use petasos::client::{Credentials, Event, Publisher, Subscriber, Subscription, TokenKey};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let url = "http://127.0.0.1:8080/.well-known/mercure";
//! let topic = "https://example.com/books/1";
//!
//! let matchers = [topic.into()];
//! let subscription = Subscription { matchers: &matchers, ..Subscription::default() };
//! let mut subscriber = Subscriber::new(url, Credentials::none(), &subscription)?;
//! subscriber.connect()?;
//!
//! let key = TokenKey::secret("a secret of at least 32 bytes, please")?;
//! let publisher = Publisher::new(url, Credentials::key(key))?;
//! let id = publisher.publish(&[topic], "sold out")?;
//!
//! for event in subscriber {
//!     match event {
//!         Ok(Event::Update(update)) if update.id == id => break,
//!         Ok(Event::Update(update)) => println!("{}", update.data),
//!         Ok(Event::Gap(_)) => println!("something may be missing: fetch the book anew"),
//!         Err(error) => eprintln!("{error}; trying again"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod backoff;
mod credentials;
mod error;
mod http;
#[cfg(feature = "command")]
pub(crate) mod probe;
mod publisher;
mod sse;
mod stream;
mod subscriber;
#[cfg(test)]
mod tests;

pub use credentials::{Credentials, Matcher, TokenKey};
pub use error::{ClientError, OtherError, Refusal};
pub use publisher::Publisher;
pub use sse::{Parser, TooLong, Update};
pub use stream::UpdateStream;
pub use subscriber::{Event, Gap, Stopper, Subscriber, Subscription};

pub use crate::protocol::new_update::NewUpdate;
