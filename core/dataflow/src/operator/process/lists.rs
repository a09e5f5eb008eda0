//! Operator state: lists of a subtask, without keys.
//!
//! In a snapshot the elements are spread evenly over the key groups of their subtask. So they move with
//! these: whoever owns a group has its elements, whatever the parallelism. The lists are on the heap, as in
//! Flink, and their bytes are reserved out of the budget of the chain's state.

use alloc::{format, string::String, sync::Arc, vec, vec::Vec};
use core::{fmt, marker::PhantomData, ops::Range};

use millstream_data::{
    row::{RowLayout, RowValue},
    types::Schema,
    value::Record,
};
use millstream_state::{
    Kind, StateId,
    description::Part,
    format::{Chunk, ReadChunk},
    list,
};

use crate::{
    chain::{StateMemory, TaskError},
    state::{Contents, KeyedState, damaged},
};

/// Bytes that an element takes beside its own.
const ELEMENT: usize = 8;

/// Who gets the elements of a list when a job goes on from a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListSplit {
    /// Each element goes to one subtask, about as many to each.
    Divided,
    /// All elements go to all subtasks (Flink's union list state).
    Union,
}

/// The lists of a function, in one subtask.
pub struct OperatorStates {
    lists: Vec<List>,
    memory: Arc<dyn StateMemory>,
    /// Bytes that are reserved.
    reserved: u64,
}

#[derive(Debug)]
struct List {
    name: String,
    schema: Schema,
    /// Bytes of an element, if all have the same.
    width: Option<usize>,
    split: ListSplit,
    /// Its number among the states of the chain.
    id: Option<StateId>,
    /// Rows, one behind the other.
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl List {
    fn elements(&self) -> impl Iterator<Item = &[u8]> {
        let begins = core::iter::once(0).chain(self.ends.iter().copied());
        begins.zip(&self.ends).map(|(begin, end)| self.bytes.get(begin..*end).unwrap_or(&[]))
    }
}

impl OperatorStates {
    pub(super) fn open(memory: Option<&Arc<dyn StateMemory>>) -> Result<Self, TaskError> {
        let Some(memory) = memory.cloned() else {
            return Err(TaskError::new("the chain keeps state, but the job graph does not say so"));
        };
        Ok(Self { lists: Vec::new(), memory, reserved: 0 })
    }

    /// Adds an element, which `write` appends to the bytes of the list.
    fn add(&mut self, list: usize, write: impl FnOnce(&mut Vec<u8>)) -> Result<(), TaskError> {
        let Self { lists, memory, reserved } = self;
        let Some(List { name, bytes, ends, .. }) = lists.get_mut(list) else {
            return Err(damaged("operator state", &"the function has fewer lists than it had"));
        };
        let begin = bytes.len();
        write(bytes);
        let needed = (bytes.len() - begin + ELEMENT) as u64;
        if !memory.reserve(needed) {
            bytes.truncate(begin);
            return Err(TaskError::new(format!(
                "the managed memory is used up: the operator state `{name}` needs {needed} bytes more; give \
                 the job more, or keep less"
            )));
        }
        *reserved += needed;
        ends.push(bytes.len());
        Ok(())
    }

    fn clear(&mut self, list: usize) {
        let Some(List { bytes, ends, .. }) = self.lists.get_mut(list) else { return };
        let freed = (bytes.len() + ends.len() * ELEMENT) as u64;
        bytes.clear();
        ends.clear();
        self.memory.release(freed);
        self.reserved -= freed;
    }

    /// Makes the lists states of the chain, to be described and found again in snapshots.
    pub(super) fn describe(&mut self, state: &mut KeyedState) -> Result<(), TaskError> {
        for List { name, schema, id, .. } in &mut self.lists {
            let of_list = state.keep_elsewhere(name, Kind::List)?;
            *id = Some(of_list);
            let value = vec![Part::Row(schema.clone())];
            state.describe(of_list, Contents { of_group: true, value, ..Contents::default() });
        }
        Ok(())
    }

