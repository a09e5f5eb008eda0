use std::string::ToString;
use std::vec::Vec;

use super::*;
use crate::event::{Purpose, StreamStatus};

fn barrier(checkpoint: u64, alignment: Alignment) -> Event {
    let purpose = Purpose::Checkpoint;
    Event::Barrier(Barrier { checkpoint, timestamp_ms: 0, alignment, purpose })
}

fn push(gate: &mut InputGate<u32>, channel: u32, page: u32) -> Wake {
    gate.push_data(channel, page, Data::page(page, 1))
}

fn event(gate: &mut InputGate<u32>, channel: u32, sequence: u32, event: Event) -> Wake {
    gate.push_event(channel, sequence, event).expect("few events")
}

fn drain(gate: &mut InputGate<u32>) -> Vec<(u32, Result<u32, Event>)> {
    core::iter::from_fn(|| gate.poll())
        .map(|polled| match polled.element {
            Element::Data(data) => (polled.channel, Ok(data.buffer)),
            Element::Event(event) => (polled.channel, Err(event)),
        })
        .collect()
}

#[test]
fn channels_take_turns() {
    let mut gate = InputGate::new(3);
    assert_eq!(push(&mut gate, 0, 1), Wake::Reader);
    assert_eq!(push(&mut gate, 0, 2), Wake::Nobody);
    for page in [3, 4, 5] {
        let _ = push(&mut gate, 0, page);
    }
    assert_eq!(push(&mut gate, 2, 6), Wake::Nobody);
    let _ = push(&mut gate, 2, 7);
    assert!(gate.is_available());
    let expected = [(0, 1), (2, 6), (0, 2), (2, 7), (0, 3), (0, 4), (0, 5)];
    assert_eq!(drain(&mut gate), expected.map(|(channel, page)| (channel, Ok(page))));
    assert!(!gate.is_available());
    assert_eq!(push(&mut gate, 1, 8), Wake::Reader);
}

#[test]
fn priority_goes_before_every_channel() {
    let mut gate = InputGate::new(2);
    let _ = push(&mut gate, 0, 1);
    let _ = push(&mut gate, 1, 2);
    let unaligned = barrier(1, Alignment::Unaligned);
    let _ = event(&mut gate, 1, 9, unaligned);
    assert_eq!(gate.queued_data(1).map(|(_, data)| data.buffer).collect::<Vec<_>>(), [2]);
    assert_eq!(drain(&mut gate), [(1, Err(unaligned)), (0, Ok(1)), (1, Ok(2))]);
    assert_eq!(gate.state(1), ChannelState::Open);
    assert_eq!(event(&mut gate, 0, 9, unaligned), Wake::Reader);
}

#[test]
fn urgent_channels_take_turns_and_wake_once() {
    let mut gate = InputGate::new(3);
    let unaligned = |checkpoint| barrier(checkpoint, Alignment::Unaligned);
    assert_eq!(event(&mut gate, 0, 1, unaligned(1)), Wake::Reader);
    assert!(gate.is_available());
    assert_eq!(event(&mut gate, 0, 2, unaligned(2)), Wake::Nobody);
    assert_eq!(event(&mut gate, 1, 1, unaligned(3)), Wake::Nobody);
    assert_eq!(push(&mut gate, 1, 4), Wake::Nobody);
    assert_eq!(push(&mut gate, 2, 5), Wake::Nobody);
    let events = [(0, 1), (1, 3), (0, 2)].map(|(channel, id)| (channel, Err(unaligned(id))));
    let pages = [(1, Ok(4)), (2, Ok(5))];
    assert_eq!(drain(&mut gate), [&events[..], &pages[..]].concat());
}

#[test]
fn a_paused_channel_keeps_its_data_and_passes_priority() {
    let mut gate = InputGate::new(2);
    let _ = push(&mut gate, 0, 1);
    let _ = push(&mut gate, 0, 2);
    assert!(gate.poll().is_some());
    gate.pause(0);
    assert!(gate.poll().is_none());
    assert_eq!(push(&mut gate, 0, 3), Wake::Nobody);
    let unaligned = barrier(1, Alignment::Unaligned);
    let _ = event(&mut gate, 0, 9, unaligned);
    let _ = push(&mut gate, 1, 4);
    assert_eq!(drain(&mut gate), [(0, Err(unaligned)), (1, Ok(4))]);
    assert_eq!(gate.unpause(0), Wake::Reader);
    assert_eq!(drain(&mut gate), [(0, Ok(2)), (0, Ok(3))]);
}

#[test]
fn a_blocking_event_blocks_its_channel_until_resumed() {
    let mut gate: InputGate<u32> = InputGate::new(2);
    let aligned = barrier(1, Alignment::Aligned);
    let _ = event(&mut gate, 0, 1, aligned);
    assert_eq!(gate.state(0), ChannelState::Open, "not read yet");
    assert_eq!(drain(&mut gate), [(0, Err(aligned))]);
    assert_eq!(gate.state(0), ChannelState::Blocked);
    gate.resume(0);
    assert_eq!(gate.state(0), ChannelState::Open);
}

