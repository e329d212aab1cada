//! The few pages that never change.

use super::{response::Response, route::Route, status::Status};

const ROBOTS: &[u8] = b"User-agent: *\nDisallow: /\n";

const WELCOME: &[u8] = concat!(
    "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>Petasos</title>\n",
    "<h1>This is a Mercure hub</h1>\n",
    "<p>It pushes updates to browsers and applications, live. There is nothing to look at here:\n",
    "subscribe and publish at <code>/.well-known/mercure</code>.\n",
    "<p>The protocol: <a href=\"https://mercure.rocks/spec\">mercure.rocks/spec</a>. ",
    "The server: Petasos.\n",
)
.as_bytes();

/// The page of a route that has one; that of the hub's host says where the hub is besides, by a
/// `Link`.
pub fn page(route: Route) -> Option<Response<'static>> {
    match route {
        Route::Health => Some(Response::text(Status::Ok, &b"ok\n"[..])),
        Route::Robots => Some(Response::text(Status::Ok, ROBOTS)),
        Route::Welcome => {
            Some(Response::with_body(Status::Ok, "text/html; charset=utf-8", WELCOME))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::route::HUB_PATH;

    #[test]
    fn pages_are_there_and_name_the_hub() {
        for route in [Route::Health, Route::Robots, Route::Welcome] {
            assert_eq!(page(route).unwrap().status(), Status::Ok);
        }
        assert_eq!(page(Route::NotFound), None);
        assert_eq!(page(Route::Subscribe), None);
        assert!(str::from_utf8(WELCOME).unwrap().contains(HUB_PATH));
    }
}
