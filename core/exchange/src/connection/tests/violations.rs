use std::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::credit::{CreditError, SendPermit};
use crate::element::Part;
use crate::event::EventError;
use crate::frame::{FrameError, Inline};

fn permit(channel: ChannelId) -> SendPermit {
    ProducerCredit::new(channel, 1).permit().expect("one")
}

fn data(channel: ChannelId, sequence: u32) -> FrameHeader {
    FrameHeader::data(permit(channel), sequence, 0, 10, Part::Whole)
}

fn event(channel: ChannelId, sequence: u32, event: Event) -> (FrameHeader, Inline) {
    let payload = Inline::event(&event);
    let length = payload.as_slice().len() as u32;
    (FrameHeader::event(channel, sequence, 0, &event, length), payload)
}

/// A header, and the payload if it is not ten bytes of data.
type Frame = (FrameHeader, Option<Inline>);

/// What a consumer with one channel of credit 2 makes of these frames: the error of the last.
fn consumer_error(frames: &[Frame]) -> ProtocolError {
    let (mut consumer, _, _) = channels([2]);
    let mut results = frames.iter().map(|(header, payload)| {
        consumer.receive(header, payload.as_ref().map_or(&[0; 10][..0], Inline::as_slice))
    });
    let error = results.find_map(Result::err).expect("an error");
    assert_eq!(results.next(), None, "the last frame is at fault, not one before it");
    assert_eq!(consumer.sent(), [FrameKind::Error], "the peer is told");
    error
}

#[test]
fn consumers_check_the_order_of_a_channel() {
    let id = ChannelId(0);
    let with = |(header, payload): (FrameHeader, Inline)| (header, Some(payload));
    let first = |bytes| FrameHeader::data(permit(id), 0, 0, bytes, Part::First { total_bytes: 99 });
    let aligned = barrier(1, Alignment::Aligned);
    let stuffed = FrameHeader::event(id, 0, 3, &aligned, 23);
    let cases: [(&[Frame], ProtocolError); 9] = [
        (
            &[(data(id, 0), None), (data(id, 2), None)],
            ProtocolError::Sequence { channel: id, expected: 1, found: 2 },
        ),
        (
            &[(data(id, 0), None), (data(id, 0), None)],
            ProtocolError::Sequence { channel: id, expected: 1, found: 0 },
        ),
        (
            &[(data(id, 0), None), (data(id, 1), None), (data(id, 2), None)],
            ProtocolError::NoCredit { channel: id, sequence: 2 },
        ),
        (
            &[with(event(id, 0, aligned)), with(event(id, 1, Event::Watermark(1)))],
            ProtocolError::Blocked { channel: id, sequence: 1 },
        ),
        (
            &[with(event(id, 0, Event::EndOfPartition)), (data(id, 1), None)],
            ProtocolError::Ended { channel: id, sequence: 1 },
        ),
        (
            &[(stuffed, Some(Inline::event(&aligned)))],
            ProtocolError::BlockingBacklog { channel: id, sequence: 0, found: 3 },
        ),
        (
            &[(first(10), None), with(event(id, 1, Event::Watermark(1)))],
            ProtocolError::WithinRow { channel: id, sequence: 1 },
        ),
        (
            &[(data(ChannelId(1), 0), None)],
            ProtocolError::UnknownChannel { kind: FrameKind::Data, channel: ChannelId(1) },
        ),
        (
            &[(FrameHeader::backlog_announcement(ChannelId(9), 1), None)],
            ProtocolError::UnknownChannel {
                kind: FrameKind::BacklogAnnouncement,
                channel: ChannelId(9),
            },
        ),
    ];
    for (frames, expected) in cases {
        assert_eq!(consumer_error(frames), expected);
    }
}

#[test]
fn a_priority_event_may_come_within_a_row() {
    let (mut consumer, _, [id]) = channels([2]);
    let first = FrameHeader::data(permit(id), 0, 0, 10, Part::First { total_bytes: 99 });
    assert!(consumer.receive(&first, &[]).is_ok());
    let (header, payload) = event(id, 1, barrier(1, Alignment::Unaligned));
    assert!(consumer.receive(&header, payload.as_slice()).is_ok());
}

#[test]
fn consumers_check_that_events_are_what_they_claim() {
    let id = ChannelId(0);
    let watermark = Inline::event(&Event::Watermark(1));
    let disguised = FrameHeader::event(id, 0, 0, &barrier(1, Alignment::Aligned), 9);
    assert_eq!(
        consumer_error(&[(disguised, Some(watermark))]),
        ProtocolError::EventFlags { channel: id, sequence: 0, expected: 0, found: 2 }
    );
    let broken = FrameHeader::event(id, 0, 0, &Event::Watermark(1), 10);
    let (mut consumer, _, _) = channels([2]);
    let mut bytes = [0; 10];
    bytes[0] = 1;
    let error = EventError::Trailing { found_bytes: 1 };
    let expected = ProtocolError::Event { channel: id, sequence: 0, error };
    assert_eq!(consumer.receive(&broken, &bytes), Err(expected));
    let Event::Barrier(timed) = barrier(1, Alignment::Timeout { timeout_ms: 1 }) else {
        unreachable!()
    };
    let (header, payload) = event(id, 0, Event::Announcement { barrier: timed, sequence: 0 });
    let error = consumer_error(&[(header, Some(payload))]);
    let is_unexpected = matches!(error, ProtocolError::Unexpected { kind: FrameKind::Event, .. });
    assert!(is_unexpected, "announcements stay at home: {error}");
}

