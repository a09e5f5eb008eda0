//! Writing a run: entries in order become blocks, blocks become writes.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::ops::Range;

use millstream_memory::Segment;
use millstream_state::{Lease, StateError};
use millstream_storage::{FileId, Request};

use crate::{
    block::{BLOCK_MAX, BlockBuilder, Op},
    budget::Staging,
    compression::{Codec, Compression, Format, Packer},
    filter::{Filter, fingerprint},
    hiding::Hiding,
    name::{Order, split, whole},
    run::{Index, Page, RunFile, Span, encode_head, filter_pages, put_page, span_bytes},
    sum::Sum,
    transfers::{Ticket, Transfers},
};

/// Writes in flight of one writer.
const WRITES_MAX: usize = 8;

/// An entry, as sources give it and writers take it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry<'a> {
    pub(crate) rank: u64,
    pub(crate) name: &'a [u8],
    pub(crate) piece: u32,
    pub(crate) op: Op,
    pub(crate) value: &'a [u8],
}

/// What makes blocks what is stored.
#[derive(Debug, Default)]
pub(crate) struct Press {
    pub(crate) packer: Packer,
    /// Zstandard, if it is needed and paid for.
    pub(crate) zstd: Option<Arc<dyn Compression>>,
}

/// A run that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    number: u32,
    codec: Codec,
    file: FileId,
    phase: Phase,
    is_created: bool,
    writes: usize,
    segment: Option<Segment>,
    used: usize,
    /// Bytes in front of the segment.
    offset: u64,
    block: BlockBuilder,
    state: Option<u16>,
    /// Rank of the last entry, and its name if its block was ended.
    last_rank: u64,
    ended: Vec<u8>,
    /// The last key and namespace.
    whole: Vec<u8>,
    index: Index,
    filter: Filter,
    hiding: Hiding,
    sum: Sum,
    index_sum: u64,
    index_at: u64,
    index_bytes: u32,
    head_bytes: u32,
    /// A page before it is stored.
    page: Vec<u8>,
}

#[derive(Debug)]
enum Phase {
    Blocks,
    /// Pages of the index: the first block of the next one.
    Index {
        block: u32,
    },
    /// Pages of the filter: the next one.
    Filter {
        page: u32,
    },
    /// The head, and how much of it was written.
    Head {
        bytes: Vec<u8>,
        at: usize,
    },
    /// Waits for the writes, then for the file to be durable.
    Ending,
    Syncing,
    Done,
}

