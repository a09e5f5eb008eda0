use super::*;

#[test]
fn requests_wait_for_the_introduction() {
    let (mut a, mut b) = (Worker::new(1), Worker::new(2));
    let channel = a.open(3, 2);
    assert_eq!(a.sent(), [FrameKind::Hello]);
    assert_eq!(a.connection.next_deadline(), Some(10 * S));
    assert_eq!(a.receive(&FrameHeader::hello(), hello(2).encode().as_slice()).map(|_| ()), Ok(()));
    assert_eq!(a.connection.next_deadline(), None);
    a.send();
    assert_eq!(a.wire.len(), 1);
    let _ = b.receive(&FrameHeader::hello(), hello(1).encode().as_slice());
    b.take_from(&mut a);
    let reader = ReaderId(channel.0);
    assert_eq!(b.notices(), [Notice::Requested { reader, request: request(3) }]);
    assert_eq!(b.connection.reader_credit(reader).map(|credit| credit.available()), Some(2));
}

#[test]
fn credit_limits_what_is_sent_and_recycling_renews_it() {
    let (mut consumer, mut producer, [channel]) = channels([2]);
    for page in 0..5 {
        producer.push(ReaderId(0), page);
    }
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.data(), [(channel, 0), (channel, 1)]);
    for _ in 0..2 {
        let recycled =
            consumer.connection.recycle(channel, BufferKind::Exclusive, &mut consumer.ports);
        assert_eq!(recycled, Recycled::Keep);
    }
    // One message for both.
    assert_eq!(consumer.connection.channel_credit(channel).map(|c| c.unannounced()), Some(2));
    consumer.send();
    assert_eq!(consumer.wire.len(), 1);
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.data(), [(channel, 2), (channel, 3)]);
}

#[test]
fn a_backlog_draws_floating_buffers() {
    let (mut consumer, mut producer, [channel]) = channels([1]);
    consumer.ports.floating = 8;
    for page in 0..5 {
        producer.push(ReaderId(0), page);
    }
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.data().len(), 5);
    // With the fifth frame one exclusive buffer is required and one was free.
    assert_eq!(consumer.ports.floating, 3);
    let kinds = [BufferKind::Floating, BufferKind::Exclusive];
    let recycled =
        kinds.map(|kind| consumer.connection.recycle(channel, kind, &mut consumer.ports));
    assert_eq!(recycled, [Recycled::Home, Recycled::Keep]);
}

#[test]
fn a_channel_that_waits_is_offered_what_comes_back() {
    let (mut consumer, mut producer, [channel]) = channels([0]);
    producer.push(ReaderId(0), 1);
    assert_eq!(producer.sent(), [FrameKind::BacklogAnnouncement]);
    producer.connection.notify(ReaderId(0), &mut producer.ports);
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.ports.waiting, [channel]);
    assert!(consumer.connection.offer(channel, &mut consumer.ports));
    assert!(!consumer.connection.offer(channel, &mut consumer.ports), "it has what it needs");
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.data(), [(channel, 0)]);
}

#[test]
fn readers_take_turns_and_the_one_without_credit_holds_up_nobody() {
    let (mut consumer, mut producer, [poor, first, second]) = channels([1, 9, 9]);
    for reader in 0..3 {
        for page in 0..3 {
            producer.push(ReaderId(reader), page);
        }
    }
    settle(&mut consumer, &mut producer);
    let order = [(poor, 0), (first, 0), (second, 0), (first, 1), (second, 1), (first, 2)];
    assert_eq!(consumer.data()[..6], order);
    assert_eq!(producer.ports.queues[&ReaderId(poor.0)].backlog(), 2);
    // Events of the poor one stand behind its data; those of others go on.
    producer.event(ReaderId(poor.0), Event::Watermark(1));
    producer.event(ReaderId(second.0), Event::Watermark(1));
    producer.event(ReaderId(poor.0), barrier(1, Alignment::Unaligned));
    assert_eq!(producer.sent(), [FrameKind::Event, FrameKind::Event]);
}

