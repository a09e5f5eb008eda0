//! State of a program that was changed: values become those of the new schema while they are put back.

use alloc::{format, vec::Vec};

use millstream_data::evolution::RowRewriting;
use millstream_state::{
    Kind,
    description::{Part, split, width},
    format::{Chunk, ReadChunk, map_entries},
    list,
};

use crate::chain::TaskError;

/// How the values of a state are rewritten.
#[derive(Debug)]
pub(crate) struct Rewritten {
    kind: Kind,
    old: Vec<Part>,
    widths: [Option<usize>; 2],
    /// What the parts of the new value are made of.
    sources: Vec<Source>,
    /// The flag among the old parts.
    flag: Option<usize>,
    value: Vec<u8>,
    whole: Vec<u8>,
}

/// What a part of a new value is made of.
#[derive(Debug)]
pub(crate) enum Source {
    /// A flag says that there is a value, as whatever is kept is one.
    Flag,
    /// A part of the old value, as it is.
    Same(usize),
    /// A part of the old value, so many rows, which become ones of another schema.
    Rows(usize, u32, alloc::boxed::Box<RowRewriting>),
}

impl Rewritten {
    /// Values of `old` parts become those of `new` ones, which are made of `sources`.
    pub(crate) fn new(kind: Kind, old: &[Part], new: &[Part], sources: Vec<Source>) -> Self {
        let flag = old.iter().position(|part| *part == Part::Flag);
        let widths = [width(old), width(new)];
        let (value, whole) = (Vec::new(), Vec::new());
        Self { kind, old: old.into(), widths, sources, flag, value, whole }
    }

    /// Appends a chunk of the old values as one of new ones.
    pub(crate) fn chunk(
        &mut self,
        chunk: &ReadChunk<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), TaskError> {
        let mut written = Chunk::begin(chunk.state, chunk.group, out);
        for entry in chunk.entries() {
            self.whole.clear();
            let there = match self.kind {
                Kind::Value => {
                    let there = self.value(entry.value)?;
                    self.whole.append(&mut self.value);
                    there
                }
                Kind::List => {
                    let mut rest = entry.value;
                    while !rest.is_empty() {
                        let taken = list::split_first(rest, self.widths[0]);
                        let (element, behind) = taken.ok_or_else(damaged)?;
                        self.value(element)?;
                        match self.widths[1] {
                            Some(_) => self.whole.extend_from_slice(&self.value),
                            None => list::frame(&self.value, &mut self.whole),
                        }
                        rest = behind;
                    }
                    true
                }
                Kind::Map => {
                    for entry in map_entries(entry.value) {
                        let (key, value) = entry.ok_or_else(damaged)?;
                        self.value(value)?;
                        self.whole.extend((key.len() as u16).to_le_bytes());
                        self.whole.extend((self.value.len() as u32).to_le_bytes());
                        self.whole.extend_from_slice(key);
                        self.whole.extend_from_slice(&self.value);
                    }
                    true
                }
            };
            if there {
                written.whole(entry.key, entry.namespace, &self.whole);
            }
        }
        written.end();
        Ok(())
    }

    /// Makes `value` of an old one; `false` if that was none.
    pub(crate) fn value(&mut self, old: &[u8]) -> Result<bool, TaskError> {
        self.value.clear();
        let parts = split(&self.old, old).ok_or_else(damaged)?;
        let part = |number: usize| parts.get(number).copied().unwrap_or(&[]);
        if self.flag.is_some_and(|flag| part(flag) == [0]) {
            return Ok(false);
        }
        for source in &mut self.sources {
            match source {
                Source::Flag => self.value.push(1),
                Source::Same(number) => self.value.extend_from_slice(part(*number)),
                Source::Rows(number, count, rewriting) => {
                    let part = part(*number);
                    let width = part.len() / (*count).max(1) as usize;
                    for row in 0..*count as usize {
                        let row = part.get(row * width..(row + 1) * width).unwrap_or(&[]);
                        let rewritten = rewriting.rewrite(row, &mut self.value);
                        rewritten
                            .map_err(|error| TaskError::new(format!("a row of state: {error}")))?;
                    }
                }
            }
        }
        Ok(true)
    }
}

