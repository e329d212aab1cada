//! What people paste from image pages, tutorials and compose files: the settings and requests as
//! they stand there, but for ports, and the answers that they must give.

use serde_json::{Value, json};

use crate::{
    common::{
        client::{Stream, exchange, publish, refused, request},
        hub::{Driver, Hub, Setup, free_port},
        site::{Site, chromium},
        tokens::{TUTORIAL, TUTORIAL_KEY, sign_legacy},
        tools::has_tools,
    },
    on_both_drivers,
};

on_both_drivers!(
    an_image_page_subscribes_from_another_origin,
    a_subscriber_without_a_token_is_turned_away_and_the_log_says_what_to_set,
    a_compose_file_lists_origins,
    a_tutorial_publishes_with_curl,
    a_tutorial_publishes_json,
    a_key_that_is_not_the_tokens_is_told_of_and_not_shown,
);

/// The keys of both roles, which the image takes from the environment.
fn keys(driver: Driver, publisher: &str, subscriber: &str) -> Setup {
    Setup::bare()
        .env("PETASOS_DRIVER", driver.name())
        .env("MERCURE_PUBLISHER_JWT_KEY", publisher)
        .env("MERCURE_SUBSCRIBER_JWT_KEY", subscriber)
}

fn secrets(driver: Driver) -> Setup {
    keys(driver, "your-publisher-secret", "your-subscriber-secret")
}

fn publisher() -> String {
    sign_legacy(&json!({ "mercure": { "publish": ["*"] } }), "your-publisher-secret")
}

/// As tutorials set it up.
fn tutorial(driver: Driver) -> Setup {
    keys(driver, TUTORIAL_KEY, TUTORIAL_KEY).env("MERCURE_ALLOW_ANONYMOUS", "1")
}

/// A request with these fields, each with its CRLF, and a body.
fn post(fields: &str, body: &str) -> String {
    format!(
        "POST /.well-known/mercure HTTP/1.1\r\nHost: localhost:3000\r\nUser-Agent: curl/8.5.0\r\n\
         Accept: */*\r\nAuthorization: Bearer {TUTORIAL}\r\nContent-Length: {}\r\n{fields}\r\n\
         {body}",
        body.len()
    )
}

const BOOK: &str = "topic=https://example.com/books/1";

fn an_image_page_subscribes_from_another_origin(driver: Driver) {
    let hub = secrets(driver)
        .env("MERCURE_EXTRA_DIRECTIVES", "cors_origins *")
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .start();
    let mut stream = Stream::open(hub.addr, BOOK, "Origin: https://app.example.com\r\n");
    assert_eq!(stream.field("access-control-allow-origin"), Some("*"));
    assert_eq!(stream.field("access-control-allow-credentials"), None);
    let fields = [("topic", "https://example.com/books/1"), ("data", "x")];
    publish(hub.addr, &publisher(), &fields);
    assert_eq!(stream.data(1), ["x"]);
}

fn a_subscriber_without_a_token_is_turned_away_and_the_log_says_what_to_set(driver: Driver) {
    let hub = secrets(driver)
        .env("MERCURE_EXTRA_DIRECTIVES", "cors_origins http://localhost:3000")
        .start();
    let fields = [("topic", "https://example.com/books/1"), ("data", "x")];
    assert!(publish(hub.addr, &publisher(), &fields).starts_with("urn:uuid:"));
    let answer = refused(hub.addr, BOOK, "Origin: http://localhost:3000\r\n");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.field("access-control-allow-origin"), Some("http://localhost:3000"));
    hub.wait_for_log(
        "no token and anonymous is off: set MERCURE_ALLOW_ANONYMOUS=1 or the directive `anonymous`",
    );
}

/// The name of the first variable is that of today, the other one is older.
fn a_compose_file_lists_origins(driver: Driver) {
    for variable in ["MERCURE_CORS_ORIGINS", "MERCURE_CORS_ALLOWED_ORIGINS"] {
        let port = free_port();
        let hub = secrets(driver)
            .env("ADDR", "")
            .env("MERCURE_LISTEN_ADDR", &format!(":{port}"))
            .env(variable, "https://a.example,https://b.example")
            .env("MERCURE_ALLOW_ANONYMOUS", "0")
            .env("MERCURE_DEBUG", "0")
            .start();
        assert_eq!(hub.addr.port(), port);
        let claims = json!({ "mercure": { "subscribe": ["*"] } });
        let token = sign_legacy(&claims, "your-subscriber-secret");
        for (origin, is_allowed) in
            [("https://a.example", true), ("https://b.example", true), ("https://c.example", false)]
        {
            let fields = format!("Origin: {origin}\r\n");
            let preflight = format!(
                "OPTIONS /.well-known/mercure HTTP/1.1\r\nHost: hub\r\n{fields}\
                 Access-Control-Request-Method: GET\r\n\
                 Access-Control-Request-Headers: authorization\r\n\r\n"
            );
            let answers = [
                request(hub.addr, &preflight).head,
                refused(hub.addr, BOOK, &fields).head,
                Stream::open(hub.addr, BOOK, &format!("{fields}Authorization: Bearer {token}\r\n"))
                    .head,
            ];
            for head in answers {
                let head = head.to_lowercase();
                let allows = head.contains(&format!("access-control-allow-origin: {origin}\r\n"));
                assert_eq!(allows, is_allowed, "{variable} {head}");
                let has_fields = head.contains("access-control-");
                assert_eq!(has_fields, is_allowed, "{variable} {head}");
            }
        }
    }
}