#[test]
fn producers_check_whom_they_are_told_about() {
    let known = ChannelId(0);
    let unknown = ReaderId(5);
    let error = |kind| ProtocolError::UnknownReader { kind, reader: unknown };
    let reader = ReaderId(known.0);
    let credit = CreditError { channel: known, available: 2, delta: u32::MAX };
    let id = unknown.channel();
    let cases = [
        (FrameHeader::credit(id, 1), Some(error(FrameKind::Credit))),
        (FrameHeader::resume(id), Some(error(FrameKind::Resume))),
        (FrameHeader::ack_all_records(id), Some(error(FrameKind::AckAllRecords))),
        (FrameHeader::task_event(id, 0, 0), Some(error(FrameKind::TaskEvent))),
        (FrameHeader::new_buffer_size(id, 1), None),
        (FrameHeader::cancel(id), Some(error(FrameKind::Cancel))),
        (FrameHeader::resume(known), Some(ProtocolError::NotBlocked { reader })),
        (FrameHeader::credit(known, u32::MAX), Some(ProtocolError::Credit(credit))),
        (FrameHeader::request(known, 1), Some(ProtocolError::DuplicateReader { reader })),
    ];
    for (header, expected) in cases {
        let (_, mut producer, _) = channels([2]);
        let result = producer.receive(&header, request(0).encode().as_slice());
        assert_eq!(result.err(), expected, "{header:?}");
    }
}

#[test]
fn readers_are_limited() {
    let config = ConnectionConfig { readers_max: 2, ..ConnectionConfig::new(hello(1)) };
    let connection = Connection::new(&config, Duration::ZERO);
    let mut producer = Worker { connection, ..Worker::new(1) };
    assert!(producer.receive(&FrameHeader::hello(), hello(2).encode().as_slice()).is_ok());
    let mut ask = |id| {
        let header = FrameHeader::request(ChannelId(id), 1);
        producer.receive(&header, request(0).encode().as_slice()).err()
    };
    assert_eq!((ask(0), ask(1)), (None, None));
    let error = ProtocolError::TooManyReaders { reader: ReaderId(2), max: 2 };
    assert_eq!(ask(2), Some(error));
}

#[test]
fn the_hello_comes_first_and_once_and_must_fit() {
    let mut fresh = Worker::new(1);
    let early = fresh.receive(&FrameHeader::credit(ChannelId(0), 1), &[]);
    let (kind, when) = (FrameKind::Credit, "before the hello");
    assert_eq!(early, Err(ProtocolError::Unexpected { kind, when }));

    let (mut known, _) = pair();
    let again = known.receive(&FrameHeader::hello(), hello(2).encode().as_slice());
    let (kind, when) = (FrameKind::Hello, "behind the first");
    assert_eq!(again, Err(ProtocolError::Unexpected { kind, when }));

    let other = Hello { segment_bytes: 2048, ..hello(2) };
    let (mut fresh, mut peer) = (Worker::new(1), Worker::new(2));
    fresh.send();
    fresh.wire.clear();
    let field = "segment size";
    let error = ProtocolError::Incompatible { field, expected: 1024, found: 2048 };
    assert_eq!(fresh.receive(&FrameHeader::hello(), other.encode().as_slice()), Err(error));
    fresh.send();
    peer.take_from(&mut fresh);
    let code = ErrorCode::Incompatible;
    let text = "peer's segment size: expected 0x400, found 0x800".into();
    assert_eq!(peer.notices(), [Notice::PeerFailed { code, text }]);
}

#[test]
fn a_silent_peer_is_given_up() {
    let mut worker = Worker::new(1);
    assert_eq!(worker.sent(), [FrameKind::Hello]);
    assert_eq!(worker.connection.on_time(9 * S), Ok(()));
    let silent = ProtocolError::Silent { expected_ms: 10_000 };
    assert_eq!(worker.connection.on_time(10 * S), Err(silent));
    assert_eq!(worker.sent(), [FrameKind::Error]);
}

