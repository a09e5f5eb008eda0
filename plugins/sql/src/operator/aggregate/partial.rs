//! Groups in two phases: what the rows of a page do to each of its groups is made before rows are sent to the
//! subtasks of their groups, so that a group of many rows is sent once a page.
//!
//! What is sent of a group are its keys, and what is kept of one that began empty: a count of rows, which is below 0
//! where more went than came, a slot for each call, and the texts.

use std::sync::Arc;

use millstream_data::{
    page::{RowKind, ValidPage},
    row::{PageRows, RowLayout},
    types::{DataType, Field, Schema},
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, EqualKeys, PageFunction, RowKeys},
};

use super::{Aggregation, fold::wrong};
use crate::{
    operator::{
        accumulator::{Accumulator, SLOT},
        bundle::BUNDLE,
        is_retraction,
        texts::{pack, unpack},
    },
    relation::{AggregateCall, AggregateFunction},
};

/// Whether groups can be made in two phases: nothing has to be known of all rows of a group to fold one.
pub(in crate::operator) fn has_two_phases(calls: &[AggregateCall], input: &Schema) -> bool {
    use AggregateFunction::{Avg, Count, CountAll, List, Max, Min, Spread, Sum};
    let is_merged = |call: &AggregateCall| match call.function {
        _ if call.distinct => false,
        Count | CountAll | Sum | Avg => true,
        Min | Max | List | Spread(_) => !input.row_kinds,
        _ => false,
    };
    calls.iter().all(is_merged)
}

/// The rows that are sent, of groups of `input` with so many keys.
pub(in crate::operator) fn schema(input: &Schema, keys: usize) -> Schema {
    let mut fields: Vec<Field> = input.fields.iter().take(keys).cloned().collect();
    let mut name = String::from("$partial");
    while fields.iter().any(|field| field.name == name) {
        name.push('$');
    }
    fields.push(Field::new(name, DataType::Bytes));
    Schema::new(fields)
}

/// Folds the rows of a page into groups that begin empty, and emits them.
pub(in crate::operator) struct Partial {
    plan: Aggregation,
    keys: RowKeys,
    layout: Arc<RowLayout>,
    parts: [Arc<RowLayout>; 2],
    equal: EqualKeys,
    groups: Vec<Group>,
    empty: Vec<u8>,
    /// Rows that are taken together at most.
    batch: usize,
}

#[derive(Debug, Default)]
struct Group {
    fixed: Vec<u8>,
    texts: Vec<Vec<u8>>,
}

impl Partial {
    /// For so many rows at once at most.
    pub(in crate::operator) fn new(plan: &Aggregation, rows: usize) -> Self {
        let keys = RowKeys::new(&plan.input, &plan.keys, true);
        let partial = Schema::new(vec![Field::new("partial", DataType::Bytes)]);
        let parts = [Arc::new(RowLayout::new(keys.schema())), Arc::new(RowLayout::new(&partial))];
        Self {
            layout: Arc::new(RowLayout::new(&plan.input)),
            keys,
            parts,
            equal: EqualKeys::default(),
            groups: Vec::new(),
            empty: vec![0; 8 + plan.accumulators.len() * SLOT],
            plan: plan.clone(),
            batch: rows.clamp(1, BUNDLE),
        }
    }
}

impl PageFunction for Partial {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        self.parts.clone()
    }

    fn take(
        &mut self,
        page: &ValidPage<'_>,
        start: usize,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let Self { plan, keys, layout, parts, equal, groups, empty, batch } = self;
        let end = keys.take(page, start, *batch)?;
        let rows = PageRows::new(layout, page).map_err(|error| wrong(&error))?;
        keys.find_equal(equal);
        groups.resize_with(equal.firsts().len().max(groups.len()), Group::default);
        for group in groups.iter_mut().take(equal.firsts().len()) {
            group.fixed.clone_from(empty);
            group.texts.resize(plan.texts, Vec::new());
            group.texts.iter_mut().for_each(Vec::clear);
        }
        for (number, of) in keys.rows().iter().zip(equal.of()) {
            let Some(Group { fixed, texts }) = groups.get_mut(*of as usize) else { continue };
            let row = rows.at(*number as usize);
            let retract = is_retraction(page, *number as usize);
            let count = rows_of(fixed) + if retract { -1 } else { 1 };
            if let Some(first) = fixed.first_chunk_mut() {
                *first = count.to_le_bytes();
            }
            for call in plan.accumulators.iter().filter(|call| call.counts(&row)) {
                call.add(&row, retract, fixed, texts);
            }
        }
        let mut row = Vec::new();
        for (first, Group { fixed, texts }) in equal.firsts().iter().zip(groups) {
            // Rows that came and went, and left nothing.
            if fixed == empty {
                continue;
            }
            pack(texts, fixed);
            row.clear();
            parts[1].write(&mut row, |row| row.put_variable(fixed));
            let (key, group) = (out.keep(keys.row(*first as usize)), out.keep(&row));
            out.emit(RowKind::Insert, key, group);
        }
        Ok(end)
    }
}

/// How many rows a group has, or has more where that was sent of it.
pub(super) fn rows_of(group: &[u8]) -> i64 {
    group.first_chunk().map_or(0, |rows| i64::from_le_bytes(*rows))
}

/// Adds what was sent of a group to it.
pub(super) fn merge(
    accumulators: &[Accumulator],
    (fixed, texts): (&mut [u8], &mut [Vec<u8>]),
    group: &[u8],
) -> Result<(), TaskError> {
    let width = 8 + accumulators.len() * SLOT;
    let found = group.get(..width).ok_or_else(|| wrong(&"what was sent of a group is cut off"))?;
    let mut more = vec![Vec::new(); texts.len()];
    if !texts.is_empty() {
        unpack(&mut group.to_vec(), width, &mut more)?;
    }
    for call in accumulators {
        call.merge((fixed, texts), (found, &more));
    }
    Ok(())
}
