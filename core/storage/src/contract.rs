//! The contract of [`Storage`](crate::Storage), as a suite that an implementation runs against
//! itself. Everything panics where the contract is broken.

use alloc::vec::Vec;

use millstream_memory::{Buffer, ManagedMemory, Segment, managed::Owner};

use crate::{BlockingStorage, Cause, Completion, FileId, Lent, Operation, Request};

/// Runs the whole suite, each part against a storage of its own.
///
/// `memory` has at least 64 pages that nobody else uses.
///
/// # Panics
///
/// Where the contract is broken.
pub fn all<S: BlockingStorage>(open: impl Fn() -> S, memory: &ManagedMemory) {
    let owner = memory.open("storage contract").expect("the memory is open");
    let kit = Kit { memory, owner };
    let parts: [fn(&Kit<'_>, &mut S); 7] = [
        what_is_written_is_read,
        gaps_read_as_zero,
        reads_beyond_the_end_say_what_is_there,
        files_that_are_not_there_are_named,
        many_requests_complete_once_each,
        refusals_give_the_request_back,
        impossible_places_are_refused,
    ];
    for part in parts {
        let mut storage = open();
        part(&kit, &mut storage);
        while storage.wait().is_some() {}
        drop(storage);
        memory.verify_empty().expect("dropping a storage gives all memory back");
    }
    // Dropped in the middle of its work.
    let mut storage = open();
    create(&mut storage, FileId(1));
    for block in 0..8 {
        let data = kit.filled(block as u8);
        let _ = storage.submit(block, write(1, block * kit.page() as u64, data));
    }
    drop(storage);
    memory.verify_empty().expect("dropping a storage that works gives all memory back");
}

/// A storage that is full says so: [`Cause::Full`] or, for a limit of the process,
/// [`Cause::TooLarge`]; the memory comes back, and what fits can still be written.
///
/// `room` is how many pages fit, less than 32.
///
/// # Panics
///
/// Where the contract is broken.
pub fn full<S: BlockingStorage>(mut storage: S, memory: &ManagedMemory, room: u64) {
    let owner = memory.open("storage contract").expect("the memory is open");
    let kit = Kit { memory, owner };
    create(&mut storage, FileId(1));
    let mut refused = None;
    for block in 0..32 {
        let request = write(1, block * kit.page() as u64, kit.filled(1));
        let done = run(&mut storage, request);
        match done.result {
            Ok(()) => assert!(block < room, "block {block} does not fit into {room}"),
            Err(error) => {
                assert!(block >= room, "block {block} fits into {room}: {error}");
                refused = Some(error);
                break;
            }
        }
    }
    let error = refused.expect("the storage is full at last");
    assert!(matches!(error.cause, Cause::Full { .. } | Cause::TooLarge), "{error}");
    assert_eq!(error.operation, Operation::Write);
    assert!(error.offset >= room * kit.page() as u64, "{error}");
    let Lent::Read(segment) = run(&mut storage, read(1, 0, kit.page(), kit.segment())).lent else {
        panic!("a read gives its segment back");
    };
    assert!(segment.iter().all(|byte| *byte == 1), "what was written before is whole");
}

struct Kit<'a> {
    memory: &'a ManagedMemory,
    owner: Owner,
}

impl Kit<'_> {
    fn page(&self) -> usize {
        self.memory.page_size()
    }

    fn segment(&self) -> Segment {
        let mut pages = self.memory.allocate_pages(self.owner, 1).expect("64 pages are enough");
        pages.pop().expect("one page")
    }

    fn filled(&self, byte: u8) -> Buffer {
        let mut segment = self.segment();
        segment.fill(byte);
        let length = segment.len();
        segment.freeze(length)
    }
}

fn write(file: u64, offset: u64, data: Buffer) -> Request {
    Request::Write { file: FileId(file), offset, data }
}

fn read(file: u64, offset: u64, length: usize, into: Segment) -> Request {
    Request::Read { file: FileId(file), offset, length, into }
}

/// Submits, with patience, and waits for the completion.
fn run<S: BlockingStorage>(storage: &mut S, request: Request) -> Completion {
    assert_eq!(storage.in_flight(), 0);
    storage.submit(42, request).expect("a storage takes one request");
    assert_eq!(storage.in_flight(), 1);
    let done = storage.wait().expect("one request is in flight");
    assert_eq!((done.token, storage.in_flight()), (42, 0));
    assert!(storage.wait().is_none() && storage.poll().is_none(), "nothing is in flight");
    done
}

fn create<S: BlockingStorage>(storage: &mut S, file: FileId) {
    run(storage, Request::Create { file }).result.expect("a file can be created");
}

