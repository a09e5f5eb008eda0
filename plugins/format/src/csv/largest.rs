//! The largest field of a record, for the error that it is too large.

use super::Dialect;
use crate::Largest;

/// The largest field of the record at the start of `data`, which may end within it.
pub(super) fn field(data: &[u8], dialect: Dialect, names: &[String]) -> Largest {
    let mut largest = Largest::default();
    let (mut begin, mut number) = (0, 0);
    // Whether the field began with a quote, and whether that part goes on.
    let (mut opened, mut quoted) = (false, false);
    let mut consider = |number: usize, bytes: usize, cut: bool| {
        largest.consider(bytes, cut, || match names.get(number) {
            Some(name) => name.clone(),
            None => format!("field {}", number + 1),
        });
    };
    for (at, byte) in data.iter().enumerate() {
        if *byte == dialect.quote && (opened || at == begin) {
            // A doubled quote ends the quoted part and begins it again.
            (opened, quoted) = (true, !quoted);
        } else if !quoted && (*byte == dialect.delimiter || *byte == b'\n') {
            consider(number, at - begin, false);
            (begin, number, opened) = (at + 1, number + 1, false);
            if *byte == b'\n' {
                return largest;
            }
        }
    }
    consider(number, data.len() - begin, true);
    largest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_field_is_found_even_if_it_does_not_end() {
        let names = ["a", "b"].map(String::from);
        for (record, name, bytes, cut) in [
            ("1,22\n3,4444", "b", 2, false),
            ("1,\"2\n\"\"2,2", "b", 8, true),
            ("\"x,\"\"y\",2\n", "a", 7, false),
            ("1,2,333", "field 3", 3, true),
            ("", "", 0, false),
        ] {
            let found = field(record.as_bytes(), Dialect::default(), &names);
            let found = (found.name.as_str(), found.bytes, found.cut);
            assert_eq!(found, (name, bytes, cut), "{record}");
        }
    }
}
