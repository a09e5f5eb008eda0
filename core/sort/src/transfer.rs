//! Requests on their way to the storage.

use alloc::collections::VecDeque;

use millstream_memory::{Buffer, Segment};
use millstream_storage::{FileId, Request, Submit};

/// Writes in flight at most: enough for the disk to work while the next leaves are sorted.
const WRITES_MAX: usize = 16;

/// What a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    Create,
    Write,
    Delete,
    Read { reader: u32, block: u32 },
}

impl Ticket {
    fn token(self) -> u64 {
        match self {
            Self::Create => 0,
            Self::Write => 1,
            Self::Delete => 2,
            Self::Read { reader, block } => u64::from(reader + 1) << 32 | u64::from(block),
        }
    }

    /// The ticket of a token; `None` for one that is not ours.
    pub(crate) fn of(token: u64) -> Option<Self> {
        match ((token >> 32) as u32, token as u32) {
            (0, 0) => Some(Self::Create),
            (0, 1) => Some(Self::Write),
            (0, 2) => Some(Self::Delete),
            (0, _) => None,
            (reader, block) => Some(Self::Read { reader: reader - 1, block }),
        }
    }
}

/// Requests that were made, submitted or not yet.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// What the storage had no room for.
    backlog: VecDeque<(u64, Request)>,
    in_flight: usize,
    creates: usize,
    writes: usize,
}

impl Transfers {
    pub(crate) fn create(&mut self, io: &mut impl Submit, file: FileId) {
        self.creates += 1;
        self.start(io, Ticket::Create, Request::Create { file });
    }

    pub(crate) fn write(&mut self, io: &mut impl Submit, file: FileId, offset: u64, data: Buffer) {
        self.writes += 1;
        self.start(io, Ticket::Write, Request::Write { file, offset, data });
    }

    pub(crate) fn read(
        &mut self,
        io: &mut impl Submit,
        ticket: Ticket,
        file: FileId,
        offset: u64,
        into: Segment,
    ) {
        let length = into.len();
        self.start(io, ticket, Request::Read { file, offset, length, into });
    }

    pub(crate) fn delete(&mut self, io: &mut impl Submit, file: FileId) {
        self.start(io, Ticket::Delete, Request::Delete { file });
    }

    /// Submits what waits.
    pub(crate) fn flush(&mut self, io: &mut impl Submit) {
        while let Some((token, request)) = self.backlog.pop_front() {
            if let Err(refused) = io.submit(token, request) {
                return self.backlog.push_front((token, refused.request));
            }
        }
    }

    /// A completion has come.
    pub(crate) fn landed(&mut self, ticket: Ticket) {
        self.in_flight = self.in_flight.saturating_sub(1);
        match ticket {
            Ticket::Create => self.creates = self.creates.saturating_sub(1),
            Ticket::Write => self.writes = self.writes.saturating_sub(1),
            Ticket::Delete | Ticket::Read { .. } => {}
        }
    }

    /// Whether a block may be begun: its file is there, and the disk is not too far behind.
    pub(crate) fn may_write(&self) -> bool {
        self.creates == 0 && self.writes < WRITES_MAX
    }

    /// Whether everything that was written can be read.
    pub(crate) fn is_written(&self) -> bool {
        self.writes == 0 && self.creates == 0
    }

    /// Requests whose completions have not come.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    fn start(&mut self, io: &mut impl Submit, ticket: Ticket, request: Request) {
        self.in_flight += 1;
        let token = ticket.token();
        if !self.backlog.is_empty() {
            self.backlog.push_back((token, request));
        } else if let Err(refused) = io.submit(token, request) {
            self.backlog.push_back((token, refused.request));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_bring_tickets_back() {
        for ticket in [
            Ticket::Create,
            Ticket::Write,
            Ticket::Delete,
            Ticket::Read { reader: 0, block: 0 },
            Ticket::Read { reader: 127, block: u32::MAX },
        ] {
            assert_eq!(Ticket::of(ticket.token()), Some(ticket));
        }
        assert_eq!(Ticket::of(3), None);
    }
}
