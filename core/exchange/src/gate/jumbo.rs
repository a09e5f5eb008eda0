//! Jumbo rows: rows that no segment holds.
//!
//! The producer sends such a row as a sequence of fragments, one ordinary credit each. The
//! consumer copies them into one contiguous allocation and recycles each segment at once. The
//! allocation comes out of a budget of its own and is reserved, whole, when the first fragment is
//! read. Until the budget has room the channel is paused with its fragments in their segments:
//! so its credit runs dry and the producer stops, and no other channel notices.
//!
//! One row per gate can always proceed, whatever others hold: each gate sets an allowance for one
//! row of the largest size aside. Without it two channels could each hold half of the budget and
//! wait for the other half for ever.
//!
//! Memory for the row is not all that it needs: its fragments arrive in segments. A channel with an
//! exclusive segment always has one to go on with. In a gate whose channels have none, those that
//! wait for memory may hold every floating segment, and the one row that has memory would starve.
//! Such a gate sets one segment aside, too, for the channel that [`JumboGate::favoured`] names, and
//! only while that channel holds no other: then its next frame is sure to be the next fragment, and
//! the segment comes back at once (`GateSegments::aside` of `millstream-memory`).

use alloc::collections::{BTreeMap, VecDeque};
use core::fmt;

use crate::element::Part;

/// Memory for jumbo rows beyond each gate's own allowance, shared by the gates of a worker.
pub trait JumboBudget {
    /// Sets `bytes` aside, or returns `false`. Whoever was refused asks again through
    /// [`JumboGate::retry`] when bytes came back.
    fn try_reserve(&mut self, bytes: u32) -> bool;

    /// Takes `bytes` back.
    fn give_back(&mut self, bytes: u32);
}

/// The memory of one row: made by [`JumboGate`], and given back to it when the row was read.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a reservation that is dropped is memory lost for ever"]
pub struct Reservation {
    bytes: u32,
    own: bool,
}

impl Reservation {
    /// The length of the row in bytes.
    pub fn bytes(&self) -> u32 {
        self.bytes
    }
}

/// What to do with a fragment.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The first one, and there is room: allocate the row, copy the fragment to its start.
    Begin(Reservation),
    /// The first one, and there is no room yet: keep it and pause the channel until
    /// [`JumboGate::retry`] names it.
    Wait,
    /// Copy it to this offset of the row.
    Copy {
        /// In bytes from the start of the row.
        offset_bytes: u32,
        /// Whether the row is complete with it.
        complete: bool,
    },
}

/// Reassembles the jumbo rows of the channels of one gate.
#[derive(Debug)]
pub struct JumboGate {
    record_bytes_max: u32,
    /// The channel whose row uses the gate's own allowance.
    own: Option<u32>,
    rows: BTreeMap<u32, Row>,
    waiting: VecDeque<u32>,
}

/// A row of which fragments are missing.
#[derive(Clone, Copy, Debug)]
struct Row {
    total_bytes: u32,
    copied_bytes: u32,
}

impl JumboGate {
    /// A gate that takes rows of up to `record_bytes_max` bytes, and has set as much aside.
    pub fn new(record_bytes_max: u32) -> Self {
        Self { record_bytes_max, own: None, rows: BTreeMap::new(), waiting: VecDeque::new() }
    }

    /// Data of `bytes` bytes was read from a channel of the gate: says where it goes, `None` for
    /// an ordinary page.
    ///
    /// # Errors
    /// [`JumboError`] if the fragment does not continue the row of its channel, or the row is too
    /// large. The channel cannot go on.
    pub fn on_data(
        &mut self,
        channel: u32,
        part: Part,
        bytes: u32,
        budget: &mut impl JumboBudget,
    ) -> Result<Option<Step>, JumboError> {
        let row = self.rows.get_mut(&channel);
        match (part, row) {
            (Part::Whole, None) => Ok(None),
            (Part::First { total_bytes }, None) => {
                self.begin(channel, total_bytes, bytes, budget).map(Some)
            }
            (Part::Middle { offset_bytes }, Some(row)) => {
                row.copy(channel, offset_bytes, bytes, false).map(Some)
            }
            (Part::Last { offset_bytes }, Some(row)) => {
                let step = row.copy(channel, offset_bytes, bytes, true)?;
                self.rows.remove(&channel);
                Ok(Some(step))
            }
            (Part::Whole | Part::First { .. }, Some(row)) => Err(JumboError::Interrupted {
                channel,
                expected: row.copied_bytes,
                total: row.total_bytes,
            }),
            (Part::Middle { .. } | Part::Last { .. }, None) => {
                Err(JumboError::NotStarted { channel })
            }
        }
    }

    /// Memory came back: names the channel that has waited longest, if it fits now, with the
    /// memory for its row. Copy the fragment that was kept to its start and let the channel go on.
    /// Call again until `None`.
    pub fn retry(&mut self, budget: &mut impl JumboBudget) -> Option<(u32, Reservation)> {
        let channel = *self.waiting.front()?;
        let row = self.rows[&channel];
        let reservation = self.reserve(channel, row.total_bytes, budget)?;
        self.waiting.pop_front();
        Some((channel, reservation))
    }

