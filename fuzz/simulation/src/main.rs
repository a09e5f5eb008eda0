//! Runs seeds of the simulation.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;

use millstream_simulation::{
    Bug, Outcome, Report,
    engine::{self, EngineBug},
    run,
};

const USAGE: &str = "\
Runs whole workers on one thread, every choice taken from a seed.

  --seed N        replay one seed, printing everything that happens
  --quiet         with --seed: print the result only
  --seeds A..B    run all seeds from A to B (not included), print failures and a summary
  --engine        a job on the whole engine, instead of the connections between workers
  --bug NAME      plant a bug, to see that it is found";

/// What the command line asks for.
struct Options {
    seeds: Range<u64>,
    single: bool,
    quiet: bool,
    engine: bool,
    bug: Option<String>,
}

fn main() -> ExitCode {
    let ran = parse(std::env::args().skip(1)).and_then(|options| match options.engine {
        true => {
            let bug = named(&options, EngineBug::from_name)?;
            Ok(if options.single { replay_job(&options, bug) } else { sweep_jobs(&options, bug) })
        }
        false => {
            let bug = named(&options, Bug::from_name)?;
            Ok(if options.single { replay(&options, bug) } else { sweep(&options, bug) })
        }
    });
    ran.unwrap_or_else(|problem| {
        let bugs: Vec<_> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        let of_jobs: Vec<_> = EngineBug::ALL.iter().map(|bug| bug.name()).collect();
        eprintln!(
            "{problem}\n\n{USAGE}: {}; with --engine: {}",
            bugs.join(", "),
            of_jobs.join(", ")
        );
        ExitCode::from(2)
    })
}

/// The bug that was asked for, if one was.
fn named<B>(options: &Options, from_name: impl Fn(&str) -> Option<B>) -> Result<Option<B>, String> {
    let bug = options.bug.as_ref();
    bug.map(|name| from_name(name).ok_or_else(|| format!("no bug is named {name}"))).transpose()
}

fn replay_job(options: &Options, bug: Option<EngineBug>) -> ExitCode {
    let report = engine::run(options.seeds.start, bug, !options.quiet);
    println!("{report}");
    if report.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn sweep_jobs(options: &Options, bug: Option<EngineBug>) -> ExitCode {
    // A machine's panic is a result here, and the report says it.
    std::panic::set_hook(Box::new(|_| {}));
    let (mut steps, mut attempts, mut failures) = (0, 0, 0u64);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in options.seeds.clone() {
        let report = engine::run(seed, bug, false);
        steps += report.steps;
        attempts += report.attempts;
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if report.failure.is_some() {
            failures += 1;
            println!("{report}");
        }
    }
    for (what, count) in counts {
        println!("{count:>12} x {what}");
    }
    let seeds = options.seeds.end.saturating_sub(options.seeds.start);
    println!("{seeds} seeds, {failures} failed; {steps} steps, {attempts} attempts");
    if failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn replay(options: &Options, bug: Option<Bug>) -> ExitCode {
    let report = run(options.seeds.start, bug, !options.quiet);
    println!("{report}");
    if report.failure.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn sweep(options: &Options, bug: Option<Bug>) -> ExitCode {
    // A machine's panic is a result here, and the report says it.
    std::panic::set_hook(Box::new(|_| {}));
    let mut total = Outcome::default();
    let (mut steps, mut failures) = (0, 0u64);
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in options.seeds.clone() {
        let report: Report = run(seed, bug, false);
        steps += report.steps;
        total.finished += report.outcome.finished;
        total.stopped += report.outcome.stopped;
        total.losses += report.outcome.losses;
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if report.failure.is_some() {
            failures += 1;
            println!("{report}");
        }
    }
    for (what, count) in counts {
        println!("{count:>12} x {what}");
    }
    let seeds = options.seeds.end.saturating_sub(options.seeds.start);
    let Outcome { finished, stopped, losses } = total;
    println!(
        "{seeds} seeds, {failures} failed; {steps} steps, {finished} tasks finished, {stopped} \
         stopped, {losses} connection ends lost"
    );
    if failures > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn parse(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options =
        Options { seeds: 0..1000, single: false, quiet: false, engine: false, bug: None };
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or_else(|| format!("{argument} needs a value"));
        match argument.as_str() {
            "--seed" => {
                let seed = number(&value()?)?;
                options.seeds = seed..seed.saturating_add(1);
                options.single = true;
            }
            "--seeds" => {
                let range = value()?;
                let (from, to) = range.split_once("..").ok_or("--seeds: expected A..B")?;
                options.seeds = number(from)?..number(to)?;
            }
            "--bug" => options.bug = Some(value()?),
            "--engine" => options.engine = true,
            "--quiet" => options.quiet = true,
            _ => return Err(format!("unknown option {argument}")),
        }
    }
    Ok(options)
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("expected a number, found {text}"))
}
