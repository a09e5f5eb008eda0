//! Several jobs in one library: one without an end, one with a sink and a result, one that waits
//! for a timer, and two with mistakes.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use millstream_sdk::{
    dataflow::{
        TaskError,
        operator::process::{KeyedProcessFunction, ProcessContext, StateRegistry},
    },
    prelude::*,
};

fn numbers(subtask: u32, parallelism: u32) -> impl Iterator<Item = u64> + Send {
    (u64::from(subtask)..1000).step_by(parallelism as usize)
}

fn files(options: &Options) -> Result<Connector, Error> {
    Ok(Connector::new("filesystem").option("path", options.string("out")?).option("format", "csv"))
}

const OUT: OptionDoc = OptionDoc::string("out", "Where files go").required();

/// Writes files until it is stopped.
struct Endless;

impl Job for Endless {
    const NAME: &'static str = "endless";
    const SUMMARY: &'static str = "Writes files until it is stopped";
    const OPTIONS: &'static [OptionDoc] =
        &[OUT, OptionDoc::string("token", "Is not shown").default("none").secret()];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        env.generate(|_, _| 0u64..)
            .per_second(100_000)
            .map(|number| (number, "row".to_owned()))
            .sink("files", files(options)?);
        Ok(())
    }
}

/// Has a sink and a result.
struct Both;

impl Job for Both {
    const NAME: &'static str = "both";
    const SUMMARY: &'static str = "Has a sink and a result";
    const OPTIONS: &'static [OptionDoc] = &[OUT];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let [all, few] = env.generate(numbers).map(|number| number).fork();
        all.sink("files", files(options)?);
        few.filter(|number| number % 100 == 0).result();
        Ok(())
    }
}

/// Emits a row when a timer of processing time fires, and ends then.
struct Waking;

impl Job for Waking {
    const NAME: &'static str = "waking";
    const SUMMARY: &'static str = "Emits a row when a timer of processing time fires";
    const OPTIONS: &'static [OptionDoc] = &[];

    fn build(env: &Environment, _options: &Options) -> Result<(), Error> {
        let heard = Arc::new(AtomicBool::new(false));
        let hears = Arc::clone(&heard);
        env.generate(move |_, _| {
            let heard = Arc::clone(&heard);
            (0..1000u64).take_while(move |_| !heard.load(Ordering::Relaxed))
        })
        .subtasks(1)
        .per_second(200)
        .filter(|tick| tick == 0)
        .key_by::<u64, _>(|tick| *tick)
        .process(Alarm)
        .inspect(move |_| hears.store(true, Ordering::Relaxed))
        .result();
        Ok(())
    }
}

/// Rings 30 ms after each row.
#[derive(Clone)]
struct Alarm;

impl KeyedProcessFunction for Alarm {
    type Key = u64;
    type In = u64;
    /// When it was to ring, and when it did.
    type Out = (i64, i64);
    type States = ();

    fn open(&mut self, _: &mut StateRegistry<'_>) -> Result<(), TaskError> {
        Ok(())
    }

    fn process(
        &mut self,
        (): &mut (),
        _: u64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let now = context.processing_time();
        context.register_processing_timer(now + 30)
    }

    fn on_processing_timer(
        &mut self,
        (): &mut (),
        time: i64,
        context: &mut ProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let now = context.processing_time();
        context.emit((time, now));
        Ok(())
    }
}

/// Its partitioner names a subtask that there is not.
struct Outside;

impl Job for Outside {
    const NAME: &'static str = "outside";
    const SUMMARY: &'static str = "Its partitioner names a subtask that there is not";
    const OPTIONS: &'static [OptionDoc] = &[];

    fn build(env: &Environment, _options: &Options) -> Result<(), Error> {
        env.generate(numbers).partition_custom(|_, subtasks| subtasks).result();
        Ok(())
    }
}

/// Sorts by a field that there is not.
struct Unsorted;

impl Job for Unsorted {
    const NAME: &'static str = "unsorted";
    const SUMMARY: &'static str = "Sorts by a field that there is not";
    const OPTIONS: &'static [OptionDoc] = &[];

    fn build(env: &Environment, _options: &Options) -> Result<(), Error> {
        env.generate(numbers).map(|n| n).sort_partition([SortKey::ascending("nubmer")]).result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "several",
    summary: "Several jobs",
    jobs: [Endless, Both, Waking, Outside, Unsorted],
}
millstream_sdk::export!(plugin);
