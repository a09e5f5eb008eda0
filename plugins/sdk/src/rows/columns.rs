//! The columns of rows: what messages call them, and which of them a row has to have.

use std::sync::Arc;

use millstream_data::{
    page::{ColumnKind, Physical, Shape},
    types::{DataType, Field, Schema},
};

/// The physical columns of a schema, see [`Shape`], and what its author calls them.
#[derive(Debug)]
pub(crate) struct Columns {
    shape: Arc<Shape>,
    /// By column: its name and type.
    names: Vec<(String, DataType)>,
    /// Every column.
    pub(super) all: Set,
    /// What is written as soon as a row begins: columns of elements, as long as there is no
    /// element.
    pub(super) at_first: Set,
    /// By column, for those of lists and maps: the columns of one element.
    elements: Vec<Option<Set>>,
}

/// Columns, a bit each. Those of most rows are one word, which is at hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Set {
    first: u64,
    rest: Box<[u64]>,
}

/// Bits of a word of a [`Set`].
const WORD: usize = u64::BITS as usize;

impl Set {
    /// Without a column, of so many.
    fn empty(columns: usize) -> Self {
        Self { first: 0, rest: vec![0; columns.saturating_sub(1) / WORD].into() }
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, column: usize) {
        match column / WORD {
            0 => self.first |= 1 << column,
            word => self.rest[word - 1] |= 1 << (column % WORD),
        }
    }

    fn has(&self, column: usize) -> bool {
        let word = match column / WORD {
            0 => self.first,
            word => self.rest[word - 1],
        };
        word >> (column % WORD) & 1 == 1
    }

    /// Whether all of these are among them.
    #[inline(always)]
    pub(super) fn holds(&self, other: &Self) -> bool {
        let holds = |(mine, other): (&u64, &u64)| mine & other == *other;
        holds((&self.first, &other.first))
            && (self.rest.is_empty() || self.rest.iter().zip(&other.rest).all(holds))
    }

    pub(super) fn remove(&mut self, other: &Self) {
        self.first &= !other.first;
        self.rest.iter_mut().zip(&other.rest).for_each(|(mine, other)| *mine &= !other);
    }

    /// Becomes the same.
    #[inline(always)]
    pub(super) fn set(&mut self, other: &Self) {
        self.first = other.first;
        if !self.rest.is_empty() {
            self.rest.copy_from_slice(&other.rest);
        }
    }
}

impl Columns {
    pub(crate) fn new(schema: &Schema) -> Arc<Self> {
        let shape = Arc::new(Shape::new(schema));
        let mut names = Vec::new();
        schema.fields.iter().for_each(|field| name(field, field.name.clone(), &mut names));
        let columns = shape.columns();
        let set = |is: &dyn Fn(&Physical) -> bool| -> Set {
            let mut set = Set::empty(columns.len());
            let chosen = columns.iter().enumerate().filter(|(_, column)| is(column));
            chosen.for_each(|(index, _)| set.insert(index));
            set
        };
        // Columns of lists number the domains of their elements, in order.
        let mut domain = 0;
        let elements = columns.iter().map(|column| {
            (column.kind == ColumnKind::Offsets).then(|| {
                domain += 1;
                set(&|element| element.domain == domain)
            })
        });
        let elements = elements.collect();
        let (all, at_first) = (set(&|_| true), set(&|column| column.domain > 0));
        Arc::new(Self { names, all, at_first, elements, shape })
    }

    pub(crate) fn shape(&self) -> &Arc<Shape> {
        &self.shape
    }

    /// The columns of an element of a list or map, which is this column.
    #[inline]
    pub(super) fn of_element(&self, column: usize) -> Option<&Set> {
        self.elements.get(column)?.as_ref()
    }

    /// A cell was not written.
    #[cold]
    #[track_caller]
    pub(super) fn missing(&self, written: &Set, wanted: &Set, row: usize) -> ! {
        let missing = |column: &usize| wanted.has(*column) && !written.has(*column);
        let column = (0..self.names.len()).find(missing).unwrap_or_default();
        let name = &self.names[column].0;
        match self.shape.columns()[column].domain {
            0 => panic!(
                "column {column} (`{name}`) was not written for row {row}: write every cell, or \
                 NULL, before commit"
            ),
            _ => panic!(
                "column {column} (`{name}`) was not written for an element of row {row}: write \
                 every cell of an element, or NULL, before the next"
            ),
        }
    }

    /// A cell was given to `function`, which writes cells of another kind.
    #[cold]
    #[track_caller]
    pub(super) fn mistaken(&self, column: usize, function: &str, given: ColumnKind) -> ! {
        let name = self.name(column);
        match (self.shape.columns()[column].kind, given) {
            (ColumnKind::Fixed(width), ColumnKind::Fixed(given)) => {
                panic!("{name} takes {width} bytes, `{function}` was given {given}")
            }
            (kind, _) => {
                let right = match kind {
                    ColumnKind::Bit => "put_bool",
                    ColumnKind::Fixed(_) => "put_fixed",
                    ColumnKind::String => "put_str",
                    ColumnKind::Bytes => "put_bytes",
                    ColumnKind::Offsets => "begin_list",
                    ColumnKind::Group => "put_group",
                };
                panic!("{name} is written with `{right}`, and not with `{function}`")
            }
        }
    }

    /// NULL was given to a column that does not take it.
    #[cold]
    #[track_caller]
    pub(super) fn not_null(&self, column: usize) -> ! {
        panic!("{} is NOT NULL", self.name(column))
    }

    /// There is no such column.
    #[cold]
    #[track_caller]
    pub(super) fn absent(&self, column: usize) -> ! {
        panic!("there is no column {column}: the rows have {}", self.names.len())
    }

    /// What messages call a column.
    fn name(&self, column: usize) -> String {
        let (name, data_type) = &self.names[column];
        format!("column {column} (`{name}` {data_type})")
    }
}

/// Adds the name of each physical column of a field, in the order of [`Shape`].
fn name(field: &Field, path: String, names: &mut Vec<(String, DataType)>) {
    let Field { data_type, nullable, .. } = field;
    let own = !matches!(data_type, DataType::Row(_)) || *nullable;
    if own {
        names.push((path.clone(), data_type.clone()));
    }
    match data_type {
        DataType::Row(fields) => {
            fields.iter().for_each(|field| name(field, format!("{path}.{}", field.name), names));
        }
        DataType::Array(element) => name(element, format!("{path}[]"), names),
        DataType::Map(key, value) => {
            name(key, format!("{path}, key"), names);
            name(value, format!("{path}, value"), names);
        }
        _ => {}
    }
}
