//! Which transport the system allows.

use std::{fmt, io};

use crate::wire::uring;

/// How bytes are moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A non-blocking socket with epoll.
    Tcp,
    /// io_uring.
    Uring,
}

/// Which transport is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preference {
    /// io_uring where the system allows it, else TCP.
    #[default]
    Auto,
    /// This one or none.
    Only(Transport),
}

/// The transport that is used, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The transport.
    pub transport: Transport,
    /// Why, for the log.
    pub reason: String,
}

/// Why a transport cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// The system does not offer io_uring.
    NoUring {
        /// Why.
        reason: String,
    },
    /// A socket refused.
    Socket(io::Error),
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUring { reason } => write!(
                f,
                "the transport uring is not available: {reason}; use `--transport tcp`, or `auto`, \
                 which falls back to it"
            ),
            Self::Socket(error) => write!(f, "a socket refused: {error}"),
        }
    }
}

impl std::error::Error for TransportError {}

impl From<io::Error> for TransportError {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

/// Finds the transport to use.
///
/// # Errors
/// If the one that is wanted is not available.
pub fn choose(preference: Preference) -> Result<Chosen, TransportError> {
    let chosen = |transport, reason: &str| Chosen { transport, reason: reason.into() };
    match preference {
        Preference::Only(Transport::Tcp) => Ok(chosen(Transport::Tcp, "as asked for")),
        Preference::Only(Transport::Uring) => match uring::probe() {
            Ok(()) => Ok(chosen(Transport::Uring, "as asked for")),
            Err(reason) => Err(TransportError::NoUring { reason }),
        },
        Preference::Auto => Ok(match uring::probe() {
            Ok(()) => chosen(Transport::Uring, "the system offers io_uring"),
            Err(reason) => chosen(Transport::Tcp, &format!("no io_uring: {reason}")),
        }),
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Uring => "uring",
        })
    }
}
