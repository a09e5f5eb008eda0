use std::{vec, vec::Vec};

use millstream_exchange::event::{Alignment, Barrier};

use super::*;

const A: TaskId = TaskId(0);
const B: TaskId = TaskId(1);
const SINK: TaskId = TaskId(2);

/// Two sources and a sink that reads both.
struct Job {
    coordinator: Coordinator,
    now: u64,
}

impl Job {
    fn new(config: Config) -> Self {
        Self::resumed(config, History::default())
    }

    fn resumed(config: Config, history: History) -> Self {
        let inputs = [vec![], vec![], vec![A, B]];
        Self { coordinator: Coordinator::new(config, inputs, history), now: 1000 }
    }

    /// All tasks run.
    fn running(config: Config) -> Self {
        let mut job = Self::new(config);
        job.run();
        job
    }

    fn run(&mut self) {
        for task in [A, B, SINK] {
            assert_eq!(self.step(Input::Running { task }), []);
        }
    }

    fn step(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.coordinator.step(self.now, input, &mut actions);
        actions
    }

    /// Goes on to the next deadline.
    fn wait(&mut self) -> Vec<Action> {
        self.now = self.coordinator.next_deadline().expect("a deadline");
        self.step(Input::Time)
    }

    fn acknowledge(&mut self, checkpoint: u64, task: TaskId) -> Vec<Action> {
        let state = vec![task.0 as u8; 2].into();
        self.step(Input::Acknowledge { checkpoint, task, state })
    }

    fn decline(&mut self, checkpoint: u64, task: TaskId, reason: Decline) -> Vec<Action> {
        self.step(Input::Decline { checkpoint, task, reason })
    }

    /// All acknowledge, and the manifest is stored.
    fn complete(&mut self, checkpoint: u64) -> Vec<Action> {
        assert_eq!(self.acknowledge(checkpoint, A), []);
        assert_eq!(self.acknowledge(checkpoint, B), []);
        let stored = self.acknowledge(checkpoint, SINK);
        assert!(matches!(&*stored, [Action::Store(snapshot)]
            if snapshot.barrier.checkpoint == checkpoint));
        self.step(Input::Stored { checkpoint })
    }
}

fn every(interval_ms: u64) -> Config {
    Config { interval_ms: Some(interval_ms), ..Config::default() }
}

/// The tasks and the checkpoint that were triggered, and nothing else.
fn triggered(actions: &[Action]) -> Vec<(TaskId, u64)> {
    let each = actions.iter().map(|action| match action {
        Action::Trigger { task, barrier, .. } => (*task, barrier.checkpoint),
        other => panic!("{other:?}"),
    });
    each.collect()
}

fn failed() -> Decline {
    Decline::Failed("the disk is on fire".into())
}

fn completed(checkpoint: u64) -> Action {
    Action::Complete(Permit::mint(checkpoint))
}

#[test]
fn a_checkpoint_from_its_trigger_to_its_completion() {
    let mut job = Job::running(every(100));
    assert_eq!(job.coordinator.next_deadline(), Some(1100));
    let actions = job.wait();
    assert_eq!(triggered(&actions), [(A, 1), (B, 1)]);
    let Action::Trigger { barrier, drain: false, .. } = &actions[0] else { panic!() };
    let purpose = Purpose::Checkpoint;
    let expected =
        Barrier { checkpoint: 1, timestamp_ms: 1100, alignment: Alignment::Aligned, purpose };
    assert_eq!(*barrier, expected);
    job.acknowledge(1, SINK);
    job.acknowledge(1, A);
    job.acknowledge(1, A);
    let state = |byte: u8| TaskSnapshot::State(vec![byte; 2].into());
    let tasks = vec![state(0), state(1), state(2)];
    assert_eq!(job.acknowledge(1, B), [Action::Store(Snapshot { barrier: expected, tasks })]);
    // Not complete before the manifest is durable, and then once.
    assert_eq!(job.acknowledge(1, B), []);
    assert_eq!(job.step(Input::Stored { checkpoint: 1 }), [completed(1)]);
    assert_eq!(job.step(Input::Stored { checkpoint: 1 }), []);
    assert_eq!(job.coordinator.retained().collect::<Vec<_>>(), [1]);
    // The next one, and the one before goes.
    job.wait();
    assert_eq!(job.complete(2), [completed(2), Action::Discard { checkpoint: 1 }]);
}

