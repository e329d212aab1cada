//! Chromium: its `EventSource` and `fetch`, on pages of other origins than the hub's.

mod cookies;
mod credentials;
mod gaps;
mod updates;

/// What pages need: one report after the other, whatever is on its way.
const REPORT: &str = r#"<!doctype html><title>test</title><script>
let queue = Promise.resolve();
const report = text => queue = queue.then(() => fetch("/report", { method: "POST", body: text }));
const tell = (...what) => report("told " + JSON.stringify(what));
addEventListener("unhandledrejection", event => report(`failed ${event.reason}`));
"#;

/// The field that gives a page's browser a token, as applications set it: for all ports of this
/// host, on which the hub is another origin.
fn set_cookie(token: &str, same_site: &str) -> String {
    named_cookie("__Secure-mercure_access_token", token, same_site)
}

fn named_cookie(name: &str, token: &str, same_site: &str) -> String {
    format!(
        "Set-Cookie: {name}={token}; Path=/.well-known/mercure; Secure; HttpOnly; \
         SameSite={same_site}\r\n"
    )
}
