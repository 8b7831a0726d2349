//! Tests of the whole with files of some KiB.

mod full;
mod model;

use std::path::Path;

use super::quarantine::copy_files;

/// Copies a directory, as it is found by another process when this one is killed.
fn copy(from: &Path, to: &Path) {
    copy_files(from, to).expect("copies");
}
