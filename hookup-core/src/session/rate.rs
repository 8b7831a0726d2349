//! How many messages may reach the handler in which time: a token bucket. Pure: the time is passed in.

use std::time::{Duration, Instant};

use super::Rate;

/// A bucket that holds as many tokens as the rate has messages, and is given one more per `per / messages`.
///
/// It is kept as the time at which it will be full; so nothing has to be counted up while time passes.
#[derive(Debug)]
pub(super) struct Bucket {
    /// How long one token takes to come.
    each: Duration,
    /// How long a full bucket takes.
    whole: Duration,
    full_at: Option<Instant>,
}

impl Bucket {
    /// A full one. The rate has been checked: neither part of it is zero.
    pub(super) fn new(Rate { messages, per }: Rate) -> Self {
        // Rounded up, so that the rate is never above what was asked for. A year in nanoseconds fits.
        let each = per.as_nanos().div_ceil(u128::from(messages.max(1)));
        let nanos = |nanos: u128| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        Self { each: nanos(each), whole: nanos(each * u128::from(messages)), full_at: None }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When there will be one, if there is none.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.map_or(now, |at| at.max(now)) + self.each;
        let missing = full_at.duration_since(now);
        if missing > self.whole {
            return Err(now + (missing - self.whole));
        }
        self.full_at = Some(full_at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate() -> impl Strategy<Value = Rate> {
        (1..20_u32, 1..2000_u64).prop_map(|(messages, per)| Rate { messages, per: Duration::from_millis(per) })
    }

    proptest! {
        #[test]
        fn no_window_has_more_than_the_rate_allows(
            rate in rate(),
            waits in prop::collection::vec((0..400_u64, 1..40_usize), 1..60),
        ) {
            let mut bucket = Bucket::new(rate);
            let (mut now, mut taken) = (Instant::now(), Vec::new());
            for (wait, tries) in waits {
                now += Duration::from_millis(wait);
                taken.extend((0..tries).filter(|_| bucket.take(now).is_ok()).map(|_| now));
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let came = (*to - *from).as_nanos() * u128::from(rate.messages) / rate.per.as_nanos();
                    prop_assert!((last - first + 1) as u128 <= u128::from(rate.messages) + came);
                }
            }
        }

        #[test]
        fn whoever_waits_until_the_time_that_was_said_gets_a_token_then_and_not_before(rate in rate(), takes in 1..100) {
            let mut bucket = Bucket::new(rate);
            let mut now = Instant::now();
            for _ in 0..takes {
                if let Err(at) = bucket.take(now) {
                    prop_assert!(at - now <= rate.per / rate.messages + Duration::from_nanos(1), "the wait is for one");
                    prop_assert!(bucket.take(at - Duration::from_nanos(1)).is_err());
                    prop_assert!(bucket.take(at).is_ok());
                    now = at;
                }
            }
        }

        #[test]
        fn after_a_pause_as_many_may_come_at_once(rate in rate(), pause in 2000..5000_u64) {
            let mut bucket = Bucket::new(rate);
            let mut now = Instant::now();
            for _ in 0..3 {
                let taken = (0..100).filter(|_| bucket.take(now).is_ok()).count();
                prop_assert_eq!(taken, rate.messages as usize);
                now += Duration::from_millis(pause);
            }
        }
    }

    #[test]
    fn the_greatest_rates_do_not_overflow() {
        for (messages, per) in [(u32::MAX, crate::LONGEST), (1, crate::LONGEST), (u32::MAX, Duration::from_nanos(1))] {
            let mut bucket = Bucket::new(Rate { messages, per });
            assert_eq!(bucket.take(Instant::now()), Ok(()));
        }
    }
}
