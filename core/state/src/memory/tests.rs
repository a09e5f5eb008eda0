//! The memory backend passes the contract, however many pages it may copy.

extern crate std;

use std::boxed::Box;

use millstream_memory::ManagedMemory;
use millstream_segments::HeapArena;

use crate::{ManagedLease, MemoryBackend, MemoryConfig, Owned, contract};

fn open(owned: Owned, bytes: u64, copies_max: u32) -> MemoryBackend<ManagedLease> {
    let segments = bytes as usize / (32 << 10);
    let memory = ManagedMemory::new(Box::new(HeapArena::new(32 << 10, segments).expect("memory")));
    let owner = memory.open("test (1/1)").expect("an owner");
    let lease = ManagedLease::new(memory, owner);
    MemoryBackend::new(lease, owned, contract::hash, MemoryConfig { copies_max })
}

#[test]
fn contract_without_copies() {
    contract::check(&|owned, bytes| open(owned, bytes, 0));
}

#[test]
fn contract_with_few_copies() {
    contract::check(&|owned, bytes| open(owned, bytes, 3));
}

#[test]
fn contract_with_many_copies() {
    contract::check(&|owned, bytes| open(owned, bytes, u32::MAX));
}
