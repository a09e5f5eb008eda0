use std::string::ToString;

use proptest::prelude::*;

use super::*;
use crate::credit::ProducerCredit;
use crate::event::{Alignment, Barrier, Purpose};
use crate::id::{PartitionId, WorkerId};

const LIMITS: FrameLimits =
    FrameLimits { segment_bytes: 4096, control_bytes_max: 2048, record_bytes_max: 1 << 20 };

fn permit(channel: u32) -> SendPermit {
    ProducerCredit::new(ChannelId(channel), 1).permit().expect("credit 1 mints one permit")
}

fn encoded(header: &FrameHeader) -> [u8; HEADER_BYTES] {
    let mut bytes = [0xff; HEADER_BYTES];
    header.encode(&mut bytes);
    bytes
}

/// Writes `value` at `at` and makes the checksum right again: an attack, not an accident.
fn forged(header: &FrameHeader, at: usize, value: &[u8]) -> [u8; HEADER_BYTES] {
    let mut bytes = encoded(header);
    bytes[at..at + value.len()].copy_from_slice(value);
    let sum = checksum(&bytes);
    bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn one_of_each() -> [FrameHeader; 18] {
    let barrier = Barrier {
        checkpoint: 1,
        timestamp_ms: 2,
        alignment: Alignment::Timeout { timeout_ms: 3 },
        purpose: Purpose::Checkpoint,
    };
    let channel = ChannelId(7);
    [
        FrameHeader::hello(),
        FrameHeader::request(channel, 0),
        FrameHeader::data(permit(7), 1, 2, 4096, Part::Whole),
        FrameHeader::data(permit(7), 1, 2, 4096, Part::First { total_bytes: 5000 }),
        FrameHeader::data(permit(7), 1, 2, 10, Part::Middle { offset_bytes: 4096 }),
        FrameHeader::data(permit(7), 1, 2, 10, Part::Last { offset_bytes: 4106 }),
        FrameHeader::event(channel, u32::MAX, 0, &Event::Barrier(barrier), 23),
        FrameHeader::event(channel, 0, 0, &Event::Barrier(barrier.unaligned()), 23),
        FrameHeader::credit(channel, 1),
        FrameHeader::resume(channel),
        FrameHeader::cancel(channel),
        FrameHeader::close(),
        FrameHeader::error(Some(channel), ErrorCode::PartitionNotFound, 0),
        FrameHeader::error(None, ErrorCode::Protocol, 1024),
        FrameHeader::backlog_announcement(channel, 1),
        FrameHeader::new_buffer_size(channel, 256),
        FrameHeader::ack_all_records(channel),
        FrameHeader::task_event(channel, 9, 2048),
    ]
}

#[test]
fn every_kind_comes_back_as_it_went() {
    let mut seen = std::collections::BTreeSet::new();
    for header in one_of_each() {
        assert_eq!(FrameHeader::decode(&encoded(&header), &LIMITS), Ok(header));
        seen.insert(header.kind() as u8);
    }
    assert_eq!(seen.len(), FrameKind::ALL.len());
}

#[test]
fn the_bytes_are_stable() {
    let bytes = encoded(&FrameHeader::data(permit(0x0a0b), 3, 4, 4096, Part::Whole));
    let expected: [u8; 28] = [
        b'M', b'I', b'L', b'L', 1, 3, 0, 0, 0x0b, 0x0a, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 0, 0x10, 0,
        0, 0, 0, 0, 0,
    ];
    assert_eq!(bytes[..28], expected);
    assert_eq!(u32::from_le_bytes([bytes[28], bytes[29], bytes[30], bytes[31]]), STABLE_CHECKSUM);
}

/// The checksum of the header above. Changing the mix is changing the protocol.
const STABLE_CHECKSUM: u32 = 0x7c45_9779;

#[test]
fn flags_say_what_an_event_is() {
    let with = |alignment| {
        let purpose = Purpose::Checkpoint;
        let barrier = Barrier { checkpoint: 1, timestamp_ms: 2, alignment, purpose };
        FrameHeader::event_flags(&Event::Barrier(barrier))
    };
    assert_eq!(with(Alignment::None), 0);
    assert_eq!(with(Alignment::Aligned), FrameHeader::BLOCKING);
    assert_eq!(with(Alignment::Unaligned), FrameHeader::PRIORITY);
    let announced = FrameHeader::BLOCKING | FrameHeader::ANNOUNCE;
    assert_eq!(with(Alignment::Timeout { timeout_ms: 1 }), announced);
    assert_eq!(FrameHeader::event_flags(&Event::EndOfRecovery), FrameHeader::BLOCKING);
}

#[test]
fn parts_come_back_as_they_went() {
    let parts = [
        Part::Whole,
        Part::First { total_bytes: 99 },
        Part::Middle { offset_bytes: 99 },
        Part::Last { offset_bytes: 99 },
    ];
    for part in parts {
        assert_eq!(FrameHeader::data(permit(1), 0, 0, 10, part).part(), part);
    }
    assert_eq!(FrameHeader::credit(ChannelId(1), 9).part(), Part::Whole);
}

#[test]
fn later_fragments_may_begin_anywhere_within_the_row() {
    let part = Part::Middle { offset_bytes: 5 };
    let header = FrameHeader::data(permit(1), 0, 0, 10, part);
    assert_eq!(FrameHeader::decode(&encoded(&header), &LIMITS), Ok(header));
    let end = LIMITS.record_bytes_max;
    let last = |offset_bytes| {
        let header = FrameHeader::data(permit(1), 0, 0, 10, Part::Last { offset_bytes });
        FrameHeader::decode(&encoded(&header), &LIMITS).is_ok()
    };
    assert!(last(end - 10));
    assert!(!last(end - 9), "it would end behind the longest row");
}

#[test]
fn headers_say_how_much_follows() {
    let channel = ChannelId(1);
    assert_eq!(FrameHeader::hello().payload_bytes(), 20);
    assert_eq!(FrameHeader::request(channel, 1).payload_bytes(), 20);
    assert_eq!(FrameHeader::error(None, ErrorCode::Protocol, 7).payload_bytes(), 7);
    assert_eq!(FrameHeader::task_event(channel, 1, 7).payload_bytes(), 7);
    assert_eq!(FrameHeader::event(channel, 0, 0, &Event::EndOfRecovery, 7).payload_bytes(), 7);
}

#[test]
fn every_flipped_bit_is_found() {
    for header in one_of_each() {
        let bytes = encoded(&header);
        for bit in 0..HEADER_BYTES * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(FrameHeader::decode(&flipped, &LIMITS).is_err(), "bit {bit} of {header:?}");
        }
    }
}

