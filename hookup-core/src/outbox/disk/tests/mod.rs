//! Tests of the whole with files of some KiB.

mod full;
mod model;
