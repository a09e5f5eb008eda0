//! Entries of a state as lines of JSON.

use std::{io, sync::Arc};

use millstream_data::{
    page::{Layout, RowBuilder, Shape, ValidPage},
    row::{RowLayout, scatter},
    types::Schema,
};
use millstream_dataflow::TaskError;
use millstream_format::{Columns, json::push_row};
use millstream_state::{
    Kind,
    description::{Description, Part, split, width},
    format::{ReadChunk, map_entries},
    list,
};

/// Prints the entries of one state.
pub(super) struct Printer {
    kind: Kind,
    key: Side,
    namespace: Side,
    map_key: Side,
    value: Side,
    line: Vec<u8>,
}

impl Printer {
    /// For a state that is described so.
    pub(super) fn new(description: &Description) -> Result<Self, TaskError> {
        Ok(Self {
            kind: description.kind,
            key: Side::new(&description.key)?,
            namespace: Side::new(&description.namespace)?,
            map_key: Side::new(&description.map_key)?,
            value: Side::new(&description.value)?,
            line: Vec::new(),
        })
    }

    /// Prints the entries of a chunk, those of a map each on a line of its own; gives how many lines.
    pub(super) fn print(
        &mut self,
        chunk: &ReadChunk<'_>,
        out: &mut dyn io::Write,
    ) -> Result<u64, TaskError> {
        let mut lines = 0;
        for entry in chunk.entries() {
            self.line.clear();
            self.line.extend_from_slice(format!("{{\"key_group\":{}", chunk.group).as_bytes());
            self.key.member("key", entry.key, &mut self.line)?;
            self.namespace.member("namespace", entry.namespace, &mut self.line)?;
            let begin = self.line.len();
            match self.kind {
                Kind::Value => {
                    self.value.member("value", entry.value, &mut self.line)?;
                    lines += self.end(out)?;
                }
                Kind::List => {
                    self.line.extend_from_slice(b",\"value\":[");
                    let (width, mut rest, mut first) = (self.value.width, entry.value, true);
                    while !rest.is_empty() {
                        let taken = list::split_first(rest, width);
                        let (element, behind) = taken.ok_or_else(damaged)?;
                        if !std::mem::replace(&mut first, false) {
                            self.line.push(b',');
                        }
                        self.value.push(element, &mut self.line)?;
                        rest = behind;
                    }
                    self.line.push(b']');
                    lines += self.end(out)?;
                }
                Kind::Map => {
                    for entry in map_entries(entry.value) {
                        let (key, value) = entry.ok_or_else(damaged)?;
                        self.line.truncate(begin);
                        self.map_key.member("map_key", key, &mut self.line)?;
                        self.value.member("value", value, &mut self.line)?;
                        lines += self.end(out)?;
                    }
                }
            }
        }
        Ok(lines)
    }

    /// Ends the line, but keeps it.
    fn end(&mut self, out: &mut dyn io::Write) -> Result<u64, TaskError> {
        let written = out.write_all(&self.line).and_then(|()| out.write_all(b"}\n"));
        written.map_err(|error| TaskError::new(format!("the state cannot be printed: {error}")))?;
        Ok(1)
    }
}

fn damaged() -> TaskError {
    TaskError::new("an entry is not as its state is described")
}

/// A key, namespace, map key or value.
struct Side {
    parts: Vec<Part>,
    /// Its bytes, if all have the same.
    width: Option<usize>,
    /// What is shown of it: the number of the part, its name among others, and how rows are printed.
    shown: Vec<(usize, &'static str, Option<Rows>)>,
}

impl Side {
    fn new(parts: &[Part]) -> Result<Self, TaskError> {
        let mut shown = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            match part {
                // They follow from others, or mean nothing to whoever has no operator.
                Part::Hash | Part::Flag | Part::Opaque(_) => {}
                Part::Time => shown.push((number, "time", None)),
                Part::Key(schema) => shown.push((number, "key", Some(Rows::new(schema)?))),
                Part::Row(schema) => shown.push((number, "row", Some(Rows::new(schema)?))),
                Part::Rows(schema, count) => {
                    let rows = Rows::new(schema)?;
                    shown.push((number, "rows", Some(Rows { count: Some(*count), ..rows })));
                }
            }
        }
        Ok(Self { parts: parts.into(), width: width(parts), shown })
    }

