//! A history that is written and read without threads, and what must be in it.

use std::{io, sync::Arc};

use super::{
    super::{
        Retention, Settings, Sizes, SyncMode,
        catalog::Catalog,
        fixture,
        keeper::{Keeper, Work},
        prepare::Supply,
        reader::Reader,
        recovery::{self, RecoveryError},
        writer::Writer,
    },
    disk::SimDisk,
};
use crate::{
    log::{
        history::{History, ReadBudget, Store, StoreError, UnknownId},
        sequence::Places,
    },
    protocol::{
        fixture::HUB,
        frame::Form,
        id::IdCipher,
        matcher::{Interest, Matcher},
        subscribe::Since,
        time::UnixTime,
        update::Position,
    },
};

/// Small, so that segments are full soon.
pub(super) const SIZES: Sizes = Sizes { smallest: 2048, largest: 4096, group: 1024 };

/// What was published, in the order of positions: the ids.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    pub(super) ids: Vec<String>,
    /// So many of them were acknowledged.
    pub(super) acknowledged: usize,
}

/// A history that is open.
pub(super) struct Run {
    pub(super) writer: Writer,
    pub(super) reader: Reader,
    pub(super) catalog: Arc<Catalog>,
    pub(super) keeper: Work,
    supply: Arc<Supply>,
    places: Places,
}

pub(super) fn settings(sync: SyncMode, retention: Retention) -> Settings {
    Settings { directory: "sim".into(), retention, sync, update_max: 0, hub: HUB.clone() }
}

impl Run {
    pub(super) fn open(disk: &SimDisk, settings: &Settings) -> Result<Run, RecoveryError> {
        Run::open_as(disk, settings, 1)
    }

    /// `incarnation`: of this opening.
    pub(super) fn open_as(
        disk: &SimDisk,
        settings: &Settings,
        incarnation: u32,
    ) -> Result<Run, RecoveryError> {
        let disk = Arc::new(disk.clone()) as Arc<dyn super::super::disk::Disk>;
        let mut keys = 0;
        let mut random = || {
            keys += 1;
            Ok::<_, io::Error>([keys; 16])
        };
        let recovered = recovery::open(&disk, settings.retention, SIZES, &mut random)?;
        let cipher = IdCipher::new(recovered.manifest.contents.id_key);
        let catalog = recovered.catalog;
        let places = Places::new(cipher.clone(), incarnation, catalog.committed());
        let (mut writer, reader) = super::super::ends(&catalog, recovered.active, settings, cipher);
        let (keeper, work) =
            Keeper::without_thread(Arc::clone(&catalog), recovered.manifest, recovered.prepared);
        let supply = Arc::clone(&keeper.supply);
        writer.keeper = Some(keeper);
        let mut run = Run { writer, reader, catalog, keeper: work, supply, places };
        run.keeper.turn();
        Ok(run)
    }

    /// Publishes a group: with these given ids, or generated ones. The ledger says what happened.
    pub(super) fn publish(
        &mut self,
        ledger: &mut Ledger,
        ids: &[Option<&str>],
    ) -> Result<(), StoreError> {
        self.publish_at(ledger, ids, UnixTime::default())
    }

    pub(super) fn publish_at(
        &mut self,
        ledger: &mut Ledger,
        ids: &[Option<&str>],
        published: UnixTime,
    ) -> Result<(), StoreError> {
        let updates: Vec<_> = ids
            .iter()
            .map(|id| {
                let draft = fixture::draft(&["a"], *id, false, published);
                Arc::new(self.places.place(draft))
            })
            .collect();
        ledger.ids.extend(updates.iter().map(|update| update.id().to_owned()));
        self.writer.append(&updates)?;
        ledger.acknowledged = ledger.ids.len();
        Ok(())
    }

    /// The keeper hears what happened, and does its work.
    pub(super) fn keep(&mut self) {
        self.keeper.listen();
        self.keeper.turn();
    }

    /// Whether there is room for a group. Where the log would wait for the keeper, it has a turn.
    pub(super) fn has_room(&mut self) -> Result<bool, StoreError> {
        if self.supply.is_wanted() {
            self.keep();
        }
        self.writer.has_room()
    }

    /// Everything that is retained: where it starts, and the ids.
    pub(super) fn all(&self) -> (Position, Vec<String>) {
        let earliest = self.reader.locate(&Since::Earliest, UnknownId::All).expect("readable");
        (earliest.position, self.after(earliest.position))
    }

    /// The ids of all updates after `position`.
    pub(super) fn after(&self, mut position: Position) -> Vec<String> {
        let interest = Interest {
            matchers: Arc::new([Matcher::Any].into_iter().collect()),
            grants: Arc::default(),
        };
        let budget = ReadBudget { bytes: 700, updates: 5 };
        let mut ids = Vec::new();
        loop {
            let chunk = self
                .reader
                .read(position, &interest, Form::Bare, budget)
                .expect("readable, and retained");
            if chunk.through == position {
                return ids;
            }
            position = chunk.through;
            let text = String::from_utf8(chunk.events.into_bytes()).expect("text");
            ids.extend(
                text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned),
            );
        }
    }

    /// Every retained update, in order and once, and found by its id; nothing else.
    pub(super) fn check(&self, ledger: &Ledger) {
        let (start, ids) = self.all();
        let start = start.0 as usize;
        let committed = self.catalog.committed().0 as usize;
        assert!(committed >= ledger.acknowledged, "{committed} {ledger:?}");
        assert!(committed <= ledger.ids.len());
        assert_eq!(ids, ledger.ids[start..committed], "from {start}");
        for (i, id) in ids.iter().enumerate() {
            let located = self.reader.locate(&Since::Id(id.as_str().into()), UnknownId::All);
            let first = ids.iter().position(|other| other == id).unwrap_or(i);
            let located = located.expect("readable");
            assert_eq!(located.position.0 as usize, start + first + 1, "{id}");
        }
    }

    /// What a start after a kill finds: the ledger without what was never committed.
    pub(super) fn cut(&self, ledger: &mut Ledger) {
        ledger.ids.truncate(self.catalog.committed().0 as usize);
        ledger.acknowledged = ledger.ids.len();
    }
}
