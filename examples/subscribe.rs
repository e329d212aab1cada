//! Prints the updates of some topics as they come, for as long as it runs.
//!
//! ```text
//! cargo run --example subscribe -- http://127.0.0.1:3000/.well-known/mercure \
//!     https://example.com/clock https://example.com/books/1
//! ```

use std::{env, error::Error};

use petasos::client::{Credentials, Event, Matcher, Subscriber, Subscription};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let url = arguments.next().ok_or("write: subscribe URL TOPIC…")?;
    let matchers: Vec<Matcher> = arguments.map(|topic| topic.as_str().into()).collect();
    let subscription = Subscription { matchers: &matchers, ..Subscription::default() };
    let mut subscriber = Subscriber::new(&url, Credentials::none(), &subscription)?;
    // Everything that is published from here on will come.
    subscriber.connect()?;
    eprintln!("subscribed");
    for event in subscriber {
        match event {
            Ok(Event::Update(update)) => println!("{}: {}", update.id, update.data),
            Ok(Event::Gap(gap)) => eprintln!("something may be missing after {}", gap.requested),
            // It connects again by itself, and goes on where it was; or the loop ends.
            Err(error) => eprintln!("{error}"),
        }
    }
    Ok(())
}
