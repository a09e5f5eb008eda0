//! The first rows of each partition and window, emitted when the window has ended.

use std::sync::Arc;

use millstream_data::{
    page::RowKind,
    row::{PageRows, RowLayout},
    types::{DataType, Field, Schema},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, RowFold},
};
use millstream_state::window::Window;

use super::{Ranking, insert, kept};

/// Keeps the first rows of a partition and window, as [`TopN`](super::TopN) does those of a partition.
pub(in crate::operator) struct RankFold {
    plan: Ranking,
    layout: Arc<RowLayout>,
    rank: Arc<RowLayout>,
    sort_key: Vec<u8>,
    row: Vec<u8>,
    list: Vec<u8>,
}

impl RankFold {
    pub(in crate::operator) fn new(plan: &Ranking) -> Self {
        let rank = plan.rank.then(|| Field::new("rank", DataType::Int64));
        Self {
            layout: Arc::new(RowLayout::new(&plan.input)),
            rank: Arc::new(RowLayout::new(&Schema::new(rank.into_iter().collect()))),
            plan: plan.clone(),
            sort_key: Vec::new(),
            row: Vec::new(),
            list: Vec::new(),
        }
    }
}

impl RowFold for RankFold {
    fn layout(&self) -> &Arc<RowLayout> {
        &self.layout
    }

    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.layout), Arc::clone(&self.rank)]
    }

    fn width(&self) -> Option<usize> {
        None
    }

    fn fold(
        &mut self,
        rows: &PageRows<'_>,
        row: usize,
        before: Option<&[u8]>,
        new: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        let Self { plan, sort_key, row: bytes, list, .. } = self;
        list.clear();
        list.extend_from_slice(before.unwrap_or(&[]));
        sort_key.clear();
        plan.order.put_key(&rows.at(row), sort_key);
        let in_front = plan.in_front(list, sort_key);
        if in_front < plan.limit {
            bytes.clear();
            rows.gather(row, bytes);
            insert(plan.limit, list, in_front, (sort_key, bytes));
        }
        new.extend_from_slice(list);
        Ok(())
    }

    fn merge(&mut self, _: &[u8], _: &[u8], _: &mut Vec<u8>) -> Result<(), TaskError> {
        Err(TaskError::new("the first rows of windows that become one are not known"))
    }

    fn finish(
        &mut self,
        _key: &[u8],
        _window: Window,
        (list, _): (&[u8], &[Vec<u8>]),
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        for (rank, row) in (1_i64..).zip(kept(list)) {
            let row = out.keep(row.row);
            let rank = rank.to_le_bytes();
            let rank = out.keep(if self.plan.rank { &rank } else { &[] });
            out.emit(RowKind::Insert, row, rank);
        }
        Ok(())
    }
}
