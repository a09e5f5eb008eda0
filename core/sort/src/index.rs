//! The index, and how it is sorted.
//!
//! Entries are distributed over lists of segments by some bits of a key word, the highest that
//! differ; then each list, in order, by the next bits. A list of one segment is sorted at once: a
//! *leaf*. So leaves come out in order, one after another, and whoever takes them decides when the
//! next step is done.

mod leaf;
mod partition;
mod ties;

use alloc::vec::Vec;

use millstream_memory::Segment;

use crate::{
    area::Area,
    budget::{Budget, Lease},
    format::{Entry, Format},
};
use partition::{Combiner, Partition};
use ties::Ties;

/// Entries in segments, all of them full but the last.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    segments: Vec<Segment>,
    entries: usize,
}

/// A segment of entries in order, and how many of them.
#[derive(Debug)]
pub(crate) struct Leaf {
    pub(crate) segment: Segment,
    pub(crate) entries: usize,
}

impl Leaf {
    /// The entries.
    pub(crate) fn entries<E: Entry>(&self) -> &[E] {
        cells(&self.segment).get(..self.entries).unwrap_or(&[])
    }
}

/// Entries that fit into a segment of `bytes`.
pub(crate) fn capacity<E>(bytes: usize) -> usize {
    bytes / size_of::<E>()
}

fn cells<E: Entry>(segment: &Segment) -> &[E] {
    bytemuck::cast_slice(&segment[..capacity::<E>(segment.len()) * size_of::<E>()])
}

fn cells_mut<E: Entry>(segment: &mut Segment) -> &mut [E] {
    let bytes = capacity::<E>(segment.len()) * size_of::<E>();
    bytemuck::cast_slice_mut(&mut segment[..bytes])
}

impl Bucket {
    /// Appends an entry. `false` if it needs another segment.
    #[inline]
    fn push<E: Entry>(&mut self, entry: &E, capacity: usize) -> bool {
        let used = self.entries % capacity;
        if used == 0 && self.segments.len() * capacity == self.entries {
            return false;
        }
        let at = used * size_of::<E>();
        if let Some(segment) = self.segments.last_mut() {
            segment[at..at + size_of::<E>()].copy_from_slice(bytemuck::bytes_of(entry));
            self.entries += 1;
        }
        true
    }

    /// The entries of each segment.
    fn slices<E: Entry>(&self) -> impl Iterator<Item = &[E]> {
        let mut left = self.entries;
        self.segments.iter().map(move |segment| {
            let cells = cells(segment);
            let cells = &cells[..left.min(cells.len())];
            left -= cells.len();
            cells
        })
    }
}

/// The entries of all records, being collected.
#[derive(Debug)]
pub(crate) struct Index<E> {
    bucket: Bucket,
    first: Option<E>,
    /// For each key word, the bits in which entries differ.
    varying: [u64; WORDS_MAX],
}

/// Key words by which entries are distributed; those beyond are compared.
const WORDS_MAX: usize = 4;

impl<E: Entry> Index<E> {
    pub(crate) fn new() -> Self {
        Self { bucket: Bucket::default(), first: None, varying: [0; WORDS_MAX] }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bucket.entries == 0
    }

    /// Appends an entry. `false` if it needs another segment.
    #[inline]
    pub(crate) fn push(&mut self, entry: &E, key_words: usize, capacity: usize) -> bool {
        if !self.bucket.push(entry, capacity) {
            return false;
        }
        let first = self.first.get_or_insert(*entry);
        for word in 0..key_words.min(WORDS_MAX) {
            self.varying[word] |= entry.word(word) ^ first.word(word);
        }
        true
    }

    pub(crate) fn grow(&mut self, segment: Segment) {
        self.bucket.segments.push(segment);
    }

