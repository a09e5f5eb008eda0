//! A keyed chain on a bench: rows and watermarks go in, rows and watermarks come out, and its state
//! can be taken out and put into another. After every page that is full the chain is held back, so
//! that it has to stop in the middle of whatever it does.

extern crate std;

use alloc::{boxed::Box, sync::Arc, vec, vec::Vec};
use core::marker::PhantomData;

use millstream_data::{
    Key, Value,
    hash::SEED,
    page::{PageBuilder, Shape, Sizing, ValidPage},
    value::Record,
};
use millstream_exchange::event::{Event, Purpose, StreamStatus};
use millstream_memory::{ManagedMemory, Segment, managed::Owner};
use millstream_segments::HeapArena;
use millstream_state::{KeyGroups, format::ReadChunk};

use super::{
    Stage,
    rows::{RowFunction, RowFunctionChain, RowStates},
};
use crate::{
    chain::{Chain, ChainIo, Context, Lease, OpenInfo, OutputInfo, PageInfo, Signal, StateMemory},
    state::{DESCRIPTIONS, WATERMARK},
    stream::Pipeline,
    writer::{
        PartitionWriter, Single,
        run::{Division, RunWriter},
    },
};

const SEGMENT: usize = 4096;
pub(crate) const MAX_PARALLELISM: u32 = 16;

/// Segments of the state, and those of pages.
#[derive(Clone)]
struct Memory {
    memory: ManagedMemory,
    owner: Owner,
}

impl Memory {
    fn new(segments: usize) -> Self {
        let memory = ManagedMemory::new(Box::new(HeapArena::new(SEGMENT, segments).unwrap()));
        let owner = memory.open("bench").unwrap();
        Self { memory, owner }
    }
}

impl StateMemory for Memory {
    fn segment_size(&self) -> usize {
        SEGMENT
    }

    fn lease(&self) -> Option<Segment> {
        self.memory.allocate_pages(self.owner, 1).ok()?.pop()
    }

    fn reserve(&self, bytes: u64) -> bool {
        self.memory.reserve(self.owner, bytes).is_ok()
    }

    fn release(&self, bytes: u64) {
        self.memory.release_reservation(self.owner, bytes).unwrap();
    }
}

/// What came out of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Out<T> {
    Row(T),
    Watermark(i64),
    Idle,
    Active,
}

struct Io<T> {
    pages: Memory,
    out: Vec<Out<T>>,
    /// The processing time, and when the chain wants to be told of it.
    time: i64,
    wake_at: Option<i64>,
}

impl<T: Value + Record> ChainIo for Io<T> {
    fn now(&self) -> u64 {
        self.time as u64 * 1000
    }

    fn time(&self) -> i64 {
        self.time
    }

    fn wake_at(&mut self, time: i64) {
        self.wake_at = Some(self.wake_at.map_or(time, |earlier| earlier.min(time)));
    }

    fn lease(&mut self, _: u16, _: u32) -> Result<Lease, crate::TaskError> {
        Ok(Lease { segment: self.pages.lease().unwrap(), page_bytes: u32::MAX })
    }

    fn lease_jumbo(&mut self, _: u16, _: usize) -> Result<Segment, crate::TaskError> {
        Err(crate::TaskError::new("no row of a test is so large"))
    }

    fn submit(&mut self, _: u16, _: u32, segment: Segment, page: PageInfo) {
        let page = ValidPage::trusted(&segment[..page.length as usize]).unwrap();
        let columns = T::bind(&page);
        let rows = (0..page.rows()).map(|row| Out::Row(T::own(T::at(&columns, row))));
        self.out.extend(rows);
    }

    fn event(&mut self, _: u16, _: u32, event: Event) {
        self.out.extend(match event {
            Event::Watermark(time) => Some(Out::Watermark(time)),
            Event::Status(StreamStatus::Idle) => Some(Out::Idle),
            Event::Status(StreamStatus::Active) => Some(Out::Active),
            _ => None,
        });
    }

    fn ready(&mut self) -> bool {
        false
    }

    fn wants_flush(&mut self, _: u16, _: u32) -> bool {
        true
    }
}

