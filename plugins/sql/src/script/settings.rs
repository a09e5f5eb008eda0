//! What a script sets.

use std::collections::BTreeMap;

use millstream_dataflow::Environment;

use super::engine::ENGINE;
use crate::{
    error::{SqlError, suggestion},
    lower::{Enforced, Lengths, Mode, Running},
    operator::Bundling,
    parse::{Statement, StatementKind},
    time::{Zone, parse_duration},
};

/// What concerns Flink's own client only: it means nothing here.
const CLIENT: &str = "sql-client.";
/// Whether rows are said as they come, or when the input has ended.
const MODE: &str = "execution.runtime-mode";
const PARALLELISM: &str = "parallelism.default";
/// The same for the nodes of queries, in Flink: it counts more.
const TABLE_PARALLELISM: &str = "table.exec.resource.default-parallelism";
const NAME: &str = "pipeline.name";
/// How long state is kept after it was last written.
const TTL: &str = "table.exec.state.ttl";
/// After which time without rows a subtask of a table no longer holds the watermark back.
const IDLE: &str = "table.exec.source.idle-timeout";
/// What becomes of rows with NULL in a column that is NOT NULL.
const NULLS: &str = "table.exec.sink.not-null-enforcer";
/// What becomes of texts and bytes that are longer than their column, or shorter.
const LENGTHS: &str = "table.exec.sink.type-length-enforcer";
/// Whose clocks TIMESTAMP_LTZ is shown by.
const ZONE: &str = "table.local-time-zone";

/// Checks a value: the error says what the setting takes.
type Check = fn(&str) -> Result<(), String>;

/// Whether an aggregate says together what several rows change.
const BUNDLED: &str = "table.exec.mini-batch.enabled";
/// How long it may wait for them: it never does.
const LATENCY: &str = "table.exec.mini-batch.allow-latency";
/// How many they are at most.
const BUNDLE: &str = "table.exec.mini-batch.size";

/// Whether what the rows at hand do to a group is made before they are sent to its subtask.
const PHASES: &str = "table.optimizer.agg-phase-strategy";

/// The keys that can be set.
const KEYS: &[(&str, Check)] = &[
    (MODE, |value| mode(value).map(drop)),
    (PARALLELISM, |subtasks| parallelism(subtasks).map(drop)),
    (TABLE_PARALLELISM, |subtasks| parallelism(subtasks).map(drop)),
    (NAME, |name| match name.is_empty() {
        true => Err("takes a name that is not empty".into()),
        false => Ok(()),
    }),
    (TTL, |value| parse_duration(value).map(drop)),
    (IDLE, |value| parse_duration(value).map(drop)),
    (ZONE, |zone| Zone::parse(zone).map(drop)),
    (NULLS, |value| drops_nulls(value).map(drop)),
    (LENGTHS, |value| lengths(value).map(drop)),
    (BUNDLED, |value| truth(value).map(drop)),
    (LATENCY, |value| parse_duration(value).map(drop)),
    (BUNDLE, |rows| whole(rows).map(drop)),
    (PHASES, |value| two_phases(value).map(drop)),
];

/// Settings of Flink's that say how rows are computed or state is written, and nothing of which rows are left: they
/// are taken, and mean nothing.
const PLANNING: &[&str] = &[
    "execution.checkpointing.incremental",
    "state.backend.incremental",
    "table.optimizer.distinct-agg.split.enabled",
    "table.optimizer.join-reorder-enabled",
    "table.optimizer.reuse-source-enabled",
    "table.optimizer.reuse-sub-plan-enabled",
];

/// Keys of Flink's that are missing, and what there is instead.
const MISSING: &[(&str, &str)] = &[
    ("table.exec.sink.upsert-materialize", CONFLICT),
    ("table.exec.sink.require-on-conflict", CONFLICT),
    ("table.exec.emit.early-fire.enabled", EMIT),
    ("table.exec.emit.early-fire.delay", EMIT),
    ("table.exec.emit.late-fire.enabled", EMIT),
    ("table.exec.emit.late-fire.delay", EMIT),
    ("table.exec.emit.allow-lateness", EMIT),
];

/// Each INSERT says it for itself.
const CONFLICT: &str = "where rows of a query may have one primary key of a table, write ON CONFLICT DO DEDUPLICATE \
                        behind the query: of these the last one is written then";

/// Flink takes them for windows in GROUP BY only.
const EMIT: &str = "a window is said once, when it has ended: for groups that are said with each row GROUP BY \
                    `FLOOR(ts TO MINUTE)` for instance, and for rows that come late let the watermark wait for them, \
                    as in `WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE`";

