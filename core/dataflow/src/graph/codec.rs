//! Stream graphs as bytes, to cross from a compiled job to its host.

use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;

use millstream_data::types::{DataType, Field, Schema};

use super::{
    ConnectorSpec, Edge, Node, NodeKind, Partitioning, SortSpec, StreamGraph,
    alignment::SourceAlignment, chaining::Strategy,
};
use crate::sort::SortKey;

/// The first byte of every encoded graph.
const VERSION: u8 = 4;
/// Types nest at most so deep.
const DEPTH_MAX: u32 = 32;

/// Why bytes are not a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    /// Offset of the byte that is wrong.
    pub offset: usize,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the job graph is damaged at byte {}: rebuild the job against this version of \
             millstream",
            self.offset
        )
    }
}

impl core::error::Error for DecodeError {}

pub(super) fn encode(graph: &StreamGraph) -> Vec<u8> {
    let mut out = Encoder(Vec::new());
    out.byte(VERSION);
    out.text(&graph.name);
    out.list(&graph.nodes, Encoder::node);
    out.list(&graph.edges, Encoder::edge);
    out.list(&graph.settings, |out, (key, value)| {
        out.text(key);
        out.text(value);
    });
    out.0
}

pub(super) fn decode(bytes: &[u8]) -> Result<StreamGraph, DecodeError> {
    let mut input = Decoder { bytes, offset: 0 };
    if input.byte()? != VERSION {
        return Err(DecodeError { offset: 0 });
    }
    let name = input.text()?;
    let nodes = input.list(Decoder::node)?;
    let edges = input.list(Decoder::edge)?;
    let settings = input.list(|input| Ok((input.text()?, input.text()?)))?;
    let exists = |node: u32| (node as usize) < nodes.len();
    if input.offset != bytes.len() || !edges.iter().all(|e| exists(e.from) && exists(e.to)) {
        return input.wrong();
    }
    Ok(StreamGraph { name, nodes, edges, settings })
}

/// A schema as bytes, to cross to a connector.
pub fn encode_schema(schema: &Schema) -> Vec<u8> {
    let mut out = Encoder(Vec::new());
    out.byte(VERSION);
    out.schema(schema);
    out.0
}

/// The schema that [`encode_schema`] made bytes of.
///
/// # Errors
/// If the bytes are none, with the offset of the first that is wrong.
pub fn decode_schema(bytes: &[u8]) -> Result<Schema, DecodeError> {
    let mut input = Decoder { bytes, offset: 0 };
    if input.byte()? != VERSION {
        return Err(DecodeError { offset: 0 });
    }
    let schema = input.schema()?;
    if input.offset == bytes.len() { Ok(schema) } else { input.wrong() }
}

struct Encoder(Vec<u8>);

impl Encoder {
    fn schema(&mut self, schema: &Schema) {
        self.byte(u8::from(schema.row_kinds));
        self.list(&schema.fields, Self::field);
    }

    fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    fn number(&mut self, value: u32) {
        self.0.extend(value.to_le_bytes());
    }

    fn option(&mut self, value: Option<u32>) {
        self.byte(u8::from(value.is_some()));
        self.number(value.unwrap_or(0));
    }

    fn text(&mut self, value: &str) {
        self.number(value.len() as u32);
        self.0.extend(value.as_bytes());
    }

    fn list<T>(&mut self, items: &[T], encode: impl Fn(&mut Self, &T)) {
        self.number(items.len() as u32);
        items.iter().for_each(|item| encode(self, item));
    }

