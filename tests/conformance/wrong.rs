//! Wrong hubs.
use crate::{options::Options, report::Tally};
pub(crate) const SAYS: &str = "wrong hubs are noticed";
pub(crate) fn notice(_options: &Options, _tally: &mut Tally) {}
