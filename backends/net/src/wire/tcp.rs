//! A non-blocking socket, `readv` and `writev`.

use std::{
    io::{self, IoSliceMut, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
};

use millstream_exchange::connection::Intake;

use super::{CALLS_PER_RUN, CONTROL_BYTES_MAX, Progress, outbox::Outbox};
use crate::{
    TransportError,
    link::LinkError,
    session::{Session, Target},
};

/// A socket that says when it would block.
pub(crate) struct TcpWire {
    stream: TcpStream,
    outbox: Outbox,
    intake: Intake,
    target: Target,
    scratch: Box<[u8]>,
    /// Bytes behind the frame at hand, received early: while frames are small, one call brings
    /// many of them.
    stash: Box<[u8]>,
    stashed: std::ops::Range<usize>,
    /// The length of the last payload.
    last_payload: usize,
    ended: bool,
}

/// Bytes that are received early.
const STASH_BYTES: usize = 16 << 10;
/// Payloads below this are worth receiving early: copying them costs less than another call.
const SMALL_PAYLOAD: usize = 2 << 10;

impl TcpWire {
    pub(crate) fn new(stream: TcpStream) -> Result<Self, TransportError> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            outbox: Outbox::default(),
            intake: Intake::new(),
            target: Target::None,
            scratch: vec![0; CONTROL_BYTES_MAX].into(),
            stash: vec![0; STASH_BYTES].into(),
            stashed: 0..0,
            last_payload: 0,
            ended: false,
        })
    }

    /// Sends and receives as far as the socket is ready, for a bounded number of calls.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<Progress, LinkError> {
        let mut progress = Progress::Wait;
        for _ in 0..CALLS_PER_RUN {
            let sent = self.send(session)?;
            let received = self.receive(session)?;
            if session.is_closed() && self.outbox.is_empty() {
                return Ok(Progress::Done);
            }
            if !sent && !received {
                return Ok(Progress::Wait);
            }
            progress = Progress::More;
        }
        Ok(progress)
    }

    /// Sends what is left without looking at what arrives.
    pub(crate) fn send_last(&mut self, session: &mut Session) {
        while let Ok(true) = self.send(session) {}
    }

    /// `true` if bytes were sent.
    fn send(&mut self, session: &mut Session) -> Result<bool, LinkError> {
        self.outbox.fill(session);
        if self.outbox.is_empty() {
            return Ok(false);
        }
        match self.stream.write_vectored(&self.outbox.slices()) {
            Ok(0) => Err(session.lost("it takes no more bytes")),
            Ok(sent) => {
                self.outbox.advance(sent);
                Ok(true)
            }
            Err(error) if would_block(&error) => Ok(false),
            Err(error) => Err(session.lost(error.to_string())),
        }
    }

    /// `true` if bytes were received.
    fn receive(&mut self, session: &mut Session) -> Result<bool, LinkError> {
        if !self.stashed.is_empty() {
            return self.receive_stashed(session).map(|()| true);
        }
        if self.ended {
            return Ok(false);
        }
        let early = if self.last_payload < SMALL_PAYLOAD { self.stash.len() } else { 0 };
        let payload_left = self.intake.payload_left();
        let payload = payload_place(&mut self.target, &mut self.scratch, payload_left);
        let room = payload.len() + self.intake.header_rest().len();
        let mut slices = [
            IoSliceMut::new(payload),
            IoSliceMut::new(self.intake.header_rest()),
            IoSliceMut::new(&mut self.stash[..early]),
        ];
        match self.stream.read_vectored(&mut slices) {
            Ok(0) if session.is_closed() => {
                self.ended = true;
                Ok(false)
            }
            Ok(0) => Err(session.lost("it was closed by the other end")),
            Ok(received) => {
                self.stashed = 0..received.saturating_sub(room);
                self.arrived(session, received.min(room))?;
                Ok(true)
            }
            Err(error) if would_block(&error) => Ok(false),
            Err(error) => Err(session.lost(error.to_string())),
        }
    }

    /// Takes frames from what was received early.
    fn receive_stashed(&mut self, session: &mut Session) -> Result<(), LinkError> {
        while !self.stashed.is_empty() {
            let payload_left = self.intake.payload_left();
            let payload = payload_place(&mut self.target, &mut self.scratch, payload_left);
            let bytes = &self.stash[self.stashed.clone()];
            let of_payload = payload.len().min(bytes.len());
            payload[..of_payload].copy_from_slice(&bytes[..of_payload]);
            let header = self.intake.header_rest();
            let of_header = header.len().min(bytes.len() - of_payload);
            header[..of_header].copy_from_slice(&bytes[of_payload..of_payload + of_header]);
            self.stashed.start += of_payload + of_header;
            self.arrived(session, of_payload + of_header)?;
        }
        Ok(())
    }

    fn arrived(&mut self, session: &mut Session, bytes: usize) -> Result<(), LinkError> {
        let arrived = self.intake.advance(bytes);
        if arrived.payload {
            let target = std::mem::replace(&mut self.target, Target::None);
            let control = &self.scratch[..(target.bytes() as usize).min(self.scratch.len())];
            session.on_payload(target, control)?;
        }
        if let Some(header) = arrived.header {
            self.target = session.on_header(&header)?;
            self.last_payload = self.target.bytes() as usize;
            self.intake.expect(self.target.bytes());
        }
        Ok(())
    }
}

impl AsFd for TcpWire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

/// Where the missing bytes of a payload go.
pub(crate) fn payload_place<'a>(
    target: &'a mut Target,
    scratch: &'a mut [u8],
    left: usize,
) -> &'a mut [u8] {
    match target {
        Target::None => &mut [],
        Target::Segment(segment, bytes) => {
            let end = *bytes as usize;
            &mut segment[end - left..end]
        }
        Target::Control(bytes) => {
            let end = *bytes as usize;
            &mut scratch[end - left..end]
        }
        Target::Discard(_) => {
            let room = left.min(scratch.len());
            &mut scratch[..room]
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
