//! Messages that the kernel sends: batches of linked `SENDMSG` operations.
//!
//! A message is several frames, or one large one if it is sent without a copy. Up to [`BATCH`] messages are linked, so that
//! they leave in order and with one system call. From [`ZERO_COPY_BYTES_MIN`] on a message is sent
//! with `SENDMSG_ZC`: the kernel reads the segments in place, and they are ours again only when it
//! has said so in a second completion, the notification. Until then they stay charged to their
//! pool. Over loopback the kernel copies after all, later; [`Messages::copied`] counts what it
//! reports, and where it copies most of the first messages, the rest are sent the plain way.

use std::ptr;

use io_uring::{cqueue, opcode, squeue, types};

use crate::{
    link::{LinkError, ZeroCopy},
    session::Session,
    wire::outbox::Frame,
};

/// Messages that are submitted together.
const BATCH: usize = 8;
/// Messages that may wait for their notification, beside a batch that is sent.
const SLOTS: usize = 4 * BATCH;
/// Small frames that share a message.
const FRAMES_PER_MESSAGE: usize = 8;
/// A message that is sent without a copy takes no more frames from this many bytes on: each segment
/// comes back as soon as it was read. One that is copied takes as many as it can.
const ZERO_COPY_MESSAGE_BYTES: usize = 16 << 10;
/// Below this, copying costs less than keeping track. Measured, see benches/RESULTS.md.
pub(super) const ZERO_COPY_BYTES_MIN: usize = 16 << 10;
/// Messages after which it is known whether sending without a copy does what it says.
const TRIED: u64 = 2 * BATCH as u64;
/// Asks for that report (IORING_SEND_ZC_REPORT_USAGE).
const REPORT_USAGE: u16 = 1 << 3;
/// The kernel reports in a notification that it copied after all.
const COPIED: i32 = i32::MIN;

/// The messages of a wire.
pub(super) struct Messages {
    /// On the heap, where they do not move: the kernel reads them.
    slots: Box<[Slot]>,
    /// Slots of the batch whose results are missing.
    sending: usize,
    zero_copy: ZeroCopy,
    notified: u64,
    copied: u64,
}

/// One message.
struct Slot {
    /// Never more than its first capacity: frames must not move while the kernel reads headers.
    frames: Vec<Frame>,
    slices: [libc::iovec; 2 * FRAMES_PER_MESSAGE],
    message: libc::msghdr,
    bytes: usize,
    /// The result is missing.
    sent: bool,
    /// The notification is missing.
    read: bool,
}

impl Slot {
    fn new() -> Self {
        let empty = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };
        Self {
            frames: Vec::with_capacity(FRAMES_PER_MESSAGE),
            slices: [empty; 2 * FRAMES_PER_MESSAGE],
            message: super::no_message(),
            bytes: 0,
            sent: true,
            read: true,
        }
    }

    /// Whether the kernel is done with it.
    fn is_free(&self) -> bool {
        self.sent && self.read
    }

    /// Takes the frames of a message; `false` if there are none.
    fn fill(&mut self, session: &mut Session, bytes_max: usize) -> bool {
        self.frames.clear();
        self.bytes = 0;
        while self.frames.len() < FRAMES_PER_MESSAGE && self.bytes < bytes_max {
            let Some(outgoing) = session.next_frame() else { break };
            let frame = Frame::new(outgoing);
            self.bytes += frame.len();
            self.frames.push(frame);
        }
        let mut count = 0;
        for part in self.frames.iter().flat_map(Frame::parts) {
            let start = part.as_ptr().cast_mut().cast();
            self.slices[count] = libc::iovec { iov_base: start, iov_len: part.len() };
            count += usize::from(!part.is_empty());
        }
        self.message.msg_iov = self.slices.as_mut_ptr();
        self.message.msg_iovlen = count;
        !self.frames.is_empty()
    }
}

impl Messages {
    pub(super) fn new(zero_copy: ZeroCopy) -> Self {
        let slots = (0..SLOTS).map(|_| Slot::new()).collect();
        Self { slots, sending: 0, zero_copy, notified: 0, copied: 0 }
    }

    /// Entries for the ring that its messages and notifications need at most.
    pub(super) const ENTRIES: u32 = 2 * SLOTS as u32;

    /// The next batch, as entries in order; none while one is being sent. The operations point into
    /// this value: they must have completed before it is dropped.
    pub(super) fn batch(&mut self, file: types::Fd, session: &mut Session) -> Vec<squeue::Entry> {
        let mut entries = Vec::new();
        if self.sending > 0 {
            return entries;
        }
        let zero_copy_pays = self.zero_copy != ZeroCopy::Never;
        let bytes_max = if zero_copy_pays { ZERO_COPY_MESSAGE_BYTES } else { usize::MAX };
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if entries.len() == BATCH {
                break;
            }
            if !slot.is_free() {
                continue;
            }
            if !slot.fill(session, bytes_max) {
                break;
            }
            let flags = (libc::MSG_WAITALL | libc::MSG_NOSIGNAL) as u32;
            let zero_copy = zero_copy_pays && slot.bytes >= ZERO_COPY_BYTES_MIN;
            let message = &raw const slot.message;
            let entry = if zero_copy {
                opcode::SendMsgZc::new(file, message).flags(flags).ioprio(REPORT_USAGE).build()
            } else {
                opcode::SendMsg::new(file, message).flags(flags).build()
            };
            slot.sent = false;
            slot.read = !zero_copy;
            entries.push(entry.user_data(index as u64));
        }
        self.sending = entries.len();
        let linked = entries.len().saturating_sub(1);
        for entry in &mut entries[..linked] {
            *entry = entry.clone().flags(squeue::Flags::IO_LINK);
        }
        entries
    }

    /// A completion of the message whose number it carries: a result or a notification.
    pub(super) fn landed(
        &mut self,
        session: &Session,
        completion: &cqueue::Entry,
    ) -> Result<(), LinkError> {
        let bytes = self.slots.get(completion.user_data() as usize).map_or(0, |slot| slot.bytes);
        self.released(completion);
        let result = completion.result();
        if cqueue::notif(completion.flags()) || usize::try_from(result) == Ok(bytes) {
            return Ok(());
        }
        match result {
            0.. => Err(session.lost("it took only a part of a message")),
            _ => Err(session.lost(std::io::Error::from_raw_os_error(-result).to_string())),
        }
    }

    /// What a completion says of who owns a message, whatever became of it.
    pub(super) fn released(&mut self, completion: &cqueue::Entry) {
        let Some(slot) = self.slots.get_mut(completion.user_data() as usize) else { return };
        if cqueue::notif(completion.flags()) {
            slot.read = true;
            self.notified += 1;
            self.copied += u64::from(completion.result() & COPIED != 0);
            let tried = self.zero_copy == ZeroCopy::WherePays && self.notified >= TRIED;
            if tried && 2 * self.copied > self.notified {
                self.zero_copy = ZeroCopy::Never;
            }
        } else {
            slot.sent = true;
            self.sending -= 1;
            // A send that fails has no notification.
            slot.read |= !cqueue::more(completion.flags());
        }
        if slot.is_free() {
            slot.frames.clear();
        }
    }

    /// Whether the kernel has read every message.
    pub(super) fn are_read(&self) -> bool {
        self.slots.iter().all(Slot::is_free)
    }

    /// Messages that the kernel copied although asked not to, of those it has reported.
    pub(super) fn copied(&self) -> (u64, u64) {
        (self.copied, self.notified)
    }
}
