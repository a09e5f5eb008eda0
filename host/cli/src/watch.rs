//! Showing how a job goes, and doing what signals say: ending it, or taking a savepoint.

use std::{
    io::{self, IsTerminal},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use millstream::{Outcome, Progress, RegionRestart, Savepoints, Summary, progress::SubtaskCounts};
use millstream_metrics::Exporter;
use signal_hook::{
    consts::{SIGINT, SIGTERM, SIGUSR1},
    iterator::Signals,
};

/// How often a line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What Ctrl-C does the first time. The second time it ends the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// It cancels the job.
    #[default]
    Cancel,
    /// It stops the job with a savepoint, as SIGTERM does then.
    Savepoint {
        /// Whether windows fire first.
        drain: bool,
    },
}

/// Shows progress on standard error: a line that changes on a terminal, plain lines otherwise.
pub(crate) struct Watch {
    bar: Option<ProgressBar>,
    shows: bool,
    interrupted: Arc<AtomicBool>,
    begin: Instant,
    last_line: Instant,
    /// Who is told of the job, once it runs.
    exporter: Option<Exporter>,
}

impl Watch {
    /// Begins to listen for Ctrl-C, and for SIGUSR1, which asks for a savepoint. Metrics of the job are
    /// shown by `exporter`. `shows` is false if nothing should be shown while the job runs.
    pub(crate) fn start(
        exporter: Option<Exporter>,
        (interrupt, shows): (Interrupt, bool),
        savepoints: Savepoints,
    ) -> io::Result<Self> {
        let interrupted = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&interrupted);
        let mut signals = Signals::new([SIGINT, SIGUSR1])?;
        if interrupt != Interrupt::Cancel {
            signals.add_signal(SIGTERM)?;
        }
        thread::spawn(move || {
            let mut asked = false;
            for signal in signals.forever() {
                match (signal, interrupt) {
                    (SIGUSR1, _) => savepoints.take(),
                    // The second time the user means it.
                    _ if asked => std::process::exit(128 + signal),
                    (_, Interrupt::Cancel) => flag.store(true, Ordering::Relaxed),
                    (_, Interrupt::Savepoint { drain }) => savepoints.stop(drain),
                }
                asked |= signal != SIGUSR1;
            }
        });
        let bar = (shows && std::io::stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            bar.set_style(
                ProgressStyle::with_template("{spinner} {msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        let now = Instant::now();
        Ok(Self { bar, shows, interrupted, begin: now, last_line: now, exporter })
    }

    /// Shows how it goes; ends the job if the user wants that.
    pub(crate) fn look(&mut self, progress: &Progress, outcome: &Arc<Outcome>) {
        if let Some(exporter) = &self.exporter {
            exporter.show(progress);
        }
        if self.interrupted.load(Ordering::Relaxed) {
            outcome.cancel();
        }
        let line = || {
            let (read, seconds) = (progress.rows_read(), self.begin.elapsed().as_secs_f64());
            let busiest = busiest(&progress.subtasks());
            format!(
                "{read} rows read, {:.2} M rows/s{busiest}",
                read as f64 / seconds.max(1e-3) / 1e6
            )
        };
        if !self.shows {
            return;
        }
        if let Some(bar) = &self.bar {
            bar.set_message(line());
            bar.tick();
        } else if self.last_line.elapsed() >= LINE_EVERY {
            eprintln!("{}", line());
            self.last_line = Instant::now();
        }
    }

    /// Shows how it went.
    pub(crate) fn finish(&self, summary: &Summary) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let read = summary.progress.rows_read();
        let seconds = summary.elapsed.as_secs_f64();
        for subtask in summary.progress.subtasks() {
            eprintln!("  {}", describe(&subtask));
        }
        for restart in summary.progress.region_restarts() {
            eprintln!("  {}", describe_restart(&restart));
        }
        let (result, written) =
            (summary.progress.rows_of_result(), summary.progress.rows_written());
        let ends = [(result, "of result"), (written, "to sinks")];
        let ends = ends.into_iter().filter(|(rows, _)| *rows > 0);
        let ends: String = ends.map(|(rows, what)| format!(", {rows} rows {what}")).collect();
        eprintln!(
            "{}: {read} rows read{ends}, {seconds:.2} s, {:.2} M rows/s",
            summary.job,
            read as f64 / seconds.max(1e-9) / 1e6,
        );
    }
}

/// A region that began anew, in a line.
fn describe_restart(restart: &RegionRestart) -> String {
    let RegionRestart { region, regions, checkpoint, cause } = restart;
    let from = match checkpoint {
        Some(checkpoint) => format!("checkpoint {checkpoint}"),
        None => "the beginning".to_owned(),
    };
    format!("region {} of {regions} began anew from {from}: {cause}", region + 1)
}

/// The subtask that is busy for the largest part of its time, if any is known to be.
fn busiest(subtasks: &[SubtaskCounts]) -> String {
    let share = |subtask: &SubtaskCounts| shares(subtask).map_or(0, |(busy, _)| busy);
    match subtasks.iter().max_by_key(|subtask| share(subtask)) {
        Some(subtask) if share(subtask) > 0 => {
            format!(", {} is {} % busy", subtask.name, share(subtask))
        }
        _ => String::new(),
    }
}

/// How much of its time a subtask was busy and backpressured, in percent; unknown for threads that
/// block.
fn shares(subtask: &SubtaskCounts) -> Option<(u64, u64)> {
    let counts = subtask.counts;
    let all = counts.busy_nanos + counts.idle_nanos + counts.backpressured_nanos;
    let percent = |part: u64| (u128::from(part) * 100 / u128::from(all.max(1))) as u64;
    (all > 0).then(|| (percent(counts.busy_nanos), percent(counts.backpressured_nanos)))
}

fn describe(subtask: &SubtaskCounts) -> String {
    let counts = subtask.counts;
    let rows = format!("{}: {} rows in, {} out", subtask.name, counts.rows_in, counts.rows_out);
    match shares(subtask) {
        Some((busy, backpressured)) => {
            format!("{rows}, {busy} % busy, {backpressured} % backpressured")
        }
        None => rows,
    }
}
