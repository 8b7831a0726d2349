//! What may happen to a directory's files behind the back of their owner.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use fastrand::Rng;

/// What happens to one file.
#[derive(Debug)]
pub(crate) enum Damage {
    Flip { file: PathBuf, byte: usize, bit: u8 },
    Truncate { file: PathBuf, len: usize },
    Delete { file: PathBuf },
    Garbage { file: PathBuf, len: usize },
    Append { file: PathBuf, len: usize },
    Foreign { file: PathBuf },
}

/// The files in a directory and those below, in the order of their names.
fn files(path: &Path) -> Vec<PathBuf> {
    let mut paths = fs::read_dir(path).expect("reads").map(|found| found.expect("reads").path()).collect::<Vec<_>>();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("creates");
    for found in fs::read_dir(from).expect("reads") {
        let found = found.expect("reads");
        let to = to.join(found.file_name());
        if found.path().is_dir() {
            copy(&found.path(), &to);
        } else {
            fs::copy(found.path(), to).expect("copies");
        }
    }
}

impl Damage {
    /// Something that may happen to this directory.
    pub(crate) fn any(rng: &mut Rng, path: &Path) -> Self {
        let files = files(path);
        let file = files[rng.usize(..files.len())].clone();
        let len = usize::try_from(fs::metadata(&file).expect("it is there").len()).expect("it fits");
        match rng.u8(..10) {
            0..4 if len > 0 => Self::Flip { file, byte: rng.usize(..len), bit: rng.u8(..8) },
            4 => Self::Truncate { file, len: 0 },
            5 => Self::Truncate { file, len: rng.usize(..=len / 4096) * 4096 },
            0..7 => Self::Truncate { file, len: rng.usize(..=len) },
            7 => Self::Delete { file },
            8 if rng.bool() => Self::Garbage { file, len: [len, rng.usize(..10_000)][rng.usize(..2)] },
            8 => Self::Append { file, len: rng.usize(1..10_000) },
            _ => Self::Foreign { file: file.with_file_name("letter.txt") },
        }
    }

    /// Whether the end of what was written may be missing after it, without a trace.
    pub(crate) fn may_cut_off(&self) -> bool {
        matches!(self, Self::Truncate { .. } | Self::Delete { .. } | Self::Garbage { .. })
    }

    pub(crate) fn inflict(&self, rng: &mut Rng) {
        let garbage = |rng: &mut Rng, len: usize| {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            bytes
        };
        let append = |file: &Path| File::options().append(true).open(file).expect("opens");
        match self {
            Self::Flip { file, byte, bit } => {
                let mut bytes = fs::read(file).expect("reads");
                bytes[*byte] ^= 1 << bit;
                fs::write(file, bytes).expect("writes");
            }
            Self::Truncate { file, len } => append(file).set_len(*len as u64).expect("truncates"),
            Self::Delete { file } => fs::remove_file(file).expect("deletes"),
            Self::Garbage { file, len } => fs::write(file, garbage(rng, *len)).expect("writes"),
            Self::Append { file, len } => append(file).write_all(&garbage(rng, *len)).expect("writes"),
            Self::Foreign { file } => fs::write(file, "dear").expect("writes"),
        }
    }
}
