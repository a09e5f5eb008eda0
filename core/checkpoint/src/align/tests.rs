use std::{vec, vec::Vec};

use millstream_exchange::event::{Event, Purpose};
use proptest::prelude::*;

use super::*;

const TIMEOUT: Alignment = Alignment::Timeout { timeout_ms: 100 };

fn barrier(checkpoint: u64, alignment: Alignment) -> Barrier {
    Barrier { checkpoint, timestamp_ms: 1000, alignment, purpose: Purpose::Checkpoint }
}

fn snapshot(checkpoint: u64, alignment: Alignment) -> Action {
    Action::Snapshot { barrier: barrier(checkpoint, alignment), in_flight: false }
}

fn unaligned(checkpoint: u64) -> Action {
    Action::Snapshot { barrier: barrier(checkpoint, Alignment::Unaligned), in_flight: true }
}

fn aborted(checkpoint: u64, reason: Decline) -> Action {
    Action::Abort { checkpoint, reason: Some(reason) }
}

/// An aligner at a time, whose channels have sent nothing yet.
struct Task {
    aligner: Aligner,
    now: i64,
}

impl Task {
    fn new(channels: u32) -> Self {
        Self { aligner: Aligner::new(channels), now: 1000 }
    }

    fn step(&mut self, input: Input) -> Vec<Action> {
        let mut actions = Vec::new();
        self.aligner.step(self.now, input, &mut actions);
        actions
    }

    fn read(&mut self, channel: u32, checkpoint: u64, alignment: Alignment) -> Vec<Action> {
        let barrier = barrier(checkpoint, alignment);
        let blocked = Event::Barrier(barrier).blocks_upstream();
        self.step(Input::Barrier { channel, sequence: 7, barrier, blocked })
    }

    /// A barrier that the gate let overtake.
    fn read_overtaken(&mut self, channel: u32, checkpoint: u64) -> Vec<Action> {
        let barrier = barrier(checkpoint, Alignment::Unaligned);
        self.step(Input::Barrier { channel, sequence: 7, barrier, blocked: true })
    }

    fn announced(&mut self, channel: u32, checkpoint: u64) -> Vec<Action> {
        self.step(Input::Announcement { channel, barrier: barrier(checkpoint, TIMEOUT) })
    }

    fn open(&self) -> Vec<u64> {
        self.aligner.open_checkpoints().collect()
    }
}

#[test]
fn channels_wait_until_the_last_barrier() {
    let mut task = Task::new(3);
    assert_eq!(task.read(2, 1, Alignment::Aligned), []);
    assert_eq!(task.read(0, 1, Alignment::Aligned), []);
    let blocked = [0, 1, 2].map(|channel| task.aligner.is_blocked(channel));
    assert_eq!((blocked, task.open()), ([true, false, true], vec![1]));
    assert_eq!(
        task.read(1, 1, Alignment::Aligned),
        [
            snapshot(1, Alignment::Aligned),
            Action::Resume { channel: 0 },
            Action::Resume { channel: 1 },
            Action::Resume { channel: 2 },
        ]
    );
    assert_eq!((task.open(), task.aligner.next_deadline()), (vec![], None));
    assert!(!task.aligner.is_blocked(2));
}

#[test]
fn a_barrier_that_is_over_lets_its_channel_go_on_and_nothing_else() {
    let mut task = Task::new(2);
    task.read(0, 5, Alignment::Aligned);
    task.read(1, 5, Alignment::Aligned);
    for late in [5, 4] {
        assert_eq!(task.read(0, late, Alignment::Aligned), [Action::Resume { channel: 0 }]);
    }
    // Older than the one that is open.
    task.read(0, 9, Alignment::Aligned);
    assert_eq!(task.read(1, 8, Alignment::Aligned), [Action::Resume { channel: 1 }]);
    assert!(task.aligner.is_blocked(0) && task.open() == [9]);
}

#[test]
fn a_newer_barrier_ends_an_older_checkpoint() {
    let mut task = Task::new(2);
    task.read(0, 1, Alignment::Aligned);
    let ended = [aborted(1, Decline::Subsumed), Action::Resume { channel: 0 }];
    assert_eq!(task.read(1, 2, Alignment::Aligned), ended);
    assert_eq!(task.read(1, 1, Alignment::Aligned), [Action::Resume { channel: 1 }]);
    assert_eq!(task.read(0, 2, Alignment::Aligned)[0], snapshot(2, Alignment::Aligned));
}

