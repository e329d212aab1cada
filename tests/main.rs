//! Black-box tests: the real binary, real sockets; and the seeded simulator, which runs the
//! production hub, pump and log without either. One module for each subject; `common` starts hubs
//! and speaks HTTP and server-sent events by hand, so that nothing is hidden by a library.

mod common;
mod drivers;
mod fuzz;
mod load;
mod ports;
mod shutdown;
mod sim;
mod slow;
mod smoke;
mod tables;
mod vanished;
