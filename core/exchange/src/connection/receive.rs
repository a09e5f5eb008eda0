//! What becomes of a frame that arrives.

use alloc::string::{String, ToString};

use super::{Connection, Incoming, Notice, Place, Ports, ProtocolError, Receiving, State};
use crate::frame::{ErrorCode, FrameHeader, FrameKind, HEADER_BYTES, Hello, Request};

impl Connection {
    /// A header arrived: says what to do with it and where its payload goes.
    ///
    /// # Errors
    /// [`ProtocolError`] if the peer broke the protocol. The connection is over: send what is
    /// ready (a last frame that tells the peer), close it and call [`on_lost`](Self::on_lost).
    ///
    /// # Panics
    /// If a payload is being received: [`on_payload`](Self::on_payload) comes first.
    pub fn on_header(
        &mut self,
        bytes: &[u8; HEADER_BYTES],
        ports: &mut impl Ports,
    ) -> Result<Incoming, ProtocolError> {
        assert!(matches!(self.receiving, Receiving::Nothing), "a header within a payload");
        let result = FrameHeader::decode(bytes, &self.limits)
            .map_err(ProtocolError::from)
            .and_then(|header| self.dispatch(header, ports));
        result.map_err(|error| self.break_off(error))
    }

    /// The payload that [`on_header`](Self::on_header) asked for is complete. `control` holds its
    /// bytes if its place is [`Place::Control`], otherwise it is empty.
    ///
    /// # Errors
    /// As for [`on_header`](Self::on_header).
    ///
    /// # Panics
    /// If no payload is expected, or `control` has another length.
    pub fn on_payload(
        &mut self,
        control: &[u8],
        ports: &mut impl Ports,
    ) -> Result<Notice, ProtocolError> {
        match core::mem::replace(&mut self.receiving, Receiving::Nothing) {
            Receiving::Nothing => panic!("a payload that no header announced"),
            Receiving::Discard => Ok(Notice::None),
            Receiving::Buffer(header, kind) => Ok(self.inbound.on_data(&header, kind)),
            Receiving::Control(header) => {
                assert_eq!(control.len(), header.payload_bytes() as usize, "{header:?}");
                let result = self.complete(&header, control, ports);
                result.map_err(|error| self.break_off(error))
            }
        }
    }

    /// Notes that the peer is at fault; it will be told.
    pub(super) fn break_off(&mut self, error: ProtocolError) -> ProtocolError {
        let code = match error {
            ProtocolError::Incompatible { .. } => ErrorCode::Incompatible,
            _ => ErrorCode::Protocol,
        };
        self.fail(code, &error.to_string());
        error
    }

    fn dispatch(
        &mut self,
        header: FrameHeader,
        ports: &mut impl Ports,
    ) -> Result<Incoming, ProtocolError> {
        self.check_order(&header)?;
        if self.state == State::Closed && header.kind().is_to_producer() {
            // It crossed our close, which tells the peer that no answer comes.
            return Ok(match header.payload_bytes() {
                0 => Incoming::Complete(Notice::None),
                bytes => {
                    self.receiving = Receiving::Discard;
                    Incoming::Payload(Place::Discard { bytes })
                }
            });
        }
        let place = match header.kind() {
            FrameKind::Hello | FrameKind::Request => {
                Place::Control { bytes: header.payload_bytes() }
            }
            FrameKind::Error | FrameKind::TaskEvent if header.payload_bytes() > 0 => {
                Place::Control { bytes: header.payload_bytes() }
            }
            FrameKind::Error | FrameKind::TaskEvent => {
                return self.complete(&header, &[], ports).map(Incoming::Complete);
            }
            FrameKind::Data | FrameKind::Event | FrameKind::JumboFragment => {
                self.inbound.on_header(&header, ports)?
            }
            FrameKind::BacklogAnnouncement => {
                self.inbound.on_announcement(&header, ports)?;
                return Ok(Incoming::Complete(Notice::None));
            }
            FrameKind::Close => return Ok(Incoming::Complete(self.on_close(ports))),
            FrameKind::Credit
            | FrameKind::Resume
            | FrameKind::Cancel
            | FrameKind::NewBufferSize
            | FrameKind::AckAllRecords => {
                return self.outbound.on_control(&header, ports).map(Incoming::Complete);
            }
        };
        self.receiving = match place {
            Place::Buffer { kind, .. } => Receiving::Buffer(header, kind),
            Place::Control { .. } => Receiving::Control(header),
            Place::Discard { .. } => Receiving::Discard,
        };
        Ok(Incoming::Payload(place))
    }

    /// The hello comes first and once, and nothing comes behind an end.
    fn check_order(&self, header: &FrameHeader) -> Result<(), ProtocolError> {
        let kind = header.kind();
        let fatal = header.has(FrameHeader::FATAL);
        let when = match kind {
            _ if self.state == State::Broken => "after the connection failed",
            _ if self.peer_closed => "behind the close",
            FrameKind::Hello if self.handshake.is_open() => "behind the first",
            FrameKind::Hello => return Ok(()),
            _ if !self.handshake.is_open() && !fatal => "before the hello",
            _ => return Ok(()),
        };
        Err(ProtocolError::Unexpected { kind, when })
    }

    /// A control frame is here with its payload.
    fn complete(
        &mut self,
        header: &FrameHeader,
        payload: &[u8],
        ports: &mut impl Ports,
    ) -> Result<Notice, ProtocolError> {
        match header.kind() {
            FrameKind::Hello => {
                let theirs = Hello::decode(payload)?;
                self.handshake.on_hello(&theirs)?;
                Ok(Notice::Opened(theirs))
            }
            FrameKind::Request => {
                let request = Request::decode(payload)?;
                match self.state {
                    // We closed between its header and its payload.
                    State::Closed => Ok(Notice::None),
                    _ => self.outbound.on_request(header, request),
                }
            }
            FrameKind::TaskEvent => self.outbound.on_task_event(header),
            FrameKind::Event => self.inbound.on_event(header, payload),
            FrameKind::Error => {
                let code = ErrorCode::from_aux(header.aux()).unwrap_or(ErrorCode::Protocol);
                let text = String::from_utf8_lossy(payload).into_owned();
                if header.has(FrameHeader::FATAL) {
                    self.state = State::Broken;
                    return Ok(Notice::PeerFailed { code, text });
                }
                self.inbound.on_error(header, code, text, ports)
            }
            kind => unreachable!("{kind:?} has no control payload"),
        }
    }

    fn on_close(&mut self, ports: &mut impl Ports) -> Notice {
        self.peer_closed = true;
        self.close();
        Notice::Closed { failed: self.inbound.lose(ports) }
    }
}
