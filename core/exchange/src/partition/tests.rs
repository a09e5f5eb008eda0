use std::vec::Vec;

use super::*;
use crate::credit::{Head, ProducerCredit};
use crate::element::Part;
use crate::event::{Alignment, Barrier, Purpose};
use crate::id::ChannelId;

const MS: Duration = Duration::from_millis(1);

fn barrier(checkpoint: u64, alignment: Alignment) -> Event {
    let purpose = Purpose::Checkpoint;
    Event::Barrier(Barrier { checkpoint, timestamp_ms: 0, alignment, purpose })
}

fn queue() -> Subpartition<u32> {
    Subpartition::new(1024)
}

fn push(queue: &mut Subpartition<u32>, page: u32) -> Wake {
    queue.push_data(Data::page(page, 1)).expect("not released")
}

/// Takes everything that unlimited credit allows, as page numbers and events.
fn drain(queue: &mut Subpartition<u32>) -> Vec<Result<u32, Event>> {
    let mut credit = ProducerCredit::new(ChannelId(1), 1000);
    let mut taken = Vec::new();
    loop {
        match queue.head() {
            Head::Nothing => return taken,
            Head::Event => taken.push(Err(queue.take_event().expect("head is an event").event)),
            Head::Data => {
                let permit = credit.permit().expect("plenty");
                taken.push(Ok(queue.take_data(permit).data.buffer));
            }
        }
    }
}

#[test]
fn only_a_change_of_head_wakes_the_reader() {
    let mut queue = queue();
    assert_eq!(push(&mut queue, 1), Wake::Reader);
    assert_eq!(push(&mut queue, 2), Wake::Nobody);
    assert_eq!(queue.push_event(Event::Watermark(1)), Wake::Nobody);
    assert_eq!(queue.push_event(barrier(1, Alignment::Unaligned)), Wake::Reader);
    assert_eq!(queue.push_event(barrier(2, Alignment::Unaligned)), Wake::Nobody);
}

#[test]
fn priority_events_overtake_in_their_own_order() {
    let mut queue = queue();
    let _ = push(&mut queue, 1);
    let _ = queue.push_event(Event::Watermark(5));
    let _ = push(&mut queue, 2);
    let (first, second) = (barrier(1, Alignment::Unaligned), barrier(2, Alignment::Unaligned));
    let _ = queue.push_event(first);
    let _ = queue.push_event(second);
    assert_eq!(queue.queued_data().map(|data| data.buffer).collect::<Vec<_>>(), [1, 2]);
    let expected = [Err(first), Err(second), Ok(1), Err(Event::Watermark(5)), Ok(2)];
    assert_eq!(drain(&mut queue), expected);
}

#[test]
fn a_blocking_event_stops_the_queue_until_it_is_resumed() {
    let mut queue = queue();
    let _ = push(&mut queue, 1);
    let aligned = barrier(1, Alignment::Aligned);
    let _ = queue.push_event(aligned);
    let _ = push(&mut queue, 2);
    assert!(!queue.resume(), "nothing to resume yet");
    assert_eq!(queue.backlog(), 2);
    let mut credit = ProducerCredit::new(ChannelId(1), 9);
    let first = queue.take_data(credit.permit().expect("nine"));
    assert_eq!((first.data.buffer, first.backlog), (1, 1));
    assert!(!queue.is_blocked());
    assert_eq!(queue.take_event(), Some(Queued { event: aligned, backlog: 0 }));
    assert!(queue.is_blocked());
    assert_eq!((queue.head(), queue.backlog()), (Head::Nothing, 0));
    assert_eq!(push(&mut queue, 3), Wake::Nobody);
    assert_eq!(queue.push_event(barrier(2, Alignment::Unaligned)), Wake::Nobody);
    assert_eq!(queue.take_event(), None);
    assert!(queue.resume());
    assert_eq!(queue.backlog(), 2);
    assert_eq!(drain(&mut queue), [Err(barrier(2, Alignment::Unaligned)), Ok(2), Ok(3)]);
}

