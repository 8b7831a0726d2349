//! At which lengths a log goes on in another file, and is made shorter.

/// Lengths in bytes, and a number of files. Tests make them small, so that little fills them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// At which length a file is followed by the next; and when nothing is kept in any of them.
    pub(super) full: u64,
    pub(super) full_when_empty: u64,
    /// After a log was longer than this, what is left of it when nothing is kept in it is made small.
    pub(super) long: u64,
    pub(super) small: u64,
    /// From which length of the log on old files are made free.
    pub(super) moved_from: u64,
    /// After how many files of the log the catalog is written, whether that makes any of them free or not.
    pub(super) uncovered: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            full: 16 << 20,
            full_when_empty: 8 << 20,
            long: 64 << 20,
            small: 1 << 20,
            moved_from: 64 << 20,
            uncovered: 16,
        }
    }
}

#[cfg(test)]
impl Limits {
    /// So small that a log of some KiB has all that a long one has.
    pub(super) fn tiny() -> Self {
        Self { full: 2048, full_when_empty: 1024, long: 4096, small: 512, moved_from: 4096, uncovered: 3 }
    }
}