    /// Adds itself as a member of an object, if there is anything to show.
    fn member(&mut self, name: &str, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), TaskError> {
        if self.shown.is_empty() {
            return split(&self.parts, bytes).map(|_| ()).ok_or_else(damaged);
        }
        out.extend_from_slice(format!(",\"{name}\":").as_bytes());
        self.push(bytes, out)
    }

    /// Adds itself: the one part that is shown, or an object of several.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let parts = split(&self.parts, bytes).ok_or_else(damaged)?;
        let several = self.shown.len() != 1;
        let mut separator = b'{';
        for (number, name, rows) in &mut self.shown {
            let bytes = parts.get(*number).copied().unwrap_or(&[]);
            if several {
                out.push(std::mem::replace(&mut separator, b','));
                out.extend_from_slice(format!("\"{name}\":").as_bytes());
            }
            match rows {
                Some(rows) => rows.push_all(bytes, out)?,
                None => {
                    let time = bytes.try_into().map_err(|_| damaged())?;
                    let time = i64::from_be_bytes(time) ^ i64::MIN;
                    out.extend_from_slice(time.to_string().as_bytes());
                }
            }
        }
        if several {
            if separator == b'{' {
                out.push(b'{');
            }
            out.push(b'}');
        }
        Ok(())
    }
}

/// Rows of one schema as objects.
struct Rows {
    /// How many there are, if they are an array.
    count: Option<u32>,
    layout: RowLayout,
    shape: Arc<Shape>,
    columns: Columns,
    /// A page for one row, aligned as pages are.
    page: Vec<u128>,
    cell: Vec<u8>,
}

impl Rows {
    fn new(schema: &Schema) -> Result<Self, TaskError> {
        let columns = Columns::new(schema).map_err(|error| TaskError::new(error.to_string()))?;
        Ok(Self {
            count: None,
            layout: RowLayout::new(schema),
            shape: Arc::new(Shape::new(schema)),
            columns,
            page: Vec::new(),
            cell: Vec::new(),
        })
    }

