//! Snapshots without what expired.

use alloc::vec::Vec;

use super::Ttl;
use crate::{
    Kind, StateSpec,
    format::{self, Chunk, FormatError, ReadChunk, ReadEntry},
    list,
};

/// Copies chunks of a snapshot to `out` without what has expired at `now`. `living` tells what a
/// state of the snapshot was registered as and its time to live, `None` if it has none.
///
/// # Errors
/// [`FormatError`] if these are no chunks; what is in front of the damage was copied.
pub fn clean_chunks<'s>(
    chunks: &[u8],
    living: impl Fn(u16) -> Option<(&'s StateSpec, Ttl)>,
    now: i64,
    out: &mut Vec<u8>,
) -> Result<(), FormatError> {
    let mut offset = 0;
    while offset < chunks.len() {
        let (chunk, next) = ReadChunk::read(chunks, offset)?;
        match living(chunk.state) {
            None => out.extend_from_slice(chunks.get(offset..next).unwrap_or(&[])),
            Some((spec, ttl)) => clean_chunk(&chunk, spec, ttl, now, out),
        }
        offset = next;
    }
    Ok(())
}

fn clean_chunk(chunk: &ReadChunk<'_>, spec: &StateSpec, ttl: Ttl, now: i64, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut clean = Chunk::begin(chunk.state, chunk.group, out);
    let mut is_empty = true;
    for ReadEntry { key, namespace, value } in chunk.entries() {
        let lives = |stamped: &[u8]| !ttl.is_expired(stamped, now);
        let any = match spec.kind {
            Kind::Value => lives(value),
            Kind::List => list::elements(value, spec.value).any(lives),
            Kind::Map => format::map_entries(value).flatten().any(|(_, value)| lives(value)),
        };
        if !any {
            continue;
        }
        is_empty = false;
        clean.entry(key, namespace);
        match spec.kind {
            Kind::Value => clean.value(value),
            Kind::List => {
                for element in list::elements(value, spec.value).filter(|e| lives(e)) {
                    if spec.value.is_none() {
                        clean.value(&(element.len() as u32).to_le_bytes());
                    }
                    clean.value(element);
                }
            }
            Kind::Map => {
                for (map_key, value) in format::map_entries(value).flatten() {
                    if lives(value) {
                        clean.map_entry(map_key, value.len());
                        clean.value(value);
                    }
                }
            }
        }
    }
    clean.end();
    if is_empty {
        out.truncate(begin);
    }
}
