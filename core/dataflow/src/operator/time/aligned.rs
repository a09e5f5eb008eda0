//! Sources that wait for one another, by their watermarks.

use alloc::string::String;

use millstream_data::Value;

use super::WatermarkStrategy;
use crate::graph::alignment::SourceAlignment;

/// Watermarks of a strategy, of a source that waits for others: Flink's `withWatermarkAlignment`. A subtask of the
/// source reads nothing while its watermark is ahead of the last one of its group, which may be of other sources,
/// by more than the drift. What they have not read yet need then not be kept for it in state. Who is idle or has
/// ended holds nobody back; who has no watermark yet does.
///
/// ```
/// use millstream_dataflow::{Connector, Environment, operator::WithAlignment};
/// use millstream_state::time::Bounded;
///
/// let env = Environment::new("aligned");
/// let aligned = WithAlignment::new(Bounded::new(1000), "group", 60_000, 1000);
/// env.source::<(u64, i64)>("rows", Connector::new("datagen"))
///     .assign_watermarks(aligned, |row| row.1)
///     .result();
/// ```
#[derive(Clone, Debug)]
pub struct WithAlignment<W> {
    strategy: W,
    alignment: SourceAlignment,
}

impl<W> WithAlignment<W> {
    /// The watermarks of `strategy`, of a source that is never ahead of the last of its group by more than
    /// `max_drift` milliseconds, which is looked at each `update_interval` milliseconds.
    pub fn new(
        strategy: W,
        group: impl Into<String>,
        max_drift: u64,
        update_interval: u64,
    ) -> Self {
        let max_drift = i64::try_from(max_drift).unwrap_or(i64::MAX);
        let alignment = SourceAlignment { group: group.into(), max_drift, update_interval };
        Self { strategy, alignment }
    }
}

impl<T: Value, W: WatermarkStrategy<T>> WatermarkStrategy<T> for WithAlignment<W> {
    #[inline(always)]
    fn observe(&mut self, row: T::View<'_>, time: i64) -> bool {
        self.strategy.observe(row, time)
    }

    #[inline(always)]
    fn watermark(&self) -> i64 {
        self.strategy.watermark()
    }

    fn idle_after(&self) -> Option<u64> {
        self.strategy.idle_after()
    }

    fn alignment(&self) -> Option<&SourceAlignment> {
        Some(&self.alignment)
    }
}
