//! A write buffer as entries in order.
//!
//! The tables in memory are nearly in the order of runs: pages are, the entries of a page are not. So a
//! page is sorted at a time, and a buffer is written without more memory than that takes.

use alloc::vec::Vec;
use core::ops::Range;

use millstream_state::{Backend, Cursor, Key, Kind, Lease, Place, StateError, StateId};

use super::{Tables, WriteBuffer};
use crate::{
    block::{Op, PIECE_MAX},
    merge::Source,
    name::{Order, split, write},
    writer::Entry,
};

/// Entries of a map that are read at a time.
const MAP_BATCH: usize = 32;

/// A key and namespace of a page.
#[derive(Clone, Debug)]
struct Row {
    rank: u64,
    name: Range<usize>,
    place: Place,
}

/// The keys of a table in order.
#[derive(Debug, Default)]
struct Rows {
    group: u32,
    at: Cursor,
    /// Of one page, sorted, and the bytes of their names.
    rows: Vec<Row>,
    names: Vec<u8>,
    next: usize,
}

impl Rows {
    /// From a rank on.
    fn begin(&mut self, rank: u64) {
        self.group = crate::name::group(rank);
        self.at = Cursor { position: rank << 16, entry: 0, is_done: false };
        self.rows.clear();
        self.next = 0;
    }

    /// The key that is next; `None` at the end.
    fn head(&self) -> Option<(u64, &[u8])> {
        let row = self.rows.get(self.next)?;
        Some((row.rank, self.names.get(row.name.clone())?))
    }

    /// Reads the next page if all of the last one was taken.
    fn fill<L: Lease>(
        &mut self,
        buffer: &WriteBuffer<L>,
        table: StateId,
        order: &Order,
        from: u64,
        end: u32,
    ) -> Result<(), StateError> {
        while self.next >= self.rows.len() {
            self.rows.clear();
            self.names.clear();
            self.next = 0;
            while !self.at.is_done && self.rows.is_empty() && self.group < end {
                self.read_page(buffer, table, order)?;
                self.rows.retain(|row| row.rank >= from);
            }
            if self.rows.is_empty() {
                if self.group >= end {
                    return Ok(());
                }
                self.group += 1;
                self.at = Cursor::default();
                continue;
            }
            let names = &self.names;
            let name = |row: &Row| names.get(row.name.clone()).unwrap_or(&[]);
            self.rows.sort_unstable_by(|a, b| (a.rank, name(a)).cmp(&(b.rank, name(b))));
        }
        Ok(())
    }

    /// Reads the entries of the page that the cursor stands at.
    fn read_page<L: Lease>(
        &mut self,
        buffer: &WriteBuffer<L>,
        table: StateId,
        order: &Order,
    ) -> Result<(), StateError> {
        let mut page = None;
        let (rows, names) = (&mut self.rows, &mut self.names);
        loop {
            let before = rows.len();
            buffer.memory.scan(table, self.group, &mut self.at, &mut |entry| {
                let begin = names.len();
                names.extend_from_slice(&(entry.key.len() as u16).to_le_bytes());
                names.extend_from_slice(&(entry.namespace.len() as u16).to_le_bytes());
                names.extend_from_slice(entry.key);
                names.extend_from_slice(entry.namespace);
                let rank = order.rank(order.hash(entry.key), entry.namespace);
                rows.push(Row { rank, name: begin..names.len(), place: entry.value });
                false
            })?;
            if rows.len() == before {
                return Ok(());
            }
            // The cursor says where the page of an entry begins.
            if *page.get_or_insert(self.at.position) != self.at.position {
                rows.pop();
                self.at.entry = 0;
                return Ok(());
            }
        }
    }
}

/// The entries of a map in a table, in order.
#[derive(Debug, Default)]
struct MapRows {
    rows: Vec<(Vec<u8>, Place)>,
    next: usize,
    /// Where to read on; `None` at the end.
    from: Option<Vec<u8>>,
}

impl MapRows {
    fn begin(&mut self, from: Option<Vec<u8>>) {
        self.rows.clear();
        self.next = 0;
        self.from = from;
    }

