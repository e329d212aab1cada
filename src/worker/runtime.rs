//! The asynchronous runtime of a worker: `io_uring`, or epoll where that is forbidden.

use std::{fmt, future::Future, io};

use monoio::{IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder, time::TimeDriver};

/// Which driver a worker runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Driver {
    /// `io_uring` where the system allows it, else epoll.
    #[default]
    Auto,
    IoUring,
    Epoll,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Auto => "auto",
            Driver::IoUring => "io_uring",
            Driver::Epoll => "epoll",
        })
    }
}

/// The entries of a worker's ring. More operations than these are submitted in pieces.
const ENTRIES: u32 = 1024;

/// Whether workers can run on `io_uring` here.
///
/// # Errors
/// Why not, as the system says it.
pub fn try_io_uring() -> io::Result<()> {
    AnyRuntime::new(Driver::IoUring).map(drop)
}

/// A runtime on one of the two drivers.
pub(crate) enum AnyRuntime {
    IoUring(Box<Runtime<TimeDriver<IoUringDriver>>>),
    Epoll(Box<Runtime<TimeDriver<LegacyDriver>>>),
}

impl AnyRuntime {
    /// To be called on the worker's thread, while file tables are still shared: the runtime keeps
    /// descriptors for ever.
    pub(crate) fn new(driver: Driver) -> io::Result<Self> {
        match driver {
            Driver::IoUring => Self::io_uring(),
            Driver::Epoll => Self::epoll(),
            // The kernel, a seccomp filter or a sysctl may refuse, each in its own way.
            Driver::Auto => Self::io_uring().or_else(|_| Self::epoll()),
        }
    }

    fn io_uring() -> io::Result<Self> {
        // Flags of newer kernels first: completions are run when the worker asks for them, rather
        // than by interrupting it. (Deferring them altogether starves sockets in this runtime.)
        let mut flags = io_uring::IoUring::builder();
        flags.setup_single_issuer().setup_coop_taskrun();
        let build = |flags| {
            RuntimeBuilder::<IoUringDriver>::new()
                .with_entries(ENTRIES)
                .uring_builder(flags)
                .enable_timer()
                .build()
        };
        let runtime = build(flags).or_else(|_| build(io_uring::IoUring::builder()))?;
        Ok(AnyRuntime::IoUring(Box::new(runtime)))
    }

    fn epoll() -> io::Result<Self> {
        let runtime = RuntimeBuilder::<LegacyDriver>::new().enable_timer().build()?;
        Ok(AnyRuntime::Epoll(Box::new(runtime)))
    }

    pub(crate) fn driver(&self) -> Driver {
        match self {
            AnyRuntime::IoUring(_) => Driver::IoUring,
            AnyRuntime::Epoll(_) => Driver::Epoll,
        }
    }

    pub(crate) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        match self {
            AnyRuntime::IoUring(runtime) => runtime.block_on(future),
            AnyRuntime::Epoll(runtime) => runtime.block_on(future),
        }
    }
}
