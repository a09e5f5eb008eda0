//! The storage in memory keeps the contract that it is the reference of.

use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;
use millstream_storage::{
    Cause, Faults, FileId, Lent, MemoryStorage, Request, Storage, Submit, contract,
};

fn memory() -> ManagedMemory {
    ManagedMemory::new(Box::new(HeapArena::new(4096, 64).unwrap()))
}

#[test]
fn in_order() {
    contract::all(MemoryStorage::new, &memory());
}

#[test]
fn in_any_order_and_in_small_pieces() {
    for seed in 0..20 {
        let faults = Faults { chunk: Some(100), ..Faults::default() };
        contract::all(
            || {
                let storage = MemoryStorage::new().shuffled(seed).faults(faults.clone());
                storage.in_flight_max(1 + seed as usize)
            },
            &memory(),
        );
    }
}

#[test]
fn full() {
    for (chunk, room) in [(None, 3), (Some(1000), 3), (Some(4096), 1)] {
        let faults = Faults { capacity: Some(room * 4096 + 5), chunk, ..Faults::default() };
        contract::full(MemoryStorage::new().faults(faults), &memory(), room);
    }
}

#[test]
fn injected_faults_name_the_place() {
    let memory = memory();
    let owner = memory.open("test").unwrap();
    let faults = Faults { reads: Some(0), writes: Some(1), ..Faults::default() };
    let mut storage = MemoryStorage::new().faults(faults);
    let file = FileId(4);
    let mut run = |request| {
        storage.submit(0, request).unwrap();
        storage.poll().unwrap()
    };
    let segment = || memory.allocate_pages(owner, 1).unwrap().pop().unwrap();
    assert!(run(Request::Create { file }).result.is_ok());
    assert!(run(Request::Write { file, offset: 0, data: segment().freeze(9) }).result.is_ok());
    let second = run(Request::Write { file, offset: 9, data: segment().freeze(9) });
    assert!(matches!(second.lent, Lent::Written(_)), "the memory comes back");
    let error = second.result.unwrap_err();
    assert!(matches!(error.cause, Cause::System { errno: Some(5), .. }));
    assert_eq!(
        error.to_string(),
        "cannot write 9 bytes at offset 9 of memory:4: an injected fault (errno 5)"
    );
    let read = run(Request::Read { file, offset: 0, length: 9, into: segment() });
    assert!(read.result.is_err() && matches!(read.lent, Lent::Read(_)));
}
