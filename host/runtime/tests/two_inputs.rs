//! Process functions with two inputs, through the runtime.

use millstream::{
    Record, Runtime,
    dataflow::{
        Environment, TaskError,
        operator::process::{
            BroadcastContext, BroadcastRegistry, BroadcastState, BroadcastStates, CoProcessContext,
            KeyedBroadcastContext, KeyedBroadcastProcessFunction, KeyedCoProcessFunction,
            ListState, StateRegistry, ValueState,
        },
    },
    result::Collected,
    state::time::Bounded,
};

const ROWS: u64 = 6_000;
const KEYS: u64 = 100;

/// Runs a program with so many subtasks; its result is sorted.
fn run<T: Record + Ord>(parallelism: u32, build: impl FnOnce(&Environment)) -> Vec<T> {
    let env = Environment::new("two inputs");
    build(&env);
    let rows = Collected::new();
    let runtime = Runtime::builder().parallelism(parallelism).workers(2).segment_size(4096).build();
    runtime.expect("a runtime").run(env.build(), rows.sink()).expect("the job runs");
    let mut rows = rows.take();
    rows.sort();
    rows
}

fn numbers(subtask: u32, parallelism: u32) -> impl Iterator<Item = (u64, u64)> + Send {
    let own = (0..ROWS).skip(subtask as usize).step_by(parallelism as usize);
    own.map(|number| (number % KEYS, number))
}

/// Joins numbers with the names of their keys, whichever comes first. What has no name in the end
/// is emitted without.
#[derive(Clone)]
struct Name;

struct Waiting {
    name: ValueState<String>,
    numbers: ListState<u64>,
}

impl KeyedCoProcessFunction for Name {
    type Key = u64;
    type First = (u64, u64);
    type Second = (String, u64);
    type Out = (u64, u64, String);
    type States = Waiting;

    fn open(&mut self, states: &mut StateRegistry<'_>) -> Result<Waiting, TaskError> {
        Ok(Waiting { name: states.value("name")?, numbers: states.list("numbers")? })
    }

    fn first(
        &mut self,
        waiting: &mut Waiting,
        (key, number): (u64, u64),
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        if let Some(name) = waiting.name.get(context)? {
            context.emit((key, number, &name));
            return Ok(());
        }
        context.register_timer(i64::MAX)?;
        waiting.numbers.add(context, number)
    }

    fn second(
        &mut self,
        waiting: &mut Waiting,
        (name, key): (&str, u64),
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        waiting.name.set(context, name)?;
        for number in waiting.numbers.get(context)? {
            context.emit((key, number, name));
        }
        waiting.numbers.clear(context)
    }

    fn on_timer(
        &mut self,
        waiting: &mut Waiting,
        _: i64,
        context: &mut CoProcessContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let key = context.key();
        let left = waiting.numbers.get(context)?;
        left.into_iter().for_each(|number| context.emit((key, number, "")));
        Ok(())
    }
}

#[test]
fn rows_of_two_streams_with_a_key_meet() {
    let name =
        |key: u64| if key.is_multiple_of(4) { String::new() } else { format!("name of {key}") };
    let mut expected: Vec<_> = numbers(0, 1).map(|(key, row)| (key, row, name(key))).collect();
    expected.sort();
    for parallelism in [1, 2, 4] {
        let found: Vec<(u64, u64, String)> = run(parallelism, |env| {
            let numbers = env
                .generate(numbers)
                .assign_watermarks(Bounded::new(0), |row| row.1 as i64)
                .key_by::<u64, _>(|row| row.0);
            let named = env
                .generate(|_, _| (0..KEYS).filter(|key| key % 4 > 0))
                .subtasks(1)
                .map(move |key| (name(key), key))
                .key_by::<u64, _>(|row| row.1);
            numbers.connect(named).process_keyed(Name).result();
        });
        assert_eq!(found, expected, "parallelism {parallelism}");
    }
}

/// Emits the numbers that are multiples of a rule, each with the rule. Numbers wait for the last
/// rule, which is 0.
#[derive(Clone)]
struct Multiples;

struct Rules {
    waiting: ListState<u64>,
    rules: BroadcastState<u64, bool>,
}

impl Multiples {
    fn emit(
        rules: &BroadcastState<u64, bool>,
        number: u64,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        for rule in rules.iter(broadcast) {
            let (rule, _) = rule?;
            if rule > 0 && number.is_multiple_of(rule) {
                context.emit((number, rule));
            }
        }
        Ok(())
    }
}

impl KeyedBroadcastProcessFunction for Multiples {
    type Key = u64;
    type In = (u64, u64);
    type Broadcast = u64;
    type Out = (u64, u64);
    type States = Rules;

    fn open(
        &mut self,
        states: &mut StateRegistry<'_>,
        broadcast: &mut BroadcastRegistry<'_>,
    ) -> Result<Rules, TaskError> {
        Ok(Rules { waiting: states.list("waiting")?, rules: broadcast.map("rules")? })
    }

    fn process(
        &mut self,
        states: &mut Rules,
        (_, number): (u64, u64),
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        if states.rules.get(broadcast, 0)?.is_some() {
            return Self::emit(&states.rules, number, broadcast, context);
        }
        context.register_timer(i64::MAX)?;
        states.waiting.add(context, number)
    }

    fn process_broadcast(
        &mut self,
        states: &mut Rules,
        rule: u64,
        broadcast: &mut BroadcastStates,
        _: &mut BroadcastContext<'_, Self::Out>,
    ) -> Result<(), TaskError> {
        states.rules.put(broadcast, rule, true)
    }

    fn on_timer(
        &mut self,
        states: &mut Rules,
        _: i64,
        broadcast: &BroadcastStates,
        context: &mut KeyedBroadcastContext<'_, Self>,
    ) -> Result<(), TaskError> {
        let waiting = states.waiting.get(context)?;
        waiting.into_iter().try_for_each(|row| Self::emit(&states.rules, row, broadcast, context))
    }
}

#[test]
fn every_subtask_has_what_is_broadcast() {
    let rules = [7, 30, 1000, 0];
    let of = |number: u64| {
        let divides = move |rule: &u64| *rule > 0 && number.is_multiple_of(*rule);
        rules.into_iter().filter(divides).map(move |rule| (number, rule))
    };
    let expected: Vec<(u64, u64)> = (0..ROWS).flat_map(of).collect();
    for parallelism in [1, 2, 4] {
        let found: Vec<(u64, u64)> = run(parallelism, |env| {
            let rules = env.generate(move |_, _| rules.into_iter()).subtasks(1);
            env.generate(numbers)
                .key_by::<u64, _>(|row| row.0)
                .connect_broadcast(rules)
                .process(Multiples)
                .result();
        });
        assert_eq!(found, expected, "parallelism {parallelism}");
    }
}
