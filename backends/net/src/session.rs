//! A connection and its channels, without the socket.

use std::{collections::HashMap, task::Waker, time::Duration};

use millstream_dataflow::{TaskError, channel::Receiver};
use millstream_exchange::{
    ChannelId, ReaderId,
    connection::{Connection, ConnectionConfig, Incoming, Notice, Outgoing, Place},
    credit::{BufferKind, FloatingBuffers, Recycled},
    event::Event,
    frame::{ErrorCode, HEADER_BYTES},
};
use millstream_memory::{Buffer, Segment};

use crate::{
    link::LinkError,
    ports::{Inlet, InletConfig, LinkPorts, Outlet, RemoteChannel},
};

/// The state of one end of a connection.
pub(crate) struct Session {
    connection: Connection,
    ports: LinkPorts,
    /// Outlets that the peer has not asked for yet.
    offered: HashMap<RemoteChannel, Outlet>,
    /// Inlets that the connection has not been asked to open yet.
    wanted: Vec<Inlet>,
    /// Readers that are served, and channels that are read.
    active: usize,
    peer: String,
    /// Room for the names of readers and channels while they are walked.
    readers: Vec<ReaderId>,
    channels: Vec<ChannelId>,
}

/// Where the payload of a frame is received.
#[derive(Debug)]
pub(crate) enum Target {
    /// Nothing follows the header.
    None,
    /// Into a segment of a channel.
    Segment(Segment, u32),
    /// Into memory of the wire, to be handed over.
    Control(u32),
    /// Anywhere.
    Discard(u32),
}

impl Target {
    /// Bytes of the payload.
    pub(crate) fn bytes(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Segment(_, bytes) | Self::Control(bytes) | Self::Discard(bytes) => *bytes,
        }
    }
}

