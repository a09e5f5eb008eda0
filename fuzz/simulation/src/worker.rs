//! One simulated worker process: its tasks, its memory and its end of each connection.

use std::collections::{BTreeMap, VecDeque};

use millstream_exchange::connection::{Connection, Intake, Place, Ports};
use millstream_exchange::credit::{BufferKind, FloatingBuffers, Recycled};
use millstream_exchange::gate::JumboBudget;
use millstream_exchange::partition::Subpartition;
use millstream_exchange::{ChannelId, ReaderId};

use crate::bug::Bug;
use crate::consumer::{Consumer, ConsumerState, Effect, Held};
use crate::memory::Memory;
use crate::producer::Producer;
use crate::world::Context;

/// A worker process.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) index: usize,
    pub(crate) endpoints: BTreeMap<usize, Endpoint>,
    pub(crate) shared: Shared,
}

/// One end of a connection, and what the kernel would know of it.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) connection: Connection,
    pub(crate) intake: Intake,
    pub(crate) target: Target,
    pub(crate) scratch: Vec<u8>,
    /// Segments that were submitted and are not known to be sent.
    pub(crate) submitted: VecDeque<Submitted>,
    /// There may be a frame to send.
    pub(crate) ready: bool,
    pub(crate) phase: EndpointPhase,
    pub(crate) told_to_close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointPhase {
    Open,
    /// The byte stream broke; this end has not noticed.
    Doomed,
    Lost,
    Closed,
}

/// Where the payload goes that is being received.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) place: Option<Place>,
    pub(crate) segment: Option<u32>,
    pub(crate) filled: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Submitted {
    /// How many bytes of the stream end with it.
    pub(crate) end: u64,
    pub(crate) producer: usize,
    pub(crate) output: u32,
    pub(crate) segment: u32,
}

/// What all connections of a worker share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) memory: Memory,
    /// Exclusive segments outside the memory.
    pub(crate) exclusive: u32,
    pub(crate) jumbo: JumboBytes,
    pub(crate) producers: Vec<Producer>,
    pub(crate) consumers: Vec<Consumer>,
    /// Which queue a reader reads.
    pub(crate) readers: BTreeMap<(usize, ReaderId), (usize, u32)>,
    /// Which input a channel fills.
    pub(crate) channels: BTreeMap<(usize, ChannelId), (usize, u32)>,
}

/// Jumbo memory beyond the gates' allowances.
#[derive(Debug)]
pub(crate) struct JumboBytes {
    pub(crate) free: u32,
    pub(crate) size: u32,
}

impl JumboBudget for JumboBytes {
    fn try_reserve(&mut self, bytes: u32) -> bool {
        let rest = self.free.checked_sub(bytes);
        self.free = rest.unwrap_or(self.free);
        rest.is_some()
    }

    fn give_back(&mut self, bytes: u32) {
        self.free += bytes;
        assert!(self.free <= self.size, "more jumbo memory came back than there is");
    }
}

/// The worker as one of its connections sees it.
pub(crate) struct View<'a> {
    shared: &'a mut Shared,
    peer: usize,
}

impl Shared {
    pub(crate) fn view(&mut self, peer: usize) -> View<'_> {
        View { shared: self, peer }
    }

    /// A free segment of a channel, for data that arrives.
    pub(crate) fn arriving(&mut self, peer: usize, channel: ChannelId, kind: BufferKind) -> u32 {
        let (consumer, input) = self.channels[&(peer, channel)];
        let input = &mut self.consumers[consumer].inputs[input as usize];
        let free = match kind {
            BufferKind::Exclusive => &mut input.exclusive,
            BufferKind::Floating => &mut input.floating,
        };
        free.pop().expect("the machine counted a free segment")
    }

    /// A segment goes to the pool that it came from.
    pub(crate) fn send_home(&mut self, consumer: usize, held: Held) {
        match held.kind {
            BufferKind::Exclusive => {
                self.exclusive -= 1;
                self.memory.free(held.segment);
            }
            BufferKind::Floating => {
                self.consumers[consumer].give_back(held.segment, &mut self.memory);
            }
        }
    }
}

