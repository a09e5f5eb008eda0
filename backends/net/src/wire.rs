//! Bytes of frames to and from a socket.

pub(crate) mod outbox;
pub(crate) mod tcp;
pub(crate) mod uring;

/// How a link moves bytes.
pub(crate) enum Wire {
    Tcp(tcp::TcpWire),
    Uring(uring::UringWire),
}

/// How far a wire has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do now.
    More,
    /// The socket has to become ready.
    Wait,
    /// Both ends are done.
    Done,
}

/// Frames that are sent with one call.
pub(crate) const FRAMES_PER_SEND: usize = 8;
/// Calls that one run makes in each direction.
pub(crate) const CALLS_PER_RUN: usize = 16;
/// The longest control payload, in bytes, as the connection's default.
pub(crate) const CONTROL_BYTES_MAX: usize = 4 << 10;
