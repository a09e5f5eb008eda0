//! The elements of a list as bytes.
//!
//! Elements of one size are one behind the other. Those of any size have their length in front, a
//! little-endian number of 32 bits. Both in a backend's pages and in a snapshot.

use alloc::vec::Vec;

/// Appends an element of variable size with its length in front.
pub fn frame(element: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(element.len() as u32).to_le_bytes());
    out.extend_from_slice(element);
}

/// Takes the first element off a list whose elements have `width` bytes, or any size; `None` if
/// the bytes do not begin with a whole one.
pub fn split_first(bytes: &[u8], width: Option<usize>) -> Option<(&[u8], &[u8])> {
    match width {
        // Elements of no bytes leave no trace; no list has them.
        Some(0) => None,
        Some(width) => bytes.split_at_checked(width),
        None => {
            let (length, rest) = bytes.split_first_chunk()?;
            rest.split_at_checked(u32::from_le_bytes(*length) as usize)
        }
    }
}

/// The elements of a list that is in one piece. It ends early where the bytes are no list.
pub fn elements(bytes: &[u8], width: Option<usize>) -> impl Iterator<Item = &[u8]> {
    let mut rest = bytes;
    core::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (element, behind) = split_first(rest, width)?;
        rest = behind;
        Some(element)
    })
}
