//! The storage in memory keeps the contract that it is the reference of, and fails as it is told.

use std::{cell::RefCell, collections::BTreeMap};

use millstream_checkpoint::{
    CheckpointStorage, Manifest, MemoryStorage, contract,
    manifest::Purpose,
    storage::{Faults, StateFile, StorageError},
};

#[test]
fn it_keeps_the_contract() {
    let storages: RefCell<BTreeMap<String, MemoryStorage>> = RefCell::default();
    let open = |name: &str| storages.borrow_mut().entry(name.into()).or_default().clone();
    contract::all(open, |name, checkpoint, file, how| open(name).damage(checkpoint, file, how));
}

#[test]
fn it_can_be_full() {
    let storage = MemoryStorage::new();
    storage.set_faults(Faults { capacity: Some(20_000), ..Faults::default() });
    let error = contract::full(&storage, 20_000);
    assert_eq!(
        error.to_string(),
        "cannot write memory:chk-1/large: no space is left in memory; free space there, keep fewer \
         checkpoints, or use a directory that has more"
    );
}

fn take(storage: &MemoryStorage, checkpoint: u64) -> Result<(), StorageError> {
    storage.begin(checkpoint)?;
    let mut files = Vec::new();
    for name in ["a", "b"] {
        let mut file = storage.create(checkpoint, name)?;
        for piece in [[1; 100], [2; 100]] {
            file.append(&piece)?;
        }
        files.push(file.finish()?);
    }
    storage.complete(&Manifest {
        checkpoint,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "test".into(),
        graph_hash: 0,
        files,
        operators: vec![],
    })
}

#[test]
fn whatever_fails_and_whatever_is_lost_the_checkpoint_before_remains() {
    let mut failed = 0;
    for change in 0.. {
        let mut is_over = false;
        for (torn, keep) in [(false, 0), (true, 0), (true, 1), (false, 2)] {
            let storage = MemoryStorage::new();
            take(&storage, 1).unwrap();
            let changes = Some(storage.changes() + change);
            storage.set_faults(Faults { changes, torn, capacity: None });
            let taken = take(&storage, 2);
            storage.set_faults(Faults::default());
            storage.lose_power(|length| match keep {
                0 => None,
                1 => Some(length / 2),
                _ => Some(length),
            });
            let latest = storage.latest().unwrap();
            let newest = latest.restored.unwrap().manifest.checkpoint;
            assert_eq!(newest, if taken.is_ok() { 2 } else { 1 }, "after {change} changes");
            assert!(latest.refused.is_empty(), "what is not complete is not there at all");
            storage.clean().unwrap();
            take(&storage, 3).unwrap();
            failed += u32::from(taken.is_err());
            is_over |= taken.is_ok();
        }
        if is_over {
            break;
        }
    }
    assert_eq!(failed, 13 * 4, "each change of a checkpoint has failed");
}
