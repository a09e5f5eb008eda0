//! The first row of each partition by event time.

use std::sync::Arc;

use millstream_data::{page::RowKind, row::RowLayout, types::Schema};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, RowKeys, RowReplay, RowStates, Values},
};

/// Emits the first row of a partition that the watermark reaches, and drops all others: rows are only ever
/// added. Late rows are dropped, too, as in Flink.
pub(super) struct Earliest {
    layout: Arc<RowLayout>,
    none: Arc<RowLayout>,
    /// Partitions that have had their row.
    said: Values,
    value: Vec<u8>,
}

impl Earliest {
    pub(super) fn open(
        input: &Schema,
        keys: &RowKeys,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        Ok(Self {
            layout: Arc::new(RowLayout::new(input)),
            none: Arc::new(RowLayout::new(&Schema::new(Vec::new()))),
            said: states.values("said", keys, Some(1))?,
            value: Vec::new(),
        })
    }
}

impl RowReplay for Earliest {
    fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.layout), Arc::clone(&self.none)]
    }

    fn takes_late(
        &mut self,
        _key: (&RowKeys, usize),
        _time: i64,
        _states: &mut RowStates,
    ) -> Result<bool, TaskError> {
        Ok(false)
    }

    fn replay(
        &mut self,
        (keys, index): (&RowKeys, usize),
        _time: i64,
        rows: &mut dyn Iterator<Item = &[u8]>,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        if states.read(self.said, keys, index, &mut self.value)? {
            return Ok(());
        }
        if let Some(first) = rows.next() {
            let (row, none) = (out.keep(first), out.keep(&[]));
            out.emit(RowKind::Insert, row, none);
            states.put(self.said, keys, index, &[1])?;
        }
        Ok(())
    }
}
