//! The hub of this repository: the real binary, in the configurations that the rows need.

use std::time::Duration;

use crate::{
    common::{
        hub::{AUDIENCE, Driver, Hub, ISSUER, PUBLISHER_KEY, SUBSCRIBER_KEY, Setup},
        tools::Directory,
    },
    hub::Target,
    row::{Need, Row},
    signer::Signer,
};

/// A running hub of our own.
pub(crate) struct Own {
    pub(crate) target: Target,
    /// Runs as long as this is there.
    pub(crate) hub: Hub,
    /// Streams are so short that only rows about their end are run.
    pub(crate) is_short_lived: bool,
    /// What its configuration names.
    _files: Option<Directory>,
}

impl Own {
    pub(crate) fn runs(&self, row: &Row) -> bool {
        row.needs.contains(&Need::Lifetime) == self.is_short_lived
    }
}

/// Pages of this origin may subscribe, and publish with a cookie.
const ORIGIN: &str = "https://app.example";

const SECOND: &str = "https://second-issuer.example";
const SECOND_KEY: &str = "second-key-of-the-tests-0123456789-01";

/// All configurations, on both drivers.
pub(crate) fn start() -> Vec<Own> {
    let drivers = [Driver::IoUring, Driver::Epoll];
    drivers.into_iter().flat_map(|it| [open(it), closed(it), short_lived(it)]).collect()
}

/// Secrets, and subscribers without a token.
pub(crate) fn open(driver: Driver) -> Own {
    let setup = Setup::new(driver)
        .directive(&format!("cors_origins {ORIGIN}"))
        .directive(&format!("publish_origins {ORIGIN}"))
        .directive("heartbeat 1s")
        .directive(&format!("issuer {SECOND} {{\n publisher {{\n jwt {SECOND_KEY}\n }}\n}}"));
    let mut own = with(driver, "open", setup, [PUBLISHER_KEY, SUBSCRIBER_KEY].map(secret));
    own.target.anonymous = Some(true);
    own.target.origin = Some(ORIGIN.to_owned());
    own.target.publish_origin = Some(ORIGIN.to_owned());
    own.target.second = Some((SECOND.to_owned(), secret(SECOND_KEY)));
    own.target.heartbeat = Some(Duration::from_secs(1));
    own
}

/// Private keys, and no subscribers without a token.
fn closed(driver: Driver) -> Own {
    let signer = Signer::new(&Signer::generate(), "ES256").expect("a new key");
    let keys = Directory::new(&format!("conformance-{}", driver.name()));
    let path = keys.file("public.pem", &signer.public_pem().expect("its public key"));
    let role = format!("jwt {{file.{path}}} ES256");
    let issuer = format!(
        "issuer {ISSUER} {{\n publisher {{\n {role}\n }}\n subscriber {{\n {role}\n }}\n}}"
    );
    let setup = Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("PETASOS_WORKERS", "2")
        .directive(&issuer)
        .directive(&format!("resource_identifier {AUDIENCE}"))
        .directive(&format!("publish_origins {ORIGIN}"));
    let mut own = with(driver, "closed", setup, [signer.clone(), signer]);
    own.target.publish_origin = Some(ORIGIN.to_owned());
    own._files = Some(keys);
    own
}

fn short_lived(driver: Driver) -> Own {
    let setup = Setup::new(driver).directive("write_timeout 1s");
    let keys = [PUBLISHER_KEY, SUBSCRIBER_KEY].map(secret);
    let mut own = with(driver, "short-lived", setup, keys);
    own.target.lifetime = Some(Duration::from_secs(1));
    own.is_short_lived = true;
    own
}

fn secret(text: &str) -> Signer {
    Signer::new(text, "HS256").expect("a secret")
}

fn with(driver: Driver, name: &str, setup: Setup, keys: [Signer; 2]) -> Own {
    let hub = setup.start();
    let [publisher, subscriber] = keys;
    let target = Target {
        name: format!("{}, {name}", driver.name()),
        url: format!("http://{}/.well-known/mercure", hub.addr),
        publisher,
        subscriber,
        issuer: ISSUER.to_owned(),
        second: None,
        audience: None,
        anonymous: None,
        origin: None,
        publish_origin: None,
        heartbeat: None,
        lifetime: None,
    };
    Own { target, hub, is_short_lived: false, _files: None }
}
