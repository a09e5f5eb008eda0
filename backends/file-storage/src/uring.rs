//! Files through io_uring.
//!
//! **Soundness.** The kernel reads and writes memory of ours until it has reported an operation's
//! completion. So the request, which owns that memory, stays in its slot until then; segments and
//! paths lie where they do not move when the slot does; and a ring that is dropped waits for what is
//! in flight first.

#![allow(unsafe_code)]

use std::{
    collections::{HashMap, VecDeque},
    ffi::CString,
    fmt,
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
};

use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode, squeue, types};
use millstream_storage::{Cause, Completion, FileId, Refused, Request};

use crate::{
    OpenError, Options,
    files::{Directory, check},
};

/// Operations that the kernel moves at once at most; more bytes take another operation.
const BYTES_MAX: usize = 1 << 30;

/// Whether io_uring can be used here; if not, why.
pub(crate) fn probe() -> Result<(), String> {
    let ring = build(8).map_err(|error| explain(&error))?;
    let mut probe = Probe::new();
    let probed = ring.submitter().register_probe(&mut probe);
    probed.map_err(|error| format!("its operations cannot be listed: {error}"))?;
    for (code, name) in [
        (opcode::Read::CODE, "READ"),
        (opcode::Write::CODE, "WRITE"),
        (opcode::Fsync::CODE, "FSYNC"),
        (opcode::OpenAt::CODE, "OPENAT"),
        (opcode::Close::CODE, "CLOSE"),
    ] {
        if !probe.is_supported(code) {
            return Err(format!("the kernel's io_uring lacks {name}"));
        }
    }
    Ok(())
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

/// A ring that any thread may use, one after another: a sort may begin on one and end on another, so
/// it is not bound to an issuer. Files gain little by that anyway; their work is copying.
fn build(entries: u32) -> io::Result<IoUring> {
    let cooperative = IoUring::builder().setup_coop_taskrun().build(entries);
    // Kernels before 5.19 do not know the flag.
    cooperative.or_else(|_| IoUring::new(entries))
}

/// A storage on a ring of its own.
pub(crate) struct Uring {
    ring: IoUring,
    /// Rings when there are completions.
    bell: OwnedFd,
    directory: Directory,
    /// The directory as the kernel wants it; `None` if its file system needs names.
    path: Option<CString>,
    files: HashMap<FileId, File>,
    /// Operations that the kernel has; the place is its name for them.
    slots: Box<[Option<Operation>]>,
    vacant: Vec<usize>,
    /// Completions that did not need the kernel.
    done: VecDeque<Completion>,
    in_flight: usize,
}

/// An operation in flight.
struct Operation {
    token: u64,
    request: Request,
    /// Bytes that were moved.
    moved: usize,
}

impl Uring {
    pub(crate) fn new(directory: Directory, options: Options) -> Result<Self, OpenError> {
        let slots = options.in_flight_max.clamp(1, 4096);
        let no_uring = |error: io::Error| OpenError::NoUring { reason: explain(&error) };
        let ring = build(slots.next_power_of_two() as u32).map_err(no_uring)?;
        let bell = new_bell().map_err(no_uring)?;
        ring.submitter().register_eventfd(bell.as_raw_fd()).map_err(no_uring)?;
        let path = directory.for_unnamed().map(|path| path.as_os_str().as_bytes());
        let path = path.and_then(|path| CString::new(path).ok());
        Ok(Self {
            ring,
            bell,
            directory,
            path,
            files: HashMap::new(),
            slots: (0..slots).map(|_| None).collect(),
            vacant: (0..slots).rev().collect(),
            done: VecDeque::new(),
            in_flight: 0,
        })
    }

    pub(crate) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    pub(crate) fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        if self.in_flight >= self.slots.len() {
            return Err(Refused { request });
        }
        let Some(slot) = self.vacant.pop() else { return Err(Refused { request }) };
        self.in_flight += 1;
        self.slots[slot] = Some(Operation { token, request, moved: 0 });
        match self.start(slot) {
            Ok(Started::Flying) => {
                // What the kernel does not take now, it takes when completions are looked for.
                let _ = self.enter(0);
            }
            Ok(Started::Done) => self.finish(slot, Ok(())),
            Err(cause) => self.finish(slot, Err(cause)),
        }
        Ok(())
    }

    pub(crate) fn poll(&mut self) -> Option<Completion> {
        self.next(0)
    }

    pub(crate) fn wait(&mut self) -> Option<Completion> {
        while self.in_flight > 0 {
            if let Some(completion) = self.next(1) {
                return Some(completion);
            }
        }
        None
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// The next completion; the kernel is asked for `wanted` if there is none.
    fn next(&mut self, wanted: u32) -> Option<Completion> {
        self.reap();
        if self.done.is_empty() && self.in_flight > 0 {
            let entered = self.enter(wanted);
            self.reap();
            // Without the ring nothing in flight can ever come back: a bug of ours, not an error.
            assert!(entered.is_ok() || !self.done.is_empty(), "io_uring is broken: {entered:?}");
        }
        let completion = self.done.pop_front()?;
        self.in_flight -= 1;
        Some(completion)
    }

    /// Hands the operation of a slot, or the rest of it, to the kernel.
    fn start(&mut self, slot: usize) -> Result<Started, Cause> {
        let Some(Operation { request, moved, .. }) = &mut self.slots[slot] else {
            return Ok(Started::Done);
        };
        check(request)?;
        let file = request.file();
        let is_known = self.files.contains_key(&file);
        if self.directory.is_named() && !is_known && !matches!(request, Request::Create { .. }) {
            self.files.insert(file, self.directory.existing(file)?);
        }
        let open = self.files.get(&file).map(|file| types::Fd(file.as_raw_fd()));
        let rest = |length: usize| (length - *moved).min(BYTES_MAX) as u32;
        let entry = match request {
            Request::Create { .. } if open.is_some() => return Err(Cause::Exists),
            Request::Create { .. } => match &self.path {
                Some(path) => {
                    let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC;
                    let here = types::Fd(libc::AT_FDCWD);
                    opcode::OpenAt::new(here, path.as_ptr()).flags(flags).mode(0o600).build()
                }
                None => {
                    let created = self.directory.create(file);
                    let created = created.map_err(|error| self.directory.cause(&error))?;
                    self.files.insert(file, created);
                    return Ok(Started::Done);
                }
            },
            Request::Delete { .. } => {
                let closed = self.files.remove(&file).ok_or(Cause::NoSuchFile)?;
                self.directory.remove(file);
                // Closing frees the blocks of the file, which takes a while.
                opcode::Close::new(types::Fd(closed.into_raw_fd())).build()
            }
            Request::Sync { .. } if self.directory.is_named() => return Ok(Started::Done),
            Request::Sync { .. } => opcode::Fsync::new(open.ok_or(Cause::NoSuchFile)?).build(),
            Request::Write { offset, data, .. } => {
                let at = *offset + *moved as u64;
                let bytes = &data[*moved..];
                opcode::Write::new(open.ok_or(Cause::NoSuchFile)?, bytes.as_ptr(), rest(data.len()))
                    .offset(at)
                    .build()
            }
            Request::Read { offset, length, into, .. } => {
                let at = *offset + *moved as u64;
                let bytes = &mut into[*moved..*length];
                let into = bytes.as_mut_ptr();
                opcode::Read::new(open.ok_or(Cause::NoSuchFile)?, into, rest(*length))
                    .offset(at)
                    .build()
            }
        };
        self.push(&entry.user_data(slot as u64));
        Ok(Started::Flying)
    }

    fn push(&mut self, entry: &squeue::Entry) {
        // SAFETY: what the entry points to is owned by the request in its slot, or by `self.path`;
        // both stay until the completion was reaped, and neither moves the bytes.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.expect("there is an entry for each slot");
    }

    /// Submits what was pushed, and has the kernel post what is complete; waits for `wanted`.
    fn enter(&mut self, wanted: u32) -> io::Result<()> {
        self.ring.submission().sync();
        let submit = self.ring.submission().len() as u32;
        // SAFETY: no argument is passed.
        let entered = unsafe {
            let flags = EnterFlags::GETEVENTS.bits();
            self.ring.submitter().enter::<libc::sigset_t>(submit, wanted, flags, None)
        };
        match entered {
            Err(error) if is_passing(&error) => Ok(()),
            entered => entered.map(drop),
        }
    }

    /// Takes what the kernel has completed.
    fn reap(&mut self) {
        while let Some(completion) = self.next_completion() {
            self.landed(completion.user_data() as usize, completion.result());
        }
    }

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    /// The kernel is done with the operation of a slot, or with a part of it.
    fn landed(&mut self, slot: usize, result: i32) {
        let Some(Some(operation)) = self.slots.get_mut(slot) else { return };
        let cause = match (&operation.request, u32::try_from(result)) {
            (Request::Create { file }, Ok(_)) => {
                // SAFETY: the kernel has just opened it for us, and nobody else knows it.
                self.files.insert(*file, unsafe { File::from_raw_fd(result) });
                None
            }
            (Request::Write { .. } | Request::Read { .. }, Ok(bytes)) => {
                operation.moved += bytes as usize;
                let (_, length) = operation.request.place();
                if operation.moved >= length {
                    None
                } else if bytes > 0 {
                    return self.go_on(slot);
                } else if matches!(operation.request, Request::Read { .. }) {
                    Some(Cause::EndOfFile { found: operation.moved })
                } else {
                    let message = "the system writes nothing".into();
                    Some(Cause::System { errno: None, message })
                }
            }
            (_, Ok(_)) => None,
            (_, Err(_)) if matches!(-result, libc::EINTR | libc::EAGAIN) => {
                return self.go_on(slot);
            }
            (_, Err(_)) => Some(self.directory.cause(&io::Error::from_raw_os_error(-result))),
        };
        self.finish(slot, cause.map_or(Ok(()), Err));
    }

    /// Does what is left of an operation.
    fn go_on(&mut self, slot: usize) {
        match self.start(slot) {
            Ok(Started::Flying) => {
                let _ = self.enter(0);
            }
            Ok(Started::Done) => self.finish(slot, Ok(())),
            Err(cause) => self.finish(slot, Err(cause)),
        }
    }

    /// Nobody else uses the request's memory any more.
    fn finish(&mut self, slot: usize, result: Result<(), Cause>) {
        let Some(Operation { token, request, .. }) = self.slots[slot].take() else { return };
        self.vacant.push(slot);
        let result = result.map_err(|cause| self.directory.error(&request, cause));
        self.done.push_back(Completion { token, lent: request.into_lent(), result });
    }
}

/// Where an operation is.
enum Started {
    /// The kernel has it.
    Flying,
    /// It is done already.
    Done,
}

/// Whether the kernel will take the same call later.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY))
}

fn new_bell() -> io::Result<OwnedFd> {
    // SAFETY: the call has no pointers.
    let bell = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if bell < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: just opened, and ours alone.
    Ok(unsafe { OwnedFd::from_raw_fd(bell) })
}

impl Drop for Uring {
    fn drop(&mut self) {
        let mut flying = self.slots.iter().flatten().count();
        while flying > 0 {
            if self.enter(1).is_err() {
                // The kernel still uses this memory, and cannot be asked when it is done: it is lost,
                // which is better than given to somebody else.
                return self.slots.iter_mut().for_each(|slot| std::mem::forget(slot.take()));
            }
            self.reap();
            flying = self.slots.iter().flatten().count();
        }
    }
}

impl fmt::Debug for Uring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uring").field("in_flight", &self.in_flight).finish_non_exhaustive()
    }
}
