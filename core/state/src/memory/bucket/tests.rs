//! A page against a map.

extern crate std;

use std::{collections::BTreeMap, vec, vec::Vec};

use proptest::{collection, prelude::*};

use super::*;

/// The hash of a key, which is all that places depend on.
fn position(key: &[u8], _namespace: &[u8]) -> u64 {
    let word = key.iter().fold(7_u64, |word, byte| word * 31 + u64::from(*byte));
    word.wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// What happens to the entry of a key: it gets a value of so many bytes, with so much more room, or goes.
#[derive(Clone, Copy, Debug)]
enum Does {
    Put(usize, usize),
    Goes,
}

fn does() -> impl Strategy<Value = (u8, Does)> {
    let put = (0_usize..700, 0_usize..90).prop_map(|(bytes, more)| Does::Put(bytes, more));
    (0_u8..9, prop_oneof![5 => put, 1 => Just(Does::Goes)])
}

proptest! {
    #[test]
    fn entries_are_what_was_put_and_no_byte_is_lost(steps in collection::vec(does(), 1..200)) {
        let (mut page, shape) = ([0xAA; PAGE], Shape::variable());
        clear(&mut page, 3, 0);
        let mut model = BTreeMap::<Vec<u8>, (Vec<u8>, usize)>::new();
        for (number, (key, does)) in steps.into_iter().enumerate() {
            let key = vec![key; usize::from(key)];
            let at = position(&key, &[]);
            let is = |entry| content(&page, &shape, entry).key == key;
            let found = find(&page, class(&page), at, is);
            prop_assert_eq!(found.is_some(), model.contains_key(&key));
            match (does, found) {
                (Does::Put(bytes, more), found) => {
                    let value = vec![number as u8; bytes];
                    let used: usize = model.values().map(|(_, room)| room).sum();
                    let names: usize = model.keys().map(|key| ENTRY + key.len() + 2).sum();
                    let old = model.get(&key).map_or(0, |(_, room)| *room);
                    let needed = ENTRY + key.len() + bytes + more;
                    let left = PAGE - shape.base - used - names + old;
                    let done = match found {
                        Some((_, entry)) => {
                            move_within(&mut page, &shape, entry, &value, (bytes + more, false))
                        }
                        None => {
                            let room = bytes + more;
                            let new =
                                Content { key: &key, namespace: &[], value: &value, room, chained: false };
                            let fits = make_room(&mut page, &shape, &new, position);
                            if fits {
                                insert(&mut page, &shape, at, &new);
                            }
                            fits
                        }
                    };
                    // An entry moves beside its own key, a new one needs two bytes for its place.
                    let place = if found.is_some() { 0 } else { 2 };
                    prop_assert_eq!(done, left >= needed + place);
                    if done {
                        model.insert(key, (value, bytes + more));
                    }
                }
                (Does::Goes, Some(found)) => {
                    remove(&mut page, &shape, found, position);
                    model.remove(&key);
                }
                (Does::Goes, None) => {}
            }
            prop_assert_eq!(count(&page), model.len());
            for entry in 0..model.len() {
                let Content { key, value, room, .. } = content(&page, &shape, entry);
                prop_assert_eq!(model.get(key), Some(&(value.to_vec(), room)));
            }
            let entries = (0..model.len()).map(|entry| content(&page, &shape, entry).bytes());
            let used = PAGE - short(&page, HEAP);
            prop_assert_eq!(used, entries.sum::<usize>() + short(&page, DEAD));
        }
    }
}
