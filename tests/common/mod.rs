//! What all tests need.

pub(crate) mod client;
pub(crate) mod faulty;
pub(crate) mod harness;
pub(crate) mod hub;
pub(crate) mod jwks_server;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod site;
pub(crate) mod sse;
pub(crate) mod swarm;
pub(crate) mod tokens;
pub(crate) mod tools;

/// Makes a test of each function for each driver: `io_uring::name` and `epoll::name`. The function
/// takes the driver.
#[macro_export]
macro_rules! on_both_drivers {
    ($($name:ident),+ $(,)?) => {
        mod io_uring {
            $(#[test] fn $name() { super::$name($crate::common::hub::Driver::IoUring); })+
        }
        mod epoll {
            $(#[test] fn $name() { super::$name($crate::common::hub::Driver::Epoll); })+
        }
    };
}
