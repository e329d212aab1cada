//! A hub from start to end: as the command `petasos serve` ([`serve()`]), and inside an application
//! ([`Hub`]). Both go the same way through `start`. [`fsck()`] checks what a hub left on disk.

mod builder;
mod embedded;
#[cfg(feature = "command")]
mod explain;
#[cfg(feature = "command")]
mod fsck;
mod guest;
mod history;
mod keys;
mod limits;
#[cfg(feature = "command")]
mod logging;
#[cfg(feature = "command")]
mod serve;
mod settings;
mod start;
mod tokens;

pub use self::{
    builder::{HubBuilder, Issuer},
    embedded::Hub,
    guest::{PublishError, Publishing},
};
#[cfg(feature = "command")]
pub use self::{explain::explain, fsck::fsck, limits::raise_open_files, serve::serve};
use crate::{
    config::{LogLevel, Mistake, Notice},
    worker::StartError,
};

/// Why the hub does not run. Each is one line for the operator; mistakes are a line each.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Admin(#[from] crate::admin::ListenError),
    #[error(transparent)]
    History(#[from] crate::log::embedded::OpenError),
    #[error("the system refused what the hub needs: {0}")]
    System(#[from] std::io::Error),
    #[error("{0}")]
    Settings(String),
    /// Everything that is wrong about the settings.
    #[error("{}", .0.iter().map(Mistake::to_string).collect::<Vec<_>>().join("\n"))]
    Mistakes(Vec<Mistake>),
}

/// Logs what was found out about the settings.
fn notice(notice: &Notice) {
    match notice.level {
        LogLevel::Error => tracing::error!("{notice}"),
        LogLevel::Warn => tracing::warn!("{notice}"),
        LogLevel::Info => tracing::info!("{notice}"),
        LogLevel::Debug => tracing::debug!("{notice}"),
    }
}
