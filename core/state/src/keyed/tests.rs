//! Typed handles on the memory backend, with and without a time to live.

extern crate std;

use std::{boxed::Box, format, string::String, vec, vec::Vec};

use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;

use super::*;
use crate::{
    Backend, Keys, Kind, ManagedLease, MemoryBackend, MemoryConfig, Owned, StateError,
    contract::{all, hash},
    restore,
    ttl::{Cleanup, TtlUpdate, TtlVisibility, clean_chunks},
};

type Memory = MemoryBackend<ManagedLease>;

fn backend(owned: Owned) -> Memory {
    let memory = ManagedMemory::new(Box::new(HeapArena::new(32 << 10, 256).expect("memory")));
    let owner = memory.open("test (1/1)").expect("an owner");
    let lease = ManagedLease::new(memory, owner);
    MemoryBackend::new(lease, owned, hash, MemoryConfig::default())
}

fn at<'a>(backend: &'a mut Memory, key: &'a [u8], now: i64) -> Access<'a, Memory> {
    Access { backend, key: Key { hash: hash(key), key, namespace: b"" }, now }
}

fn living(ttl: Ttl) -> Descriptor {
    Descriptor { ttl: Some(ttl), ..Descriptor::new("living") }
}

#[test]
fn values_of_any_size() {
    let mut backend = backend(all());
    let mut texts =
        ValueState::<(u32, String)>::register(&mut backend, &Descriptor::new("texts")).unwrap();
    let long = "long ".repeat(5000);
    for (key, text) in [("a", "short"), ("b", &long), ("a", &long), ("b", "")] {
        texts.set(&mut at(&mut backend, key.as_bytes(), 0), (9, text)).unwrap();
        let got = texts.get(&mut at(&mut backend, key.as_bytes(), 0)).unwrap();
        assert_eq!(got, Some((9, text.into())));
    }
    texts.clear(&mut at(&mut backend, b"a", 0)).unwrap();
    assert_eq!(texts.get(&mut at(&mut backend, b"a", 0)).unwrap(), None);
}

#[test]
fn fixed_values_are_changed_in_place() {
    let mut backend = backend(all());
    let descriptor = Descriptor { key: Some(8), ..Descriptor::new("counts") };
    let mut counts = ValueState::<(u64, Option<i32>)>::register(&mut backend, &descriptor).unwrap();
    let bytes: Vec<u8> = (0..500u64).flat_map(|key| (key % 100).to_le_bytes()).collect();
    let hashes: Vec<u64> = bytes.chunks(8).map(hash).collect();
    let keys = Keys::fixed(&hashes, 8, &bytes);
    for _ in 0..3 {
        let mut calls = 0;
        counts
            .update(&mut backend, &keys, 0, (10, None), |index, mut row| {
                assert_eq!(index, calls);
                calls += 1;
                row.set_fixed(1, (index as i32).to_le_bytes());
            })
            .unwrap();
        assert_eq!(calls, 500);
    }
    let key = 42u64.to_le_bytes();
    let got = counts.get(&mut at(&mut backend, &key, 0)).unwrap();
    assert_eq!(got, Some((10, Some(442))));
    assert_eq!(backend.entries(counts.id()), 100);
}

#[test]
fn lists_reduce_and_aggregate() {
    struct Mean;
    impl AggregateFunction for Mean {
        type In = i64;
        type Accumulator = (i64, u32);
        type Out = f64;

        fn create(&self) -> (i64, u32) {
            (0, 0)
        }

        fn add(&self, (sum, count): (i64, u32), value: i64) -> (i64, u32) {
            (sum + value, count + 1)
        }

        fn result(&self, (sum, count): (i64, u32)) -> f64 {
            sum as f64 / f64::from(count)
        }
    }
    let mut backend = backend(all());
    let mut list =
        ListState::<(String, u8)>::register(&mut backend, &Descriptor::new("list")).unwrap();
    let mut mean =
        AggregatingState::register(&mut backend, &Descriptor::new("mean"), Mean).unwrap();
    let longest = |a: &str, b: &str| String::from(if b.len() > a.len() { b } else { a });
    let mut longest =
        ReducingState::<String, _>::register(&mut backend, &Descriptor::new("max"), longest)
            .unwrap();
    let mut access = at(&mut backend, b"key", 0);
    assert_eq!(mean.get(&mut access).unwrap(), None);
    let texts: Vec<_> = (0..400).map(|i| ".".repeat(i * 37 % 101)).collect();
    for (i, text) in texts.iter().enumerate() {
        list.add(&mut access, (text, i as u8)).unwrap();
        mean.add(&mut access, i as i64).unwrap();
        longest.add(&mut access, text).unwrap();
    }
    let mut got = Vec::new();
    assert!(list.read(&mut access, |(text, _)| got.push(String::from(text))).unwrap());
    assert_eq!(got, texts);
    assert_eq!(mean.get(&mut access).unwrap(), Some(199.5));
    assert_eq!(longest.get(&mut access).unwrap().map(|text| text.len()), Some(100));
    list.set(&mut access, [("only", 1)]).unwrap();
    got.clear();
    list.read(&mut access, |(text, _)| got.push(text.into())).unwrap();
    assert_eq!(got, ["only"]);
    list.clear(&mut access).unwrap();
    mean.clear(&mut access).unwrap();
    longest.clear(&mut access).unwrap();
    assert!(!list.read(&mut access, |_| {}).unwrap());
    assert_eq!(backend.entries(list.id()) + backend.entries(mean.id()), 0);
}

