//! Data in flight: what a channel held in front of an unaligned barrier, as a checkpoint keeps it.
//!
//! Of each element it says which edge and which subtask of the producer it came from, so that it can be
//! sent again through the same partitioner, whatever the parallelism is then. Watermarks are not kept: who
//! sends the rows again may then read other splits, and those of the rows that follow are not late.
//! Little-endian:
//!
//! ```text
//! edge u32 | subtask u32 | tag u8 | page:   first row u32 | length u32 | bytes
//!                                 | split:  nothing
//! ```

use alloc::{format, vec::Vec};

use crate::chain::TaskError;

/// Where the elements of a channel come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The edge, by position in the graph.
    pub edge: u32,
    /// The subtask of the producer.
    pub subtask: u32,
}

/// An element in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InFlight<'a> {
    /// The rows of a page from `row` on.
    Page {
        /// The first row that was not processed.
        row: u32,
        /// The page.
        bytes: &'a [u8],
    },
    /// From a source: what follows is of another split.
    SplitBegins,
}

const PAGE: u8 = 0;
const SPLIT: u8 = 1;

impl InFlight<'_> {
    /// Appends it to `out`.
    pub fn write(&self, origin: Origin, out: &mut Vec<u8>) {
        out.extend_from_slice(&origin.edge.to_le_bytes());
        out.extend_from_slice(&origin.subtask.to_le_bytes());
        match self {
            Self::Page { row, bytes } => {
                out.push(PAGE);
                out.extend_from_slice(&row.to_le_bytes());
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
            Self::SplitBegins => out.push(SPLIT),
        }
    }
}

/// Calls `each` for all elements, in order.
///
/// # Errors
/// If the bytes are damaged, or that of `each`.
pub fn read<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(Origin, InFlight<'a>) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    let mut rest = bytes;
    while !rest.is_empty() {
        let at = bytes.len() - rest.len();
        let damaged = || TaskError::new(format!("the data in flight are damaged at byte {at}"));
        let (origin, element, behind) = element(rest).ok_or_else(damaged)?;
        each(origin, element)?;
        rest = behind;
    }
    Ok(())
}

/// The first element, and what is behind it.
fn element(bytes: &[u8]) -> Option<(Origin, InFlight<'_>, &[u8])> {
    let number = |bytes: &[u8; 4]| u32::from_le_bytes(*bytes);
    let (edge, bytes) = bytes.split_first_chunk()?;
    let (subtask, bytes) = bytes.split_first_chunk()?;
    let (tag, bytes) = bytes.split_first()?;
    let (element, bytes) = match *tag {
        PAGE => {
            let (row, bytes) = bytes.split_first_chunk()?;
            let (length, bytes) = bytes.split_first_chunk()?;
            let (page, bytes) = bytes.split_at_checked(number(length) as usize)?;
            (InFlight::Page { row: number(row), bytes: page }, bytes)
        }
        SPLIT => (InFlight::SplitBegins, bytes),
        _ => return None,
    };
    Some((Origin { edge: number(edge), subtask: number(subtask) }, element, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_each_cut_is_seen() {
        let elements = [
            InFlight::Page { row: 3, bytes: b"a page" },
            InFlight::SplitBegins,
            InFlight::Page { row: 0, bytes: b"" },
        ];
        let origin = Origin { edge: 2, subtask: 5 };
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for element in elements {
            element.write(origin, &mut bytes);
            ends.push(bytes.len());
        }
        for cut in 0..=bytes.len() {
            let mut found = Vec::new();
            let read = read(&bytes[..cut], |from, element| {
                assert_eq!(from, origin);
                found.push(element);
                Ok(())
            });
            assert_eq!(read.is_ok(), cut == 0 || ends.contains(&cut), "cut at {cut}");
            assert_eq!(found, elements[..ends.iter().filter(|end| **end <= cut).count()]);
        }
    }
}
