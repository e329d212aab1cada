//! Settings that are read again while the hub runs.

use super::{
    load::{InForce, Loaded},
    settings::settings,
    tree::Config,
};

/// What reading the settings again amounts to.
#[derive(Debug)]
pub struct Reload {
    /// What is in force from now on.
    pub loaded: Loaded,
    /// Settings that have changed.
    pub changed: Vec<&'static str>,
    /// Settings that were given another value, which counts after a restart.
    pub needs_restart: Vec<&'static str>,
}

impl Loaded {
    /// Takes from settings that were read anew what a hub that runs can change.
    pub fn reload(&self, new: Loaded) -> Reload {
        let (mut changed, mut needs_restart) = (Vec::new(), Vec::new());
        let mut in_force: Vec<InForce> = Vec::new();
        for setting in settings() {
            let of = |loaded: &Loaded| -> Vec<InForce> {
                let all = loaded.in_force.iter().filter(|one| one.setting == setting.name);
                all.cloned().collect()
            };
            let (old, new) = (of(self), of(&new));
            let is_same = old.iter().map(|one| &one.whole).eq(new.iter().map(|one| &one.whole));
            match (is_same, setting.reloads) {
                (true, _) => in_force.extend(old),
                (false, true) => {
                    changed.push(setting.name);
                    in_force.extend(new);
                }
                (false, false) => {
                    needs_restart.push(setting.name);
                    in_force.extend(old);
                }
            }
        }
        let config = merged(&self.config, new.config);
        Reload { loaded: Loaded { config, notices: new.notices, in_force }, changed, needs_restart }
    }
}

/// The old settings with what the rows of the table that are marked so speak of.
fn merged(old: &Config, new: Config) -> Config {
    let mut config = old.clone();
    config.access = new.access;
    config.limits = new.limits;
    config.requests.json_publish = new.requests.json_publish;
    config.streams.gap_notice = new.streams.gap_notice;
    config.logging.level = new.logging.level;
    config
}
