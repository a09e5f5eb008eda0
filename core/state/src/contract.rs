//! What every [`Backend`] must do: one suite for all of them.
//!
//! A backend passes if [`check`] returns. It is compared with a model in a `BTreeMap` after random
//! operations, while snapshots are taken, and restored with other key groups. A random case that
//! fails is printed, shrunk. A backend with files is [driven](Driven) where it waits.

extern crate std;

mod limits;
mod model;
mod operations;

use proptest::{
    collection, option,
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use std::{vec, vec::Vec};

use crate::{
    Backend, Keys, Kind, Lease, MemoryBackend, Owned, StateError, StateSpec, Stopped,
    restore::restore_driven,
};
use model::Model;
use operations::{Operation, World};

/// Key groups of the suite.
pub const MAX_PARALLELISM: u32 = 8;

/// The hash of the suite's keys.
pub fn hash(key: &[u8]) -> u64 {
    millstream_data::hash::bytes(millstream_data::hash::SEED, key)
}

/// How the suite goes on where a call [waits](StateError::Waits).
pub trait Driven: Backend {
    /// Whether what the budget has no room for goes to files: it is never used up, and what is written
    /// is not counted exactly.
    const SPILLS: bool = false;

    /// Lets the backend work, until the call that waits has what it waits for.
    fn drive(&mut self) {
        panic!("a backend without files waits for nothing");
    }
}

impl<L: Lease> Driven for MemoryBackend<L> {}

/// Calls until the backend does not wait any more.
pub(crate) fn patient<B: Driven, R>(
    backend: &mut B,
    mut call: impl FnMut(&mut B) -> Result<R, StateError>,
) -> Result<R, StateError> {
    loop {
        match call(backend) {
            Err(StateError::Waits) => backend.drive(),
            outcome => return outcome,
        }
    }
}

/// Calls for the keys of a batch until the backend does not wait any more; the call gets those that
/// were not served, and how many were.
pub(crate) fn patient_batch<B: Driven>(
    backend: &mut B,
    keys: &Keys<'_>,
    mut call: impl FnMut(&mut B, &Keys<'_>, usize) -> Result<(), Stopped>,
) -> Result<(), Stopped> {
    let mut done = 0;
    loop {
        match call(backend, &keys.skip(done), done) {
            Ok(()) => return Ok(()),
            Err(stopped) => {
                done += stopped.done;
                if stopped.error != StateError::Waits {
                    return Err(Stopped { done, ..stopped });
                }
                backend.drive();
            }
        }
    }
}

/// Appends the rest of a snapshot.
pub(crate) fn chunks<B: Driven>(backend: &mut B, out: &mut Vec<u8>) -> Result<(), StateError> {
    while patient(backend, |backend| backend.next_chunk(out))? {}
    Ok(())
}

/// Checks a backend. `open` makes an empty one for key groups, keyed by [`hash`], with a budget of so
/// many bytes.
///
/// # Panics
/// If the backend does something else than it must.
pub fn check<B: Driven>(open: &impl Fn(Owned, u64) -> B) {
    random(open, 150);
    limits::out_of_budget(open);
    limits::foreign_keys(open);
    limits::misuse(open);
    limits::long_values(open);
    limits::long_maps(open);
}

/// All key groups.
pub(crate) fn all() -> Owned {
    Owned { first: 0, end: MAX_PARALLELISM, max_parallelism: MAX_PARALLELISM }
}

/// A budget that is never used up.
pub(crate) const AMPLE: u64 = 64 << 20;

/// The states that random operations are done with, by number.
pub(crate) fn specs() -> Vec<StateSpec> {
    let spec = |name: &str, kind, key, namespace, value| StateSpec {
        name: name.into(),
        kind,
        key,
        namespace,
        value,
    };
    vec![
        spec("fixed", Kind::Value, Some(4), Some(1), Some(8)),
        spec("words", Kind::Value, Some(8), Some(0), Some(8)),
        spec("mixed", Kind::Value, None, None, Some(8)),
        spec("variable", Kind::Value, None, None, None),
        spec("numbers", Kind::List, Some(4), Some(1), Some(4)),
        spec("texts", Kind::List, None, None, None),
        spec("map", Kind::Map, None, Some(1), None),
    ]
}

/// Random operations against the model; snapshots at random points, restored elsewhere.
fn random<B: Driven>(open: &impl Fn(Owned, u64) -> B, cases: u32) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let strategy = collection::vec(any::<Operation>(), 1..60);
    let outcome = TestRunner::new(config).run(&strategy, |operations| {
        let mut world = World::new(open(all(), AMPLE));
        for operation in &operations {
            world.apply(operation);
            if let Some((bytes, model)) = world.snapshot.take_done() {
                restores(open, &bytes, &model)?;
            }
        }
        world.compare();
        world.finish_snapshot();
        if let Some((bytes, model)) = world.snapshot.take_done() {
            restores(open, &bytes, &model)?;
        }
        world.empty();
        Ok(())
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
}

/// A snapshot has what the model had: in one backend, in three, and from three in one.
fn restores<B: Driven>(
    open: &impl Fn(Owned, u64) -> B,
    snapshot: &[u8],
    model: &Model,
) -> Result<(), TestCaseError> {
    let mut second = Vec::new();
    for groups in [0..3, 3..6, 6..MAX_PARALLELISM] {
        let owned = Owned { first: groups.start, end: groups.end, ..all() };
        let mut part = restored(open(owned, AMPLE), owned, snapshot)?;
        model.within(owned).assert_is(&mut part, owned);
        let opened = patient(&mut part, B::open_snapshot);
        let taken = opened.and_then(|()| chunks(&mut part, &mut second));
        taken.map_err(|error| TestCaseError::fail(std::format!("{error}")))?;
    }
    for snapshot in [snapshot, &second] {
        model.assert_is(&mut restored(open(all(), AMPLE), all(), snapshot)?, all());
    }
    Ok(())
}

fn restored<B: Driven>(backend: B, owned: Owned, snapshot: &[u8]) -> Result<B, TestCaseError> {
    let mut backend = backend;
    let ids = model::register(&mut backend);
    match restore_driven(&mut backend, owned, hash, &ids, snapshot, B::drive) {
        Ok(_) => Ok(backend),
        Err(error) => Err(TestCaseError::fail(std::format!("{error}"))),
    }
}

/// Number, and how often it comes: mostly few keys, sometimes many.
fn key_numbers() -> impl Strategy<Value = Vec<u32>> {
    let few = collection::vec(0..12u32, 1..40);
    let many = (0..2000u32, 1..700u32).prop_map(|(first, count)| (first..first + count).collect());
    prop_oneof![4 => few, 1 => many]
}

impl Arbitrary for Operation {
    type Parameters = ();
    type Strategy = BoxedStrategy<Self>;

    fn arbitrary_with((): ()) -> Self::Strategy {
        let what = (0..17u8, 0..specs().len(), option::of(0..2u8));
        let size = prop_oneof![6 => 0..30usize, 3 => 0..700usize, 1 => 0..10_000usize];
        (what, key_numbers(), size, any::<u8>())
            .prop_map(|((code, state, namespace), keys, size, seed)| Self {
                code,
                state,
                namespace,
                keys,
                size,
                seed,
            })
            .boxed()
    }
}