#[test]
fn a_cancelled_barrier_ends_the_checkpoint_once() {
    let mut task = Task::new(2);
    task.read(0, 1, Alignment::Aligned);
    let ended = [aborted(1, Decline::Cancelled), Action::Resume { channel: 0 }];
    assert_eq!(task.step(Input::Cancel { channel: 1, checkpoint: 1 }), ended);
    assert_eq!(task.step(Input::Cancel { channel: 0, checkpoint: 1 }), []);
    // One of which nothing else has come so far, and nothing will.
    let told = [aborted(3, Decline::Cancelled)];
    assert_eq!(task.step(Input::Cancel { channel: 0, checkpoint: 3 }), told);
    assert_eq!(task.read(1, 3, Alignment::Aligned), [Action::Resume { channel: 1 }]);
    assert_eq!(task.open(), []);
}

#[test]
fn what_the_coordinator_gives_up_is_not_told_to_it() {
    let mut task = Task::new(2);
    task.read(0, 1, Alignment::Aligned);
    let ended = [Action::Abort { checkpoint: 1, reason: None }, Action::Resume { channel: 0 }];
    assert_eq!(task.step(Input::Abort { checkpoint: 1 }), ended);
    assert_eq!(task.read(1, 1, Alignment::Aligned), [Action::Resume { channel: 1 }]);
    // Before any barrier, while an older one is open.
    task.read(0, 2, Alignment::Aligned);
    assert_eq!(task.step(Input::Abort { checkpoint: 3 }), []);
    assert_eq!(task.read(1, 2, Alignment::Aligned)[0], snapshot(2, Alignment::Aligned));
    assert_eq!(task.read(1, 3, Alignment::Aligned), [Action::Resume { channel: 1 }]);
}

#[test]
fn channels_that_have_ended_count_as_aligned() {
    let mut task = Task::new(3);
    assert_eq!(task.step(Input::EndOfPartition { channel: 0 }), []);
    assert_eq!(task.read(1, 1, Alignment::Aligned), []);
    let done = [snapshot(1, Alignment::Aligned), Action::Resume { channel: 1 }];
    assert_eq!(task.step(Input::EndOfPartition { channel: 2 }), done);
    // Triggered when one channel is open: its producer has ended, its last rows are on their way.
    let trigger = Input::Trigger { barrier: barrier(2, Alignment::Aligned) };
    assert_eq!(task.step(trigger), []);
    let done = [snapshot(2, Alignment::Aligned)];
    assert_eq!(task.step(Input::EndOfPartition { channel: 1 }), done);
    assert_eq!(task.step(trigger), []);
    let next = Input::Trigger { barrier: barrier(3, Alignment::Aligned) };
    assert_eq!(task.step(next), [snapshot(3, Alignment::Aligned)]);
}

#[test]
fn a_source_takes_its_snapshot_when_triggered() {
    let mut task = Task::new(0);
    let trigger = Input::Trigger { barrier: barrier(1, Alignment::Unaligned) };
    assert_eq!(task.step(trigger), [snapshot(1, Alignment::Unaligned)]);
    assert_eq!(task.step(trigger), []);
}

#[test]
fn at_least_once_waits_for_nobody_and_keeps_several_open() {
    let mut task = Task::new(2);
    for checkpoint in 1..4 {
        assert_eq!(task.read(0, checkpoint, Alignment::None), []);
    }
    assert!(!task.aligner.is_blocked(0) && task.open() == [1, 2, 3]);
    assert_eq!(task.read(1, 1, Alignment::None), [snapshot(1, Alignment::None)]);
    // The second will never come on channel 1.
    let done = [aborted(2, Decline::Subsumed), snapshot(3, Alignment::None)];
    assert_eq!(task.read(1, 3, Alignment::None), done);
    assert_eq!(task.open(), []);
    for checkpoint in 4..=4 + ROUNDS_MAX as u64 {
        let actions = task.read(0, checkpoint, Alignment::None);
        assert_eq!(actions.is_empty(), checkpoint < 4 + ROUNDS_MAX as u64);
    }
    assert_eq!(task.open().len(), ROUNDS_MAX);
    // All that remain are complete now, none in vain.
    let done = task.step(Input::EndOfPartition { channel: 1 });
    assert!(done.iter().all(|action| matches!(action, Action::Snapshot { .. })));
    assert_eq!(done.len(), ROUNDS_MAX);
}

