//! Groups of whatever has come.

mod fold;
mod partial;

use std::sync::Arc;

use millstream_data::{
    page::{RowKind, ValidPage},
    row::{PageRows, RowLayout},
    types::Schema,
};
use millstream_dataflow::{
    TaskError,
    operator::rows::{Changes, EqualKeys, RowFunction, RowKeys, RowStates, Values},
};

use fold::{Emission, Said, Taken, What, finish, wrong};
pub(super) use partial::{Partial, has_two_phases, schema as partial_schema};

use super::{
    BATCH, Changing,
    accumulator::{Accumulator, SLOT},
    bundle::{BUNDLE, Bundle},
    distinct::{Counts, Distinct},
    extremes::{Extreme, Extremes},
    in_place, is_retraction,
    texts::{pack, unpack},
    users::{self, Hand, User, Users},
};
use crate::{
    error::SqlError,
    relation::{AggregateCall, AggregateFunction},
};

/// The number of rows of a group without keys that was emitted in the end.
const SAID: i64 = -1;

/// What is computed of the rows of each group.
#[derive(Clone, Debug)]
pub(super) struct Aggregation {
    pub(super) input: Schema,
    pub(super) keys: Vec<usize>,
    pub(super) accumulators: Arc<Vec<Accumulator>>,
    /// Columns of which different values are told apart, and the calls for which they are.
    pub(super) distinct: Vec<(usize, Vec<usize>)>,
    /// Calls whose values are kept, because they may go again: of MIN and MAX, FIRST_VALUE and LAST_VALUE.
    extremes: Vec<Extreme>,
    /// Calls of functions of users.
    pub(super) users: Vec<User>,
    pub(super) texts: usize,
    /// The columns of results.
    pub(super) results: Schema,
    /// What it takes instead of rows of the input: what was made of those of a page, in the column behind the keys.
    partial: Option<Schema>,
}

impl Aggregation {
    pub(super) fn new(
        input: &Schema,
        keys: usize,
        calls: &[AggregateCall],
        output: &Schema,
    ) -> Result<Self, SqlError> {
        let (mut accumulators, mut texts) = (Vec::new(), 0);
        let mut distinct: Vec<(usize, Vec<usize>)> = Vec::new();
        let (mut extremes, mut users) = (Vec::new(), Vec::new());
        let results: Vec<_> = output.fields.iter().skip(keys).cloned().collect();
        for (number, (call, result)) in calls.iter().zip(&results).enumerate() {
            let argument = call.argument.and_then(|column| input.fields.get(column));
            let argument = argument.map(|field| &field.data_type);
            let mut made = Accumulator::new(call, argument, &result.data_type, number, &mut texts)?;
            if let Some(user) = &call.user {
                let (layout, strict) = (user.function.results(), User::strict(user, input));
                made = made.of_user(RowLayout::new(layout), strict, texts);
                users.push(User::new(user, number, texts)?);
                texts += users::TEXTS;
            }
            accumulators.push(made);
            let changes =
                |function| matches!(function, AggregateFunction::Min | AggregateFunction::Max);
            if input.row_kinds {
                extremes.extend(Extreme::of(call, number, input)?);
            }
            if let (true, Some(column), false) =
                (call.distinct, call.argument, changes(call.function))
            {
                match distinct.iter_mut().find(|(of, _)| *of == column) {
                    Some((_, calls)) => calls.push(number),
                    None => distinct.push((column, vec![number])),
                }
            }
        }
        Ok(Self {
            input: input.clone(),
            keys: (0..keys).collect(),
            accumulators: Arc::new(accumulators),
            distinct,
            extremes,
            users,
            texts,
            results: Schema::new(results),
            partial: None,
        })
    }

    /// The same, of what [`Partial`] has made of rows.
    pub(super) fn second(self) -> Self {
        let partial = partial::schema(&self.input, self.keys.len());
        Self { partial: Some(partial), ..self }
    }

    /// What it takes.
    fn takes(&self) -> &Schema {
        self.partial.as_ref().unwrap_or(&self.input)
    }
}

/// What is emitted of groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Emits {
    /// Each change, when it comes.
    Changes,
    /// What they are when the input has ended.
    Last,
    /// Then, too: as many rows as each has got, of its keys alone.
    Rows,
}

