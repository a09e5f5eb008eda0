//! An index is read as it was written, and finds the right block.

use alloc::{vec, vec::Vec};

use super::*;

/// Blocks of two states; in the second the ranks 5 and 9 fill several.
fn index() -> Index {
    let span = |block, name: &[u8]| Span { block, name: name.into() };
    Index {
        format: Format::Tagged,
        sections: vec![(1, 0..2), (4, 2..8)],
        ends: (1..=8).map(|block| block * 100).collect(),
        last: vec![10, 20, 3, 5, 5, 9, 9, 12],
        spans: vec![span(3, b"b"), span(4, b"d"), span(5, b"x")],
        cleared: vec![(1, b"a"[..].into()), (4, b""[..].into())],
        entries: 77,
    }
}

#[test]
fn what_is_written_is_read() {
    let mut bytes = Vec::new();
    encode(&index(), &mut bytes);
    assert_eq!(decode(&bytes, 800), Ok(index()));
    for format in [Format::Untagged, Format::WithZstd] {
        let (other, mut bytes) = (Index { format, ..index() }, Vec::new());
        encode(&other, &mut bytes);
        assert_eq!(decode(&bytes, 800), Ok(other));
    }
    let mut newer = bytes.clone();
    newer[4] = 4;
    let error = decode(&newer, 800).unwrap_err();
    assert_eq!(error.what, "it has a format that this program does not read");
    assert!(decode(&bytes, 801).is_err());
    for at in 0..bytes.len() {
        assert!(decode(&bytes[..at], 800).is_err(), "cut at {at}");
    }
}

#[test]
fn a_name_is_in_one_block() {
    let index = index();
    let cases: [(u16, u64, &[u8], Option<u32>); 15] = [
        (1, 0, b"", Some(0)),
        (1, 10, b"", Some(0)),
        (1, 11, b"", Some(1)),
        (1, 21, b"", None),
        (2, 0, b"", None),
        (4, 3, b"z", Some(2)),
        (4, 4, b"a", Some(3)),
        (4, 5, b"a", Some(3)),
        (4, 5, b"b", Some(3)),
        (4, 5, b"c", Some(4)),
        (4, 5, b"e", Some(5)),
        (4, 9, b"a", Some(5)),
        (4, 9, b"y", Some(6)),
        (4, 10, b"", Some(7)),
        (4, 13, b"", None),
    ];
    for (state, rank, name, block) in cases {
        assert_eq!(index.locate(state, rank, name), block, "{state} {rank} {name:?}");
    }
    assert_eq!(
        (index.place(0), index.place(7), index.place(8)),
        (Some(0..100), Some(700..800), None)
    );
    assert!(index.hides(1, b"a") && index.hides(4, b"") && !index.hides(1, b""));
    assert!(index.goes_on(3) && !index.goes_on(2));
}
