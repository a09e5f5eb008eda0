//! What was typed, and what it means.

use std::{
    error::Error,
    ffi::OsString,
    fs,
    net::{SocketAddr, ToSocketAddrs},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Arg, ArgAction, Command, builder::ValueParser, error::ErrorKind};
use millstream::{Config, cluster, config::Origin};
use millstream_loader::{OptionInfo, OptionType};

use crate::{
    explain, plugins,
    run::{self, Job, Output, RunArguments},
    savepoint,
    watch::Interrupt,
};

/// The exit code for arguments that make no sense, as clap's.
const USAGE: u8 = 2;

/// The first argument of a worker process, which a user never types.
pub(crate) const WORKER: &str = "worker-process";

/// Does what the arguments say.
pub(crate) fn execute(arguments: Vec<OsString>) -> Result<ExitCode, Box<dyn Error>> {
    if arguments.first().is_some_and(|first| first == WORKER) {
        return Ok(cluster::work());
    }
    // A job brings options of its own, so it is loaded before its command line is read.
    let job = match job_path(&arguments) {
        Some(path) => Some(Job::load(path, job_name(&arguments))?),
        None => None,
    };
    let declared = job.as_ref().map_or(&[][..], Job::options);
    if let Some(taken) = declared.iter().find(|option| is_own(&option.name)) {
        return Err(format!(
            "the job's option --{} has the name of an option of `millstream run`: rename it",
            taken.name
        )
        .into());
    }
    let matches = match command(declared).try_get_matches_from(with_name(&arguments)) {
        Ok(matches) => matches,
        Err(error) => {
            let help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            error.print()?;
            return Ok(if help { ExitCode::SUCCESS } else { ExitCode::from(USAGE) });
        }
    };
    match (matches.subcommand(), job) {
        (Some(("run", matches)), Some(mut job)) => {
            job.add_plugins(&plugin_directories(matches))?;
            let options = declared_values(matches, job.options())?;
            let output = matches.get_one("output").copied();
            let processes = matches.get_one("processes").copied().unwrap_or(1);
            let transport = matches.get_one("transport").copied().unwrap_or_default();
            let metrics = matches.get_one("metrics").copied();
            let interrupt = match matches.get_flag("stop-with-savepoint") {
                true => Interrupt::Savepoint { drain: matches.get_flag("drain") },
                false => Interrupt::Cancel,
            };
            let config = config(matches)?;
            let arguments =
                RunArguments { config, output, options, processes, transport, metrics, interrupt };
            run::run(job, arguments)
        }
        (Some(("config", matches)), _) => {
            let Some(("explain", matches)) = matches.subcommand() else {
                command(&[]).print_help()?;
                return Ok(ExitCode::from(USAGE));
            };
            explain::explain(&config(matches)?)?;
            Ok(ExitCode::SUCCESS)
        }
        (Some(("plugin", matches)), _) => plugin(matches),
        (Some(("savepoint", matches)), _) => inspect_savepoint(matches),
        _ => {
            command(&[]).print_help()?;
            Ok(ExitCode::from(USAGE))
        }
    }
}

/// Does what `savepoint ...` says.
fn inspect_savepoint(matches: &clap::ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let Some((_, matches)) = matches.subcommand() else { return Ok(ExitCode::from(USAGE)) };
    let Some(path) = matches.get_one::<String>("path") else { return Ok(ExitCode::from(USAGE)) };
    match matches.get_one::<String>("dump") {
        Some(what) => savepoint::dump(path, what)?,
        None => print!("{}", savepoint::inspect(path)?),
    }
    Ok(ExitCode::SUCCESS)
}

/// Does what `plugin ...` says.
fn plugin(matches: &clap::ArgMatches) -> Result<ExitCode, Box<dyn Error>> {
    let Some((action, matches)) = matches.subcommand() else { return Ok(ExitCode::from(USAGE)) };
    let mut registry = plugins::registry(&plugin_directories(matches))?;
    match matches.try_get_one::<String>("name") {
        Ok(Some(name)) if action == "inspect" => {
            print!("{}", plugins::inspect(&mut registry, name)?);
        }
        _ => print!("{}", plugins::list(&registry)),
    }
    Ok(ExitCode::SUCCESS)
}

/// The directories of `--plugin-path`.
fn plugin_directories(matches: &clap::ArgMatches) -> Vec<PathBuf> {
    matches.get_many::<String>("plugin-path").into_iter().flatten().map(PathBuf::from).collect()
}

