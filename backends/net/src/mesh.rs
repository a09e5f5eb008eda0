//! How the processes of a job find each other: one connection between each two.

use std::{
    fmt, io,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

/// How long a peer may take to appear.
const PATIENCE: Duration = Duration::from_secs(20);

/// A port that peers connect to, on this machine alone.
#[derive(Debug)]
pub struct Listener(TcpListener);

/// Why the processes of a job did not find each other.
#[derive(Debug)]
pub struct MeshError {
    peer: Option<u32>,
    error: io::Error,
}

impl fmt::Display for MeshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.peer {
            Some(peer) => write!(f, "no connection to worker {peer}: {}", self.error),
            None => write!(f, "no port for connections of workers: {}", self.error),
        }
    }
}

impl std::error::Error for MeshError {}

/// Opens a port on the loopback interface.
///
/// # Errors
/// If the system gives none.
pub fn listen() -> Result<Listener, MeshError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    listener.map(Listener).map_err(|error| MeshError { peer: None, error })
}

impl Listener {
    /// The port.
    ///
    /// # Errors
    /// If the system does not tell.
    pub fn port(&self) -> Result<u16, MeshError> {
        let address = self.0.local_addr().map_err(|error| MeshError { peer: None, error })?;
        Ok(address.port())
    }
}

/// Connects worker `own` with the others, whose ports are `ports`, by worker. A worker calls those
/// of lower number and waits for the others.
///
/// # Errors
/// If one does not appear in time.
pub fn connect(
    listener: &Listener,
    own: u32,
    ports: &[u16],
) -> Result<Vec<(u32, TcpStream)>, MeshError> {
    let mut streams = Vec::new();
    for (peer, port) in (0..own).zip(ports) {
        let failed = |error| MeshError { peer: Some(peer), error };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(failed)?;
        stream.write_all(&own.to_le_bytes()).map_err(failed)?;
        streams.push((peer, stream));
    }
    let expected = ports.len() as u32 - own - 1;
    let deadline = Instant::now() + PATIENCE;
    for _ in 0..expected {
        let failed = |error| MeshError { peer: None, error };
        let mut stream = accept(&listener.0, deadline).map_err(failed)?;
        let mut number = [0; 4];
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        stream.read_exact(&mut number).map_err(failed)?;
        let peer = u32::from_le_bytes(number);
        let known = streams.iter().any(|(known, _)| *known == peer);
        if known || peer <= own || peer as usize >= ports.len() {
            let error = io::Error::other("a stranger connected");
            return Err(MeshError { peer: Some(peer), error });
        }
        streams.push((peer, stream));
    }
    Ok(streams)
}

/// Waits for a connection until `deadline`.
fn accept(listener: &TcpListener, deadline: Instant) -> io::Result<TcpStream> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let left = deadline.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    let mut files = [PollFd::new(listener, PollFlags::IN)];
    if poll(&mut files, Some(&timeout))? == 0 {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "a worker did not connect in time"));
    }
    listener.accept().map(|(stream, _)| stream)
}
