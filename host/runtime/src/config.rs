//! Configuration: each option with its type, default and meaning, and where its value came from.
//!
//! Later wins: default, file (TOML), what the job asks for, `--set`, and what an option of the command line says.

mod machine;
mod options;

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZero,
    path::{Path, PathBuf},
    time::Duration,
};

use millstream_dataflow::task::BufferTimeout;
use millstream_exchange::debloat::DebloatConfig;
use millstream_file_storage::{Backend, Preference};
use millstream_loader::nearest;
use millstream_memory::model::{MemoryError, MemoryOptions, MemoryTable};
use millstream_net::ZeroCopy;
use millstream_sdk::options::{parse_bytes, parse_duration};

pub use options::{ConfigKind, ConfigOption, OPTIONS};

use crate::{
    Barriers, Builder, CheckpointOptions, ClaimMode, ExchangeOptions, RestoreFrom, RunError,
    StateBackend, spill::LocalFiles,
};

/// Network memory if nothing says otherwise: the classic 2048 segments of 32 KiB.
const NETWORK_BYTES_DEFAULT: u64 = 64 << 20;

/// The largest row that can be configured.
const RECORD_BYTES_LIMIT: usize = 1 << 30;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file.
    File(String),
    /// The job, as a script that sets it.
    Job,
    /// The command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::Job => f.write_str("the job"),
            Self::CommandLine => f.write_str("command line"),
        }
    }
}

/// The values of the options.
#[derive(Clone, Debug, Default)]
pub struct Config {
    set: BTreeMap<&'static str, (String, Origin)>,
}

/// Why a configuration is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The option does not exist.
    #[error("there is no option `{key}` ({origin}){hint}")]
    Unknown {
        /// The option.
        key: String,
        /// Who set it.
        origin: String,
        /// The nearest that exists.
        hint: String,
    },
    /// The value is not one of the option.
    #[error("the option `{key}` is `{value}` ({origin}), which is not {expected}")]
    Value {
        /// The option.
        key: String,
        /// Its value.
        value: String,
        /// Who set it.
        origin: String,
        /// What it should be.
        expected: &'static str,
    },
    /// A setting is not `key=value`.
    #[error("`--set {setting}` is not of the form key=value")]
    Setting {
        /// The setting.
        setting: String,
    },
    /// The file cannot be read, or is no TOML.
    #[error("configuration file {path}: {what}")]
    File {
        /// The file.
        path: String,
        /// What is wrong.
        what: String,
    },
}

impl Config {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets what a TOML file says: `memory.segment-size = "32 KiB"`, or in a table `[memory]`.
    ///
    /// # Errors
    /// If the file cannot be read, is no TOML, or sets an option wrongly.
    pub fn read(&mut self, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let wrong = |what: String| ConfigError::File { path: shown.clone(), what };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        self.parse(&shown, &text)
    }

