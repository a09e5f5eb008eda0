//! The bytes of an event: one tag, then its fields, little-endian, nothing behind them.

use core::fmt;

use super::{Alignment, Barrier, Event, Purpose, StreamStatus};
use crate::bytes::{Reader, Truncated, Writer};

/// The longest event in bytes.
pub const EVENT_BYTES_MAX: usize = 1 + BARRIER_BYTES + 4;

/// Checkpoint, timestamp, alignment, timeout, purpose.
const BARRIER_BYTES: usize = 8 + 8 + 1 + 4 + 1;

const WATERMARK: u8 = 1;
const STATUS: u8 = 2;
const BARRIER: u8 = 3;
const CANCEL_BARRIER: u8 = 4;
const END_OF_DATA: u8 = 5;
const END_OF_PARTITION: u8 = 6;
const ANNOUNCEMENT: u8 = 7;
const END_OF_RECOVERY: u8 = 8;

impl Event {
    /// Writes the event to `target` and returns its length in bytes.
    pub fn encode(&self, target: &mut [u8; EVENT_BYTES_MAX]) -> usize {
        let mut writer = Writer::new(target);
        match self {
            Self::Watermark(time) => {
                writer.u8(WATERMARK);
                writer.i64(*time);
            }
            Self::Status(status) => {
                writer.u8(STATUS);
                writer.u8(u8::from(*status == StreamStatus::Idle));
            }
            Self::Barrier(barrier) => {
                writer.u8(BARRIER);
                write_barrier(&mut writer, barrier);
            }
            Self::CancelBarrier(checkpoint) => {
                writer.u8(CANCEL_BARRIER);
                writer.u64(*checkpoint);
            }
            Self::EndOfData { drain } => {
                writer.u8(END_OF_DATA);
                writer.u8(u8::from(*drain));
            }
            Self::EndOfPartition => writer.u8(END_OF_PARTITION),
            Self::Announcement { barrier, sequence } => {
                writer.u8(ANNOUNCEMENT);
                write_barrier(&mut writer, barrier);
                writer.u32(*sequence);
            }
            Self::EndOfRecovery => writer.u8(END_OF_RECOVERY),
        }
        writer.len()
    }

    /// Reads an event that fills `source` exactly.
    ///
    /// # Errors
    /// [`EventError`] says what is wrong with the bytes; nothing was consumed.
    pub fn decode(source: &[u8]) -> Result<Self, EventError> {
        let mut reader = Reader::new(source);
        let event = match reader.u8()? {
            WATERMARK => Self::Watermark(reader.i64()?),
            STATUS => match flag(&mut reader, "status")? {
                false => Self::Status(StreamStatus::Active),
                true => Self::Status(StreamStatus::Idle),
            },
            BARRIER => Self::Barrier(read_barrier(&mut reader)?),
            CANCEL_BARRIER => Self::CancelBarrier(reader.u64()?),
            END_OF_DATA => Self::EndOfData { drain: flag(&mut reader, "drain")? },
            END_OF_PARTITION => Self::EndOfPartition,
            ANNOUNCEMENT => {
                let barrier = read_barrier(&mut reader)?;
                if !Self::Barrier(barrier).requires_announcement() {
                    return Err(EventError::Field { field: "announced barrier", found: 0 });
                }
                Self::Announcement { barrier, sequence: reader.u32()? }
            }
            END_OF_RECOVERY => Self::EndOfRecovery,
            found => return Err(EventError::Tag { found }),
        };
        match reader.remaining() {
            0 => Ok(event),
            found => Err(EventError::Trailing { found_bytes: found }),
        }
    }
}

/// Why bytes are not an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventError {
    /// The event ends before its last field.
    Truncated,
    /// Bytes follow the last field.
    Trailing {
        /// How many.
        found_bytes: usize,
    },
    /// No event has this tag.
    Tag {
        /// The tag.
        found: u8,
    },
    /// A field has a value that it cannot have.
    Field {
        /// Which field.
        field: &'static str,
        /// The value.
        found: u32,
    },
}

impl From<Truncated> for EventError {
    fn from(_: Truncated) -> Self {
        Self::Truncated
    }
}

impl fmt::Display for EventError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("event ends before its last field"),
            Self::Trailing { found_bytes } => write!(f, "event has {found_bytes} bytes too many"),
            Self::Tag { found } => write!(f, "event tag: expected 1 to 8, found {found}"),
            Self::Field { field, found } => write!(f, "event {field}: found invalid {found}"),
        }
    }
}

impl core::error::Error for EventError {}

fn write_barrier(writer: &mut Writer<'_>, barrier: &Barrier) {
    writer.u64(barrier.checkpoint);
    writer.i64(barrier.timestamp_ms);
    let (alignment, timeout_ms) = match barrier.alignment {
        Alignment::None => (0, 0),
        Alignment::Aligned => (1, 0),
        Alignment::ForcedAligned => (2, 0),
        Alignment::Timeout { timeout_ms } => (3, timeout_ms),
        Alignment::Unaligned => (4, 0),
    };
    writer.u8(alignment);
    writer.u32(timeout_ms);
    writer.u8(match barrier.purpose {
        Purpose::Checkpoint => 0,
        Purpose::Savepoint => 1,
        Purpose::StopWithSavepoint => 2,
    });
}