/// The configuration: the file, then `--set`, then options of their own.
fn config(matches: &clap::ArgMatches) -> Result<Config, Box<dyn Error>> {
    let mut config = Config::new();
    if let Some(path) = matches.get_one::<String>("config") {
        config.read(Path::new(path))?;
    }
    for setting in matches.get_many::<String>("set").into_iter().flatten() {
        config.assign(setting)?;
    }
    let parallelism = matches.try_get_one::<u32>("parallelism").unwrap_or_default();
    if let Some(parallelism) = parallelism {
        let value = parallelism.to_string();
        config.insert("parallelism.default", value, Origin::CommandLine)?;
    }
    for (argument, key) in [
        ("checkpoint-dir", "checkpoint.dir"),
        ("checkpoint-interval", "checkpoint.interval"),
        ("restore", "checkpoint.restore"),
        ("state", "state.backend.type"),
        ("claim-mode", "checkpoint.claim-mode"),
        ("savepoint-dir", "checkpoint.savepoint-dir"),
    ] {
        if let Some(value) = matches.try_get_one::<String>(argument).unwrap_or_default() {
            config.insert(key, value.clone(), Origin::CommandLine)?;
        }
    }
    let allow = "allow-non-restored-state";
    if matches.try_get_one::<bool>(allow).unwrap_or_default().copied().unwrap_or_default() {
        let key = "checkpoint.allow-non-restored-state";
        config.insert(key, "true".into(), Origin::CommandLine)?;
    }
    Ok(config)
}

fn command(job_options: &[OptionInfo]) -> Command {
    Command::new("millstream")
        .about("A stream processor")
        .after_help(
            "Exit codes: 0 all is done, 1 it failed, 2 the arguments make no sense, 130 Ctrl-C ended \
             it. Results go to standard output, everything else to standard error.",
        )
        .version(env!("CARGO_PKG_VERSION"))
        .arg_required_else_help(true)
        .subcommand(run_command(job_options))
        .subcommand(
            Command::new("config")
                .about("Explain the options of the engine")
                .arg_required_else_help(true)
                .subcommand(configured(Command::new("explain").about(
                    "Show each option, its value, where that came from, and the memory table",
                ))),
        )
        .subcommand(plugin_command())
        .subcommand(savepoint_command())
}

fn savepoint_command() -> Command {
    Command::new("savepoint")
        .about("Read savepoints and checkpoints")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("inspect")
                .about("Show the operators of a savepoint, and their states with schemas and sizes")
                .arg(
                    Arg::new("path")
                        .value_name("PATH")
                        .required(true)
                        .help("The directory of a savepoint, or of a checkpoint"),
                )
                .arg(
                    Arg::new("dump")
                        .long("dump")
                        .value_name("OPERATOR/STATE")
                        .help("Print the entries of a keyed state as lines of JSON instead"),
                ),
        )
}

fn plugin_command() -> Command {
    let name = Arg::new("name").value_name("NAME|PATH").required(true);
    Command::new("plugin")
        .about("Show what plugins offer")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(
            Command::new("list")
                .about("List the sources, sinks, formats, functions and jobs of all plugins")
                .arg(plugin_path()),
        )
        .subcommand(
            Command::new("inspect")
                .about("Explain a plugin, a connector or a library, with all options")
                .arg(name.help("A plugin, something that one offers, or the path of a library"))
                .arg(plugin_path()),
        )
}

fn plugin_path() -> Arg {
    Arg::new("plugin-path")
        .long("plugin-path")
        .value_name("DIRECTORY")
        .action(ArgAction::Append)
        .help("Load the plugins of this directory, too; may be given several times")
}

