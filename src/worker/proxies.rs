//! Whose word is taken on whom a request comes from, and by what name.

use ipnet::IpNet;

use crate::http::{
    forwarded::{Forwarded, Peer},
    head::Head,
};

/// The proxies that are trusted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    pub networks: Vec<IpNet>,
    /// Whoever may connect to a UNIX socket of the hub.
    pub unix: bool,
}

impl Proxies {
    /// Notes in a request's head what a trusted proxy says of it.
    pub(super) fn heed(&self, peer: Peer, head: &mut Head) {
        if self.trust(peer) {
            head.forwarded = Forwarded::read(peer, head, |hop| self.trust(hop));
        }
    }

    fn trust(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(address) => self.networks.iter().any(|network| network.contains(&address)),
            Peer::Unix => self.unix,
        }
    }
}
