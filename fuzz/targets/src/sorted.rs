//! Sorted files of state: blocks, indexes and manifests.

use millstream_data::hash;
use millstream_lsm::{
    block::{BLOCK_MAX, Block, BlockBuilder, BlockCursor, More, Op, checksum},
    compression::{Codec, Format, Packer, Stored},
    manifest::Manifest,
    name::{self, Order},
    run::{Index, RunFile, Span, decode, encode},
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
pub(crate) fn indexes() -> Vec<Vec<u8>> {
    let index = Index {
        format: Format::Tagged,
        sections: vec![(1, 0..2), (4, 2..5)],
        ends: vec![100, 200, 300, 400, 500],
        last: vec![10, 20, 3, 5, 5],
        spans: vec![Span { block: 3, name: b"name"[..].into() }],
        cleared: vec![(1, b"window"[..].into())],
        entries: 77,
    };
    let mut bytes = 500u16.to_le_bytes().to_vec();
    encode(&index, &mut bytes);
    vec![bytes]
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
    let run = RunFile {
        file: FileId(3),
        length: 700,
        checksum: 1,
        index_at: 500,
        index_bytes: 136,
        index_sum: 2,
        hiding: 9,
        first_rank: 0,
        end_rank: 4 << 48,
    };
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
