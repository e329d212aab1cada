//! Black-box tests: the real binary, real sockets. One module for each subject; `common` starts
//! hubs and speaks HTTP and server-sent events by hand, so that nothing is hidden by a library.

mod common;
mod drivers;
mod fuzz;
mod load;
mod ports;
mod shutdown;
mod slow;
mod smoke;
mod tables;
mod vanished;
