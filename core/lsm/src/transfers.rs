//! Requests on their way to the storage.

use alloc::{collections::VecDeque, vec::Vec};

use millstream_memory::{Buffer, Segment};
use millstream_storage::{FileId, Request, Submit};

/// What a completion belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ticket {
    /// Making the file of a writer.
    Create { writer: u32 },
    /// Writing a part of it.
    Write { writer: u32 },
    /// Making it durable.
    Sync { writer: u32 },
    /// Removing a file that nobody needs.
    Delete,
    /// A block for the cache.
    Block { run: u32, block: u32 },
    /// What a stream reads next.
    Stream { stream: u32 },
    /// A part of the index of a run that is opened.
    Index,
}

/// Requests that were made, submitted or not yet.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    /// What was not submitted yet.
    backlog: VecDeque<(u64, Request)>,
    /// By token.
    tickets: Vec<Option<Ticket>>,
    free: Vec<usize>,
    in_flight: usize,
    /// Writers and streams get numbers that no other has.
    last_number: u32,
}

impl Transfers {
    /// A number for a writer or a stream.
    pub(crate) fn number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        self.last_number
    }

    pub(crate) fn start(&mut self, ticket: Ticket, request: Request) {
        let token = self.free.pop().unwrap_or_else(|| {
            self.tickets.push(None);
            self.tickets.len() - 1
        });
        if let Some(place) = self.tickets.get_mut(token) {
            *place = Some(ticket);
        }
        self.in_flight += 1;
        self.backlog.push_back((token as u64, request));
    }

    pub(crate) fn write(&mut self, writer: u32, file: FileId, offset: u64, data: Buffer) {
        self.start(Ticket::Write { writer }, Request::Write { file, offset, data });
    }

    pub(crate) fn read(
        &mut self,
        ticket: Ticket,
        file: FileId,
        offset: u64,
        length: usize,
        into: Segment,
    ) {
        self.start(ticket, Request::Read { file, offset, length, into });
    }

    /// Submits what waits, as far as the storage takes it.
    pub(crate) fn submit(&mut self, io: &mut (impl Submit + ?Sized)) {
        while let Some((token, request)) = self.backlog.pop_front() {
            if let Err(refused) = io.submit(token, request) {
                return self.backlog.push_front((token, refused.request));
            }
        }
    }

    /// What a completion belongs to; `None` for one that is not ours.
    pub(crate) fn landed(&mut self, token: u64) -> Option<Ticket> {
        let place = usize::try_from(token).ok()?;
        let ticket = self.tickets.get_mut(place)?.take()?;
        self.free.push(place);
        self.in_flight -= 1;
        Some(ticket)
    }

    /// Requests whose completions have not come.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}
