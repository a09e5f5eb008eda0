//! Scripts on the simulated engine: whatever breaks, what is committed is what the same script makes when
//! nothing does, or what a loop over the rows makes.
//!
//! Other seeds: `SEEDS=1000..9000 cargo test -p millstream-sql --test simulated`; one script only: `SCRIPT=top_n`;
//! what happens is printed with `TRACE=1`.

mod reference;
mod scripts;
mod tables;

use std::{collections::BTreeMap, env as process, rc::Rc};

use millstream_dataflow::{Environment, stream::Program};
use millstream_simulation::{
    Random,
    engine::{EngineBug, EngineReport, Job, Rows, simulate, undisturbed},
};
use millstream_sql::script;
use scripts::{SCRIPTS, Script};
use tables::Input;

/// Seeds that are run if nobody says which.
const SEEDS: std::ops::Range<u64> = 0..400;

/// Scripts, which are planned once.
struct Planned(Vec<(&'static Script, Rc<Program>)>);

impl Planned {
    fn of(is_wanted: impl Fn(&Script) -> bool) -> Self {
        let wanted = SCRIPTS.iter().filter(|script| is_wanted(script));
        Self(wanted.map(|script| (script, program(script))).collect())
    }

    fn run(&self, seed: u64, bug: Option<EngineBug>) -> (&'static str, EngineReport) {
        let (script, program) = &self.0[seed as usize % self.0.len()];
        let trace = process::var_os("TRACE").is_some();
        (script.name, simulate(seed, bug, trace, |random| job(script, program, random)))
    }
}

fn program(script: &Script) -> Rc<Program> {
    let env = Environment::new(script.name);
    let text = format!("{}{}", tables::DECLARED, script.text);
    script::build(&text, &env).unwrap_or_else(|error| panic!("{}: {error}", script.name));
    let program = env.build();
    if process::var_os("GRAPH").is_some() {
        let graph = program.graph();
        for edge in &graph.edges {
            let name = |node: u32| &graph.nodes[node as usize].name;
            let (from, to) = (name(edge.from), name(edge.to));
            println!("{from} {} -> {to} {} {:?}", edge.output, edge.input, edge.partitioning);
        }
    }
    Rc::new(program)
}

/// A script with the rows of a seed, and what must come of it.
fn job(script: &Script, program: &Rc<Program>, random: &mut Random) -> Result<Job, String> {
    let input = Input::of(script.late, random);
    let job = |check| {
        let job = Job::new(Rc::clone(program), &input.tables(), check);
        let job = job.map_err(|error| error.to_string())?;
        Ok(if script.late { job.in_order() } else { job })
    };
    let calm: Job = job(Box::new(|_: &Rows| Ok::<_, String>(())))?;
    let expected = undisturbed(&calm)?;
    if let Some(reference) = script.reference {
        let same = expected.compare(&reference(&input));
        same.map_err(|what| format!("even if nothing breaks, {what}"))?;
    }
    job(Box::new(move |shown: &Rows| shown.compare(&expected)))
}

fn seeds() -> std::ops::Range<u64> {
    let Ok(said) = process::var("SEEDS") else { return SEEDS };
    let range = said.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        Some(from..to)
    });
    range.unwrap_or_else(|| panic!("SEEDS takes a range, 0..100 for instance, not {said}"))
}

#[test]
fn what_is_committed_is_right() {
    let one = process::var("SCRIPT").ok();
    let planned = Planned::of(|script| one.as_ref().is_none_or(|one| one == script.name));
    let (mut failures, mut counts) = (Vec::new(), BTreeMap::<&str, u64>::new());
    for seed in seeds() {
        let (script, report) = planned.run(seed, None);
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if let Some(failure) = report.failure {
            println!("seed {seed} of {script} failed in attempt {}: {failure}", report.attempts);
            failures.push(seed);
        }
    }
    println!("{counts:#?}");
    assert!(failures.is_empty(), "{} seeds failed: {failures:?}", failures.len());
}

/// In how many seeds, from 0 on, each bug must have been found.
const FOUND_WITHIN: [(EngineBug, u64); 4] = [
    (EngineBug::AcknowledgeBeforeUpload, 400),
    (EngineBug::ForgetInFlight, 400),
    (EngineBug::CommitBeforeCompletion, 400),
    (EngineBug::SkipAlignment, 400),
];

#[test]
fn planted_bugs_are_found() {
    let planned = Planned::of(|_| true);
    for (bug, most) in FOUND_WITHIN {
        let found = (0..most).find(|seed| planned.run(*seed, Some(bug)).1.failure.is_some());
        let found = found.unwrap_or_else(|| panic!("{bug} is not found in {most} seeds"));
        println!("{bug}: found after {} seeds", found + 1);
    }
}
