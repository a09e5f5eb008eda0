//! Whether a job that failed begins again, and when.

use alloc::collections::VecDeque;
use core::fmt;

/// How often and how soon a job is restarted. Numbers are Flink's, see SEMANTICS.md 4.12. Times are
/// milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strategy {
    /// Never.
    None,
    /// Some times, each after the same delay.
    FixedDelay {
        /// How often.
        attempts: u32,
        /// How long after the failure.
        delay_ms: u64,
    },
    /// Unless there are too many failures within an interval.
    FailureRate {
        /// Failures within an interval that the job survives, at least 1.
        max_failures: u32,
        /// The interval.
        interval_ms: u64,
        /// How long after the failure.
        delay_ms: u64,
    },
    /// After a delay that grows from failure to failure.
    ExponentialDelay {
        /// The first delay, and that after a time without failure.
        initial_ms: u64,
        /// The longest delay.
        max_ms: u64,
        /// How much longer each delay is than the one before, at least 1.
        multiplier: f64,
        /// The share of a delay by which it may be shorter or longer, from 0 to 1, so that many jobs
        /// that failed together do not begin together.
        jitter: f64,
        /// How long the job has to run for the delay to be the first again.
        reset_ms: u64,
        /// How often in a row; `None` for no end.
        attempts: Option<u32>,
    },
}

impl Strategy {
    /// Once, after a second.
    pub const FIXED_DELAY: Self = Self::FixedDelay { attempts: 1, delay_ms: 1000 };

    /// One failure within a minute, after a second.
    pub const FAILURE_RATE: Self =
        Self::FailureRate { max_failures: 1, interval_ms: 60_000, delay_ms: 1000 };

    /// From a second to a minute, for ever.
    pub const EXPONENTIAL_DELAY: Self = Self::ExponentialDelay {
        initial_ms: 1000,
        max_ms: 60_000,
        multiplier: 1.5,
        jitter: 0.1,
        reset_ms: 3_600_000,
        attempts: None,
    };

    /// The strategy of a job for which none is set: a job without checkpoints would begin from its
    /// beginning, so it is not restarted.
    pub fn default_for(checkpointing: bool) -> Self {
        if checkpointing { Self::EXPONENTIAL_DELAY } else { Self::None }
    }
}

/// What becomes of a job that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It begins again then, in milliseconds of the clock that was given.
    RestartAt(u64),
    /// It does not.
    GiveUp(Reason),
}

/// Why a job does not begin again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The strategy is [`Strategy::None`].
    NoRestart,
    /// It was restarted as often as may be.
    Attempts {
        /// How often.
        attempts: u32,
    },
    /// There were too many failures in too short a time.
    Rate {
        /// Failures that were allowed.
        max_failures: u32,
        /// Within so many milliseconds.
        interval_ms: u64,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRestart => f.write_str(
                "the job is not restarted: it takes no checkpoints, or its restart strategy is `none`",
            ),
            Self::Attempts { attempts } => write!(
                f,
                "the job was restarted {attempts} times, which is as often as its restart strategy \
                 allows"
            ),
            Self::Rate { max_failures, interval_ms } => write!(
                f,
                "the job failed more than {max_failures} times within {interval_ms} ms, which is as \
                 often as its restart strategy allows"
            ),
        }
    }
}

impl core::error::Error for Reason {}

/// A job's failures, and what follows from them.
#[derive(Clone, Debug)]
pub struct Restart {
    strategy: Strategy,
    /// Restarts so far, of the delays that grow those in a row.
    restarts: u32,
    /// When it failed, as far as that counts for a rate.
    failures: VecDeque<u64>,
    /// The last delay, without jitter.
    delay_ms: f64,
    /// When the job failed last, and when it begins again.
    last: Option<(u64, u64)>,
}

impl Restart {
    /// A job that has not failed.
    pub fn new(strategy: Strategy) -> Self {
        Self { strategy, restarts: 0, failures: VecDeque::new(), delay_ms: 0.0, last: None }
    }

    /// The job, or a part of it, failed at `now_ms`. `jitter` is a random number from -1 to 1, which
    /// the strategy with growing delays makes use of.
    ///
    /// There, failures that come before the restart that an earlier one led to are part of that one.
    pub fn failed(&mut self, now_ms: u64, jitter: f64) -> Decision {
        match self.strategy {
            Strategy::None => Decision::GiveUp(Reason::NoRestart),
            Strategy::FixedDelay { attempts, delay_ms } => {
                if self.restarts >= attempts {
                    return Decision::GiveUp(Reason::Attempts { attempts });
                }
                self.restarts += 1;
                Decision::RestartAt(now_ms.saturating_add(delay_ms))
            }
            Strategy::FailureRate { max_failures, interval_ms, delay_ms } => {
                self.failures.push_back(now_ms);
                while self.failures.len() > max_failures as usize + 1 {
                    self.failures.pop_front();
                }
                let is_full = self.failures.len() > max_failures as usize;
                let earliest = self.failures.front().copied().unwrap_or(now_ms);
                if is_full && now_ms.saturating_sub(earliest) <= interval_ms {
                    return Decision::GiveUp(Reason::Rate { max_failures, interval_ms });
                }
                Decision::RestartAt(now_ms.saturating_add(delay_ms))
            }
            Strategy::ExponentialDelay { attempts, .. } => {
                if let Some((_, restart)) = self.last
                    && now_ms < restart
                {
                    return Decision::RestartAt(restart);
                }
                self.grow(now_ms);
                if let Some(attempts) = attempts
                    && self.restarts >= attempts
                {
                    return Decision::GiveUp(Reason::Attempts { attempts });
                }
                self.restarts += 1;
                let restart = now_ms.saturating_add(self.jittered(jitter));
                self.last = Some((now_ms, restart));
                Decision::RestartAt(restart)
            }
        }
    }