    /// Sets what the text of a TOML file says; `shown` names the file.
    ///
    /// # Errors
    /// If it is no TOML, or sets an option wrongly.
    pub fn parse(&mut self, shown: &str, text: &str) -> Result<(), ConfigError> {
        let wrong = |what: String| ConfigError::File { path: shown.into(), what };
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| wrong(error.to_string()))?;
        let mut values = Vec::new();
        flatten("", &table, &mut values);
        for (key, value) in values {
            self.insert(&key, value, Origin::File(shown.into()))?;
        }
        Ok(())
    }

    /// Sets what `key=value` says.
    ///
    /// # Errors
    /// If it is not of this form, or sets an option wrongly.
    pub fn assign(&mut self, setting: &str) -> Result<(), ConfigError> {
        let Some((key, value)) = setting.split_once('=') else {
            return Err(ConfigError::Setting { setting: setting.into() });
        };
        self.insert(key.trim(), value.trim().into(), Origin::CommandLine)
    }

    /// Sets an option.
    ///
    /// # Errors
    /// If it does not exist, or the value is not one of it.
    pub fn insert(&mut self, key: &str, value: String, origin: Origin) -> Result<(), ConfigError> {
        let Some(option) = OPTIONS.iter().find(|option| option.key == key) else {
            let hint = match nearest(key, OPTIONS.iter().map(|option| option.key)) {
                Some(near) => format!(": did you mean `{near}`?"),
                None => ": `millstream config explain` lists them".into(),
            };
            return Err(ConfigError::Unknown { key: key.into(), origin: origin.to_string(), hint });
        };
        if let Some(expected) = option.kind.mismatch(&value) {
            let (key, origin) = (key.into(), origin.to_string());
            return Err(ConfigError::Value { key, value, origin, expected });
        }
        self.set.insert(option.key, (value, origin));
        Ok(())
    }

    /// Sets what a job asks for, but for what the command line says.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn ask(&mut self, settings: &[(String, String)]) -> Result<(), ConfigError> {
        for (key, value) in settings {
            let said = self.set.get(key.as_str());
            if said.is_none_or(|(_, origin)| *origin != Origin::CommandLine) {
                self.insert(key, value.clone(), Origin::Job)?;
            }
        }
        Ok(())
    }

    /// Every option with its value and where that came from.
    pub fn explain(&self) -> impl Iterator<Item = (&'static ConfigOption, &str, Origin)> {
        OPTIONS.iter().map(|option| match self.set.get(option.key) {
            Some((value, origin)) => (option, value.as_str(), origin.clone()),
            None => (option, option.default, Origin::Default),
        })
    }

    /// The parts of memory, if the whole was set.
    ///
    /// # Errors
    /// If the parts do not fit into it.
    pub fn memory(&self) -> Result<Option<MemoryTable>, MemoryError> {
        let bytes = |key| parse_bytes(self.value(key));
        let (process, engine) = (bytes("memory.process.size"), bytes("memory.engine.size"));
        if process.is_none() && engine.is_none() {
            return Ok(None);
        }
        let mut options = MemoryOptions { process, engine, ..MemoryOptions::default() };
        options.task = bytes("memory.task.size");
        options.managed = bytes("memory.managed.size");
        options.segment_size = self.bytes("memory.segment-size");
        if let Some(network) = bytes("memory.network") {
            (options.network.min, options.network.max) = (network, network);
        }
        options.derive().map(Some)
    }

    /// What was set, in no matter which way: another process is configured alike with it.
    pub fn settings(&self) -> Vec<(String, String)> {
        self.set.iter().map(|(key, (value, _))| ((*key).into(), value.clone())).collect()
    }

    /// A builder of a runtime that is configured so.
    ///
    /// # Errors
    /// If values do not fit each other.
    pub fn builder(&self) -> Result<Builder, RunError> {
        let mut builder = Builder::default();
        if let Some(parallelism) = self.integer("parallelism.default") {
            builder = builder.parallelism(u32::try_from(parallelism).unwrap_or(u32::MAX));
        }
        if let Some(workers) = self.integer("executor.workers") {
            builder = builder.workers(workers as usize);
        }
        builder = builder
            .spin(parse_duration(self.value("executor.spin")).unwrap_or_default())
            .segment_size(self.bytes("memory.segment-size"))
            .exchange(self.exchange())
            .storage(LocalFiles::new(self.spill_directories(), self.spill_storage()))
            .heartbeat_timeout(parse_duration(self.value("heartbeat.timeout")).unwrap_or_default())
            .state(match self.value("state.backend.type") {
                "lsm" => StateBackend::Lsm,
                _ => StateBackend::Memory,
            })
            .state_compression(self.value("state.lsm.compression").parse().unwrap_or_default())
            .network_memory(self.network()?)
            .buffer_timeout(self.timeout("exchange.buffer-timeout"));
        if !self.value("checkpoint.dir").is_empty() {
            builder = builder.checkpoints(self.checkpoints());
        }
        let derived = self.memory()?.map(|table| table.managed.bytes);
        let set = || parse_bytes(self.value("memory.managed.size"));
        if let Some(managed) = derived.or_else(set).or_else(machine::share) {
            builder = builder.managed_memory(managed as usize);
        }
        Ok(builder)
    }

    fn checkpoints(&self) -> CheckpointOptions {
        let number = |key| self.integer(key).map_or(0, |n| u32::try_from(n).unwrap_or(u32::MAX));
        let time = |key| parse_duration(self.value(key)).unwrap_or_default();
        CheckpointOptions {
            interval: time("checkpoint.interval"),
            timeout: time("checkpoint.timeout"),
            min_pause: time("checkpoint.min-pause"),
            tolerable_failures: number("checkpoint.tolerable-failures"),
            retained: number("checkpoint.retained") as usize,
            restarts: number("restart.attempts"),
            barriers: match (self.value("checkpoint.mode"), self.value("checkpoint.unaligned")) {
                ("at-least-once", _) => Barriers::AtLeastOnce,
                (_, "true") => Barriers::Unaligned { after: time("checkpoint.aligned-timeout") },
                _ => Barriers::Aligned,
            },
            restore: match self.value("checkpoint.restore") {
                "" | "latest" => RestoreFrom::Latest,
                "none" => RestoreFrom::Nothing,
                path => RestoreFrom::Path(path.into()),
            },
            claim: match self.value("checkpoint.claim-mode") {
                "claim" => ClaimMode::Claim,
                _ => ClaimMode::NoClaim,
            },
            allow_non_restored: self.value("checkpoint.allow-non-restored-state") == "true",
            local_directory: match self.value("state.local-directory") {
                "" => {
                    self.spill_directories().into_iter().next().unwrap_or_else(std::env::temp_dir)
                }
                path => path.into(),
            },
            local_recovery: self.value("state.local-recovery") == "true",
            savepoints: match self.value("checkpoint.savepoint-dir") {
                "" => None,
                path => Some(path.into()),
            },
            ..CheckpointOptions::new(self.value("checkpoint.dir"))
        }
    }

    fn spill_directories(&self) -> Vec<PathBuf> {
        let directories = self.value("io.tmp.dirs").split(',').map(str::trim);
        directories.filter(|directory| !directory.is_empty()).map(PathBuf::from).collect()
    }

    fn spill_storage(&self) -> Preference {
        match self.value("io.tmp.storage") {
            "uring" => Preference::Only(Backend::Uring),
            "threads" => Preference::Only(Backend::Threads),
            _ => Preference::Auto,
        }
    }

    fn exchange(&self) -> ExchangeOptions {
        let segments = |key| self.integer(key).unwrap_or(1) as usize;
        let record_bytes = self.bytes("exchange.max-record-size").clamp(1, RECORD_BYTES_LIMIT);
        ExchangeOptions {
            exclusive_segments: segments("exchange.exclusive-segments"),
            floating_segments: segments("exchange.floating-segments"),
            record_bytes_max: record_bytes as u32,
            zero_copy: match self.value("exchange.zero-copy") {
                "true" => ZeroCopy::Always,
                "false" => ZeroCopy::Never,
                _ => ZeroCopy::WherePays,
            },
            debloat: (self.value("exchange.debloat.enabled") == "true").then(|| self.debloat()),
            source_rate: self.integer("source.rows-per-second").and_then(NonZero::new),
        }
    }

    fn debloat(&self) -> DebloatConfig {
        let number = |key| self.integer(key).map_or(1, |n| u32::try_from(n).unwrap_or(u32::MAX));
        let time = |key| parse_duration(self.value(key)).unwrap_or_default();
        DebloatConfig {
            target: time("exchange.debloat.target"),
            period: time("exchange.debloat.period"),
            samples: number("exchange.debloat.samples"),
            threshold_percent: number("exchange.debloat.threshold-percent"),
            ..DebloatConfig::default()
        }
    }

    fn network(&self) -> Result<usize, MemoryError> {
        let derived = self.memory()?.map(|table| table.network.bytes);
        let set = parse_bytes(self.value("memory.network"));
        Ok(derived.or(set).unwrap_or(NETWORK_BYTES_DEFAULT) as usize)
    }

    fn value(&self, key: &str) -> &str {
        let found = self.explain().find(|(option, ..)| option.key == key);
        found.map_or("", |(_, value, _)| value)
    }

    fn integer(&self, key: &str) -> Option<u64> {
        self.value(key).parse().ok()
    }

    fn bytes(&self, key: &str) -> usize {
        parse_bytes(self.value(key)).unwrap_or(0) as usize
    }

    fn timeout(&self, key: &str) -> BufferTimeout {
        match self.value(key) {
            "-1" => BufferTimeout::OnlyFull,
            value => match parse_duration(value).unwrap_or_default() {
                Duration::ZERO => BufferTimeout::EachRecord,
                timeout => BufferTimeout::After(timeout.as_micros() as u64),
            },
        }
    }
}

