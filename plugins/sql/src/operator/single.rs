//! One row of each key: what becomes of a second one is a conflict.

use std::sync::Arc;

use millstream_data::{page::RowKind, row::RowLayout, types::Schema};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, RowKeys, RowReplay, RowStates, Values},
};

/// Emits the row of each key, without what it was before, when the watermark has risen: what came and went since it rose
/// the last time is nothing. Of several rows that are left the one that was emitted before stays, or else the first,
/// or the job fails.
///
/// What is kept of a key is the row that was emitted.
pub(super) struct Single {
    layout: Arc<RowLayout>,
    none: Arc<RowLayout>,
    emitted: Values,
    /// What the error says of several rows, if they are one.
    refusal: Option<Arc<str>>,
    /// The row that was emitted.
    row: Vec<u8>,
    /// What came, where it begins and ends, and what was taken back of that before.
    bytes: Vec<u8>,
    came: Vec<(usize, usize)>,
    went: Vec<(usize, usize)>,
}

impl Single {
    pub(super) fn open(
        input: &Schema,
        refusal: Option<Arc<str>>,
        keys: &RowKeys,
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        Ok(Self {
            layout: Arc::new(RowLayout::new(input)),
            none: Arc::new(RowLayout::new(&Schema::new(Vec::new()))),
            emitted: states.values("emitted", keys, None)?,
            refusal,
            row: Vec::new(),
            bytes: Vec::new(),
            came: Vec::new(),
            went: Vec::new(),
        })
    }

    /// Takes the changes: what comes and goes, in any order, is nothing.
    fn gather<'a>(&mut self, rows: impl Iterator<Item = &'a [u8]>) {
        let Self { bytes, came, went, .. } = self;
        bytes.clear();
        came.clear();
        went.clear();
        for change in rows {
            let Some((kind, row)) = change.split_first() else { continue };
            let goes =
                matches!(RowKind::from_byte(*kind), Some(RowKind::Delete | RowKind::UpdateBefore));
            let (own, other) =
                if goes { (&mut *went, &mut *came) } else { (&mut *came, &mut *went) };
            let equal = |(begin, end): &(usize, usize)| bytes.get(*begin..*end) == Some(row);
            match other.iter().position(equal) {
                Some(at) => drop(other.remove(at)),
                None => {
                    let begin = bytes.len();
                    bytes.extend_from_slice(row);
                    own.push((begin, bytes.len()));
                }
            }
        }
    }
}

impl RowReplay for Single {
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
        Ok(true)
    }

    fn replay(
        &mut self,
        (keys, index): (&RowKeys, usize),
        _time: i64,
        rows: &mut dyn Iterator<Item = &[u8]>,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        self.gather(rows);
        let Self { emitted, refusal, row, bytes, came, went, .. } = self;
        let there = states.read(*emitted, keys, index, row)?;
        let rows = |places: &[(usize, usize)]| -> Vec<&[u8]> {
            places.iter().filter_map(|(begin, end)| bytes.get(*begin..*end)).collect()
        };
        let (came, went) = (rows(came), rows(went));
        let stays = there && !went.contains(&row.as_slice());
        let left = came.len() + usize::from(stays);
        let none = out.keep(&[]);
        match (left, refusal) {
            (0 | 1, _) => {}
            (_, Some(refusal)) => return Err(TaskError::new(&**refusal)),
            // It is there already.
            (_, None) if there => return Ok(()),
            (_, None) => {}
        }
        match (came.first(), there) {
            (Some(new), _) if !stays => {
                let kind = if there { RowKind::UpdateAfter } else { RowKind::Insert };
                let part = out.keep(new);
                out.emit(kind, part, none);
                states.put(*emitted, keys, index, new)
            }
            (None, true) if !stays => {
                let part = out.keep(row);
                out.emit(RowKind::Delete, part, none);
                states.remove(*emitted, keys, index)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use RowKind::{Delete, Insert, UpdateAfter, UpdateBefore};
    use millstream_dataflow::operator::rows::{RowBuffer, Until};

    use super::*;
    use crate::operator::expiring::{Bench, numbers, said};

    fn bench(refusal: Option<&str>) -> Bench {
        let refusal = refusal.map(Arc::from);
        Bench::new([2, 2], |states| {
            RowBuffer::open(&numbers(2), &[0], Until::Rise, states, |keys, states| {
                Single::open(&numbers(2), refusal, keys, states)
            })
        })
    }

    #[test]
    fn what_is_left_is_said_when_the_watermark_rises() {
        let mut bench = bench(None);
        assert_eq!(bench.at(0, 0, &[(Insert, &[1, 5])]), []);
        assert_eq!(bench.watermark(10), Ok(vec![said(Insert, &[1, 5])]));
        bench.at(0, 0, &[(UpdateBefore, &[1, 5]), (UpdateAfter, &[1, 6])]);
        // It has not risen.
        assert_eq!(bench.watermark(10), Ok(vec![]));
        assert_eq!(bench.watermark(11), Ok(vec![said(UpdateAfter, &[1, 6])]));
        bench.at(0, 0, &[(Delete, &[1, 6]), (Insert, &[1, 7])]);
        bench.at(0, 0, &[(Delete, &[1, 7]), (Insert, &[1, 6])]);
        assert_eq!(bench.watermark(12), Ok(vec![]));
        // What is taken back may come behind that.
        bench.at(0, 0, &[(Delete, &[1, 8]), (Insert, &[1, 8]), (Delete, &[1, 6])]);
        assert_eq!(bench.watermark(13), Ok(vec![said(Delete, &[1, 6])]));
    }

    #[test]
    fn the_first_row_stays_and_others_are_forgotten() {
        let mut bench = bench(None);
        bench.at(0, 0, &[(Insert, &[2, 1]), (Insert, &[2, 2])]);
        assert_eq!(bench.watermark(1), Ok(vec![said(Insert, &[2, 1])]));
        bench.at(0, 0, &[(Insert, &[2, 3])]);
        assert_eq!(bench.watermark(2), Ok(vec![]));
        // As in Flink it stays though it has gone, where two others have come.
        bench.at(0, 0, &[(Delete, &[2, 1]), (Insert, &[2, 4]), (Insert, &[2, 5])]);
        assert_eq!(bench.watermark(3), Ok(vec![]));
        bench.at(0, 0, &[(Delete, &[2, 1])]);
        assert_eq!(bench.watermark(4), Ok(vec![said(Delete, &[2, 1])]));
    }

    #[test]
    fn a_second_row_is_an_error_if_it_was_asked_for() {
        let mut bench = bench(Some("two rows"));
        bench.at(0, 0, &[(Insert, &[1, 1]), (Insert, &[1, 2]), (Delete, &[1, 1])]);
        assert_eq!(bench.watermark(1), Ok(vec![said(Insert, &[1, 2])]));
        bench.at(0, 0, &[(Insert, &[1, 3])]);
        assert_eq!(bench.watermark(2), Err("two rows".to_owned()));
    }
}
