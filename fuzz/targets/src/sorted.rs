//! Sorted files of state: blocks, indexes, their pages, and manifests.

use millstream_data::hash;
use millstream_lsm::{
    block::{BLOCK_MAX, Block, BlockBuilder, BlockCursor, More, Op, checksum},
    compression::{Codec, Format, Packer, Stored},
    manifest::Manifest,
    name::{self, Order},
    run::{
        Index, IndexPage, Page, RunFile, Span, decode, decode_head, encode, encode_head, put_page,
    },
    sum::Sum,
};
use millstream_state::{Kind, Owned, StateSpec};
use millstream_storage::FileId;
use millstream_zstd::Zstd;

fn order() -> Order {
    let owned = Owned { first: 0, end: 4, max_parallelism: 4 };
    Order::new(|key| hash::bytes(hash::SEED, key), owned)
}

/// Bytes are no block, or one that is read without a panic, in order and by name. Checksums are of no
/// interest, or nothing behind them would ever be reached.
pub fn block(data: &[u8]) {
    let data = &data[..data.len().min(BLOCK_MAX)];
    let Ok(block) = Block::open(data) else { return };
    let (mut cursor, mut other, order) = (BlockCursor::default(), BlockCursor::default(), order());
    let mut entries = 0;
    while cursor.advance(&block) == Ok(true) {
        let value = block.value(cursor.value());
        assert!(value.len() <= data.len() && cursor.name().len() <= name::NAME_MAX);
        entries += 1;
        if entries > 200 {
            continue;
        }
        let Some(rank) = order.rank_of(cursor.name()) else { continue };
        // Those of a block that is not sorted need not be found.
        if let Ok(Some(found)) = block.find(&order, rank, cursor.name()) {
            assert!(block.value(found.value).len() <= data.len());
            assert!(found.more != More::Here || entries > 0);
        }
        if other.seek(&block, &order, rank, cursor.name()) == Ok(true) {
            let at = order.rank_of(other.name());
            assert!((at, other.name()) >= (Some(rank), cursor.name()));
        }
    }
}

/// Bytes are no stored block, or one that is unpacked to as many bytes as it says, and read. The checksum is
/// mended, or no decompressor would ever see anything.
pub fn stored(data: &[u8]) {
    let mut bytes = data[..data.len().min(BLOCK_MAX)].to_vec();
    for format in [Format::Tagged, Format::Untagged] {
        let _ = Stored::check(format, &bytes);
    }
    bytes.extend(checksum(&bytes).to_le_bytes());
    let Ok(stored) = Stored::check(Format::WithZstd, &bytes) else { return };
    assert!(stored.length() <= BLOCK_MAX);
    let mut unpacked = vec![0; stored.length()];
    let zstd = Zstd::new();
    if stored.unpack(Some(&zstd), &mut unpacked).is_ok() {
        block(&unpacked);
        for codec in [Codec::Plain, Codec::Lz4, Codec::Zstd] {
            if unpacked.len() + 9 > BLOCK_MAX {
                return;
            }
            let mut packer = Packer::default();
            let again = packer.pack(codec, Some(&zstd), &unpacked);
            let again = Stored::check(Format::WithZstd, again).expect("its own block");
            let mut read = vec![0; again.length()];
            again.unpack(Some(&zstd), &mut read).expect("its own block");
            assert_eq!(read, unpacked);
        }
    }
}

/// Bytes are no index, or one that finds blocks and is written as it was read.
pub fn index(data: &[u8]) {
    let Some((blocks, bytes)) = data.split_first_chunk() else { return };
    let blocks = u64::from(u16::from_le_bytes(*blocks));
    let Ok(index) = decode(bytes, blocks) else { return };
    let mut again = Vec::new();
    encode(&index, &mut again);
    assert_eq!(again, bytes);
    for (state, section) in index.sections.clone() {
        for rank in index.last.iter().flat_map(|rank| [*rank, rank.saturating_add(1)]) {
            for name in [&b""[..], b"name"] {
                let found = index.locate(state, rank, name);
                assert!(found.is_none_or(|block| section.contains(&block)), "{found:?}");
            }
        }
    }
}

/// Bytes are no head of a file, or one that finds pages and is written as it was read.
pub fn head(data: &[u8]) {
    let Some((numbers, bytes)) = data.split_first_chunk::<6>() else { return };
    let [index_at, index_bytes, filter] =
        [0, 2, 4].map(|at| u16::from_le_bytes([numbers[at], numbers[at + 1]]));
    let file = RunFile {
        length: [index_at, index_bytes, filter].map(u64::from).iter().sum::<u64>()
            + bytes.len() as u64,
        index_at: index_at.into(),
        index_bytes: index_bytes.into(),
        head_bytes: bytes.len() as u32,
        ..file()
    };
    let Ok(index) = decode_head(bytes, &file) else { return };
    let mut again = Vec::new();
    encode_head(&index, &mut again);
    assert_eq!(again, bytes);
    for (state, section) in index.sections.clone() {
        for rank in index.pages.iter().flat_map(|page| [page.last, page.last.saturating_add(1)]) {
            let found = index.page_for(state, rank, b"name");
            let place = found.map(|page| index.page_place(page).expect("a page that was found"));
            assert!(place.is_none_or(|place| place.end <= u64::from(index_bytes)));
            let blocks = index.blocks(&section, &(0..rank));
            assert!(section.start <= blocks.start && blocks.end <= section.end);
        }
    }
    assert!(index.bytes_of(&(0..u64::MAX)) <= u64::from(index_at));
}

