//! What one seed makes of the world: how many workers and tasks, how small the pools, which
//! features and which faults. Each seed turns on some of them, so that rare combinations happen.

use std::time::Duration;

use millstream_exchange::event::Alignment;
use millstream_exchange::frame::FrameLimits;
use millstream_exchange::partition::FlushPolicy;

use crate::random::Random;

/// The world of one run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) workers: usize,
    pub(crate) producers: Vec<ProducerPlan>,
    pub(crate) consumers: Vec<ConsumerPlan>,
    pub(crate) edges: Vec<Edge>,
    /// Bytes of a segment, a multiple of 8.
    pub(crate) segment_bytes: u32,
    /// Segments of each worker beyond the minimum of its pools.
    pub(crate) segments_spare: u32,
    pub(crate) exclusive: u32,
    pub(crate) floating: u32,
    pub(crate) subpartition_segments_max: u32,
    pub(crate) flush: FlushPolicy,
    /// Most bytes in one direction of a connection.
    pub(crate) pipe_bytes: usize,
    /// Most frames that a worker submits at once.
    pub(crate) batch: u32,
    /// Most pages that a consumer holds while it works on them.
    pub(crate) hold_max: usize,
    /// How many checkpoints, and how their barriers are aligned.
    pub(crate) barriers: u32,
    pub(crate) alignment: Alignment,
    /// How often in a hundred rows comes a watermark, a jumbo row.
    pub(crate) watermark_percent: u64,
    pub(crate) jumbo_percent: u64,
    pub(crate) record_bytes_max: u32,
    /// Jumbo bytes of each worker beyond each gate's own allowance.
    pub(crate) jumbo_bytes: u32,
    /// How often in a hundred turns a consumer changes its page size or sends an event.
    pub(crate) chatter_percent: u64,
    /// Faults, each in so many of a hundred thousand turns of whom they befall.
    pub(crate) loss: u64,
    /// A worker ends a connection on purpose, telling the other.
    pub(crate) give_up: u64,
    /// A worker says that it opens no more channels, while others may.
    pub(crate) close: u64,
    pub(crate) cancel: u64,
    pub(crate) failure: u64,
    /// The weight of each kind of actor and of each actor of its kind.
    pub(crate) weights: Weights,
}

#[derive(Clone, Debug)]
pub(crate) struct ProducerPlan {
    pub(crate) worker: usize,
    /// When its partition can be found; `None` for one that never starts.
    pub(crate) registers_at: Option<Duration>,
    /// Rows for each of its subpartitions.
    pub(crate) rows: u32,
    pub(crate) weight: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct ConsumerPlan {
    pub(crate) worker: usize,
    pub(crate) starts_at: Duration,
    pub(crate) weight: u64,
}

/// One channel: from a subpartition to an input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) producer: usize,
    pub(crate) subpartition: u32,
    pub(crate) consumer: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Weights {
    pub(crate) send: u64,
    pub(crate) deliver: u64,
    pub(crate) complete: u64,
    pub(crate) recycle: u64,
    pub(crate) offer: u64,
    pub(crate) resume: u64,
}

impl Plan {
    pub(crate) fn new(random: &mut Random) -> Self {
        let workers = [2, 2, 2, 3, 4][random.index(5)];
        let mut plan = Self::quiet(random, workers);
        plan.place(random);
        plan.turn_on(random);
        plan
    }

    pub(crate) fn limits(&self) -> FrameLimits {
        FrameLimits {
            segment_bytes: self.segment_bytes,
            record_bytes_max: self.record_bytes_max,
            ..FrameLimits::default()
        }
    }

    /// Whether anything may end otherwise than complete.
    pub(crate) fn has_faults(&self) -> bool {
        let never = self
            .producers
            .iter()
            .any(|producer| producer.registers_at.is_none_or(|at| at > Duration::from_secs(9)));
        never || self.loss + self.give_up + self.close + self.cancel + self.failure > 0
    }

