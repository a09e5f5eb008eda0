//! A task that writes rows, jumbo rows, watermarks and barriers to its result partition.

use std::time::Duration;

use millstream_exchange::PartitionId;
use millstream_exchange::ReaderId;
use millstream_exchange::element::{Data, Part};
use millstream_exchange::event::{Alignment, Barrier, Event, Purpose};
use millstream_exchange::partition::{ResultPartition, Wake};

use crate::memory::{Memory, Quota};
use crate::world::Context;

/// The bytes of a row: its number.
pub(crate) const ROW_BYTES: u32 = 8;

#[derive(Debug)]
pub(crate) struct Producer {
    pub(crate) task: usize,
    pub(crate) partition: PartitionId,
    pub(crate) registers_at: Option<Duration>,
    pub(crate) weight: u64,
    pub(crate) result: ResultPartition<u32>,
    pub(crate) quota: Quota,
    pub(crate) outputs: Vec<Output>,
    pub(crate) state: ProducerState,
    barriers_sent: u32,
    watermark: i64,
    /// The output whose jumbo row is not complete.
    within_row: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProducerState {
    /// Its partition cannot be found yet, or never will.
    Absent,
    Running,
    /// Everything was pushed; consumers have to confirm.
    Ending,
    Finished,
    Failed,
}

/// What goes into one subpartition.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) edge: usize,
    pub(crate) rows_left: u32,
    pub(crate) reader: Option<(usize, ReaderId)>,
    /// The consumer has confirmed, or is gone.
    pub(crate) done: bool,
    /// The newest task event of the consumer.
    pub(crate) task_tag: u32,
    page: Option<Page>,
    jumbo: Option<Jumbo>,
}

#[derive(Debug)]
struct Page {
    segment: u32,
    filled: u32,
}

#[derive(Debug)]
struct Jumbo {
    number: u64,
    total: u32,
    done: u32,
}

/// Something that the task can do now.
#[derive(Clone, Copy, Debug)]
enum Move {
    Rows(usize),
    Fragment(usize),
    Seal(usize),
    Barrier,
    End,
}

impl Output {
    pub(crate) fn new(edge: usize, rows: u32) -> Self {
        Self {
            edge,
            rows_left: rows,
            reader: None,
            done: false,
            task_tag: 0,
            page: None,
            jumbo: None,
        }
    }
}

/// A byte of a jumbo row: its number first, then something that tells the place.
pub(crate) fn jumbo_byte(number: u64, at: u32) -> u8 {
    match at {
        0..ROW_BYTES => number.to_le_bytes()[at as usize],
        _ => (number.wrapping_mul(31).wrapping_add(at.into())) as u8,
    }
}

impl Producer {
    pub(crate) fn new(
        task: usize,
        registers_at: Option<Duration>,
        weight: u64,
        result: ResultPartition<u32>,
        quota: Quota,
        outputs: Vec<Output>,
    ) -> Self {
        Self {
            task,
            partition: PartitionId { result: 7, subtask: task as u32, attempt: 0 },
            registers_at,
            weight,
            result,
            quota,
            outputs,
            state: ProducerState::Absent,
            barriers_sent: 0,
            watermark: 0,
            within_row: None,
        }
    }

    /// Whether nothing is to be expected of it any more.
    pub(crate) fn is_over(&self) -> bool {
        match self.state {
            ProducerState::Finished | ProducerState::Failed => true,
            ProducerState::Absent => self.registers_at.is_none(),
            ProducerState::Running | ProducerState::Ending => false,
        }
    }

    pub(crate) fn can_move(&self, cx: &Context, memory: &Memory) -> bool {
        !self.moves(cx, memory).is_empty()
    }

    /// Does one thing, and returns the readers that must be told.
    pub(crate) fn step(&mut self, cx: &mut Context, memory: &mut Memory) -> Vec<(usize, ReaderId)> {
        let moves = self.moves(cx, memory);
        let mut wakes = Vec::new();
        match moves[cx.random.index(moves.len())] {
            Move::Rows(output) => self.write_rows(output, cx, memory, &mut wakes),
            Move::Fragment(output) => self.write_fragment(output, cx, memory, &mut wakes),
            Move::Seal(output) => self.seal(output, cx, memory, &mut wakes),
            Move::Barrier => self.send_barrier(cx, memory, &mut wakes),
            Move::End => {
                cx.note("task # ends its output", &[self.task as u64]);
                self.broadcast(Event::EndOfData { drain: true }, cx, memory, &mut wakes);
                self.broadcast(Event::EndOfPartition, cx, memory, &mut wakes);
                self.state = ProducerState::Ending;
                self.finish_if_done();
            }
        }
        self.overtake(cx, &mut wakes);
        wakes
    }