/// Folds rows into their groups, and emits what that changes, or what they are in the end.
///
/// A group is a count of rows, a slot for each call, and behind them the texts that are kept, each with its
/// length.
pub(super) struct Aggregate {
    plan: Aggregation,
    keys: RowKeys,
    layout: Arc<RowLayout>,
    key_layout: Arc<RowLayout>,
    results: Arc<RowLayout>,
    groups: Values,
    /// Whether groups are changed in place.
    in_place: bool,
    distinct: Vec<Distinct>,
    extremes: Extremes,
    users: Users,
    emits: Emits,
    /// Whether groups expire: a row of one that has may be taken back later. As in Flink, a group is also said
    /// when nothing of it has changed, so that those who read it keep it, too.
    expires: bool,
    upserts: bool,
    /// Rows that are taken at once, at most.
    batch: usize,
    /// What they change, if that is said together.
    bundle: Option<Bundle>,
    /// The key group that is to be emitted next, once the input has ended.
    next: u32,
    scratch: Scratch,
}

#[derive(Debug, Default)]
struct Scratch {
    empty: Vec<u8>,
    group: Vec<u8>,
    before: Vec<u8>,
    after: Vec<u8>,
    /// For each row and call, whether the row counts.
    counts: Vec<bool>,
    gone: Vec<usize>,
    /// The groups of the keys at hand, if they are not changed in place.
    equal: EqualKeys,
    held: Vec<Held>,
}

/// A group at hand.
#[derive(Debug, Default)]
pub(super) struct Held {
    group: Vec<u8>,
    pub(super) texts: Vec<Vec<u8>>,
    is_gone: bool,
    said: Option<Said>,
}

impl Held {
    /// How many rows it has.
    pub(super) fn rows(&self) -> i64 {
        partial::rows_of(&self.group)
    }
}

impl Aggregate {
    pub(super) fn open(
        plan: &Aggregation,
        (emits, how): (Emits, Changing),
        states: &mut RowStates,
    ) -> Result<Self, TaskError> {
        let keys = states.keys(plan.takes(), &plan.keys, true);
        let fixed = 8 + plan.accumulators.len() * SLOT;
        let key_layout = RowLayout::new(keys.schema());
        let in_place = plan.texts == 0 && in_place(&key_layout, fixed);
        let groups = states.values("groups", &keys, in_place.then_some(fixed))?;
        let distinct = Distinct::open(plan, &keys, states)?;
        let extremes = Extremes::open(&plan.extremes, &keys, states)?;
        let scratch = Scratch { empty: vec![0; fixed], ..Scratch::default() };
        Ok(Self {
            layout: Arc::new(RowLayout::new(plan.takes())),
            key_layout: Arc::new(key_layout),
            results: Arc::new(RowLayout::new(&plan.results)),
            plan: plan.clone(),
            keys,
            groups,
            in_place,
            distinct,
            extremes,
            users: Users::open(plan),
            emits,
            expires: states.expire(),
            upserts: how.upserts,
            batch: how.bundling.map_or(BATCH, |bundling| bundling.rows.clamp(1, BUNDLE)),
            bundle: how.bundling.map(|_| Bundle::default()),
            next: states.groups().start,
            scratch,
        })
    }

    /// Finds for each row at hand and each call whether the row counts: for calls with DISTINCT, whether its
    /// value is the first one, or the last that goes.
    fn look(
        &mut self,
        page: &ValidPage<'_>,
        rows: &PageRows<'_>,
        states: &mut RowStates,
    ) -> Result<(), TaskError> {
        let Self { plan, keys, distinct, extremes, scratch, .. } = self;
        let counts = &mut scratch.counts;
        counts.clear();
        if plan.partial.is_some() {
            return Ok(());
        }
        for number in keys.rows() {
            let row = rows.at(*number as usize);
            counts.extend(plan.accumulators.iter().map(|call| call.counts(&row)));
        }
        let mut counts = Counts { calls: plan.accumulators.len(), counts };
        let retracts = |row| is_retraction(page, row);
        extremes.look(keys, (rows, retracts), states, (&plan.accumulators, &mut counts))?;
        distinct.iter_mut().try_for_each(|column| column.look(page, keys, states, &mut counts))
    }

