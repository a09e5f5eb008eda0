//! Where the next received bytes belong.

use crate::frame::HEADER_BYTES;

/// The place of a receiver in the stream of frames: what is missing of the current payload, and
/// how much of the header behind it is there.
///
/// One `recvmsg` fills both at once: its first buffer is the last
/// [`payload_left`](Self::payload_left) bytes of wherever the payload goes, its second
/// [`header_rest`](Self::header_rest). So in a steady flow of pages each system call brings a page
/// into its segment, where it stays, together with the header that says where the next one goes.
///
/// Where frames are small, a third buffer behind these two may take what follows; copy from it as
/// from a socket until it is used up.
///
/// With a completion-based kernel interface keep the `Intake` in one place of memory from
/// submission to completion: the header is received inside it.
#[derive(Debug)]
pub struct Intake {
    header: [u8; HEADER_BYTES],
    header_filled: usize,
    payload_left: usize,
}

/// What became complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// The payload: to be handled before the header, which is behind it.
    pub payload: bool,
    /// The next header. Then call [`Intake::expect`] before anything else.
    pub header: Option<[u8; HEADER_BYTES]>,
}

impl Intake {
    /// The start of a stream: a header comes first.
    pub fn new() -> Self {
        Self { header: [0; HEADER_BYTES], header_filled: 0, payload_left: 0 }
    }

    /// A header announced a payload of this length; 0 if nothing follows it.
    pub fn expect(&mut self, payload_bytes: u32) {
        assert!(self.payload_left == 0 && self.header_filled == 0, "within a frame");
        self.payload_left = payload_bytes as usize;
    }

    /// Bytes of the payload that are missing.
    pub fn payload_left(&self) -> usize {
        self.payload_left
    }

    /// The part of the next header that is missing; never empty.
    pub fn header_rest(&mut self) -> &mut [u8] {
        &mut self.header[self.header_filled..]
    }

    /// `received` bytes arrived: first those of the payload, then those of the header.
    pub fn advance(&mut self, received: usize) -> Arrived {
        let of_payload = received.min(self.payload_left);
        let of_header = received - of_payload;
        assert!(of_header <= HEADER_BYTES - self.header_filled, "more than there was room for");
        self.payload_left -= of_payload;
        self.header_filled += of_header;
        let payload = of_payload > 0 && self.payload_left == 0;
        let complete = self.header_filled == HEADER_BYTES;
        if complete {
            self.header_filled = 0;
        }
        Arrived { payload, header: complete.then_some(self.header) }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the stream is cut, the same headers and payloads come out of it.
        #[test]
        fn any_chunking_gives_the_same_frames(
            payloads in prop::collection::vec(0usize..100, 1..20),
            chunks in prop::collection::vec(1usize..200, 1..20),
        ) {
            let mut stream = Vec::new();
            for (index, length) in payloads.iter().enumerate() {
                stream.extend([index as u8; HEADER_BYTES]);
                stream.extend(core::iter::repeat_n(!(index as u8), *length));
            }
            let mut intake = Intake::new();
            let (mut payload, mut headers, mut complete) = (Vec::<u8>::new(), 0, 0);
            let (mut rest, mut chunk) = (&stream[..], chunks.iter().cycle());
            while !rest.is_empty() {
                let left = intake.payload_left();
                let room = left + intake.header_rest().len();
                let taken = rest.len().min(room).min(*chunk.next().expect("a cycle"));
                let (now, later) = rest.split_at(taken);
                let of_payload = taken.min(left);
                payload.extend(&now[..of_payload]);
                intake.header_rest()[..taken - of_payload].copy_from_slice(&now[of_payload..]);
                rest = later;
                let arrived = intake.advance(taken);
                if arrived.payload {
                    let expected = std::vec![!(headers as u8 - 1); payloads[headers - 1]];
                    prop_assert_eq!(&payload, &expected);
                    payload.clear();
                    complete += 1;
                }
                if let Some(header) = arrived.header {
                    prop_assert_eq!(header, [headers as u8; HEADER_BYTES]);
                    intake.expect(payloads[headers] as u32);
                    headers += 1;
                }
            }
            prop_assert_eq!(headers, payloads.len());
            prop_assert_eq!(complete, payloads.iter().filter(|length| **length > 0).count());
        }
    }
}
