//! Which checkpoints refer to which shared files, and so which files nobody needs any more.
//!
//! A file of state that never changes is written once, and all checkpoints that have it refer to it by
//! name. It may be removed when no complete checkpoint refers to it, none that is on its way, and no
//! task will name it in a snapshot to come. The last is what makes this a machine: of a checkpoint that was
//! given up a task believes its files to be written, and names them again in the next.
//!
//! A task says at each checkpoint which files its state consists of. One that was there and is not any more
//! never comes back, since what replaces it has another name.
//!
//! What is not known here is not removed by it: files of a task that never acknowledged anything, or
//! of a process that was killed, are found by listing ([`sweep`](crate::CheckpointStorage::sweep)) before a
//! job begins.

use alloc::{
    collections::{BTreeMap, BTreeSet},
    string::String,
    vec::Vec,
};

use crate::TaskId;

/// Which checkpoints of a job refer to which shared files. See the [module](self).
#[derive(Clone, Debug, Default)]
pub struct SharedFiles {
    /// By checkpoint, complete or on its way, what it refers to.
    checkpoints: BTreeMap<u64, BTreeSet<String>>,
    /// How many checkpoints refer to a file.
    counts: BTreeMap<String, u32>,
    /// By task, what its next snapshot may refer to.
    live: BTreeMap<TaskId, BTreeSet<String>>,
    /// Complete checkpoints of which nobody knows what they refer to.
    unreadable: BTreeSet<u64>,
    /// What would have been removed if one of those did not refer to it, perhaps.
    waiting: BTreeSet<String>,
}

impl SharedFiles {
    /// Of a job that has no checkpoints.
    pub fn new() -> Self {
        Self::default()
    }

    /// There is a complete checkpoint, which refers to these files.
    pub fn found(&mut self, checkpoint: u64, names: impl IntoIterator<Item = String>) {
        self.begun(checkpoint);
        self.refer(checkpoint, names);
    }

    /// There is a complete checkpoint whose manifest cannot be read: it may refer to any file. Until it is
    /// [discarded](Self::discarded) nothing is removed.
    pub fn unreadable(&mut self, checkpoint: u64) {
        self.unreadable.insert(checkpoint);
    }

    /// Whether there is a checkpoint that may refer to any file.
    pub fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// A checkpoint is on its way.
    pub fn begun(&mut self, checkpoint: u64) {
        self.checkpoints.entry(checkpoint).or_default();
    }

    /// A task has acknowledged a checkpoint, in the order in which it took its snapshots. Its state
    /// consists of the files `names`; `gone` are others that it has written, and will not name again. Gives
    /// those that can be removed.
    ///
    /// That holds, too, if the checkpoint was given up meanwhile: the task does not know that.
    pub fn acknowledged(
        &mut self,
        checkpoint: u64,
        task: TaskId,
        names: impl IntoIterator<Item = String>,
        gone: impl IntoIterator<Item = String>,
    ) -> Vec<String> {
        let names: BTreeSet<String> = names.into_iter().collect();
        self.refer(checkpoint, names.iter().cloned());
        let before = self.live.insert(task, names).unwrap_or_default();
        self.without_use(before.into_iter().chain(gone))
    }

