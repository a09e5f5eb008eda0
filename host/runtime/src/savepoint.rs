//! Reading a savepoint or checkpoint without its job: what it consists of, and what is in it.
//!
//! ```no_run
//! use std::path::Path;
//! use millstream::savepoint::Savepoint;
//!
//! let savepoint = Savepoint::open(Path::new("/savepoints/savepoint-flights-7-19d2c0f3a1b"))?;
//! for operator in savepoint.operators()? {
//!     println!("{}: {} subtasks, {} bytes", operator.id, operator.parallelism, operator.bytes);
//! }
//! savepoint.dump("hours", "windows", &mut std::io::stdout())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunks;
mod json;

use std::{collections::BTreeMap, fmt, io, path::Path};

use millstream_checkpoint::{
    Manifest,
    manifest::{Kind, State},
    storage::Care,
};
use millstream_dataflow::TaskError;
use millstream_state::description::{DESCRIPTIONS, Description};

pub use millstream_checkpoint::manifest::Purpose;
pub use millstream_state::{Kind as StateKind, description::Part};

use crate::checkpoint::Restore;
use chunks::{Chunks, Found};

/// A savepoint or checkpoint, all of whose files are whole.
pub struct Savepoint {
    restore: Restore,
}

/// What an operator has in a savepoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OperatorInfo {
    /// What it is called.
    pub id: String,
    /// Subtasks that wrote it.
    pub parallelism: u32,
    /// Key groups that its keyed state is divided into.
    pub key_groups: u32,
    /// Bytes of all that it has.
    pub bytes: u64,
    /// Its keyed states, as far as it said what they are.
    pub states: Vec<StateInfo>,
    /// Its other state, which only the operator understands: what it is, and bytes.
    pub others: Vec<(&'static str, u64)>,
}

/// A keyed state of an operator.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StateInfo {
    /// What its bytes mean.
    pub description: Description,
    /// Keys with their namespaces; a large map may count several times.
    pub entries: u64,
    /// Bytes by key group, of those that have any.
    pub groups: BTreeMap<u32, u64>,
}

impl StateInfo {
    /// Bytes of the state.
    pub fn bytes(&self) -> u64 {
        self.groups.values().sum()
    }

    /// The least, the mean and the most bytes of a key group, of so many.
    pub fn spread(&self, key_groups: u32) -> (u64, u64, u64) {
        let (least, most) = (self.groups.values().min(), self.groups.values().max());
        let all = self.groups.len() >= key_groups as usize;
        let least = least.copied().filter(|_| all).unwrap_or(0);
        (least, self.bytes() / u64::from(key_groups.max(1)), most.copied().unwrap_or(0))
    }

    /// The key groups with the most bytes, and those, the heaviest first.
    pub fn heaviest(&self, count: usize) -> Vec<(u32, u64)> {
        let mut groups: Vec<_> =
            self.groups.iter().map(|(group, bytes)| (*group, *bytes)).collect();
        groups.sort_by_key(|(group, bytes)| (std::cmp::Reverse(*bytes), *group));
        groups.truncate(count);
        groups
    }
}

impl Savepoint {
    /// Opens the savepoint or checkpoint in a directory, and reads all of it to see whether it is whole.
    ///
    /// # Errors
    /// If there is none, or something of it is missing or damaged: which file.
    pub fn open(path: &Path) -> Result<Self, TaskError> {
        Ok(Self { restore: Restore::from_path(path, Care::Whole)? })
    }

    /// Its manifest.
    pub fn manifest(&self) -> &Manifest {
        self.restore.manifest()
    }

    /// All operators that have a part in it, with their states.
    ///
    /// # Errors
    /// If state cannot be read, or is damaged.
    pub fn operators(&self) -> Result<Vec<OperatorInfo>, TaskError> {
        self.manifest().operators.iter().map(|operator| self.operator(&operator.id)).collect()
    }