#[test]
fn control_goes_before_data() {
    let (mut both, mut peer, _) = channels([9]);
    let theirs = peer.open(0, 1);
    settle(&mut both, &mut peer);
    both.notices();
    both.accept(ReaderId(theirs.0));
    both.push(ReaderId(theirs.0), 1);
    both.connection.set_page_bytes(ChannelId(0), 512);
    both.connection.set_page_bytes(ChannelId(0), 256);
    assert!(both.connection.send_task_event(ChannelId(0), 5, [1, 2][..].into()));
    both.send();
    let kinds: Vec<_> = both.wire.iter().map(|frame| frame.header.kind()).collect();
    assert_eq!(kinds, [FrameKind::NewBufferSize, FrameKind::TaskEvent, FrameKind::Data]);
    peer.take_from(&mut both);
    let reader = ReaderId(0);
    let expected = [
        Notice::NewBufferSize { reader, bytes: 256 },
        Notice::TaskEvent { reader, tag: 5 },
        Notice::Data {
            channel: theirs,
            sequence: 0,
            part: crate::element::Part::Whole,
            bytes: 100,
            kind: BufferKind::Exclusive,
        },
    ];
    assert_eq!(peer.notices(), expected);
    assert_eq!(peer.ports.queues[&reader].page_bytes(), 256);
}

#[test]
fn task_events_are_limited_until_they_leave() {
    let (mut consumer, mut producer, [channel]) = channels([1]);
    let send =
        |consumer: &mut Worker| consumer.connection.send_task_event(channel, 1, [0][..].into());
    assert!((0..TASK_EVENTS_MAX).all(|_| send(&mut consumer)));
    assert!(!send(&mut consumer));
    settle(&mut consumer, &mut producer);
    assert_eq!(producer.notices().len(), TASK_EVENTS_MAX);
    assert!(send(&mut consumer));
}

#[test]
fn a_blocked_channel_without_own_buffers_starts_again_from_zero() {
    let (mut consumer, mut producer, [channel]) = channels([0]);
    let reader = ReaderId(channel.0);
    consumer.ports.floating = 4;
    producer.push(reader, 1);
    producer.event(reader, barrier(1, Alignment::Aligned));
    producer.push(reader, 2);
    producer.push(reader, 3);
    settle(&mut consumer, &mut producer);
    // Three were announced and granted, one was used before the barrier.
    assert_eq!(producer.connection.reader_credit(reader).map(|c| c.available()), Some(2));
    assert_eq!(consumer.ports.floating, 3, "what was not used is home");
    assert_eq!(consumer.notices().len(), 2);
    consumer.ports.floating = 1;
    consumer.connection.resume(channel);
    settle(&mut consumer, &mut producer);
    // Void credit would have sent two pages here.
    assert_eq!(consumer.data(), [(channel, 2)]);
    assert_eq!(producer.notices(), [Notice::Resumed { reader }]);
    assert_eq!(producer.connection.reader_credit(reader).map(|c| c.available()), Some(0));
}

#[test]
fn a_partition_may_appear_late() {
    let (mut consumer, mut producer) = pair();
    let channel = consumer.open(4, 1);
    settle(&mut consumer, &mut producer);
    let reader = ReaderId(channel.0);
    producer.notices();
    producer.connection.hold(reader, S);
    assert_eq!(producer.connection.next_deadline(), Some(11 * S));
    assert_eq!(producer.connection.on_time(10 * S), Ok(()));
    assert_eq!(producer.sent(), []);
    let waiting: Vec<_> = producer.connection.waiting().map(|(id, r)| (id, *r)).collect();
    assert_eq!(waiting, [(reader, request(4))]);
    producer.accept(reader);
    producer.push(reader, 1);
    assert_eq!(producer.connection.on_time(12 * S), Ok(()));
    assert_eq!(producer.connection.next_deadline(), None);
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.data(), [(channel, 0)]);
}

#[test]
fn a_partition_that_never_appears_is_asked_for_twice() {
    let (mut consumer, mut producer) = pair();
    let channel = consumer.open(4, 1);
    let reader = ReaderId(channel.0);
    for round in 1..=2 {
        settle(&mut consumer, &mut producer);
        assert_eq!(producer.notices(), [Notice::Requested { reader, request: request(4) }]);
        assert_eq!(consumer.notices(), []);
        producer.connection.hold(reader, 10 * (round - 1) * S);
        assert_eq!(producer.connection.on_time(10 * round * S), Ok(()));
    }
    settle(&mut consumer, &mut producer);
    let notices = consumer.notices();
    let [Notice::ChannelFailed { channel: failed, code, text }] = &notices[..] else {
        panic!("{notices:?}")
    };
    assert_eq!((*failed, *code), (channel, ErrorCode::PartitionNotFound));
    assert_eq!(text, "partition 1/2#0 subpartition 4 did not appear");
    assert_eq!(consumer.ports.released, [channel]);
    assert_eq!(producer.notices(), [Notice::Cancelled { reader, complete: false }]);
}

