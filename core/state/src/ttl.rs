//! Time to live: state that is forgotten when it was not used for a while.
//!
//! The time of last use stands in front of what lives: eight bytes, milliseconds since the epoch,
//! little-endian, before the row of a value, of each element of a list and of each value of a map.
//! So a backend knows nothing of it, values of one size keep one size and are updated in place, and
//! state with a time to live is not interchangeable with state without one, as in Flink. Time is
//! processing time and comes in as an argument.
//!
//! What expired is removed when it is read, a few entries at a time by a [`Cleanup`], and on the way
//! into a snapshot by [`clean_chunks`].

mod cleanup;
mod filter;

pub use cleanup::{CLEANED_PER_ACCESS, Cleanup};
pub(crate) use cleanup::{read, retain_living};
pub use filter::clean_chunks;

/// Bytes of the time in front of what lives.
pub const STAMP: usize = 8;

/// How long state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ttl {
    /// Milliseconds from the last use on.
    pub millis: i64,
    /// What is a use.
    pub update: TtlUpdate,
    /// Whether expired state may still be seen.
    pub visibility: TtlVisibility,
}

/// What counts as a use of state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlUpdate {
    /// Creating and writing.
    #[default]
    OnCreateAndWrite,
    /// Reading, too.
    OnReadAndWrite,
}

/// Whether expired state that was not removed yet may be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TtlVisibility {
    /// Never.
    #[default]
    NeverReturnExpired,
    /// Until it is removed.
    ReturnExpiredIfNotCleanedUp,
}

impl Ttl {
    /// Lives so many milliseconds from when it was last created or written, and is never seen after.
    pub fn new(millis: i64) -> Self {
        Self { millis, update: TtlUpdate::default(), visibility: TtlVisibility::default() }
    }

    /// Whether what begins with its time has expired at `now`. What is shorter has no time and lives.
    #[inline]
    pub fn is_expired(&self, stamped: &[u8], now: i64) -> bool {
        let stamp = stamped.first_chunk().map(|stamp| i64::from_le_bytes(*stamp));
        stamp.is_some_and(|stamp| stamp.saturating_add(self.millis) <= now)
    }

    /// Whether what begins with its time must not be seen at `now`.
    #[inline]
    pub fn hides(&self, stamped: &[u8], now: i64) -> bool {
        self.visibility == TtlVisibility::NeverReturnExpired && self.is_expired(stamped, now)
    }
}
