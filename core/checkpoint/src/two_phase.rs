//! The transactions of a sink that takes part in checkpoints.
//!
//! What a sink writes goes into its *current* transaction. At a barrier that transaction is
//! *pre-committed*: whatever happens from then on, it can be committed. It is *pending*, and the next
//! one begins. When the checkpoint is complete, its transaction and all before it are committed. A sink
//! that is restored commits again what its state has as pending, since nobody knows whether that was
//! done before the failure, and aborts what was current.
//!
//! So committing has to be possible twice, and a transaction has to live longer than a checkpoint, a
//! failure and a restart together.

use alloc::{collections::VecDeque, string::String, vec::Vec};
use core::fmt;

use crate::Permit;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input<T> {
    /// The barrier of a checkpoint is here, and `next` was begun for what is behind it.
    Snapshot {
        /// Which checkpoint.
        checkpoint: u64,
        /// The transaction that is current from now on.
        next: T,
    },
    /// A checkpoint is complete.
    Complete(Permit),
    /// A transaction is committed.
    Committed {
        /// The number of the commit.
        number: u64,
    },
    /// A transaction could not be committed.
    CommitFailed {
        /// The number of the commit.
        number: u64,
        /// Why, in one sentence.
        reason: String,
    },
    /// Nothing more is written, and the last checkpoint is complete.
    Close,
}

/// What the sink is to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<T> {
    /// Make all that was written durable, so that only committing is missing.
    PreCommit(T),
    /// Make this state part of the checkpoint, then acknowledge.
    Save(State<T>),
    /// Commit a transaction, then say [`Input::Committed`]. It may be committed already.
    Commit {
        /// Which commit of this sink it is, from 0.
        number: u64,
        /// The transaction.
        transaction: T,
        /// The checkpoint that it is pending under.
        checkpoint: u64,
        /// The right to.
        permit: Permit,
    },
    /// Undo a transaction.
    Abort(T),
    /// All that was to be committed was tried, and some failed: fail the task. Its transactions are
    /// committed again when it is restored.
    Fail(CommitError),
}

/// The state of a sink in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<T> {
    /// Transactions that wait, by checkpoint, ascending.
    pub pending: Vec<(u64, T)>,
    /// The one behind the barrier.
    pub current: T,
}

/// The first transaction that could not be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitError {
    /// The checkpoint that it was pending under.
    pub checkpoint: u64,
    /// Why.
    pub reason: String,
    /// Whether the sink was being restored: what it wrote before the checkpoint is in danger.
    pub restoring: bool,
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { checkpoint, reason, restoring } = self;
        write!(f, "what was written for checkpoint {checkpoint} could not be committed: {reason}")?;
        if *restoring {
            f.write_str(
                "; it is lost if the transaction is gone, so see to it before the job is restarted",
            )?;
        }
        Ok(())
    }
}

impl core::error::Error for CommitError {}

/// The transactions of one subtask of a sink.
#[derive(Clone, Debug)]
pub struct TwoPhase<T> {
    current: Option<T>,
    /// By checkpoint, ascending.
    pending: VecDeque<(u64, T)>,
    /// Being committed, or tried in vain, in order, all before those that are pending.
    committing: VecDeque<Commit<T>>,
    next_number: u64,
    first_error: Option<CommitError>,
    restoring: bool,
}

#[derive(Clone, Debug)]
struct Commit<T> {
    number: u64,
    checkpoint: u64,
    transaction: T,
    /// Whether committing it has failed. It remains part of the state, to be tried after a restore.
    failed: bool,
}

impl<T: Clone> TwoPhase<T> {
    /// A sink that has written nothing and whose first transaction was begun.
    pub fn new(first: T) -> Self {
        Self {
            current: Some(first),
            pending: VecDeque::new(),
            committing: VecDeque::new(),
            next_number: 0,
            first_error: None,
            restoring: false,
        }
    }

    /// A sink whose state, or the states of several that it follows, come from the checkpoint of
    /// `permit`. What they had pending is committed, what they had as current is aborted; `first` was
    /// begun for what is behind.
    pub fn restore(
        states: impl IntoIterator<Item = State<T>>,
        permit: Permit,
        first: T,
        actions: &mut Vec<Action<T>>,
    ) -> Self {
        let mut sink = Self::new(first);
        let mut current = Vec::new();
        for state in states {
            sink.pending.extend(state.pending);
            current.push(state.current);
        }
        sink.pending.make_contiguous().sort_by_key(|(checkpoint, _)| *checkpoint);
        sink.commit(permit, actions);
        sink.restoring = !sink.committing.is_empty();
        actions.extend(current.into_iter().map(Action::Abort));
        sink
    }