    fn push_all(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let Some(count) = self.count else { return self.push(bytes, out) };
        out.push(b'[');
        for (number, row) in
            bytes.chunks(bytes.len().div_ceil(count.max(1) as usize).max(1)).enumerate()
        {
            if number > 0 {
                out.push(b',');
            }
            self.push(row, out)?;
        }
        out.push(b']');
        Ok(())
    }

    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), TaskError> {
        let wrong = |error: &dyn std::fmt::Display| {
            TaskError::new(format!("a row is not as its state is described: {error}"))
        };
        let row = self.layout.validate(bytes).map_err(|error| wrong(&error))?;
        let layout = Layout::jumbo(&self.shape, &row.demand(&self.shape));
        let layout = Arc::new(layout.ok_or_else(|| wrong(&"it has 4 GiB or more"))?);
        let words = layout.size().div_ceil(size_of::<u128>());
        if self.page.len() < words {
            self.page.resize(words, 0);
        }
        let page: &mut [u8] = bytemuck::cast_slice_mut(&mut self.page);
        let page = page.get_mut(..layout.size()).unwrap_or_default();
        let mut rows = RowBuilder::new(page, &self.shape, &layout);
        scatter(&row, &mut rows).map_err(|_| wrong(&"it is larger than it says"))?;
        let sealed = rows.seal(false);
        let page = sealed.buffer.get(..sealed.length).unwrap_or_default();
        let page = ValidPage::validate(page, &self.shape).map_err(|error| wrong(&error))?;
        push_row(out, &self.columns, &page, 0, &mut self.cell);
        // It ends a line, which goes on here.
        out.pop();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_data::{
        Value,
        types::{DataType, Field},
    };
    use millstream_state::format::Chunk;

    use super::*;

    fn description(kind: Kind, map_key: Vec<Part>, value: Vec<Part>) -> Description {
        let key = Part::Key(Schema::new(vec![Field::new("id", DataType::Int32)]));
        Description {
            name: "state".into(),
            kind,
            key: vec![Part::Hash, key],
            namespace: vec![Part::Time],
            map_key,
            value,
        }
    }

    fn text(length: usize) -> (Part, Vec<u8>) {
        let schema = Schema::new(vec![
            Field::new("name", DataType::String).nullable(),
            Field::new("tags", DataType::Array(Box::new(Field::new("element", DataType::Int8)))),
        ]);
        let mut bytes = Vec::new();
        let layout = RowLayout::new(&schema);
        let row = (Some("x".repeat(length)), vec![1i8, 2]);
        layout.encode::<(Option<String>, Vec<i8>)>(row.view(), &mut bytes);
        (Part::Row(schema), bytes)
    }

    /// What is printed of one entry.
    fn printed(description: &Description, value: &[u8]) -> Result<String, TaskError> {
        let mut bytes = Vec::new();
        let mut chunk = Chunk::begin(0, 5, &mut bytes);
        let key = [&[0; 8][..], &7i32.to_le_bytes()].concat();
        chunk.whole(&key, &(-3i64 ^ i64::MIN).to_be_bytes(), value);
        chunk.end();
        let (chunk, _) = ReadChunk::read(&bytes, 0).unwrap();
        let mut out = Vec::new();
        Printer::new(description)?.print(&chunk, &mut out)?;
        Ok(String::from_utf8(out).unwrap())
    }

    const FRONT: &str = r#"{"key_group":5,"key":{"id":7},"namespace":-3,"#;

    #[test]
    fn entries_are_lines_of_json() {
        let (row, bytes) = text(20);
        let value = description(Kind::Value, vec![], vec![row.clone()]);
        let object = format!(r#"{{"name":"{}","tags":[1,2]}}"#, "x".repeat(20));
        assert_eq!(printed(&value, &bytes).unwrap(), format!("{FRONT}\"value\":{object}}}\n"));
        let mut elements = Vec::new();
        list::frame(&bytes, &mut elements);
        list::frame(&bytes, &mut elements);
        let list = description(Kind::List, vec![], vec![row.clone()]);
        let expected = format!("{FRONT}\"value\":[{object},{object}]}}\n");
        assert_eq!(printed(&list, &elements).unwrap(), expected);
        let keys = vec![Part::Time, Part::Hash, value.key[1].clone(), Part::Opaque(Some(1))];
        let map = description(Kind::Map, keys, vec![]);
        let mut entries = Vec::new();
        for time in [8i64, 9] {
            let key = [&(time ^ i64::MIN).to_be_bytes()[..], &[0; 8], &[1, 0, 0, 0], &[0]].concat();
            entries.extend((key.len() as u16).to_le_bytes());
            entries.extend(0u32.to_le_bytes());
            entries.extend(key);
        }
        let line =
            |time| format!("{FRONT}\"map_key\":{{\"time\":{time},\"key\":{{\"id\":1}}}}}}\n");
        assert_eq!(printed(&map, &entries).unwrap(), [line(8), line(9)].concat());
    }

    #[test]
    fn what_is_not_as_described_is_an_error() {
        let (row, bytes) = text(3);
        let flagged = description(Kind::Value, vec![], vec![Part::Flag, row]);
        for bytes in [&bytes[..], &[], &[1, 2]] {
            assert!(printed(&flagged, bytes).is_err(), "{bytes:?}");
        }
    }
}