fn read_barrier(reader: &mut Reader<'_>) -> Result<Barrier, EventError> {
    let checkpoint = reader.u64()?;
    let timestamp_ms = reader.i64()?;
    let alignment = match (reader.u8()?, reader.u32()?) {
        (0, 0) => Alignment::None,
        (1, 0) => Alignment::Aligned,
        (2, 0) => Alignment::ForcedAligned,
        (3, timeout_ms @ 1..) => Alignment::Timeout { timeout_ms },
        (4, 0) => Alignment::Unaligned,
        (3, found) => return Err(EventError::Field { field: "barrier timeout", found }),
        (found, 0) => {
            return Err(EventError::Field { field: "barrier alignment", found: found.into() });
        }
        (_, found) => return Err(EventError::Field { field: "barrier timeout", found }),
    };
    let purpose = match reader.u8()? {
        0 => Purpose::Checkpoint,
        1 => Purpose::Savepoint,
        2 => Purpose::StopWithSavepoint,
        found => {
            return Err(EventError::Field { field: "barrier purpose", found: found.into() });
        }
    };
    Ok(Barrier { checkpoint, timestamp_ms, alignment, purpose })
}

fn flag(reader: &mut Reader<'_>, field: &'static str) -> Result<bool, EventError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        found => Err(EventError::Field { field, found: found.into() }),
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_event_is_an_announcement() {
        let barrier = Barrier {
            checkpoint: u64::MAX,
            timestamp_ms: -1,
            alignment: Alignment::Timeout { timeout_ms: 1 },
            purpose: Purpose::StopWithSavepoint,
        };
        let mut bytes = [0; EVENT_BYTES_MAX];
        let longest = Event::Announcement { barrier, sequence: 7 }.encode(&mut bytes);
        assert_eq!((longest, EVENT_BYTES_MAX), (27, 27));
    }

    #[test]
    fn watermark_bytes_are_stable() {
        let mut bytes = [0; EVENT_BYTES_MAX];
        let len = Event::Watermark(-2).encode(&mut bytes);
        assert_eq!(bytes[..len], [1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn barrier_bytes_are_stable() {
        let barrier = Barrier {
            checkpoint: 0x0102,
            timestamp_ms: 3,
            alignment: Alignment::Timeout { timeout_ms: 4 },
            purpose: Purpose::Savepoint,
        };
        let mut bytes = [0; EVENT_BYTES_MAX];
        let len = Event::Barrier(barrier).encode(&mut bytes);
        let expected = [3, 2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 4, 0, 0, 0, 1];
        assert_eq!(bytes[..len], expected);
    }

    #[test]
    fn refusals_name_the_fault() {
        assert_eq!(Event::decode(&[]), Err(EventError::Truncated));
        assert_eq!(Event::decode(&[9]), Err(EventError::Tag { found: 9 }));
        assert_eq!(Event::decode(&[6, 0]), Err(EventError::Trailing { found_bytes: 1 }));
        let status = EventError::Field { field: "status", found: 2 };
        assert_eq!(Event::decode(&[2, 2]), Err(status));
        let mut aligned_with_timeout = [0; 23];
        aligned_with_timeout[0] = 3;
        aligned_with_timeout[17] = 1;
        aligned_with_timeout[18] = 9;
        let timeout = EventError::Field { field: "barrier timeout", found: 9 };
        assert_eq!(Event::decode(&aligned_with_timeout), Err(timeout));
        assert_eq!(timeout.to_string(), "event barrier timeout: found invalid 9");
        let tag = EventError::Tag { found: 9 };
        assert_eq!(tag.to_string(), "event tag: expected 1 to 8, found 9");
    }

    fn any_barrier() -> impl Strategy<Value = Barrier> {
        let alignment = prop_oneof![
            Just(Alignment::None),
            Just(Alignment::Aligned),
            Just(Alignment::ForcedAligned),
            (1u32..).prop_map(|timeout_ms| Alignment::Timeout { timeout_ms }),
            Just(Alignment::Unaligned),
        ];
        let purpose = prop_oneof![
            Just(Purpose::Checkpoint),
            Just(Purpose::Savepoint),
            Just(Purpose::StopWithSavepoint)
        ];
        (any::<u64>(), any::<i64>(), alignment, purpose).prop_map(
            |(checkpoint, timestamp_ms, alignment, purpose)| Barrier {
                checkpoint,
                timestamp_ms,
                alignment,
                purpose,
            },
        )
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<i64>().prop_map(Event::Watermark),
            Just(Event::Status(StreamStatus::Active)),
            Just(Event::Status(StreamStatus::Idle)),
            any_barrier().prop_map(Event::Barrier),
            any::<u64>().prop_map(Event::CancelBarrier),
            any::<bool>().prop_map(|drain| Event::EndOfData { drain }),
            Just(Event::EndOfPartition),
            (any_barrier(), any::<u32>(), 1u32..).prop_map(|(barrier, sequence, timeout_ms)| {
                let alignment = Alignment::Timeout { timeout_ms };
                Event::Announcement { barrier: Barrier { alignment, ..barrier }, sequence }
            }),
            Just(Event::EndOfRecovery),
        ]
    }

    proptest! {
        #[test]
        fn decode_inverts_encode(event in any_event()) {
            let mut bytes = [0xaa; EVENT_BYTES_MAX];
            let len = event.encode(&mut bytes);
            prop_assert_eq!(Event::decode(&bytes[..len]), Ok(event));
            for cut in 0..len {
                prop_assert_eq!(Event::decode(&bytes[..cut]), Err(EventError::Truncated));
            }
        }

        #[test]
        fn arbitrary_bytes_decode_to_themselves_or_an_error(
            tag in 0u8..10,
            rest in prop::collection::vec(prop_oneof![0u8..5, any::<u8>()], 0..32),
        ) {
            let mut source = std::vec![tag];
            source.extend(rest);
            if let Ok(event) = Event::decode(&source) {
                let mut bytes = [0; EVENT_BYTES_MAX];
                let len = event.encode(&mut bytes);
                prop_assert_eq!(&bytes[..len], &source[..]);
            }
        }
    }
}