    fn fill<L: Lease>(
        &mut self,
        buffer: &WriteBuffer<L>,
        table: StateId,
        key: &Key<'_>,
    ) -> Result<(), StateError> {
        if self.next < self.rows.len() {
            return Ok(());
        }
        let Some(from) = self.from.take() else { return Ok(()) };
        self.rows.clear();
        self.next = 0;
        let rows = &mut self.rows;
        buffer.memory.scan_entries(table, key, &from, &mut |map_key, place| {
            rows.push((map_key.to_vec(), place));
            rows.len() < MAP_BATCH
        })?;
        if let Some((last, _)) = rows.last().filter(|_| rows.len() == MAP_BATCH) {
            let mut from = last.clone();
            from.push(0);
            self.from = Some(from);
        }
        Ok(())
    }

    fn head(&self) -> Option<&[u8]> {
        self.rows.get(self.next).map(|row| &*row.0)
    }
}

/// Where in a write buffer a reader of one state stands.
#[derive(Debug)]
pub(crate) struct BufferCursor {
    state: u16,
    kind: Kind,
    tables: Tables,
    order: Order,
    from: u64,
    /// Of the tables: present, cut, removed.
    rows: [Rows; 3],
    /// Whether there are rows to read, or only one map.
    has_rows: bool,
    /// The key and namespace of a map that is being read, without those bytes of a name behind them.
    map: Option<Vec<u8>>,
    /// Entries of the map: present, removed.
    entries: [MapRows; 2],
    /// The entry: its rank, name and what it does.
    rank: u64,
    name: Vec<u8>,
    op: Op,
    /// Where its value is, if it has one, and the piece: which of those in memory, and from where on.
    place: Place,
    piece: u32,
    part: usize,
    offset: usize,
    has_entry: bool,
}

impl BufferCursor {
    /// In front of the first entry of a state that has at least a rank.
    pub(crate) fn new(state: u16, kind: Kind, tables: Tables, order: Order, from: u64) -> Self {
        let mut rows: [Rows; 3] = Default::default();
        rows.iter_mut().for_each(|rows| rows.begin(from));
        Self {
            state,
            kind,
            tables,
            order,
            from,
            rows,
            has_rows: true,
            map: None,
            entries: Default::default(),
            rank: 0,
            name: Vec::new(),
            op: Op::Whole,
            place: Place::ABSENT,
            piece: 0,
            part: 0,
            offset: 0,
            has_entry: false,
        }
    }

    /// In front of the first entry of one map that is not below a map key.
    pub(crate) fn of_map(
        state: u16,
        tables: Tables,
        order: Order,
        key: &Key<'_>,
        from: &[u8],
    ) -> Self {
        let rank = order.rank(key.hash, key.namespace);
        let mut cursor = Self::new(state, Kind::Map, tables, order, rank);
        cursor.has_rows = false;
        cursor.rank = rank;
        let mut name = Vec::new();
        write(key.key, key.namespace, None, &mut name);
        cursor.begin_map(name, from);
        cursor
    }

    fn begin_map(&mut self, name: Vec<u8>, from: &[u8]) {
        self.entries.iter_mut().for_each(|rows| rows.begin(Some(from.to_vec())));
        self.map = Some(name);
    }

