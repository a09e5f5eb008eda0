//! Rows that the query itself has, said once.

use std::sync::Arc;

use arrow::array::RecordBatch;
use millstream_data::{page::ValidPage, types::Schema};
use millstream_dataflow::{
    Chain, Context, Environment, OpenInfo, TaskError,
    chain::{Produced, Signal},
    stream::RowStream,
    writer::run::RunWriter,
};
use millstream_exchange::event::Purpose;
use millstream_state::{
    Kind,
    description::{DESCRIPTIONS, Description, Part},
    format::{Chunk, ReadChunk},
};

use crate::calc::Written;

/// The rows of [`Rel::Values`](crate::relation::Rel::Values), of `schema`, in order: the first subtask has them
/// all.
pub(crate) fn values(env: &Environment, rows: RecordBatch, schema: Schema) -> RowStream {
    let rows = Arc::new(rows);
    env.generate_rows("values", schema, move |info, writer| {
        Ok(Box::new(Values::new(Arc::clone(&rows), info, writer)))
    })
}

/// A chain that writes rows which it has had from the beginning. How many it has written is its state, so that
/// none is written again after a failure; if the script has other rows now, those in front are passed over all
/// the same.
#[derive(Debug)]
struct Values {
    rows: Arc<RecordBatch>,
    /// How many were written.
    next: usize,
    /// The subtask.
    subtask: u32,
    frozen: Option<usize>,
    writer: RunWriter,
}

impl Values {
    fn new(rows: Arc<RecordBatch>, info: &OpenInfo, writer: RunWriter) -> Self {
        Self { rows, next: 0, subtask: info.subtask, frozen: None, writer }
    }
}

/// What a snapshot has: how many rows were written.
fn description() -> Description {
    Description {
        name: "rows-made".into(),
        kind: Kind::Value,
        key: Vec::new(),
        namespace: Vec::new(),
        map_key: Vec::new(),
        value: vec![Part::Opaque(Some(8))],
    }
}

impl Chain for Values {
    fn process(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        _start: usize,
        context: &mut Context<'_>,
    ) -> usize {
        context.fail(TaskError::new("a page arrived at rows that have no input"));
        page.rows()
    }

    fn produce(&mut self, rows: usize, context: &mut Context<'_>) -> Produced {
        let all = if self.subtask == 0 { self.rows.num_rows() } else { 0 };
        if self.next >= all {
            return Produced::Finished;
        }
        let Some(run) = Written::of(&self.rows) else {
            context.fail(TaskError::new("the rows of VALUES are of a type that is not written"));
            return Produced::Finished;
        };
        let end = all.min(self.next.saturating_add(rows.max(1)));
        self.next = self.writer.write(&run, self.next..end, context);
        if self.next < all { Produced::More } else { Produced::Finished }
    }

    fn finish(&mut self, context: &mut Context<'_>) -> bool {
        !context.is_blocked()
    }

    fn signal(&mut self, signal: Signal, context: &mut Context<'_>) -> bool {
        self.writer.signal(signal, context);
        true
    }

    fn flush(&mut self, force: bool, context: &mut Context<'_>) {
        self.writer.flush(force, context);
    }

    fn begin_snapshot(&mut self, _purpose: Purpose) -> Result<(), TaskError> {
        self.frozen = (self.subtask == 0).then_some(self.next);
        Ok(())
    }

    fn next_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, TaskError> {
        if let Some(next) = self.frozen.take() {
            let mut chunk = Chunk::begin(DESCRIPTIONS, 0, out);
            description().write(0, &mut chunk);
            let mut chunk = chunk.next(0, 0);
            chunk.whole(&[], &[], &(next as u64).to_le_bytes());
            chunk.end();
        }
        Ok(false)
    }

    fn abort_snapshot(&mut self) {
        self.frozen = None;
    }