    /// The delay of the next restart: the first one again after a time without failure.
    fn grow(&mut self, now: u64) {
        let Strategy::ExponentialDelay { initial_ms, max_ms, multiplier, reset_ms, .. } =
            self.strategy
        else {
            return;
        };
        let stable = reset_ms.saturating_add(self.delay_ms as u64);
        let initial = initial_ms as f64;
        match self.last {
            Some((failed, _)) if now.saturating_sub(failed) < stable => {
                self.delay_ms = (self.delay_ms * multiplier).min(max_ms as f64).max(initial);
            }
            _ => {
                self.delay_ms = initial;
                self.restarts = 0;
            }
        }
    }

    fn jittered(&self, jitter: f64) -> u64 {
        let Strategy::ExponentialDelay { max_ms, jitter: share, .. } = self.strategy else {
            return 0;
        };
        let delay = self.delay_ms * (1.0 + share * jitter.clamp(-1.0, 1.0));
        (delay as u64).min(max_ms)
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn restart(strategy: Strategy) -> Restart {
        Restart::new(strategy)
    }

    #[test]
    fn without_checkpoints_nothing_is_restarted() {
        let mut none = restart(Strategy::default_for(false));
        assert_eq!(none.failed(5, 0.0), Decision::GiveUp(Reason::NoRestart));
        assert_eq!(Strategy::default_for(true), Strategy::EXPONENTIAL_DELAY);
    }

    #[test]
    fn a_fixed_delay_is_given_so_many_times() {
        let mut fixed = restart(Strategy::FIXED_DELAY);
        assert_eq!(fixed.failed(5, 0.0), Decision::RestartAt(1005));
        let reason = Reason::Attempts { attempts: 1 };
        assert_eq!(fixed.failed(1_000_000, 0.0), Decision::GiveUp(reason));
        assert!(reason.to_string().contains("restarted 1 times"));
    }

    #[test]
    fn a_rate_forgets_what_is_long_ago() {
        let mut rate = restart(Strategy::FAILURE_RATE);
        assert_eq!(rate.failed(0, 0.0), Decision::RestartAt(1000));
        assert_eq!(rate.failed(60_001, 0.0), Decision::RestartAt(61_001));
        let reason = Reason::Rate { max_failures: 1, interval_ms: 60_000 };
        assert_eq!(rate.failed(120_001, 0.0), Decision::GiveUp(reason));
        let mut rate =
            restart(Strategy::FailureRate { max_failures: 3, interval_ms: 100, delay_ms: 1 });
        for at in [0, 10, 20, 101, 111] {
            assert_eq!(rate.failed(at, 0.0), Decision::RestartAt(at + 1), "at {at}");
        }
        assert!(matches!(rate.failed(112, 0.0), Decision::GiveUp(_)));
    }

    #[test]
    fn delays_grow_to_the_longest_and_shrink_after_a_good_hour() {
        let mut growing = restart(Strategy::EXPONENTIAL_DELAY);
        let mut now = 0;
        for delay in [
            1000, 1500, 2250, 3375, 5062, 7593, 11_390, 17_085, 25_628, 38_443, 57_665, 60_000,
            60_000,
        ] {
            assert_eq!(growing.failed(now, 0.0), Decision::RestartAt(now + delay));
            now += delay;
        }
        now += 3_600_000 - 1;
        assert_eq!(growing.failed(now, 0.0), Decision::RestartAt(now + 60_000));
        now += 3_600_000 + 60_000;
        assert_eq!(growing.failed(now, 0.0), Decision::RestartAt(now + 1000));
    }

    #[test]
    fn jitter_is_a_share_of_the_delay_and_never_beyond_the_longest() {
        for (jitter, delay) in [(-1.0, 900), (0.5, 1050), (1.0, 1100), (7.0, 1100), (-7.0, 900)] {
            let mut growing = restart(Strategy::EXPONENTIAL_DELAY);
            assert_eq!(growing.failed(0, jitter), Decision::RestartAt(delay));
        }
        let mut growing = restart(Strategy::ExponentialDelay {
            initial_ms: 100,
            max_ms: 100,
            multiplier: 2.0,
            jitter: 1.0,
            reset_ms: 1000,
            attempts: Some(2),
        });
        assert_eq!(growing.failed(0, 1.0), Decision::RestartAt(100));
        // Failures of the same attempt.
        assert_eq!(growing.failed(99, 1.0), Decision::RestartAt(100));
        assert_eq!(growing.failed(100, -1.0), Decision::RestartAt(100));
        let reason = Reason::Attempts { attempts: 2 };
        assert_eq!(growing.failed(200, 0.0), Decision::GiveUp(reason));
        assert_eq!(growing.failed(2000, 0.0), Decision::RestartAt(2100));
    }
}
