//! `millstream run`.

use std::{
    error::Error,
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use millstream::{
    Config, Summary, builder,
    loader::{Kind, OptionInfo, PluginInfo, Registry},
    result::{Csv, Discard, ResultSink},
};

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Csv,
    None,
}

impl Output {
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "csv" => Ok(Self::Csv),
            "none" => Ok(Self::None),
            _ => Err("it is csv or none".into()),
        }
    }
}

/// What `run` was told, beside the job.
#[derive(Debug)]
pub(crate) struct RunArguments {
    pub(crate) config: Config,
    pub(crate) output: Output,
    pub(crate) options: Vec<(String, String)>,
}

/// A compiled job that has been loaded, and the plugins beside it.
#[derive(Debug)]
pub(crate) struct Job {
    registry: Registry,
    plugin: PluginInfo,
    name: String,
    options: Vec<OptionInfo>,
}

impl Job {
    /// Loads the job of a library.
    pub(crate) fn load(path: &OsStr) -> Result<Self, Box<dyn Error>> {
        let mut registry = Registry::new();
        builder::bundle(&mut registry)?;
        let plugin = registry.load(Path::new(path))?.clone();
        let mut jobs = plugin.extensions.iter().filter(|e| e.kind() == Kind::Job);
        let job = jobs.next().ok_or_else(|| {
            format!("plugin {} offers no job: it has only connectors", plugin.name)
        })?;
        let (name, options) = (job.name.clone(), job.options.clone());
        Ok(Self { registry, plugin, name, options })
    }

    /// Loads the plugins of these directories beside the job.
    pub(crate) fn add_plugins(&mut self, directories: &[PathBuf]) -> Result<(), Box<dyn Error>> {
        for directory in directories {
            for refused in self.registry.load_directory(directory)? {
                eprintln!("warning: {refused}");
            }
        }
        Ok(())
    }

    /// The options that the job declares.
    pub(crate) fn options(&self) -> &[OptionInfo] {
        &self.options
    }
}

/// Runs a job to its end.
pub(crate) fn run(job: Job, arguments: &RunArguments) -> Result<ExitCode, Box<dyn Error>> {
    let program = job.registry.job(&job.plugin, &job.name, &arguments.options)?;
    let builder = arguments.config.builder()?.plugins(job.registry);
    let result: Box<dyn ResultSink> = match arguments.output {
        Output::Csv => Box::new(Csv::new(io::stdout())),
        Output::None => Box::new(Discard),
    };
    let summary = builder.build()?.run(program, result)?;
    print_summary(&summary);
    Ok(ExitCode::SUCCESS)
}

fn print_summary(summary: &Summary) {
    let read = summary.progress.rows_read();
    let seconds = summary.elapsed.as_secs_f64();
    eprintln!(
        "{}: {read} rows read, {} rows of result, {seconds:.2} s, {:.2} M rows/s",
        summary.job,
        summary.progress.rows_written(),
        read as f64 / seconds.max(1e-9) / 1e6,
    );
}
