//! io_uring: one ring for the socket of a link, one operation in each direction.
//!
//! Receiving is one `RECVMSG` into the missing rest of the payload and the next header; sending is a
//! batch of linked `SENDMSG` or `SENDMSG_ZC` ([`messages`]). Both are submitted and reaped with one
//! system call.
//!
//! **Soundness.** The kernel writes to and reads from memory of ours until it has reported an
//! operation's completion. So everything an operation points to is owned by this wire, lies on the
//! heap where it does not move, and is not touched while the operation is in flight
//! ([`Flight`]); a wire that is dropped ends the socket and waits for what is in flight first.

#![allow(unsafe_code)]

mod messages;

use std::{
    io,
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    ptr,
};

use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue, types};
use millstream_exchange::connection::Intake;

use super::{CALLS_PER_RUN, CONTROL_BYTES_MAX, Progress};
use messages::Messages;

use crate::{
    TransportError,
    link::{LinkError, ZeroCopy},
    session::{Session, Target},
    wire::tcp::payload_place,
};

/// Entries of the ring: those of the messages, and a receive.
const ENTRIES: u32 = (Messages::ENTRIES + 1).next_power_of_two();
/// Marks the completion of a receive; messages have small numbers.
const RECEIVE: u64 = u64::MAX;

/// Whether io_uring can be used here; if not, why.
pub(crate) fn probe() -> Result<(), String> {
    let ring = build().map_err(|error| explain(&error))?;
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(|error| format!("its operations cannot be listed: {error}"))?;
    for (code, name) in [(opcode::SendMsg::CODE, "SENDMSG"), (opcode::RecvMsg::CODE, "RECVMSG")] {
        if !probe.is_supported(code) {
            return Err(format!("the kernel's io_uring lacks {name}"));
        }
    }
    Ok(())
}

/// Kernels before 6.1 cannot.
fn can_send_zero_copy(ring: &IoUring) -> bool {
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.is_ok() && probe.is_supported(opcode::SendMsgZc::CODE)
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM) => "io_uring_setup is forbidden here (a container's seccomp profile, or \
             kernel.io_uring_disabled)"
            .into(),
        Some(libc::ENOSYS) => "the kernel has no io_uring".into(),
        Some(libc::ENOMEM) => "io_uring needs more locked memory than ulimit -l allows".into(),
        _ => format!("io_uring_setup failed: {error}"),
    }
}

/// A ring that is disabled until the thread that uses it is known.
fn build() -> io::Result<IoUring> {
    let defer = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_r_disabled()
        .build(ENTRIES);
    // Kernels before 6.1 know neither flag.
    defer.or_else(|_| IoUring::builder().setup_r_disabled().build(ENTRIES))
}

/// Whether the kernel uses memory of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flight {
    Landed,
    Flying,
}

/// What a receive points to.
struct Receiving {
    intake: Intake,
    target: Target,
    scratch: Box<[u8]>,
    slices: [libc::iovec; 2],
    message: libc::msghdr,
}

/// A socket that reports completions.
pub(crate) struct UringWire {
    ring: IoUring,
    /// Rings when there are completions: a ring with deferred work does not wake those who poll it.
    bell: OwnedFd,
    stream: TcpStream,
    receiving: Box<Receiving>,
    receive: Flight,
    messages: Messages,
    enabled: bool,
    ended: bool,
}

// SAFETY: the raw pointers in the messages point into the same boxes; the ring is used by one
// thread at a time, and is bound to a thread only when it is enabled, by the thread that then keeps
// it.
unsafe impl Send for UringWire {}

const NO_SLICE: libc::iovec = libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 };

fn no_message() -> libc::msghdr {
    // SAFETY: a msghdr is made of pointers and numbers, for which zeros are values.
    unsafe { std::mem::zeroed() }
}

impl Receiving {
    fn new() -> Box<Self> {
        Box::new(Self {
            intake: Intake::new(),
            target: Target::None,
            scratch: vec![0; CONTROL_BYTES_MAX].into(),
            slices: [NO_SLICE; 2],
            message: no_message(),
        })
    }
}

impl UringWire {
    pub(crate) fn new(stream: TcpStream, zero_copy: ZeroCopy) -> Result<Self, TransportError> {
        stream.set_nodelay(true)?;
        let ring = build();
        let ring = ring.map_err(|error| TransportError::NoUring { reason: explain(&error) })?;
        let zero_copy = if can_send_zero_copy(&ring) { zero_copy } else { ZeroCopy::Never };
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        let bell = rustix::event::eventfd(0, flags).map_err(io::Error::from)?;
        ring.submitter().register_eventfd(bell.as_raw_fd())?;
        Ok(Self {
            ring,
            bell,
            stream,
            receiving: Receiving::new(),
            receive: Flight::Landed,
            messages: Messages::new(zero_copy),
            enabled: false,
            ended: false,
        })
    }

