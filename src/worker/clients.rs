//! How many streams each client holds on all workers, so that none takes the room of the others
//! (draft-08 #subscription: "limits to the number of concurrent connections held by a single
//! client").
//!
//! Workers share the counts and wait for nobody: every address has a cell in each of a few rows,
//! found by a secret hash, and its streams count in all of them. Addresses may share cells, so a
//! cell never says less than what an address holds; the smallest of its cells says more only if
//! each of them is shared.

use std::{
    hash::{BuildHasher, RandomState},
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::http::forwarded::Peer;

const ROWS: usize = 4;
/// Cells of a row: as many as there may be streams, within these.
const CELLS_MIN: usize = 1 << 10;
const CELLS_MAX: usize = 1 << 20;

/// The counts of all clients.
#[derive(Debug)]
pub struct Clients {
    streams_max: u32,
    hasher: RandomState,
    rows: [Box<[AtomicU32]>; ROWS],
}

/// A stream that counts, until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    clients: Arc<Clients>,
    cells: [u32; ROWS],
}

impl Clients {
    /// `streams_max`: of one client. `expected`: streams of all clients.
    pub fn new(streams_max: u32, expected: usize) -> Clients {
        let len = expected.clamp(CELLS_MIN, CELLS_MAX).next_power_of_two();
        let row = |_| (0..len).map(|_| AtomicU32::new(0)).collect();
        Clients { streams_max, hasher: RandomState::new(), rows: std::array::from_fn(row) }
    }

    /// Counts one more stream, unless the client has as many as it may.
    pub(super) fn count(self: &Arc<Self>, client: Peer) -> Option<Counted> {
        let hash = self.hasher.hash_one(network(client));
        let cells = std::array::from_fn(|row| self.cell(hash, row));
        let counted = Counted { clients: Arc::clone(self), cells };
        // Counted first and looked at afterwards: of two workers at least one sees both.
        let held = counted.cells().map(|cell| cell.fetch_add(1, Ordering::Relaxed)).min();
        held.is_some_and(|held| held < self.streams_max).then_some(counted)
    }

    /// Double hashing: two addresses that share one cell hardly ever share the next.
    fn cell(&self, hash: u64, row: usize) -> u32 {
        let (first, step) = (hash as u32, (hash >> 32) as u32 | 1);
        first.wrapping_add(step.wrapping_mul(row as u32)) & (self.rows[row].len() as u32 - 1)
    }
}

impl Counted {
    fn cells(&self) -> impl Iterator<Item = &AtomicU32> {
        self.clients.rows.iter().zip(self.cells).map(|(row, cell)| &row[cell as usize])
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        for cell in self.cells() {
            cell.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Who an address stands for: everybody with IPv6 has 2^64 addresses at least. All who come by UNIX
/// sockets without a proxy that is trusted are one client.
fn network(client: Peer) -> Peer {
    match client {
        Peer::Ip(IpAddr::V6(v6)) => Peer::Ip(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
        Peer::Ip(IpAddr::V4(_)) | Peer::Unix => client,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(streams_max: u32) -> Arc<Clients> {
        Arc::new(Clients::new(streams_max, 10_000))
    }

    fn address(text: &str) -> Peer {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn nobody_holds_more_than_the_limit() {
        let clients = clients(2);
        let [one, other] = ["192.0.2.1", "192.0.2.2"].map(address);
        let held: Vec<_> = (0..4).map_while(|_| clients.count(one)).collect();
        assert_eq!(held.len(), 2);
        assert!(clients.count(other).is_some());
        drop(held);
        // Attempts that failed are not counted either.
        assert!((0..2).all(|_| clients.count(one).is_some()));
        assert!(clients.rows.iter().flatten().all(|cell| cell.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let clients = clients(1);
        let _held = clients.count(address("2001:db8:0:1::1"));
        assert!(clients.count(address("2001:db8:0:1:ffff::2")).is_none());
        assert!(clients.count(address("2001:db8:0:2::1")).is_some());
    }

    #[test]
    fn those_without_an_address_are_one_client() {
        let clients = clients(1);
        let _held = clients.count(Peer::Unix);
        assert!(clients.count(Peer::Unix).is_none());
    }

    #[test]
    fn many_clients_are_told_apart() {
        let clients = clients(1);
        let held: Vec<_> =
            (0..5_000_u32).map(|bits| clients.count(Peer::Ip(IpAddr::V4(bits.into())))).collect();
        // Some share every cell with others, by chance: 0.7 % of the last ones in expectation.
        let refused = held.iter().filter(|held| held.is_none()).count();
        assert!(refused < 25, "{refused}");
    }

    #[test]
    fn the_limit_holds_across_threads() {
        let clients = clients(10);
        let held: Vec<_> = std::thread::scope(|scope| {
            let one = || (0..1_000).filter_map(|_| clients.count(address("::1"))).collect();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
            threads.into_iter().flat_map(|thread| -> Vec<_> { thread.join().unwrap() }).collect()
        });
        assert!((1..=10).contains(&held.len()), "{}", held.len());
    }
}
