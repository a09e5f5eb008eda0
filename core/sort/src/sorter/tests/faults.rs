//! Disks that fail, memory that dwindles, and the order of requests.

use super::*;

#[test]
fn a_full_disk_and_a_broken_one_are_errors_and_memory_comes_back() {
    let kinds = [
        Faults { capacity: Some(100_000), ..Faults::default() },
        Faults { writes: Some(20), ..Faults::default() },
        Faults { reads: Some(3), ..Faults::default() },
    ];
    for (kind, faults) in kinds.into_iter().enumerate() {
        let memory = memory(16);
        let mut storage = MemoryStorage::new().faults(faults).shuffled(5);
        let mut sorter = Sorter::new(Fixed::<2, 1>, lease(&memory), SortConfig::new(16)).unwrap();
        let error = sort_with(&mut sorter, &mut storage, &pairs(20_000, u64::MAX), |_| ());
        let error = error.unwrap_err();
        let SortError::Storage(StorageError { cause, .. }) = &error else { panic!("{error}") };
        assert_eq!(matches!(cause, Cause::Full { .. }), kind == 0, "{error}");
        assert_eq!(sorter.run(&mut storage, 1), Err(error.clone()), "errors stay");
        assert_eq!(sorter.next(&mut storage), Err(error.clone()));
        sorter.close(&mut storage);
        settle(&mut sorter, &mut storage);
        // A create that was still in flight may have come after the delete; nothing else is left.
        assert!(storage.files() <= 1);
        drop(sorter);
        memory.verify_empty().unwrap();
    }
}

#[test]
fn damaged_files_are_errors() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |content| content[..4].fill(0xFF),
        |content| content[..4].fill(0),
        |content| content[..4].copy_from_slice(&24u32.to_le_bytes()),
        |content| content[8..12].fill(0xFF),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let memory = memory(16);
        let mut storage = MemoryStorage::new();
        let mut sorter = Sorter::new(Rows(Bytewise), lease(&memory), SortConfig::new(16)).unwrap();
        for i in 0..20_000u32 {
            while sorter.push(&i.to_be_bytes()).unwrap() == Push::Full {
                run_until(&mut sorter, &mut storage, Progress::Accepts).unwrap();
            }
        }
        settle(&mut sorter, &mut storage);
        damage(storage.content(FileId(0)).unwrap());
        let error = sort_with(&mut sorter, &mut storage, &[[9u8; 4]; 0], |_| ()).unwrap_err();
        match number {
            2 => assert!(matches!(error, SortError::Damaged { .. } | SortError::Lost { .. })),
            _ => assert_eq!(error, SortError::Damaged { file: FileId(0), block: 0 }),
        }
    }
}

/// Logs what is submitted.
struct Logging<'a>(&'a mut MemoryStorage, &'a mut Vec<std::string::String>);

impl Submit for Logging<'_> {
    fn submit(&mut self, token: u64, request: Request) -> Result<(), Refused> {
        self.1.push(std::format!("{token} {:?} {:?}", request.operation(), request.place()));
        self.0.submit(token, request)
    }
}

#[test]
fn the_same_input_gives_the_same_requests() {
    let log = || {
        let memory = memory(12);
        let (mut storage, mut log) = (MemoryStorage::new().shuffled(9), Vec::new());
        let mut sorter = Sorter::new(Fixed::<2, 1>, lease(&memory), SortConfig::new(12)).unwrap();
        for pair in pairs(9000, u64::MAX) {
            while sorter.push(&pair.0).unwrap() == Push::Full {
                let mut io = Logging(&mut storage, &mut log);
                if sorter.run(&mut io, 3).unwrap() == Progress::Waits {
                    sorter.complete(storage.poll().unwrap());
                }
            }
        }
        log
    };
    let first = log();
    assert!(first.len() > 30);
    assert_eq!(first, log());
}

/// Memory that is refused from some time on, as when others have taken it.
struct Dwindling {
    inner: ManagedLease,
    left: Cell<usize>,
}

impl Lease for Dwindling {
    fn segment_size(&self) -> usize {
        self.inner.segment_size()
    }

    fn lease(&mut self) -> Option<Segment> {
        self.left.set(self.left.get().checked_sub(1)?);
        self.inner.lease()
    }
}

#[test]
fn memory_that_others_have_taken_is_spilled_for() {
    let memory = memory(100);
    let lease = Dwindling { inner: lease(&memory), left: Cell::new(11) };
    let mut sorter = Sorter::new(Fixed::<2, 1>, lease, SortConfig::new(100)).unwrap();
    let mut storage = MemoryStorage::new();
    let mut pushed = 0;
    while sorter.push(&[pushed, 0]).unwrap() == Push::Taken {
        pushed += 1;
    }
    assert!((PAGE as u64 / 16 * 4..PAGE as u64 / 16 * 8).contains(&pushed), "{pushed}");
    while sorter.run(&mut storage, 1).unwrap() != Progress::Accepts {
        if let Some(completion) = storage.poll() {
            sorter.complete(completion);
        }
    }
    assert_eq!(sorter.metrics().runs, 1);
}
