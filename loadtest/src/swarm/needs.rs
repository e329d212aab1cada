//! What a swarm needs of the machine: said before, not found out in the middle.

use std::io;

use super::SPARE;
use crate::machine;

/// Bytes of kernel memory for one end of a connection that waits.
const PER_END: u64 = 4_200;

/// How many threads hold the connections, and whether each needs a file table of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) threads: usize,
    pub(super) own_tables: bool,
    memory: u64,
}

impl Needs {
    /// Of `count` connections where a file table holds `table_len` descriptors; the server runs on
    /// this machine too, or not.
    pub(super) fn of(
        count: usize,
        threads: Option<usize>,
        table_len: usize,
        both_ends: bool,
    ) -> Needs {
        let room = table_len.saturating_sub(SPARE).max(1);
        Needs {
            threads: threads.unwrap_or(1).max(count.div_ceil(room)).max(1),
            own_tables: count + SPARE > table_len,
            memory: count as u64 * PER_END * if both_ends { 2 } else { 1 },
        }
    }

    /// Says what many connections need; an error where the memory is not there.
    pub(super) fn check(self, count: usize, table_len: usize) -> io::Result<()> {
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let available = machine::available_memory();
        if available < self.memory {
            return Err(io::Error::other(format!(
                "{count} connections need some {:.1} GB of kernel memory, and {:.1} GB are there",
                gigabytes(self.memory),
                gigabytes(available)
            )));
        }
        if self.own_tables {
            eprintln!(
                "{count} connections: {} threads, each with a table of its own for {table_len} \
                 open files, and some {:.1} GB of kernel memory; the server needs room for as many",
                self.threads,
                gigabytes(self.memory)
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_as_many_as_file_tables_need() {
        let needs = |count, threads| {
            let Needs { threads, own_tables, .. } = Needs::of(count, threads, 20_000, true);
            (threads, own_tables)
        };
        assert_eq!(needs(1_000, None), (1, false));
        assert_eq!(needs(1_000, Some(4)), (4, false));
        assert_eq!(needs(19_900, None), (2, true));
        assert_eq!(needs(1_000_000, Some(2)), (51, true));
    }

    #[test]
    fn what_is_not_there_is_said_before() {
        let error = Needs::of(1 << 40, None, 20_000, true).check(1 << 40, 20_000).unwrap_err();
        assert!(error.to_string().contains("GB of kernel memory"), "{error}");
        assert!(Needs::of(10, None, 20_000, true).check(10, 20_000).is_ok());
    }
}