impl FloatingBuffers for View<'_> {
    fn take_or_listen(&mut self, channel: ChannelId, held: u32) -> bool {
        let (consumer, input) = self.shared.channels[&(self.peer, channel)];
        let consumer = &mut self.shared.consumers[consumer];
        let segment = self.shared.memory.take(&mut consumer.quota);
        match segment.or_else(|| consumer.take_aside(input, held)) {
            Some(segment) => {
                consumer.inputs[input as usize].floating.push(segment);
                true
            }
            None => {
                let waiter = (self.peer, channel);
                assert!(!consumer.waiters.contains(&waiter), "{channel} waits twice");
                consumer.waiters.push_back(waiter);
                false
            }
        }
    }

    fn give_back(&mut self, channel: ChannelId) {
        let (consumer, input) = self.shared.channels[&(self.peer, channel)];
        let consumer = &mut self.shared.consumers[consumer];
        let segment = consumer.inputs[input as usize].floating.pop();
        let segment = segment.expect("the machine counted a free floating segment");
        consumer.give_back(segment, &mut self.shared.memory);
    }

    fn release(&mut self, channel: ChannelId) {
        let (consumer, input) = self.shared.channels[&(self.peer, channel)];
        let consumer = &mut self.shared.consumers[consumer];
        consumer.waiters.retain(|waiter| *waiter != (self.peer, channel));
        let input = &mut consumer.inputs[input as usize];
        for segment in input.exclusive.drain(..) {
            self.shared.exclusive -= 1;
            self.shared.memory.free(segment);
        }
        for segment in core::mem::take(&mut input.floating) {
            consumer.give_back(segment, &mut self.shared.memory);
        }
    }
}

impl Ports for View<'_> {
    type Buffer = u32;

    fn outlet(&mut self, reader: ReaderId) -> &mut Subpartition<u32> {
        let (producer, output) = self.shared.readers[&(self.peer, reader)];
        self.shared.producers[producer].result.subpartition_mut(output)
    }
}

impl Worker {
    /// One turn of a producing task.
    pub(crate) fn produce(&mut self, producer: usize, cx: &mut Context) {
        if cx.random.below(100_000) < cx.plan.failure {
            return self.fail_producer(producer, cx);
        }
        let shared = &mut self.shared;
        let wakes = shared.producers[producer].step(cx, &mut shared.memory);
        self.notify(wakes, cx);
    }

    /// A producing task fails: its consumers are told.
    pub(crate) fn fail_producer(&mut self, producer: usize, cx: &mut Context) {
        let shared = &mut self.shared;
        cx.note("task # fails", &[shared.producers[producer].task as u64]);
        for (peer, reader) in shared.producers[producer].fail(&mut shared.memory) {
            let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
            let code = millstream_exchange::frame::ErrorCode::ProducerFailed;
            endpoint.connection.fail_reader(reader, code, "simulated failure");
            endpoint.ready = true;
            shared.readers.remove(&(peer, reader));
        }
    }

    pub(crate) fn notify(&mut self, wakes: Vec<(usize, ReaderId)>, cx: &mut Context) {
        for (peer, reader) in wakes {
            if cx.saboteur.strikes(Bug::ForgetNotify) {
                continue;
            }
            let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
            endpoint.connection.notify(reader, &mut self.shared.view(peer));
            endpoint.ready = true;
        }
    }

    /// One turn of a consuming task.
    pub(crate) fn consume(&mut self, consumer: usize, cx: &mut Context) -> Result<(), String> {
        if cx.random.below(100_000) < cx.plan.cancel {
            self.stop_consumer(consumer, ConsumerState::Cancelled, cx);
            return Ok(());
        }
        if cx.random.percent(cx.plan.chatter_percent) {
            self.chatter(consumer, cx);
        }
        let shared = &mut self.shared;
        let task = &mut shared.consumers[consumer];
        let effects = task.poll(cx, &shared.memory, &mut shared.jumbo)?;
        if task.is_over() {
            task.dissolve_aside(&mut shared.memory);
        }
        for effect in effects {
            match effect {
                Effect::RetryJumbo => self.retry_jumbo(),
                Effect::Acknowledge => {
                    for input in 0..self.shared.consumers[consumer].inputs.len() {
                        self.tell(consumer, input, |connection, channel, _| {
                            connection.acknowledge(channel);
                        });
                    }
                }
                Effect::Complete(input) => {
                    self.tell(consumer, input as usize, |connection, channel, view| {
                        connection.cancel(channel, view);
                    });
                }
            }
        }
        Ok(())
    }

    /// A consuming task stops before its input is complete.
    pub(crate) fn stop_consumer(
        &mut self,
        consumer: usize,
        state: ConsumerState,
        cx: &mut Context,
    ) {
        let shared = &mut self.shared;
        let task = &mut shared.consumers[consumer];
        if task.is_over() {
            return;
        }
        cx.note("task # stops early", &[(cx.plan.producers.len() + task.task) as u64]);
        task.stop(state, &mut shared.jumbo);
        task.dissolve_aside(&mut shared.memory);
        for input in 0..task.inputs.len() {
            cx.abandoned.push(self.shared.consumers[consumer].inputs[input].edge);
            self.tell(consumer, input, |connection, channel, view| {
                connection.cancel(channel, view);
            });
        }
        self.retry_jumbo();
    }