#[test]
fn maps_are_in_the_order_of_their_keys() {
    let mut backend = backend(all());
    let descriptor = Descriptor::new("map");
    let mut map = MapState::<i32, String>::register(&mut backend, &descriptor).unwrap();
    let mut access = at(&mut backend, b"key", 0);
    for key in (0..1000).map(|number| number * 7919 % 1000 - 500) {
        map.put(&mut access, key, &format!("of {key}")).unwrap();
    }
    assert_eq!(map.get(&mut access, -12).unwrap(), Some("of -12".into()));
    map.remove(&mut access, -12).unwrap();
    assert_eq!(map.get(&mut access, -12).unwrap(), None);
    let mut keys = Vec::new();
    map.scan(&access, Some(-14), |key, value| {
        assert_eq!(value, format!("of {key}"));
        keys.push(key);
        keys.len() < 4
    })
    .unwrap();
    assert_eq!(keys, [-14, -13, -11, -10]);
    let mut all = Vec::new();
    map.scan(&access, None, |key, _| {
        all.push(key);
        true
    })
    .unwrap();
    assert!(all.into_iter().eq((-500..500).filter(|key| *key != -12)));
    map.clear(&mut access).unwrap();
    assert_eq!(map.get(&mut access, 3).unwrap(), None);
}

#[test]
fn what_expired_is_never_seen() {
    let mut backend = backend(all());
    let mut value = ValueState::<u64>::register(&mut backend, &living(Ttl::new(100))).unwrap();
    value.set(&mut at(&mut backend, b"k", 1000), 7).unwrap();
    assert_eq!(value.get(&mut at(&mut backend, b"k", 1099)).unwrap(), Some(7));
    // Reading is no use, and at the end of its time it is over.
    assert_eq!(value.get(&mut at(&mut backend, b"k", 1100)).unwrap(), None);
    assert_eq!(backend.entries(value.id()), 0, "it is removed when it is seen");
    value.set(&mut at(&mut backend, b"k", 2000), 7).unwrap();
    let key = Key { hash: hash(b"k"), key: b"k", namespace: b"" };
    let mut add = |backend: &mut Memory, now| {
        let add =
            |_, mut row: millstream_data::row::RowMut<'_>| row.set_fixed(0, 9u64.to_le_bytes());
        value.update(backend, &key.batch(), now, 1, add).unwrap();
        value.get(&mut at(backend, b"k", now)).unwrap()
    };
    assert_eq!(add(&mut backend, 2050), Some(9));
    assert_eq!(add(&mut backend, 2149), Some(9));
    let before = value.get(&mut at(&mut backend, b"k", 2248)).unwrap();
    assert_eq!(before, Some(9), "writing in place is a use");
    value.set(&mut at(&mut backend, b"k", 3000), 7).unwrap();
    value.update(&mut backend, &key.batch(), 3090, 1, |_, _| {}).unwrap();
    let before = value.get(&mut at(&mut backend, b"k", 3189)).unwrap();
    assert_eq!(before, Some(7), "even if nothing changes");
    let mut seen = Vec::new();
    let untouched = |index, _: millstream_data::row::RowMut<'_>| seen.push(index);
    value.update(&mut backend, &key.batch(), 3400, 1, untouched).unwrap();
    let after = value.get(&mut at(&mut backend, b"k", 3400)).unwrap();
    assert_eq!((after, seen), (Some(1), vec![0]), "what expired is as if it were not there");
}

#[test]
fn reading_is_a_use_if_wanted_and_the_dead_may_be_seen() {
    let mut backend = backend(all());
    let ttl = Ttl { update: TtlUpdate::OnReadAndWrite, ..Ttl::new(100) };
    let mut value = ValueState::<String>::register(&mut backend, &living(ttl)).unwrap();
    let ghosts = Ttl { visibility: TtlVisibility::ReturnExpiredIfNotCleanedUp, ..Ttl::new(100) };
    let descriptor = Descriptor { name: "ghosts".into(), ..living(ghosts) };
    let mut ghost = ListState::<u8>::register(&mut backend, &descriptor).unwrap();
    let descriptor = Descriptor { name: "list".into(), ..living(ttl) };
    let mut list = ListState::<String>::register(&mut backend, &descriptor).unwrap();
    let descriptor = Descriptor { name: "map".into(), ..living(ttl) };
    let mut map = MapState::<u8, u8>::register(&mut backend, &descriptor).unwrap();
    let mut access = at(&mut backend, b"k", 0);
    value.set(&mut access, "a").unwrap();
    ghost.add(&mut access, 5).unwrap();
    list.add(&mut access, "b").unwrap();
    map.put(&mut access, 1, 2).unwrap();
    for now in [60, 120, 180] {
        access.now = now;
        assert_eq!(value.get(&mut access).unwrap(), Some("a".into()));
        assert!(list.read(&mut access, |text| assert_eq!(text, "b")).unwrap());
        assert_eq!(map.get(&mut access, 1).unwrap(), Some(2));
        assert!(ghost.read(&mut access, |number| assert_eq!(number, 5)).unwrap());
    }
    list.add(&mut access, "late").unwrap();
    access.now = 280;
    assert_eq!(value.get(&mut access).unwrap(), None);
    assert!(!list.read(&mut access, |_| {}).unwrap());
    assert_eq!(map.get(&mut access, 1).unwrap(), None);
    assert!(ghost.read(&mut access, |_| {}).unwrap());
}

