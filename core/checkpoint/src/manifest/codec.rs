//! The bytes of a manifest.
//!
//! ```text
//! magic "MSCP" | version u16 | hash u16 | checksum u64 | body
//! body:     checkpoint u64 | timestamp i64 | purpose u8 | job bytes | graph hash u64
//!           | files u32, each | operators u32, each
//! file:     name bytes | length u64 | checksum u64
//! operator: id bytes | max parallelism u32 | subtasks u32, each
//! subtask:  finished u8 | states u32, each
//! state:    kind u8 | ranges u32, each, of keyed state only | place u8
//!           | inline: bytes | in a file: file u32, offset u64, length u64
//! range:    key group u32 | offset u64 | length u64
//! bytes:    length u32 | so many
//! ```
//!
//! Numbers are little-endian. `hash` names the [hash function](millstream_data::hash::ID), the checksum
//! is over the body and the eight bytes in front of it. A file is its number in the list of files.

use alloc::{string::String, vec::Vec};
use core::str;

use millstream_data::hash;

use super::error::Fault;
use super::{
    File, GroupRange, Handle, Kind, Manifest, ManifestError, Operator, Place, Purpose, State,
    Subtask, is_file_name,
};
use crate::bytes::{Reader, put_bytes, put_count};

const MAGIC: [u8; 4] = *b"MSCP";
const VERSION: u16 = 1;
/// Bytes in front of the checksum.
const SUMMED: usize = 8;
/// Bytes in front of the body.
const HEADER: usize = SUMMED + 8;

const KEYED: u8 = 0;
const OPERATOR: u8 = 1;
const SOURCE: u8 = 2;
const SINK: u8 = 3;
const IN_FLIGHT: u8 = 4;

const INLINE: u8 = 0;
const IN_FILE: u8 = 1;

/// The largest maximum parallelism (SEMANTICS.md 4.7).
const MAX_PARALLELISM_LIMIT: u32 = 32768;

/// Stands for a file that the manifest does not list; no list is so long.
const NO_FILE: u32 = u32::MAX;

pub(super) fn encode(manifest: &Manifest) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend(hash::ID.to_le_bytes());
    out.resize(HEADER, 0);
    out.extend(manifest.checkpoint.to_le_bytes());
    out.extend(manifest.timestamp_ms.to_le_bytes());
    out.push(match manifest.purpose {
        Purpose::Checkpoint => 0,
        Purpose::Savepoint => 1,
        Purpose::StopWithSavepoint => 2,
    });
    put_bytes(manifest.job.as_bytes(), &mut out);
    out.extend(manifest.graph_hash.to_le_bytes());
    let mut files: Vec<&File> = manifest.files.iter().collect();
    files.sort();
    put_count(files.len(), &mut out);
    for file in &files {
        put_bytes(file.name.as_bytes(), &mut out);
        out.extend(file.length.to_le_bytes());
        out.extend(file.checksum.to_le_bytes());
    }
    let mut operators: Vec<&Operator> = manifest.operators.iter().collect();
    operators.sort_by(|a, b| a.id.cmp(&b.id));
    put_count(operators.len(), &mut out);
    for operator in operators {
        put_operator(operator, &files, &mut out);
    }
    let sum = checksum(&out);
    for (into, byte) in out.iter_mut().skip(SUMMED).zip(sum.to_le_bytes()) {
        *into = byte;
    }
    out
}

fn put_operator(operator: &Operator, files: &[&File], out: &mut Vec<u8>) {
    put_bytes(operator.id.as_bytes(), out);
    out.extend(operator.max_parallelism.to_le_bytes());
    put_count(operator.subtasks.len(), out);
    for subtask in &operator.subtasks {
        out.push(u8::from(subtask.finished));
        put_count(subtask.states.len(), out);
        for state in &subtask.states {
            put_state(state, files, out);
        }
    }
}

