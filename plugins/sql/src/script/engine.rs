//! Settings of Flink's that are options of the engine here: checkpoints, state, restarts.

use super::settings::truth;
use crate::time::parse_duration;

/// One of them.
pub(super) struct Engine {
    /// Flink's key.
    pub(super) key: &'static str,
    /// The engine's option.
    pub(super) option: &'static str,
    /// The option's value for one of Flink's; the error says what the setting takes.
    pub(super) value: fn(&str) -> Result<String, String>,
}

/// All of them; older names are Flink's, too.
pub(super) const ENGINE: &[Engine] = &[
    engine("execution.checkpointing.interval", "checkpoint.interval", time),
    engine("execution.checkpointing.min-pause", "checkpoint.min-pause", time),
    engine("execution.checkpointing.timeout", "checkpoint.timeout", time),
    engine(
        "execution.checkpointing.tolerable-failed-checkpoints",
        "checkpoint.tolerable-failures",
        count,
    ),
    engine("execution.checkpointing.num-retained", "checkpoint.retained", count),
    engine("state.checkpoints.num-retained", "checkpoint.retained", count),
    engine("execution.checkpointing.mode", "checkpoint.mode", guarantee),
    engine("execution.checkpointing.unaligned.enabled", "checkpoint.unaligned", switch),
    engine("execution.checkpointing.unaligned", "checkpoint.unaligned", switch),
    engine(
        "execution.checkpointing.aligned-checkpoint-timeout",
        "checkpoint.aligned-timeout",
        time,
    ),
    engine("execution.checkpointing.dir", "checkpoint.dir", place),
    engine("state.checkpoints.dir", "checkpoint.dir", place),
    engine("execution.checkpointing.savepoint-dir", "checkpoint.savepoint-dir", place),
    engine("state.savepoints.dir", "checkpoint.savepoint-dir", place),
    engine("execution.state-recovery.path", "checkpoint.restore", place),
    engine("execution.savepoint.path", "checkpoint.restore", place),
    engine("execution.state-recovery.claim-mode", "checkpoint.claim-mode", claim),
    engine(
        "execution.state-recovery.ignore-unclaimed-state",
        "checkpoint.allow-non-restored-state",
        switch,
    ),
    engine(
        "execution.savepoint.ignore-unclaimed-state",
        "checkpoint.allow-non-restored-state",
        switch,
    ),
    engine("state.backend.type", "state.backend.type", backend),
    engine("state.backend", "state.backend.type", backend),
    engine("restart-strategy.fixed-delay.attempts", "restart.attempts", count),
    engine("execution.buffer-timeout.interval", "exchange.buffer-timeout", timeout),
    engine("execution.buffer-timeout", "exchange.buffer-timeout", timeout),
    engine("heartbeat.timeout", "heartbeat.timeout", time),
];

const fn engine(
    key: &'static str,
    option: &'static str,
    value: fn(&str) -> Result<String, String>,
) -> Engine {
    Engine { key, option, value }
}

fn time(value: &str) -> Result<String, String> {
    Ok(format!("{} ms", parse_duration(value)?))
}

/// -1 sends full pages only.
fn timeout(value: &str) -> Result<String, String> {
    if value.trim().starts_with("-1") { Ok("-1".into()) } else { time(value) }
}

fn count(value: &str) -> Result<String, String> {
    let count = value.trim().parse::<u32>();
    count.map(|count| count.to_string()).map_err(|_| "takes a whole number from 0 on".into())
}

fn switch(value: &str) -> Result<String, String> {
    Ok(truth(value)?.to_string())
}

/// One of these words, however it is written.
fn word(value: &str, words: &[(&str, &str)]) -> Result<String, String> {
    let asked = value.trim().to_lowercase().replace('_', "-");
    let found = words.iter().find(|(name, _)| *name == asked);
    found.map(|(_, value)| (*value).into()).ok_or_else(|| {
        let names: Vec<_> = words.iter().map(|(name, _)| format!("'{name}'")).collect();
        format!("takes {}", names.join(" or "))
    })
}

fn guarantee(value: &str) -> Result<String, String> {
    word(value, &[("exactly-once", "exactly-once"), ("at-least-once", "at-least-once")])
}

fn claim(value: &str) -> Result<String, String> {
    word(value, &[("claim", "claim"), ("no-claim", "no-claim")])
}

/// State on the heap is state in memory here, and that of RocksDB lies in files.
fn backend(value: &str) -> Result<String, String> {
    let words = [
        ("hashmap", "memory"),
        ("rocksdb", "lsm"),
        ("forst", "lsm"),
        ("memory", "memory"),
        ("lsm", "lsm"),
    ];
    word(value, &words)
}

/// A local directory is a path here, without `file://`.
fn place(value: &str) -> Result<String, String> {
    let path = value.trim();
    let local = path.strip_prefix("file:").map(|path| match path.strip_prefix("//") {
        Some(path) => path,
        None => path,
    });
    match local.unwrap_or(path) {
        "" => Err("takes the path of a directory".into()),
        path => Ok(path.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn translated(key: &str, value: &str) -> Result<(&'static str, String), String> {
        let engine = ENGINE.iter().find(|engine| engine.key == key).ok_or("no such key")?;
        Ok((engine.option, (engine.value)(value)?))
    }

    #[test]
    fn values_are_those_of_the_engine() {
        for (key, value, option, expected) in [
            ("execution.checkpointing.interval", "3min", "checkpoint.interval", "180000 ms"),
            ("execution.checkpointing.mode", "AT_LEAST_ONCE", "checkpoint.mode", "at-least-once"),
            ("execution.checkpointing.dir", "file:///a/b", "checkpoint.dir", "/a/b"),
            ("state.checkpoints.dir", "file:/a", "checkpoint.dir", "/a"),
            ("state.checkpoints.dir", "s3://bucket/a", "checkpoint.dir", "s3://bucket/a"),
            ("state.backend.type", "RocksDB", "state.backend.type", "lsm"),
            (
                "execution.state-recovery.claim-mode",
                "NO_CLAIM",
                "checkpoint.claim-mode",
                "no-claim",
            ),
            ("execution.checkpointing.unaligned", "TRUE", "checkpoint.unaligned", "true"),
            ("execution.buffer-timeout.interval", "-1 ms", "exchange.buffer-timeout", "-1"),
            ("restart-strategy.fixed-delay.attempts", "7", "restart.attempts", "7"),
        ] {
            assert_eq!(translated(key, value), Ok((option, expected.into())), "{key}");
        }
    }

    #[test]
    fn what_they_take_is_said() {
        for (key, value, expected) in [
            ("execution.checkpointing.mode", "twice", "takes 'exactly-once' or 'at-least-once'"),
            ("state.checkpoints.dir", "file://", "takes the path of a directory"),
            ("state.checkpoints.num-retained", "-2", "takes a whole number from 0 on"),
            (
                "execution.checkpointing.interval",
                "now",
                "takes a time, '1 h' or '36500 ms' for instance",
            ),
        ] {
            assert_eq!(translated(key, value), Err(expected.into()), "{key}");
        }
    }

    #[test]
    fn each_is_there_once() {
        let keys: BTreeSet<_> = ENGINE.iter().map(|engine| engine.key).collect();
        assert_eq!(keys.len(), ENGINE.len());
    }
}
