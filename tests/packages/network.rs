//! Networks of a test's own, as containers have them: every port is free there.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
    process::{Command, Stdio},
    thread,
};

use crate::common::{process::wait_until, proxy::copy, tools::Running};

/// Beside the loopback interface, where connections through published ports arrive.
pub(super) const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 2));

/// What is done in it first.
const SET_UP: &str = "ip link set lo up && \
                      ip address add 172.17.0.2/32 dev lo && \
                      echo $1 >/proc/sys/net/ipv4/ip_unprivileged_port_start && \
                      exec sleep infinity";

pub(super) struct Network {
    holder: Running,
}

impl Network {
    /// One as Docker makes it: everybody may listen on every port.
    pub(super) fn new() -> Network {
        Network::with_ports_from(0)
    }

    /// Only root may listen on ports below this one.
    pub(super) fn with_ports_from(port: u16) -> Network {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", SET_UP, "sh", &port.to_string()]);
        let network = Network { holder: Running::start(command.stdout(Stdio::null())) };
        let comm = format!("/proc/{}/comm", network.pid());
        wait_until("a network", || std::fs::read_to_string(&comm).unwrap() == "sleep\n");
        network
    }

    fn pid(&self) -> u32 {
        self.holder.0.id()
    }

    /// `nsenter` with what runs the rest of a command line in here.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg("--");
        command
    }

    pub(super) fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.pid())
    }

    /// Runs something on a thread whose sockets, and those of its threads, are in here.
    pub(super) fn inside<T: Send + 'static>(&self, run: impl FnOnce() -> T + Send + 'static) -> T {
        let namespace = File::open(self.path()).unwrap();
        let enter = move || {
            // SAFETY: a plain system call; the descriptor is open.
            let result = unsafe { libc::setns(namespace.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
            run()
        };
        thread::spawn(enter).join().unwrap()
    }

    /// A port of this machine that leads to `port` in here, as long as the test runs.
    pub(super) fn publish(&self, port: u16) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        self.inside(move || {
            thread::spawn(move || {
                for client in listener.incoming().map_while(Result::ok) {
                    // Nobody listens: the client's connection ends, as Docker's proxy does it.
                    if let Ok(hub) = TcpStream::connect((ADDRESS, port)) {
                        let upstream = (client.try_clone().unwrap(), hub.try_clone().unwrap());
                        thread::spawn(move || copy(&upstream.0, &upstream.1));
                        thread::spawn(move || copy(&hub, &client));
                    }
                }
            });
        });
        addr
    }
}