    /// A checkpoint was given up, or is not kept any more. Gives the files that can be removed, after its
    /// manifest.
    pub fn discarded(&mut self, checkpoint: u64) -> Vec<String> {
        let names = self.checkpoints.remove(&checkpoint).unwrap_or_default();
        for name in &names {
            if let Some(count) = self.counts.get_mut(name) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(name);
                }
            }
        }
        self.unreadable.remove(&checkpoint);
        self.without_use(names)
    }

    /// Whether a checkpoint refers to a file, or a task may name it again.
    pub fn is_used(&self, name: &str) -> bool {
        self.counts.contains_key(name) || self.live.values().any(|live| live.contains(name))
    }

    /// A checkpoint that was not discarded refers to files.
    fn refer(&mut self, checkpoint: u64, names: impl IntoIterator<Item = String>) {
        let Some(own) = self.checkpoints.get_mut(&checkpoint) else { return };
        for name in names {
            if own.insert(name.clone()) {
                *self.counts.entry(name).or_default() += 1;
            }
        }
    }

    /// Those of some files that nobody uses, each once, and those that had to wait.
    fn without_use(&mut self, names: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut waiting = core::mem::take(&mut self.waiting);
        waiting.extend(names);
        waiting.retain(|name| !self.is_used(name));
        if self.has_unreadable() {
            self.waiting = waiting;
            return Vec::new();
        }
        waiting.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::ToString, vec};

    use proptest::prelude::*;

    use super::*;

    const TASK: TaskId = TaskId(0);

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_goes_with_the_last_checkpoint_that_refers_to_it() {
        let mut files = SharedFiles::new();
        files.found(1, names(&["a", "b"]));
        files.begun(2);
        assert_eq!(files.acknowledged(2, TASK, names(&["b", "c"]), []), names(&[]));
        assert_eq!(files.discarded(1), names(&["a"]));
        files.begun(3);
        assert_eq!(files.acknowledged(3, TASK, names(&["d"]), []), names(&[]), "2 has them");
        assert_eq!(files.discarded(2), names(&["b", "c"]));
        assert_eq!(files.discarded(2), names(&[]));
    }

    #[test]
    fn what_was_written_for_a_checkpoint_that_is_given_up_is_named_again() {
        let mut files = SharedFiles::new();
        files.begun(1);
        files.acknowledged(1, TASK, names(&["a", "b"]), []);
        assert_eq!(files.discarded(1), names(&[]), "the task believes them to be there");
        files.begun(2);
        let removed = files.acknowledged(2, TASK, names(&["b", "c"]), []);
        assert_eq!(removed, names(&["a"]), "the task has said that it is gone");
        assert!(files.is_used("b") && !files.is_used("a"));
        // An acknowledgement that comes too late is no reference, and is news of the task.
        files.begun(3);
        files.discarded(3);
        assert_eq!(files.acknowledged(3, TASK, names(&["e"]), []), names(&[]), "2 has both");
        assert_eq!(files.discarded(2), names(&["b", "c"]));
        files.begun(4);
        assert_eq!(files.acknowledged(4, TASK, names(&["f"]), []), names(&["e"]), "3 is over");
    }

    #[test]
    fn files_that_were_written_for_nothing_are_removed_when_the_task_says_so() {
        let mut files = SharedFiles::new();
        files.begun(1);
        let removed = files.acknowledged(1, TASK, names(&["b"]), names(&["a", "b"]));
        assert_eq!(removed, names(&["a"]), "what it names is not gone, whatever it says");
    }

    #[test]
    fn a_checkpoint_that_cannot_be_read_keeps_all() {
        let mut files = SharedFiles::new();
        files.found(1, names(&["a"]));
        files.unreadable(2);
        assert!(files.has_unreadable());
        assert_eq!(files.discarded(1), names(&[]), "checkpoint 2 may refer to it");
        assert_eq!(files.discarded(2), names(&["a"]));
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// A checkpoint begins, and tasks up to this one acknowledge it, each with files from `first` on.
        Take { tasks: u32, oldest: u32 },
        /// The one that is on its way is given up.
        Abort,
        /// The oldest but so many are discarded.
        Retain(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..4u32, 0..6u32).prop_map(|(tasks, oldest)| Step::Take { tasks, oldest }),
            1 => Just(Step::Abort),
            1 => (1..4usize).prop_map(Step::Retain),
        ]
    }

    proptest! {
        /// Whatever happens, a file that a checkpoint or a task needs is there, and in the end nothing
        /// else is.
        #[test]
        fn what_is_needed_is_there_and_nothing_else(steps in prop::collection::vec(step(), 1..60)) {
            const TASKS: u32 = 3;
            let mut files = SharedFiles::new();
            let mut there: BTreeSet<String> = BTreeSet::new();
            let mut state: Vec<Vec<String>> = vec![vec![]; TASKS as usize];
            let mut complete: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
            let (mut next, mut made) = (1u64, 0u32);
            let remove = |there: &mut BTreeSet<String>, names: Vec<String>| {
                names.iter().all(|name| there.remove(name))
            };
            for step in steps {
                match step {
                    Step::Take { tasks, oldest } => {
                        files.begun(next);
                        let mut own = BTreeSet::new();
                        for task in 0..tasks.min(TASKS) {
                            let state = &mut state[task as usize];
                            // Some are merged, one is new.
                            let merged = (oldest as usize).min(state.len());
                            state.drain(..merged);
                            made += 1;
                            let name = alloc::format!("{task}-{made}");
                            there.insert(name.clone());
                            state.push(name);
                            prop_assert!(state.iter().all(|name| there.contains(name)));
                            own.extend(state.iter().cloned());
                            let gone = files.acknowledged(next, TaskId(task), state.clone(), []);
                            prop_assert!(remove(&mut there, gone), "each is removed once");
                        }
                        if tasks >= TASKS {
                            complete.insert(next, own);
                        } else {
                            let gone = files.discarded(next);
                            prop_assert!(remove(&mut there, gone));
                        }
                        next += 1;
                    }
                    Step::Abort => {
                        files.begun(next);
                        let gone = files.discarded(next);
                        prop_assert!(remove(&mut there, gone));
                        next += 1;
                    }
                    Step::Retain(count) => while complete.len() > count {
                        let Some((oldest, _)) = complete.pop_first() else { break };
                        let gone = files.discarded(oldest);
                        prop_assert!(remove(&mut there, gone));
                    },
                }
                let needed = complete.values().flatten().chain(state.iter().flatten());
                let needed: BTreeSet<String> = needed.cloned().collect();
                prop_assert_eq!(&there, &needed);
            }
        }
    }
}