    fn restore(&mut self, chunks: &[u8]) -> Result<(), TaskError> {
        let damaged = |what: &dyn std::fmt::Display| {
            TaskError::new(format!("how many rows of VALUES were written cannot be read: {what}"))
        };
        let mut offset = 0;
        while offset < chunks.len() {
            let (chunk, next) = ReadChunk::read(chunks, offset).map_err(|error| damaged(&error))?;
            offset = next;
            if chunk.state == DESCRIPTIONS {
                continue;
            }
            for entry in chunk.entries() {
                let next = entry.value.try_into().map(u64::from_le_bytes);
                let next = next.map_err(|error| damaged(&error))?;
                self.next = usize::try_from(next).unwrap_or(usize::MAX);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use millstream_data::{
        page::Shape,
        types::{DataType, Field},
    };
    use millstream_dataflow::{
        ChainIo, Lease,
        chain::{OutputInfo, PageInfo},
        writer::run::Division,
    };
    use millstream_exchange::event::Event;
    use millstream_memory::{ManagedMemory, Segment, managed::Owner};
    use millstream_segments::HeapArena;

    use super::*;

    const SEGMENT: usize = 4096;
    const ROWS: i64 = 1000;

    fn schema() -> Schema {
        Schema::new(vec![Field::new("n", DataType::Int64)])
    }

    /// Takes pages, and is out of room behind each.
    struct Io {
        memory: ManagedMemory,
        owner: Owner,
        rows: Vec<i64>,
        ready: bool,
    }

    impl Io {
        fn new() -> Self {
            let memory = ManagedMemory::new(Box::new(HeapArena::new(SEGMENT, 4).unwrap()));
            let owner = memory.open("values").unwrap();
            Self { memory, owner, rows: Vec::new(), ready: true }
        }
    }

    impl ChainIo for Io {
        fn now(&self) -> u64 {
            0
        }

        fn time(&self) -> i64 {
            0
        }

        fn wake_at(&mut self, _time: i64) {}

        fn lease(&mut self, _output: u16, _subpartition: u32) -> Result<Lease, TaskError> {
            let segment = self.memory.allocate_pages(self.owner, 1).unwrap().pop().unwrap();
            Ok(Lease { segment, page_bytes: SEGMENT as u32 })
        }

        fn lease_jumbo(&mut self, _output: u16, _bytes: usize) -> Result<Segment, TaskError> {
            Err(TaskError::new("no row is that large"))
        }

        fn submit(&mut self, _output: u16, _subpartition: u32, segment: Segment, info: PageInfo) {
            let shape = Shape::new(&schema());
            let page = ValidPage::validate(&segment[..info.length as usize], &shape).unwrap();
            self.rows.extend(page.column(0).fixed::<i64>());
            self.ready = false;
        }

        fn event(&mut self, _output: u16, _subpartition: u32, _event: Event) {}

        fn ready(&mut self) -> bool {
            self.ready
        }

        fn wants_flush(&mut self, _output: u16, _subpartition: u32) -> bool {
            true
        }
    }

    fn chain(subtask: u32) -> Values {
        let outputs = vec![OutputInfo { subpartitions: 1, max_parallelism: 16, compact: false }];
        let (parallelism, segment_size) = (2, SEGMENT as u32);
        let info = OpenInfo {
            subtask,
            parallelism,
            max_parallelism: 16,
            state: None,
            segment_size,
            outputs,
        };
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..ROWS));
        let rows = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
        let writer = RunWriter::new(&schema(), &Division::None, 0, &info).unwrap();
        Values::new(Arc::new(rows), &info, writer)
    }

    /// Lets a chain go on until it is held back, or done.
    fn go_on(chain: &mut Values, io: &mut Io) -> Produced {
        io.ready = true;
        let mut context = Context::new(io);
        let produced = chain.produce(usize::MAX, &mut context);
        chain.flush(true, &mut context);
        produced
    }

    #[test]
    fn the_first_subtask_says_each_row_once_also_after_a_restore() {
        let (mut io, mut first) = (Io::new(), chain(0));
        assert_eq!(go_on(&mut first, &mut io), Produced::More, "a page has no room for all");
        let (written, mut snapshot) = (io.rows.len(), Vec::new());
        assert!(0 < written && written < ROWS as usize, "{written}");
        first.begin_snapshot(Purpose::Checkpoint).unwrap();
        assert!(!first.next_chunk(&mut snapshot).unwrap());
        let mut restored = chain(0);
        restored.restore(&snapshot).unwrap();
        while go_on(&mut restored, &mut io) != Produced::Finished {}
        assert_eq!(io.rows, (0..ROWS).collect::<Vec<_>>());
        // And all of them were said now.
        restored.begin_snapshot(Purpose::Checkpoint).unwrap();
        let mut snapshot = Vec::new();
        restored.next_chunk(&mut snapshot).unwrap();
        let (mut io, mut done) = (Io::new(), chain(0));
        done.restore(&snapshot).unwrap();
        assert_eq!((go_on(&mut done, &mut io), io.rows.len()), (Produced::Finished, 0));
    }

    #[test]
    fn the_other_subtasks_say_nothing() {
        let (mut io, mut second) = (Io::new(), chain(1));
        assert_eq!((go_on(&mut second, &mut io), io.rows.len()), (Produced::Finished, 0));
        let mut snapshot = Vec::new();
        second.begin_snapshot(Purpose::Checkpoint).unwrap();
        second.next_chunk(&mut snapshot).unwrap();
        assert!(snapshot.is_empty(), "its position would be taken for that of the first");
    }
}