fn what_is_written_is_read<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    let page = kit.page() as u64;
    create(storage, FileId(1));
    // Not in order, not whole pages, and over what is there.
    for (offset, length, byte) in
        [(page, kit.page(), 2), (0, kit.page(), 1), (3, 5, 7), (2 * page, 9, 3)]
    {
        let request = write(1, offset, kit.filled(byte).slice(..length));
        let done = run(storage, request);
        done.result.expect("a write");
        assert!(matches!(done.lent, Lent::Written(data) if data.len() == length));
    }
    run(storage, Request::Sync { file: FileId(1) }).result.expect("a file can be synchronised");
    let mut content = Vec::new();
    for (offset, length) in [(0, kit.page()), (page, kit.page()), (2 * page, 9)] {
        let done = run(storage, read(1, offset, length, kit.segment()));
        done.result.expect("a read");
        let Lent::Read(segment) = done.lent else { panic!("a read gives its segment back") };
        content.extend_from_slice(&segment[..length]);
    }
    assert_eq!(&content[..9], [1, 1, 1, 7, 7, 7, 7, 7, 1]);
    assert!(content[9..kit.page()].iter().all(|byte| *byte == 1));
    assert!(content[kit.page()..2 * kit.page()].iter().all(|byte| *byte == 2));
    assert_eq!(&content[2 * kit.page()..], [3; 9]);
    run(storage, Request::Delete { file: FileId(1) }).result.expect("a file can be deleted");
    create(storage, FileId(1));
}

fn gaps_read_as_zero<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    create(storage, FileId(1));
    run(storage, write(1, 5 * kit.page() as u64, kit.filled(9))).result.expect("a write");
    let done = run(storage, read(1, 1, kit.page(), kit.segment()));
    done.result.expect("a read of a gap");
    assert!(matches!(done.lent, Lent::Read(segment) if segment.iter().all(|byte| *byte == 0)));
}

fn reads_beyond_the_end_say_what_is_there<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    create(storage, FileId(1));
    run(storage, write(1, 0, kit.filled(9).slice(..10))).result.expect("a write");
    for (offset, found) in [(0, 10), (4, 6), (10, 0), (1 << 40, 0)] {
        let error = run(storage, read(1, offset, 11, kit.segment())).result;
        let error = error.expect_err("eleven bytes are not there");
        assert_eq!(error.cause, Cause::EndOfFile { found }, "{error}");
        assert_eq!((error.operation, error.offset, error.length), (Operation::Read, offset, 11));
        assert!(!error.path.is_empty());
    }
}

fn files_that_are_not_there_are_named<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    let requests = [
        write(3, 0, kit.filled(1)),
        read(3, 0, 1, kit.segment()),
        Request::Sync { file: FileId(3) },
        Request::Delete { file: FileId(3) },
    ];
    for request in requests {
        let operation = request.operation();
        let error = run(storage, request).result.expect_err("there is no file 3");
        assert_eq!((error.operation, &error.cause), (operation, &Cause::NoSuchFile), "{error}");
    }
    create(storage, FileId(3));
    let twice = run(storage, Request::Create { file: FileId(3) }).result;
    assert_eq!(twice.expect_err("it exists").cause, Cause::Exists);
}

fn many_requests_complete_once_each<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    const BLOCKS: u64 = 200;
    create(storage, FileId(1));
    let page = kit.page() as u64;
    for reading in [false, true] {
        let mut seen = alloc::vec![false; BLOCKS as usize];
        let mut next = 0;
        let mut open = 0;
        while open > 0 || next < BLOCKS {
            while next < BLOCKS && open < 48 {
                let request = if reading {
                    read(1, next * page, kit.page(), kit.segment())
                } else {
                    write(1, next * page, kit.filled(next as u8))
                };
                // Refused or not: what was refused is tried again.
                if storage.submit(next, request).is_err() {
                    assert!(open > 0, "a storage takes one request at least");
                    break;
                }
                (next, open) = (next + 1, open + 1);
            }
            let done = storage.wait().expect("requests are in flight");
            done.result.expect("all blocks are there");
            assert!(!core::mem::replace(&mut seen[done.token as usize], true), "once");
            if let Lent::Read(segment) = done.lent {
                assert!(segment.iter().all(|byte| *byte == done.token as u8));
            }
            open -= 1;
        }
        assert!(seen.iter().all(|seen| *seen));
    }
}

fn refusals_give_the_request_back<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    create(storage, FileId(1));
    let data = kit.filled(5);
    let mut accepted = 0;
    let refused = loop {
        match storage.submit(accepted, write(1, accepted * 8, data.slice(..8))) {
            Ok(()) => accepted += 1,
            Err(refused) => break refused.request,
        }
        assert!(accepted < 1 << 16, "a storage has a limit");
    };
    assert_eq!((refused.place(), refused.file()), ((accepted * 8, 8), FileId(1)));
    storage.wait().expect("some are in flight").result.expect("a write");
    storage.submit(accepted, refused).expect("there is room after a completion");
    while let Some(done) = storage.wait() {
        done.result.expect("a write");
    }
    let done = run(storage, read(1, accepted * 8, 8, kit.segment()));
    done.result.expect("the last write is there, too");
}

fn impossible_places_are_refused<S: BlockingStorage>(kit: &Kit<'_>, storage: &mut S) {
    create(storage, FileId(1));
    let beyond = [
        write(1, u64::MAX - 3, kit.filled(1)),
        read(1, u64::MAX - 3, 8, kit.segment()),
        read(1, 0, kit.page() + 1, kit.segment()),
    ];
    for request in beyond {
        let error = run(storage, request).result.expect_err("that is not possible");
        assert!(matches!(error.cause, Cause::Invalid { .. }), "{error}");
    }
}
