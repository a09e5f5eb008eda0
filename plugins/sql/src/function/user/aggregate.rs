//! Calls of aggregate functions.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
    sync::Arc,
};

use millstream_data::{
    page::{Layout, RowBuilder, Shape, ValidPage},
    row::{PageRows, RowLayout, scatter},
    types::Schema,
};
use millstream_loader::{CallError, OpenAggregate, ResultPage};

use super::{
    UserFunction,
    page::{LARGEST_BYTES, Memory, SEGMENT_BYTES},
    signature::Signature,
};
use crate::{bind::Bound, types::Type};

/// An aggregate function of a user, for arguments of some types. Two are equal that are one function of one plugin.
#[derive(Debug)]
pub(crate) struct UserAggregate {
    function: Arc<UserFunction>,
    signature: Signature,
}

/// A call of one: what it is given.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UserCall<A> {
    pub(crate) function: Arc<UserAggregate>,
    pub(crate) arguments: Vec<A>,
}

impl<A: PartialOrd> PartialOrd for UserCall<A> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match self.function.name().cmp(other.function.name()) {
            Ordering::Equal if self.function != other.function => None,
            Ordering::Equal => self.arguments.partial_cmp(&other.arguments),
            unequal => Some(unequal),
        }
    }
}

impl PartialEq for UserAggregate {
    fn eq(&self, other: &Self) -> bool {
        self.function.origin == other.function.origin && self.signature.info == other.signature.info
    }
}

impl Eq for UserAggregate {}

impl Hash for UserAggregate {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.origin.hash(state);
    }
}

impl UserFunction {
    /// The aggregate function for these arguments, these as it takes them, and what it gives.
    ///
    /// # Errors
    /// If it does not take them, or cannot run.
    pub(crate) fn aggregate(
        self: &Arc<Self>,
        arguments: Vec<Bound>,
    ) -> Result<(UserCall<Bound>, Type), String> {
        let (signature, arguments) = self.choose(arguments)?;
        let [(_, result)] = &signature.results[..] else {
            return Err(format!("{} has no result", self.name));
        };
        let result = result.clone();
        let function = UserAggregate { function: Arc::clone(self), signature: signature.clone() };
        // What is wrong is said when a query is planned.
        function.open()?;
        Ok((UserCall { function: Arc::new(function), arguments }, result))
    }
}

impl UserAggregate {
    /// As it was created.
    pub(crate) fn name(&self) -> &str {
        &self.function.name
    }

    /// Whether rows can be taken back.
    pub(crate) fn retracts(&self) -> bool {
        self.function.retracts
    }

    pub(crate) fn arguments(&self) -> &Schema {
        &self.signature.info.arguments
    }

    /// The one column of results.
    pub(crate) fn results(&self) -> &Schema {
        &self.signature.info.results
    }

    /// Opens it for one thread.
    ///
    /// # Errors
    /// If it cannot run.
    pub(crate) fn open(&self) -> Result<AggregateCaller, String> {
        let UserFunction { registry, function, .. } = &*self.function;
        let open = registry.aggregate(function, self.arguments(), SEGMENT_BYTES);
        let mut open = open.map_err(failed)?;
        Ok(AggregateCaller {
            created: open.create().map_err(failed)?,
            function: open,
            shape: Arc::new(Shape::new(self.arguments())),
            layout: RowLayout::new(self.arguments()),
            results: RowLayout::new(self.results()),
            page: Memory::default(),
            given: Memory::default(),
            result: Vec::new(),
        })
    }
}

/// An aggregate function that is open, and pages for its calls.
#[derive(Debug)]
pub(crate) struct AggregateCaller {
    function: OpenAggregate,
    /// The accumulator of a group without rows.
    created: Vec<u8>,
    shape: Arc<Shape>,
    layout: RowLayout,
    results: RowLayout,
    page: Memory,
    given: Memory,
    result: Vec<u8>,
}