#[test]
fn nothing_begins_before_all_tasks_run() {
    let mut job = Job::new(every(100));
    job.step(Input::Running { task: A });
    job.step(Input::Running { task: SINK });
    job.now = 5000;
    assert_eq!(job.step(Input::Time), []);
    assert_eq!(job.coordinator.next_deadline(), None);
    job.step(Input::Running { task: B });
    assert_eq!(job.coordinator.next_deadline(), Some(5100));
}

#[test]
fn a_pause_follows_a_complete_checkpoint_and_missed_ones_are_not_made_up_for() {
    let mut job = Job::running(Config { min_pause_ms: 70, ..every(100) });
    job.wait();
    job.now = 1450;
    job.complete(1);
    // Due at 1200 already.
    assert_eq!(job.coordinator.next_deadline(), Some(1520));
    assert_eq!(triggered(&job.wait()), [(A, 2), (B, 2)]);
    job.now = 1521;
    job.complete(2);
    assert_eq!(job.coordinator.next_deadline(), Some(1620));
}

#[test]
fn as_many_as_may_be_are_pending() {
    let mut job = Job::running(Config { max_concurrent: 2, ..every(10) });
    assert_eq!(triggered(&job.wait()), [(A, 1), (B, 1)]);
    assert_eq!(triggered(&job.wait()), [(A, 2), (B, 2)]);
    job.now += 1000;
    assert_eq!(job.step(Input::Time), []);
    // The newer one ends the older one, and makes room.
    let actions = job.complete(2);
    let reason = Failure::Subsumed { by: 2 };
    let ended =
        [completed(2), Action::Abort { checkpoint: 1, reason }, Action::Discard { checkpoint: 1 }];
    assert_eq!(actions[..3], ended);
    assert_eq!(triggered(&actions[3..]), [(A, 3), (B, 3)]);
    assert_eq!(job.acknowledge(1, SINK), []);
}

#[test]
fn what_takes_too_long_is_given_up() {
    let mut job = Job::running(Config { tolerable_failures: 1, timeout_ms: 50, ..every(100) });
    job.wait();
    job.acknowledge(1, A);
    let reason = Failure::Expired { timeout_ms: 50, missing: Some(B) };
    let ended = [Action::Abort { checkpoint: 1, reason }, Action::Discard { checkpoint: 1 }];
    assert_eq!(job.wait(), ended);
    assert_eq!(job.now, 1150);
    assert_eq!(job.acknowledge(1, B), []);
    assert_eq!(job.decline(1, SINK, failed()), []);
    assert_eq!(triggered(&job.wait()), [(A, 2), (B, 2)]);
}

#[test]
fn a_manifest_on_its_way_is_discarded_when_it_arrives_too_late() {
    let config = Config { tolerable_failures: 9, timeout_ms: 50, ..every(100) };
    for answer in [
        Input::Stored { checkpoint: 1 },
        Input::StoreFailed { checkpoint: 1, reason: "late".into() },
    ] {
        let mut job = Job::running(config);
        job.wait();
        for task in [A, B, SINK] {
            job.acknowledge(1, task);
        }
        let reason = Failure::Expired { timeout_ms: 50, missing: None };
        assert_eq!(job.wait(), [Action::Abort { checkpoint: 1, reason }]);
        assert!(!job.coordinator.is_settled());
        assert_eq!(job.step(answer.clone()), [Action::Discard { checkpoint: 1 }]);
        assert_eq!(job.step(answer), []);
    }
}

#[test]
fn failures_are_counted_as_flink_does() {
    let mut job = Job::running(Config { tolerable_failures: 1, ..every(100) });
    // Not a failure of the job.
    for reason in [Decline::NotReady, Decline::Closing, Decline::Cancelled, Decline::Subsumed] {
        let checkpoint = job.coordinator.next_id;
        job.wait();
        assert_eq!(job.decline(checkpoint, SINK, reason).len(), 2);
    }
    // A success makes good.
    job.wait();
    assert_eq!(job.decline(5, SINK, failed()).len(), 2);
    job.wait();
    job.complete(6);
    job.wait();
    let reason = "no space is left".into();
    for task in [A, B, SINK] {
        job.acknowledge(7, task);
    }
    assert_eq!(job.step(Input::StoreFailed { checkpoint: 7, reason }).len(), 2);
    job.wait();
    let actions = job.decline(8, SINK, failed());
    let reason = Failure::Declined { task: SINK, reason: failed() };
    let ended = [
        Action::Abort { checkpoint: 8, reason: reason.clone() },
        Action::Discard { checkpoint: 8 },
        Action::FailJob { reason, failures: 2 },
    ];
    assert_eq!(actions, ended);
    // It waits for the job to run again; ids go on.
    assert_eq!(job.coordinator.next_deadline(), None);
    job.run();
    assert_eq!(triggered(&job.wait()), [(A, 9), (B, 9)]);
}

