//! When checkpoints are taken, and how.

use millstream_exchange::event::{Alignment, Purpose};

/// How a job is checkpointed. The defaults are Flink's, see SEMANTICS.md 4.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Milliseconds from the beginning of one checkpoint to that of the next. Without it there are
    /// only savepoints, and the last checkpoint at the end of bounded input.
    pub interval_ms: Option<u64>,
    /// Milliseconds after which a checkpoint that is not complete is given up, at least 1.
    pub timeout_ms: u64,
    /// Milliseconds between the end of a complete checkpoint and the next periodic one.
    pub min_pause_ms: u64,
    /// Checkpoints at a time, savepoints among them; at least 1. Unaligned ones are taken one at a
    /// time, whatever is said here.
    pub max_concurrent: usize,
    /// Checkpoints that may fail one after the other without failing the job.
    pub tolerable_failures: u32,
    /// Complete checkpoints that are kept, at least 1. Savepoints belong to the user and are not
    /// counted.
    pub retained: usize,
    /// How barriers are treated: [`Alignment::None`] for at least once, else exactly once.
    pub alignment: Alignment,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            interval_ms: None,
            timeout_ms: 10 * 60 * 1000,
            min_pause_ms: 0,
            max_concurrent: 1,
            tolerable_failures: 0,
            retained: 1,
            alignment: Alignment::Aligned,
        }
    }
}

impl Config {
    /// The alignment of a barrier: a savepoint has no in-flight data in it, nor has the last checkpoint
    /// of a job.
    pub fn alignment(&self, purpose: Purpose, is_last: bool) -> Alignment {
        match (self.alignment, purpose) {
            (Alignment::None, _) => Alignment::None,
            (alignment, Purpose::Checkpoint) if !is_last => alignment,
            _ => Alignment::Aligned,
        }
    }

    /// How many checkpoints there may be at a time.
    pub fn concurrent(&self) -> usize {
        match self.alignment {
            Alignment::Unaligned | Alignment::Timeout { .. } => 1,
            _ => self.max_concurrent.max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_barrier_is_flinks() {
        let timeout = Alignment::Timeout { timeout_ms: 9 };
        for (configured, checkpoint, savepoint) in [
            (Alignment::None, Alignment::None, Alignment::None),
            (Alignment::Aligned, Alignment::Aligned, Alignment::Aligned),
            (timeout, timeout, Alignment::Aligned),
            (Alignment::Unaligned, Alignment::Unaligned, Alignment::Aligned),
        ] {
            let config = Config { alignment: configured, max_concurrent: 3, ..Config::default() };
            assert_eq!(config.alignment(Purpose::Checkpoint, false), checkpoint);
            assert_eq!(config.alignment(Purpose::Checkpoint, true), savepoint);
            assert_eq!(config.alignment(Purpose::Savepoint, false), savepoint);
            assert_eq!(config.alignment(Purpose::StopWithSavepoint, false), savepoint);
            let one_at_a_time =
                matches!(configured, Alignment::Unaligned | Alignment::Timeout { .. });
            assert_eq!(config.concurrent(), if one_at_a_time { 1 } else { 3 });
        }
    }
}