#[test]
fn what_crosses_a_missing_partition_is_not_held_against_the_consumer() {
    let (mut consumer, mut producer) = pair();
    let channel = consumer.open(4, 1);
    settle(&mut consumer, &mut producer);
    let reader = ReaderId(channel.0);
    producer.notices();
    producer.connection.hold(reader, S);
    assert_eq!(producer.connection.on_time(11 * S), Ok(()));
    producer.send();
    assert!(consumer.connection.send_task_event(channel, 1, [0][..].into()));
    consumer.send();
    producer.take_from(&mut consumer);
    assert_eq!(producer.notices(), []);
    consumer.take_from(&mut producer);
    settle(&mut consumer, &mut producer);
    assert_eq!(producer.notices(), [Notice::Requested { reader, request: request(4) }]);
}

#[test]
fn credit_that_became_void_is_not_sent() {
    let (mut consumer, mut producer, [channel]) = channels([0]);
    consumer.ports.floating = 1;
    producer.push(ReaderId(0), 1);
    producer.send();
    consumer.take_from(&mut producer);
    assert_eq!(consumer.connection.channel_credit(channel).map(|c| c.unannounced()), Some(1));
    // A barrier that overtakes the page would not block. This is the peer of a newer version.
    let aligned = barrier(1, Alignment::Aligned);
    let header = FrameHeader::event(channel, 0, 0, &aligned, 23);
    assert!(consumer.receive(&header, crate::frame::Inline::event(&aligned).as_slice()).is_ok());
    assert_eq!(consumer.sent(), []);
    assert_eq!(consumer.ports.floating, 1);
}

#[test]
fn no_credit_is_sent_behind_the_end() {
    let (mut consumer, mut producer, [channel]) = channels([1]);
    producer.push(ReaderId(0), 1);
    producer.event(ReaderId(0), Event::EndOfPartition);
    settle(&mut consumer, &mut producer);
    let recycled = consumer.connection.recycle(channel, BufferKind::Exclusive, &mut consumer.ports);
    assert_eq!(recycled, Recycled::Keep);
    assert_eq!(consumer.sent(), []);
}

#[test]
fn telling_twice_gives_no_second_turn() {
    let (mut consumer, mut producer, [first, second]) = channels([9, 9]);
    for page in 0..2 {
        producer.push(ReaderId(first.0), page);
    }
    for _ in 0..3 {
        producer.connection.notify(ReaderId(first.0), &mut producer.ports);
    }
    producer.push(ReaderId(second.0), 9);
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.data(), [(first, 0), (second, 0), (first, 1)]);
}

#[test]
fn a_cancelled_channel_forgets_what_is_under_way() {
    let (mut consumer, mut producer, [channel, other]) = channels([3, 3]);
    let reader = ReaderId(channel.0);
    producer.push(reader, 1);
    producer.event(reader, Event::Watermark(1));
    producer.push(reader, 2);
    producer.push(ReaderId(other.0), 3);
    producer.send();
    let first = producer.wire.pop_front().expect("page 1");
    assert!(consumer.receive(&first.header, &[]).is_ok());
    consumer.connection.cancel(channel, &mut consumer.ports);
    consumer.connection.cancel(channel, &mut consumer.ports);
    assert_eq!(consumer.ports.released, [channel]);
    consumer.take_from(&mut producer);
    assert_eq!(consumer.data(), [(other, 0)]);
    let recycled = consumer.connection.recycle(channel, BufferKind::Exclusive, &mut consumer.ports);
    assert_eq!(recycled, Recycled::Home);
    consumer.connection.resume(channel);
    settle(&mut consumer, &mut producer);
    assert_eq!(producer.notices(), [Notice::Cancelled { reader, complete: false }]);
    assert_eq!(producer.connection.reader_credit(reader).map(|_| ()), None);
    producer.connection.notify(reader, &mut producer.ports);
    assert_eq!(producer.sent(), []);
}

#[test]
fn a_channel_that_ends_between_header_and_payload_orphans_its_segment() {
    let (mut consumer, mut producer, [channel]) = channels([1]);
    producer.push(ReaderId(0), 1);
    producer.send();
    let mut bytes = [0; HEADER_BYTES];
    producer.wire[0].header.encode(&mut bytes);
    let place = consumer.connection.on_header(&bytes, &mut consumer.ports);
    let kind = BufferKind::Exclusive;
    assert_eq!(place, Ok(Incoming::Payload(Place::Buffer { channel, kind, bytes: 100 })));
    consumer.connection.cancel(channel, &mut consumer.ports);
    let notice = consumer.connection.on_payload(&[], &mut consumer.ports);
    assert_eq!(notice, Ok(Notice::Orphaned { channel, kind }));
}