impl Writer {
    /// Begins a file whose blocks are compressed, with a filter for some keys, of which it counts those that
    /// older runs have.
    pub(crate) fn new(
        file: FileId,
        codec: Codec,
        filter: Filter,
        hiding: Hiding,
        transfers: &mut Transfers,
    ) -> Self {
        let format = match codec {
            Codec::Plain | Codec::Lz4 => Format::Tagged,
            Codec::Zstd => Format::WithZstd,
        };
        let number = transfers.number();
        transfers.start(Ticket::Create { writer: number }, Request::Create { file });
        Self {
            number,
            codec,
            file,
            phase: Phase::Blocks,
            is_created: false,
            writes: 0,
            segment: None,
            used: 0,
            offset: 0,
            block: BlockBuilder::default(),
            state: None,
            last_rank: 0,
            ended: Vec::new(),
            whole: Vec::new(),
            index: Index { format, ..Index::default() },
            filter,
            hiding,
            sum: Sum::default(),
            index_sum: 0,
            index_at: 0,
            index_bytes: 0,
            head_bytes: 0,
            page: Vec::new(),
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset + self.used as u64
    }

    /// Whether an entry may be [pushed](Self::push), or a part of the index written.
    pub(crate) fn is_ready<L: Lease>(
        &mut self,
        staging: &mut Staging<L>,
        transfers: &mut Transfers,
    ) -> bool {
        if let Some(segment) = &self.segment {
            if segment.len() - self.used >= BLOCK_MAX {
                return true;
            }
            if self.writes >= WRITES_MAX {
                return false;
            }
            self.flush(transfers);
        }
        if !self.is_created {
            return false;
        }
        self.segment = staging.take();
        self.segment.is_some()
    }

    /// Adds an entry of a state behind all others. The writer must be [ready](Self::is_ready).
    ///
    /// # Errors
    /// [`StateError::DamagedFile`] if the entry is not behind the last one: what was merged is not
    /// sorted.
    pub(crate) fn push(
        &mut self,
        state: u16,
        order: &Order,
        entry: &Entry<'_>,
        press: &mut Press,
    ) -> Result<(), StateError> {
        if self.state != Some(state) {
            self.end_block(press);
            let first = self.index.ends.len() as u32;
            self.index.sections.push((state, first..first));
            (self.state, self.last_rank) = (Some(state), 0);
            self.whole.clear();
            self.ended.clear();
        } else if !self.block.has_room(entry.name, entry.value) {
            self.ended.clear();
            self.ended.extend_from_slice(self.block.last_name());
            self.end_block(press);
        }
        if entry.rank < self.last_rank {
            let (file, offset) = (self.file.0, self.bytes());
            let what = "entries that were merged into it are not in order";
            return Err(StateError::DamagedFile { file, offset, what });
        }
        if self.block.is_empty() && !self.ended.is_empty() && entry.rank == self.last_rank {
            let block = self.index.ends.len() as u32 - 1;
            self.index.span_bytes += span_bytes(self.ended.len());
            self.index.spans.push(Span { block, name: self.ended.as_slice().into() });
        }
        self.block.push(entry.name, entry.piece, entry.op, entry.value);
        self.last_rank = entry.rank;
        let name = whole(entry.name);
        if name != self.whole {
            self.whole.clear();
            self.whole.extend_from_slice(name);
            self.index.entries += 1;
            if let Some(parts) = split(name) {
                let hash = order.hash(parts.key);
                let print = fingerprint(state, hash, parts.namespace);
                self.filter.add(print);
                self.hiding.ask(entry.rank, print, entry.op);
            }
        }
        Ok(())
    }

    fn end_block(&mut self, press: &mut Press) {
        if self.block.is_empty() {
            return;
        }
        let Press { packer, zstd } = press;
        let bytes = packer.pack(self.codec, zstd.as_deref(), self.block.finish());
        put(&mut self.segment, &mut self.used, &mut self.sum, bytes);
        self.block.clear();
        self.index.ends.push(self.offset + self.used as u64);
        self.index.last.push(self.last_rank);
        if let Some(section) = self.index.sections.last_mut() {
            section.1.end += 1;
        }
    }

    fn flush(&mut self, transfers: &mut Transfers) {
        let Some(segment) = self.segment.take() else { return };
        let data = segment.freeze(self.used);
        self.writes += 1;
        transfers.write(self.number, self.file, self.offset, data);
        self.offset += self.used as u64;
        self.used = 0;
    }

    /// There are no more entries; older runs have nothing of the namespaces `cleared`. The writer must
    /// be [ready](Self::is_ready).
    pub(crate) fn finish(&mut self, cleared: Vec<(u16, Box<[u8]>)>, press: &mut Press) {
        self.end_block(press);
        self.index_at = self.bytes();
        self.index.cleared = cleared;
        self.index.lines = self.filter.lines();
        self.phase = Phase::Index { block: 0 };
    }

    /// Goes on after [`finish`](Self::finish).
    pub(crate) fn go_on<L: Lease>(
        &mut self,
        staging: &mut Staging<L>,
        transfers: &mut Transfers,
        press: &mut Press,
    ) {
        while matches!(self.phase, Phase::Index { .. } | Phase::Filter { .. } | Phase::Head { .. })
        {
            if !self.is_ready(staging, transfers) {
                return;
            }
            self.write_page(press, transfers);
        }
        if matches!(self.phase, Phase::Ending) && self.writes == 0 {
            let request = Request::Sync { file: self.file };
            transfers.start(Ticket::Sync { writer: self.number }, request);
            self.phase = Phase::Syncing;
        }
    }

    /// Whether the file is complete and durable.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Puts the next page of the index or the filter, or a part of the head, into the segment.
    fn write_page(&mut self, press: &mut Press, transfers: &mut Transfers) {
        let Self { index, filter, page, segment, used, sum, .. } = self;
        match &mut self.phase {
            Phase::Index { block } if *block < index.blocks_in_all() => {
                let known = put_page(index, *block, page);
                let stored = press.packer.pack(Codec::Plain, None, page);
                put(segment, used, sum, stored);
                self.index_bytes += stored.len() as u32;
                *block = known.end_block;
                index.pages.push(Page { page_end: self.index_bytes, ..known });
            }
            Phase::Index { .. } => self.phase = Phase::Filter { page: 0 },
            Phase::Filter { page: number } if *number < filter_pages(index.lines) => {
                page.clear();
                filter.put_page(*number, page);
                put(segment, used, sum, press.packer.pack(Codec::Plain, None, page));
                *number += 1;
            }
            Phase::Filter { .. } => {
                let mut bytes = Vec::new();
                encode_head(index, &mut bytes);
                self.head_bytes = bytes.len() as u32;
                self.index_sum = Sum::of(&bytes);
                self.phase = Phase::Head { bytes, at: 0 };
            }
            Phase::Head { bytes, at } => {
                let room = segment.as_ref().map_or(0, |segment| segment.len() - *used);
                let rest = bytes.get(*at..).unwrap_or(&[]);
                let part = rest.get(..room).unwrap_or(rest);
                put(segment, used, sum, part);
                *at += part.len();
                if *at == bytes.len() {
                    self.phase = Phase::Ending;
                    self.flush(transfers);
                }
            }
            Phase::Blocks | Phase::Ending | Phase::Syncing | Phase::Done => {}
        }
    }

    /// A request of this writer has completed.
    pub(crate) fn landed(&mut self, ticket: Ticket) {
        match ticket {
            Ticket::Create { .. } => self.is_created = true,
            Ticket::Write { .. } => self.writes = self.writes.saturating_sub(1),
            Ticket::Sync { .. } => self.phase = Phase::Done,
            _ => {}
        }
    }

    /// The run, when it is done: of entries with these ranks.
    pub(crate) fn into_parts(self, ranks: Range<u64>) -> (RunFile, Index, Filter) {
        let place = RunFile {
            file: self.file,
            length: self.offset,
            checksum: self.sum.value(),
            index_at: self.index_at,
            index_bytes: self.index_bytes,
            head_bytes: self.head_bytes,
            index_sum: self.index_sum,
            hiding: self.hiding.per_mille(),
            first_rank: ranks.start,
            end_rank: ranks.end,
        };
        (place, self.index, self.filter)
    }
}

/// Puts bytes into a segment that has room for them.
fn put(segment: &mut Option<Segment>, used: &mut usize, sum: &mut Sum, bytes: &[u8]) {
    if let Some(segment) = segment
        && let Some(place) = segment.get_mut(*used..*used + bytes.len())
    {
        place.copy_from_slice(bytes);
    }
    sum.add(bytes);
    *used += bytes.len();
}