    /// Takes in what happened, and appends what is to be done.
    pub fn step(&mut self, input: Input<T>, actions: &mut Vec<Action<T>>) {
        match input {
            Input::Snapshot { checkpoint, next } => self.snapshot(checkpoint, next, actions),
            Input::Complete(permit) => self.commit(permit, actions),
            Input::Committed { number } => self.answered(number, None, actions),
            Input::CommitFailed { number, reason } => self.answered(number, Some(reason), actions),
            Input::Close => actions.extend(self.current.take().map(Action::Abort)),
        }
    }

    /// The transaction to write to; `None` behind [`Input::Close`].
    pub fn current(&self) -> Option<&T> {
        self.current.as_ref()
    }

    /// Transactions that are pre-committed and not known to be committed.
    pub fn uncommitted(&self) -> usize {
        self.pending.len() + self.committing.len()
    }

    /// Whether nothing has to be committed before the sink writes on: a sink that is restored waits for
    /// its commits, so that they come before what follows.
    pub fn is_ready(&self) -> bool {
        !self.restoring
    }

    fn snapshot(&mut self, checkpoint: u64, next: T, actions: &mut Vec<Action<T>>) {
        if let Some(done) = self.current.replace(next.clone()) {
            actions.push(Action::PreCommit(done.clone()));
            self.pending.push_back((checkpoint, done));
        }
        // Those of which nobody knows whether they are committed are committed again.
        let tried = self.committing.iter().map(|c| (c.checkpoint, c.transaction.clone()));
        let pending = tried.chain(self.pending.iter().cloned()).collect();
        actions.push(Action::Save(State { pending, current: next }));
    }

    /// Commits all up to the complete checkpoint, in order. One of which the sink was not told is
    /// among them.
    fn commit(&mut self, permit: Permit, actions: &mut Vec<Action<T>>) {
        while let Some((checkpoint, transaction)) =
            self.pending.pop_front_if(|(checkpoint, _)| *checkpoint <= permit.checkpoint())
        {
            let number = self.next_number;
            self.next_number += 1;
            let failed = false;
            let commit = Commit { number, checkpoint, transaction: transaction.clone(), failed };
            self.committing.push_back(commit);
            actions.push(Action::Commit { number, transaction, checkpoint, permit });
        }
    }