/// A chain that reads rows of `T` and emits rows of `U`.
pub(crate) struct Bench<T, U> {
    chain: Box<dyn Chain>,
    io: Io<U>,
    /// How often it was held back.
    pub(crate) stops: usize,
    of: PhantomData<fn(T)>,
}

impl<T: Value + Record, U: Value + Record> Bench<T, U> {
    /// One subtask of a chain, with memory for so many segments of state.
    pub(crate) fn open<P>(head: &P, subtask: u32, parallelism: u32, segments: usize) -> Self
    where
        P: Pipeline<Out = U>,
        PartitionWriter<U, Single>: Stage<U>,
    {
        Self::made(subtask, parallelism, segments, |info| {
            let writer = PartitionWriter::<U, Single>::new(&Single, 0, info).unwrap();
            head.chain(writer, info).unwrap()
        })
    }

    /// One subtask of a function on rows, whose columns are those of `T` and `U`.
    pub(crate) fn of_rows<F: RowFunction>(
        subtask: u32,
        parallelism: u32,
        make: impl FnOnce(&mut RowStates) -> F,
    ) -> Self {
        Self::made(subtask, parallelism, 600, |info| {
            let writer = RunWriter::new(&U::schema(), &Division::None, 0, info).unwrap();
            let mut states = RowStates::open(info).unwrap();
            let function = make(&mut states);
            Box::new(RowFunctionChain::new(function, states, writer))
        })
    }

    /// One subtask of a chain that writes rows with the columns of `U`.
    pub(crate) fn of_chain(
        subtask: u32,
        parallelism: u32,
        make: impl FnOnce(&OpenInfo, RunWriter) -> Box<dyn Chain>,
    ) -> Self {
        Self::made(subtask, parallelism, 600, |info| {
            let writer = RunWriter::new(&U::schema(), &Division::None, 0, info).unwrap();
            make(info, writer)
        })
    }

    fn made(
        subtask: u32,
        parallelism: u32,
        segments: usize,
        make: impl FnOnce(&OpenInfo) -> Box<dyn Chain>,
    ) -> Self {
        let info = OpenInfo {
            subtask,
            parallelism,
            max_parallelism: MAX_PARALLELISM,
            state: Some(Arc::new(Memory::new(segments))),
            segment_size: SEGMENT as u32,
            outputs: vec![OutputInfo { subpartitions: 1, max_parallelism: 1, compact: false }],
        };
        let chain = make(&info);
        let io = Io { pages: Memory::new(64), out: Vec::new(), time: 0, wake_at: Some(0) };
        Self { chain, io, stops: 0, of: PhantomData }
    }