impl Session {
    pub(crate) fn new(
        peer: String,
        config: &ConnectionConfig,
        queued_max: u32,
        outlets: Vec<(RemoteChannel, Receiver)>,
        inlets: Vec<InletConfig>,
    ) -> Self {
        let segment_bytes = config.hello.segment_bytes;
        let outlet =
            |(request, receiver)| (request, Outlet::new(receiver, segment_bytes, queued_max));
        let active = outlets.len() + inlets.len();
        Self {
            connection: Connection::new(config, Duration::ZERO),
            ports: LinkPorts::default(),
            offered: outlets.into_iter().map(outlet).collect(),
            wanted: inlets.into_iter().map(Inlet::new).collect(),
            active,
            peer,
            readers: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// Moves what lies between tasks and connection, in both directions.
    pub(crate) fn pump(&mut self, now: Duration, waker: &Waker) -> Result<(), LinkError> {
        if self.ports.waker.is_none() {
            self.ports.waker = Some(waker.clone());
            self.open_inlets();
        }
        if self.connection.next_deadline().is_some_and(|at| at <= now) {
            self.connection.on_time(now).map_err(|error| self.protocol(&error))?;
        }
        self.pump_outlets()?;
        self.pump_inlets(waker)?;
        self.offer_floating();
        Ok(())
    }

    /// Whether sending has made room for what producers have written.
    pub(crate) fn wants_pump(&self) -> bool {
        self.ports.outlets.values().any(Outlet::wants_pump)
    }

    fn open_inlets(&mut self) {
        for inlet in self.wanted.drain(..) {
            if let Some(id) = self.connection.open(inlet.request(), inlet.exclusive()) {
                self.ports.inlets.insert(id, inlet);
            }
        }
    }

    fn pump_outlets(&mut self) -> Result<(), LinkError> {
        // The same memory each time: links are polled often.
        let mut ids = std::mem::take(&mut self.readers);
        ids.clear();
        ids.extend(self.ports.outlets.keys());
        let pumped = ids.iter().try_for_each(|id| self.pump_outlet(*id));
        self.readers = ids;
        pumped
    }

    fn pump_outlet(&mut self, id: ReaderId) -> Result<(), LinkError> {
        let Some(outlet) = self.ports.outlets.get_mut(&id) else { return Ok(()) };
        if outlet.pump() {
            self.connection.notify(id, &mut self.ports);
        } else if outlet.is_orphaned() {
            let text = "the producing task ended before its partition did";
            self.connection.fail_reader(id, ErrorCode::ProducerFailed, text);
            return Err(LinkError::Task(TaskError::new(text)));
        }
        Ok(())
    }

    fn pump_inlets(&mut self, waker: &Waker) -> Result<(), LinkError> {
        let mut ids = std::mem::take(&mut self.channels);
        ids.clear();
        ids.extend(self.ports.inlets.keys());
        let pumped = ids.iter().try_for_each(|id| self.pump_inlet(*id, waker));
        self.channels = ids;
        pumped
    }

    fn pump_inlet(&mut self, id: ChannelId, waker: &Waker) -> Result<(), LinkError> {
        while let Some((segment, kind)) =
            self.ports.inlets.get_mut(&id).and_then(Inlet::next_returned)
        {
            self.recycle(id, segment, kind);
        }
        let mut done = Vec::new();
        if let Some(inlet) = self.ports.inlets.get_mut(&id) {
            inlet.push_waiting();
            inlet.assemble(&mut done).map_err(LinkError::Task)?;
            inlet.notify(waker);
            inlet.push_waiting();
        }
        for (segment, kind) in done {
            self.recycle(id, segment, kind);
        }
        if self.ports.inlets.get_mut(&id).is_some_and(Inlet::take_resumed) {
            self.connection.resume(id);
        }
        if let Some(bytes) = self.ports.inlets.get_mut(&id).and_then(Inlet::new_page_bytes) {
            self.connection.set_page_bytes(id, bytes);
        }
        Ok(())
    }

    /// A segment is free again: it stays with its channel, or goes home.
    fn recycle(&mut self, id: ChannelId, segment: Segment, kind: BufferKind) {
        match self.connection.recycle(id, kind, &mut self.ports) {
            Recycled::Keep => {
                if let Some(inlet) = self.ports.inlets.get_mut(&id) {
                    inlet.keep(segment, kind);
                }
            }
            Recycled::Home => drop(segment),
        }
    }

    fn offer_floating(&mut self) {
        for _ in 0..self.ports.listening.len() {
            let Some(id) = self.ports.listening.pop_front() else { return };
            // Takes one and has it counted, or listens again.
            let taken = self.ports.take_floating(id);
            if taken && !self.connection.offer(id, &mut self.ports) {
                self.ports.give_back(id);
            }
        }
    }

    /// The next frame to send.
    pub(crate) fn next_frame(&mut self) -> Option<Outgoing<Buffer>> {
        self.connection.next_frame(&mut self.ports)
    }

    /// A header has arrived: says where its payload goes.
    pub(crate) fn on_header(&mut self, header: &[u8; HEADER_BYTES]) -> Result<Target, LinkError> {
        let incoming = self.connection.on_header(header, &mut self.ports);
        match incoming.map_err(|error| self.protocol(&error))? {
            Incoming::Complete(notice) => {
                self.on_notice(notice, None)?;
                Ok(Target::None)
            }
            Incoming::Payload(Place::Control { bytes }) => Ok(Target::Control(bytes)),
            Incoming::Payload(Place::Discard { bytes }) => Ok(Target::Discard(bytes)),
            Incoming::Payload(Place::Buffer { channel, kind, bytes }) => {
                let inlet = self.ports.inlets.get_mut(&channel);
                let segment = inlet.and_then(|inlet| inlet.segment(kind));
                let segment = segment.expect("credit is only announced for segments that are free");
                Ok(Target::Segment(segment, bytes))
            }
        }
    }

    /// The payload has arrived where [`Session::on_header`] said.
    pub(crate) fn on_payload(&mut self, target: Target, control: &[u8]) -> Result<(), LinkError> {
        let control = if matches!(target, Target::Control(_)) { control } else { &[] };
        let notice = self.connection.on_payload(control, &mut self.ports);
        let notice = notice.map_err(|error| self.protocol(&error))?;
        let segment = match target {
            Target::Segment(segment, _) => Some(segment),
            _ => None,
        };
        self.on_notice(notice, segment)
    }

    fn on_notice(&mut self, notice: Notice, segment: Option<Segment>) -> Result<(), LinkError> {
        match notice {
            Notice::Requested { reader, request } => match self.offered.remove(&request) {
                Some(outlet) => {
                    self.ports.outlets.insert(reader, outlet);
                    self.connection.accept(reader, &mut self.ports);
                }
                None => {
                    let text = format!("{request} is not offered to this worker");
                    self.connection.fail_reader(reader, ErrorCode::PartitionRefused, &text);
                }
            },
            Notice::Data { channel, part, bytes, kind, .. } => {
                let mut done = Vec::new();
                if let (Some(segment), Some(inlet)) = (segment, self.ports.inlets.get_mut(&channel))
                {
                    inlet
                        .on_data(part, segment, bytes, kind, &mut done)
                        .map_err(LinkError::Task)?;
                }
                for (segment, kind) in done {
                    self.recycle(channel, segment, kind);
                }
            }
            Notice::Orphaned { channel, kind } => {
                if let Some(segment) = segment {
                    self.recycle(channel, segment, kind);
                }
            }
            Notice::Event { channel, event, .. } => {
                if let Some(inlet) = self.ports.inlets.get_mut(&channel) {
                    inlet.on_event(event);
                }
                if event == Event::EndOfPartition {
                    self.connection.cancel(channel, &mut self.ports);
                    self.finished_one();
                }
            }
            Notice::NewBufferSize { reader, bytes } => {
                if let Some(outlet) = self.ports.outlets.get(&reader) {
                    outlet.receiver.set_page_bytes(bytes);
                }
            }
            Notice::Cancelled { reader, complete } => {
                self.ports.outlets.remove(&reader);
                self.finished_one();
                if !complete {
                    let text = "a consumer stopped before its partition ended";
                    return Err(LinkError::Task(TaskError::new(text)));
                }
            }
            Notice::ChannelFailed { code, text, .. } => {
                return Err(LinkError::Channel { peer: self.peer.clone(), code, text });
            }
            Notice::PeerFailed { code, text } => {
                return Err(LinkError::Channel { peer: self.peer.clone(), code, text });
            }
            Notice::Closed { failed } if !failed.is_empty() => {
                return Err(self.lost("the other end closed before every channel was served"));
            }
            _ => {}
        }
        Ok(())
    }

    fn finished_one(&mut self) {
        self.active -= 1;
        if self.active == 0 {
            self.connection.close();
        }
    }

    /// Nothing is left to send or to read: with a link that carries no channels, at once.
    pub(crate) fn close_if_idle(&mut self) {
        if self.active == 0 {
            self.connection.close();
        }
    }

    /// Whether both ends are done.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_closed()
    }

    /// Whether consumers have taken everything that arrived.
    pub(crate) fn is_delivered(&self) -> bool {
        self.ports.inlets.values().all(Inlet::is_delivered)
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        self.connection.next_deadline()
    }

    /// Tells the peer why this end gives up; the frame is next.
    pub(crate) fn fail(&mut self, text: &str) {
        self.connection.fail(ErrorCode::ProducerFailed, text);
    }

    pub(crate) fn lost(&self, reason: impl Into<String>) -> LinkError {
        LinkError::Lost { peer: self.peer.clone(), reason: reason.into() }
    }

    fn protocol(&self, error: &dyn std::fmt::Display) -> LinkError {
        LinkError::Protocol { peer: self.peer.clone(), error: error.to_string() }
    }
}
