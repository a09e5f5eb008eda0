//! What workers say, and what they are answered.

use std::{
    io::BufReader,
    process::{ChildStdin, ChildStdout},
    sync::{
        Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use millstream_dataflow::graph::execution::Subtask;

use super::{
    super::message::{ToCoordinator, ToWorker, receive, send},
    PATIENCE, PROGRESS_EVERY,
    aligned::Said,
};
use crate::{Progress, checkpoint::Report, progress::SubtaskCounts, threads::Splits};

/// How far a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It works.
    #[default]
    Working,
    /// Its part is done.
    Finished,
    /// Its results are shown.
    Committed,
}

/// What a worker has said of itself.
#[derive(Debug)]
pub(super) struct Reported {
    /// How far it came, or why it came no further.
    stage: Mutex<Result<Stage, String>>,
    changed: Condvar,
    /// Its standard input, once the job runs.
    pub(super) input: Mutex<Option<ChildStdin>>,
    /// Messages that it has sent, counts every now and then if nothing else.
    pub(super) messages: AtomicU64,
    /// How far its sources have come that wait for others.
    aligned: Mutex<Option<Said>>,
}

impl Reported {
    pub(super) fn new() -> Self {
        Self {
            stage: Mutex::new(Ok(Stage::default())),
            changed: Condvar::new(),
            input: Mutex::new(None),
            messages: AtomicU64::new(0),
            aligned: Mutex::new(None),
        }
    }

    /// The worker is so far, or came no further.
    pub(super) fn reach(&self, stage: Result<Stage, String>) {
        *self.stage() = stage;
        self.changed.notify_all();
    }

    pub(super) fn stage(&self) -> MutexGuard<'_, Result<Stage, String>> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its sources that wait for others have come so far.
    fn aligns(&self, said: Said) {
        *self.aligned.lock().unwrap_or_else(PoisonError::into_inner) = Some(said);
    }

    /// How far its sources have come that wait for others; `None` if it has not said so.
    pub(super) fn aligned(&self) -> Option<Said> {
        self.aligned.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Says something to the worker.
    pub(super) fn tell(&self, message: &ToWorker) -> Result<(), String> {
        let mut input = self.input.lock().unwrap_or_else(PoisonError::into_inner);
        let told = input.as_mut().map(|input| send(input, message));
        match told {
            Some(Ok(())) => Ok(()),
            _ => Err("it died".into()),
        }
    }

    /// Waits until the worker is so far, as long as it gives signs of life and `go_on` holds.
    pub(super) fn wait(
        &self,
        wanted: Stage,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let (mut heard, mut counted) = (Instant::now(), 0);
        let missing = |stage: &mut Result<Stage, String>| matches!(stage, Ok(s) if *s < wanted);
        loop {
            let waited = self.changed.wait_timeout_while(self.stage(), PROGRESS_EVERY, missing);
            match &*waited.unwrap_or_else(PoisonError::into_inner).0 {
                Ok(stage) if *stage >= wanted => return Ok(()),
                Ok(_) => {}
                Err(what) => return Err(what.clone()),
            }
            let count = self.messages.load(Ordering::Relaxed);
            if std::mem::replace(&mut counted, count) != count {
                heard = Instant::now();
            }
            if !go_on() || heard.elapsed() > PATIENCE {
                return Err("it did not end when the others did, and says nothing".into());
            }
        }
    }
}

/// Answers a worker until it is done; says why if it is not.
pub(super) fn serve(
    mut output: BufReader<ChildStdout>,
    splits: &Splits,
    progress: &Progress,
    state: &Reported,
    report: impl Fn(Report),
    failed: impl Fn(u32, String),
) -> Result<(), String> {
    loop {
        let message = receive(&mut output);
        state.messages.fetch_add(1, Ordering::Relaxed);
        match message {
            Ok(Some(ToCoordinator::NextSplit { node, index })) => {
                let split = splits.take(Subtask { node, index });
                state.tell(&ToWorker::Split { node, split })?;
            }
            Ok(Some(ToCoordinator::SplitsLeft { node, index })) => {
                let left = !splits.is_empty(Subtask { node, index });
                state.tell(&ToWorker::SplitsLeft { node, left })?;
            }
            Ok(Some(ToCoordinator::SplitsAgain { node, index, taken })) => {
                splits.give_again(Subtask { node, index }, &taken);
            }
            Ok(Some(ToCoordinator::RegionFailed { region, message })) => failed(region, message),
            Ok(Some(ToCoordinator::Checkpoint(said))) => report(said),
            Ok(Some(ToCoordinator::Aligned { groups })) => state.aligns(groups),
            Ok(Some(ToCoordinator::Counts { subtasks })) => {
                progress.report(subtasks.into_iter().map(SubtaskCounts::from));
            }
            Ok(Some(ToCoordinator::Finished)) => state.reach(Ok(Stage::Finished)),
            Ok(Some(ToCoordinator::Committed)) => {
                state.reach(Ok(Stage::Committed));
                return Ok(());
            }
            Ok(Some(ToCoordinator::Failed { message })) => return Err(message),
            Ok(Some(_)) => {}
            Ok(None) => return Err("it died".into()),
            Err(error) => return Err(format!("it made no sense: {error}")),
        }
    }
}
