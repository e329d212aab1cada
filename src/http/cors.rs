//! Which pages of other origins may read the hub's answers (Fetch, #http-cors-protocol).

use super::{fields::Fields, response::Response, status::Status};

/// Fields of answers that pages may read (draft-08 #subscription-api: "MUST expose the `Link`").
pub const EXPOSED_HEADERS: &[&str] = &["Link", "Mercure-Last-Event-ID", "WWW-Authenticate"];
/// Fields that pages may send, besides those that are always allowed.
const ALLOWED_HEADERS: &str = "Authorization, Cache-Control, Content-Type, Last-Event-ID";
/// Seconds that a browser may remember the answer to a preflight: the longest that Chromium does.
const MAX_AGE: &str = "7200";

/// The origins that were configured.
#[derive(Debug, Clone)]
pub enum Cors {
    /// Every origin; without credentials, since any page could then use its visitor's cookie
    /// (draft-08 #subscription: the wildcard MUST NOT go with credentials).
    Any(Fields),
    /// These origins, with credentials.
    List(OriginList),
    /// None: pages of the hub's own origin only.
    Off,
}

/// Origins and what each is told, written when the configuration is read.
#[derive(Debug, Clone)]
pub struct OriginList {
    sorted: Vec<(Box<str>, Fields)>,
    /// For all others: caches must not take their answer for everybody's.
    others: Fields,
}

static NOTHING: Fields = Fields::NONE;

impl Cors {
    /// From configured origins, of which `*` means all; `exposed` are the names of the fields
    /// that pages may read, [`EXPOSED_HEADERS`] and perhaps more.
    pub fn new(origins: &[impl AsRef<str>], exposed: &[&str]) -> Cors {
        let exposed = exposed.join(", ");
        if origins.is_empty() {
            return Cors::Off;
        }
        if origins.iter().any(|origin| origin.as_ref() == "*") {
            let mut fields = Fields::NONE;
            fields.push("Access-Control-Allow-Origin", "*");
            fields.push("Access-Control-Expose-Headers", exposed);
            return Cors::Any(fields);
        }
        let mut others = Fields::NONE;
        others.push("Vary", "Origin");
        let told = |origin: &str| {
            let mut fields = Fields::NONE;
            fields.push("Access-Control-Allow-Origin", origin);
            fields.push("Access-Control-Allow-Credentials", "true");
            fields.push("Access-Control-Expose-Headers", &exposed);
            fields.push("Vary", "Origin");
            fields
        };
        let mut sorted: Vec<(Box<str>, Fields)> = origins
            .iter()
            .map(|origin| (Box::from(origin.as_ref()), told(origin.as_ref())))
            .collect();
        sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
        Cors::List(OriginList { sorted, others })
    }

    /// The fields for every answer to a request with this `Origin` field, errors included.
    pub fn fields(&self, origin: Option<&[u8]>) -> &Fields {
        match self {
            // Without asking for `Origin`: a cache may then keep one answer for everybody.
            Cors::Any(fields) => fields,
            Cors::List(list) => origin.and_then(|origin| list.find(origin)).unwrap_or(&list.others),
            Cors::Off => &NOTHING,
        }
    }

    /// Whether pages of `origin` may read the hub's answers. Origins are compared byte by byte.
    pub fn allows(&self, origin: &[u8]) -> bool {
        match self {
            Cors::Any(_) => true,
            Cors::List(list) => list.find(origin).is_some(),
            Cors::Off => false,
        }
    }

    /// The answer to an `OPTIONS` request, be it a preflight or not: `methods` are those of the
    /// path, as `Allow` lists them. A page that is not allowed learns no more than anybody.
    pub fn preflight(&self, origin: Option<&[u8]>, methods: &'static str) -> Response<'static> {
        let response = Response::new(Status::NoContent).with("Allow", methods);
        if !origin.is_some_and(|origin| self.allows(origin)) {
            return response;
        }
        response
            .with("Access-Control-Allow-Methods", methods)
            .with("Access-Control-Allow-Headers", ALLOWED_HEADERS)
            .with("Access-Control-Max-Age", MAX_AGE)
    }
}

impl OriginList {
    fn find(&self, origin: &[u8]) -> Option<&Fields> {
        let found = self.sorted.binary_search_by(|(known, _)| known.as_bytes().cmp(origin));
        found.ok().map(|at| &self.sorted[at].1)
    }
}