#[test]
fn a_receiver_out_of_place_is_told_so() {
    let bytes = encoded(&FrameHeader::close());
    let mut late = [0; HEADER_BYTES];
    late[..HEADER_BYTES - 1].copy_from_slice(&bytes[1..]);
    assert_eq!(
        FrameHeader::decode(&late, &LIMITS),
        Err(FrameError::Magic { found: u32::from_le_bytes([b'I', b'L', b'L', 1]) })
    );
    let newer = forged(&FrameHeader::close(), 4, &[2]);
    assert_eq!(FrameHeader::decode(&newer, &LIMITS), Err(FrameError::Version { found: 2 }));
}

#[test]
fn payloads_are_bounded_by_the_receiver() {
    let data = FrameHeader::data(permit(7), 0, 0, 4096, Part::Whole);
    let task = FrameHeader::task_event(ChannelId(7), 0, 2048);
    let error = FrameHeader::error(None, ErrorCode::Protocol, 1024);
    for (header, min, max) in [(data, 1, 4096), (task, 0, 2048), (error, 0, 1024)] {
        for (length, fits) in [(0, min == 0), (max, true), (max + 1, false), (u32::MAX, false)] {
            let bytes = forged(&header, 20, &length.to_le_bytes());
            let decoded = FrameHeader::decode(&bytes, &LIMITS);
            if fits {
                assert_eq!(decoded.map(|header| header.payload_bytes()), Ok(length));
            } else {
                let kind = header.kind();
                assert_eq!(decoded, Err(FrameError::Length { kind, min, max, found: length }));
            }
        }
    }
}

