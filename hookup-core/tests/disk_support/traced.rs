//! What a child that is traced can say to its tracer.

use std::{
    fs::{self, File},
    io::Write,
    path::PathBuf,
};

/// Where its marks go.
pub(crate) struct Marks(File);

impl Marks {
    pub(crate) fn open() -> Self {
        let path = std::env::var_os("HOOKUP_TRACE_MARKS").expect("it is traced");
        Self(File::options().append(true).open(path).expect("opens"))
    }

    pub(crate) fn put(&self, line: &str) {
        (&self.0).write_all(line.as_bytes()).expect("it is recorded");
    }
}

/// Has everything of these kinds fail with an error number, until the fault is dropped.
pub(crate) struct Fault(PathBuf);

impl Fault {
    pub(crate) fn new(errno: u32, what: &str) -> Self {
        let path = PathBuf::from(std::env::var_os("HOOKUP_TRACE_FAULTS").expect("it is traced"));
        fs::write(&path, format!("{errno} {what}\n")).expect("writes");
        Self(path)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// No sync begins until it is dropped.
pub(crate) struct Hold(PathBuf);

impl Hold {
    pub(crate) fn new() -> Self {
        let path = PathBuf::from(std::env::var_os("HOOKUP_TRACE_HOLD").expect("it is traced"));
        fs::write(&path, "").expect("writes");
        Self(path)
    }

    /// Whether a sync wants to begin.
    pub(crate) fn holds_one(&self) -> bool {
        self.0.with_extension("held").exists()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_file(self.0.with_extension("held"));
    }
}