fn put_state(state: &State, files: &[&File], out: &mut Vec<u8>) {
    match &state.kind {
        Kind::Keyed(ranges) => {
            out.push(KEYED);
            put_count(ranges.len(), out);
            for range in ranges {
                out.extend(range.group.to_le_bytes());
                out.extend(range.offset.to_le_bytes());
                out.extend(range.length.to_le_bytes());
            }
        }
        Kind::Operator => out.push(OPERATOR),
        Kind::Source => out.push(SOURCE),
        Kind::Sink => out.push(SINK),
        Kind::InFlight => out.push(IN_FLIGHT),
    }
    match &state.place {
        Place::Inline(bytes) => {
            out.push(INLINE);
            put_bytes(bytes, out);
        }
        Place::File(handle) => {
            out.push(IN_FILE);
            let at = files.binary_search_by(|file| file.name.as_str().cmp(&handle.file));
            out.extend(at.map_or(NO_FILE, |at| at as u32).to_le_bytes());
            out.extend(handle.offset.to_le_bytes());
            out.extend(handle.length.to_le_bytes());
        }
    }
}

/// Of everything but the checksum itself.
fn checksum(bytes: &[u8]) -> u64 {
    let header = bytes.get(..SUMMED).unwrap_or(&[]);
    let body = bytes.get(HEADER..).unwrap_or(&[]);
    hash::bytes(hash::bytes(hash::SEED, header), body)
}

pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, ManifestError> {
    let mut reader = Reader::new(bytes, 0);
    header(&mut reader, bytes)
        .and_then(|()| manifest(&mut reader))
        .map_err(|Fault(what)| ManifestError { offset: reader.offset(), what })
}

/// Checks a value that was just read from `before`, which is where the fault will be.
fn ensure<'a>(
    holds: bool,
    reader: &mut Reader<'a>,
    before: Reader<'a>,
    what: &'static str,
) -> Result<(), Fault> {
    if holds {
        return Ok(());
    }
    *reader = before;
    Err(Fault(what))
}

fn header<'a>(reader: &mut Reader<'a>, bytes: &'a [u8]) -> Result<(), Fault> {
    let before = *reader;
    let magic = reader.array::<4>()?;
    ensure(magic == MAGIC, reader, before, "no manifest begins like this")?;
    let before = *reader;
    let version = reader.u16()?;
    let what = "it has a version that this program does not read";
    ensure(version == VERSION, reader, before, what)?;
    let before = *reader;
    let id = reader.u16()?;
    let what = "it was written with a hash function that this program does not have";
    ensure(id == hash::ID, reader, before, what)?;
    let before = *reader;
    let sum = reader.u64()?;
    ensure(sum == checksum(bytes), reader, before, "the checksum is not that of the bytes")
}

fn manifest(reader: &mut Reader<'_>) -> Result<Manifest, Fault> {
    let checkpoint = reader.u64()?;
    let timestamp_ms = reader.i64()?;
    let before = *reader;
    let purpose = match reader.u8()? {
        0 => Purpose::Checkpoint,
        1 => Purpose::Savepoint,
        2 => Purpose::StopWithSavepoint,
        _ => {
            *reader = before;
            return Err(Fault("there is no such purpose of a checkpoint"));
        }
    };
    let job = text(reader)?;
    let graph_hash = reader.u64()?;
    let files = files(reader)?;
    let count = reader.u32()?;
    let mut operators: Vec<Operator> = Vec::new();
    for _ in 0..count {
        let before = *reader;
        let operator = operator(reader, &files)?;
        let is_next = operators.last().is_none_or(|last| last.id < operator.id);
        ensure(is_next, reader, before, "operators are not in order, or one comes twice")?;
        operators.push(operator);
    }
    match reader.remaining() {
        0 => Ok(Manifest { checkpoint, timestamp_ms, purpose, job, graph_hash, files, operators }),
        _ => Err(Fault("there are bytes behind the last operator")),
    }
}

fn files(reader: &mut Reader<'_>) -> Result<Vec<File>, Fault> {
    let count = reader.u32()?;
    let mut files: Vec<File> = Vec::new();
    for _ in 0..count {
        let before = *reader;
        let name = text(reader)?;
        ensure(is_file_name(&name), reader, before, "no file of a checkpoint has such a name")?;
        let is_next = files.last().is_none_or(|last| last.name < name);
        ensure(is_next, reader, before, "files are not in order, or one comes twice")?;
        files.push(File { name, length: reader.u64()?, checksum: reader.u64()? });
    }
    Ok(files)
}