#[test]
fn fields_outside_their_shape_are_refused() {
    let credit = FrameHeader::credit(ChannelId(7), 1);
    let first = FrameHeader::data(permit(7), 0, 0, 10, Part::First { total_bytes: 11 });
    let last = FrameHeader::data(permit(7), 0, 0, 10, Part::Last { offset_bytes: 10 });
    let event = FrameHeader::event(ChannelId(7), 0, 0, &Event::EndOfPartition, 1);
    let fatal = FrameHeader::error(None, ErrorCode::Protocol, 0);
    let announcement = FrameHeader::backlog_announcement(ChannelId(7), 1);
    let size = FrameHeader::new_buffer_size(ChannelId(7), LIMITS.segment_bytes);
    let cases: [(FrameHeader, usize, &[u8], &str); 18] = [
        (FrameHeader::hello(), 8, &[1], "channel"),
        (FrameHeader::close(), 8, &[1], "channel"),
        (size, 24, &[1, 0x10], "aux"),
        (size, 24, &[0, 0], "aux"),
        (credit, 6, &[1], "flags"),
        (credit, 7, &[1], "reserved"),
        (credit, 12, &[1], "sequence"),
        (credit, 16, &[1], "backlog"),
        (credit, 24, &[0], "aux"),
        (first, 24, &[10], "aux"),
        (first, 24, &[0, 0, 0x10, 1], "aux"),
        (first, 6, &[FrameHeader::FIRST | FrameHeader::LAST], "flags"),
        (last, 24, &[0], "aux"),
        (last, 24, &[0xff, 0xff, 0xff, 0xff], "aux"),
        (event, 6, &[FrameHeader::PRIORITY | FrameHeader::ANNOUNCE], "flags"),
        (fatal, 8, &[1], "channel"),
        (fatal, 24, &[7], "aux"),
        (announcement, 16, &[0], "backlog"),
    ];
    for (header, at, value, expected) in cases {
        match FrameHeader::decode(&forged(&header, at, value), &LIMITS) {
            Err(FrameError::Field { field, .. }) => assert_eq!(field, expected, "{header:?}"),
            other => panic!("{header:?} with byte {at} forged: {other:?}"),
        }
    }
    for found in [0, 15, 255] {
        let bytes = forged(&credit, 5, &[found]);
        assert_eq!(FrameHeader::decode(&bytes, &LIMITS), Err(FrameError::Kind { found }));
    }
}

#[test]
fn hello_and_request_come_back_as_they_went() {
    let worker = WorkerId(3);
    let hello = Hello { job: u64::MAX - 1, worker, segment_bytes: 4096, record_bytes_max: 1 << 20 };
    assert_eq!(Hello::decode(hello.encode().as_slice()), Ok(hello));
    let partition = PartitionId { result: 1 << 40, subtask: 2, attempt: 3 };
    let request = Request { partition, subpartition: 4 };
    assert_eq!(Request::decode(request.encode().as_slice()), Ok(request));
    let short = &request.encode();
    let short = &short.as_slice()[1..];
    let length = PayloadError::Length { expected: 20, found: 19 };
    assert_eq!(Request::decode(short), Err(length));
    let empty = Hello { segment_bytes: 0, ..hello };
    let zero = PayloadError::Zero { field: "segment size" };
    assert_eq!(Hello::decode(empty.encode().as_slice()), Err(zero));
    let empty = Hello { record_bytes_max: 0, ..hello };
    let zero = PayloadError::Zero { field: "record size" };
    assert_eq!(Hello::decode(empty.encode().as_slice()), Err(zero));
    assert_eq!(zero.to_string(), "record size: expected at least 1 byte, found 0");
    assert_eq!(INLINE_BYTES_MAX, 27);
}