fn run_command(job_options: &[OptionInfo]) -> Command {
    let run = Command::new("run")
        .about("Run a job")
        .long_about(
            "Run a script in Flink's SQL, a file whose name ends in .sql, or a compiled job: a \
             library that exports one, such as target/release/libflights.so. Options after the path that the job declares go to \
             the job; `millstream run JOB --help` lists them.",
        )
        .arg(Arg::new("job").value_name("JOB").required(true).help("A script, or the job's library"))
        .arg(
            Arg::new("job-name")
                .long("job")
                .value_name("NAME")
                .help("Which job, if the library offers several"),
        )
        .arg(
            Arg::new("parallelism")
                .long("parallelism")
                .short('p')
                .value_name("N")
                .value_parser(clap::value_parser!(u32).range(1..=32768))
                .help("Subtasks of each operator [default: the number of cores]"),
        )
        .arg(
            Arg::new("processes")
                .long("processes")
                .value_name("N")
                .value_parser(clap::value_parser!(u32).range(1..=64))
                .help("Processes on this machine that share the job [default: 1]"),
        )
        .arg(
            Arg::new("transport")
                .long("transport")
                .value_name("NAME")
                .value_parser(ValueParser::new(run::parse_transport))
                .help("How processes exchange rows: auto, uring or tcp [default: auto]"),
        )
        .arg(
            Arg::new("output")
                .long("output")
                .value_name("FORMAT")
                .value_parser(ValueParser::new(Output::parse))
                .help(
                    "How the result is printed: csv, json or table when the job is done, changelog \
                     each change as it comes, live a table that changes, or none [default: csv; if the \
                     input has no end live on a terminal, and changelog elsewhere]",
                ),
        )
        .arg(
            Arg::new("state")
                .long("state")
                .value_name("memory|lsm")
                .help("Where state is kept; lsm is for more than fits in memory [default: memory]"),
        )
        .arg(
            Arg::new("checkpoint-dir")
                .long("checkpoint-dir")
                .value_name("DIR")
                .help("Keep checkpoints there: after a failure the same command line goes on"),
        )
        .arg(
            Arg::new("checkpoint-interval")
                .long("checkpoint-interval")
                .value_name("TIME")
                .help("From one checkpoint to the next, e.g. 500ms [default: 10 s]"),
        )
        .arg(Arg::new("restore").long("restore").value_name("latest|none|PATH").help(
            "What to begin from, with --checkpoint-dir; the directory of a checkpoint or \
                     savepoint, for instance [default: latest]",
        ))
        .args(savepoint_arguments())
        .arg(
            Arg::new("metrics")
                .long("metrics")
                .value_name("ADDRESS:PORT")
                .value_parser(ValueParser::new(parse_address))
                .help("Serve metrics for Prometheus at this address, e.g. 127.0.0.1:9249"),
        );
    let run = configured(run).arg(plugin_path());
    job_options.iter().fold(run, |run, option| run.arg(job_argument(option)))
}

fn savepoint_arguments() -> [Arg; 5] {
    [
        Arg::new("savepoint-dir")
            .long("savepoint-dir")
            .value_name("DIR")
            .help("Take a savepoint there at SIGUSR1, with --checkpoint-dir"),
        Arg::new("stop-with-savepoint")
            .long("stop-with-savepoint")
            .action(ArgAction::SetTrue)
            .help("Have Ctrl-C and SIGTERM take a savepoint and stop the job behind it"),
        Arg::new("drain")
            .long("drain")
            .action(ArgAction::SetTrue)
            .requires("stop-with-savepoint")
            .help(
                "Have all windows and timers fire before it stops; for a job that will not go on",
            ),
        Arg::new("claim-mode")
            .long("claim-mode")
            .value_name("claim|no-claim")
            .requires("restore")
            .help("Whether the path of --restore is the engine's to remove [default: no-claim]"),
        Arg::new("allow-non-restored-state")
            .long("allow-non-restored-state")
            .action(ArgAction::SetTrue)
            .requires("restore")
            .help("Leave state behind that no operator of the job takes"),
    ]
}

/// The address that a host and a port stand for.
fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let mut addresses = text.to_socket_addrs().map_err(|error| error.to_string())?;
    addresses.next().ok_or_else(|| "there is no such host".into())
}

/// A command that takes the options of the engine.
fn configured(command: Command) -> Command {
    command
        .arg(
            Arg::new("set")
                .long("set")
                .value_name("KEY=VALUE")
                .action(ArgAction::Append)
                .help("Set an option of the engine, e.g. memory.segment-size=64KiB"),
        )
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .help("Read options of the engine from a TOML file"),
        )
}

/// Whether `run` has an option of this name itself.
fn is_own(name: &str) -> bool {
    let run = run_command(&[]);
    let mut names = run.get_arguments().filter_map(Arg::get_long);
    name == "help" || names.any(|own| own == name)
}

/// An option of the job as an argument.
fn job_argument(option: &OptionInfo) -> Arg {
    let mut help = option.doc.clone();
    if option.secret {
        help.push_str(" [secret; @FILE reads it from a file]");
    } else if let Some(default) = &option.default {
        help.push_str(&format!(" [default: {default}]"));
    }
    if option.required {
        help.push_str(" [required]");
    }
    let value = match option.value_type {
        OptionType::String => "TEXT",
        OptionType::Integer | OptionType::Float => "NUMBER",
        OptionType::Boolean => "true|false",
        OptionType::Bytes => "BYTES",
        OptionType::Duration => "TIME",
        OptionType::Format => "FORMAT",
    };
    Arg::new(option.name.clone())
        .long(option.name.clone())
        .value_name(value)
        .help(help)
        .help_heading("Options of the job")
        .required(option.required)
        .allow_hyphen_values(true)
}