    /// A segment was sent, or nobody wants it.
    pub(crate) fn recycle(&mut self, output: u32, segment: u32, memory: &mut Memory) {
        memory.put(&mut self.quota, segment);
        self.result.recycle(output);
    }

    /// The consumer of one output is gone.
    pub(crate) fn release(&mut self, output: u32, memory: &mut Memory) {
        let queued: Vec<_> = self.result.subpartition_mut(output).release().collect();
        for data in queued {
            self.recycle(output, data.buffer, memory);
        }
        self.confirm(output);
    }

    /// The consumer of one output is done with it, one way or the other.
    pub(crate) fn confirm(&mut self, output: u32) {
        self.outputs[output as usize].done = true;
        self.finish_if_done();
    }

    /// The task stops, and returns the readers that are still served.
    pub(crate) fn fail(&mut self, memory: &mut Memory) -> Vec<(usize, ReaderId)> {
        self.state = ProducerState::Failed;
        let mut readers = Vec::new();
        for index in 0..self.outputs.len() as u32 {
            self.release(index, memory);
            let output = &mut self.outputs[index as usize];
            readers.extend(output.reader.take());
            if let Some(page) = output.page.take() {
                self.recycle(index, page.segment, memory);
            }
        }
        self.state = ProducerState::Failed;
        readers
    }

    fn finish_if_done(&mut self) {
        if self.state == ProducerState::Ending && self.outputs.iter().all(|output| output.done) {
            self.state = ProducerState::Finished;
        }
    }

    fn moves(&self, cx: &Context, memory: &Memory) -> Vec<Move> {
        if self.state != ProducerState::Running {
            return Vec::new();
        }
        let can_lease = self.result.is_available(memory.has_for(&self.quota));
        let barrier_due =
            self.barriers_sent < cx.plan.barriers && self.barriers_sent <= cx.barriers_complete;
        let mut moves = Vec::new();
        // Also in the middle of a row: a page that counts as backlog has buffers waiting for it.
        for index in 0..self.outputs.len() {
            if self.result.subpartition(index as u32).wants_seal() {
                moves.push(Move::Seal(index));
            }
        }
        if let Some(output) = self.within_row {
            if can_lease {
                moves.push(Move::Fragment(output));
            }
            if barrier_due && cx.plan.alignment == Alignment::Unaligned {
                moves.push(Move::Barrier);
            }
            return moves;
        }
        for (index, output) in self.outputs.iter().enumerate() {
            if output.rows_left > 0 && (output.page.is_some() || can_lease) {
                moves.push(Move::Rows(index));
            }
        }
        if barrier_due {
            moves.push(Move::Barrier);
        }
        let rows_left = self.outputs.iter().any(|output| output.rows_left > 0);
        if !rows_left && self.barriers_sent == cx.plan.barriers {
            moves.push(Move::End);
        }
        moves
    }

    fn lease(&mut self, output: usize, memory: &mut Memory) -> u32 {
        let segment = memory.take(&mut self.quota).expect("the partition is available");
        self.result.lease(output as u32);
        segment
    }

    /// How far to fill a page: what the consumer wants, in whole rows.
    fn page_bytes(&self, output: usize, cx: &Context) -> u32 {
        let wanted = self.result.subpartition(output as u32).page_bytes();
        (wanted.min(cx.plan.segment_bytes) / ROW_BYTES * ROW_BYTES).max(ROW_BYTES)
    }

    fn write_rows(
        &mut self,
        index: usize,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        if self.outputs[index].page.is_none() {
            if cx.random.percent(cx.plan.jumbo_percent) {
                return self.begin_jumbo(index, cx, memory, wakes);
            }
            let segment = self.lease(index, memory);
            self.outputs[index].page = Some(Page { segment, filled: 0 });
            self.result.page_opened(index as u32, cx.now);
        }
        let limit = self.page_bytes(index, cx);
        for _ in 0..cx.random.between(1, 4).min(self.outputs[index].rows_left) {
            let output = &mut self.outputs[index];
            let Some(page) = &mut output.page else { return };
            let number = cx.ledgers[output.edge].next_row();
            let range = page.filled as usize..(page.filled + ROW_BYTES) as usize;
            memory.segment_mut(page.segment)[range].copy_from_slice(&number.to_le_bytes());
            page.filled += ROW_BYTES;
            output.rows_left -= 1;
            cx.ledgers[output.edge].wrote_row();
            let full = page.filled >= limit;
            if self.result.row_written(index as u32) || full {
                self.seal(index, cx, memory, wakes);
            }
            if cx.random.percent(cx.plan.watermark_percent) {
                self.watermark += 1 + cx.random.below(5) as i64;
                self.broadcast(Event::Watermark(self.watermark), cx, memory, wakes);
            }
        }
    }

