//! One end of a connection, as a task of a worker.

use std::{
    net::TcpStream,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    task::Waker,
    time::Duration,
};

use millstream_dataflow::{
    TaskError,
    channel::Receiver,
    task::{TaskMetrics, TaskPoll},
};
use millstream_exchange::{
    connection::ConnectionConfig,
    frame::{ErrorCode, Hello},
};
use millstream_executor::Poll;

use crate::{
    Chosen, InletConfig, RemoteChannel, Transport, TransportError,
    session::Session,
    wire::{Progress, Wire, tcp::TcpWire, uring::UringWire},
};

/// Whether large messages are sent without copying them first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroCopy {
    /// Tries with the first messages, and goes on if the kernel reports that it did not copy them
    /// after all, as it does over loopback.
    #[default]
    WherePays,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What a link is told at its start.
#[derive(Debug)]
pub struct LinkConfig {
    /// Who is at the other end, for messages.
    pub peer: String,
    /// Who we are; the peer must be of the same job and have the same sizes.
    pub hello: Hello,
    /// Whether io_uring sends large pages with SENDMSG_ZC.
    pub zero_copy: ZeroCopy,
    /// Pages that wait for credit, for each channel, at most; the more, the more credit its consumer
    /// grants.
    pub queued_max: u32,
    /// The channels that local tasks feed.
    pub outlets: Vec<(RemoteChannel, Receiver)>,
    /// The channels that local tasks read.
    pub inlets: Vec<InletConfig>,
}

/// Why a link failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkError {
    /// The connection is gone.
    Lost {
        /// Who was at the other end.
        peer: String,
        /// What the system said.
        reason: String,
    },
    /// The peer broke the protocol, or is of another job.
    Protocol {
        /// Who.
        peer: String,
        /// How.
        error: String,
    },
    /// The peer gave up.
    Channel {
        /// Who.
        peer: String,
        /// Why.
        code: ErrorCode,
        /// Why, in its words.
        text: String,
    },
    /// A task at this end.
    Task(TaskError),
}

impl std::fmt::Display for LinkError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Lost { peer, reason } => {
                write!(f, "the connection to {peer} was lost: {reason}")
            }
            Self::Protocol { peer, error } => write!(f, "{peer} does not fit this job: {error}"),
            Self::Channel { peer, text, .. } => write!(f, "{peer} gave up: {text}"),
            Self::Task(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for LinkError {}

/// One end of a connection.
pub struct Link {
    name: String,
    session: Session,
    wire: Wire,
    metrics: Arc<TaskMetrics>,
}

impl Link {
    /// A link over a connected socket.
    ///
    /// # Errors
    /// If the transport cannot be set up after all.
    pub fn new(
        stream: TcpStream,
        chosen: &Chosen,
        config: LinkConfig,
    ) -> Result<Self, TransportError> {
        let LinkConfig { peer, hello, zero_copy, queued_max, outlets, inlets } = config;
        let wire = match chosen.transport {
            Transport::Tcp => Wire::Tcp(TcpWire::new(stream)?),
            Transport::Uring => Wire::Uring(UringWire::new(stream, zero_copy)?),
        };
        let connection = ConnectionConfig::new(hello);
        let mut session = Session::new(peer.clone(), &connection, queued_max, outlets, inlets);
        session.close_if_idle();
        let name = format!("link to {peer}");
        Ok(Self { name, session, wire, metrics: Arc::default() })
    }

    /// What tells that the link has something to do, to be
    /// [watched](millstream_executor::Executor::watch).
    pub fn file(&self) -> BorrowedFd<'_> {
        match &self.wire {
            Wire::Tcp(wire) => wire.as_fd(),
            Wire::Uring(wire) => wire.as_fd(),
        }
    }

    /// Messages that the kernel copied although it was asked not to, and those that it was asked
    /// for, as far as it has reported.
    pub fn copied(&self) -> (u64, u64) {
        match &self.wire {
            Wire::Tcp(_) => (0, 0),
            Wire::Uring(wire) => wire.copied(),
        }
    }

    fn run(&mut self, now: Duration, waker: &Waker) -> Result<TaskPoll, LinkError> {
        self.session.pump(now, waker)?;
        let progress = match &mut self.wire {
            Wire::Tcp(wire) => wire.run(&mut self.session)?,
            Wire::Uring(wire) => wire.run(&mut self.session)?,
        };
        if progress == Progress::Done && self.session.is_delivered() {
            return Ok(TaskPoll::Finished);
        }
        let again = progress == Progress::More || self.session.wants_pump();
        Ok(if again { TaskPoll::Again } else { TaskPoll::Idle })
    }

    /// Tells the peer why, as far as the socket takes it.
    fn give_up(&mut self, error: &LinkError) {
        self.session.fail(&error.to_string());
        // What does not leave now never does: the peer sees the connection close.
        match &mut self.wire {
            Wire::Tcp(wire) => wire.send_last(&mut self.session),
            Wire::Uring(wire) => wire.send_last(&mut self.session),
        }
    }
}

impl Poll for Link {
    fn name(&self) -> &str {
        &self.name
    }

    fn poll(&mut self, now: u64, waker: &Waker) -> Result<TaskPoll, TaskError> {
        self.run(Duration::from_micros(now), waker).map_err(|error| {
            self.give_up(&error);
            TaskError::new(error.to_string())
        })
    }

    fn deadline(&self) -> Option<u64> {
        self.session.next_deadline().map(|at| at.as_micros() as u64)
    }

    fn metrics(&self) -> Option<&Arc<TaskMetrics>> {
        Some(&self.metrics)
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").field("name", &self.name).finish_non_exhaustive()
    }
}
