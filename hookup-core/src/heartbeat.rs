//! When to ping a peer, and when to call it dead. Pure: the time is passed in.

use std::time::{Duration, Instant};

/// Watches over one connection's silence.
///
/// A peer that has been silent for one interval is pinged, and again after each further one. A peer that has been
/// silent for `missed` intervals is dead. Anything that arrives ends the silence.
///
/// An interval counts as silent only if this was asked in time: whoever comes late was held up by something else on his thread,
/// may not have read yet what the peer has sent, and may not have pinged it when he should have. Then the peer is pinged
/// (again), and has another interval.
///
/// Nor does one count in which the peer has gone on taking a long message: the ping is behind that.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    interval: Duration,
    missed: u32,
    /// How many intervals were silent.
    silent: u32,
    /// When the present one ends.
    due: Instant,
    /// How often the socket has taken something while more of it waits, now and when the last interval ended.
    taken: Option<u64>,
    taken_before: Option<u64>,
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
        Self { interval, missed: missed.max(1), silent: 0, due: now + interval, taken: None, taken_before: None }
    }

    /// How often the socket has taken something, while something waits that it is yet to take; to be said before each
    /// [`Heartbeat::poll`].
    pub fn writes(&mut self, taken: Option<u64>) {
        self.taken = taken;
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.silent = 0;
        self.due = now + self.interval;
        self.taken_before = None;
    }

    /// What is due. A ping is asked for once per interval, however late or often this is called.
    ///
    /// While nothing is read, as the handler is behind, the peer's silence means nothing; but it is pinged, as it hears from us
    /// by nothing else: its own pings are not answered.
    pub fn poll(&mut self, now: Instant, is_reading: bool) -> Beat {
        if !is_reading {
            self.silent = 0;
        }
        if now < self.due {
            return Beat::Wait;
        }
        // Something waited then, and waits now, so all that the socket has taken between the peer has taken.
        let takes = self.taken_before.zip(self.taken).is_some_and(|(before, now)| before != now);
        self.taken_before = self.taken;
        if takes {
            self.silent = 0;
        }
        if !is_reading || takes || now - self.due > self.interval / 4 {
            self.due = now + self.interval;
            return Beat::Ping;
        }
        self.silent += 1;
        self.due += self.interval;
        if self.silent >= self.missed { Beat::Dead } else { Beat::Ping }
    }

    /// When to call [`Heartbeat::poll`] next.
    pub fn deadline(&self) -> Instant {
        self.due
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_silent_peer_is_pinged_once_and_dead_after_two_intervals() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        assert_eq!(heartbeat.poll(start + 9 * SECOND, true), Beat::Wait);
        assert_eq!(heartbeat.deadline(), start + 10 * SECOND);
        assert_eq!(heartbeat.poll(start + 10 * SECOND, true), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 11 * SECOND, true), Beat::Wait);
        assert_eq!(heartbeat.deadline(), start + 20 * SECOND);
        assert_eq!(heartbeat.poll(start + 20 * SECOND, true), Beat::Dead);
    }

    #[test]
    fn what_arrives_ends_the_silence() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        assert_eq!(heartbeat.poll(start + 10 * SECOND, true), Beat::Ping);
        heartbeat.heard(start + 15 * SECOND);
        assert_eq!(heartbeat.poll(start + 24 * SECOND, true), Beat::Wait);
        assert_eq!(heartbeat.poll(start + 25 * SECOND, true), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 35 * SECOND, true), Beat::Dead);
    }

    #[test]
    fn missed_ticks_do_not_fire_in_a_burst() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(SECOND, 10, start);
        assert_eq!(heartbeat.poll(start + 5 * SECOND, true), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 5 * SECOND, true), Beat::Wait);
        assert_eq!(heartbeat.deadline(), start + 6 * SECOND);
    }

    #[test]
    fn a_peer_is_not_dead_because_its_watcher_was_held_up() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        assert_eq!(heartbeat.poll(start + 60 * SECOND, true), Beat::Ping, "it was not pinged before");
        assert_eq!(heartbeat.poll(start + 70 * SECOND, true), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 83 * SECOND, true), Beat::Ping, "its answer may be there, unread");
        assert_eq!(heartbeat.poll(start + 93 * SECOND, true), Beat::Dead);
    }

    #[test]
    fn a_peer_that_takes_a_long_message_is_not_dead_and_one_that_takes_no_more_is() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        for n in 1..10 {
            heartbeat.writes(Some(n));
            assert_eq!(heartbeat.poll(start + u32::try_from(n).expect("small") * 10 * SECOND, true), Beat::Ping);
        }
        assert_eq!(heartbeat.poll(start + 100 * SECOND, true), Beat::Ping);
        assert_eq!(heartbeat.poll(start + 110 * SECOND, true), Beat::Dead);
    }

    #[test]
    fn what_a_socket_takes_of_messages_that_do_not_wait_is_no_sign_of_life() {
        let start = Instant::now();
        for taken in [[Some(1), None], [None, Some(2)], [None, None], [Some(1), Some(1)]] {
            let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
            let beats = [1, 2].map(|n| {
                heartbeat.writes(taken[n as usize - 1]);
                heartbeat.poll(start + n * 10 * SECOND, true)
            });
            assert_eq!(beats, [Beat::Ping, Beat::Dead], "{taken:?}");
        }
    }

    #[test]
    fn a_peer_that_is_not_read_is_pinged_and_never_dead() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(10 * SECOND, 2, start);
        for n in 1..10 {
            assert_eq!(heartbeat.poll(start + n * 10 * SECOND, false), Beat::Ping);
            assert_eq!(heartbeat.poll(start + n * 10 * SECOND + SECOND, false), Beat::Wait);
        }
        assert_eq!(heartbeat.poll(start + 100 * SECOND, true), Beat::Ping, "when it is read again, it has its time");
        assert_eq!(heartbeat.poll(start + 110 * SECOND, true), Beat::Dead);
    }

    proptest! {
        #[test]
        fn whoever_is_dead_was_pinged_and_had_time_to_answer(
            missed in 2..5_u32,
            delays in prop::collection::vec(0..2500_u64, 1..100),
        ) {
            let (mut now, interval) = (Instant::now(), SECOND);
            let mut heartbeat = Heartbeat::new(interval, missed, now);
            let mut pinged = None;
            for delay in delays {
                now = now.max(heartbeat.deadline()) + Duration::from_millis(delay);
                let beat = heartbeat.poll(now, true);
                let since = pinged.map(|pinged| now - pinged);
                prop_assert!(beat == Beat::Wait || since.is_none_or(|since| since >= interval * 3 / 4), "{:?}", since);
                match beat {
                    Beat::Wait => {}
                    Beat::Ping => pinged = Some(now),
                    Beat::Dead => {
                        prop_assert!(since.is_some(), "it was pinged");
                        break;
                    }
                }
            }
        }

        #[test]
        fn on_a_thread_that_is_in_time_the_dead_are_noticed_in_time(
            missed in 2..5_u32,
            delays in prop::collection::vec(0..=250_u64, 10),
        ) {
            let (start, interval) = (Instant::now(), SECOND);
            let mut heartbeat = Heartbeat::new(interval, missed, start);
            let dead = delays.iter().find_map(|&delay| {
                let now = heartbeat.deadline() + Duration::from_millis(delay);
                (heartbeat.poll(now, true) == Beat::Dead).then_some(now - start)
            });
            prop_assert!(dead.is_some_and(|dead| dead <= interval * missed + interval / 4), "{:?}", dead);
        }
    }
}