    fn begin_jumbo(
        &mut self,
        index: usize,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        let total = cx.random.between(cx.plan.segment_bytes + 1, cx.plan.record_bytes_max);
        let output = &mut self.outputs[index];
        let ledger = &mut cx.ledgers[output.edge];
        output.jumbo = Some(Jumbo { number: ledger.next_row(), total, done: 0 });
        output.rows_left -= 1;
        ledger.wrote_jumbo(total);
        self.within_row = Some(index);
        self.write_fragment(index, cx, memory, wakes);
    }

    fn write_fragment(
        &mut self,
        index: usize,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        let segment = self.lease(index, memory);
        let limit = self.page_bytes(index, cx);
        let Some(jumbo) = &mut self.outputs[index].jumbo else { unreachable!("within a row") };
        let offset_bytes = jumbo.done;
        let bytes = limit.min(jumbo.total - offset_bytes);
        for at in 0..bytes {
            memory.segment_mut(segment)[at as usize] = jumbo_byte(jumbo.number, offset_bytes + at);
        }
        jumbo.done += bytes;
        let last = jumbo.done == jumbo.total;
        let part = match offset_bytes {
            0 => Part::First { total_bytes: jumbo.total },
            _ if last => Part::Last { offset_bytes },
            _ => Part::Middle { offset_bytes },
        };
        if last {
            self.outputs[index].jumbo = None;
            self.within_row = None;
        }
        self.push(index, Data { buffer: segment, bytes, part }, cx, memory, wakes);
    }

    fn seal(
        &mut self,
        index: usize,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        if let Some(page) = self.outputs[index].page.take() {
            self.push(index, Data::page(page.segment, page.filled), cx, memory, wakes);
        }
    }

    fn push(
        &mut self,
        index: usize,
        data: Data<u32>,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        cx.note("task # pushes # bytes to #", &[self.task as u64, data.bytes.into(), index as u64]);
        match self.result.push_data(index as u32, data) {
            Ok(wake) => self.wake(index, wake, wakes),
            Err(data) => self.recycle(index as u32, data.buffer, memory),
        }
    }

    fn broadcast(
        &mut self,
        event: Event,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        for index in 0..self.outputs.len() {
            self.seal(index, cx, memory, wakes);
        }
        let mut woken = Vec::new();
        self.result.broadcast(event, |index, wake| woken.push((index as usize, wake)));
        for (index, wake) in woken {
            cx.ledgers[self.outputs[index].edge].pushed_event(event);
            self.wake(index, wake, wakes);
        }
    }

    fn send_barrier(
        &mut self,
        cx: &mut Context,
        memory: &mut Memory,
        wakes: &mut Vec<(usize, ReaderId)>,
    ) {
        self.barriers_sent += 1;
        let (checkpoint, alignment) = (u64::from(self.barriers_sent), cx.plan.alignment);
        cx.note("task # sends barrier #", &[self.task as u64, checkpoint]);
        let purpose = Purpose::Checkpoint;
        let barrier = Barrier { checkpoint, timestamp_ms: 0, alignment, purpose };
        self.broadcast(Event::Barrier(barrier), cx, memory, wakes);
    }

    /// The timeout of a barrier that still waits here, now and then.
    fn overtake(&mut self, cx: &mut Context, wakes: &mut Vec<(usize, ReaderId)>) {
        let timed = matches!(cx.plan.alignment, Alignment::Timeout { .. });
        if !timed || self.barriers_sent == 0 || !cx.random.percent(10) {
            return;
        }
        let index = cx.random.index(self.outputs.len());
        let checkpoint = u64::from(self.barriers_sent);
        let queue = self.result.subpartition_mut(index as u32);
        if queue.overtake(checkpoint).is_some() {
            cx.note("task # lets a barrier overtake that it sends", &[self.task as u64]);
            let overtook = cx.ledgers[self.outputs[index].edge].overtook_there(checkpoint);
            overtook.expect("it was queued, so it was pushed and not received");
            self.wake(index, Wake::Reader, wakes);
        }
    }

    fn wake(&self, index: usize, wake: Wake, wakes: &mut Vec<(usize, ReaderId)>) {
        if wake == Wake::Reader {
            wakes.extend(self.outputs[index].reader);
        }
    }
}
