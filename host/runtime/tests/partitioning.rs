//! Every way to divide rows, through the runtime.

use millstream::{Runtime, dataflow::Environment, result::Collected};

const ROWS: u64 = 10_000;

fn runtime() -> Runtime {
    Runtime::builder().parallelism(3).workers(2).build().expect("memory")
}

/// The numbers, divided over the subtasks of the source.
fn numbers(subtask: u32, parallelism: u32) -> impl Iterator<Item = u64> + Send {
    (0..ROWS).skip(subtask as usize).step_by(parallelism as usize)
}

/// Runs a program whose result is numbers, and gives them sorted.
fn sorted(build: impl FnOnce(&Environment)) -> Vec<u64> {
    let env = Environment::new("partitioning");
    build(&env);
    let rows = Collected::new();
    runtime().run(env.build(), rows.sink()).expect("the job runs");
    let mut rows = rows.take();
    rows.sort_unstable();
    rows
}

#[test]
fn each_row_arrives_once_whatever_divides_them() {
    let all: Vec<u64> = (0..ROWS).collect();
    let add = |n: u64| n + 1;
    let back = |n: u64| n - 1;
    type Build = Box<dyn FnOnce(&Environment)>;
    let builds: [(&str, Build); 8] = [
        (
            "forward",
            Box::new(move |env| {
                env.generate(numbers).map(add).start_new_chain().map(back).result();
            }),
        ),
        (
            "rebalance",
            Box::new(move |env| env.generate(numbers).map(add).rebalance().map(back).result()),
        ),
        (
            "rescale",
            Box::new(move |env| env.generate(numbers).map(add).rescale().map(back).result()),
        ),
        (
            "shuffle",
            Box::new(move |env| env.generate(numbers).map(add).shuffle().map(back).result()),
        ),
        ("global", Box::new(move |env| env.generate(numbers).map(add).global().map(back).result())),
        (
            "custom",
            Box::new(move |env| {
                let seventh = env.generate(numbers).map(add);
                seventh.partition_custom(|n, count| (n % 7) as u32 % count).map(back).result();
            }),
        ),
        (
            "key",
            Box::new(move |env| {
                let keyed = env.generate(numbers).map(add).key_by::<u64, _>(|n| *n);
                keyed.reduce(|_, _| ()).map(back).result();
            }),
        ),
        (
            "union",
            Box::new(move |env| {
                let even = env.generate(numbers).filter(|n| n % 2 == 0);
                let odd = env.generate(numbers).filter(|n| n % 2 == 1);
                even.union(odd).result();
            }),
        ),
    ];
    for (name, build) in builds {
        assert_eq!(sorted(build), all, "{name}");
    }
}

#[test]
fn broadcast_gives_every_row_to_every_subtask() {
    let rows = sorted(|env| env.generate(numbers).broadcast().result());
    let thrice: Vec<u64> = (0..ROWS).flat_map(|n| [n; 3]).collect();
    assert_eq!(rows, thrice);
}

#[test]
fn rows_of_one_key_meet_in_one_subtask() {
    let env = Environment::new("keys");
    env.generate(numbers).key_by::<u64, _>(|n| *n % 10).reduce_at_end(|sum, n| *sum += n).result();
    let sums = Collected::<u64>::new();
    runtime().run(env.build(), sums.sink()).expect("the job runs");
    // Were a key in two subtasks, it would have two sums.
    let mut sums = sums.take();
    sums.sort_unstable();
    let sum = |key: u64| (0..ROWS).filter(|n| n % 10 == key).sum::<u64>();
    assert_eq!(sums, (0..10).map(sum).collect::<Vec<_>>());
}
