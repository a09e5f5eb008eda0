//! What is kept of a group and is not of a fixed width: texts, behind its fixed part, each with its length.

use millstream_dataflow::TaskError;

/// Puts the texts behind the fixed part of a group.
pub(super) fn pack(texts: &[Vec<u8>], group: &mut Vec<u8>) {
    for text in texts {
        group.extend_from_slice(&(text.len() as u32).to_le_bytes());
        group.extend_from_slice(text);
    }
}

/// Takes the texts off a group.
pub(super) fn unpack(
    group: &mut Vec<u8>,
    fixed: usize,
    texts: &mut [Vec<u8>],
) -> Result<(), TaskError> {
    let mut rest = group.get(fixed..).unwrap_or(&[]);
    for text in texts.iter_mut() {
        let split = rest.split_first_chunk().and_then(|(length, behind)| {
            behind.split_at_checked(u32::from_le_bytes(*length) as usize)
        });
        let (found, behind) =
            split.ok_or_else(|| TaskError::new("a page of an aggregation: a group is cut off"))?;
        text.clear();
        text.extend_from_slice(found);
        rest = behind;
    }
    group.truncate(fixed);
    Ok(())
}
