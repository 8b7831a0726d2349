//! How long the client waits before it tries to connect again. The `backoff` crate is named in this file alone.

use std::{fmt, sync::Arc, time::Duration};

use ::backoff::{ExponentialBackoff, backoff::Backoff as _};
use serde::{Deserialize, Serialize};

use crate::{error::ConfigError, panics::catch, settings::text};

/// A backoff schedule: waits that double from `initial` to `max`, each drawn at random between nothing and its cap
/// ("full jitter"), so that clients that lost the same server do not come back in step.
///
/// Default: 100 ms doubling to 30 s, full jitter, for ever; it starts again from the beginning after a connection that
/// lasted 30 s, or that saw an ack.
///
/// In text, a table: `{ initial = "100ms", max = "30s", multiplier = 2.0, max_attempts = 100, stable_after = "30s",
/// jitter = "full" }`; what is left out has its default, and `jitter` may be `"none"`. One of a schedule of its own
/// ([`Backoff::jitter_by`]) is code, and cannot be written as text.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, expecting = "a table of the settings of a backoff")]
pub struct Backoff {
    #[serde(with = "text::duration")]
    initial: Duration,
    #[serde(with = "text::duration")]
    max: Duration,
    multiplier: f64,
    max_attempts: Option<u32>,
    #[serde(with = "text::duration")]
    stable_after: Duration,
    jitter: Jitter,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Jitter {
    Full,
    None,
    #[serde(skip)]
    Custom(Arc<dyn Fn(Duration) -> Duration + Send + Sync>),
}

impl fmt::Debug for Jitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "Full",
            Self::None => "None",
            Self::Custom(_) => "Custom",
        })
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(100),
            max: Duration::from_secs(30),
            multiplier: 2.0,
            max_attempts: None,
            stable_after: Duration::from_secs(30),
            jitter: Jitter::Full,
        }
    }
}

impl Backoff {
    /// The cap of the first wait. Default: 100 ms.
    pub fn initial(mut self, initial: Duration) -> Self {
        self.initial = initial;
        self
    }

    /// The cap that no wait exceeds. Default: 30 s.
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// What each cap is multiplied by to give the next. Default: 2.
    pub fn multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
        self
    }

    /// How many times in a row the client tries again before it gives up. Default: no end. (The first attempt of all is
    /// not tried again, and not counted.)
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// How long a connection must last for the schedule to start again. Default: 30 s.
    pub fn stable_after(mut self, stable: Duration) -> Self {
        self.stable_after = stable;
        self
    }

    /// Waits exactly the caps.
    pub fn without_jitter(mut self) -> Self {
        self.jitter = Jitter::None;
        self
    }

    /// Draws each wait by `wait`, which is given the cap; for tests, and for schedules of one's own.
    pub fn jitter_by(mut self, wait: impl Fn(Duration) -> Duration + Send + Sync + 'static) -> Self {
        self.jitter = Jitter::Custom(Arc::new(wait));
        self
    }

    /// How long a connection must last for the schedule to start again.
    pub fn stability(&self) -> Duration {
        self.stable_after
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`ConfigError`] of `backoff`.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_duration("backoff", self.initial)?;
        ConfigError::check_duration("backoff", self.max)?;
        ConfigError::check_duration("backoff", self.stable_after)?;
        let bad = |problem: String| Err(ConfigError::new("backoff", problem));
        if self.initial > self.max {
            return bad(format!("initial {:?} is above max {:?}", self.initial, self.max));
        }
        if !(1.0..=1000.0).contains(&self.multiplier) {
            return bad(format!("the multiplier must be between 1 and 1000, not {}", self.multiplier));
        }
        if self.max_attempts == Some(0) {
            return bad("max_attempts must be above zero".into());
        }
        Ok(())
    }

    /// The schedule's beginning.
    pub fn schedule(&self) -> Schedule {
        let mut caps = ExponentialBackoff {
            initial_interval: self.initial,
            max_interval: self.max,
            multiplier: self.multiplier,
            // Its jitter goes around the cap and can exceed the maximum; ours is drawn below it.
            randomization_factor: 0.0,
            // Its default of 15 minutes counts connected time, too.
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        caps.reset();
        Schedule { settings: self.clone(), caps, attempts: 0 }
    }
}

