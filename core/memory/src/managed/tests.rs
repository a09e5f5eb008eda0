//! Managed memory: books, refusals, leaks.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec;

use super::{Holding, ManagedError, ManagedMemory, Owner};
use crate::segment::test_arena::TestArena;

fn managed(pages: usize) -> ManagedMemory {
    ManagedMemory::new(Box::new(TestArena::new(pages)))
}

#[test]
fn pages_and_reservations_share_one_budget() {
    let memory = managed(8);
    let (sort, state) = (memory.open("sort").unwrap(), memory.open("state").unwrap());
    let pages = memory.allocate_pages(sort, 5).unwrap();
    memory.reserve(state, 2 * 4096 + 1).unwrap();
    assert_eq!(memory.free(), 4095);
    assert!(memory.allocate_pages(sort, 1).is_err(), "a page needs 4096 bytes");
    memory.reserve(state, 4095).unwrap();
    assert!(memory.reserve(state, 1).is_err());
    memory.release_reservation(state, 4096).unwrap();
    drop(pages);
    assert_eq!(memory.free(), 6 * 4096);
    assert_eq!(memory.allocate_pages(state, 6).unwrap().len(), 6);
}

#[test]
fn all_pages_or_none() {
    let memory = managed(4);
    let sort = memory.open("sort").unwrap();
    let mut pages = memory.allocate_pages(sort, 2).unwrap();
    assert!(memory.allocate_pages_into(sort, 3, &mut pages).is_err());
    assert_eq!((pages.len(), memory.free()), (2, 2 * 4096));
    memory.allocate_pages_into(sort, 2, &mut pages).unwrap();
    assert_eq!((pages.len(), memory.free()), (4, 0));
    assert!(memory.allocate_pages(sort, usize::MAX).is_err());
}

#[test]
fn a_refusal_names_the_holders() {
    let memory = managed(8);
    let names = ["a", "b", "c", "d", "e"];
    let owners = names.map(|name| memory.open(name).unwrap());
    let _held = owners.map(|owner| memory.allocate_pages(owner, 1).unwrap());
    memory.reserve(owners[2], 100).unwrap();
    let error = memory.allocate_pages(owners[0], 4).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`a` asked for 16384 bytes of managed memory, but only 12188 of 32768 bytes are free (held \
         by `c`: 4196 bytes, `a`: 4096 bytes, `b`: 4096 bytes, `d`: 4096 bytes and 1 more); raise \
         `memory.managed.size` or `memory.managed.fraction`, or lower the parallelism"
    );
}

#[test]
fn what_was_not_taken_cannot_be_given_back() {
    let memory = managed(4);
    let (one, other) = (memory.open("one").unwrap(), memory.open("other").unwrap());
    memory.reserve(one, 10).unwrap();
    let error = memory.release_reservation(one, 11).unwrap_err();
    assert!(matches!(error, ManagedError::NotReserved { released: 11, reserved: 10, .. }));
    let pages = memory.allocate_pages(one, 2).unwrap();
    let error = memory.release(other, pages).unwrap_err();
    assert_eq!(error, ManagedError::ForeignPage { owner: String::from("other"), foreign: 2 });
    let pages = memory.allocate_pages(one, 2).unwrap();
    memory.release(one, pages).unwrap();
    assert_eq!(memory.free(), 4 * 4096 - 10, "pages come back in any case");
    let error = memory.reserve(Owner(77), 1).unwrap_err();
    assert_eq!(error, ManagedError::UnknownOwner { id: 77 });
}

#[test]
fn a_shutdown_reports_leaks_by_owner() {
    let memory = managed(4);
    let (sort, state) = (memory.open("sort (1/2)").unwrap(), memory.open("state").unwrap());
    let mut pages = memory.allocate_pages(sort, 2).unwrap();
    memory.reserve(state, 7).unwrap();
    let report = memory.shut_down().unwrap_err();
    assert_eq!(
        report.to_string(),
        "managed memory was not given back: `sort (1/2)` holds 2 pages of 4096 bytes and 0 \
         reserved bytes, `state` holds 0 pages of 4096 bytes and 7 reserved bytes; each must drop \
         its pages and end its reservations when it closes"
    );
    assert_eq!(memory.allocate_pages(sort, 1).unwrap_err(), ManagedError::ShutDown);
    assert_eq!(memory.open("late").unwrap_err(), ManagedError::ShutDown);
    pages.pop();
    let holding = memory.release_all(sort).unwrap();
    assert_eq!(holding, Holding { owner: "sort (1/2)".to_string(), pages: 1, reserved: 0 });
    memory.release_all(state).unwrap();
    assert_eq!(memory.verify_empty().unwrap_err().leaks, vec![holding]);
    pages.pop();
    memory.verify_empty().unwrap();
    memory.release_all(sort).unwrap();
    assert_eq!(memory.release_all(sort).unwrap_err(), ManagedError::UnknownOwner { id: 0 });
}