fn damaged() -> TaskError {
    TaskError::new("a value in the state is not as it is described: restore an older checkpoint")
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use millstream_data::{row::RowLayout, row::RowValue, value::Record};
    use millstream_state::description::Description;

    use super::*;
    use crate::state::described::check;

    type Old = (i32, Vec<i8>);
    type New = (i64, Vec<i8>);

    fn described(kind: Kind, value: Vec<Part>) -> Description {
        let (key, namespace, map_key) = (vec![Part::Hash], vec![], vec![Part::Time]);
        Description { name: "state".into(), kind, key, namespace, map_key, value }
    }

    fn row<T: RowValue + Record>(row: T) -> Vec<u8> {
        let mut bytes = Vec::new();
        RowLayout::new(&T::schema()).encode::<T>(row.view(), &mut bytes);
        bytes
    }

    /// The value of one entry after it was rewritten; `None` if there is none.
    fn rewritten(old: &Description, new: &Description, value: &[u8]) -> Option<Vec<u8>> {
        let (mut chunks, mut out) = (Vec::new(), Vec::new());
        let mut chunk = Chunk::begin(3, 9, &mut chunks);
        chunk.whole(b"key", b"", value);
        chunk.end();
        let (chunk, _) = ReadChunk::read(&chunks, 0).unwrap();
        let mut rewriting = check(old, new).unwrap().expect("it is not the same");
        rewriting.chunk(&chunk, &mut out).unwrap();
        let (chunk, _) = ReadChunk::read(&out, 0).unwrap();
        assert_eq!((chunk.state, chunk.group), (3, 9));
        chunk.entries().next().map(|entry| entry.value.to_vec())
    }

    #[test]
    fn values_lists_and_maps_become_what_they_are_now() {
        let (old, new) = (Part::Row(Old::schema()), Part::Row(New::schema()));
        let (before, after) = (row::<Old>((-5, vec![1, 2])), row::<New>((-5, vec![1, 2])));
        let value = |parts: &[Part]| described(Kind::Value, parts.into());
        let flagged = [&[1], &before[..]].concat();
        let to = value(core::slice::from_ref(&new));
        assert_eq!(
            rewritten(&value(core::slice::from_ref(&old)), &to, &before),
            Some(after.clone())
        );
        let from = value(&[Part::Flag, old.clone()]);
        assert_eq!(rewritten(&from, &to, &flagged), Some(after.clone()));
        assert_eq!(
            rewritten(&from, &to, &[&[0], &before[..]].concat()),
            None,
            "there was no value"
        );
        let to = value(&[Part::Flag, new.clone()]);
        assert_eq!(rewritten(&from, &to, &flagged), Some([&[1], &after[..]].concat()));
        // A list of numbers becomes one of wider numbers, and then one of any size.
        let list = |part| described(Kind::List, vec![part]);
        let numbers = [row(1i32), row(2i32)].concat();
        let wider = list(Part::Row(i64::schema()));
        let of = list(Part::Row(i32::schema()));
        assert_eq!(rewritten(&of, &wider, &numbers), Some([row(1i64), row(2i64)].concat()));
        let mut framed = Vec::new();
        list::frame(&before, &mut framed);
        let mut expected = Vec::new();
        list::frame(&after, &mut expected);
        assert_eq!(rewritten(&list(old.clone()), &list(new.clone()), &framed), Some(expected));
        let map = |part| described(Kind::Map, vec![part]);
        let entry =
            |value: &[u8]| [&[1, 0], &(value.len() as u32).to_le_bytes()[..], b"k", value].concat();
        assert_eq!(rewritten(&map(old), &map(new), &entry(&before)), Some(entry(&after)));
    }

    #[test]
    fn what_cannot_be_read_any_more_is_refused_with_both_sides() {
        let refused = |old: &Description, new: &Description| {
            format!("{}", check(old, new).expect_err("it is something else"))
        };
        let of = |schema| described(Kind::Value, vec![Part::Row(schema)]);
        let said = refused(&of(i64::schema()), &of(i32::schema()));
        assert!(said.contains("`state` cannot be restored: values: "), "{said}");
        assert!(said.contains("! value BIGINT NOT NULL  | value INT NOT NULL"), "{said}");
        let list = described(Kind::List, vec![Part::Row(i64::schema())]);
        assert!(refused(&of(i64::schema()), &list).contains("it was a value and is a list now"));
        let keyed =
            |schema| Description { key: vec![Part::Hash, Part::Key(schema)], ..list.clone() };
        let said = refused(&keyed(i32::schema()), &keyed(i64::schema()));
        assert!(said.contains("keep the old key"), "{said}");
        assert!(check(&list, &list).unwrap().is_none());
    }
}
