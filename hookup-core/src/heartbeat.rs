//! When to ping a peer, and when to call it dead. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// Watches over one connection's silence.
///
/// A peer that has been silent for one interval is pinged, and again after each further one. A peer that has been
/// silent for `missed` intervals is dead. Anything that arrives ends the silence.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    interval: Duration,
    missed: u32,
    heard: Instant,
    pinged: u32,
}

/// What [`Heartbeat::poll`] asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing yet.
    Wait,
    /// A ping.
    Ping,
    /// The end of the connection.
    Dead,
}

impl Heartbeat {
    /// How many intervals of silence end a connection, unless set otherwise.
    pub const MISSED: u32 = 2;

    /// Starts to listen at `now`.
    pub fn new(interval: Duration, missed: u32, now: Instant) -> Self {
        Self { interval, missed: missed.max(1), heard: now, pinged: 0 }
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = 0;
    }

    /// What is due. A ping is asked for once per interval, however late or often this is called.
    pub fn poll(&mut self, now: Instant) -> Beat {
        let silent = self.silent_intervals(now);
        if silent >= self.missed {
            Beat::Dead
        } else if silent > self.pinged {
            self.pinged = silent;
            Beat::Ping
        } else {
            Beat::Wait
        }
    }

    /// When to call [`Heartbeat::poll`] next.
    pub fn deadline(&self) -> Instant {
        self.heard + self.interval * (self.pinged + 1)
    }

    fn silent_intervals(&self, now: Instant) -> u32 {
        let silence = now.saturating_duration_since(self.heard);
        u32::try_from(silence.as_nanos() / self.interval.as_nanos().max(1)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_peer_is_pinged_once_and_dead_after_two_intervals() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        assert_eq!(heartbeat.poll(start + 9 * SECOND), Beat::Wait);
        assert_eq!(heartbeat.deadline(), start + 10 * SECOND);
        assert_eq!(heartbeat.poll(start + 10 * SECOND), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 11 * SECOND), Beat::Wait);
        assert_eq!(heartbeat.deadline(), start + 20 * SECOND);
        assert_eq!(heartbeat.poll(start + 20 * SECOND), Beat::Dead);
    }

    #[test]
    fn what_arrives_ends_the_silence() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        assert_eq!(heartbeat.poll(start + 10 * SECOND), Beat::Ping);
        heartbeat.heard(start + 15 * SECOND);
        assert_eq!(heartbeat.poll(start + 24 * SECOND), Beat::Wait);
        assert_eq!(heartbeat.poll(start + 25 * SECOND), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 35 * SECOND), Beat::Dead);
    }

    #[test]
    fn missed_ticks_do_not_fire_in_a_burst() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(SECOND, 10, start);
        assert_eq!(heartbeat.poll(start + 5 * SECOND), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 5 * SECOND), Beat::Wait);
        assert_eq!(heartbeat.deadline(), start + 6 * SECOND);
    }
}
