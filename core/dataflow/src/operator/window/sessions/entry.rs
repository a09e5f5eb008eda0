//! The session of a key that began last, as a value of the state:
//!
//! ```text
//! there u8 | begin time | end time | at time | others u8 | what its rows were folded into
//! ```
//!
//! Times are as in namespaces. `at` is when it began at first: what else is kept of it is kept under that. `others`
//! is 1 if the key has sessions that began before.

use millstream_state::window::{Lateness, Window};

use crate::state::{TIME, namespace, time_of};

/// Bytes in front of what rows were folded into.
pub(super) const HEAD: usize = 2 + 3 * TIME;
const OTHERS: usize = HEAD - 1;

/// What stands in front of what the rows of a session were folded into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) window: Window,
    pub(super) at: i64,
    pub(super) others: bool,
}

impl Head {
    /// That of a value; `None` if there is no session.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let (there, rest) = value.split_first()?;
        let (start, rest) = rest.split_at_checked(TIME)?;
        let (end, rest) = rest.split_at_checked(TIME)?;
        let (at, rest) = rest.split_at_checked(TIME)?;
        let window = Window { start: time_of(start)?, end: time_of(end)? };
        let (at, others) = (time_of(at)?, *rest.first()? != 0);
        (*there == 1).then_some(Self { window, at, others })
    }

    pub(super) fn bytes(self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        bytes[0] = 1;
        bytes[1..=TIME].copy_from_slice(&namespace(self.window.start));
        bytes[1 + TIME..1 + 2 * TIME].copy_from_slice(&namespace(self.window.end));
        bytes[1 + 2 * TIME..OTHERS].copy_from_slice(&namespace(self.at));
        bytes[OTHERS] = u8::from(self.others);
        bytes
    }
}

/// What becomes of a row, as the session that began last tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// The session that it would be part of is late, so that it is dropped.
    Late,
    /// It is part of no session, or of one that began before, or makes several one.
    Elsewhere,
    /// It is folded into the session, which is this one now. `is_new` if there was none.
    Into { window: Window, is_new: bool, wants_timer: bool },
}

impl Entered {
    /// Of a row whose own window is `own`.
    #[inline]
    pub(super) fn of(head: Option<Head>, own: Window, lateness: Lateness, watermark: i64) -> Self {
        let Some(Head { window: known, others: false, .. }) = head else {
            return match head {
                Some(_) => Self::Elsewhere,
                None if lateness.is_late(&own, watermark) => Self::Late,
                None => Self::Into { window: own, is_new: true, wants_timer: true },
            };
        };
        let window = known.cover(&own);
        // A row that is late by itself is not if a session that is still there takes it.
        if window == known {
            return Self::Into { window, is_new: false, wants_timer: false };
        }
        let touches = known.touches(&own);
        if lateness.is_late(if touches { &window } else { &own }, watermark) {
            return Self::Late;
        }
        // A session that grew has a timer of before, which asks for the next one when it is due: a row costs none.
        let wants_timer = known.max_time() <= watermark;
        match touches {
            true => Self::Into { window, is_new: false, wants_timer },
            false => Self::Elsewhere,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window { start, end }
    }

    #[test]
    fn heads_are_read_as_they_were_written() {
        for (start, end, others) in [(-5, 10, false), (0, i64::MAX, true)] {
            let head = Head { window: window(start, end), at: start + 1, others };
            assert_eq!(Head::read(&head.bytes()), Some(head));
            assert_eq!(Head::read(&head.bytes()[..OTHERS]), None);
        }
        assert_eq!(Head::read(&[0; HEAD]), None);
    }

    #[test]
    fn rows_enter_what_they_touch() {
        let strict = Lateness::default();
        let of = |head, own, watermark| Entered::of(head, own, strict, watermark);
        let into = |window, is_new, wants_timer| Entered::Into { window, is_new, wants_timer };
        let known = Some(Head { window: window(10, 20), at: 10, others: false });
        assert_eq!(of(None, window(0, 5), 3), into(window(0, 5), true, true));
        assert_eq!(of(None, window(0, 5), 4), Entered::Late);
        assert_eq!(of(known, window(12, 20), 18), into(window(10, 20), false, false));
        assert_eq!(of(known, window(20, 30), 18), into(window(10, 30), false, false));
        assert_eq!(of(known, window(5, 10), 8), into(window(5, 20), false, false));
        assert_eq!(of(known, window(21, 30), 18), Entered::Elsewhere);
        assert_eq!(of(known, window(0, 9), 8), Entered::Late);
        let others = Some(Head { window: window(10, 20), at: 10, others: true });
        assert_eq!(of(others, window(12, 20), 15), Entered::Elsewhere);
        // It has ended and is kept: its timer is gone.
        let patient = Lateness::of(100);
        let grown = Entered::of(known, window(15, 25), patient, 30);
        assert_eq!(grown, into(window(10, 25), false, true));
    }
}