#[test]
fn the_backlog_counts_data_that_is_sealed_or_will_be() {
    let mut queue = queue();
    queue.page_opened();
    assert_eq!(queue.backlog(), 0, "nobody asked for it");
    let _ = push(&mut queue, 1);
    queue.page_opened();
    assert_eq!(queue.backlog(), 1);
    queue.request_flush();
    assert_eq!(queue.backlog(), 2);
    let _ = push(&mut queue, 2);
    let _ = queue.push_event(Event::Watermark(1));
    assert_eq!(queue.backlog(), 2, "events do not count");
    queue.request_flush();
    assert_eq!(queue.backlog(), 2, "no page is open");
}

#[test]
fn an_open_page_is_sealed_when_the_reader_would_get_to_it() {
    let mut queue = queue();
    queue.page_opened();
    assert!(!queue.wants_seal());
    queue.request_flush();
    assert!(queue.wants_seal());
    let _ = push(&mut queue, 1);
    assert!(!queue.wants_seal());
    queue.page_opened();
    queue.request_flush();
    assert!(!queue.wants_seal(), "page 1 goes first");
    let mut credit = ProducerCredit::new(ChannelId(1), 1);
    let cleared = queue.take_data(credit.permit().expect("one"));
    assert_eq!(cleared.backlog, 1, "the open page is coming");
    assert!(queue.wants_seal());
}

#[test]
fn a_flush_before_a_blocked_queue_waits() {
    let mut queue = queue();
    let _ = queue.push_event(barrier(1, Alignment::Aligned));
    assert!(queue.take_event().is_some());
    queue.page_opened();
    queue.request_flush();
    assert!(!queue.wants_seal());
    assert!(queue.resume());
    assert!(queue.wants_seal());
}

#[test]
fn neighbouring_watermarks_take_one_place() {
    let mut queue = queue();
    for time in 0..1000 {
        let _ = queue.push_event(Event::Watermark(time));
    }
    let _ = push(&mut queue, 1);
    let _ = queue.push_event(Event::Watermark(2000));
    let (before, after) = (Err(Event::Watermark(999)), Err(Event::Watermark(2000)));
    assert_eq!(drain(&mut queue), [before, Ok(1), after]);
}

#[test]
fn a_barrier_that_waited_too_long_overtakes_what_was_before_it() {
    let mut queue = queue();
    let timeout = Alignment::Timeout { timeout_ms: 10 };
    let _ = push(&mut queue, 1);
    let _ = queue.push_event(Event::Watermark(1));
    let _ = push(&mut queue, 2);
    let _ = queue.push_event(barrier(7, timeout));
    let _ = push(&mut queue, 3);
    assert_eq!(queue.overtake(6), None);
    assert_eq!(queue.overtake(7), Some(2));
    assert_eq!(queue.overtake(7), None);
    let unaligned = Err(barrier(7, Alignment::Unaligned));
    assert_eq!(drain(&mut queue), [unaligned, Ok(1), Err(Event::Watermark(1)), Ok(2), Ok(3)]);
    assert!(!queue.is_blocked());
}

#[test]
fn a_released_queue_gives_everything_back() {
    let mut queue = queue();
    let _ = push(&mut queue, 1);
    let _ = queue.push_event(Event::Watermark(1));
    let _ = push(&mut queue, 2);
    assert!(!queue.is_released() && !queue.is_ended());
    assert_eq!(queue.release().map(|data| data.buffer).collect::<Vec<_>>(), [1, 2]);
    assert!(queue.is_released());
    assert_eq!((queue.head(), queue.backlog()), (Head::Nothing, 0));
    assert_eq!(queue.push_data(Data::page(3, 1)), Err(Data::page(3, 1)));
    assert_eq!(queue.push_event(Event::EndOfPartition), Wake::Nobody);
    assert!(queue.is_ended());
    assert_eq!(queue.head(), Head::Nothing);
}