#[test]
fn an_event_of_a_channel_that_ends_before_its_payload_is_dropped() {
    for cancel_leaves in [false, true] {
        let (mut consumer, mut producer, [channel]) = channels([1]);
        producer.event(ReaderId(0), Event::Watermark(1));
        producer.send();
        let mut bytes = [0; HEADER_BYTES];
        producer.wire[0].header.encode(&mut bytes);
        assert!(consumer.connection.on_header(&bytes, &mut consumer.ports).is_ok());
        consumer.connection.cancel(channel, &mut consumer.ports);
        if cancel_leaves {
            assert_eq!(consumer.sent(), [FrameKind::Cancel]);
        }
        let payload = producer.wire[0].control_bytes();
        let notice = consumer.connection.on_payload(payload, &mut consumer.ports);
        assert_eq!(notice, Ok(Notice::None));
    }
}

#[test]
fn a_cancel_before_the_request_left_says_nothing() {
    let (mut consumer, _) = pair();
    let channel = consumer.open(0, 1);
    consumer.connection.cancel(channel, &mut consumer.ports);
    assert_eq!(consumer.sent(), []);
    assert_eq!(consumer.ports.released, [channel]);
}

#[test]
fn a_cancel_in_the_place_of_another_request_is_sent() {
    let (mut consumer, mut producer) = pair();
    let channel = consumer.open(4, 1);
    settle(&mut consumer, &mut producer);
    let reader = ReaderId(channel.0);
    producer.notices();
    producer.connection.hold(reader, S);
    assert_eq!(producer.connection.on_time(11 * S), Ok(()));
    producer.send();
    consumer.take_from(&mut producer);
    consumer.connection.cancel(channel, &mut consumer.ports);
    settle(&mut consumer, &mut producer);
    assert_eq!(producer.notices(), [Notice::Cancelled { reader, complete: false }]);
    producer.connection.close();
    assert_eq!(producer.sent(), [FrameKind::Close], "no reader is left behind");
}

#[test]
fn a_complete_channel_is_acknowledged_and_cancelled() {
    let (mut consumer, mut producer, [channel]) = channels([1]);
    let reader = ReaderId(channel.0);
    producer.event(reader, Event::EndOfData { drain: true });
    producer.event(reader, Event::EndOfPartition);
    settle(&mut consumer, &mut producer);
    assert_eq!(consumer.notices().len(), 2);
    consumer.connection.acknowledge(channel);
    consumer.connection.cancel(channel, &mut consumer.ports);
    settle(&mut consumer, &mut producer);
    let expected =
        [Notice::AllRecordsProcessed { reader }, Notice::Cancelled { reader, complete: true }];
    assert_eq!(producer.notices(), expected);
}

#[test]
fn a_failed_producer_fails_its_channel_only() {
    let (mut consumer, mut producer, [failing, healthy]) = channels([1, 1]);
    let reader = ReaderId(failing.0);
    producer.push(reader, 1);
    producer.connection.fail_reader(reader, ErrorCode::ProducerFailed, "division by zero");
    producer.ports.queues.remove(&reader);
    // What crosses the error is not held against the consumer.
    consumer.connection.set_page_bytes(failing, 512);
    consumer.connection.acknowledge(failing);
    consumer.send();
    producer.take_from(&mut consumer);
    producer.push(ReaderId(healthy.0), 2);
    settle(&mut consumer, &mut producer);
    let notices = consumer.notices();
    let text = "division by zero".into();
    let code = ErrorCode::ProducerFailed;
    assert_eq!(notices[0], Notice::ChannelFailed { channel: failing, code, text });
    assert!(matches!(notices[1], Notice::Data { channel, .. } if channel == healthy));
    assert_eq!(producer.notices(), [Notice::Cancelled { reader, complete: false }]);
}

