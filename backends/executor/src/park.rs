//! How a worker sleeps.
//!
//! A worker without files sleeps on a futex, as threads do. A worker that also watches files, such
//! as the sockets of connections, sleeps in `epoll_wait`; an eventfd wakes it.

use std::{
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, OnceLock},
    thread::{self, Thread},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, Timespec, epoll, eventfd},
    io::Errno,
};

/// Why a file cannot be watched.
#[derive(Debug)]
pub struct WatchError(Errno);

impl std::fmt::Display for WatchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a worker cannot watch a socket: {}", self.0)
    }
}

impl std::error::Error for WatchError {}

impl From<Errno> for WatchError {
    fn from(errno: Errno) -> Self {
        Self(errno)
    }
}

/// How the worker of a thread sleeps.
#[derive(Debug, Default)]
pub(crate) enum Parker {
    #[default]
    Thread,
    Files(Files),
}

/// Files that a worker watches.
#[derive(Debug)]
pub(crate) struct Files {
    epoll: OwnedFd,
    bell: Arc<OwnedFd>,
}

/// Wakes a worker that sleeps.
#[derive(Clone, Debug)]
pub(crate) enum Unparker {
    /// Set by the thread itself, before it first sleeps.
    Thread(Arc<OnceLock<Thread>>),
    Bell(Arc<OwnedFd>),
}

/// Files that are looked at in one go.
const EVENTS_PER_LOOK: usize = 32;
/// What the eventfd says.
const BELL: u64 = u64::MAX;

impl Parker {
    /// Watches a file from now on: what happens to it, reading or writing, wakes the task in `slot`
    /// once.
    pub(crate) fn watch(&mut self, file: BorrowedFd<'_>, slot: usize) -> Result<(), WatchError> {
        if matches!(self, Self::Thread) {
            *self = Self::Files(Files::new()?);
        }
        if let Self::Files(files) = self {
            let flags = epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::ET;
            epoll::add(&files.epoll, file, epoll::EventData::new_u64(slot as u64), flags)?;
        }
        Ok(())
    }

    /// Sleeps until unparked, until something happens to a file, or for so long. Says which slots'
    /// files it was.
    pub(crate) fn park(&self, timeout: Option<Duration>, happened: impl FnMut(usize)) {
        match self {
            Self::Thread => match timeout {
                Some(timeout) => thread::park_timeout(timeout),
                None => thread::park(),
            },
            Self::Files(files) => files.wait(timeout, happened),
        }
    }

    /// Looks at the files without sleeping.
    pub(crate) fn look(&self, happened: impl FnMut(usize)) {
        if let Self::Files(files) = self {
            files.wait(Some(Duration::ZERO), happened);
        }
    }

    /// Whether there are files to look at.
    pub(crate) fn has_files(&self) -> bool {
        matches!(self, Self::Files(_))
    }
}

impl Files {
    fn new() -> Result<Self, WatchError> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let flags = epoll::EventFlags::IN | epoll::EventFlags::ET;
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), flags)?;
        Ok(Self { epoll, bell: Arc::new(bell) })
    }

    fn wait(&self, timeout: Option<Duration>, mut happened: impl FnMut(usize)) {
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        });
        let mut events = [const { MaybeUninit::<epoll::Event>::uninit() }; EVENTS_PER_LOOK];
        // An interrupted wait is a spurious wake-up, which does no harm.
        let Ok((events, _)) = epoll::wait(&self.epoll, &mut events[..], timeout.as_ref()) else {
            return;
        };
        for event in events {
            let data = { event.data };
            if data.u64() != BELL {
                happened(data.u64() as usize);
            }
        }
    }
}

impl Unparker {
    /// What unparks the worker that sleeps with `parker`.
    pub(crate) fn of(parker: &Parker, thread: &Arc<OnceLock<Thread>>) -> Self {
        match parker {
            Parker::Thread => Self::Thread(Arc::clone(thread)),
            Parker::Files(files) => Self::Bell(Arc::clone(&files.bell)),
        }
    }

    pub(crate) fn unpark(&self) {
        match self {
            Self::Thread(thread) => {
                if let Some(thread) = thread.get() {
                    thread.unpark();
                }
            }
            // The counter cannot overflow before the worker is awake; a full one wakes it, too.
            Self::Bell(bell) => {
                let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
            }
        }
    }
}
