//! Publishes with the crate `mercure`, and makes a token with it, as its README shows.
//!
//! Arguments: the URL of the hub, the key of publishers and that of subscribers. Tells what
//! happens, one JSON array a line.

use std::{env, error::Error};

use mercure::{
    HubUrl, PublisherJwt, SubscriberJwt, Topic, TopicSelector,
    client::PublishUpdatePrivacy,
    jwt::{SubscriberJwtMaxAge, SubscriberJwtSecret},
};
use serde_json::json;
use url::Url;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run())
}

async fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [hub, publisher_key, subscriber_key] = &arguments[..] else {
        return Err("give a URL and two keys".into());
    };
    let books = TopicSelector::UriTemplate("https://example.com/books/{book_id}".try_into()?);
    let secret = SubscriberJwtSecret::from(subscriber_key.clone().into_bytes());
    for max_age in [None, Some(SubscriberJwtMaxAge::MAX)] {
        let token = SubscriberJwt::new(&secret, max_age, vec![books.clone()])?;
        println!("{}", json!(["token", token.to_string()]));
    }

    let http_client = reqwest::Client::new();
    let hub_url = HubUrl::try_from(hub.parse::<Url>()?)?;
    let secret = publisher_key.clone().into_bytes().into();
    let book = || Topic::from("https://example.com/books/1".parse::<Url>().expect("a URL"));
    let both = Topic::new(
        "https://example.com/authors/1".parse()?,
        vec!["https://example.com/books/1".parse()?],
    );
    for selectors in [vec![TopicSelector::Wildcard], vec![books]] {
        let publisher_jwt = PublisherJwt::new(&secret, selectors)?;
        let client = mercure::Client::new(http_client.clone(), hub_url.clone(), publisher_jwt);
        let data = r#"{"isbn":"9780735218789"}"#;
        for (topic, data, privacy) in [
            (book(), Some(data), PublishUpdatePrivacy::Public),
            (both.clone(), Some(data), PublishUpdatePrivacy::Private),
            (book(), None, PublishUpdatePrivacy::Public),
        ] {
            let revision = client.publish_update(topic, data, privacy).await?;
            println!("{}", json!(["published", revision.to_string()]));
        }
    }
    Ok(())
}
