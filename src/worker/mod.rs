//! The only folder that names the runtime: worker threads, their sockets and their loop.
//!
//! Each worker owns a runtime, a listening socket for each address, its subscribers and its pump.
//! UNIX sockets and those of an application are shared, and every worker accepts from them.
//! What happens to a byte: `listener` accepts, `connection` reads requests and answers them with
//! the help of `endpoint`, a subscriber's socket moves to `sockets`, and from then on `pump` feeds
//! it through `sender`.

mod arrivals;
mod budget;
mod clients;
mod clock;
mod connection;
mod endpoint;
mod fan_outs;
mod identity;
mod json_publish;
pub mod link;
mod listener;
mod local;
mod memory;
mod phase;
pub mod promise;
mod proxies;
pub mod pump;
mod readiness;
mod run;
mod runtime;
mod searches;
mod sender;
mod settings;
mod socket;
mod sockets;
mod start;
pub mod submissions;
mod unix;
mod waits;

pub use self::{
    arrivals::{Entrance, NotTaken, NotTakenReason},
    clients::Clients,
    clock::Clock,
    endpoint::{EndpointSettings, PublishOrigins},
    identity::{Identity, Name},
    listener::Listening,
    proxies::Proxies,
    runtime::{Driver, try_io_uring},
    settings::{Overload, Settings},
    start::{Bells, StartError, Workers, start},
    unix::{PATH_LEN_MAX, UnixAddress},
};