    /// Appends all of them to a snapshot.
    pub(super) fn freeze(&self, state: &KeyedState, out: &mut Vec<u8>) {
        let groups = state.groups();
        for list in &self.lists {
            let (Some(id), count) = (list.id, list.ends.len()) else { continue };
            let mut elements = list.elements().enumerate().peekable();
            for group in groups.clone() {
                // The elements of a group, as a share of all.
                let end = count * (group - groups.start + 1) as usize / groups.len();
                if elements.peek().is_none_or(|(number, _)| *number >= end) {
                    continue;
                }
                let mut chunk = Chunk::begin(id.0, group, out);
                chunk.entry(&state.group_key(group).bytes, &[]);
                let mut framed = Vec::new();
                while let Some((_, element)) = elements.next_if(|(number, _)| *number < end) {
                    framed.clear();
                    match list.width {
                        Some(_) => framed.extend_from_slice(element),
                        None => list::frame(element, &mut framed),
                    }
                    chunk.value(&framed);
                }
                chunk.end();
            }
        }
    }

    /// Takes what a chunk of a snapshot has of a list, as far as it is for the owner of these key groups.
    pub(super) fn thaw(
        &mut self,
        of: StateId,
        chunk: &ReadChunk<'_>,
        owned: &Range<u32>,
    ) -> Result<(), TaskError> {
        let number = self.lists.iter().position(|list| list.id == Some(of));
        let found = number.and_then(|number| Some((number, self.lists.get(number)?)));
        let Some((number, List { width, split, .. })) = found else { return Ok(()) };
        let (width, split) = (*width, *split);
        if split == ListSplit::Divided && !owned.contains(&chunk.group) {
            return Ok(());
        }
        for entry in chunk.entries() {
            let mut rest = entry.value;
            while !rest.is_empty() {
                let Some((element, behind)) = list::split_first(rest, width) else {
                    return Err(damaged("operator state", &"it ends within an element"));
                };
                self.add(number, |bytes| bytes.extend_from_slice(element))?;
                rest = behind;
            }
        }
        Ok(())
    }
}

impl Drop for OperatorStates {
    fn drop(&mut self) {
        self.memory.release(self.reserved);
    }
}

impl fmt::Debug for OperatorStates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lists.iter().map(|list| &list.name)).finish()
    }
}

/// Where a function adds its operator states.
#[derive(Debug)]
pub struct OperatorRegistry<'a> {
    pub(super) states: &'a mut OperatorStates,
}

impl OperatorRegistry<'_> {
    /// Adds a list of the subtask's own.
    ///
    /// # Errors
    /// If there is one of this name already.
    pub fn list<T>(&mut self, name: &str, split: ListSplit) -> Result<OperatorList<T>, TaskError>
    where
        T: RowValue + Record,
    {
        let lists = &mut self.states.lists;
        if lists.iter().any(|list| list.name == name) {
            return Err(TaskError::new(format!(
                "there are two operator states called `{name}`: give each a name of its own"
            )));
        }
        let schema = T::schema();
        let layout = RowLayout::new(&schema);
        let width = layout.is_fixed().then(|| layout.fixed_bytes());
        let (name, bytes, ends) = (name.into(), Vec::new(), Vec::new());
        lists.push(List { name, schema, width, split, id: None, bytes, ends });
        Ok(OperatorList { list: lists.len() - 1, layout, of: PhantomData })
    }
}

/// A list of a subtask's own.
pub struct OperatorList<T> {
    list: usize,
    layout: RowLayout,
    of: PhantomData<fn() -> T>,
}

impl<T: RowValue + Record> OperatorList<T> {
    /// Adds an element.
    ///
    /// # Errors
    /// If there is no memory for it.
    pub fn add(&self, states: &mut OperatorStates, element: T::View<'_>) -> Result<(), TaskError> {
        states.add(self.list, |bytes| {
            self.layout.encode::<T>(element, bytes);
        })
    }

    /// The elements: those that were restored, in no order, and behind them those that were added, in order.
    ///
    /// # Errors
    /// Each may be one that does not read as a `T`.
    pub fn iter<'a>(
        &'a self,
        states: &'a OperatorStates,
    ) -> impl Iterator<Item = Result<T::View<'a>, TaskError>> {
        let elements = states.lists.get(self.list).into_iter().flat_map(List::elements);
        elements.map(|element| {
            let row = self.layout.validate(element);
            let row = row.map_err(|error| damaged("operator state", &error))?;
            Ok(self.layout.decode::<T>(row))
        })
    }

    /// Removes all elements.
    pub fn clear(&self, states: &mut OperatorStates) {
        states.clear(self.list);
    }
}

impl<T> fmt::Debug for OperatorList<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OperatorList({})", self.list)
    }
}