    /// The barriers of all inputs have arrived: their producers go on.
    pub(crate) fn resume(&mut self, consumer: usize) {
        for input in self.shared.consumers[consumer].resume() {
            self.tell(consumer, input as usize, |connection, channel, _| {
                connection.resume(channel);
            });
        }
    }

    /// The page in the segment that a consumer has held longest was read.
    pub(crate) fn recycle(&mut self, consumer: usize) {
        let task = &mut self.shared.consumers[consumer];
        let Some((index, held)) = task.holding.pop_front() else { return };
        let (peer, channel) =
            (task.inputs[index as usize].peer, task.inputs[index as usize].channel);
        let channel = channel.expect("data came through a channel");
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let view = &mut self.shared.view(peer);
        let recycled = endpoint.connection.recycle(channel, held.kind, view);
        endpoint.ready = true;
        match recycled {
            Recycled::Keep => {
                let input = &mut self.shared.consumers[consumer].inputs[index as usize];
                input.exclusive.push(held.segment);
            }
            Recycled::Home => self.shared.send_home(consumer, held),
        }
    }

    /// Whether the pool of a gate has a segment for a channel that waits, and for which.
    pub(crate) fn next_offer(&self, consumer: usize) -> Option<(usize, ChannelId)> {
        let task = &self.shared.consumers[consumer];
        if self.shared.memory.has_for(&task.quota) {
            return task.waiters.front().copied();
        }
        let input = task.jumbo.favoured().filter(|_| task.aside.is_some())?;
        let input = &task.inputs[input as usize];
        let (peer, channel) = (input.peer, input.channel?);
        let credit = self.endpoints[&peer].connection.channel_credit(channel)?;
        (credit.is_waiting() && credit.held() == 0).then_some((peer, channel))
    }

    /// The pool of a gate offers a segment to a channel that waits.
    pub(crate) fn offer(&mut self, consumer: usize, cx: &mut Context) {
        let Some((peer, channel)) = self.next_offer(consumer) else { return };
        let task = &mut self.shared.consumers[consumer];
        task.waiters.retain(|waiter| *waiter != (peer, channel));
        if cx.saboteur.strikes(Bug::ForgetWake) {
            return;
        }
        let (_, index) = self.shared.channels[&(peer, channel)];
        let segment = match self.shared.memory.take(&mut task.quota) {
            Some(segment) => segment,
            None => {
                cx.note("task # offers the segment set aside", &[task.task as u64]);
                task.take_aside(index, 0).expect("the offer said so")
            }
        };
        task.inputs[index as usize].floating.push(segment);
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        let taken = endpoint.connection.offer(channel, &mut self.shared.view(peer));
        endpoint.ready = true;
        cx.note("worker # offers a segment that waited for", &[self.index as u64]);
        if !taken {
            cx.note("and it is not needed any more", &[]);
            let task = &mut self.shared.consumers[consumer];
            let back = task.inputs[index as usize].floating.pop();
            task.give_back(back.expect("the segment just offered"), &mut self.shared.memory);
        }
    }

    fn retry_jumbo(&mut self) {
        let Shared { consumers, jumbo, memory, .. } = &mut self.shared;
        for consumer in consumers {
            while consumer.retry_jumbo(memory, jumbo) {}
        }
    }

    /// A consumer asks for other pages, and sends an event to a producer.
    fn chatter(&mut self, consumer: usize, cx: &mut Context) {
        let index = cx.random.index(self.shared.consumers[consumer].inputs.len());
        let bytes = cx.random.between(1, cx.plan.segment_bytes);
        let input = &mut self.shared.consumers[consumer].inputs[index];
        let tag = input.task_tag + 1;
        let mut sent = false;
        self.tell(consumer, index, |connection, channel, _| {
            connection.set_page_bytes(channel, bytes);
            sent = connection.send_task_event(channel, tag, Box::from([tag as u8; 3]));
        });
        if sent {
            self.shared.consumers[consumer].inputs[index].task_tag = tag;
        }
    }

    /// Calls the connection of one input, if it has a channel.
    fn tell(
        &mut self,
        consumer: usize,
        input: usize,
        call: impl FnOnce(&mut Connection, ChannelId, &mut View<'_>),
    ) {
        let input = &self.shared.consumers[consumer].inputs[input];
        let (peer, Some(channel)) = (input.peer, input.channel) else { return };
        let endpoint = self.endpoints.get_mut(&peer).expect("a peer");
        call(&mut endpoint.connection, channel, &mut self.shared.view(peer));
        endpoint.ready = true;
    }
}