/// What `curl -d` sends is not percent-encoded.
fn a_tutorial_publishes_with_curl(driver: Driver) {
    let hub = tutorial(driver).start();
    let mut stream = Stream::open(hub.addr, BOOK, "");
    let form = format!(r#"{BOOK}&data={{"status":"updated"}}"#);
    let answer =
        request(hub.addr, &post("Content-Type: application/x-www-form-urlencoded\r\n", &form));
    assert_eq!(answer.status, 200, "{answer:?}");
    let event = stream.next().unwrap();
    assert_eq!((&*event.data, &*event.id), (r#"{"status":"updated"}"#, &*answer.body));
    assert_eq!((&*event.event, &*event.retry), ("", ""));
}

/// An article as an API framework writes it.
fn article(hub: &Hub, content_type: &str) -> (String, String) {
    let body = "{\n  \"@id\": \"http://localhost:3000/updates\",\n  \"@type\": \"Article\",\n  \
                \"title\": \"It’s published\",\n  \"content\": \"…\",\n  \"date\": \
                \"2026-11-22T10:00:00+00:00\"\n}";
    let fields = format!(
        "Content-Type: {content_type}\r\nLink: <http://localhost:3000/updates>; rel=\"mercure\"\r\n"
    );
    let answer = request(hub.addr, &post(&fields, body));
    assert_eq!(answer.status, 200, "{content_type} {answer:?}");
    (answer.body, body.to_owned())
}

const JSON_TYPES: [&str; 2] = ["application/json", "application/ld+json"];

fn a_tutorial_publishes_json(driver: Driver) {
    let hub = tutorial(driver).start();
    let mut stream = Stream::open(hub.addr, "topic=http://localhost:3000/updates", "");
    for content_type in JSON_TYPES {
        let (id, body) = article(&hub, content_type);
        let event = stream.next().unwrap();
        assert_eq!((event.id, event.data), (id, body), "{content_type}");
        assert_eq!((&*event.event, &*event.retry), ("", ""), "{content_type}");
    }
}

fn a_key_that_is_not_the_tokens_is_told_of_and_not_shown(driver: Driver) {
    let hub = keys(driver, "your-publisher-key", "your-subscriber-key")
        .env("MERCURE_ALLOW_ANONYMOUS", "1")
        .env("MERCURE_DEBUG", "1")
        .start();
    let form = format!("{BOOK}&data=x");
    let answer =
        request(hub.addr, &post("Content-Type: application/x-www-form-urlencoded\r\n", &form));
    assert_eq!(answer.status, 401, "{answer:?}");
    hub.wait_for_log("the signature fits no configured publisher key");
    let config = exchange(
        hub.admin(),
        "GET /config HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    );
    assert!(config.starts_with("HTTP/1.1 200 "), "{config}");
    for text in [hub.log(), config, answer.head, answer.body] {
        assert!(!text.contains("your-publisher-key") && !text.contains(TUTORIAL), "{text}");
    }
}

/// As it stands in tutorials, with reports in place of a page that changes.
const SCRIPT: &str = r#"<!doctype html><title>test</title><script>
const eventSource = new EventSource('HUB?topic=http://localhost:3000/updates');
const report = text => fetch("/report", { method: "POST", body: text });
eventSource.onopen = () => report("open ");
eventSource.onmessage = (event) => report("title " + JSON.parse(event.data).title);
</script>"#;

#[test]
fn a_page_of_a_tutorial_shows_what_its_back_end_publishes() {
    if !has_tools(&["chromium"]) {
        return;
    }
    let site = Site::new();
    let origin = site.origin.replace("127.0.0.1", "localhost");
    let hub = tutorial(Driver::IoUring)
        .env("MERCURE_EXTRA_DIRECTIVES", &format!("cors_origins {origin}"))
        .start();
    let page = SCRIPT.replace("HUB", &hub.url().replace("127.0.0.1", "localhost"));
    let _browser = chromium("pasted", &origin);
    let mut reports = site.serve(move |path| (path == "/").then(|| (String::new(), page.clone())));
    reports.next("open ");
    for content_type in JSON_TYPES {
        let (_, body) = article(&hub, content_type);
        let title = serde_json::from_str::<Value>(&body).unwrap()["title"].clone();
        assert_eq!(reports.next("title "), title.as_str().unwrap());
    }
}