    fn fill<L: Lease>(&mut self, buffer: &WriteBuffer<L>) -> Result<bool, StateError> {
        while !self.has_entry {
            if !self.next_piece(buffer) && !self.next_of_map(buffer)? && !self.next_row(buffer)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Goes to the piece behind the last one of the same entry, if there is one.
    fn next_piece<L: Lease>(&mut self, buffer: &WriteBuffer<L>) -> bool {
        if self.place.is_absent() {
            return false;
        }
        let mut parts = buffer.memory.pieces(self.place);
        if let Some(part) = parts.nth(self.part) {
            let end = self.offset + PIECE_MAX;
            if end < part.len() {
                self.offset = end;
            } else {
                (self.part, self.offset) = (self.part + 1, 0);
                if parts.next().is_none() {
                    self.place = Place::ABSENT;
                    return false;
                }
            }
            self.piece += 1;
            self.has_entry = true;
            return true;
        }
        self.place = Place::ABSENT;
        false
    }

    fn begin_value(&mut self, place: Place, op: Op) {
        (self.place, self.op) = (place, op);
        (self.piece, self.part, self.offset) = (0, 0, 0);
        self.has_entry = true;
    }

    fn begin_gone(&mut self) {
        self.begin_value(Place::ABSENT, Op::Gone);
    }

    /// Goes to the next entry of the map that is being read.
    fn next_of_map<L: Lease>(&mut self, buffer: &WriteBuffer<L>) -> Result<bool, StateError> {
        let Some(map) = &self.map else { return Ok(false) };
        let Some(parts) = split(map) else { return Ok(false) };
        let (key, namespace) = (parts.key, parts.namespace);
        let key = Key { hash: self.order.hash(key), key, namespace };
        let [present, removed] = &mut self.entries;
        present.fill(buffer, self.tables.present, &key)?;
        if let Some(table) = self.tables.removed {
            removed.fill(buffer, table, &key)?;
        }
        let (is_present, map_key) = match (present.head(), removed.head()) {
            (None, None) => {
                self.map = None;
                return Ok(false);
            }
            (Some(present), Some(removed)) => (present <= removed, present.min(removed)),
            (Some(present), None) => (true, present),
            (None, Some(removed)) => (false, removed),
        };
        write(key.key, key.namespace, Some(map_key), &mut self.name);
        let both = is_present && removed.head() == Some(map_key);
        let place = present.rows.get(present.next).map_or(Place::ABSENT, |row| row.1);
        present.next += usize::from(is_present);
        removed.next += usize::from(both || !is_present);
        match is_present {
            true => self.begin_value(place, Op::Whole),
            false => self.begin_gone(),
        }
        Ok(true)
    }

    /// Goes to the next key.
    fn next_row<L: Lease>(&mut self, buffer: &WriteBuffer<L>) -> Result<bool, StateError> {
        if !self.has_rows {
            return Ok(false);
        }
        let Tables { present, cut, removed } = self.tables;
        let tables = [Some(present), Some(cut), removed];
        let end = self.order.owned().end;
        for (rows, table) in self.rows.iter_mut().zip(tables) {
            if let Some(table) = table {
                rows.fill(buffer, table, &self.order, self.from, end)?;
            }
        }
        let least = self.rows.iter().filter_map(Rows::head).min();
        let Some((rank, name)) = least else { return Ok(false) };
        let is = [0, 1, 2].map(|number: usize| {
            let rows = self.rows.get(number);
            rows.and_then(Rows::head) == Some((rank, name))
        });
        self.rank = rank;
        self.name.clear();
        self.name.extend_from_slice(name);
        let [rows, _, _] = &self.rows;
        let place = rows.rows.get(rows.next).map_or(Place::ABSENT, |row| row.place);
        for (rows, is) in self.rows.iter_mut().zip(is) {
            rows.next += usize::from(is);
        }
        let [is_present, is_cut, _] = is;
        match self.kind {
            Kind::Map => {
                let map = self.name.clone();
                self.begin_map(map, &[]);
                if is_cut {
                    self.begin_gone();
                }
            }
            Kind::List if is_present && !is_cut => self.begin_value(place, Op::Add),
            Kind::Value | Kind::List if is_present => self.begin_value(place, Op::Whole),
            Kind::Value | Kind::List => self.begin_gone(),
        }
        Ok(true)
    }
}

/// A write buffer as a source of one state.
#[derive(Debug)]
pub(crate) struct BufferSource<'a, L: Lease> {
    pub(crate) buffer: &'a WriteBuffer<L>,
    pub(crate) cursor: &'a mut BufferCursor,
}

impl<L: Lease> BufferSource<'_, L> {
    /// Where the value of the entry is, if it has one.
    pub(crate) fn place(&self) -> Place {
        self.cursor.place
    }
}

impl<L: Lease> Source for BufferSource<'_, L> {
    fn fill(&mut self) -> Result<bool, StateError> {
        self.cursor.fill(self.buffer)
    }

    fn entry(&self) -> Entry<'_> {
        let BufferCursor { rank, name, piece, op, place, part, offset, .. } = &*self.cursor;
        let part = match place.is_absent() {
            true => None,
            false => self.buffer.memory.pieces(*place).nth(*part),
        };
        let value = part.and_then(|part| part.get(*offset..part.len().min(offset + PIECE_MAX)));
        Entry { rank: *rank, name, piece: *piece, op: *op, value: value.unwrap_or(&[]) }
    }

    fn take(&mut self) {
        self.cursor.has_entry = false;
    }

    fn hides(&self, _: u64, namespace: &[u8]) -> bool {
        self.buffer.hides(self.cursor.state, namespace)
    }
}