#[test]
fn a_task_that_fails_ends_what_is_pending() {
    let mut job = Job::running(every(100));
    job.wait();
    let reason = Failure::TaskFailed { task: B };
    let ended = [Action::Abort { checkpoint: 1, reason }, Action::Discard { checkpoint: 1 }];
    assert_eq!(job.step(Input::Failed { task: B }), ended);
    assert_eq!(job.coordinator.next_deadline(), None);
    job.step(Input::Running { task: B });
    assert_eq!(triggered(&job.wait()), [(A, 2), (B, 2)]);
}

#[test]
fn a_finished_task_is_part_of_a_checkpoint_without_state() {
    let mut job = Job::running(every(100));
    job.step(Input::EndOfData { task: A });
    job.step(Input::Finished { task: A });
    assert_eq!(triggered(&job.wait()), [(B, 1)]);
    job.acknowledge(1, B);
    let stored = job.acknowledge(1, SINK);
    let [Action::Store(snapshot)] = &*stored else { panic!("{stored:?}") };
    assert_eq!(snapshot.tasks[0], TaskSnapshot::Finished);
}

#[test]
fn who_gets_no_barrier_from_its_inputs_is_triggered() {
    let mut job = Job::running(every(100));
    job.wait();
    // Both end in front of the barrier, which then nobody sends to the sink.
    assert_eq!(job.step(Input::Finished { task: A }), []);
    assert_eq!(triggered(&job.step(Input::Finished { task: B })), [(SINK, 1)]);
    assert!(matches!(&*job.acknowledge(1, SINK), [Action::Store(_)]));
    job.step(Input::Stored { checkpoint: 1 });

    let mut job = Job::running(every(100));
    job.wait();
    // One of them has sent it.
    job.acknowledge(1, A);
    job.step(Input::Finished { task: A });
    assert_eq!(job.step(Input::Finished { task: B }), []);
    assert!(matches!(&*job.acknowledge(1, SINK), [Action::Store(snapshot)]
        if snapshot.tasks[0] != TaskSnapshot::Finished));
}

#[test]
fn who_ends_behind_a_newer_checkpoint_is_no_part_of_an_older_one() {
    let mut job = Job::running(Config { max_concurrent: 2, ..every(10) });
    job.step(Input::Savepoint { request: 7 });
    job.wait();
    // The savepoint's barrier was in front of the last row of A; that it was is not heard of.
    job.step(Input::EndOfData { task: A });
    assert_eq!(job.complete(2)[0], completed(2));
    let actions = job.step(Input::Finished { task: A });
    let reason = Failure::Declined { task: A, reason: Decline::Closing };
    assert_eq!(actions[0], Action::Abort { checkpoint: 1, reason: reason.clone() });
    assert_eq!(actions[2], Action::Answer { request: 7, result: Err(reason) });
}

#[test]
fn a_manifest_on_its_way_survives_a_failure() {
    let mut job = Job::running(every(100));
    job.wait();
    for task in [A, B, SINK] {
        job.acknowledge(1, task);
    }
    assert_eq!(job.step(Input::Failed { task: SINK }), []);
    assert_eq!((job.coordinator.is_settled(), job.coordinator.newest()), (false, None));
    assert_eq!(job.step(Input::Stored { checkpoint: 1 }), [completed(1)]);
    assert_eq!((job.coordinator.is_settled(), job.coordinator.newest()), (true, Some(1)));

    // The last one: sinks have to be restored to commit, so it was not the last.
    let mut job = Job::running(Config::default());
    job.step(Input::EndOfData { task: A });
    job.step(Input::EndOfData { task: B });
    for task in [A, B, SINK] {
        job.acknowledge(1, task);
    }
    job.step(Input::Abort);
    assert_eq!(job.step(Input::Stored { checkpoint: 1 }), [completed(1)]);
    assert!(!job.coordinator.is_ended());
}

