//! The history that the transport keeps.

use std::{hash::RandomState, io, path::Path, sync::Arc};

use super::{ServeError, settings};
use crate::{
    config::{Config, Embedded, Transport},
    log::{
        embedded::{self, Beginning, Opened},
        exchange::Exchange,
        history::{History, Store},
        memory::{Memory, Retention},
        sequence::Places,
    },
    protocol::{id::IdCipher, update::Position},
};

/// A history that is open.
pub(super) struct Open {
    pub(super) store: Box<dyn Store>,
    pub(super) history: Arc<dyn History>,
    /// Gives updates their places in it.
    pub(super) places: Places,
    /// The position of its last update.
    pub(super) last: Position,
    beginning: Option<Beginning>,
}

impl Open {
    /// Opens, or begins, the history that the configuration names.
    pub(super) fn start(config: &Config) -> Result<Open, ServeError> {
        match &config.log.transport {
            Transport::Local => in_memory(Retention::NOTHING),
            Transport::Memory { updates_max, bytes_max } => in_memory(Retention {
                updates: updates_max.map_or(0, |max| settings::size(max.get())),
                bytes: settings::size(*bytes_max),
            }),
            Transport::Embedded(embedded) => on_disk(config, embedded),
        }
    }

    /// What is to be called once all threads of the hub have the files that they are to have.
    pub(super) fn take_beginning(&mut self) -> impl FnOnce(&Arc<Exchange>) + use<> {
        let beginning = self.beginning.take();
        move |exchange: &Arc<Exchange>| {
            let exchange = Arc::clone(exchange);
            if let Some(beginning) = beginning {
                beginning.begin(move || exchange.log_bell().wake());
            }
        }
    }
}

fn key() -> io::Result<[u8; 16]> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(io::Error::other)?;
    Ok(key)
}

fn in_memory(retention: Retention) -> Result<Open, ServeError> {
    // Without a history that outlives the process, ids need not either.
    let cipher = IdCipher::new(key()?);
    let incarnation = settings::random()? as u32;
    let memory = Memory::new(retention, cipher.clone(), incarnation, RandomState::new());
    Ok(Open {
        store: Box::new(memory.clone()),
        history: Arc::new(memory),
        places: Places::new(cipher, incarnation, Position::START),
        last: Position::START,
        beginning: None,
    })
}

fn on_disk(config: &Config, embedded: &Embedded) -> Result<Open, ServeError> {
    let Embedded { directory, updates_max, bytes_max, age_max, sync } = embedded;
    tell_of_others(directory);
    let settings = embedded::Settings {
        directory: directory.clone(),
        retention: embedded::Retention {
            updates_max: updates_max.map(|max| max.get()),
            bytes_max: bytes_max.map(|max| max.get()),
            age_max: *age_max,
        },
        sync: *sync,
        update_max: config.requests.body_bytes_max,
        hub: settings::hub_url(config)?,
    };
    let Opened { store, history, cipher, last, beginning } = embedded::open(&settings, &mut key)?;
    let (updates, _) = store.retained();
    tracing::info!(
        updates,
        last = last.0,
        "the history in {} has {updates} updates",
        directory.display()
    );
    // Copied histories differ from here on.
    let incarnation = settings::random()? as u32;
    let places = Places::new(cipher, incarnation, last);
    Ok(Open { store, history, places, last, beginning: Some(beginning) })
}

/// Says that a file beside the history, which may be that of another hub, is not read.
fn tell_of_others(directory: &Path) {
    let other = directory.to_str().and_then(|path| path.strip_suffix(".petasos"));
    if let Some(other) = other
        && Path::new(other).is_file()
    {
        tracing::info!(
            "{other} may be the history of another hub (BoltDB): it is left alone and not read; \
             new history lies in {}",
            directory.display()
        );
    }
}