/// A value, list and map for each of 200 keys, half of it written late.
fn half_expired(backend: &mut Memory) -> [(crate::StateId, Ttl); 3] {
    let ttl = Ttl::new(100);
    let mut value = ValueState::<u64>::register(backend, &living(ttl)).unwrap();
    let named = |name: &str| Descriptor { name: name.into(), ..living(ttl) };
    let mut list = ListState::<String>::register(backend, &named("list")).unwrap();
    let mut map = MapState::<u32, u8>::register(backend, &named("map")).unwrap();
    for number in 0..200u64 {
        let key = number.to_le_bytes();
        let mut access = at(backend, &key, (number % 2 * 50) as i64);
        value.set(&mut access, number).unwrap();
        for part in 0..20 {
            access.now = i64::from(part % 2) * 50;
            list.add(&mut access, &format!("{part}")).unwrap();
            map.put(&mut access, part, 1).unwrap();
        }
    }
    [value.id(), list.id(), map.id()].map(|id| (id, ttl))
}

/// Entries, elements and map entries.
fn sizes(backend: &Memory, states: &[(crate::StateId, Ttl); 3]) -> [usize; 3] {
    let (mut elements, mut entries, mut bytes) = (0, 0, Vec::new());
    for number in 0..200u64 {
        let key = number.to_le_bytes();
        let key = Key { hash: hash(&key), key: &key, namespace: b"" };
        crate::ttl::read(backend, states[1].0, &key, &mut bytes).unwrap();
        elements += crate::list::elements(&bytes, None).count();
        let count = &mut |_: &[u8], _| {
            entries += 1;
            true
        };
        backend.scan_entries(states[2].0, &key, &[], count).unwrap();
    }
    [backend.entries(states[0].0) as usize, elements, entries]
}

#[test]
fn cleanups_and_snapshots_leave_out_what_expired() {
    let mut first = backend(all());
    let states = half_expired(&mut first);
    assert_eq!(sizes(&first, &states), [200, 4000, 4000]);

    let mut snapshot = Vec::new();
    first.open_snapshot().unwrap();
    while first.next_chunk(&mut snapshot).expect("memory") {}
    for (now, expected) in [(0, [200, 4000, 4000]), (120, [100, 2000, 2000]), (999, [0, 0, 0])] {
        let mut clean = Vec::new();
        let living = |number: u16| {
            let (id, ttl) = states[usize::from(number)];
            Some((first.spec(id)?, ttl))
        };
        clean_chunks(&snapshot, living, now, &mut clean).unwrap();
        assert_eq!(clean.is_empty(), now == 999);
        let mut second = backend(all());
        half_expired(&mut second);
        for (id, _) in states {
            for number in 0..200u64 {
                let key = number.to_le_bytes();
                let key = Key { hash: hash(&key), key: &key, namespace: b"" };
                second.remove(id, &key.batch()).unwrap();
            }
        }
        restore(&mut second, all(), hash, &states.map(|(id, _)| id), &clean).unwrap();
        assert_eq!(sizes(&second, &states), expected, "at {now}");
    }

    for (id, ttl) in states {
        let mut cleanup = Cleanup::new(id, ttl, all(), hash);
        for _ in 0..3000 {
            cleanup.step(&mut first, 120).unwrap();
        }
    }
    assert_eq!(sizes(&first, &states), [100, 2000, 2000]);
}

#[test]
fn rows_of_another_schema_are_refused() {
    let mut backend = backend(all());
    let mut texts = ValueState::<String>::register(&mut backend, &Descriptor::new("t")).unwrap();
    let key = Key { hash: hash(b"k"), key: b"k", namespace: b"" };
    backend.put(texts.id(), &key.batch(), crate::Column::Same(&[1, 2, 3])).unwrap();
    let damaged = texts.get(&mut at(&mut backend, b"k", 0));
    assert!(matches!(damaged, Err(StateError::Damaged { .. })), "{damaged:?}");
    assert_eq!(backend.spec(texts.id()).map(|spec| spec.kind), Some(Kind::Value));
}