/// The options of the job that were given. A secret may be in a file, so that no list of processes
/// shows it.
fn declared_values(
    matches: &clap::ArgMatches,
    declared: &[OptionInfo],
) -> Result<Vec<(String, String)>, String> {
    let mut given = Vec::new();
    for option in declared {
        let Some(value) = matches.get_one::<String>(&option.name) else { continue };
        let value = match value.strip_prefix('@').filter(|_| option.secret) {
            Some(path) => {
                let text = fs::read_to_string(path).map_err(|error| {
                    format!("--{} is to be read from {path}: {error}", option.name)
                })?;
                text.trim_end_matches(['\r', '\n']).to_owned()
            }
            None => value.clone(),
        };
        given.push((option.name.clone(), value));
    }
    Ok(given)
}

/// The name in `run JOB --job NAME`, which has to be known before the job's options are.
fn job_name(arguments: &[OsString]) -> Option<&str> {
    let mut arguments = arguments.iter().map(|argument| argument.to_str().unwrap_or(""));
    while let Some(argument) = arguments.next() {
        match argument.strip_prefix("--job") {
            Some("") => return arguments.next(),
            Some(rest) if rest.starts_with('=') => return rest.get(1..),
            _ => {}
        }
    }
    None
}

/// The path of the job in `run JOB ...`: the first argument after `run` that is neither an option
/// nor an option's value.
fn job_path(arguments: &[OsString]) -> Option<&OsString> {
    let (first, rest) = arguments.split_first()?;
    if first != "run" {
        return None;
    }
    let takes_value = |option: &str| {
        let known = run_command(&[]);
        let names = known.get_arguments().filter(|argument| {
            argument.get_long().is_some() && argument.get_action().takes_values()
        });
        let mut spellings = names.flat_map(|argument| {
            let long = argument.get_long().map(|long| format!("--{long}"));
            let short = argument.get_short().map(|short| format!("-{short}"));
            long.into_iter().chain(short)
        });
        spellings.any(|spelling| spelling == option)
    };
    let mut rest = rest.iter();
    while let Some(argument) = rest.next() {
        match argument.to_str() {
            Some(option) if option.starts_with('-') => {
                if takes_value(option) {
                    rest.next();
                }
            }
            _ => return Some(argument),
        }
    }
    None
}

/// Clap expects the program's name in front.
fn with_name(arguments: &[OsString]) -> impl Iterator<Item = OsString> {
    std::iter::once(OsString::from("millstream")).chain(arguments.iter().cloned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(arguments: &[&str]) -> Option<String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        job_path(&arguments).map(|path| path.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_job_is_the_first_argument_that_is_no_option() {
        assert_eq!(path(&["run", "a.so", "--input", "x"]).as_deref(), Some("a.so"));
        assert_eq!(path(&["run", "--parallelism", "2", "a.so"]).as_deref(), Some("a.so"));
        assert_eq!(path(&["run", "-p", "2", "--output=csv", "a.so"]).as_deref(), Some("a.so"));
        assert_eq!(path(&["run", "--drain", "a.so"]).as_deref(), Some("a.so"));
        assert_eq!(path(&["run", "--help"]), None);
        assert_eq!(path(&["plugin", "list"]), None);
    }

    #[test]
    fn a_job_is_named_in_either_way() {
        let name = |arguments: &[&str]| {
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            job_name(&arguments).map(str::to_owned)
        };
        assert_eq!(name(&["run", "a.so", "--job", "x"]).as_deref(), Some("x"));
        assert_eq!(name(&["run", "--job=x", "a.so"]).as_deref(), Some("x"));
        assert_eq!(name(&["run", "a.so", "--jobs", "x"]), None);
    }

    #[test]
    fn addresses_may_be_names() {
        assert!(parse_address("localhost:9249").is_ok_and(|address| address.port() == 9249));
        assert!(parse_address("9249").is_err());
    }

    #[test]
    fn names_of_our_own_are_not_for_jobs() {
        assert!(is_own("set") && is_own("output") && is_own("help"));
        assert!(!is_own("input"));
    }

    #[test]
    fn the_command_is_well_formed() {
        command(&[]).debug_assert();
    }
}