    fn operator(&self, id: &str) -> Result<OperatorInfo, TaskError> {
        let mut info = OperatorInfo {
            id: id.into(),
            parallelism: 0,
            key_groups: 0,
            bytes: 0,
            states: Vec::new(),
            others: Vec::new(),
        };
        let Some(operator) = self.manifest().operator(id) else { return Ok(info) };
        (info.parallelism, info.key_groups) = (operator.parallelism(), operator.max_parallelism);
        for state in operator.subtasks.iter().flat_map(|subtask| &subtask.states) {
            info.bytes += state.place.length();
            self.each_chunk(id, state, &mut |found| {
                match found {
                    Found::Opaque(bytes) => info.others.push((what(&state.kind), bytes)),
                    Found::Files(bytes) => {
                        info.bytes += bytes;
                        info.others.push((IN_FILES, bytes));
                    }
                    Found::Chunk { description, chunk, bytes } => {
                        let name = &description.name;
                        let known =
                            info.states.iter_mut().find(|known| known.description.name == *name);
                        let known = match known {
                            Some(known) => known,
                            None => {
                                info.states.push(StateInfo {
                                    description: description.clone(),
                                    entries: 0,
                                    groups: BTreeMap::new(),
                                });
                                let Some(last) = info.states.last_mut() else { return Ok(()) };
                                last
                            }
                        };
                        if let Some(chunk) = chunk {
                            known.entries += chunk.entries().count() as u64;
                            *known.groups.entry(chunk.group).or_default() += bytes;
                        }
                    }
                }
                Ok(())
            })?;
        }
        Ok(info)
    }

    /// Writes the entries of a keyed state as lines of JSON; gives how many.
    ///
    /// # Errors
    /// If there is no such state, it cannot be read, or `out` cannot be written.
    pub fn dump(&self, id: &str, state: &str, out: &mut dyn io::Write) -> Result<u64, TaskError> {
        let Some(operator) = self.manifest().operator(id) else {
            let all: Vec<&str> =
                self.manifest().operators.iter().map(|operator| &*operator.id).collect();
            return Err(TaskError::new(format!(
                "the savepoint has no operator `{id}`: it has {}",
                all.join(", ")
            )));
        };
        let (mut lines, mut seen, mut is_in_files) = (0, Vec::new(), false);
        for part in operator.subtasks.iter().flat_map(|subtask| &subtask.states) {
            let mut printer = None;
            self.each_chunk(id, part, &mut |found| {
                is_in_files |= matches!(found, Found::Files(_));
                let Found::Chunk { description, chunk, .. } = found else { return Ok(()) };
                if !seen.contains(&description.name) {
                    seen.push(description.name.clone());
                }
                let Some(chunk) = chunk.filter(|_| description.name == state) else {
                    return Ok(());
                };
                let printer = match &mut printer {
                    Some(printer) => printer,
                    None => printer.insert(json::Printer::new(description)?),
                };
                lines += printer.print(chunk, out)?;
                Ok(())
            })?;
        }
        if is_in_files && lines == 0 {
            return Err(TaskError::new(format!(
                "the state of `{id}` is in files of the checkpoint, which only a job that runs reads: take a \
                 savepoint, which has it as entries"
            )));
        }
        if seen.iter().any(|name| name == state) {
            return Ok(lines);
        }
        let what = match seen.join(", ") {
            all if all.is_empty() => "it has no keyed state".into(),
            all => format!("it has {all}"),
        };
        Err(TaskError::new(format!("the operator `{id}` has no state `{state}`: {what}")))
    }

    /// Hands what an operator's state consists of to `each`, with the descriptions that it begins with.
    fn each_chunk(
        &self,
        id: &str,
        state: &State,
        each: &mut dyn FnMut(Found<'_>) -> Result<(), TaskError>,
    ) -> Result<(), TaskError> {
        let chunks = Chunks::new(&self.restore, &state.place);
        chunks.each(each).map_err(|error| error.at(format!("the state of {id}")))
    }
}

impl fmt::Debug for Savepoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Savepoint").field(&self.restore.directory()).finish()
    }
}

/// What keyed state is called that a checkpoint refers to, whose entries are not listed.
const IN_FILES: &str = "keyed state in files (lsm)";

/// What a state is that has no chunks.
fn what(kind: &Kind) -> &'static str {
    match kind {
        Kind::Keyed(_) => "keyed state",
        Kind::Operator => "operator state",
        Kind::Source => "source position",
        Kind::Sink => "sink transactions",
        Kind::InFlight => "data in flight",
    }
}

/// Whether a chunk has descriptions, not entries.
fn describes(state: u16) -> bool {
    state == DESCRIPTIONS
}