/// The values of a table by their full names.
fn flatten(prefix: &str, table: &toml::Table, values: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(table) => flatten(&key, table, values),
            toml::Value::String(text) => values.push((key, text.clone())),
            other => values.push((key, other.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_value_of_its_option() {
        for option in OPTIONS.iter().filter(|option| !option.default.is_empty()) {
            assert_eq!(option.kind.mismatch(option.default), None, "{}", option.key);
        }
    }

    #[test]
    fn errors_name_option_origin_and_the_nearest() {
        let mut config = Config::new();
        assert_eq!(
            config.assign("memory.segmentsize=4kb").unwrap_err().to_string(),
            "there is no option `memory.segmentsize` (command line): did you mean \
             `memory.segment-size`?"
        );
        assert_eq!(
            config.assign("memory.network=lots").unwrap_err().to_string(),
            "the option `memory.network` is `lots` (command line), which is not a number of bytes \
             such as `64 MiB`"
        );
        assert!(config.assign("memory.network").is_err());
    }

    #[test]
    fn later_wins_and_origins_are_kept() {
        let file = std::env::temp_dir().join(format!("millstream-config-{}", std::process::id()));
        std::fs::write(&file, "[memory]\nnetwork = \"1 MiB\"\nsegment-size = 4096\n").unwrap();
        let mut config = Config::new();
        config.read(&file).unwrap();
        config.assign("memory.network=2 MiB").unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(config.network().unwrap(), 2 << 20);
        assert_eq!(config.bytes("memory.segment-size"), 4096);
        let origins: Vec<_> = config.explain().map(|(_, _, origin)| origin).collect();
        assert!(origins.contains(&Origin::CommandLine));
        assert!(origins.iter().any(|origin| matches!(origin, Origin::File(_))));
    }

    #[test]
    fn network_memory_follows_from_the_whole_and_what_does_not_fit_is_refused() {
        let mut config = Config::new();
        config.assign("memory.engine.size=1 GiB").unwrap();
        let table = config.memory().unwrap().unwrap();
        assert_eq!(config.network().unwrap() as u64, table.network.bytes);
        config.assign("memory.managed.size=2 GiB").unwrap();
        assert!(config.builder().unwrap_err().to_string().contains("memory.managed.size"));
    }

    #[test]
    fn buffer_timeouts() {
        let timeout = |value: &str| {
            let mut config = Config::new();
            config.assign(&format!("exchange.buffer-timeout={value}")).unwrap();
            config.timeout("exchange.buffer-timeout")
        };
        assert_eq!(timeout("0"), BufferTimeout::EachRecord);
        assert_eq!(timeout("-1"), BufferTimeout::OnlyFull);
        assert_eq!(timeout("2 ms"), BufferTimeout::After(2000));
    }
}
