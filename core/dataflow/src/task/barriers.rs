//! What a task does at barriers, and for the coordinator of checkpoints.

use core::task::Waker;

use millstream_exchange::event::{Event, Purpose};
use millstream_state::time::WATERMARK_MAX;

use super::{Current, Order, Phase, Step, Task};
use crate::chain::{Signal, TaskError};

impl Task {
    /// Obeys an order of the coordinator; `false` if there was none. A page is worked off first, and
    /// what the chain has to be told.
    pub(super) fn obey(&mut self, now: u64, waker: &Waker) -> Result<bool, TaskError> {
        let comes_to_its_end = self.drains && self.phase == Phase::Running;
        if self.current.is_some() || !self.signals.is_empty() || comes_to_its_end {
            return Ok(false);
        }
        match self.checkpoints.next_order(waker) {
            None => return Ok(false),
            Some(Order::End) => {
                self.dismissed = true;
                if (self.stopped || self.phase == Phase::Lingering) && self.produces {
                    self.leave();
                }
            }
            Some(Order::Drain) => {
                self.drains = true;
                if self.produces && self.phase == Phase::Running && !self.ended {
                    self.signals.push_back(Signal::Watermark(WATERMARK_MAX));
                    self.ended = true;
                }
            }
            Some(order) => self.checkpoints.on_order(now, order),
        }
        self.take_steps(now);
        Ok(true)
    }

    /// Does what follows from barriers.
    pub(super) fn take_steps(&mut self, now: u64) {
        while let Some(step) = self.checkpoints.next_step(now) {
            match step {
                Step::Snapshot { barrier, overtakes } => {
                    self.barrier = Some(barrier);
                    self.overtakes = overtakes;
                }
                Step::Capture(number) => {
                    let found = self.inputs.iter().position(|channel| channel.number == number);
                    let Some(index) = found else { continue };
                    if let Some(Current { input, page, row, .. }) = &self.current
                        && *input == found
                    {
                        self.checkpoints.capture_page(number, page, *row);
                    }
                    self.checkpoints.capture(now, number, &mut self.inputs[index].receiver);
                }
                Step::Resume(number) => {
                    let channel = self.inputs.iter().find(|channel| channel.number == number);
                    if let Some(channel) = channel {
                        channel.receiver.resume();
                    }
                }
                Step::Abort { checkpoint, tell } => {
                    if self.checkpoints.abandon(checkpoint) {
                        self.chain.abort_snapshot();
                    }
                    if tell {
                        self.outputs.event_to_all(Event::CancelBarrier(checkpoint));
                    }
                }
            }
        }
    }

    /// Freezes the chain's state, and sends the barrier on behind the rows that belong to it; unless the
    /// chain has to wait for room first.
    pub(super) fn snapshot(&mut self, now: u64) -> Result<(), TaskError> {
        let Some(barrier) = self.barrier else { return Ok(()) };
        if !self.call(now, |chain, context| chain.signal(Signal::Barrier, context))? {
            return Ok(());
        }
        self.barrier = None;
        self.call(now, |chain, context| chain.flush(true, context))?;
        self.flush_at = None;
        if let Some(older) = self.checkpoints.open()
            && self.checkpoints.abandon(older)
        {
            self.chain.abort_snapshot();
        }
        let frozen =
            self.chain.begin_snapshot(barrier.purpose).map_err(|error| error.at(&self.name));
        self.checkpoints.opened(barrier.checkpoint, frozen);
        self.outputs.event_to_all(Event::Barrier(barrier));
        self.take_steps(now);
        self.stopped |= barrier.purpose == Purpose::StopWithSavepoint;
        Ok(())
    }

    /// Looks for barriers that overtake what waits in front of them, and takes the snapshot at one at once.
    pub(super) fn look_out(&mut self, now: u64, waker: &Waker) -> Result<(), TaskError> {
        for channel in &mut self.inputs {
            self.checkpoints.look(now, channel.number, &mut channel.receiver);
        }
        self.checkpoints.on_time(now);
        self.take_steps(now);
        if self.produces && self.phase == Phase::Running {
            self.obey(now, waker)?;
        }
        let is_between = matches!(self.phase, Phase::Running | Phase::Lingering);
        if self.barrier.is_some() && is_between && self.signals.is_empty() {
            // Once: what the chain has kept back may need room that there is not.
            if core::mem::take(&mut self.overtakes) {
                self.snapshot(now)?;
            }
        }
        Ok(())
    }

    /// Writes some of the frozen state. `true` if it could go on at once.
    pub(super) fn write_snapshot(&mut self, waker: &Waker) -> bool {
        let chain = &mut self.chain;
        self.checkpoints.write(waker, |out| chain.next_chunk(out))
    }
}