    /// Reads the groups of the keys at hand, whose equal ones were found, each once.
    fn hold(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        let Self { plan, keys, groups, scratch, .. } = self;
        let Scratch { empty, equal, held, .. } = scratch;
        held.resize_with(equal.firsts().len().max(held.len()), Held::default);
        states.read_ahead(*groups, keys);
        for (first, Held { group, texts, is_gone, said }) in equal.firsts().iter().zip(held) {
            (*is_gone, *said) = (false, None);
            texts.resize(plan.texts, Vec::new());
            if states.read(*groups, keys, *first as usize, group)? {
                unpack(group, empty.len(), texts)?;
            } else {
                group.clone_from(empty);
                texts.iter_mut().for_each(Vec::clear);
            }
        }
        Ok(())
    }

    /// Lets functions of users take the rows at hand.
    fn call_users(&mut self, page: &ValidPage<'_>, rows: &PageRows<'_>) -> Result<(), TaskError> {
        if self.plan.users.is_empty() {
            return Ok(());
        }
        let Scratch { counts, equal, held, .. } = &mut self.scratch;
        let (numbers, said) = (self.keys.rows(), self.emits == Emits::Changes);
        let hand = Hand { page, rows, numbers, groups: equal.of(), counts, said };
        let held = held.get_mut(..equal.firsts().len()).unwrap_or_default();
        self.users.look(&hand, held)
    }

