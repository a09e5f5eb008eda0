//! `millstream run`.

use std::{
    error::Error,
    ffi::OsStr,
    fs,
    io::{self, IsTerminal},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use millstream::{
    Config, JobProgram, builder, cluster,
    cluster::{Coordinated, JobSpec, Preference, Transport},
    config::Origin,
    dataflow::graph::{ConnectorSpec, NodeKind},
    loader::{Kind, OptionInfo, PluginInfo, Registry},
    result::{Changelog, Csv, Discard, Json, Live, ResultSink, Table},
};

use millstream_metrics::Exporter;

use crate::{
    command::WORKER,
    watch::{Interrupt, Watch},
};

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    Csv,
    Json,
    Table,
    Changelog,
    Live,
    None,
}

impl Output {
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        match name {
            "csv" => Ok(Self::Csv),
            "json" => Ok(Self::Json),
            "table" => Ok(Self::Table),
            "changelog" => Ok(Self::Changelog),
            "live" => Ok(Self::Live),
            "none" => Ok(Self::None),
            _ => Err("it is csv, json, table, changelog, live or none".into()),
        }
    }

    /// What people expect if they do not say: the rows that are left in the end, or what becomes of them if
    /// there is none.
    fn expected(program: &impl JobProgram, registry: &Registry) -> Self {
        match is_bounded(program, registry) {
            true => Self::Csv,
            false if io::stdout().is_terminal() => Self::Live,
            false => Self::Changelog,
        }
    }
}

/// Whether all sources of a program end some time. One that cannot be opened is looked at when it is run.
fn is_bounded(program: &impl JobProgram, registry: &Registry) -> bool {
    let Ok(graph) = program.graph() else { return true };
    graph.nodes.iter().all(|node| match &node.kind {
        NodeKind::Source(ConnectorSpec { connector, options, schema }) => {
            let source = registry.source(connector, options, schema);
            source.and_then(|source| source.is_bounded()).unwrap_or(true)
        }
        _ => true,
    })
}

/// What `run` was told, beside the job.
#[derive(Debug)]
pub(crate) struct RunArguments {
    pub(crate) config: Config,
    /// Nobody has said if `None`.
    pub(crate) output: Option<Output>,
    pub(crate) options: Vec<(String, String)>,
    pub(crate) processes: u32,
    pub(crate) transport: Preference,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) interrupt: Interrupt,
}

/// The transport that a name stands for.
pub(crate) fn parse_transport(name: &str) -> Result<Preference, String> {
    match name {
        "auto" => Ok(Preference::Auto),
        "tcp" => Ok(Preference::Only(Transport::Tcp)),
        "uring" => Ok(Preference::Only(Transport::Uring)),
        _ => Err("it is auto, uring or tcp".into()),
    }
}

/// A compiled job that has been loaded, and the plugins beside it.
#[derive(Debug)]
pub(crate) struct Job {
    registry: Registry,
    plugin: PluginInfo,
    name: String,
    options: Vec<OptionInfo>,
    library: PathBuf,
    /// Directories of plugins beside it.
    plugins: Vec<PathBuf>,
    /// The text of a script, which the job is told.
    script: Option<String>,
}

/// The library that runs scripts, beside the executable.
const SQL_LIBRARY: &str = "libmillstream_sql.so";
/// Its option with the text of the script.
const SCRIPT: &str = "script";
/// Its option with the directories of plugins, whose functions the script may call.
const PLUGINS: &str = "plugins";

impl Job {
    /// Loads the job of a library: the one of this name, if it has several.
    pub(crate) fn load(path: &OsStr, name: Option<&str>) -> Result<Self, Box<dyn Error>> {
        if Path::new(path).extension().is_some_and(|extension| extension == "sql") {
            return Self::script(Path::new(path));
        }
        let mut registry = Registry::new();
        builder::bundle(&mut registry)?;
        let plugin = registry.load(Path::new(path))?.clone();
        let jobs: Vec<_> = plugin.extensions.iter().filter(|e| e.kind() == Kind::Job).collect();
        let names = || jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>().join(", ");
        let job = match (name, &jobs[..]) {
            (_, []) => {
                return Err(format!("plugin {} offers no job to run", plugin.name).into());
            }
            (None, [job]) => job,
            (None, _) => {
                let (plugin, names) = (&plugin.name, names());
                return Err(format!(
                    "plugin {plugin} offers several jobs, {names}: say which with --job NAME"
                )
                .into());
            }
            (Some(name), _) => jobs.iter().find(|job| job.name == name).ok_or_else(|| {
                format!("plugin {} offers no job `{name}`: it has {}", plugin.name, names())
            })?,
        };
        let (name, options) = (job.name.clone(), job.options.clone());
        let (library, plugins) = (path.into(), Vec::new());
        Ok(Self { registry, plugin, name, options, library, plugins, script: None })
    }

