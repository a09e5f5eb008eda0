//! Numbers and byte strings in the states that the drivers write.

use millstream_dataflow::TaskError;

pub(super) fn put(number: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(super) fn put_all(bytes: &[u8], out: &mut Vec<u8>) {
    put(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Takes what [`put`] wrote.
pub(super) fn take(bytes: &mut &[u8]) -> Result<u64, TaskError> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(damaged)?;
    *bytes = rest;
    Ok(u64::from_le_bytes(*number))
}

/// Takes what [`put_all`] wrote.
pub(super) fn take_all<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], TaskError> {
    let length = take(bytes)? as usize;
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(damaged)?;
    *bytes = rest;
    Ok(taken)
}

fn damaged() -> TaskError {
    TaskError::new("a state of the simulation's own is damaged")
}
