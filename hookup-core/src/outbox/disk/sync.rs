//! Syncs that are shared: whoever waits for one when another begins is served by that.

use std::{
    io,
    ops::RangeInclusive,
    sync::{Mutex, PoisonError},
};

use super::{
    lock,
    log::{Log, lost},
    state::State,
};

/// How many failed syncs are remembered, for those who have still to ask what came of theirs.
const MAX_FAILED: usize = 1024;

#[derive(Debug)]
pub(super) struct Syncs {
    done: Mutex<Done>,
}

#[derive(Debug)]
struct Done {
    /// Up to which position of the log all is synced, and which of its files that was, and where in it.
    position: u64,
    file: u64,
    end: u64,
    /// What was taken back, as it could not be synced.
    failed: Vec<RangeInclusive<u64>>,
}

impl Syncs {
    /// All that is in the log is synced.
    pub(super) fn new(log: &Log) -> Self {
        let done = Done { position: log.position(), file: log.number(), end: log.end(), failed: Vec::new() };
        Self { done: Mutex::new(done) }
    }

    /// Returns when the log is synced up to this position.
    pub(super) fn sync(&self, position: u64, state: &Mutex<State>) -> io::Result<()> {
        // Whoever holds this syncs for all who wait for it.
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        if done.failed.iter().any(|failed| failed.contains(&position)) {
            return Err(lost());
        }
        if position <= done.position {
            return Ok(());
        }
        let (active, now, number) = {
            let state = lock(state);
            if position <= state.log.safe() {
                return Ok(());
            }
            let active = if state.log.has_lost { Err(lost()) } else { state.log.active() };
            (active, state.log.position(), state.log.number())
        };
        match active.and_then(|active| active.file.sync_data().map(|()| active)) {
            Ok(active) => {
                *done = Done { position: now, file: number, end: active.end, failed: std::mem::take(&mut done.failed) };
                let mut state = lock(state);
                state.log.synced(number, &active);
                state.synced(now);
                Ok(())
            }
            Err(error) => {
                let mut state = lock(state);
                if state.log.number() != number {
                    // It was synced meanwhile, when the file was finished.
                    return Ok(());
                }
                state.take_back(if done.file == number { done.end } else { 0 });
                let from = done.position.max(state.log.safe()) + 1;
                done.position = state.log.position();
                let upto = done.position;
                // While it goes on failing, that is one stretch.
                let before = done.failed.pop_if(|before| *before.end() + 1 == from);
                if done.failed.len() == MAX_FAILED {
                    done.failed.remove(0);
                }
                done.failed.push(before.map_or(from, |before| *before.start())..=upto);
                Err(error)
            }
        }
    }
}