#[test]
fn the_last_checkpoint_comes_at_once_and_is_tried_until_it_is_complete() {
    let config = Config { tolerable_failures: 9, ..Config::default() };
    let mut job = Job::running(config);
    job.step(Input::EndOfData { task: A });
    assert_eq!(job.coordinator.next_deadline(), None);
    let actions = job.step(Input::EndOfData { task: B });
    assert_eq!(triggered(&actions), [(A, 1), (B, 1)]);
    assert_eq!(job.decline(1, SINK, failed()).len(), 2);
    assert_eq!(triggered(&job.wait()), [(A, 2), (B, 2)]);
    assert_eq!(job.now, 2000);
    assert!(!job.coordinator.is_ended());
    assert_eq!(job.complete(2), [completed(2), Action::End { checkpoint: 2 }]);
    assert!(job.coordinator.is_ended());
    assert_eq!(job.coordinator.next_deadline(), None);
    let refused = Action::Answer { request: 7, result: Err(Failure::Ending) };
    assert_eq!(job.step(Input::Savepoint { request: 7 }), [refused]);
    // A sink that fails before it has committed begins again from there, and so ends again.
    job.step(Input::Failed { task: SINK });
    assert_eq!(triggered(&job.step(Input::Running { task: SINK })), [(A, 3), (B, 3)]);
    assert_eq!(job.complete(3).last(), Some(&Action::End { checkpoint: 3 }));
}

#[test]
fn a_savepoint_goes_first_and_nobody_commits_because_of_it() {
    let mut job = Job::running(Config { min_pause_ms: 1_000_000, ..every(100) });
    job.wait();
    assert_eq!(job.step(Input::Savepoint { request: 7 }), []);
    let actions = job.complete(1);
    assert_eq!(actions[0], completed(1));
    assert_eq!(triggered(&actions[1..]), [(A, 2), (B, 2)]);
    assert_eq!(job.complete(2), [Action::Answer { request: 7, result: Ok(2) }]);
    // The user's own.
    assert_eq!(job.coordinator.retained().collect::<Vec<_>>(), [1]);
}

#[test]
fn savepoints_do_not_keep_checkpoints_from_their_turn() {
    let mut job = Job::running(every(100));
    for request in 1..4 {
        job.step(Input::Savepoint { request });
    }
    job.now = 1100;
    let mut purposes = Vec::new();
    for checkpoint in 1..5 {
        let actions = job.complete(checkpoint);
        purposes.extend(actions.iter().find_map(|action| match action {
            Action::Trigger { barrier, .. } => Some(barrier.purpose),
            _ => None,
        }));
    }
    assert_eq!(purposes, [Purpose::Checkpoint, Purpose::Savepoint, Purpose::Savepoint]);
}

#[test]
fn savepoints_are_answered_whatever_happens() {
    let mut job = Job::new(Config::default());
    let refused = Action::Answer { request: 1, result: Err(Failure::NotRunning { task: A }) };
    assert_eq!(job.step(Input::Savepoint { request: 1 }), [refused]);
    job.run();
    job.step(Input::Savepoint { request: 2 });
    job.step(Input::Savepoint { request: 3 });
    let actions = job.step(Input::Abort);
    let aborted = Failure::Aborted;
    let ended = [
        Action::Abort { checkpoint: 1, reason: aborted.clone() },
        Action::Discard { checkpoint: 1 },
        Action::Answer { request: 2, result: Err(aborted.clone()) },
        Action::Answer { request: 3, result: Err(aborted) },
    ];
    assert_eq!(actions, ended);
    // One that takes too long does not fail the job.
    job.run();
    job.step(Input::Savepoint { request: 4 });
    let actions = job.wait();
    assert!(matches!(actions[2], Action::Answer { request: 4, result: Err(_) }));
    assert_eq!(actions.len(), 3);
}

#[test]
fn savepoints_that_wait_are_refused_when_all_have_finished() {
    let mut job = Job::running(every(100));
    job.wait();
    job.step(Input::Savepoint { request: 1 });
    job.step(Input::Finished { task: A });
    job.step(Input::Finished { task: B });
    let actions = job.step(Input::Finished { task: SINK });
    let refused = Action::Answer { request: 1, result: Err(Failure::Ending) };
    assert_eq!(actions.last(), Some(&refused));
}

#[test]
fn a_job_that_is_down_does_not_fail_once_more() {
    let mut job = Job::running(Config { timeout_ms: 50, ..every(100) });
    job.wait();
    for task in [A, B, SINK] {
        job.acknowledge(1, task);
    }
    job.step(Input::Abort);
    let reason = Failure::Expired { timeout_ms: 50, missing: None };
    assert_eq!(job.wait(), [Action::Abort { checkpoint: 1, reason }]);
}