/// What was set so far; the last word counts, for the whole script.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// What is set when all of these statements have run; what is wrong with them is found then.
    pub(super) fn of(statements: &[Statement]) -> Self {
        let mut settings = Self::default();
        for statement in statements {
            match &statement.kind {
                StatementKind::Set(key, value) => {
                    settings.0.insert(key.clone(), value.clone());
                }
                StatementKind::Reset(None) => settings.0.clear(),
                StatementKind::Reset(Some(key)) => {
                    settings.0.remove(key);
                }
                _ => {}
            }
        }
        settings
    }

    /// How queries run; in this mode, if none was set.
    pub(super) fn running(&self, default: Mode) -> Running {
        let mode = self.0.get(MODE).and_then(|value| mode(value).ok()).unwrap_or(default);
        let life = self.0.get(TTL).and_then(|value| parse_duration(value).ok());
        let idle = self.0.get(IDLE).and_then(|value| parse_duration(value).ok());
        let idle = idle.and_then(|millis| u64::try_from(millis).ok()).filter(|millis| *millis > 0);
        let enforced = Enforced {
            drops_nulls: self.0.get(NULLS).is_some_and(|value| drops_nulls(value) == Ok(true)),
            lengths: self.0.get(LENGTHS).and_then(|value| lengths(value).ok()).unwrap_or_default(),
        };
        Running { mode, life: life.filter(|millis| *millis > 0), idle, enforced, time: false }
    }

    /// How aggregates take several rows at once; `None`: they say what each has changed.
    pub(super) fn bundling(&self) -> Option<Bundling> {
        let is_on = self.0.get(BUNDLED).is_some_and(|value| truth(value) == Ok(true));
        let rows = self.0.get(BUNDLE).and_then(|value| whole(value).ok()).filter(|rows| *rows > 0);
        let rows = rows.and_then(|rows| usize::try_from(rows).ok()).unwrap_or(usize::MAX);
        let two_phases = self.0.get(PHASES).is_none_or(|value| two_phases(value) == Ok(true));
        is_on.then_some(Bundling { rows, two_phases })
    }

    /// The time zone of the session; `None` for UTC.
    pub(super) fn zone(&self) -> Option<Zone> {
        self.0.get(ZONE).and_then(|name| Zone::parse(name).ok()).flatten()
    }

    /// Takes a setting.
    ///
    /// # Errors
    /// If there is none of this name, it does not take the value, or it is no part of a script.
    pub(super) fn set(&mut self, key: String, value: String) -> Result<(), SqlError> {
        if !key.starts_with(CLIENT) {
            let checked = match ENGINE.iter().find(|engine| engine.key == key) {
                Some(engine) => (engine.value)(&value).map(drop),
                None => known(&key)?(&value),
            };
            checked.map_err(|takes| {
                SqlError::new(format!("the setting '{key}' {takes}; it was given '{value}'"))
            })?;
        }
        self.0.insert(key, value);
        Ok(())
    }

    /// Forgets a setting, or all.
    ///
    /// # Errors
    /// If there is none of this name.
    pub(super) fn reset(&mut self, key: Option<&str>) -> Result<(), SqlError> {
        match key {
            None => self.0.clear(),
            Some(key) => {
                if !key.starts_with(CLIENT) && ENGINE.iter().all(|engine| engine.key != key) {
                    known(key)?;
                }
                self.0.remove(key);
            }
        }
        Ok(())
    }

    /// What was set, by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Does what was set with a program that is written down; of two names of an option the one that Flink has now
    /// counts.
    pub(super) fn apply(&self, env: &Environment) {
        for engine in ENGINE.iter().rev() {
            if let Some(Ok(value)) = self.0.get(engine.key).map(|value| (engine.value)(value)) {
                env.configure(engine.option, value);
            }
        }
        if let Some(name) = self.0.get(NAME) {
            env.rename(name);
        }
        let subtasks = self.0.get(TABLE_PARALLELISM).or_else(|| self.0.get(PARALLELISM));
        if let Some(Ok(subtasks)) = subtasks.map(|value| parallelism(value)) {
            env.set_parallelism(subtasks);
        }
    }
}

pub(super) fn mode(value: &str) -> Result<Mode, String> {
    match value.to_lowercase().as_str() {
        "streaming" => Ok(Mode::Streaming),
        "batch" => Ok(Mode::Batch),
        _ => Err("takes 'streaming' or 'batch'".into()),
    }
}

/// Whether groups are made in two phases, where that is possible.
fn two_phases(value: &str) -> Result<bool, String> {
    match value.trim().to_uppercase().as_str() {
        "AUTO" | "TWO_PHASE" => Ok(true),
        "ONE_PHASE" => Ok(false),
        _ => Err("takes 'AUTO', 'ONE_PHASE' or 'TWO_PHASE'".into()),
    }
}

pub(super) fn truth(value: &str) -> Result<bool, String> {
    value.trim().to_lowercase().parse().map_err(|_| "takes 'true' or 'false'".into())
}

fn drops_nulls(value: &str) -> Result<bool, String> {
    match value.trim().to_uppercase().as_str() {
        "ERROR" => Ok(false),
        "DROP" => Ok(true),
        _ => Err("takes 'ERROR' or 'DROP'".into()),
    }
}

fn lengths(value: &str) -> Result<Lengths, String> {
    match value.trim().to_uppercase().as_str() {
        "IGNORE" => Ok(Lengths::Ignored),
        "TRIM_PAD" => Ok(Lengths::Fitted),
        "ERROR" => Ok(Lengths::Checked),
        _ => Err("takes 'IGNORE', 'TRIM_PAD' or 'ERROR'".into()),
    }
}

/// Of Flink's default, -1, as many as there are.
fn whole(value: &str) -> Result<i64, String> {
    value.trim().parse().map_err(|_| "takes a whole number".into())
}

fn parallelism(value: &str) -> Result<u32, String> {
    let subtasks = value.trim().parse().ok().filter(|subtasks| *subtasks > 0);
    subtasks.ok_or_else(|| "takes a whole number from 1 on".into())
}

/// What checks the values of a key.
fn known(key: &str) -> Result<Check, SqlError> {
    if let Some((_, check)) = KEYS.iter().find(|(name, _)| *name == key) {
        return Ok(*check);
    }
    if PLANNING.contains(&key) {
        return Ok(|_| Ok(()));
    }
    if let Some((_, instead)) = MISSING.iter().find(|(name, _)| *name == key) {
        return Err(SqlError::new(format!("'{key}' is not supported: {instead}")));
    }
    let names = KEYS.iter().map(|(name, _)| *name);
    let names = names.chain(ENGINE.iter().map(|engine| engine.key));
    let near = suggestion(key, names);
    let near = match near.is_empty() {
        true => {
            let names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
            format!(": a script can set {}", names.join(", "))
        }
        false => near,
    };
    Err(SqlError::new(format!("there is no setting '{key}' here{near}")))
}
