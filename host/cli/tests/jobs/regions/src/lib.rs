//! Pipelines side by side, from lines of files to files, of which one fails once there is a checkpoint.

use std::{
    env, fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use millstream_sdk::{
    dataflow::{
        TaskError,
        operator::process::{
            BroadcastContext, ListSplit, OperatorList, OperatorRegistry, OperatorStates,
            ProcessFunction,
        },
    },
    prelude::*,
};

/// Numbers the rows of its subtask, from 1, and takes its time until somebody has failed. Fails once: the first that is in the right
/// process and sees a checkpoint that is new enough, as the file `failed` says to all processes.
#[derive(Clone)]
struct Numbered {
    checkpoints: PathBuf,
    failed: PathBuf,
    fails_in_worker: bool,
    fails_behind: u64,
    rows: u64,
}

impl Numbered {
    fn row(&mut self) -> Result<(), TaskError> {
        self.rows += 1;
        if !self.rows.is_multiple_of(16) || self.failed.exists() {
            return Ok(());
        }
        // So that there are checkpoints before the input ends.
        thread::sleep(Duration::from_millis(4));
        let in_worker = env::args().nth(1).is_some_and(|argument| argument == "worker-process");
        if in_worker == self.fails_in_worker && newest(&self.checkpoints) > self.fails_behind {
            let first = fs::OpenOptions::new().create_new(true).write(true).open(&self.failed);
            return first.map_or(Ok(()), |_| Err(TaskError::new("it was to fail")));
        }
        Ok(())
    }
}

/// The number of the newest complete checkpoint of a job in a directory, 0 if there is none.
fn newest(directory: &Path) -> u64 {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    let checkpoints = entries(directory).flat_map(|job| entries(&job.path()).collect::<Vec<_>>());
    let complete = checkpoints.filter(|entry| entry.path().join("_metadata").exists());
    let number = |name: &str| name.strip_prefix("chk-")?.parse().ok();
    let numbers = complete.filter_map(|entry| number(&entry.file_name().to_string_lossy()));
    numbers.max().unwrap_or(0)
}

#[derive(Clone, Record)]
struct Line {
    number: i64,
}

#[derive(Clone, Record)]
struct NumberedLine {
    number: i64,
    position: u64,
}

impl ProcessFunction for Numbered {
    type In = Line;
    type Out = NumberedLine;
    type States = OperatorList<u64>;

    fn open(&mut self, states: &mut OperatorRegistry<'_>) -> Result<Self::States, TaskError> {
        states.list("seen", ListSplit::Divided)
    }

    fn process(
        &mut self,
        seen: &mut Self::States,
        line: LineView<'_>,
        states: &mut OperatorStates,
        context: &mut BroadcastContext<'_, NumberedLine>,
    ) -> Result<(), TaskError> {
        self.row()?;
        let position = seen.iter(states).next().transpose()?.unwrap_or(0) + 1;
        seen.clear(states);
        seen.add(states, position)?;
        context.emit(NumberedLineView { number: line.number, position });
        Ok(())
    }
}

struct Pipelines;

impl Job for Pipelines {
    const NAME: &'static str = "pipelines";
    const SUMMARY: &'static str = "Numbers the lines of files";
    const OPTIONS: &'static [OptionDoc] = &[
        OptionDoc::string("input", "A file with a column `number`").required(),
        OptionDoc::string("out", "Where files go").required(),
        OptionDoc::string("watched", "Where there are checkpoints").required(),
        OptionDoc::string("failed", "A file that is there when a task has failed").required(),
        OptionDoc::string("fails-in", "coordinator or worker").required(),
        OptionDoc::integer("fails-behind", "A checkpoint").default("2"),
        OptionDoc::string("lines-go", "on in their pipelines, or to all").default("on"),
    ];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let numbered = Numbered {
            checkpoints: options.string("watched")?.into(),
            failed: options.string("failed")?.into(),
            fails_in_worker: options.string("fails-in")? == "worker",
            fails_behind: options.integer("fails-behind")? as u64,
            rows: 0,
        };
        let files = |path: &str| Connector::new("filesystem").option("path", path);
        let input = files(options.string("input")?).option("split-size", "2 KiB");
        let (lines, out) = (env.source::<Line>("lines", input), files(options.string("out")?));
        match options.string("lines-go")? {
            "on" => lines.process_stateful(numbered).sink("files", out),
            _ => {
                lines.rebalance().process_stateful(numbered).sink("files", out);
                // Others that have nothing to do with it.
                env.generate(|_, _| 0..10u64).for_each(|_| ());
            }
        }
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "regions",
    summary: "Pipelines side by side",
    jobs: [Pipelines],
}
millstream_sdk::export!(plugin);