    /// The job that a script is: the library that runs scripts is loaded for it, and only then.
    fn script(path: &Path) -> Result<Self, Box<dyn Error>> {
        let text = fs::read_to_string(path)
            .map_err(|error| format!("the script {} cannot be read: {error}", path.display()))?;
        let library = std::env::current_exe()?.with_file_name(SQL_LIBRARY);
        if !library.exists() {
            let place = library.display();
            return Err(format!(
                "scripts are run by {place}, which is not there: build it with `cargo build \
                 --release --package millstream-sql`"
            )
            .into());
        }
        let job = Self::load(library.as_os_str(), None)?;
        let is_told = |option: &OptionInfo| [SCRIPT, PLUGINS].contains(&option.name.as_str());
        let options = job.options.into_iter().filter(|option| !is_told(option)).collect();
        Ok(Self { script: Some(text), options, ..job })
    }

    /// Loads the plugins of these directories beside the job.
    pub(crate) fn add_plugins(&mut self, directories: &[PathBuf]) -> Result<(), Box<dyn Error>> {
        self.plugins.extend(directories.iter().cloned());
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

/// Checks that there is what savepoints need, whichever way it is said.
fn check_savepoints(config: &Config, interrupt: Interrupt) -> Result<(), String> {
    let is_set = |key: &str| {
        config.explain().any(|(option, value, _)| option.key == key && !value.is_empty())
    };
    let savepoints = is_set("checkpoint.savepoint-dir");
    if interrupt != Interrupt::Cancel && !savepoints {
        return Err("--stop-with-savepoint needs a place: add --savepoint-dir DIR".into());
    }
    if savepoints && !is_set("checkpoint.dir") {
        return Err("savepoints are taken by way of checkpoints: add --checkpoint-dir DIR".into());
    }
    Ok(())
}

/// Says so if the job asks for checkpoints, but nobody has said where they go.
fn warn_of_checkpoints(config: &Config) {
    let option = |key: &str| config.explain().find(|(option, ..)| option.key == key);
    let asked = option("checkpoint.interval").is_some_and(|(_, _, origin)| origin == Origin::Job);
    if asked && option("checkpoint.dir").is_some_and(|(_, place, _)| place.is_empty()) {
        eprintln!(
            "warning: the job asks for checkpoints, which have no place: add --checkpoint-dir DIR"
        );
    }
}

/// Runs a job to its end.
pub(crate) fn run(mut job: Job, arguments: RunArguments) -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = arguments;
    if let Some(script) = job.script.take() {
        let directories: Vec<_> =
            job.plugins.iter().map(|path| path.display().to_string()).collect();
        let told = [(SCRIPT, script), (PLUGINS, directories.join("\n"))];
        arguments.options.extend(told.map(|(name, value)| (name.to_owned(), value)));
    }
    let program = job.registry.job(&job.plugin, &job.name, &arguments.options)?;
    arguments.config.ask(&program.graph()?.settings)?;
    check_savepoints(&arguments.config, arguments.interrupt)?;
    warn_of_checkpoints(&arguments.config);
    let output = arguments.output.unwrap_or_else(|| Output::expected(&program, &job.registry));
    let builder = arguments.config.builder()?.plugins(job.registry).transport(arguments.transport);
    let height = || usize::from(console::Term::stdout().size().0);
    let result: Box<dyn ResultSink> = match output {
        Output::Csv => Box::new(Csv::new(io::stdout())),
        Output::Json => Box::new(Json::new(io::stdout())),
        Output::Table => Box::new(Table::new(io::stdout())),
        Output::Changelog => Box::new(Changelog::new(io::stdout())),
        Output::Live => Box::new(Live::new(io::stdout(), height)),
        Output::None => Box::new(Discard),
    };
    let runtime = builder.build()?;
    let exporter = arguments.metrics.map(Exporter::listen).transpose()?;
    if let Some(exporter) = &exporter {
        eprintln!("metrics: http://{}/metrics", exporter.address());
    }
    let watched = (arguments.interrupt, output != Output::Live);
    let mut watch = Watch::start(exporter, watched, runtime.savepoints())?;
    let summary = if arguments.processes == 1 {
        runtime
            .run_with(&program, result, &mut |progress, outcome| watch.look(progress, outcome))?
    } else {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(WORKER);
        let spec = JobSpec {
            library: job.library,
            plugins: job.plugins,
            job: job.name,
            options: arguments.options,
            settings: arguments.config.settings(),
        };
        let job = Coordinated { spec, processes: arguments.processes, command };
        cluster::coordinate(&runtime, job, &program, result, &mut |progress, outcome| {
            watch.look(progress, outcome);
        })?
    };
    watch.finish(&summary);
    Ok(ExitCode::SUCCESS)
}