    /// Submits and reaps, for a bounded number of calls.
    pub(crate) fn run(&mut self, session: &mut Session) -> Result<Progress, LinkError> {
        if !self.enabled {
            let enabled = self.ring.submitter().register_enable_rings();
            enabled.map_err(|error| session.lost(error.to_string()))?;
            self.enabled = true;
        }
        for _ in 0..CALLS_PER_RUN {
            self.start_receive();
            self.start_send(session);
            self.enter(0).map_err(|error| session.lost(error.to_string()))?;
            let landed = self.reap(session)?;
            if session.is_closed() && self.messages.are_read() {
                return Ok(Progress::Done);
            }
            if !landed {
                return Ok(Progress::Wait);
            }
        }
        Ok(Progress::More)
    }

    /// Sends what is left, if the socket takes it at once.
    pub(crate) fn send_last(&mut self, session: &mut Session) {
        if self.enabled {
            self.start_send(session);
            let _ = self.enter(0);
        }
    }

    pub(crate) fn copied(&self) -> (u64, u64) {
        self.messages.copied()
    }

    fn start_receive(&mut self) {
        if self.receive == Flight::Flying || self.ended {
            return;
        }
        let Receiving { intake, target, scratch, slices, message } = &mut *self.receiving;
        let payload = payload_place(target, scratch, intake.payload_left());
        slices[0] = libc::iovec { iov_base: payload.as_mut_ptr().cast(), iov_len: payload.len() };
        let header = intake.header_rest();
        slices[1] = libc::iovec { iov_base: header.as_mut_ptr().cast(), iov_len: header.len() };
        message.msg_iov = slices.as_mut_ptr();
        message.msg_iovlen = slices.len();
        let file = types::Fd(self.stream.as_raw_fd());
        let entry = opcode::RecvMsg::new(file, message).build().user_data(RECEIVE);
        self.push(&entry);
        self.receive = Flight::Flying;
    }

    fn start_send(&mut self, session: &mut Session) {
        let file = types::Fd(self.stream.as_raw_fd());
        for entry in self.messages.batch(file, session) {
            self.push(&entry);
        }
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to is in `receiving` or `messages`, on the heap, and not
        // touched until the completion was reaped.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("there is an entry for each operation");
    }

    /// Submits what was pushed, and has the kernel post what is complete; waits for `wanted`.
    fn enter(&mut self, wanted: u32) -> io::Result<()> {
        self.ring.submission().sync();
        let submit = self.ring.submission().len() as u32;
        // SAFETY: no argument is passed.
        let entered = unsafe {
            self.ring.submitter().enter::<libc::sigset_t>(
                submit,
                wanted,
                EnterFlags::GETEVENTS.bits(),
                None,
            )
        };
        match entered {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            entered => entered.map(drop),
        }
    }

    /// Takes completions; `true` if there was one.
    fn reap(&mut self, session: &mut Session) -> Result<bool, LinkError> {
        let mut any = false;
        while let Some(completion) = self.next_completion() {
            any = true;
            if completion.user_data() == RECEIVE {
                self.receive = Flight::Landed;
                self.received(session, completion.result())?;
            } else {
                self.messages.landed(session, &completion)?;
            }
        }
        Ok(any)
    }

    fn received(&mut self, session: &mut Session, result: i32) -> Result<(), LinkError> {
        let received = bytes(session, result)?;
        if received == 0 {
            if session.is_closed() {
                self.ended = true;
                return Ok(());
            }
            return match result {
                0 => Err(session.lost("it was closed by the other end")),
                _ => Ok(()),
            };
        }
        let Receiving { intake, target, scratch, .. } = &mut *self.receiving;
        let arrived = intake.advance(received);
        if arrived.payload {
            let target = std::mem::replace(target, Target::None);
            let control = &scratch[..(target.bytes() as usize).min(scratch.len())];
            session.on_payload(target, control)?;
        }
        if let Some(header) = arrived.header {
            *target = session.on_header(&header)?;
            intake.expect(target.bytes());
        }
        Ok(())
    }

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    fn in_flight(&self) -> bool {
        self.receive == Flight::Flying || !self.messages.are_read()
    }
}

/// The bytes of a completion; 0 for one that has to be tried again.
fn bytes(session: &Session, result: i32) -> Result<usize, LinkError> {
    match usize::try_from(result) {
        Ok(bytes) => Ok(bytes),
        Err(_) => match io::Error::from_raw_os_error(-result) {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error => Err(session.lost(error.to_string())),
        },
    }
}

impl AsFd for UringWire {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

impl Drop for UringWire {
    fn drop(&mut self) {
        if !self.in_flight() {
            return;
        }
        // Ends what is in flight; then its memory is ours again.
        let _ = self.stream.shutdown(Shutdown::Both);
        while self.in_flight() {
            if self.enter(1).is_err() {
                // The memory is the kernel's for ever.
                Box::leak(std::mem::replace(&mut self.receiving, Receiving::new()));
                std::mem::forget(std::mem::replace(
                    &mut self.messages,
                    Messages::new(ZeroCopy::Never),
                ));
                return;
            }
            while let Some(completion) = self.next_completion() {
                match completion.user_data() {
                    RECEIVE => self.receive = Flight::Landed,
                    _ => self.messages.released(&completion),
                }
            }
        }
    }
}