    fn quiet(random: &mut Random, workers: usize) -> Self {
        let segment_bytes = 8 * random.between(4, 16);
        let flush = match random.below(4) {
            0 => FlushPolicy::EachRecord,
            1 => FlushPolicy::OnlyFull,
            _ => FlushPolicy::Millis(random.between(1, 5)),
        };
        Self {
            workers,
            producers: Vec::new(),
            consumers: Vec::new(),
            edges: Vec::new(),
            segment_bytes,
            segments_spare: if random.percent(40) { 0 } else { random.between(1, 30) },
            exclusive: random.between(0, 3),
            floating: random.between(1, 8),
            subpartition_segments_max: random.between(2, 10),
            flush,
            pipe_bytes: random.between(64, 4096) as usize,
            batch: random.between(1, 8),
            hold_max: random.between(1, 4) as usize,
            barriers: 0,
            alignment: Alignment::Aligned,
            watermark_percent: 0,
            jumbo_percent: 0,
            record_bytes_max: segment_bytes * 8,
            jumbo_bytes: 0,
            chatter_percent: 0,
            loss: 0,
            give_up: 0,
            close: 0,
            cancel: 0,
            failure: 0,
            weights: Weights {
                send: speed(random),
                deliver: speed(random),
                complete: speed(random),
                recycle: speed(random),
                offer: speed(random),
                resume: speed(random),
            },
        }
    }

    /// Tasks on workers, and channels between tasks on different ones.
    fn place(&mut self, random: &mut Random) {
        let worker = |random: &mut Random| random.index(self.workers);
        let rows_max = [30, 100, 100, 400, 1500][random.index(5)];
        for _ in 0..random.between(1, 5) {
            self.producers.push(ProducerPlan {
                worker: worker(random),
                registers_at: Some(Duration::ZERO),
                rows: random.between(0, rows_max),
                weight: speed(random),
            });
        }
        for _ in 0..random.between(1, 4) {
            self.consumers.push(ConsumerPlan {
                worker: worker(random),
                starts_at: Duration::ZERO,
                weight: speed(random),
            });
        }
        // At least one pair of tasks is on two workers.
        self.consumers[0].worker = (self.producers[0].worker + 1) % self.workers;
        for producer in 0..self.producers.len() {
            let mut subpartitions = 0..;
            for consumer in 0..self.consumers.len() {
                let apart = self.producers[producer].worker != self.consumers[consumer].worker;
                if !apart || (producer + consumer > 0 && random.percent(20)) {
                    continue;
                }
                let subpartition = subpartitions.next().expect("few consumers");
                self.edges.push(Edge { producer, subpartition, consumer });
            }
        }
    }

    fn turn_on(&mut self, random: &mut Random) {
        if random.percent(60) {
            self.barriers = random.between(1, 4);
            self.alignment = match random.below(5) {
                0 | 1 => Alignment::Aligned,
                2 => Alignment::Timeout { timeout_ms: 1 },
                3 => Alignment::Unaligned,
                _ => Alignment::None,
            };
        }
        if random.percent(50) {
            self.watermark_percent = random.below(30);
        }
        if random.percent(40) {
            self.jumbo_percent = random.below(15);
            self.jumbo_bytes = self.record_bytes_max * random.between(0, 2);
        }
        if random.percent(40) {
            self.chatter_percent = random.below(10);
        }
        for producer in &mut self.producers {
            producer.registers_at = match random.below(20) {
                0 => Some(Duration::from_millis(random.below(9_000))),
                1 | 2 => Some(Duration::from_millis(9_000 + random.below(16_000))),
                3 if random.percent(30) => None,
                _ => Some(Duration::from_micros(random.below(3_000))),
            };
        }
        for consumer in &mut self.consumers {
            consumer.starts_at = Duration::from_micros(random.below(3_000));
        }
        // Half of the worlds see no fault, some several kinds of it.
        if random.percent(50) {
            let mut rate = |end| if random.percent(30) { 1 + random.below(end) } else { 0 };
            self.loss = rate(300);
            self.give_up = rate(300);
            self.close = rate(5000);
            self.cancel = rate(1000);
            self.failure = rate(1000);
        }
    }
}

/// Some are a hundred times faster than others.
fn speed(random: &mut Random) -> u64 {
    [1, 10, 10, 30, 100][random.index(5)]
}
