//! The first frame of each direction.

use core::time::Duration;

use super::ProtocolError;
use crate::frame::Hello;

/// Whether the two ends of a connection have introduced themselves.
#[derive(Debug)]
pub(super) struct Handshake {
    ours: Hello,
    sent: bool,
    received: bool,
    timeout: Duration,
    deadline: Duration,
}

impl Handshake {
    pub(super) fn new(ours: Hello, timeout: Duration, now: Duration) -> Self {
        let deadline = now.saturating_add(timeout);
        Self { ours, sent: false, received: false, timeout, deadline }
    }

    /// Our introduction, once.
    pub(super) fn next(&mut self) -> Option<Hello> {
        (!core::mem::replace(&mut self.sent, true)).then_some(self.ours)
    }

    /// Whether the peer has introduced itself.
    pub(super) fn is_open(&self) -> bool {
        self.received
    }

    pub(super) fn on_hello(&mut self, theirs: &Hello) -> Result<(), ProtocolError> {
        let fields = [
            ("job graph", self.ours.job, theirs.job),
            ("segment size", self.ours.segment_bytes.into(), theirs.segment_bytes.into()),
            ("max-record-size", self.ours.record_bytes_max.into(), theirs.record_bytes_max.into()),
        ];
        for (field, expected, found) in fields {
            if expected != found {
                return Err(ProtocolError::Incompatible { field, expected, found });
            }
        }
        self.received = true;
        Ok(())
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        (!self.received).then_some(self.deadline)
    }

    pub(super) fn on_time(&self, now: Duration) -> Result<(), ProtocolError> {
        if self.received || now < self.deadline {
            return Ok(());
        }
        let millis = self.timeout.as_millis();
        Err(ProtocolError::Silent { expected_ms: u64::try_from(millis).unwrap_or(u64::MAX) })
    }
}