    /// Emits the groups of a key group, which are removed.
    fn emit_last(
        &mut self,
        group: u32,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<(), TaskError> {
        let Self { plan, keys, results, groups, emits, users, scratch, .. } = self;
        let mut said = Ok(());
        states.drain(*groups, group, keys, |key, value| {
            if said.is_ok() {
                said = say((plan, users), results, (key, value), *emits, scratch, out);
            }
        })?;
        said
    }

    /// Emits the one group that there is without keys, also if it is of no rows. It stays, so that it is not
    /// emitted again when the job goes on from here.
    fn emit_whole(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<(), TaskError> {
        let Self { plan, keys, results, groups, emits, users, scratch, .. } = self;
        keys.take_whole();
        let mut group = Vec::new();
        if !states.read(*groups, keys, 0, &mut group)? {
            group = empty(plan, 0);
        }
        if group.first_chunk() != Some(&SAID.to_le_bytes()) {
            say((plan, users), results, (keys.row(0), &group), *emits, scratch, out)?;
        }
        states.put(*groups, keys, 0, &empty(plan, SAID))
    }

    /// Writes them.
    fn release(&mut self, states: &mut RowStates) -> Result<(), TaskError> {
        let Self { keys, groups, scratch, .. } = self;
        for (first, held) in scratch.equal.firsts().iter().zip(&mut scratch.held) {
            let first = *first as usize;
            if held.is_gone {
                states.remove(*groups, keys, first)?;
            } else {
                pack(&held.texts, &mut held.group);
                states.put(*groups, keys, first, &held.group)?;
            }
        }
        Ok(())
    }
}

impl RowFunction for Aggregate {
    fn parts(&self) -> [Arc<RowLayout>; 2] {
        [Arc::clone(&self.key_layout), Arc::clone(&self.results)]
    }

    fn upserts(&self) -> bool {
        self.upserts
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        states: &mut RowStates,
        out: &mut Changes,
    ) -> Result<usize, TaskError> {
        let end = self.keys.take(page, start, self.batch)?;
        let layout = Arc::clone(&self.layout);
        let rows = PageRows::new(&layout, page).map_err(|error| wrong(&error))?;
        self.look(page, &rows, states)?;
        if !self.in_place || self.bundle.is_some() {
            self.keys.find_equal(&mut self.scratch.equal);
        }
        if let Some(bundle) = &mut self.bundle {
            bundle.clear(self.scratch.equal.firsts().len());
        }
        if !self.in_place {
            self.hold(states)?;
            self.call_users(page, &rows)?;
        }
        let Self { plan, keys, results, groups, in_place, extremes, emits, users, .. } = self;
        let Self { expires, bundle, scratch, .. } = self;
        let expires = *expires;
        let Scratch { empty, group, before, after, counts, gone, equal, held } = scratch;
        let accumulators = &plan.accumulators[..];
        let calls = accumulators.len();
        let partial = plan.partial.as_ref().map(|_| plan.keys.len());
        let taken = |index: usize| {
            let number = keys.rows().get(index).map_or(0, |row| *row as usize);
            let row = rows.at(number);
            let counts = counts.get(index * calls..(index + 1) * calls).unwrap_or(&[]);
            let what = match partial {
                Some(column) => What::Partial(row.variable(column)),
                None => What::Row {
                    row,
                    retract: is_retraction(page, number),
                    counts,
                    replaced: extremes.of_row(index, calls),
                    index,
                    users,
                },
            };
            let group = equal.of().get(index).map_or(0, |group| *group as usize);
            Taken { what, key: keys.row(index), group }
        };
        let is_said = *emits == Emits::Changes;
        let mut emission = Emission {
            results,
            accumulators,
            before,
            after,
            out: is_said.then_some(&mut *out),
            expires,
            bundle: bundle.as_mut(),
        };
        if !*in_place {
            for (index, group) in equal.of().iter().enumerate() {
                if let Some(held) = held.get_mut(*group as usize) {
                    let Held { group, texts, is_gone, said } = held;
                    *is_gone = emission.fold(&taken(index), (group, texts), said)?;
                }
            }
            if let Some(bundle) = bundle {
                bundle.emit(expires, out);
            }
            self.release(states)?;
            return Ok(end);
        }
        gone.clear();
        let mut failed = None;
        let (mut last, mut said) = (None, None);
        states.update(*groups, keys, empty, |index, group| {
            let taken = taken(index);
            // Rows of one group often follow each other.
            if last.replace(taken.key) != Some(taken.key) {
                said = None;
            }
            match emission.fold(&taken, (group, &mut []), &mut said) {
                Ok(true) => gone.push(index),
                Ok(false) => {}
                Err(error) => failed = Some(error),
            }
        })?;
        failed.map_or(Ok(()), Err)?;
        if let Some(bundle) = bundle {
            bundle.emit(expires, out);
        }
        // One that a later row has begun anew is there.
        for index in gone.iter() {
            states.read(*groups, keys, *index, group)?;
            if group.first_chunk::<8>() == Some(&[0; 8]) {
                states.remove(*groups, keys, *index)?;
            }
        }
        Ok(end)
    }

    fn advance(&mut self, states: &mut RowStates, out: &mut Changes) -> Result<bool, TaskError> {
        if self.emits == Emits::Changes || !states.is_over() {
            return Ok(true);
        }
        if self.plan.keys.is_empty() {
            return if states.has_whole() {
                self.emit_whole(states, out).map(|()| true)
            } else {
                Ok(true)
            };
        }
        while self.next < states.groups().end {
            self.emit_last(self.next, states, out)?;
            self.next += 1;
            if out.is_large() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Emits a group.
fn say(
    (plan, users): (&Aggregation, &mut Users),
    results: &RowLayout,
    (key, value): (&[u8], &[u8]),
    emits: Emits,
    scratch: &mut Scratch,
    out: &mut Changes,
) -> Result<(), TaskError> {
    let Scratch { empty, group, after, .. } = scratch;
    group.clear();
    group.extend_from_slice(value);
    let mut texts = vec![Vec::new(); plan.texts];
    unpack(group, empty.len(), &mut texts)?;
    users.finish(&mut texts)?;
    after.clear();
    finish(results, &plan.accumulators, (group, &texts), after);
    let (key, result) = (out.keep(key), out.keep(after));
    let rows = partial::rows_of(group);
    let copies = if emits == Emits::Rows { rows } else { 1 };
    (0..copies).for_each(|_| out.emit(RowKind::Insert, key, result));
    Ok(())
}

/// A group of so many rows, of which nothing is known.
fn empty(plan: &Aggregation, rows: i64) -> Vec<u8> {
    let mut group = rows.to_le_bytes().to_vec();
    group.resize(8 + plan.accumulators.len() * SLOT, 0);
    pack(&vec![Vec::new(); plan.texts], &mut group);
    group
}
