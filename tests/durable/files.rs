//! The files of a history, seen from outside.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the history of a hub lies whose `data_dir` this is.
pub(super) fn history(data_dir: &Path) -> PathBuf {
    data_dir.join("history")
}

/// The names of all its files, in order.
pub(super) fn names(history: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(history) else { return vec![] };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Its segments, the oldest first.
pub(super) fn segments(history: &Path) -> Vec<String> {
    names(history).into_iter().filter(|name| name.ends_with(".log")).collect()
}

/// Bytes of all its segments.
pub(super) fn len(history: &Path) -> u64 {
    let len = |name| fs::metadata(history.join(name)).map_or(0, |file| file.len());
    segments(history).into_iter().map(len).sum()
}
