//! One of the two, over all its lives.

use std::{collections::VecDeque, io, path::Path, time::Instant};

use fastrand::Rng;
use tokio::sync::mpsc::UnboundedSender;

use crate::{
    Args,
    journal::Tail,
    process::{Process, Said, Side},
};

/// One of the two, over all its lives.
pub(crate) struct End {
    pub(crate) side: Side,
    pub(crate) life: u32,
    pub(crate) process: Option<Process>,
    pub(crate) tail: Option<Tail>,
    pub(crate) starts_at: Option<Instant>,
    /// This process listens, if it is the server.
    pub(crate) is_up: bool,
    /// This process has produced all that it was to.
    pub(crate) is_done: bool,
    /// How many messages its lives have accepted.
    pub(crate) accepted: u64,
    pub(crate) kills: u64,
    /// When it dies next, as a share of the whole.
    pub(crate) dies_at: VecDeque<f64>,
    /// It dies at this time, whatever else.
    pub(crate) dies_soon: Option<Instant>,
}

impl End {
    /// It dies so many times, spread over the whole, each time at a random place of its share.
    pub(crate) fn new(side: Side, kills: u64, rng: &mut Rng) -> Self {
        let dies_at = (0..kills).map(|kill| (kill as f64 + 0.1 + 0.8 * rng.f64()) / kills as f64).collect();
        Self {
            side,
            life: 0,
            process: None,
            tail: None,
            starts_at: Some(Instant::now()),
            is_up: false,
            is_done: false,
            accepted: 0,
            kills: 0,
            dies_at,
            dies_soon: None,
        }
    }

    /// Starts its next life, which is to accept so many messages.
    pub(crate) fn start(
        &mut self,
        args: &Args,
        directory: &Path,
        url: &str,
        messages: u64,
        said: UnboundedSender<Said>,
    ) -> io::Result<()> {
        self.life += 1;
        (self.is_up, self.is_done) = (false, false);
        self.tail = Some(Tail::open(directory, self.side, self.life)?);
        let more: &[&str] = match self.side {
            Side::Client => &[url],
            Side::Server if args.memory_store => &["--memory-store"],
            Side::Server => &[],
        };
        self.process = Some(Process::start(self.side, self.life, directory, messages, more, said)?);
        Ok(())
    }
}