#[test]
fn a_lost_connection_names_everything_that_it_interrupts() {
    let (mut a, mut b, [ended, open, cancelled]) = channels([1, 1, 1]);
    let theirs = b.open(0, 1);
    settle(&mut a, &mut b);
    b.event(ReaderId(ended.0), Event::EndOfPartition);
    settle(&mut a, &mut b);
    a.connection.cancel(ended, &mut a.ports);
    settle(&mut a, &mut b);
    a.connection.cancel(cancelled, &mut a.ports);
    let lost = a.connection.on_lost(&mut a.ports);
    let (channels, readers) = (std::vec![open], std::vec![ReaderId(theirs.0)]);
    assert_eq!(lost, Lost { channels, readers });
    assert_eq!(a.ports.released, [ended, cancelled, open]);
    assert_eq!(a.connection.on_lost(&mut a.ports), Lost::default());
    assert_eq!(a.connection.open(request(0), 1), None);
    assert_eq!(a.sent(), []);
    let lost = b.connection.on_lost(&mut b.ports);
    let readers = std::vec![ReaderId(open.0), ReaderId(cancelled.0)];
    assert_eq!(lost, Lost { channels: std::vec![theirs], readers });
}

#[test]
fn a_connection_closes_behind_its_last_channel() {
    let (mut a, mut b, [channel]) = channels([1]);
    b.connection.close();
    assert_eq!(b.sent(), [], "it still serves a reader");
    a.connection.close();
    assert_eq!(a.connection.open(request(0), 1), None);
    assert_eq!(a.sent(), [], "it still has a channel");
    a.connection.cancel(channel, &mut a.ports);
    a.send();
    b.take_from(&mut a);
    assert!(!a.connection.is_closed(), "only one end has said so");
    b.send();
    assert!(!a.connection.is_closed() && b.connection.is_closed());
    settle(&mut a, &mut b);
    assert!(a.connection.is_closed() && b.connection.is_closed());
    assert_eq!(a.connection.on_lost(&mut a.ports), Lost::default());
    assert!(a.connection.is_closed());
}

#[test]
fn a_request_that_crosses_a_close_fails() {
    let (mut a, mut b) = pair();
    let channel = a.open(0, 1);
    assert!(a.connection.send_task_event(channel, 1, [0][..].into()));
    a.send();
    b.connection.close();
    b.send();
    a.take_from(&mut b);
    assert_eq!(a.notices(), [Notice::Closed { failed: std::vec![channel] }]);
    assert_eq!(a.ports.released, [channel]);
    settle(&mut a, &mut b);
    assert_eq!(b.notices(), [Notice::Closed { failed: std::vec![] }]);
    assert!(a.connection.is_closed() && b.connection.is_closed());
}

#[test]
fn a_request_whose_payload_crosses_a_close_gets_no_reader() {
    let (mut a, mut b) = pair();
    let _ = a.open(0, 1);
    a.send();
    let mut bytes = [0; HEADER_BYTES];
    a.wire[0].header.encode(&mut bytes);
    assert!(b.connection.on_header(&bytes, &mut b.ports).is_ok());
    b.connection.close();
    assert_eq!(b.sent(), [FrameKind::Close]);
    let notice = b.connection.on_payload(a.wire[0].control_bytes(), &mut b.ports);
    assert_eq!(notice, Ok(Notice::None));
}

#[test]
fn a_worker_that_gives_up_tells_the_other() {
    let (mut a, mut b, _) = channels([1]);
    b.connection.fail(ErrorCode::Shutdown, "terminated by the user");
    b.connection.fail(ErrorCode::Protocol, "never seen");
    b.send();
    assert_eq!(b.wire.len(), 1);
    a.take_from(&mut b);
    let (code, text) = (ErrorCode::Shutdown, "terminated by the user".into());
    assert_eq!(a.notices(), [Notice::PeerFailed { code, text }]);
    assert_eq!(a.sent(), []);
    assert_eq!(a.connection.on_lost(&mut a.ports).channels, [ChannelId(0)]);
}

#[test]
fn a_failure_behind_the_close_is_not_sent() {
    let (mut a, _) = pair();
    a.connection.close();
    assert_eq!(a.sent(), [FrameKind::Close]);
    a.connection.fail(ErrorCode::Shutdown, "too late");
    assert_eq!(a.sent(), []);
}

#[test]
fn sequence_numbers_wrap_around() {
    let (mut consumer, mut producer, [channel]) = channels([1]);
    consumer.connection.inbound.set_expected(channel, u32::MAX);
    producer.connection.outbound.set_sequence(ReaderId(channel.0), u32::MAX);
    for time in 0..3 {
        producer.event(ReaderId(channel.0), Event::Watermark(time));
        settle(&mut consumer, &mut producer);
    }
    let sequences: Vec<_> = consumer
        .notices()
        .iter()
        .map(|notice| match notice {
            Notice::Event { sequence, .. } => *sequence,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sequences, [u32::MAX, 0, 1]);
}