#[test]
fn error_codes_come_back_as_they_went() {
    let codes = [
        (ErrorCode::PartitionNotFound, "partition not found"),
        (ErrorCode::PartitionRefused, "partition refused"),
        (ErrorCode::ProducerFailed, "producer failed"),
        (ErrorCode::Protocol, "protocol error"),
        (ErrorCode::Incompatible, "incompatible peer"),
        (ErrorCode::Shutdown, "shutdown"),
    ];
    for (code, text) in codes {
        assert_eq!(ErrorCode::from_aux(code as u32), Some(code));
        assert_eq!(code.to_string(), text);
    }
    assert_eq!((ErrorCode::from_aux(0), ErrorCode::from_aux(7)), (None, None));
}

#[test]
fn directions_and_credit_follow_the_table() {
    let to_producer = [
        FrameKind::Request,
        FrameKind::Credit,
        FrameKind::Resume,
        FrameKind::Cancel,
        FrameKind::NewBufferSize,
        FrameKind::AckAllRecords,
        FrameKind::TaskEvent,
    ];
    for kind in FrameKind::ALL {
        assert_eq!(kind.is_to_producer(), to_producer.contains(&kind), "{kind:?}");
        let takes = matches!(kind, FrameKind::Data | FrameKind::JumboFragment);
        assert_eq!(kind.consumes_credit(), takes, "{kind:?}");
        assert_eq!(FrameKind::from_byte(kind as u8), Some(kind));
    }
}

#[test]
fn errors_say_what_was_expected_and_found() {
    let kind = FrameKind::Data;
    let channel = ChannelId(3);
    let texts = [
        (FrameError::Magic { found: 1 }, "frame magic: expected 0x4c4c494d, found 0x00000001"),
        (
            FrameError::Checksum { expected: 1, found: 2 },
            "frame checksum: expected 0x00000001, found 0x00000002",
        ),
        (FrameError::Kind { found: 99 }, "frame kind: expected 1 to 14, found 99"),
        (
            FrameError::Length { kind, min: 1, max: 4096, found: 5000 },
            "Data payload: expected 1 to 4096 bytes, found 5000",
        ),
        (
            FrameError::Field { kind, channel, field: "flags", found: 9 },
            "Data frame of channel 3: flags cannot be 9",
        ),
    ];
    for (error, text) in texts {
        assert_eq!(error.to_string(), text);
    }
}

#[test]
fn long_error_texts_are_cut_between_characters() {
    let text = "é".repeat(ERROR_TEXT_BYTES_MAX);
    assert_eq!(payload::error_text(&text).len(), ERROR_TEXT_BYTES_MAX);
    let odd = std::format!("x{text}");
    assert_eq!(payload::error_text(&odd).len(), ERROR_TEXT_BYTES_MAX - 1);
}

/// What a fuzzer calls: any 32 bytes are refused, or are the one encoding of what they decode to.
pub(crate) fn fuzz_frame(bytes: &[u8; HEADER_BYTES]) {
    if let Ok(header) = FrameHeader::decode(bytes, &LIMITS) {
        assert_eq!(&encoded(&header), bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes: [u8; HEADER_BYTES]) {
        fuzz_frame(&bytes);
    }

    /// Arbitrary bytes fail at the magic; these get past the checksum and into the shapes.
    #[test]
    fn forged_headers_never_panic(
        index in 0usize..18,
        at in 5usize..28,
        value in prop_oneof![0u8..64, any::<u8>()],
        more in 5usize..28,
        other: u8,
    ) {
        let header = one_of_each()[index];
        let mut bytes = forged(&header, at, &[value]);
        bytes[more] = other;
        let sum = checksum(&bytes);
        bytes[CHECKSUM_AT..].copy_from_slice(&sum.to_le_bytes());
        fuzz_frame(&bytes);
    }
}
