//! The manifest: which files are the state of a snapshot.
//!
//! ```text
//! magic "MSLM" | version u16 | hash u16 | max parallelism u32 | first group u32 | end u32
//! states u16 | layers u32 | states | layers | bottom | checksum u64
//! state: kind u8 | widths u8 | key u32 | namespace u32 | value u32 | name u16 and bytes
//! layer, bottom: runs u32 | runs
//! run: file u64 | length u64 | checksum u64 | index at u64 | index bytes u32 | head bytes u32
//!      index checksum u64 | hiding u16 | first rank u64 | end u64
//! ```
//!
//! A layer is runs of one age, side by side in the order of their ranks. The newest layer is first; what the
//! bottom has is older than all of them. Of a run those ranks are seen that it is listed with, and a file may be
//! listed several times: parts of it were merged into others, or it is one of several subtasks after
//! rescaling. The bits of `widths` say which of the three are fixed. Numbers are
//! little-endian, the checksum is that of everything in front of it. There is no log: a manifest exists
//! only when all its files are written and synchronised, so a run that is half-written is never seen.

use alloc::{string::String, vec::Vec};
use core::{fmt, ops::Range};

use millstream_data::hash;
use millstream_state::{Kind, Owned, StateSpec};
use millstream_storage::FileId;

use crate::{
    bytes::Reader,
    run::{IndexError, RunFile},
    sum::Sum,
};

const MAGIC: [u8; 4] = *b"MSLM";
const VERSION: u16 = 4;
/// Manifests before this version list files whose indexes have no pages, and say nothing of heads. Those of the
/// oldest list files whose blocks are not compressed.
const VERSION_WITH_HEADS: u16 = 4;
const VERSION_OLDEST: u16 = 2;

/// Which files are the state of a snapshot.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The key groups that it has.
    pub owned: Owned,
    /// The states, by number.
    pub states: Vec<StateSpec>,
    /// The runs of each layer, in the order of their ranks; the newest layer first.
    pub layers: Vec<Vec<RunFile>>,
    /// Runs that are older than all layers, in the order of their ranks.
    pub bottom: Vec<RunFile>,
}

impl Manifest {
    /// The files that may have something of these key groups. One may come several times.
    pub fn files(&self, groups: Range<u32>) -> impl Iterator<Item = FileId> {
        let first = u64::from(groups.start.max(self.owned.first)) << 48;
        let end = u64::from(groups.end.min(self.owned.end)) << 48;
        let runs = self.layers.iter().flatten().chain(&self.bottom);
        let is_seen = move |run: &&RunFile| run.first_rank.max(first) < run.end_rank.min(end);
        runs.filter(is_seen).map(|run| run.file)
    }

    /// As bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&hash::ID.to_le_bytes());
        for number in [self.owned.max_parallelism, self.owned.first, self.owned.end] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&(self.states.len() as u16).to_le_bytes());
        out.extend_from_slice(&(self.layers.len() as u32).to_le_bytes());
        for state in &self.states {
            let widths = [state.key, state.namespace, state.value];
            out.push(match state.kind {
                Kind::Value => 0,
                Kind::List => 1,
                Kind::Map => 2,
            });
            let is_fixed = |bit: usize| u8::from(widths[bit].is_some()) << bit;
            out.push(is_fixed(0) | is_fixed(1) | is_fixed(2));
            for width in widths {
                out.extend_from_slice(&(width.unwrap_or(0) as u32).to_le_bytes());
            }
            out.extend_from_slice(&(state.name.len() as u16).to_le_bytes());
            out.extend_from_slice(state.name.as_bytes());
        }
        for runs in self.layers.iter().chain([&self.bottom]) {
            out.extend_from_slice(&(runs.len() as u32).to_le_bytes());
            runs.iter().for_each(|run| put_run(run, &mut out));
        }
        let sum = Sum::of(&out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads a manifest; everything is checked.
    ///
    /// # Errors
    /// [`ManifestError`] says where the bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Some((summed, sum)) = bytes.split_last_chunk::<8>() else {
            return Err(ManifestError { at: 0, what: "a manifest is longer" });
        };
        if Sum::of(summed) != u64::from_le_bytes(*sum) {
            let what = "the checksum is not that of the bytes";
            return Err(ManifestError { at: summed.len(), what });
        }
        read(summed).map_err(|IndexError { at, what }| ManifestError { at, what })
    }
}

fn put_run(run: &RunFile, out: &mut Vec<u8>) {
    for number in [run.file.0, run.length, run.checksum, run.index_at] {
        out.extend_from_slice(&number.to_le_bytes());
    }
    out.extend_from_slice(&run.index_bytes.to_le_bytes());
    out.extend_from_slice(&run.head_bytes.to_le_bytes());
    out.extend_from_slice(&run.index_sum.to_le_bytes());
    out.extend_from_slice(&run.hiding.to_le_bytes());
    out.extend_from_slice(&run.first_rank.to_le_bytes());
    out.extend_from_slice(&run.end_rank.to_le_bytes());
}