fn operator(reader: &mut Reader<'_>, files: &[File]) -> Result<Operator, Fault> {
    let before = *reader;
    let id = text(reader)?;
    ensure(!id.is_empty(), reader, before, "an operator has no id")?;
    let before = *reader;
    let max_parallelism = reader.u32()?;
    let parallelism = reader.u32()?;
    let is_possible = (1..=MAX_PARALLELISM_LIMIT).contains(&max_parallelism)
        && (1..=max_parallelism).contains(&parallelism);
    ensure(is_possible, reader, before, "an operator cannot have such a parallelism")?;
    let mut subtasks = Vec::new();
    for _ in 0..parallelism {
        let before = *reader;
        let finished = reader.u8()?;
        ensure(finished <= 1, reader, before, "a subtask is finished or not")?;
        let count = reader.u32()?;
        let mut states = Vec::new();
        for _ in 0..count {
            states.push(state(reader, max_parallelism, files)?);
        }
        subtasks.push(Subtask { finished: finished == 1, states });
    }
    Ok(Operator { id, max_parallelism, subtasks })
}

fn state(reader: &mut Reader<'_>, groups: u32, files: &[File]) -> Result<State, Fault> {
    let before = *reader;
    let kind = match reader.u8()? {
        KEYED => Kind::Keyed(ranges(reader, groups)?),
        OPERATOR => Kind::Operator,
        SOURCE => Kind::Source,
        SINK => Kind::Sink,
        IN_FLIGHT => Kind::InFlight,
        _ => {
            *reader = before;
            return Err(Fault("there is no such kind of state"));
        }
    };
    let at_place = *reader;
    let place = match reader.u8()? {
        INLINE => Place::Inline(reader.bytes()?.into()),
        IN_FILE => Place::File(handle(reader, files)?),
        _ => {
            *reader = at_place;
            return Err(Fault("there is no such place of a state"));
        }
    };
    if let Kind::Keyed(ranges) = &kind {
        let end = ranges.last().map_or(0, |last| last.offset + last.length);
        let fits = end <= place.length();
        ensure(fits, reader, before, "a key group ends behind its state")?;
    }
    Ok(State { kind, place })
}

/// Ranges whose ends do not overflow.
fn ranges(reader: &mut Reader<'_>, groups: u32) -> Result<Vec<GroupRange>, Fault> {
    let count = reader.u32()?;
    let mut ranges = Vec::new();
    let (mut free_group, mut free_offset) = (0, 0);
    for _ in 0..count {
        let before = *reader;
        let (group, offset, length) = (reader.u32()?, reader.u64()?, reader.u64()?);
        let is_next = free_group <= group && group < groups && free_offset <= offset;
        let what = "key groups are not in order, or overlap, or there is no such one";
        ensure(is_next, reader, before, what)?;
        let Some(end) = offset.checked_add(length) else {
            *reader = before;
            return Err(Fault("a key group ends behind its state"));
        };
        (free_group, free_offset) = (group + 1, end);
        ranges.push(GroupRange { group, offset, length });
    }
    Ok(ranges)
}

fn handle(reader: &mut Reader<'_>, files: &[File]) -> Result<Handle, Fault> {
    let before = *reader;
    let number = reader.u32()?;
    let Some(file) = files.get(number as usize) else {
        *reader = before;
        return Err(Fault("a state is in a file that is not listed"));
    };
    let before = *reader;
    let (offset, length) = (reader.u64()?, reader.u64()?);
    let fits = offset.checked_add(length).is_some_and(|end| end <= file.length);
    ensure(fits, reader, before, "a state ends behind its file")?;
    Ok(Handle { file: file.name.clone(), offset, length })
}

fn text(reader: &mut Reader<'_>) -> Result<String, Fault> {
    let before = *reader;
    let bytes = reader.bytes()?;
    match str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(_) => {
            *reader = before;
            Err(Fault("a name is not UTF-8"))
        }
    }
}