    /// Goes on after an error, and raises the first when nothing is open any more.
    fn answered(&mut self, number: u64, error: Option<String>, actions: &mut Vec<Action<T>>) {
        let is_open = |commit: &Commit<T>| commit.number == number && !commit.failed;
        let Some(at) = self.committing.iter().position(is_open) else { return };
        match error {
            None => {
                self.committing.remove(at);
            }
            Some(reason) => {
                let commit = &mut self.committing[at];
                commit.failed = true;
                let (checkpoint, restoring) = (commit.checkpoint, self.restoring);
                let error = CommitError { checkpoint, reason, restoring };
                self.first_error.get_or_insert(error);
            }
        }
        if self.committing.iter().all(|commit| commit.failed) {
            match self.first_error.take() {
                Some(error) => actions.push(Action::Fail(error)),
                None if self.committing.is_empty() => self.restoring = false,
                None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{string::ToString, vec, vec::Vec};

    use super::*;

    type Actions = Vec<Action<&'static str>>;

    fn step(sink: &mut TwoPhase<&'static str>, input: Input<&'static str>) -> Actions {
        let mut actions = Vec::new();
        sink.step(input, &mut actions);
        actions
    }

    fn commit(
        number: u64,
        transaction: &'static str,
        checkpoint: u64,
        permit: u64,
    ) -> Action<&'static str> {
        Action::Commit { number, transaction, checkpoint, permit: Permit::mint(permit) }
    }

    fn save(pending: &[(u64, &'static str)], current: &'static str) -> Action<&'static str> {
        Action::Save(State { pending: pending.to_vec(), current })
    }

    #[test]
    fn a_transaction_is_committed_when_its_checkpoint_is_complete() {
        let mut sink = TwoPhase::new("a");
        let saved = [Action::PreCommit("a"), save(&[(1, "a")], "b")];
        assert_eq!(step(&mut sink, Input::Snapshot { checkpoint: 1, next: "b" }), saved);
        assert_eq!(sink.current(), Some(&"b"));
        let complete = Input::Complete(Permit::mint(1));
        assert_eq!(step(&mut sink, complete.clone()), [commit(0, "a", 1, 1)]);
        // Told twice.
        assert_eq!(step(&mut sink, complete), []);
        assert_eq!(step(&mut sink, Input::Committed { number: 0 }), []);
        assert_eq!(sink.uncommitted(), 0);
        assert_eq!(step(&mut sink, Input::Close), [Action::Abort("b")]);
        assert_eq!(step(&mut sink, Input::Close), []);
    }

    #[test]
    fn a_notification_that_is_lost_is_made_good_by_the_next() {
        let mut sink = TwoPhase::new("a");
        for (checkpoint, next) in [(1, "b"), (2, "c"), (3, "d")] {
            step(&mut sink, Input::Snapshot { checkpoint, next });
        }
        let commits = [commit(0, "a", 1, 2), commit(1, "b", 2, 2)];
        assert_eq!(step(&mut sink, Input::Complete(Permit::mint(2))), commits);
        // What was not heard of is saved again, in front of the rest.
        let saved = save(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")], "e");
        let actions = step(&mut sink, Input::Snapshot { checkpoint: 4, next: "e" });
        assert_eq!(actions[1], saved);
    }

    #[test]
    fn all_are_tried_and_the_first_error_is_raised() {
        let mut sink = TwoPhase::new("a");
        for (checkpoint, next) in [(1, "b"), (2, "c"), (3, "d")] {
            step(&mut sink, Input::Snapshot { checkpoint, next });
        }
        step(&mut sink, Input::Complete(Permit::mint(3)));
        let failed = |number, reason: &str| Input::CommitFailed { number, reason: reason.into() };
        assert_eq!(step(&mut sink, failed(0, "gone")), []);
        // A checkpoint that is taken meanwhile still has it.
        let actions = step(&mut sink, Input::Snapshot { checkpoint: 4, next: "e" });
        assert_eq!(actions[1], save(&[(1, "a"), (2, "b"), (3, "c"), (4, "d")], "e"));
        assert_eq!(step(&mut sink, failed(0, "gone again")), []);
        assert_eq!(step(&mut sink, failed(1, "gone, too")), []);
        let error = CommitError { checkpoint: 1, reason: "gone".into(), restoring: false };
        assert_eq!(step(&mut sink, Input::Committed { number: 2 }), [Action::Fail(error.clone())]);
        assert_eq!(
            error.to_string(),
            "what was written for checkpoint 1 could not be committed: gone"
        );
    }

    #[test]
    fn a_restored_sink_commits_again_and_aborts_what_was_current() {
        let state =
            |pending: &[(u64, &'static str)], current| State { pending: pending.to_vec(), current };
        let states = [state(&[(2, "b"), (3, "c")], "d"), state(&[(1, "x")], "y")];
        let mut actions = Vec::new();
        let mut sink = TwoPhase::restore(states, Permit::mint(3), "new", &mut actions);
        let expected = vec![
            commit(0, "x", 1, 3),
            commit(1, "b", 2, 3),
            commit(2, "c", 3, 3),
            Action::Abort("d"),
            Action::Abort("y"),
        ];
        assert_eq!(actions, expected);
        assert_eq!((sink.current(), sink.is_ready()), (Some(&"new"), false));
        step(&mut sink, Input::Committed { number: 0 });
        step(&mut sink, Input::CommitFailed { number: 1, reason: "timed out".into() });
        let actions = step(&mut sink, Input::Committed { number: 2 });
        let Action::Fail(error) = &actions[0] else { panic!("{actions:?}") };
        assert!(!sink.is_ready(), "it waits for its end");
        assert!(error.restoring && error.to_string().contains("is lost"), "{error}");

        let mut actions = Vec::new();
        let empty = TwoPhase::restore([state(&[], "d")], Permit::mint(3), "new", &mut actions);
        assert!(empty.is_ready() && actions == [Action::Abort("d")]);
    }

    #[test]
    fn what_several_had_pending_under_one_checkpoint_is_answered_one_by_one() {
        let state = |name| State { pending: vec![(1, name)], current: "current" };
        let mut sink =
            TwoPhase::restore([state("a"), state("b")], Permit::mint(1), "new", &mut Vec::new());
        step(&mut sink, Input::Committed { number: 1 });
        assert!(!sink.is_ready());
        // The other one is still to be done.
        let actions = step(&mut sink, Input::Snapshot { checkpoint: 2, next: "next" });
        assert_eq!(actions[1], save(&[(1, "a"), (2, "new")], "next"));
        step(&mut sink, Input::Committed { number: 0 });
        assert!(sink.is_ready());
    }
}