    /// A row was read, or is given up. Then call [`retry`](Self::retry), here and, if the budget
    /// is shared, at the other gates.
    pub fn give_back(&mut self, reservation: Reservation, budget: &mut impl JumboBudget) {
        if reservation.own {
            assert!(self.own.take().is_some(), "the allowance came back twice");
        } else {
            budget.give_back(reservation.bytes);
        }
    }

    /// The channel ended within a row, or might have. A reservation that was handed out for it
    /// must still be given back.
    pub fn abandon(&mut self, channel: u32) {
        self.rows.remove(&channel);
        self.waiting.retain(|waiting| *waiting != channel);
    }

    /// Whether fragments of a row are missing on this channel. Its end is an error then.
    pub fn is_within_row(&self, channel: u32) -> bool {
        self.rows.contains_key(&channel)
    }

    /// The channel whose row has the gate's own allowance and misses fragments.
    pub fn favoured(&self) -> Option<u32> {
        self.own.filter(|channel| self.is_within_row(*channel))
    }

    fn begin(
        &mut self,
        channel: u32,
        total: u32,
        bytes: u32,
        budget: &mut impl JumboBudget,
    ) -> Result<Step, JumboError> {
        let max = self.record_bytes_max;
        if total > max {
            return Err(JumboError::TooLarge { channel, total, max });
        }
        if bytes >= total {
            return Err(JumboError::Overrun { channel, total, found: bytes });
        }
        let row = Row { total_bytes: total, copied_bytes: bytes };
        self.rows.insert(channel, row);
        // Whoever waits longer goes first, also if this row would fit.
        let first = self.waiting.is_empty();
        let reserved = if first { self.reserve(channel, total, budget) } else { None };
        Ok(match reserved {
            Some(reservation) => Step::Begin(reservation),
            None => {
                self.waiting.push_back(channel);
                Step::Wait
            }
        })
    }

    fn reserve(
        &mut self,
        channel: u32,
        bytes: u32,
        budget: &mut impl JumboBudget,
    ) -> Option<Reservation> {
        if self.own.is_none() {
            self.own = Some(channel);
            return Some(Reservation { bytes, own: true });
        }
        budget.try_reserve(bytes).then_some(Reservation { bytes, own: false })
    }
}

impl Row {
    fn copy(
        &mut self,
        channel: u32,
        offset_bytes: u32,
        bytes: u32,
        last: bool,
    ) -> Result<Step, JumboError> {
        let (expected, total) = (self.copied_bytes, self.total_bytes);
        if offset_bytes != expected {
            return Err(JumboError::Offset { channel, expected, found: offset_bytes });
        }
        match total.checked_sub(expected).and_then(|left| left.checked_sub(bytes)) {
            Some(left) if (left == 0) == last => {
                self.copied_bytes += bytes;
                Ok(Step::Copy { offset_bytes, complete: last })
            }
            _ => {
                let found = expected.saturating_add(bytes);
                Err(JumboError::Overrun { channel, total, found })
            }
        }
    }
}

/// Why a channel's fragments are not a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JumboError {
    /// The row is longer than `max-record-size`.
    TooLarge {
        /// The channel of the gate.
        channel: u32,
        /// The row in bytes.
        total: u32,
        /// The most that the gate takes, in bytes.
        max: u32,
    },
    /// A fragment does not begin where the one before it ended.
    Offset {
        /// The channel of the gate.
        channel: u32,
        /// In bytes.
        expected: u32,
        /// In bytes.
        found: u32,
    },
    /// The last fragment does not end the row, or another one does.
    Overrun {
        /// The channel of the gate.
        channel: u32,
        /// The row in bytes.
        total: u32,
        /// Where the fragment ends, in bytes.
        found: u32,
    },
    /// A page or another row began before the row was complete.
    Interrupted {
        /// The channel of the gate.
        channel: u32,
        /// The offset that should have followed, in bytes.
        expected: u32,
        /// The row in bytes.
        total: u32,
    },
    /// A later fragment without a first one.
    NotStarted {
        /// The channel of the gate.
        channel: u32,
    },
}

impl fmt::Display for JumboError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { channel, total, max } => {
                write!(f, "input {channel}: row of {total} bytes, max-record-size is {max}")
            }
            Self::Offset { channel, expected, found } => {
                write!(f, "input {channel}: fragment at {found}, expected at {expected}")
            }
            Self::Overrun { channel, total, found } => {
                write!(f, "input {channel}: fragment ends at {found} of a row of {total} bytes")
            }
            Self::Interrupted { channel, expected, total } => {
                write!(f, "input {channel}: row of {total} bytes breaks off at {expected}")
            }
            Self::NotStarted { channel } => {
                write!(f, "input {channel}: fragment of a row that never began")
            }
        }
    }
}

