//! Publishes an update, with a token that is made for it.
//!
//! ```text
//! export PETASOS_KEY='a secret of at least 32 bytes, please'
//! cargo run --example publish -- http://127.0.0.1:3000/.well-known/mercure \
//!     https://example.com/books/1 'sold out'
//! ```

use std::{env, error::Error};

use petasos::client::{Credentials, Publisher, TokenKey};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [url, topic, data] = &arguments[..] else {
        return Err("write: publish URL TOPIC DATA".into());
    };
    let key = TokenKey::secret(env::var("PETASOS_KEY")?)?;
    let publisher = Publisher::new(url, Credentials::key(key))?;
    // Tried again while the hub is busy or away, always with one id.
    let id = publisher.publish(&[topic], data)?;
    println!("{id}");
    Ok(())
}
