//! The derivation itself.

use super::table::{MemoryTable, Part, Source};
use super::{MemoryError, MemoryOptions, SIZE_MAX, Share, option};
use crate::segment::check_segment_size;

pub(super) fn derive(options: &MemoryOptions) -> Result<MemoryTable, MemoryError> {
    check(options)?;
    let table = match *options {
        MemoryOptions { task: Some(task), managed: Some(managed), .. } => {
            around(options, engine_from_parts(options, task, managed)?)?
        }
        MemoryOptions { engine: Some(engine), .. } => {
            let engine = Part { bytes: engine, source: Source::Given };
            around(options, engine_from_total(options, engine)?)?
        }
        MemoryOptions { process: Some(process), .. } => process_from_total(options, process)?,
        _ => return Err(MemoryError::NoSize),
    };
    if table.network_segments() == 0 {
        let (network, segment_size) = (table.network.bytes, options.segment_size);
        return Err(MemoryError::NoNetworkSegment { network, segment_size });
    }
    let engine = [table.framework, table.task, table.network, table.managed];
    assert_eq!(total(&engine), table.engine.bytes, "the parts make up the engine");
    let process = [table.engine, table.metaspace, table.overhead];
    assert_eq!(total(&process), table.process.bytes, "the parts make up the process");
    Ok(table)
}

/// The parts of the engine.
struct Engine {
    total: Part,
    framework: Part,
    task: Part,
    network: Part,
    managed: Part,
}

fn check(options: &MemoryOptions) -> Result<(), MemoryError> {
    let MemoryOptions { network, overhead, .. } = options;
    for (name, bytes) in [
        (option::PROCESS, options.process),
        (option::ENGINE, options.engine),
        (option::FRAMEWORK, Some(options.framework)),
        (option::TASK, options.task),
        (option::MANAGED, options.managed),
        (option::METASPACE, Some(options.metaspace)),
        ("memory.network.min", Some(network.min)),
        ("memory.overhead.min", Some(overhead.min)),
    ] {
        match bytes {
            Some(bytes) if bytes > SIZE_MAX => {
                return Err(MemoryError::TooLarge { option: name, bytes });
            }
            _ => {}
        }
    }
    for (option, &Share { min, max, .. }) in
        [(option::NETWORK, network), (option::OVERHEAD, overhead)]
    {
        if min > max {
            return Err(MemoryError::MinAboveMax { option, min, max });
        }
    }
    check_segment_size(options.segment_size).map_err(MemoryError::SegmentSize)
}

/// Task and managed are given: the engine is what its parts make it, or network is the rest.
fn engine_from_parts(
    options: &MemoryOptions,
    task: u64,
    managed: u64,
) -> Result<Engine, MemoryError> {
    let framework = options.framework;
    let others = framework + task + managed;
    let (network, total) = match options.engine {
        Some(engine) => {
            let rest = engine.checked_sub(others).ok_or(MemoryError::EngineTooSmall {
                engine,
                framework,
                task,
                network: 0,
                managed,
            })?;
            let because = "engine, framework, task and managed size";
            let network = rest_within(option::NETWORK, &options.network, rest, because)?;
            (network, Part { bytes: engine, source: Source::Given })
        }
        None => {
            let network = options.network.beside(option::NETWORK, others)?;
            (network, Part { bytes: others + network.bytes, source: Source::Sum })
        }
    };
    Ok(Engine {
        total,
        framework: given(framework),
        task: given(task),
        network,
        managed: given(managed),
    })
}

/// The engine's size is known; task and managed are not both given.
fn engine_from_total(options: &MemoryOptions, total: Part) -> Result<Engine, MemoryError> {
    let (engine, framework) = (total.bytes, options.framework);
    let managed = match options.managed {
        Some(managed) => given(managed),
        None => Part {
            bytes: options.managed_fraction.of(engine),
            source: Source::Fraction(options.managed_fraction),
        },
    };
    // Either the task is given and network takes the rest, or the other way round.
    let network_first = match options.task {
        Some(_) => None,
        None => Some(options.network.of(engine)),
    };
    let (task, network) =
        (options.task.unwrap_or(0), network_first.map_or(0, |network| network.bytes));
    let parts = [framework, task, network, managed.bytes];
    let rest = parts.iter().try_fold(engine, |left, part| left.checked_sub(*part));
    let managed_bytes = managed.bytes;
    let rest = rest.ok_or(MemoryError::EngineTooSmall {
        engine,
        framework,
        task,
        network,
        managed: managed_bytes,
    })?;
    let (task, network) = match network_first {
        Some(network) => (Part { bytes: rest, source: Source::Rest }, network),
        None => {
            let because = "engine, framework, task and managed size";
            (given(task), rest_within(option::NETWORK, &options.network, rest, because)?)
        }
    };
    Ok(Engine { total, framework: given(framework), task, network, managed })
}