/// Bytes are no page of an index, or one that finds blocks. The checksum is of no interest.
pub fn index_page(data: &[u8]) {
    let Ok(page) = IndexPage::open(data) else { return };
    let blocks = page.blocks();
    for block in blocks.clone().take(300) {
        let place = page.place(block);
        assert!(place.is_none_or(|place| place.end - place.start <= BLOCK_MAX as u64));
        page.goes_on(block);
    }
    for rank in [0, 5, u64::MAX] {
        for found in [page.locate(rank, b"name"), page.from_rank(rank)] {
            assert!((blocks.start..=blocks.end).contains(&found));
        }
    }
    let mut index = Index::default();
    if page.append_to(&mut index).is_some() {
        assert_eq!(index.ends.len(), blocks.len());
    }
}

/// Bytes are no list of runs, or one that is written as it was read. The checksum is mended.
pub fn runs(data: &[u8]) {
    let _ = Manifest::decode(data);
    let mut bytes = data.to_vec();
    bytes.extend(Sum::of(data).to_le_bytes());
    if let Ok(manifest) = Manifest::decode(&bytes) {
        let again = Manifest::decode(&manifest.encode()).expect("its own manifest");
        assert_eq!((again.layers, again.bottom), (manifest.layers, manifest.bottom));
        assert_eq!(again.states.len(), manifest.states.len());
    }
}

/// Blocks with a few entries and with many.
pub(crate) fn blocks() -> Vec<Vec<u8>> {
    let block = |keys: u32, value: usize| {
        let mut names = Vec::new();
        for number in 0..keys {
            let mut bytes = Vec::new();
            let map_key = (number % 3 == 0).then_some(&b"map"[..]);
            name::write(&number.to_le_bytes()[..2], b"", map_key, &mut bytes);
            names.push((order().rank_of(&bytes), bytes));
        }
        names.sort();
        let mut builder = BlockBuilder::default();
        for (index, (_, name)) in names.iter().enumerate() {
            let op = [Op::Whole, Op::Add, Op::Gone][index % 3];
            builder.push(name, 0, op, &vec![7; value]);
            if index % 5 == 0 {
                builder.push(name, 1, op, b"more");
            }
        }
        builder.finish().to_vec()
    };
    vec![block(0, 0), block(3, 30), block(40, 8)]
}

/// The same blocks, as they are stored in each way, without checksums.
pub(crate) fn stored_blocks() -> Vec<Vec<u8>> {
    let (mut packer, zstd) = (Packer::default(), Zstd::new());
    let mut all = Vec::new();
    for block in blocks() {
        for codec in [Codec::Plain, Codec::Lz4, Codec::Zstd] {
            let stored = packer.pack(codec, Some(&zstd), &block);
            all.push(stored[..stored.len() - 8].to_vec());
        }
    }
    all
}

/// An index of two states.
fn two_states() -> Index {
    Index {
        format: Format::Tagged,
        sections: vec![(1, 0..2), (4, 2..5)],
        ends: vec![100, 200, 300, 400, 500],
        last: vec![10, 20, 3, 5, 5],
        spans: vec![Span { block: 3, name: b"name"[..].into() }],
        cleared: vec![(1, b"window"[..].into())],
        entries: 77,
        ..Index::default()
    }
}

/// An index as it is in files without pages.
pub(crate) fn indexes() -> Vec<Vec<u8>> {
    let index = two_states();
    let mut bytes = 500u16.to_le_bytes().to_vec();
    encode(&index, &mut bytes);
    vec![bytes]
}

/// The pages of an index.
pub(crate) fn pages() -> Vec<Vec<u8>> {
    let index = two_states();
    let page = |first: &u32| {
        let mut bytes = Vec::new();
        put_page(&index, *first, &mut bytes);
        bytes
    };
    [0, 2, 3].iter().map(page).collect()
}

/// The head of a file with two pages and a filter of one line.
pub(crate) fn heads() -> Vec<Vec<u8>> {
    let mut index = Index { lines: 1, ..two_states() };
    for (first, page_end) in [(0, 60), (2, 130)] {
        let page = put_page(&index, first, &mut Vec::new());
        index.pages.push(Page { page_end, ..page });
    }
    let mut bytes = Vec::new();
    [500u16, 130, 73].iter().for_each(|number| bytes.extend(number.to_le_bytes()));
    encode_head(&index, &mut bytes);
    vec![bytes]
}

fn file() -> RunFile {
    RunFile {
        file: FileId(3),
        length: 700,
        checksum: 1,
        index_at: 500,
        index_bytes: 136,
        head_bytes: 30,
        index_sum: 2,
        hiding: 9,
        first_rank: 0,
        end_rank: 4 << 48,
    }
}

/// A manifest of two states and a run at the bottom under one above, without its checksum.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let state = |name: &str, kind, key| StateSpec {
        name: name.into(),
        kind,
        key,
        namespace: Some(0),
        value: None,
    };
    let run = file();
    let manifest = Manifest {
        owned: Owned { first: 0, end: 4, max_parallelism: 4 },
        states: vec![state("count", Kind::Value, Some(8)), state("maps", Kind::Map, None)],
        layers: vec![vec![RunFile { first_rank: 1 << 48, ..run }]],
        bottom: vec![run],
    };
    let mut bytes = manifest.encode();
    bytes.truncate(bytes.len() - 8);
    vec![bytes]
}