impl core::error::Error for JumboError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    struct Budget {
        free: u32,
    }

    impl JumboBudget for Budget {
        fn try_reserve(&mut self, bytes: u32) -> bool {
            match self.free.checked_sub(bytes) {
                Some(rest) => {
                    self.free = rest;
                    true
                }
                None => false,
            }
        }

        fn give_back(&mut self, bytes: u32) {
            self.free += bytes;
        }
    }

    const FIRST: Part = Part::First { total_bytes: 25 };

    fn begun(gate: &mut JumboGate, channel: u32, budget: &mut Budget) -> Reservation {
        match gate.on_data(channel, FIRST, 10, budget) {
            Ok(Some(Step::Begin(reservation))) => reservation,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn fragments_fill_the_row_in_order() {
        let (mut gate, mut budget) = (JumboGate::new(100), Budget { free: 0 });
        assert_eq!(gate.on_data(3, Part::Whole, 10, &mut budget), Ok(None));
        let reservation = begun(&mut gate, 3, &mut budget);
        assert_eq!(reservation.bytes(), 25);
        let copy = |offset_bytes, complete| Ok(Some(Step::Copy { offset_bytes, complete }));
        let middle = Part::Middle { offset_bytes: 10 };
        assert_eq!(gate.on_data(3, middle, 10, &mut budget), copy(10, false));
        assert!(gate.is_within_row(3));
        let last = Part::Last { offset_bytes: 20 };
        assert_eq!(gate.on_data(3, last, 5, &mut budget), copy(20, true));
        assert!(!gate.is_within_row(3));
        gate.give_back(reservation, &mut budget);
        assert_eq!(budget.free, 0, "the allowance is the gate's own");
    }

    #[test]
    fn one_row_proceeds_without_budget_and_others_wait_in_order() {
        let (mut gate, mut budget) = (JumboGate::new(100), Budget { free: 0 });
        let own = begun(&mut gate, 0, &mut budget);
        assert_eq!(gate.favoured(), Some(0));
        assert_eq!(gate.on_data(1, FIRST, 10, &mut budget), Ok(Some(Step::Wait)));
        assert_eq!(gate.on_data(2, FIRST, 10, &mut budget), Ok(Some(Step::Wait)));
        assert_eq!(gate.retry(&mut budget), None);
        gate.give_back(own, &mut budget);
        // A third row must not overtake the two that wait.
        assert_eq!(gate.on_data(3, FIRST, 10, &mut budget), Ok(Some(Step::Wait)));
        let (channel, own) = gate.retry(&mut budget).expect("the allowance is free");
        assert_eq!((channel, gate.favoured()), (1, Some(1)));
        assert_eq!(gate.retry(&mut budget), None);
        budget.free = 30;
        let (channel, shared) = gate.retry(&mut budget).expect("30 of 25 bytes");
        assert_eq!((channel, budget.free), (2, 5));
        gate.give_back(shared, &mut budget);
        assert_eq!(budget.free, 30);
        gate.abandon(3);
        assert_eq!(gate.retry(&mut budget), None);
        gate.abandon(1);
        assert_eq!(gate.favoured(), None, "no fragment of it is missing any more");
        gate.give_back(own, &mut budget);
    }

    #[test]
    fn what_is_no_row_is_refused() {
        let mut budget = Budget { free: 0 };
        let max = Part::First { total_bytes: 25 };
        let cases: [(&[(Part, u32)], JumboError); 8] = [
            (
                &[(Part::First { total_bytes: 26 }, 10)],
                JumboError::TooLarge { channel: 1, total: 26, max: 25 },
            ),
            (&[(max, 25)], JumboError::Overrun { channel: 1, total: 25, found: 25 }),
            (&[(Part::Last { offset_bytes: 5 }, 5)], JumboError::NotStarted { channel: 1 }),
            (
                &[(max, 10), (Part::Whole, 5)],
                JumboError::Interrupted { channel: 1, expected: 10, total: 25 },
            ),
            (
                &[(max, 10), (max, 10)],
                JumboError::Interrupted { channel: 1, expected: 10, total: 25 },
            ),
            (
                &[(max, 10), (Part::Middle { offset_bytes: 11 }, 5)],
                JumboError::Offset { channel: 1, expected: 10, found: 11 },
            ),
            (
                &[(max, 10), (Part::Middle { offset_bytes: 10 }, 15)],
                JumboError::Overrun { channel: 1, total: 25, found: 25 },
            ),
            (
                &[(max, 10), (Part::Last { offset_bytes: 10 }, 14)],
                JumboError::Overrun { channel: 1, total: 25, found: 24 },
            ),
        ];
        for (steps, expected) in cases {
            let mut gate = JumboGate::new(25);
            let mut results =
                steps.iter().map(|(part, bytes)| gate.on_data(1, *part, *bytes, &mut budget));
            assert_eq!(results.find_map(Result::err), Some(expected));
        }
        let error = JumboError::TooLarge { channel: 1, total: 26, max: 25 };
        assert_eq!(error.to_string(), "input 1: row of 26 bytes, max-record-size is 25");
    }
}