fn read(bytes: &[u8]) -> Result<Manifest, IndexError> {
    let mut reader = Reader::new(bytes);
    let magic: [u8; 4] = reader.array()?;
    reader.check(magic == MAGIC, "no manifest begins like this")?;
    let version = reader.u16()?;
    let is_known = (VERSION_OLDEST..=VERSION).contains(&version);
    reader.check(is_known, "it has a version that this program does not read")?;
    let id = reader.u16()?;
    reader.check(id == hash::ID, "its keys have another hash")?;
    let max_parallelism = reader.u32()?;
    let owned = Owned { first: reader.u32()?, end: reader.u32()?, max_parallelism };
    reader
        .check(owned.first <= owned.end && owned.end <= max_parallelism, "it has no key groups")?;
    let (states, layers) = (reader.u16()?, reader.u32()?);
    let mut manifest =
        Manifest { owned, states: Vec::new(), layers: Vec::new(), bottom: Vec::new() };
    for _ in 0..states {
        let kind = match reader.array::<1>()?[0] {
            0 => Kind::Value,
            1 => Kind::List,
            2 => Kind::Map,
            _ => return Err(IndexError { at: reader.at, what: "a state has an unknown kind" }),
        };
        let fixed = reader.array::<1>()?[0];
        let mut widths = [None; 3];
        for (bit, width) in widths.iter_mut().enumerate() {
            let bytes = reader.u32()? as usize;
            *width = (fixed >> bit & 1 == 1).then_some(bytes);
        }
        let length = reader.u16()?;
        let name = core::str::from_utf8(reader.take(usize::from(length))?);
        let what = "a state has a name that is no text";
        let name = String::from(name.map_err(|_| IndexError { at: reader.at, what })?);
        let [key, namespace, value] = widths;
        manifest.states.push(StateSpec { name, kind, key, namespace, value });
    }
    for _ in 0..layers {
        manifest.layers.push(read_runs(&mut reader, version)?);
    }
    manifest.bottom = read_runs(&mut reader, version)?;
    reader.check(reader.left() == 0, "there are bytes behind the last run")?;
    Ok(manifest)
}

/// Runs side by side.
fn read_runs(reader: &mut Reader<'_>, version: u16) -> Result<Vec<RunFile>, IndexError> {
    let mut runs: Vec<RunFile> = Vec::new();
    for _ in 0..reader.u32()? {
        let run = RunFile {
            file: FileId(reader.u64()?),
            length: reader.u64()?,
            checksum: reader.u64()?,
            index_at: reader.u64()?,
            index_bytes: reader.u32()?,
            head_bytes: if version < VERSION_WITH_HEADS { 0 } else { reader.u32()? },
            index_sum: reader.u64()?,
            hiding: reader.u16()?,
            first_rank: reader.u64()?,
            end_rank: reader.u64()?,
        };
        let filter = run.index_at.checked_add(u64::from(run.index_bytes));
        let filter = filter.and_then(|filter| filter.checked_add(run.head_bytes.into()));
        let filter = filter.and_then(|filter| run.length.checked_sub(filter));
        let is_whole = filter.is_some_and(|filter| run.head_bytes > 0 || filter.is_multiple_of(8));
        reader.check(is_whole, "a run ends before its index does")?;
        let is_beside = runs.last().is_none_or(|before| before.end_rank <= run.first_rank);
        let what = "the runs of a layer are not side by side";
        reader.check(is_beside && run.first_rank < run.end_rank, what)?;
        runs.push(run);
    }
    Ok(runs)
}

/// Bytes that are no manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// Where, from 0.
    pub at: usize,
    /// What is wrong.
    pub what: &'static str,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the manifest of the state is damaged at byte {}: {}; restore an older checkpoint",
            self.at, self.what
        )
    }
}

impl core::error::Error for ManifestError {}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn manifest() -> Manifest {
        let spec = |name: &str, kind, key| StateSpec {
            name: name.into(),
            kind,
            key,
            namespace: Some(0),
            value: None,
        };
        let run = RunFile {
            file: FileId(7),
            length: 1000,
            checksum: 2,
            index_at: 800,
            index_bytes: 40,
            head_bytes: 24,
            index_sum: 3,
            hiding: 17,
            first_rank: 3 << 48,
            end_rank: 5 << 48,
        };
        let second = RunFile { file: FileId(5), first_rank: 5 << 48, end_rank: 9 << 48, ..run };
        Manifest {
            owned: Owned { first: 3, end: 9, max_parallelism: 128 },
            states: vec![spec("counts", Kind::Value, Some(8)), spec("maps", Kind::Map, None)],
            layers: vec![vec![run, second], vec![], vec![second]],
            bottom: vec![run],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = manifest().encode();
        let read = Manifest::decode(&bytes).unwrap();
        assert_eq!((read.owned, &read.layers), (manifest().owned, &manifest().layers));
        assert_eq!(read.bottom, manifest().bottom);
        assert_eq!(read.states[1].name, "maps");
        assert_eq!((read.states[0].key, read.states[1].key), (Some(8), None));
        assert_eq!(read.encode(), bytes);
    }

    #[test]
    fn runs_of_a_layer_are_side_by_side() {
        let mut overlapping = manifest();
        overlapping.layers[0][1].first_rank -= 1;
        let mut empty = manifest();
        empty.bottom[0].first_rank = empty.bottom[0].end_rank;
        for bad in [overlapping, empty] {
            let error = Manifest::decode(&bad.encode()).unwrap_err();
            assert_eq!(error.what, "the runs of a layer are not side by side");
        }
    }

    #[test]
    fn files_are_those_of_some_key_groups() {
        let files = |groups| {
            let mut files: Vec<u64> = manifest().files(groups).map(|file| file.0).collect();
            files.sort_unstable();
            files.dedup();
            files
        };
        let bottom: Vec<u64> = manifest().bottom.iter().map(|run| run.file.0).collect();
        assert!(files(3..5).contains(&7) && !files(3..5).contains(&5));
        assert!(files(5..6).contains(&5) && !files(5..6).contains(&7));
        assert!(bottom.iter().all(|file| files(0..128).contains(file)));
        assert_eq!((files(0..3), files(9..128)), (vec![], vec![]), "others have those");
    }

    #[test]
    fn each_damaged_byte_and_each_cut_is_found() {
        let good = manifest().encode();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(Manifest::decode(&bad).is_err(), "byte {at}");
            assert!(Manifest::decode(&good[..at]).is_err(), "cut at {at}");
        }
    }
}
