//! What is built is read, and nothing else is.

extern crate std;

use std::{collections::BTreeMap, vec::Vec};

use millstream_state::Owned;
use proptest::{collection, prelude::*};

use super::*;
use crate::name::{self, Order};

fn order() -> Order {
    let owned = Owned { first: 0, end: 8, max_parallelism: 8 };
    Order::new(|key| hash::bytes(hash::SEED, key), owned)
}

/// Entries in order, by rank, name and piece.
type Entries = BTreeMap<(u64, Vec<u8>, u32), (Op, Vec<u8>)>;

fn built(entries: &Entries) -> Vec<u8> {
    let mut builder = BlockBuilder::default();
    for ((_, name, piece), (op, value)) in entries {
        assert!(builder.has_room(name, value));
        builder.push(name, *piece, *op, value);
    }
    let bytes = builder.finish().to_vec();
    assert!(bytes.len() + TAIL <= BLOCK_MAX);
    bytes
}

/// Up to 60 entries that fit a block.
fn entries() -> impl Strategy<Value = Entries> {
    let map_key = prop_oneof![Just(None), collection::vec(0..3u8, 0..3).prop_map(Some)];
    let name = (collection::vec(0..3u8, 0..3), collection::vec(0..2u8, 0..2), map_key);
    let op = prop_oneof![Just(Op::Whole), Just(Op::Add), Just(Op::Gone)];
    let entry = (name, 1..3u32, op, collection::vec(any::<u8>(), 0..20));
    collection::vec(entry, 0..60).prop_map(|list| {
        let mut entries = Entries::new();
        for ((key, namespace, map_key), pieces, op, value) in list {
            let mut bytes = Vec::new();
            name::write(&key, &namespace, map_key.as_deref(), &mut bytes);
            let rank = order().rank_of(&bytes).expect("a name");
            for piece in 0..pieces {
                entries.insert((rank, bytes.clone(), piece), (op, value.clone()));
            }
        }
        entries
    })
}

proptest! {
    #[test]
    fn what_is_built_is_read(entries in entries()) {
        let bytes = built(&entries);
        let block = Block::open(&bytes).unwrap();
        let mut cursor = BlockCursor::default();
        for ((_, name, piece), (op, value)) in &entries {
            prop_assert_eq!(cursor.advance(&block), Ok(true));
            prop_assert_eq!((cursor.name(), cursor.piece(), cursor.op()), (&**name, *piece, *op));
            prop_assert_eq!(block.value(cursor.value()), &**value);
        }
        prop_assert_eq!(cursor.advance(&block), Ok(false));
        // Each name, and one behind it that may be there or not.
        for (rank, name, _) in entries.keys() {
            for name in [name.clone(), [&**name, &[1][..]].concat()] {
                let first = entries.range((*rank, name.clone(), 0)..).next();
                let is = cursor.seek(&block, &order(), *rank, &name);
                prop_assert_eq!(is, Ok(first.is_some()));
                let found = block.find(&order(), *rank, &name).unwrap();
                let Some(((_, at, piece), (op, value))) = first else {
                    prop_assert_eq!(found, None);
                    continue;
                };
                prop_assert_eq!((cursor.name(), cursor.piece()), (&**at, *piece));
                prop_assert_eq!(found.is_some(), *at == name);
                let Some(found) = found else { continue };
                prop_assert_eq!((found.op, block.value(found.value)), (*op, &**value));
                let last = entries.last_key_value().map(|(last, _)| last);
                let more = if last == Some(&(*rank, name.clone(), 0)) {
                    More::InNextBlock
                } else if entries.contains_key(&(*rank, name.clone(), 1)) {
                    More::Here
                } else {
                    More::No
                };
                prop_assert_eq!(found.more, more);
            }
        }
    }
}

#[test]
fn the_longest_entry_fits_an_empty_block() {
    let (mut builder, name) = (BlockBuilder::default(), [7; name::NAME_MAX]);
    assert!(builder.has_room(&name, &[0; PIECE_MAX]));
    builder.push(&name, u32::MAX, Op::Whole, &[0; PIECE_MAX]);
    assert!(builder.finish().len() + TAIL <= BLOCK_MAX);
}

#[test]
fn the_format_never_changes() {
    // Stored in checkpoints.
    let mut builder = BlockBuilder::default();
    builder.push(b"\x01\0\0\0k", 0, Op::Whole, b"v");
    builder.push(b"\x01\0\0\0l", 3, Op::Add, b"");
    let bytes = builder.finish();
    let expected =
        [&[0, 0, 5, 1, 1, 0, 0, 0, b'k', b'v'][..], &[5, 4, 1, 3, 0, b'l'], &[0, 0, 1, 0]];
    assert_eq!(bytes, expected.concat());
}
