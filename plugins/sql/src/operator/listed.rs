//! Values one behind the other, in the order in which they came: what LISTAGG, ARRAY_AGG and COLLECT keep.
//!
//! Each is behind its length, as in lists of the state, so that one of them can be found again when it goes, and
//! two lists are made one by putting one behind the other.

use millstream_state::list;

/// Bytes of a length.
const LENGTH: usize = 4;

/// The values of a list.
pub(super) fn values(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list::elements(list, None)
}

/// Adds a value as the last one.
pub(super) fn push(list: &mut Vec<u8>, value: &[u8]) {
    list::frame(value, list);
}

/// Takes out the first value that is equal to this one, as Flink does; nothing if none is.
pub(super) fn remove(list: &mut Vec<u8>, value: &[u8]) {
    let mut end = 0;
    let found = values(list).find(|found| {
        end += LENGTH + found.len();
        *found == value
    });
    if let Some(length) = found.map(<[u8]>::len) {
        list.drain(end - LENGTH - length..end);
    }
}

/// All values, with the separator between each two.
pub(super) fn joined(list: &[u8], separator: &str) -> Vec<u8> {
    let mut text = Vec::with_capacity(list.len());
    for (number, value) in values(list).enumerate() {
        if number > 0 {
            text.extend_from_slice(separator.as_bytes());
        }
        text.extend_from_slice(value);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_values_goes_first() {
        let mut list = Vec::new();
        for value in ["a", "", "b", "a"] {
            push(&mut list, value.as_bytes());
        }
        assert_eq!(joined(&list, ", "), b"a, , b, a");
        remove(&mut list, b"a");
        assert_eq!(joined(&list, "-"), b"-b-a");
        remove(&mut list, b"c");
        remove(&mut list, b"");
        assert_eq!(joined(&list, ""), b"ba");
    }
}