/// Metaspace and overhead around a known engine; the process's size may be given too.
fn around(options: &MemoryOptions, engine: Engine) -> Result<MemoryTable, MemoryError> {
    let (engine_bytes, metaspace) = (engine.total.bytes, options.metaspace);
    let counted = engine_bytes + metaspace;
    let (process, overhead) = match options.process {
        Some(process) => {
            let rest = process.checked_sub(counted).ok_or(MemoryError::ProcessTooSmall {
                process,
                engine: engine_bytes,
                metaspace,
                overhead: 0,
            })?;
            let because = "process, engine and metaspace size";
            let overhead = rest_within(option::OVERHEAD, &options.overhead, rest, because)?;
            (given(process), overhead)
        }
        None => {
            let overhead = options.overhead.beside(option::OVERHEAD, counted)?;
            (Part { bytes: counted + overhead.bytes, source: Source::Sum }, overhead)
        }
    };
    Ok(table(options, process, overhead, engine))
}

/// Only the process's size is given.
fn process_from_total(options: &MemoryOptions, process: u64) -> Result<MemoryTable, MemoryError> {
    let overhead = options.overhead.of(process);
    let metaspace = options.metaspace;
    let engine = process
        .checked_sub(metaspace)
        .and_then(|left| left.checked_sub(overhead.bytes))
        .ok_or(MemoryError::ProcessTooSmall {
        process,
        engine: 0,
        metaspace,
        overhead: overhead.bytes,
    })?;
    let engine = engine_from_total(options, Part { bytes: engine, source: Source::Rest })?;
    Ok(table(options, given(process), overhead, engine))
}

fn table(options: &MemoryOptions, process: Part, overhead: Part, engine: Engine) -> MemoryTable {
    let Engine { total, framework, task, network, managed } = engine;
    MemoryTable {
        process,
        overhead,
        metaspace: given(options.metaspace),
        engine: total,
        framework,
        task,
        network,
        managed,
        segment_size: options.segment_size,
    }
}

fn given(bytes: u64) -> Part {
    Part { bytes, source: Source::Given }
}

fn total(parts: &[Part]) -> u64 {
    parts.iter().map(|part| part.bytes).sum()
}

/// A part that takes what is left, if that is within its limits.
fn rest_within(
    option: &'static str,
    share: &Share,
    bytes: u64,
    because: &'static str,
) -> Result<Part, MemoryError> {
    let &Share { min, max, .. } = share;
    if (min..=max).contains(&bytes) {
        Ok(Part { bytes, source: Source::Rest })
    } else {
        Err(MemoryError::OutsideLimits { option, bytes, min, max, because })
    }
}

impl Share {
    /// Of a known total.
    fn of(&self, total: u64) -> Part {
        self.clamp(self.fraction.of(total))
    }

    /// Of a total of which everything else is known.
    ///
    /// A fraction close to 1 makes a part many times as large as all others together.
    fn beside(&self, option: &'static str, others: u64) -> Result<Part, MemoryError> {
        let part = self.clamp(self.fraction.beside(others));
        let bytes = part.bytes;
        if bytes > SIZE_MAX { Err(MemoryError::TooLarge { option, bytes }) } else { Ok(part) }
    }

    fn clamp(&self, bytes: u64) -> Part {
        let source = match bytes {
            _ if bytes < self.min => Source::Min(self.fraction),
            _ if bytes > self.max => Source::Max(self.fraction),
            _ => Source::Fraction(self.fraction),
        };
        Part { bytes: bytes.clamp(self.min, self.max), source }
    }
}