/// Rows of arguments in the row format, each for the accumulator of a number.
#[derive(Debug, Default)]
pub(crate) struct Given {
    bytes: Vec<u8>,
    /// Where each row ends.
    ends: Vec<usize>,
    groups: Vec<u32>,
}

impl Given {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.groups.clear();
    }

    /// Adds a row, which `write` appends.
    pub(crate) fn push(&mut self, group: u32, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.bytes);
        self.ends.push(self.bytes.len());
        self.groups.push(group);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(start..*end).unwrap_or_default())
    }
}

impl AggregateCaller {
    /// The accumulator of a group without rows.
    pub(crate) fn created(&self) -> &[u8] {
        &self.created
    }

    /// Adds rows to accumulators, or takes them back.
    ///
    /// # Errors
    /// If the function fails, or they do not fit a page.
    pub(crate) fn add(
        &mut self,
        given: &Given,
        retract: bool,
        accumulators: &mut [Vec<u8>],
    ) -> Result<(), String> {
        if given.is_empty() {
            return Ok(());
        }
        let Self { function, shape, layout, page, .. } = self;
        let page = written(page, (shape, layout), given)?;
        match retract {
            false => function.add(&page, &given.groups, accumulators),
            true => function.retract(&page, &given.groups, accumulators),
        }
        .map_err(failed)
    }

    /// Adds each accumulator of `from` to the one of the same index.
    ///
    /// # Errors
    /// If the function fails.
    pub(crate) fn merge(&mut self, into: &mut [Vec<u8>], from: &[Vec<u8>]) -> Result<(), String> {
        self.function.merge(into, from).map_err(failed)
    }

    /// Tells the results of accumulators one by one, as rows in the row format.
    ///
    /// # Errors
    /// If the function fails.
    pub(crate) fn results(
        &mut self,
        accumulators: &[Vec<u8>],
        mut each: impl FnMut(usize, &[u8]),
    ) -> Result<(), String> {
        let Self { function, results, given, result, .. } = self;
        let (mut done, mut length) = (0, SEGMENT_BYTES);
        loop {
            let segment = given.of(length);
            match function.results(accumulators, done, segment).map_err(failed)? {
                ResultPage::TooSmall { needed } => length = needed,
                ResultPage::Done => return Ok(()),
                ResultPage::Page { length, rows } => {
                    // The loader has checked it.
                    let page = segment.get(..length).unwrap_or_default();
                    let page = ValidPage::trusted(page).map_err(|error| error.to_string())?;
                    let page = PageRows::new(results, &page).map_err(|error| error.to_string())?;
                    for row in 0..rows {
                        result.clear();
                        page.gather(row, result);
                        each(done + row, result);
                    }
                    done += rows;
                }
            }
        }
    }
}

fn failed(error: CallError) -> String {
    error.to_string()
}

/// Writes rows into one page.
fn written<'a>(
    memory: &'a mut Memory,
    (shape, layout): (&Arc<Shape>, &RowLayout),
    given: &Given,
) -> Result<ValidPage<'a>, String> {
    let room = u32::try_from(given.ends.len());
    let room = room.map_err(|_| "a function is called for too many rows".to_owned())?;
    let mut size = SEGMENT_BYTES.max(given.bytes.len().next_power_of_two());
    let length = loop {
        if size > LARGEST_BYTES {
            return Err("the arguments of a function are more than 2 GiB".to_owned());
        }
        if let Some(places) = Layout::new(shape, size, &[room]) {
            let segment = &mut *memory.of(size);
            let mut page = RowBuilder::new(segment, shape, &Arc::new(places));
            let all = given
                .rows()
                .all(|row| layout.trusted(row).is_ok_and(|row| scatter(&row, &mut page).is_ok()));
            if all {
                break page.seal(true).length;
            }
        }
        size *= 2;
    };
    let page = memory.of(size).get(..length).unwrap_or_default();
    ValidPage::trusted(page).map_err(|error| error.to_string())
}