#[test]
fn an_unaligned_barrier_captures_what_is_in_front_of_all_others() {
    let mut task = Task::new(3);
    task.step(Input::EndOfPartition { channel: 2 });
    assert_eq!(
        task.read(1, 1, Alignment::Unaligned),
        [
            unaligned(1),
            Action::Capture { channel: 0 },
            Action::Capture { channel: 1 },
            Action::CaptureEnd { channel: 1, sequence: Some(7) },
        ]
    );
    assert!(!task.aligner.is_blocked(1));
    let done =
        [Action::CaptureEnd { channel: 0, sequence: Some(7) }, Action::Captured { checkpoint: 1 }];
    assert_eq!(task.read(0, 1, Alignment::Unaligned), done);
    // A channel that ends has nothing behind its barrier.
    task.read(0, 2, Alignment::Unaligned);
    let done =
        [Action::CaptureEnd { channel: 1, sequence: None }, Action::Captured { checkpoint: 2 }];
    assert_eq!(task.step(Input::EndOfPartition { channel: 1 }), done);
}

#[test]
fn captured_data_are_dropped_when_the_checkpoint_is_given_up() {
    let mut task = Task::new(2);
    task.read(0, 1, Alignment::Unaligned);
    let told = [aborted(1, Decline::Subsumed), unaligned(2)];
    assert_eq!(task.read(0, 2, Alignment::Unaligned)[..2], told);
    let told = [aborted(2, Decline::Cancelled)];
    assert_eq!(task.step(Input::Cancel { channel: 1, checkpoint: 2 }), told);
    assert_eq!(task.read(1, 2, Alignment::Unaligned), []);
}

#[test]
fn in_time_a_barrier_with_timeout_is_aligned() {
    let mut task = Task::new(2);
    assert_eq!(task.announced(0, 1), []);
    assert_eq!(task.aligner.next_deadline(), Some(1100));
    task.read(0, 1, TIMEOUT);
    task.now = 1099;
    assert_eq!(task.step(Input::Time), []);
    let done = [snapshot(1, TIMEOUT), Action::Resume { channel: 0 }, Action::Resume { channel: 1 }];
    // The last one is as good as in time: nothing is left to overtake.
    task.now = 1200;
    assert_eq!(task.read(1, 1, TIMEOUT), done);
    assert_eq!(task.aligner.next_deadline(), None);
}

#[test]
fn when_time_is_over_barriers_overtake_and_blocked_channels_stay_blocked() {
    let mut task = Task::new(3);
    task.read(0, 1, TIMEOUT);
    task.announced(1, 1);
    task.now = 1100;
    let gone = [
        Action::Overtake { channel: 1, checkpoint: 1 },
        unaligned(1),
        Action::Capture { channel: 1 },
        Action::Capture { channel: 2 },
    ];
    assert_eq!(task.step(Input::Time), gone);
    assert_eq!(task.aligner.next_deadline(), None);
    assert_eq!(task.read_overtaken(1, 1), [Action::CaptureEnd { channel: 1, sequence: Some(7) }]);
    assert!(task.aligner.is_blocked(0) && task.aligner.is_blocked(1));
    // One that is announced later overtakes at once.
    assert_eq!(task.announced(2, 1), [Action::Overtake { channel: 2, checkpoint: 1 }]);
    assert_eq!(
        task.read_overtaken(2, 1),
        [
            Action::CaptureEnd { channel: 2, sequence: Some(7) },
            Action::Captured { checkpoint: 1 },
            Action::Resume { channel: 0 },
            Action::Resume { channel: 1 },
            Action::Resume { channel: 2 },
        ]
    );
}

#[test]
fn when_time_is_over_and_no_barrier_was_read_the_first_takes_the_snapshot() {
    let mut task = Task::new(2);
    task.announced(0, 1);
    task.now = 1100;
    assert_eq!(task.step(Input::Time), [Action::Overtake { channel: 0, checkpoint: 1 }]);
    assert_eq!(task.step(Input::Time), []);
    assert_eq!(
        task.read_overtaken(0, 1),
        [
            unaligned(1),
            Action::Capture { channel: 1 },
            Action::Capture { channel: 0 },
            Action::CaptureEnd { channel: 0, sequence: Some(7) },
        ]
    );
}

#[test]
fn a_barrier_that_overtook_for_nothing_does_not_leave_its_channel_behind() {
    let mut task = Task::new(2);
    task.announced(0, 1);
    task.now = 1100;
    task.step(Input::Time);
    task.step(Input::Abort { checkpoint: 1 });
    assert_eq!(task.read_overtaken(0, 1), [Action::Resume { channel: 0 }]);
}

#[test]
fn a_barrier_that_its_producer_let_overtake_does_not_block() {
    let mut task = Task::new(2);
    task.read(0, 1, TIMEOUT);
    task.read(1, 1, Alignment::Unaligned);
    // Channel 0 was aligned, channel 1 never stopped.
    let again = task.read(1, 2, Alignment::Unaligned);
    assert_eq!(again[0], unaligned(2));
    assert!(!task.aligner.is_blocked(0) && !task.aligner.is_blocked(1));
}

