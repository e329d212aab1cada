//! A hub inside an application, which publishes the time into it, once a second.
//!
//! ```text
//! export PETASOS_KEY='a secret of at least 32 bytes, please'
//! cargo run --example hub -- 127.0.0.1:3000
//! ```
//!
//! Clients with a token of that key may publish too; anybody may subscribe.

use std::{
    env,
    error::Error,
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use petasos::{Hub, auth::key::Algorithm};

fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let hub = Hub::builder()
        .publisher_key(env::var("PETASOS_KEY")?, Algorithm::Hs256)
        .anonymous(true)
        .cors_origins(["*"])
        .listen([address])
        .start()?;
    println!("{}", hub.url().unwrap_or_default());
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        hub.publish(&["https://example.com/clock"], &now.to_string())?;
        thread::sleep(Duration::from_secs(1));
    }
}
