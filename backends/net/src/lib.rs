//! Exchange between processes.
//!
//! Two processes of a job share one connection, which carries all their channels in both
//! directions. A [`Link`] is one end of it: a task of a worker, which moves elements between the
//! rings of local tasks and the socket as far as credit allows. What is sent and what becomes of
//! what arrives, `millstream_exchange::connection` decides; here is what touches memory and sockets.
//!
//! ```text
//!  producer task -- ring --> Outlet -- frames --> socket ~~~ socket -- frames --> Inlet -- ring --> consumer task
//!                                     <-- credit --                                    <-- buffers --
//! ```
//!
//! A page travels from the segment that its producer wrote it into, through the kernel, into a
//! segment of its consumer's channel: chosen when the frame's header arrives, filled by the socket,
//! validated once, and read in place.
//!
//! Two wires implement the same contract: [`Transport::Tcp`] with `readv` and `writev` on a
//! non-blocking socket, [`Transport::Uring`] with io_uring. [`choose`] finds out what the system
//! allows.

#![deny(unsafe_code)]

mod choose;
mod link;
mod mesh;
mod ports;
mod session;
mod wire;

pub use choose::{Chosen, Preference, Transport, TransportError, choose};
pub use link::{Link, LinkConfig, LinkError, ZeroCopy};
pub use mesh::{Listener, MeshError, connect, listen};
pub use ports::{InletConfig, RemoteChannel};