/// Where a client stands in its backoff schedule.
pub struct Schedule {
    settings: Backoff,
    caps: ExponentialBackoff,
    attempts: u32,
}

impl Schedule {
    /// The next attempt's number, from 1, and the wait before it; `None` when the last attempt has been made.
    pub fn next_attempt(&mut self) -> Option<(u32, Duration)> {
        if self.settings.max_attempts.is_some_and(|max| self.attempts >= max) {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        let cap = self.caps.next_backoff().unwrap_or(self.settings.max).min(self.settings.max);
        let wait = match &self.settings.jitter {
            Jitter::Full => cap.mul_f64(fastrand::f64()),
            Jitter::None => cap,
            Jitter::Custom(draw) => catch(|| draw(cap)).unwrap_or_else(|message| {
                tracing::error!(%message, "jitter_by panicked; the whole wait it is");
                cap
            }),
        };
        Some((self.attempts, wait))
    }

    /// How many attempts were made since the beginning.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Starts again from the beginning.
    pub fn reset(&mut self) {
        self.attempts = 0;
        self.caps.reset();
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

/// A wait between these two, at random, so that many who were told the same do not act at the same time.
pub fn random_between(from: Duration, to: Duration) -> Duration {
    from + to.saturating_sub(from).mul_f64(fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(schedule: &mut Schedule, n: usize) -> Vec<u128> {
        std::iter::from_fn(|| schedule.next_attempt()).take(n).map(|(_, wait)| wait.as_millis()).collect()
    }

    #[test]
    fn caps_double_up_to_the_maximum_and_stay_there() {
        let backoff = Backoff::default().without_jitter();
        assert_eq!(
            millis(&mut backoff.schedule(), 12),
            [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000, 30000]
        );
    }

    #[test]
    fn full_jitter_draws_between_nothing_and_the_cap() {
        let backoff = Backoff::default().max(Duration::from_millis(400));
        let mut schedule = backoff.schedule();
        for cap in [100, 200, 400, 400, 400, 400] {
            let (_, wait) = schedule.next_attempt().expect("no end");
            assert!(wait <= Duration::from_millis(cap), "{wait:?} is above {cap} ms");
        }
    }

    #[test]
    fn wait_and_randomness_can_be_injected() {
        let backoff = Backoff::default().jitter_by(|cap| cap / 4);
        assert_eq!(millis(&mut backoff.schedule(), 3), [25, 50, 100]);
    }

    #[test]
    fn attempts_are_counted_and_bounded_and_a_reset_starts_again() {
        let mut schedule = Backoff::default().max_attempts(2).without_jitter().schedule();
        assert_eq!(schedule.next_attempt().map(|(n, _)| n), Some(1));
        assert_eq!(schedule.next_attempt().map(|(n, _)| n), Some(2));
        assert_eq!(schedule.next_attempt(), None);
        schedule.reset();
        assert_eq!(schedule.next_attempt(), Some((1, Duration::from_millis(100))));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        let day = Duration::from_secs(86_400);
        for bad in [
            Backoff::default().initial(Duration::ZERO),
            Backoff::default().initial(day),
            Backoff::default().max(Duration::MAX),
            Backoff::default().multiplier(0.5),
            Backoff::default().multiplier(f64::NAN),
            Backoff::default().max_attempts(0),
            Backoff::default().stable_after(Duration::ZERO),
        ] {
            assert_eq!(bad.validate().expect_err("refused").setting(), "backoff", "{bad:?}");
        }
        assert_eq!(Backoff::default().validate(), Ok(()));
    }
}
