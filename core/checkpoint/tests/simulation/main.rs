//! A job of five tasks with coordinator, aligners and a two-phase sink, over a network that loses,
//! repeats and reorders, with a storage that is slow and fails, and processes that die. Whatever
//! happens, each checkpoint is a consistent cut and each row is committed once.

mod channel;
mod random;
mod task;
mod world;

use millstream_checkpoint::coordinator::Config;
use millstream_exchange::event::Alignment;
use proptest::prelude::*;

use world::{Faults, World};

/// Nothing goes wrong.
pub(crate) const CALM: Faults =
    Faults { lost: 0, twice: 0, declined: 0, store: 0, crash: 0, stop: 0 };

fn any_faults() -> impl Strategy<Value = Faults> {
    (0..60u64, 0..200u64, 0..60u64, 0..100u64, 0..10u64, 0..6u64).prop_map(
        |(lost, twice, declined, store, crash, stop)| Faults {
            lost,
            twice,
            declined,
            store,
            crash,
            stop,
        },
    )
}

fn any_config() -> impl Strategy<Value = Config> {
    let alignment = prop_oneof![
        Just(Alignment::None),
        Just(Alignment::Aligned),
        Just(Alignment::Unaligned),
        (1..200u32).prop_map(|timeout_ms| Alignment::Timeout { timeout_ms }),
    ];
    let interval = prop::option::weighted(0.8, 50..400u64);
    (interval, 600..3000u64, 0..200u64, 1..4usize, 0..5u32, 1..4usize, alignment).prop_map(
        |(
            interval_ms,
            timeout_ms,
            min_pause_ms,
            max_concurrent,
            tolerable,
            retained,
            alignment,
        )| {
            Config {
                interval_ms,
                timeout_ms,
                min_pause_ms,
                max_concurrent,
                tolerable_failures: tolerable,
                retained,
                alignment,
            }
        },
    )
}

fn run(seed: u64, config: Config, faults: Faults) -> World {
    let mut world = World::new(seed, config, faults);
    world.run();
    world.check_result();
    world
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 50, ..ProptestConfig::default() })]

    #[test]
    fn each_row_is_committed_once(
        seed in any::<u64>(),
        config in any_config(),
        faults in any_faults(),
    ) {
        run(seed, config, faults);
    }
}

#[test]
fn when_nothing_goes_wrong_every_checkpoint_is_complete() {
    for alignment in [
        Alignment::None,
        Alignment::Aligned,
        Alignment::Unaligned,
        Alignment::Timeout { timeout_ms: 40 },
    ] {
        for seed in 0..20 {
            let timeout_ms = 100_000;
            let interval_ms = Some(40);
            let config = Config { interval_ms, timeout_ms, alignment, ..Config::default() };
            let world = run(seed, config, CALM);
            assert!(world.completed > 1, "{alignment:?}: {} complete", world.completed);
            assert_eq!(world.given_up, 0, "{alignment:?}");
        }
    }
}
