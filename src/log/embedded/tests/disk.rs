//! A disk that forgets what was not synced when its power is lost, and that fails when it is told
//! to. Every operation is counted, so that it can happen at each of them.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::super::disk::{Disk, DiskFile};
use super::rng::Rng;

/// What a loss of power spares or takes: so much of a write at a time.
const SECTOR: usize = 512;

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// What reads show.
    shown: Vec<u8>,
    /// What a loss of power leaves in any case.
    durable: Vec<u8>,
    /// What it may leave or not.
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Naming {
    Put(String, usize),
    Remove(String),
}

#[derive(Debug, Default)]
struct State {
    nodes: Vec<Node>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
    /// Operations that change or sync something.
    operations: usize,
    dies_at: Option<usize>,
    /// The operation, a sync, that fails.
    fails_at: Option<usize>,
    /// No room for new bytes.
    pub(super) is_full: bool,
}

/// What becomes of that which was not synced.
#[derive(Debug, Clone, Copy)]
pub(super) enum Loss {
    /// All of it is lost.
    All,
    /// Nothing is.
    Nothing,
    /// Any part of any write.
    Some,
}

/// The disk. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn operations(&self) -> usize {
        self.state().operations
    }

    /// From the operation with this number on nothing succeeds.
    pub(super) fn die_at(&self, operation: usize) {
        self.state().dies_at = Some(operation);
    }

    /// The first sync from the operation with this number on fails.
    pub(super) fn fail_sync_at(&self, operation: usize) {
        self.state().fails_at = Some(operation);
    }

    pub(super) fn set_full(&self, full: bool) {
        self.state().is_full = full;
    }

    /// What the next start finds after the power was lost.
    pub(super) fn after_power_loss(&self, loss: Loss, rng: &mut Rng) -> SimDisk {
        let state = self.state();
        let mut names = state.durable_names.clone();
        // Journals keep the order of names.
        let kept = match loss {
            Loss::All => 0,
            Loss::Nothing => state.pending_names.len(),
            Loss::Some => rng.below(state.pending_names.len() + 1),
        };
        state.pending_names[..kept].iter().for_each(|naming| apply_name(&mut names, naming));
        let nodes = state.nodes.iter().map(|node| after_loss(node, loss, rng)).collect();
        SimDisk::of(names, nodes)
    }

    /// What the next start finds after the process alone was killed.
    pub(super) fn after_kill(&self) -> SimDisk {
        let state = self.state();
        // The page cache still has everything, what a failed sync lost as well.
        let nodes = state.nodes.clone();
        let other = SimDisk::of(state.names.clone(), nodes);
        other.state().durable_names = state.durable_names.clone();
        other.state().pending_names = state.pending_names.clone();
        other
    }

    fn of(names: BTreeMap<String, usize>, nodes: Vec<Node>) -> SimDisk {
        let state = State { nodes, durable_names: names.clone(), names, ..State::default() };
        SimDisk(Arc::new(Mutex::new(state)))
    }

    /// The files, and how long they are.
    pub(super) fn list_sizes(&self) -> Vec<(String, usize)> {
        let state = self.state();
        let size = |(name, node): (&String, &usize)| (name.clone(), state.nodes[*node].shown.len());
        state.names.iter().map(size).collect()
    }

    /// The contents of a file, to be damaged.
    pub(super) fn contents(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.nodes[state.names[name]].shown.clone()
    }

    /// A copy with other contents of a file; `None`: without the file.
    pub(super) fn with(&self, name: &str, contents: Option<Vec<u8>>) -> SimDisk {
        let copy = self.after_kill();
        let mut state = copy.state();
        match contents {
            None => {
                state.names.remove(name);
                state.durable_names.remove(name);
            }
            Some(contents) => {
                let node = Node { shown: contents.clone(), durable: contents, pending: Vec::new() };
                let index = state.nodes.len();
                state.nodes.push(node);
                state.names.insert(name.to_owned(), index);
                state.durable_names.insert(name.to_owned(), index);
            }
        }
        drop(state);
        copy
    }
}

