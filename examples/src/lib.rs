//! The programs are in `src/bin`; the tests that need a server and a client are in `tests`.

mod resources;

use std::fmt;

use tokio::signal::unix::{SignalKind, signal};

pub use resources::{Bytes, Memory, allowed_open_files, cpu_seconds, open_files, raise_open_files};

/// What a program's `main` returns, so that what is wrong is told in words.
pub type Result<T = ()> = std::result::Result<T, Words>;

/// An error in words. Rust prints what `main` returns by its `Debug`, which for most errors is meant for programmers.
pub struct Words(String);

impl<E: fmt::Display> From<E> for Words {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

impl fmt::Debug for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Waits for a signal to end, other than Ctrl-C.
pub async fn told_to_end() {
    let [terminate, hang_up] = [SignalKind::terminate(), SignalKind::hangup()].map(|kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    });
    tokio::select! {
        () = terminate => {}
        () = hang_up => {}
    }
}

/// The code in the README and the guide, compiled as tests.
#[cfg(doctest)]
mod documents {
    #[doc = include_str!("../../README.md")]
    mod readme {}

    #[doc = include_str!("../../docs/guide.md")]
    mod guide {}
}