    fn node(&mut self, node: &Node) {
        self.text(&node.name);
        self.byte(u8::from(node.uid.is_some()));
        self.text(node.uid.as_deref().unwrap_or(""));
        match &node.kind {
            NodeKind::Source(spec) => self.connector(0, spec),
            NodeKind::Chain { outputs, stateful } => {
                self.byte(1);
                self.number(u32::from(*outputs));
                self.byte(u8::from(*stateful));
            }
            NodeKind::Sink(spec) => self.connector(2, spec),
            NodeKind::Result(schema) => {
                self.byte(3);
                self.schema(schema);
            }
            NodeKind::Sort(spec) => {
                self.byte(4);
                self.schema(&spec.schema);
                self.list(&spec.keys, |out, key| {
                    out.text(&key.field);
                    out.byte(u8::from(key.descending) | u8::from(key.nulls_last) << 1);
                });
            }
        }
        self.option(node.parallelism);
        self.option(node.max_parallelism);
        self.byte(match node.chaining {
            Strategy::Always => 0,
            Strategy::Head => 1,
            Strategy::HeadWithSources => 2,
            Strategy::Never => 3,
        });
        self.text(&node.slot_sharing_group);
        self.byte(u8::from(node.alignment.is_some()));
        if let Some(SourceAlignment { group, max_drift, update_interval }) = &node.alignment {
            self.text(group);
            self.0.extend(max_drift.to_le_bytes());
            self.0.extend(update_interval.to_le_bytes());
        }
    }

    fn connector(&mut self, kind: u8, spec: &ConnectorSpec) {
        self.byte(kind);
        self.text(&spec.connector);
        self.list(&spec.options, |out, (key, value)| {
            out.text(key);
            out.text(value);
        });
        self.schema(&spec.schema);
    }

    fn edge(&mut self, edge: &Edge) {
        self.number(edge.from);
        self.number(u32::from(edge.output));
        self.number(edge.to);
        self.number(u32::from(edge.input));
        self.byte(match edge.partitioning {
            Partitioning::Forward => 0,
            Partitioning::Rebalance => 1,
            Partitioning::Rescale => 2,
            Partitioning::Shuffle => 3,
            Partitioning::Hash => 4,
            Partitioning::Broadcast => 5,
            Partitioning::Global => 6,
            Partitioning::Custom => 7,
        });
        self.schema(&edge.schema);
    }

    fn field(&mut self, field: &Field) {
        self.text(&field.name);
        self.byte(u8::from(field.nullable));
        self.data_type(&field.data_type);
    }

    fn data_type(&mut self, data_type: &DataType) {
        let simple = SIMPLE.iter().position(|simple| simple == data_type);
        if let Some(code) = simple {
            return self.byte(code as u8);
        }
        match data_type {
            DataType::Decimal { precision, scale } => self.0.extend([100, *precision, *scale]),
            DataType::Timestamp { precision } => self.0.extend([101, *precision]),
            DataType::TimestampLtz { precision } => self.0.extend([102, *precision]),
            DataType::Array(element) => {
                self.byte(103);
                self.field(element);
            }
            DataType::Map(key, value) => {
                self.byte(104);
                self.field(key);
                self.field(value);
            }
            DataType::Row(fields) => {
                self.byte(105);
                self.list(fields, Self::field);
            }
            _ => unreachable!("every other type is in the table of simple types"),
        }
    }
}

/// The types without parameters; their code is their position, so entries are only ever appended.
const SIMPLE: [DataType; 15] = [
    DataType::Boolean,
    DataType::Int8,
    DataType::Int16,
    DataType::Int32,
    DataType::Int64,
    DataType::UInt8,
    DataType::UInt16,
    DataType::UInt32,
    DataType::UInt64,
    DataType::Float32,
    DataType::Float64,
    DataType::Date,
    DataType::Time,
    DataType::String,
    DataType::Bytes,
];

struct Decoder<'a> {
    bytes: &'a [u8],
    offset: usize,
}

type Decoded<T> = Result<T, DecodeError>;

impl<'a> Decoder<'a> {
    fn wrong<T>(&self) -> Decoded<T> {
        Err(DecodeError { offset: self.offset })
    }

