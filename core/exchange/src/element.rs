//! What flows through a channel: pages, fragments of jumbo rows and events, in one order.

use crate::event::Event;

/// A sealed page or a fragment of a jumbo row, known by its handle.
///
/// `B` is whatever the backend uses to hold a segment. This crate moves it and never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data<B> {
    /// The segment's handle.
    pub buffer: B,
    /// Bytes of payload, at least 1 and at most a segment.
    pub bytes: u32,
    /// Whether this is a page or which fragment of a jumbo row it is.
    pub part: Part,
}

impl<B> Data<B> {
    /// A whole page of `bytes` bytes.
    pub fn page(buffer: B, bytes: u32) -> Self {
        Self { buffer, bytes, part: Part::Whole }
    }
}

/// The place of a data frame within a jumbo row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Not a fragment: an ordinary page.
    Whole,
    /// The first fragment.
    First {
        /// Bytes of the row, more than this fragment holds.
        total_bytes: u32,
    },
    /// A fragment with more before and behind it.
    Middle {
        /// Bytes of the row before this fragment.
        offset_bytes: u32,
    },
    /// The fragment that completes the row.
    Last {
        /// Bytes of the row before this fragment.
        offset_bytes: u32,
    },
}

impl Part {
    /// Whether another fragment of the same row must follow before any other data.
    pub fn continues(self) -> bool {
        matches!(self, Self::First { .. } | Self::Middle { .. })
    }
}

/// One step of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element<B> {
    /// Costs one credit.
    Data(Data<B>),
    /// Costs none.
    Event(Event),
}