#[test]
fn a_barrier_with_timeout_is_announced_and_may_overtake() {
    let mut gate = InputGate::new(1);
    let timed = barrier(5, Alignment::Timeout { timeout_ms: 10 });
    let Event::Barrier(inner) = timed else { unreachable!() };
    let _ = push(&mut gate, 0, 1);
    let _ = push(&mut gate, 0, 2);
    let _ = event(&mut gate, 0, 3, timed);
    let announcement = Event::Announcement { barrier: inner, sequence: 3 };
    let first = gate.poll().expect("the announcement");
    assert_eq!(first, Polled { channel: 0, sequence: 3, element: Element::Event(announcement) });
    assert_eq!(gate.overtake(0, 4), None);
    assert_eq!(gate.overtake(0, 5), Some((2, Wake::Nobody)));
    let unaligned = barrier(5, Alignment::Unaligned);
    assert!(
        matches!(gate.poll(), Some(Polled { element: Element::Event(e), .. }) if e == unaligned)
    );
    assert_eq!(gate.state(0), ChannelState::Blocked, "the producer stopped behind it");
    assert_eq!(drain(&mut gate), [(0, Ok(1)), (0, Ok(2))]);
}

#[test]
fn a_barrier_with_timeout_wakes_the_reader_of_an_empty_gate() {
    let mut gate: InputGate<u32> = InputGate::new(1);
    let timed = barrier(5, Alignment::Timeout { timeout_ms: 10 });
    assert_eq!(event(&mut gate, 0, 1, timed), Wake::Reader);
}

#[test]
fn an_unread_announcement_goes_with_its_barrier() {
    let mut gate = InputGate::new(1);
    let _ = push(&mut gate, 0, 1);
    let _ = event(&mut gate, 0, 2, barrier(5, Alignment::Timeout { timeout_ms: 10 }));
    assert!(gate.overtake(0, 5).is_some());
    let unaligned = barrier(5, Alignment::Unaligned);
    assert_eq!(drain(&mut gate), [(0, Err(unaligned)), (0, Ok(1))]);
}

#[test]
fn a_gate_ends_with_its_last_channel_and_drains_if_all_do() {
    let mut gate: InputGate<u32> = InputGate::new(2);
    let _ = event(&mut gate, 0, 1, Event::EndOfData { drain: true });
    let _ = event(&mut gate, 0, 1, Event::EndOfData { drain: true });
    let _ = event(&mut gate, 0, 2, Event::EndOfPartition);
    let _ = drain(&mut gate);
    assert_eq!((gate.end_of_data(), gate.is_ended()), (None, false));
    assert_eq!(gate.state(0), ChannelState::Ended);
    let _ = event(&mut gate, 1, 1, Event::EndOfData { drain: false });
    let _ = drain(&mut gate);
    assert_eq!((gate.end_of_data(), gate.is_ended()), (Some(false), false));
    let _ = event(&mut gate, 1, 2, Event::EndOfPartition);
    let _ = drain(&mut gate);
    assert!(gate.is_ended());
}

#[test]
fn a_released_channel_gives_its_data_back_and_counts_as_ended() {
    let mut gate = InputGate::new(2);
    let _ = push(&mut gate, 0, 1);
    let _ = event(&mut gate, 0, 2, Event::EndOfData { drain: true });
    let _ = push(&mut gate, 1, 2);
    assert_eq!(gate.release(0).map(|data| data.buffer).collect::<Vec<_>>(), [1]);
    assert_eq!(gate.release(0).count(), 0);
    assert_eq!(drain(&mut gate), [(1, Ok(2))]);
    assert!(!gate.is_ended());
    assert_eq!(gate.release(1).count(), 0);
    assert!(gate.is_ended());
}

#[test]
fn events_merge_and_are_bounded() {
    let mut gate: InputGate<u32> = InputGate::new(1);
    for sequence in 0..2 * GATE_EVENTS_MAX as u32 {
        let _ = event(&mut gate, 0, sequence, Event::Watermark(sequence.into()));
    }
    assert_eq!(drain(&mut gate).len(), 1);
    let events = [Event::Status(StreamStatus::Idle), Event::Watermark(1)];
    for sequence in 0..GATE_EVENTS_MAX as u32 {
        let _ = event(&mut gate, 0, sequence, events[sequence as usize % 2]);
    }
    let one_more = gate.push_event(0, 77, events[0]);
    assert_eq!(one_more, Err(GateError { channel: 0, sequence: 77 }));
    assert_eq!(
        one_more.unwrap_err().to_string(),
        "input 0: event 77 behind 65536 that nobody read"
    );
    let _ = gate.poll();
    assert!(gate.push_event(0, 78, events[0]).is_ok());
}

#[test]
fn events_that_overtake_count_until_they_are_read() {
    let mut gate: InputGate<u32> = InputGate::new(1);
    let events = [Event::Status(StreamStatus::Idle), Event::Watermark(1)];
    let _ = event(&mut gate, 0, 0, barrier(5, Alignment::Timeout { timeout_ms: 10 }));
    assert!(gate.overtake(0, 5).is_some());
    for sequence in 1..GATE_EVENTS_MAX as u32 {
        let _ = event(&mut gate, 0, sequence, events[sequence as usize % 2]);
    }
    assert!(gate.push_event(0, 77, events[0]).is_err(), "the barrier was not read yet");
    let _ = gate.poll();
    assert!(gate.push_event(0, 78, events[0]).is_ok());
    assert!(gate.push_event(0, 79, events[1]).is_err());
}

#[test]
#[should_panic(expected = "behind its end")]
fn data_behind_the_end_is_a_bug_of_the_caller() {
    let mut gate = InputGate::new(1);
    let _ = event(&mut gate, 0, 1, Event::EndOfPartition);
    let _ = drain(&mut gate);
    let _ = push(&mut gate, 0, 2);
}
