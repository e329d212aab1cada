//! What the operator's listener serves.

use std::time::Instant;

use super::{Admin, live, prometheus};
use crate::http::{
    head::{Head, Method},
    media::ProblemForm,
    response::Response,
    status::Status,
};

pub(super) struct Pages {
    pub(super) admin: Admin,
    pub(super) started: Instant,
}

const WELCOME: &str = "Petasos, for its operator:

/mercure/health/ready  200 if the hub takes publications and subscriptions
/mercure/health/live   200 if every worker still turns
/metrics               numbers, as Prometheus reads them
/config                the settings in force, secrets masked
/token/explain         POST a token: why it passes or fails
";

impl Pages {
    pub(super) fn answer(&self, head: &Head, body: &[u8]) -> Response<'static> {
        if head.path() == EXPLAIN.as_bytes() {
            return match head.method {
                Method::Post => {
                    let told = self.admin.tokens.explain(&String::from_utf8_lossy(body));
                    Response::text(Status::Ok, told.into_bytes())
                }
                _ => Response::method_not_allowed("POST", ProblemForm::Text),
            };
        }
        if !matches!(head.method, Method::Get | Method::Head) {
            return Response::method_not_allowed("GET, HEAD", ProblemForm::Text);
        }
        let Ok(path) = std::str::from_utf8(head.path()) else { return not_found() };
        let Admin { metrics, exchange, config, tokens, .. } = &self.admin;
        match path {
            "/" => Response::text(Status::Ok, WELCOME.as_bytes()),
            "/metrics" => {
                let text =
                    prometheus::text(metrics, exchange, &tokens.uses(), self.started.elapsed());
                Response::with_body(Status::Ok, prometheus::CONTENT_TYPE, text.into_bytes())
            }
            "/config" => Response::text(Status::Ok, config.load().as_bytes().to_vec()),
            path => match path.strip_prefix("/mercure/health/") {
                Some(check) => self.health(check),
                None => not_found(),
            },
        }
    }

    /// `ready`, `live`, or one of these below the hub's name.
    fn health(&self, check: &str) -> Response<'static> {
        let Admin { metrics, exchange, name, .. } = &self.admin;
        let check = check.strip_prefix(&**name).and_then(|c| c.strip_prefix('/')).unwrap_or(check);
        let problem = match check {
            "ready" => metrics.obstacle().map(|obstacle| format!("not ready: {obstacle}\n")),
            "live" => live::stuck_worker(metrics, exchange)
                .map(|worker| format!("worker {worker} does not turn any more\n")),
            _ => return not_found(),
        };
        match problem {
            None => Response::text(Status::Ok, &b"ok\n"[..]),
            Some(problem) => Response::text(Status::ServiceUnavailable, problem.into_bytes()),
        }
    }
}

/// Not in a URL, which logs would keep.
const EXPLAIN: &str = "/token/explain";

pub(super) fn too_large() -> Response<'static> {
    let told = &b"a body of a stated length, up to 128 KiB, is taken\n"[..];
    Response::text(Status::ContentTooLarge, told)
}

fn not_found() -> Response<'static> {
    Response::text(Status::NotFound, &b"there is nothing here; / lists what there is\n"[..])
}