    /// Takes all entries out to be sorted.
    pub(crate) fn sort<F: Format<Entry = E>>(&mut self, stable: bool) -> IndexSort<F> {
        let Self { bucket, varying, .. } = core::mem::replace(self, Self::new());
        IndexSort {
            stack: alloc::vec![bucket],
            varying: Some(varying),
            work: Work::Idle,
            combiner: Combiner::new(),
            stable,
        }
    }
}

/// An index that is being sorted.
pub(crate) struct IndexSort<F: Format> {
    /// What is not sorted yet; the last comes first.
    stack: Vec<Bucket>,
    /// What the index knows about the bits of the first bucket.
    varying: Option<[u64; WORDS_MAX]>,
    work: Work<F>,
    combiner: Combiner<F::Entry>,
    stable: bool,
}

enum Work<F: Format> {
    Idle,
    Partition(Partition),
    Ties(Ties<F>),
}

/// What a step has done.
#[derive(Debug)]
pub(crate) enum Step {
    /// Some work; there is more.
    Busy,
    /// The next entries are in order.
    Leaf(Leaf),
    /// Nothing: all entries have come out.
    Done,
}

impl<F: Format> IndexSort<F> {
    /// Does a bounded piece of work: at most a few passes over one segment, and over the key bits
    /// of one list.
    ///
    /// Needs two free segments, and uses as many as there are, but for two.
    pub(crate) fn step<L: Lease>(
        &mut self,
        format: &F,
        area: &Area,
        budget: &mut Budget<L>,
    ) -> Step {
        match &mut self.work {
            Work::Partition(partition) => {
                if partition.step(&mut self.combiner, budget) {
                    let Work::Partition(partition) = core::mem::replace(&mut self.work, Work::Idle)
                    else {
                        return Step::Busy;
                    };
                    self.stack.extend(partition.into_buckets().rev());
                }
                Step::Busy
            }
            Work::Ties(ties) => {
                let step = ties.step(format, area, budget);
                if matches!(step, Step::Done) {
                    self.work = Work::Idle;
                    return Step::Busy;
                }
                step
            }
            Work::Idle => match self.stack.pop() {
                Some(bucket) => self.begin(bucket, format, area, budget),
                None => Step::Done,
            },
        }
    }

    fn begin<L: Lease>(
        &mut self,
        bucket: Bucket,
        format: &F,
        area: &Area,
        budget: &mut Budget<L>,
    ) -> Step {
        let varying = self.varying.take();
        let capacity = capacity::<F::Entry>(budget.segment_size());
        if bucket.entries <= capacity {
            let first = bucket.segments.into_iter().next();
            let Some(segment) = first.filter(|_| bucket.entries > 0) else { return Step::Busy };
            let segment = leaf::sort(segment, bucket.entries, (format, area), self.stable, budget);
            return Step::Leaf(Leaf { segment, entries: bucket.entries });
        }
        let varying = varying.unwrap_or_else(|| varying_bits::<F>(&bucket));
        let word = varying[..F::KEY_WORDS.min(WORDS_MAX)].iter().position(|bits| *bits != 0);
        let lists = partition::lists(bucket.entries, capacity, budget.free());
        match (word, lists) {
            (Some(word), Some(lists)) => {
                self.work = Work::Partition(Partition::new(bucket, word, varying[word], lists));
            }
            _ => self.work = Work::Ties(Ties::new(bucket, self.stable)),
        }
        Step::Busy
    }
}

/// For each key word, the bits in which the entries of a bucket differ.
fn varying_bits<F: Format>(bucket: &Bucket) -> [u64; WORDS_MAX] {
    let mut varying = [0; WORDS_MAX];
    let mut first: Option<F::Entry> = None;
    for entries in bucket.slices::<F::Entry>() {
        let Some(first) = first.or(entries.first().copied()).inspect(|e| first = Some(*e)) else {
            continue;
        };
        for (word, bits) in varying[..F::KEY_WORDS.min(WORDS_MAX)].iter_mut().enumerate() {
            let first = first.word(word);
            *bits |= entries.iter().fold(0, |bits, entry| bits | (entry.word(word) ^ first));
        }
    }
    varying
}