#[test]
fn fragments_follow_each_other() {
    let mut queue = queue();
    let part = |buffer, bytes, part| Data { buffer, bytes, part };
    assert!(queue.push_data(part(1, 10, Part::First { total_bytes: 25 })).is_ok());
    assert!(queue.push_data(part(2, 10, Part::Middle { offset_bytes: 10 })).is_ok());
    let _ = queue.push_event(barrier(1, Alignment::Unaligned));
    assert!(queue.push_data(part(3, 5, Part::Last { offset_bytes: 20 })).is_ok());
    let _ = queue.push_event(Event::EndOfPartition);
    assert_eq!(drain(&mut queue).len(), 5);
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_page_within_a_row_is_a_bug_of_the_writer() {
    let mut queue = queue();
    let first = Data { buffer: 1, bytes: 10, part: Part::First { total_bytes: 25 } };
    assert!(queue.push_data(first).is_ok());
    let _ = push(&mut queue, 2);
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_row_that_fits_is_no_jumbo_row() {
    let first = Data { buffer: 1, bytes: 10, part: Part::First { total_bytes: 10 } };
    let _ = queue().push_data(first);
}

#[test]
#[should_panic(expected = "does not follow")]
fn a_fragment_that_leaves_a_gap_is_a_bug_of_the_writer() {
    let mut queue = queue();
    let first = Data { buffer: 1, bytes: 10, part: Part::First { total_bytes: 25 } };
    assert!(queue.push_data(first).is_ok());
    let _ = queue.push_data(Data { buffer: 2, bytes: 5, part: Part::Middle { offset_bytes: 11 } });
}

#[test]
#[should_panic(expected = "ends")]
fn a_last_fragment_that_does_not_complete_its_row_is_a_bug_of_the_writer() {
    let mut queue = queue();
    let first = Data { buffer: 1, bytes: 10, part: Part::First { total_bytes: 25 } };
    assert!(queue.push_data(first).is_ok());
    let _ = queue.push_data(Data { buffer: 2, bytes: 5, part: Part::Last { offset_bytes: 10 } });
}

#[test]
fn one_full_subpartition_stops_the_task() {
    let mut partition: ResultPartition<u32> =
        ResultPartition::new(3, SUBPARTITION_SEGMENTS_MAX, 1024, FlushPolicy::OnlyFull);
    assert_eq!(partition.subpartitions(), 3);
    assert!(partition.is_available(true));
    assert!(!partition.is_available(false));
    for _ in 0..SUBPARTITION_SEGMENTS_MAX - 1 {
        partition.lease(1);
    }
    assert!(partition.is_available(true), "nine of ten");
    partition.lease(1);
    assert!(!partition.is_available(true));
    partition.lease(1);
    partition.recycle(1);
    assert!(!partition.is_available(true), "the overdraft is back, the maximum is not");
    partition.lease(0);
    partition.recycle(0);
    assert!(!partition.is_available(true));
    partition.recycle(1);
    assert!(partition.is_available(true));
    assert_eq!((partition.segments(0), partition.segments(1)), (0, 9));
}

#[test]
fn the_timeout_flushes_every_open_page() {
    let mut partition: ResultPartition<u32> =
        ResultPartition::new(3, 10, 1024, FlushPolicy::Millis(10));
    partition.page_opened(0, 5 * MS);
    partition.page_opened(2, 9 * MS);
    assert!(!partition.row_written(0));
    assert_eq!(partition.next_deadline(), Some(15 * MS));
    assert!(!partition.on_time(14 * MS));
    assert!(!partition.subpartition(0).wants_seal());
    assert!(partition.on_time(15 * MS));
    let wanted: Vec<_> = (0..3).filter(|i| partition.subpartition(*i).wants_seal()).collect();
    assert_eq!(wanted, [0, 2]);
    assert_eq!(partition.next_deadline(), None);
}

#[test]
fn each_record_leaves_at_once_unless_others_wait() {
    let mut partition: ResultPartition<u32> =
        ResultPartition::new(1, 10, 1024, FlushPolicy::EachRecord);
    partition.page_opened(0, MS);
    assert!(partition.row_written(0));
    assert_eq!(partition.push_data(0, Data::page(1, 1)), Ok(Wake::Reader));
    partition.page_opened(0, MS);
    assert!(!partition.row_written(0), "page 1 was not taken yet: rows gather");
    assert_eq!(partition.next_deadline(), None);
}

#[test]
fn events_reach_every_consumer_and_acknowledgements_add_up() {
    let mut partition: ResultPartition<u32> =
        ResultPartition::new(2, 10, 1024, FlushPolicy::OnlyFull);
    let _ = partition.push_data(1, Data::page(1, 1));
    let mut wakes = Vec::new();
    partition.broadcast(Event::EndOfData { drain: true }, |index, wake| wakes.push((index, wake)));
    assert_eq!(wakes, [(0, Wake::Reader), (1, Wake::Nobody)]);
    assert!(!partition.acknowledge(1));
    assert!(!partition.acknowledge(1));
    assert!(partition.acknowledge(0));
}