    fn take(&mut self, count: usize) -> Decoded<&'a [u8]> {
        let rest = self.bytes.get(self.offset..).unwrap_or(&[]);
        let Some(taken) = rest.get(..count) else { return self.wrong() };
        self.offset += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Decoded<u8> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Decoded<u32> {
        let bytes = self.take(4)?;
        Ok(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn small(&mut self) -> Decoded<u16> {
        let number = self.number()?;
        u16::try_from(number).or_else(|_| self.wrong())
    }

    fn option(&mut self) -> Decoded<Option<u32>> {
        let present = self.byte()? != 0;
        let number = self.number()?;
        Ok(present.then_some(number))
    }

    fn text(&mut self) -> Decoded<String> {
        let length = self.number()? as usize;
        let bytes = self.take(length)?;
        core::str::from_utf8(bytes).map(String::from).or_else(|_| self.wrong())
    }

    fn list<T>(&mut self, decode: impl Fn(&mut Self) -> Decoded<T>) -> Decoded<Vec<T>> {
        let length = self.number()?;
        // Every item takes at least a byte: a length that lies cannot make us allocate.
        if length as usize > self.bytes.len() - self.offset {
            return self.wrong();
        }
        (0..length).map(|_| decode(self)).collect()
    }

    fn node(&mut self) -> Decoded<Node> {
        let name = self.text()?;
        let has_uid = self.byte()? != 0;
        let uid = Some(self.text()?).filter(|_| has_uid);
        let kind = match self.byte()? {
            0 => NodeKind::Source(self.connector()?),
            1 => NodeKind::Chain {
                outputs: self.small()?,
                stateful: match self.byte()? {
                    0 => false,
                    1 => true,
                    _ => return self.wrong(),
                },
            },
            2 => NodeKind::Sink(self.connector()?),
            3 => NodeKind::Result(self.schema()?),
            4 => NodeKind::Sort(SortSpec {
                schema: self.schema()?,
                keys: self.list(Decoder::sort_key)?,
            }),
            _ => return self.wrong(),
        };
        let (parallelism, max_parallelism) = (self.option()?, self.option()?);
        let chaining = match self.byte()? {
            0 => Strategy::Always,
            1 => Strategy::Head,
            2 => Strategy::HeadWithSources,
            3 => Strategy::Never,
            _ => return self.wrong(),
        };
        let slot_sharing_group = self.text()?;
        let has_alignment = self.byte()? != 0;
        let alignment = has_alignment.then(|| self.alignment()).transpose()?;
        Ok(Node {
            name,
            uid,
            kind,
            parallelism,
            max_parallelism,
            chaining,
            slot_sharing_group,
            alignment,
        })
    }

    fn alignment(&mut self) -> Decoded<SourceAlignment> {
        let group = self.text()?;
        let (max_drift, update_interval) = (self.long()?, self.long()?);
        Ok(SourceAlignment {
            group,
            max_drift: i64::from_le_bytes(max_drift),
            update_interval: u64::from_le_bytes(update_interval),
        })
    }

    fn long(&mut self) -> Decoded<[u8; 8]> {
        let bytes = self.take(8)?.first_chunk().copied();
        bytes.map_or_else(|| self.wrong(), Ok)
    }

    fn sort_key(&mut self) -> Decoded<SortKey> {
        let field = self.text()?;
        match self.byte()? {
            flags @ 0..4 => {
                Ok(SortKey { field, descending: flags & 1 != 0, nulls_last: flags & 2 != 0 })
            }
            _ => self.wrong(),
        }
    }

    fn connector(&mut self) -> Decoded<ConnectorSpec> {
        let connector = self.text()?;
        let options = self.list(|input| Ok((input.text()?, input.text()?)))?;
        Ok(ConnectorSpec { connector, options, schema: self.schema()? })
    }

    fn edge(&mut self) -> Decoded<Edge> {
        let (from, output) = (self.number()?, self.small()?);
        let (to, input) = (self.number()?, self.small()?);
        let partitioning = match self.byte()? {
            0 => Partitioning::Forward,
            1 => Partitioning::Rebalance,
            2 => Partitioning::Rescale,
            3 => Partitioning::Shuffle,
            4 => Partitioning::Hash,
            5 => Partitioning::Broadcast,
            6 => Partitioning::Global,
            7 => Partitioning::Custom,
            _ => return self.wrong(),
        };
        Ok(Edge { from, output, to, input, partitioning, schema: self.schema()? })
    }

    fn schema(&mut self) -> Decoded<Schema> {
        let row_kinds = self.byte()? != 0;
        Ok(Schema { row_kinds, fields: self.list(|input| input.field(0))? })
    }

    fn field(&mut self, depth: u32) -> Decoded<Field> {
        let name = self.text()?;
        let nullable = self.byte()? != 0;
        Ok(Field { name, nullable, data_type: self.data_type(depth)? })
    }

    fn data_type(&mut self, depth: u32) -> Decoded<DataType> {
        if depth > DEPTH_MAX {
            return self.wrong();
        }
        let code = self.byte()?;
        if let Some(simple) = SIMPLE.get(usize::from(code)) {
            return Ok(simple.clone());
        }
        let depth = depth + 1;
        Ok(match code {
            100 => DataType::Decimal { precision: self.byte()?, scale: self.byte()? },
            101 => DataType::Timestamp { precision: self.byte()? },
            102 => DataType::TimestampLtz { precision: self.byte()? },
            103 => DataType::Array(Box::new(self.field(depth)?)),
            104 => DataType::Map(Box::new(self.field(depth)?), Box::new(self.field(depth)?)),
            105 => DataType::Row(self.list(|input| input.field(depth))?),
            _ => return self.wrong(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn graph() -> StreamGraph {
        let schema = Schema::new(vec![
            Field::new("a", DataType::Int64),
            Field::new("b", DataType::Decimal { precision: 10, scale: 2 }).nullable(),
            Field::new(
                "c",
                DataType::Row(vec![Field::new(
                    "d",
                    DataType::Array(Box::new(Field::new("element", DataType::String))),
                )]),
            ),
        ]);
        let node = |kind| Node {
            name: "näme".into(),
            uid: Some("ü".into()),
            kind,
            parallelism: Some(2),
            max_parallelism: None,
            chaining: Strategy::Head,
            slot_sharing_group: "default".into(),
            alignment: Some(SourceAlignment {
                group: "g".into(),
                max_drift: 30_000,
                update_interval: 500,
            }),
        };
        let spec = ConnectorSpec {
            connector: "filesystem".into(),
            options: vec![("path".into(), "/a".into())],
            schema: schema.clone().with_row_kinds(),
        };
        let edge = |from, partitioning| Edge {
            from,
            output: 0,
            to: from + 1,
            input: 0,
            partitioning,
            schema: schema.clone(),
        };
        let result = schema.clone();
        let keys = vec![SortKey::ascending("a"), SortKey::descending("b").nulls_first()];
        let sort = SortSpec { schema: schema.clone(), keys };
        StreamGraph {
            name: "job".into(),
            nodes: vec![
                node(NodeKind::Source(spec.clone())),
                node(NodeKind::Chain { outputs: 1, stateful: true }),
                node(NodeKind::Sort(sort)),
                node(NodeKind::Result(result)),
            ],
            edges: vec![
                edge(0, Partitioning::Forward),
                edge(1, Partitioning::Hash),
                edge(2, Partitioning::Global),
            ],
            settings: vec![("checkpoint.interval".into(), "1 s".into())],
        }
    }

    #[test]
    fn graphs_round_trip() {
        assert_eq!(StreamGraph::decode(&graph().encode()), Ok(graph()));
    }

    #[test]
    fn every_truncation_and_every_changed_byte_is_an_error_or_a_graph() {
        let bytes = graph().encode();
        for end in 0..bytes.len() {
            assert!(StreamGraph::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 127, 255] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                let _ = StreamGraph::decode(&damaged);
            }
        }
    }

    #[test]
    fn deep_nesting_is_refused_without_recursing() {
        let mut field = Field::new("x", DataType::Int8);
        for _ in 0..100 {
            field = Field::new("x", DataType::Row(vec![field]));
        }
        let mut graph = graph();
        graph.nodes[3].kind = NodeKind::Result(Schema::new(vec![field]));
        assert!(StreamGraph::decode(&graph.encode()).is_err());
    }
}