    fn call<R>(&mut self, act: impl FnOnce(&mut dyn Chain, &mut Context<'_>) -> R) -> R {
        let mut context = Context::new(&mut self.io);
        let answer = act(&mut *self.chain, &mut context);
        self.stops += usize::from(context.is_blocked());
        assert_eq!(context.take_error(), None);
        answer
    }

    pub(crate) fn push(&mut self, rows: &[T]) {
        self.push_to(0, rows);
    }

    /// Gives rows to an input of a chain that reads more than one.
    pub(crate) fn push_to<R: Value + Record>(&mut self, input: u16, rows: &[R]) {
        self.push_while(input, rows, |_| true);
    }

    /// Gives it rows until it is held back.
    pub(crate) fn push_until_held_back(&mut self, rows: &[T]) {
        let stops = self.stops;
        self.push_while(0, rows, |bench| bench.stops == stops);
    }

    fn push_while<R: Value + Record>(
        &mut self,
        input: u16,
        rows: &[R],
        goes_on: impl Fn(&Self) -> bool,
    ) {
        let sizing = Sizing::new(Arc::new(Shape::new(&R::schema())), SEGMENT).unwrap();
        for rows in rows.chunks(50) {
            let segment = self.io.pages.lease().unwrap();
            let mut page = PageBuilder::<R, _>::new(segment, sizing.shape(), sizing.layout());
            rows.iter().for_each(|row| page.append(row.view()).unwrap());
            let sealed = page.seal(sizing.shape(), false);
            let page = ValidPage::trusted(&sealed.buffer[..sealed.length]).unwrap();
            let mut row = 0;
            while row < page.rows() && goes_on(self) {
                row = self.call(|chain, context| chain.process(input, &page, row, context));
            }
        }
    }

    pub(crate) fn watermark(&mut self, time: i64) {
        while !self.call(|chain, context| chain.signal(Signal::Watermark(time), context)) {}
        self.call(|chain, context| chain.flush(true, context));
    }

    /// The input has ended.
    pub(crate) fn finish(&mut self) {
        while !self.call(|chain, context| chain.finish(context)) {}
    }

    /// A watermark that comes while pages are open.
    pub(crate) fn watermark_waits(&mut self, time: i64) {
        while !self.call(|chain, context| chain.signal(Signal::Watermark(time), context)) {}
    }

    /// The next row is behind the last watermark.
    pub(crate) fn late(&mut self) {
        while !self.call(|chain, context| chain.signal(Signal::Late, context)) {}
    }

    /// Processing time goes on to `time`; the chain is told whenever it wants to be, as by a task.
    pub(crate) fn pass(&mut self, time: i64) {
        while let Some(at) = self.io.wake_at.filter(|at| *at <= time) {
            self.io.time = self.io.time.max(at);
            self.io.wake_at = None;
            let signal = Signal::Time(self.io.time);
            while !self.call(|chain, context| chain.signal(signal, context)) {}
        }
        self.io.time = time;
    }

    /// The time is later before the chain is told anything.
    pub(crate) fn stand_still_until(&mut self, time: i64) {
        self.io.time = time;
    }

    /// What came out since last asked.
    pub(crate) fn take(&mut self) -> Vec<Out<U>> {
        self.call(|chain, context| chain.flush(true, context));
        core::mem::take(&mut self.io.out)
    }

    /// The rows that came out since last asked.
    pub(crate) fn rows(&mut self) -> Vec<U> {
        let row = |out| match out {
            Out::Row(row) => Some(row),
            _ => None,
        };
        self.take().into_iter().filter_map(row).collect()
    }

    /// Freezes the state, and gives what was frozen, without watermarks and descriptions; `meanwhile` is called
    /// before each chunk is read.
    pub(crate) fn snapshot(&mut self, meanwhile: impl FnMut(&mut Self)) -> Vec<u8> {
        without_watermarks(&self.frozen(meanwhile))
    }

    /// The same with all that is frozen.
    pub(crate) fn frozen(&mut self, mut meanwhile: impl FnMut(&mut Self)) -> Vec<u8> {
        self.chain.begin_snapshot(Purpose::Savepoint).unwrap();
        let mut chunks = Vec::new();
        meanwhile(self);
        while self.chain.next_chunk(&mut chunks).expect("a part of the state") {
            meanwhile(self);
        }
        chunks
    }

    pub(crate) fn restore(&mut self, chunks: &[u8]) {
        self.try_restore(chunks).unwrap();
    }

    pub(crate) fn try_restore(&mut self, chunks: &[u8]) -> Result<(), crate::TaskError> {
        self.chain.restore(chunks)
    }
}

/// The chunks of states: a snapshot has the watermark in every key group, and descriptions, whatever else
/// there is.
fn without_watermarks(chunks: &[u8]) -> Vec<u8> {
    let (mut states, mut offset) = (Vec::new(), 0);
    while offset < chunks.len() {
        let (chunk, next) = ReadChunk::read(chunks, offset).expect("a chunk");
        if ![WATERMARK, DESCRIPTIONS].contains(&chunk.state) {
            states.extend_from_slice(&chunks[offset..next]);
        }
        offset = next;
    }
    states
}

/// The rows that a subtask is given, by their key.
pub(crate) fn routed<T: Clone, K: Key>(
    rows: &[T],
    subtask: u32,
    parallelism: u32,
    key: impl Fn(&T) -> K,
) -> Vec<T> {
    let groups = KeyGroups::new(parallelism, MAX_PARALLELISM);
    let owned = |row: &&T| groups.owner(K::hash(key(row).view(), SEED)) == subtask;
    rows.iter().filter(owned).cloned().collect()
}
