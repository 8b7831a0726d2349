//! When a peer that takes nothing of what is to be written to it is given up. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// Watches over one connection's writing.
#[derive(Debug)]
pub(super) struct Stall {
    timeout: Duration,
    /// How often something was taken, and since when nothing has been; `None` while nothing waits to be written.
    seen: u64,
    since: Option<Instant>,
}

impl Stall {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { timeout, seen: 0, since: None }
    }

    /// Another connection begins.
    pub(super) fn reset(&mut self) {
        self.since = None;
    }

    /// Whether the peer is to be given up. `taken` is how often the socket took something, while the transport has something
    /// that it is yet to take.
    pub(super) fn poll(&mut self, taken: Option<u64>, now: Instant) -> bool {
        let Some(count) = taken else {
            self.since = None;
            return false;
        };
        if count != self.seen || self.since.is_none() {
            self.seen = count;
            self.since = Some(now);
        }
        let late = self.deadline().and_then(|at| now.checked_duration_since(at));
        match late {
            None => false,
            // Whoever asks late was held up on his thread, and with him the connection that is to write: it has its time again.
            Some(late) if late > self.timeout / 4 => {
                self.since = Some(now);
                false
            }
            Some(_) => true,
        }
    }

    /// When to ask again, at the latest.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.timeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_peer_that_takes_nothing_is_given_up_when_its_time_is_over() {
        let (mut stall, start) = (Stall::new(10 * SECOND), Instant::now());
        assert!(!stall.poll(Some(7), start));
        assert_eq!(stall.deadline(), Some(start + 10 * SECOND));
        assert!(!stall.poll(Some(7), start + 9 * SECOND));
        assert!(stall.poll(Some(7), start + 10 * SECOND));
    }

    #[test]
    fn whatever_it_takes_gives_it_the_whole_time_again() {
        let (mut stall, start) = (Stall::new(10 * SECOND), Instant::now());
        assert!(!stall.poll(Some(1), start));
        assert!(!stall.poll(Some(2), start + 10 * SECOND), "what was taken in between counts, however late it is seen");
        assert!(!stall.poll(Some(2), start + 19 * SECOND));
        assert!(stall.poll(Some(2), start + 20 * SECOND));
    }

    #[test]
    fn a_peer_is_not_given_up_because_its_watcher_was_held_up() {
        let (mut stall, start) = (Stall::new(10 * SECOND), Instant::now());
        assert!(!stall.poll(Some(1), start));
        assert!(!stall.poll(Some(1), start + 60 * SECOND));
        assert!(!stall.poll(Some(1), start + 69 * SECOND));
        assert!(stall.poll(Some(1), start + 70 * SECOND));
    }

    #[test]
    fn who_has_nothing_to_take_does_not_stall() {
        let (mut stall, start) = (Stall::new(10 * SECOND), Instant::now());
        assert!(!stall.poll(Some(0), start));
        assert!(!stall.poll(None, start + 5 * SECOND));
        assert_eq!(stall.deadline(), None);
        assert!(!stall.poll(Some(0), start + 60 * SECOND));
    }
}