#[test]
fn nothing_comes_behind_a_close_or_a_failure() {
    let (mut worker, _) = pair();
    assert!(worker.receive(&FrameHeader::close(), &[]).is_ok());
    let late = worker.receive(&FrameHeader::cancel(ChannelId(0)), &[]);
    let (kind, when) = (FrameKind::Cancel, "behind the close");
    assert_eq!(late, Err(ProtocolError::Unexpected { kind, when }));

    let (mut worker, _) = pair();
    let garbage = worker.connection.on_header(&[0; HEADER_BYTES], &mut worker.ports);
    assert_eq!(garbage, Err(ProtocolError::Frame(FrameError::Magic { found: 0 })));
    let late = worker.receive(&FrameHeader::cancel(ChannelId(0)), &[]);
    let (kind, when) = (FrameKind::Cancel, "after the connection failed");
    assert_eq!(late, Err(ProtocolError::Unexpected { kind, when }));
    assert_eq!(worker.sent(), [FrameKind::Error], "and the peer is told once");
}

#[test]
fn errors_name_channel_expected_and_found() {
    let channel = ChannelId(3);
    let reader = ReaderId(4);
    let kind = FrameKind::Credit;
    let texts = [
        (
            ProtocolError::Sequence { channel, expected: 7, found: 9 },
            "channel 3: expected frame 7, found frame 9",
        ),
        (
            ProtocolError::NoCredit { channel, sequence: 7 },
            "channel 3: frame 7 was sent without credit",
        ),
        (
            ProtocolError::Credit(CreditError { channel, available: 1, delta: 4294967295 }),
            "channel 3: credit 1 + 4294967295 exceeds 4294967295",
        ),
        (
            ProtocolError::UnknownReader { kind, reader },
            "Credit frame for reader 4, which is not open",
        ),
        (
            ProtocolError::Event { channel, sequence: 7, error: EventError::Truncated },
            "channel 3, frame 7: event ends before its last field",
        ),
        (
            ProtocolError::Frame(FrameError::Version { found: 9 }),
            "protocol version: expected 1, found 9",
        ),
        (
            ProtocolError::Incompatible { field: "job graph", expected: 16, found: 17 },
            "peer's job graph: expected 0x10, found 0x11",
        ),
        (
            ProtocolError::Silent { expected_ms: 10 },
            "peer: expected a hello within 10 ms, found none",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
    assert_eq!(WorkerId(2).to_string(), "worker 2");
}

/// A peer that can make any header, and usually a plausible one.
fn any_frame() -> impl Strategy<Value = (FrameHeader, Vec<u8>)> {
    let id = (0u32..4).prop_map(ChannelId);
    let any_event = prop_oneof![
        Just(Event::Watermark(1)),
        Just(barrier(1, Alignment::Aligned)),
        Just(barrier(1, Alignment::Unaligned)),
        Just(Event::EndOfPartition),
    ];
    let part = prop_oneof![
        Just(Part::Whole),
        Just(Part::First { total_bytes: 30 }),
        Just(Part::Middle { offset_bytes: 10 }),
        Just(Part::Last { offset_bytes: 20 }),
    ];
    let kinds = (0u32..14, id, 0u32..4, 0u32..4, any_event, part, 0usize..3);
    kinds.prop_map(|(kind, id, number, backlog, event, part, cut)| {
        let bare = |header| (header, Vec::new());
        match kind {
            0 => (FrameHeader::hello(), hello(2).encode().as_slice().to_vec()),
            1 => (FrameHeader::request(id, number), request(number).encode().as_slice().to_vec()),
            2..=4 => bare(FrameHeader::data(permit(id), number, backlog, 10, part)),
            5 | 6 => {
                let mut payload = Inline::event(&event).as_slice().to_vec();
                payload.truncate(payload.len().saturating_sub(cut).max(1));
                let length = payload.len() as u32;
                (FrameHeader::event(id, number, backlog, &event, length), payload)
            }
            7 => bare(FrameHeader::credit(id, number + 1)),
            8 => bare(FrameHeader::resume(id)),
            9 => bare(FrameHeader::cancel(id)),
            10 => bare(FrameHeader::close()),
            11 => bare(FrameHeader::error(Some(id), ErrorCode::PartitionNotFound, 0)),
            12 => bare(FrameHeader::backlog_announcement(id, backlog + 1)),
            _ => bare(FrameHeader::new_buffer_size(id, number + 1)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever a peer sends, a worker answers with an error at worst.
    #[test]
    fn hostile_frames_never_panic(frames in prop::collection::vec(any_frame(), 1..40)) {
        let (mut worker, _, _) = channels([2, 0]);
        worker.ports.floating = 3;
        for (header, payload) in frames {
            match worker.receive(&header, &payload) {
                Ok(Notice::Requested { reader, .. }) => {
                    worker.accept(reader);
                    worker.push(reader, 1);
                    worker.event(reader, barrier(1, Alignment::Aligned));
                }
                Ok(_) => {}
                Err(_) => break,
            }
            worker.send();
        }
        worker.connection.on_lost(&mut worker.ports);
    }
}
