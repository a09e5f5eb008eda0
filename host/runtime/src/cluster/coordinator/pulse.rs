//! Whether the workers give signs of life.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use millstream_checkpoint::Heartbeats;

use super::{Stage, Workers};
use crate::RunError;

/// Whether the workers give signs of life.
pub(super) struct Pulse {
    begin: Instant,
    beats: Heartbeats,
    /// By worker: messages that it had sent.
    counted: Vec<u64>,
}

impl Pulse {
    pub(super) fn new(workers: &Workers, timeout: Duration) -> Self {
        let timeout = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        let counted = vec![0; workers.0.len()];
        Self { begin: Instant::now(), beats: Heartbeats::new(counted.len(), timeout, 0), counted }
    }

    /// A worker that has given none for too long, which is then to be killed.
    pub(super) fn feel(&mut self, workers: &mut Workers) -> Option<RunError> {
        let now = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX);
        let numbered = workers.0.iter().zip(&mut self.counted).enumerate();
        for (peer, (worker, counted)) in numbered {
            let count = worker.state.messages.load(Ordering::Relaxed);
            if std::mem::replace(counted, count) != count {
                self.beats.heard(peer, now);
            }
        }
        let silence = self.beats.step(now)?;
        let worker = workers.0.get_mut(silence.peer)?;
        // What it has done is done: it says nothing any more because it has nothing to say.
        if matches!(&*worker.state.stage(), Ok(stage) if *stage >= Stage::Finished) {
            return None;
        }
        let seconds = silence.for_ms as f64 / 1000.0;
        worker.silent = Some(format!("it was not heard of for {seconds:.1} s"));
        worker.silent.as_deref().map(|what| worker.failed(what))
    }
}