#[test]
fn a_job_stops_with_its_savepoint_or_fails_without() {
    let mut job = Job::running(every(100));
    let stop = Input::StopWithSavepoint { request: 7, drain: true };
    let actions = job.step(stop.clone());
    assert!(matches!(actions[0], Action::Trigger { drain: true, .. }));
    job.step(Input::EndOfData { task: A });
    job.step(Input::EndOfData { task: B });
    let ended =
        [completed(1), Action::Answer { request: 7, result: Ok(1) }, Action::End { checkpoint: 1 }];
    assert_eq!(job.complete(1), ended);

    let mut job = Job::running(every(100));
    job.step(stop);
    let actions = job.decline(1, SINK, Decline::Cancelled);
    assert!(matches!(actions[2], Action::Answer { request: 7, result: Err(_) }));
    assert!(matches!(actions[3], Action::FailJob { failures: 0, .. }));
    assert_eq!((actions.len(), job.coordinator.next_deadline()), (4, None));
}

#[test]
fn others_go_on_when_a_task_fails_unless_the_job_ends_or_stops() {
    let mut job = Job::running(every(100));
    job.wait();
    assert!(job.coordinator.lets_others_go_on());
    job.complete(1);
    job.step(Input::Savepoint { request: 6 });
    assert!(job.coordinator.lets_others_go_on(), "they do behind a savepoint");
    job.complete(2);
    job.step(Input::StopWithSavepoint { request: 7, drain: false });
    assert!(!job.coordinator.lets_others_go_on());
    job.step(Input::Failed { task: A });
    assert!(job.coordinator.lets_others_go_on(), "it does not stop any more");

    let mut job = Job::running(Config::default());
    job.step(Input::EndOfData { task: A });
    job.step(Input::EndOfData { task: B });
    assert!(job.coordinator.lets_others_go_on(), "tasks wait for the last checkpoint");
    job.complete(1);
    assert!(!job.coordinator.lets_others_go_on(), "and end behind it");
}

#[test]
fn a_job_that_stopped_does_not_go_back_behind_its_savepoint() {
    let mut job = Job::running(Config { max_concurrent: 2, ..every(100) });
    job.wait();
    for task in [A, B, SINK] {
        job.acknowledge(1, task);
    }
    job.step(Input::StopWithSavepoint { request: 7, drain: false });
    let actions = job.complete(2);
    let reason = Failure::Subsumed { by: 2 };
    assert_eq!(actions[2], Action::Abort { checkpoint: 1, reason });
    assert_eq!(actions[3], Action::End { checkpoint: 2 });
    // Its manifest was on its way.
    assert_eq!(job.step(Input::Stored { checkpoint: 1 }), [Action::Discard { checkpoint: 1 }]);
    assert_eq!(job.coordinator.newest(), Some(2));
}

#[test]
fn a_coordinator_goes_on_where_another_stopped() {
    let history = History { next: 9, retained: vec![5, 7], newest: Some(7) };
    let mut job = Job::resumed(Config { retained: 2, ..every(100) }, history);
    job.run();
    assert_eq!(job.coordinator.newest(), Some(7));
    assert_eq!(triggered(&job.wait()), [(A, 9), (B, 9)]);
    assert_eq!(job.complete(9), [completed(9), Action::Discard { checkpoint: 5 }]);
}

#[test]
fn nobody_can_confuse_it() {
    let mut job = Job::running(every(100));
    let nobody = TaskId(99);
    for input in [
        Input::Running { task: nobody },
        Input::EndOfData { task: nobody },
        Input::Finished { task: nobody },
        Input::Failed { task: nobody },
        Input::Stored { checkpoint: 1 },
        Input::StoreFailed { checkpoint: 3, reason: "".into() },
    ] {
        assert_eq!(job.step(input), []);
    }
    job.wait();
    assert_eq!(job.acknowledge(1, nobody), []);
    assert_eq!(job.decline(1, nobody, failed()), []);
    // Nothing is on its way to the storage.
    assert_eq!(job.step(Input::Stored { checkpoint: 1 }), []);
    assert_eq!(job.step(Input::StoreFailed { checkpoint: 1, reason: "".into() }), []);
    assert_eq!(job.coordinator.pending().collect::<Vec<_>>(), [1]);
}