#[derive(Clone, Copy, Debug)]
enum Sent {
    Barrier(u64),
    Cancel(u64),
    End,
}

/// What producers may send on one channel: barriers or their cancellation, in order, some left out.
fn any_channel() -> impl Strategy<Value = Vec<Sent>> {
    let each = prop::collection::vec(0..8u8, 12);
    (each, any::<bool>()).prop_map(|(each, ends)| {
        let mut sent = Vec::new();
        for (choice, checkpoint) in each.into_iter().zip(1..) {
            match choice {
                0 => {}
                1 => sent.push(Sent::Cancel(checkpoint)),
                _ => sent.push(Sent::Barrier(checkpoint)),
            }
        }
        if ends {
            sent.push(Sent::End);
        }
        sent
    })
}

proptest! {
    /// Whatever arrives in whatever order: a channel is resumed when it is blocked, and only then;
    /// snapshots and endings are of rising checkpoints and once each; a snapshot is taken with every
    /// barrier there; nothing is blocked that no open checkpoint waits with.
    #[test]
    fn no_channel_is_stuck(
        channels in prop::collection::vec(any_channel(), 1..4),
        mode in 0..4usize,
        choices in prop::collection::vec((any::<u8>(), 0..60i64), 200),
    ) {
        let alignment = [Alignment::None, Alignment::Aligned, TIMEOUT, Alignment::Unaligned][mode];
        let mut task = Task::new(channels.len() as u32);
        let mut at = vec![0; channels.len()];
        let mut blocked = vec![false; channels.len()];
        let mut done = Vec::new();
        let mut ended = BTreeSet::new();
        let mut urgent: VecDeque<(u32, u64)> = VecDeque::new();
        for (choice, pause) in choices {
            task.now += pause;
            let overtaking = urgent.pop_front();
            let any = u32::from(choice) % channels.len() as u32;
            let channel = overtaking.map_or(any, |(channel, _)| channel);
            let number = channel as usize;
            let Some(sent) = channels[number].get(at[number]).filter(|_| !blocked[number]) else {
                prop_assert!(overtaking.is_none());
                continue;
            };
            at[number] += 1;
            let input = match *sent {
                _ if choice >= 240 && overtaking.is_none() => {
                    at[number] -= 1;
                    Input::Abort { checkpoint: u64::from(choice % 13) }
                }
                Sent::Barrier(id) if overtaking.is_some() => {
                    prop_assert_eq!(overtaking, Some((channel, id)));
                    blocked[number] = true;
                    let barrier = barrier(id, Alignment::Unaligned);
                    Input::Barrier { channel, sequence: 0, barrier, blocked: true }
                }
                Sent::Barrier(id) if alignment == TIMEOUT && choice >= 192 => {
                    // Announced, and not read yet.
                    at[number] -= 1;
                    Input::Announcement { channel, barrier: barrier(id, alignment) }
                }
                Sent::Barrier(id) => {
                    let barrier = barrier(id, alignment);
                    let blocks = Event::Barrier(barrier).blocks_upstream();
                    blocked[number] = blocks;
                    Input::Barrier { channel, sequence: 0, barrier, blocked: blocks }
                }
                Sent::Cancel(checkpoint) => Input::Cancel { channel, checkpoint },
                Sent::End => Input::EndOfPartition { channel },
            };
            for action in task.step(input) {
                match action {
                    Action::Resume { channel } => {
                        prop_assert!(blocked[channel as usize], "{channel} was not blocked");
                        blocked[channel as usize] = false;
                    }
                    Action::Snapshot { barrier, .. } => {
                        prop_assert!(done.last().is_none_or(|last| *last < barrier.checkpoint));
                        prop_assert!(!ended.contains(&barrier.checkpoint));
                        done.push(barrier.checkpoint);
                    }
                    Action::Abort { checkpoint, .. } => prop_assert!(ended.insert(checkpoint)),
                    Action::Overtake { channel, checkpoint } => {
                        urgent.push_back((channel, checkpoint));
                    }
                    Action::Captured { checkpoint } => prop_assert!(done.contains(&checkpoint)),
                    Action::Capture { .. } | Action::CaptureEnd { .. } => {}
                }
            }
            for (channel, blocked) in blocked.iter().enumerate() {
                prop_assert_eq!(task.aligner.is_blocked(channel as u32), *blocked);
                prop_assert!(!blocked || !task.open().is_empty());
            }
        }
    }
}
