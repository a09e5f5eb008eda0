//! Rows, keys, and runs that are read back.

use std::collections::BTreeMap;

use millstream_data::{
    Value,
    order::{Ordered, full_key, prefix},
    row::RowLayout,
    value::{Bytes, Record},
};
use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;
use millstream_sort::{
    Bytewise, ManagedLease, Next, Progress, Push, Rows, SEGMENTS_MIN, SortConfig, SortError, Sorter,
};
use millstream_storage::{FileId, MemoryStorage, Storage};

type Nested = (bool, Option<Bytes>, i16);
type Lists = (Vec<u16>, Option<BTreeMap<String, Vec<Option<bool>>>>);
type Row = (u64, Option<String>, Option<i32>, Option<Nested>, String, Lists);

/// Bytes are no row, or the only bytes of its values.
pub(crate) fn row(data: &[u8]) {
    let layout = RowLayout::new(&Row::schema());
    if let Ok(row) = layout.validate(data) {
        let mut again = Vec::new();
        layout.encode::<Row>(layout.decode::<Row>(row), &mut again);
        assert_eq!(again, data);
    }
}

pub(crate) fn rows() -> Vec<Vec<u8>> {
    let layout = RowLayout::new(&Row::schema());
    let nested = (true, Some(Bytes(vec![0, 255])), -3);
    let map = BTreeMap::from([("a".into(), vec![Some(true), None]), ("bc".into(), vec![])]);
    let rows: [Row; 3] = [
        (1, None, None, None, String::new(), (vec![1, 2], None)),
        (u64::MAX, Some("text".into()), Some(-1), Some(nested), "more".into(), (vec![], Some(map))),
        (7, Some("é".into()), None, Some((false, None, 5)), "x".repeat(40), Lists::default()),
    ];
    let encode = |row: &Row| {
        let mut bytes = Vec::new();
        layout.encode::<Row>(row.view(), &mut bytes);
        bytes
    };
    rows.iter().map(encode).collect()
}

/// Keys are ordered as the values are that the two halves of the bytes stand for.
pub(crate) fn key(data: &[u8]) {
    let (a, b) = data.split_at(data.len() / 2);
    type Key = (Bytes, i32, Option<Bytes>, f64);
    let value = |half: &[u8]| -> Key {
        let mut number = [0; 12];
        let length = half.len().min(12);
        number[..length].copy_from_slice(&half[..length]);
        let [a, b, c, d, rest @ ..] = number;
        let (text, more) = half[length..].split_at((half.len() - length) / 2);
        let more = (!more.is_empty()).then(|| Bytes(more.into()));
        (Bytes(text.into()), i32::from_le_bytes([a, b, c, d]), more, f64::from_le_bytes(rest))
    };
    let (a, b) = (value(a), value(b));
    let ordering = Key::compare(a.view(), b.view());
    assert_eq!(full_key::<Key>(a.view()).cmp(&full_key::<Key>(b.view())), ordering);
    let prefixes = prefix::<Key>(a.view()).cmp(&prefix::<Key>(b.view()));
    assert!(prefixes == ordering || prefixes.is_eq());
}

pub(crate) fn keys() -> Vec<Vec<u8>> {
    vec![(0..64).collect(), [b"same and \0 zero".as_slice(); 4].concat(), vec![0xFF; 50]]
}

/// Bytes are rows: what comes out is what went in, in order; or, if a file was changed, an error, or
/// other rows, but no panic.
pub(crate) fn sort(data: &[u8]) {
    let Some((damage, rest)) = data.split_first_chunk::<4>() else { return };
    // Rows fit into a segment; that others are refused is tested elsewhere.
    let rest = &rest[..rest.len().min(4000)];
    let memory = ManagedMemory::new(Box::new(HeapArena::new(4096, SEGMENTS_MIN).expect("memory")));
    let lease = ManagedLease::new(memory.clone(), memory.open("fuzz").expect("it is open"));
    let config = SortConfig::new(SEGMENTS_MIN);
    let mut sorter = Sorter::new(Rows(Bytewise), lease, config).expect("enough memory");
    let mut storage = MemoryStorage::new().shuffled(u64::from(damage[3]));
    // Many times, so that they do not fit into memory.
    let mut rows: Vec<&[u8]> = rest.split(|byte| *byte == 0).cycle().take(3000).collect();
    for row in &rows {
        while sorter.push(row).expect("rows are short") == Push::Full {
            step(&mut sorter, &mut storage).expect("nothing fails yet");
        }
    }
    sorter.finish();
    while let Some(completion) = storage.poll() {
        sorter.complete(completion);
    }
    let damaged = damage[0] & 1 == 1
        && storage.content(FileId(0)).is_some_and(|content| {
            let at = usize::from(u16::from_le_bytes([damage[1], damage[2]]));
            content.get_mut(at).map(|byte| *byte ^= damage[0]).is_some()
        });
    let mut sorted = Vec::new();
    let outcome = read(&mut sorter, &mut storage, &mut sorted);
    if !damaged {
        outcome.expect("nothing fails");
        rows.sort_unstable();
        assert!(sorted == rows);
    }
}

fn step(
    sorter: &mut Sorter<Rows<Bytewise>, ManagedLease>,
    storage: &mut MemoryStorage,
) -> Result<Progress, SortError> {
    let progress = sorter.run(storage, 8)?;
    if let Some(completion) = storage.poll() {
        sorter.complete(completion);
    }
    Ok(progress)
}

fn read(
    sorter: &mut Sorter<Rows<Bytewise>, ManagedLease>,
    storage: &mut MemoryStorage,
    sorted: &mut Vec<Vec<u8>>,
) -> Result<(), SortError> {
    while step(sorter, storage)? != Progress::Sorted {}
    loop {
        match sorter.next(storage)? {
            Next::Record(record) => sorted.push(record.into()),
            Next::Waits => sorter.complete(storage.poll().expect("it waits for something")),
            Next::End => return Ok(()),
        }
    }
}

pub(crate) fn sorts() -> Vec<Vec<u8>> {
    let text = b"some words\0and others\0that are sorted\0again and again\0\0x".as_slice();
    vec![
        [&[0, 0, 0, 5], text].concat(),
        [&[1, 4, 0, 0], text].concat(),
        [&[0xFF, 9, 1, 7], text].concat(),
    ]
}
