//! Settings: where they come from, what they mean, and what is wrong with them.
//!
//! Everything hangs on one table ([`settings`]): a setting is one row there. Texts are collected
//! source by source ([`load()`]: defaults, file, environment, flags; the later wins) and turned
//! into a [`Config`], which is plain data and valid by construction. Nothing here reads the
//! environment or files: both come in as arguments.

mod access;
mod addresses;
mod caddyfile;
mod checks;
mod dev;
mod directives;
mod gather;
mod keys;
mod load;
pub mod reference;
mod reload;
mod setting;
mod settings;
#[cfg(test)]
mod tests;
mod transport;
mod tree;
mod units;

pub use addresses::parse_admin;
pub use dev::DEV_ISSUER;
pub use directives::{Directive, without_line_end};
pub use keys::{IssuerKey, IssuerKeySet, MASK, Secret, parse_algorithm};
pub use load::{ConfigFile, Environment, Loaded, Mistake, Notice, Said, Sources, load};
pub use reload::Reload;
pub use setting::{Kind, Setting, Source, Variable};
pub use settings::{SECTIONS, Section, settings};
pub use tree::*;
pub use units::{format_size, parse_duration, parse_size};