fn apply_name(names: &mut BTreeMap<String, usize>, naming: &Naming) {
    match naming {
        Naming::Put(name, node) => drop(names.insert(name.clone(), *node)),
        Naming::Remove(name) => drop(names.remove(name)),
    }
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::SetLen(len) => contents.resize(*len, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if contents.len() < end {
                contents.resize(end, 0);
            }
            contents[*offset..end].copy_from_slice(bytes);
        }
    }
}

fn after_loss(node: &Node, loss: Loss, rng: &mut Rng) -> Node {
    let mut contents = node.durable.clone();
    for change in &node.pending {
        match (loss, change) {
            (Loss::All, _) => {}
            (Loss::Nothing, change) => apply(&mut contents, change),
            (Loss::Some, Change::SetLen(_)) => {
                if rng.one_in(2) {
                    apply(&mut contents, change);
                }
            }
            (Loss::Some, Change::Write { offset, bytes }) => {
                let keeps = rng.below(3);
                let mut at = *offset;
                while at < offset + bytes.len() {
                    let end = ((at / SECTOR + 1) * SECTOR).min(offset + bytes.len());
                    let kept = match keeps {
                        0 => false,
                        1 => true,
                        _ => rng.one_in(2),
                    };
                    if kept {
                        let bytes = bytes[at - offset..end - offset].to_vec();
                        apply(&mut contents, &Change::Write { offset: at, bytes });
                    }
                    at = end;
                }
            }
        }
    }
    Node { shown: contents.clone(), durable: contents, pending: Vec::new() }
}

impl State {
    fn operate(&mut self) -> io::Result<()> {
        let operation = self.operations;
        self.operations += 1;
        match self.dies_at {
            Some(at) if operation >= at => Err(io::Error::other("the power is lost")),
            _ => Ok(()),
        }
    }

    fn sync_fails(&mut self) -> bool {
        let fails = self.fails_at.is_some_and(|at| self.operations > at);
        if fails {
            self.fails_at = None;
        }
        fails
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state().names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state();
        let node = *state.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), node }))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state();
        state.operate()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let node = state.nodes.len();
        state.nodes.push(Node::default());
        let naming = Naming::Put(name.to_owned(), node);
        apply_name(&mut state.names, &naming);
        state.pending_names.push(naming);
        Ok(Box::new(SimFile { disk: self.clone(), node }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        let node = *state.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        for naming in [Naming::Put(to.to_owned(), node), Naming::Remove(from.to_owned())] {
            apply_name(&mut state.names, &naming);
            state.pending_names.push(naming);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let naming = Naming::Remove(name.to_owned());
        apply_name(&mut state.names, &naming);
        state.pending_names.push(naming);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operate()?;
        state.durable_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }

    /// It does not know: a full disk is met by a write.
    fn room(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn show(&self, name: &str) -> String {
        name.to_owned()
    }
}

struct SimFile {
    disk: SimDisk,
    node: usize,
}

impl SimFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let is_full = state.is_full;
        let node = &mut state.nodes[self.node];
        if let Change::Write { offset, bytes } = &change
            && is_full
            && offset + bytes.len() > node.shown.len()
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        apply(&mut node.shown, &change);
        node.pending.push(change);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().nodes[self.node].shown.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state();
        let shown = &state.nodes[self.node].shown;
        let rest = shown.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write { offset: offset as usize, bytes: bytes.to_vec() })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::SetLen(len as usize))
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let fails = state.sync_fails();
        let node = &mut state.nodes[self.node];
        let pending = std::mem::take(&mut node.pending);
        if fails {
            // The pages count as clean from now on: reads show them, no later sync writes them.
            return Err(io::Error::other("the sync failed"));
        }
        pending.iter().for_each(|change| apply(&mut node.durable, change));
        Ok(())
    }
}
