//! The derived table, and how it is shown.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;

use super::{Fraction, KIB, MIB};

/// Every part of a process's memory, derived; shown by [`Display`](fmt::Display) as a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryTable {
    /// The whole process.
    pub process: Part,
    /// What nobody counts.
    pub overhead: Part,
    /// A JVM's metaspace.
    pub metaspace: Part,
    /// The engine: framework, task, network and managed.
    pub engine: Part,
    /// The engine's own structures.
    pub framework: Part,
    /// Operators and user code.
    pub task: Part,
    /// Segments that flow.
    pub network: Part,
    /// Pages that are held.
    pub managed: Part,
    /// Bytes in a segment.
    pub segment_size: usize,
}

/// One part: how much, and why that much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its size in bytes.
    pub bytes: u64,
    /// Where the size comes from.
    pub source: Source,
}

/// Where a size comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Configured, or its default.
    Given,
    /// A fraction of the total it belongs to.
    Fraction(Fraction),
    /// Its minimum, since its fraction is less.
    Min(Fraction),
    /// Its maximum, since its fraction is more.
    Max(Fraction),
    /// What the other parts leave of a total.
    Rest,
    /// The sum of its parts.
    Sum,
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// How deep it is nested.
    pub depth: usize,
    /// Its name.
    pub name: &'static str,
    /// Its size and why.
    pub part: Part,
    /// What the size means in segments, for the parts that are cut into them.
    pub segments: Option<u64>,
}

impl MemoryTable {
    /// The number of whole segments in network memory.
    pub fn network_segments(&self) -> u64 {
        self.network.bytes / self.segment_size as u64
    }

    /// The number of whole pages in managed memory.
    pub fn managed_pages(&self) -> u64 {
        self.managed.bytes / self.segment_size as u64
    }

    /// The lines of the table, from the whole to its parts; a metaspace of 0 is left out.
    pub fn rows(&self) -> Vec<Row> {
        let row = |depth, name, part| Row { depth, name, part, segments: None };
        let cut = |depth, name, part, segments| Row { depth, name, part, segments: Some(segments) };
        let mut rows = vec![
            row(0, "process", self.process),
            row(1, "engine", self.engine),
            row(2, "framework", self.framework),
            row(2, "task", self.task),
            cut(2, "network", self.network, self.network_segments()),
            cut(2, "managed", self.managed, self.managed_pages()),
        ];
        if self.metaspace.bytes > 0 {
            rows.push(row(1, "metaspace", self.metaspace));
        }
        rows.push(row(1, "overhead", self.overhead));
        rows
    }
}

impl fmt::Display for MemoryTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<16}{:>14}{:>9}  derivation", "memory", "size", "share")?;
        let rows = self.rows();
        for (number, row) in rows.iter().enumerate() {
            let name = format!("{:width$}{}", "", row.name, width = row.depth * 2);
            let tenths = match self.process.bytes {
                0 => 0,
                process => (u128::from(row.part.bytes) * 1000 / u128::from(process)) as u64,
            };
            let size = format!("{}", Bytes(row.part.bytes));
            write!(f, "{name:<16}{size:>14}{:>5}.{} %  ", tenths / 10, tenths % 10)?;
            write!(f, "{}", row.part.source)?;
            if let Some(segments) = row.segments {
                write!(f, ": {segments} segments of {}", Bytes(self.segment_size as u64))?;
            }
            if number + 1 < rows.len() {
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Given => f.write_str("given"),
            Self::Fraction(fraction) => write!(f, "fraction {fraction}"),
            Self::Min(fraction) => write!(f, "minimum (above fraction {fraction})"),
            Self::Max(fraction) => write!(f, "maximum (below fraction {fraction})"),
            Self::Rest => f.write_str("the rest"),
            Self::Sum => f.write_str("the sum of its parts"),
        }
    }
}

/// A size for people: exact where it is a whole number of KiB or MiB, else to a tenth of a MiB.
pub(super) struct Bytes(pub(super) u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text: String = match self.0 {
            bytes if bytes < KIB => format!("{bytes} bytes"),
            bytes if bytes < MIB && bytes % KIB == 0 => format!("{} KiB", bytes / KIB),
            bytes if bytes < MIB => format!("{bytes} bytes"),
            bytes => {
                let tenths = (u128::from(bytes) * 10 / u128::from(MIB)) as u64;
                format!("{}.{} MiB", tenths / 10, tenths % 10)
            }
        };
        f.pad(&text)
    }
}
