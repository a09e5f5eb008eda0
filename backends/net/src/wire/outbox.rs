//! Frames that are being sent.

use std::{collections::VecDeque, io::IoSlice};

use millstream_exchange::{
    connection::{Outgoing, Payload},
    frame::HEADER_BYTES,
};
use millstream_memory::Buffer;

use super::FRAMES_PER_SEND;
use crate::session::Session;

/// A batch of frames, headers beside payloads, sent as one vector of buffers.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    frames: VecDeque<Frame>,
    /// Bytes of the first frame that have been sent.
    sent: usize,
}

/// A frame, header encoded.
#[derive(Debug)]
pub(crate) struct Frame {
    header: [u8; HEADER_BYTES],
    outgoing: Outgoing<Buffer>,
}

impl Frame {
    pub(crate) fn new(outgoing: Outgoing<Buffer>) -> Self {
        let mut header = [0; HEADER_BYTES];
        outgoing.header.encode(&mut header);
        Self { header, outgoing }
    }

    /// What is sent: the header, and the payload if there is one.
    pub(crate) fn parts(&self) -> [&[u8]; 2] {
        [&self.header[..], self.payload()]
    }

    fn payload(&self) -> &[u8] {
        match &self.outgoing.payload {
            Payload::Buffer(buffer) => buffer,
            _ => self.outgoing.control_bytes(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        HEADER_BYTES + self.payload().len()
    }
}

impl Outbox {
    /// Takes frames until the batch is full or there are none.
    pub(crate) fn fill(&mut self, session: &mut Session) {
        while self.frames.len() < FRAMES_PER_SEND {
            let Some(outgoing) = session.next_frame() else { return };
            self.frames.push_back(Frame::new(outgoing));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Calls `each` with what has not been sent, in order.
    pub(crate) fn for_each_unsent<'a>(&'a self, mut each: impl FnMut(&'a [u8])) {
        let mut skip = self.sent;
        for frame in &self.frames {
            for part in frame.parts() {
                let skipped = skip.min(part.len());
                skip -= skipped;
                if skipped < part.len() {
                    each(&part[skipped..]);
                }
            }
        }
    }

    /// What has not been sent, as a vector of buffers.
    pub(crate) fn slices(&self) -> Vec<IoSlice<'_>> {
        let mut slices = Vec::with_capacity(2 * FRAMES_PER_SEND);
        self.for_each_unsent(|bytes| slices.push(IoSlice::new(bytes)));
        slices
    }

    /// So many more bytes have been sent: drops the frames that are complete.
    pub(crate) fn advance(&mut self, bytes: usize) {
        self.sent += bytes;
        while let Some(first) = self.frames.front() {
            let length = first.len();
            if self.sent < length {
                return;
            }
            self.sent -= length;
            self.frames.pop_front();
        }
    }
}
