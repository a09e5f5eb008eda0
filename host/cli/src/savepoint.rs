//! `millstream savepoint`.

use std::{
    error::Error,
    fmt::Write as _,
    io::{self, BufWriter, StdoutLock, Write as _},
    path::Path,
};

use millstream::{
    data::calendar::date_of_days,
    savepoint::{OperatorInfo, Part, Purpose, Savepoint, StateInfo, StateKind},
};

/// Key groups that are named as the heaviest.
const HEAVIEST: usize = 3;

/// Explains a savepoint.
pub(crate) fn inspect(path: &str) -> Result<String, Box<dyn Error>> {
    let savepoint = Savepoint::open(Path::new(path))?;
    let manifest = savepoint.manifest();
    let what = match manifest.purpose {
        Purpose::Checkpoint => "checkpoint",
        Purpose::Savepoint => "savepoint",
        Purpose::StopWithSavepoint => "savepoint that the job stopped with",
    };
    let (number, job) = (manifest.checkpoint, &manifest.job);
    let (state, files) = (bytes(manifest.state_bytes()), manifest.files.len());
    let mut out = format!(
        "{what} {number} of {job}, taken {} UTC\n{state} of state, {files} files, all of them whole\n",
        date(manifest.timestamp_ms)
    );
    for operator in savepoint.operators()? {
        describe(&operator, &mut out);
    }
    Ok(out)
}

/// Prints the entries of `OPERATOR/STATE` as lines of JSON.
pub(crate) fn dump(path: &str, what: &str) -> Result<(), Box<dyn Error>> {
    // Names of operators may have slashes, those of states hardly.
    let (operator, state) = what
        .rsplit_once('/')
        .ok_or("--dump wants an operator and a state, such as `hours/windows`")?;
    let savepoint = Savepoint::open(Path::new(path))?;
    let mut out = BufWriter::new(Page(io::stdout().lock()));
    savepoint.dump(operator, state, &mut out)?;
    Ok(out.flush()?)
}

/// Standard output, whose reader may have seen enough.
struct Page<'a>(StdoutLock<'a>);

impl io::Write for Page<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.0.write(bytes) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
            written => written,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

fn describe(operator: &OperatorInfo, out: &mut String) {
    let OperatorInfo { id, parallelism, key_groups, bytes: size, states, others, .. } = operator;
    let size = bytes(*size);
    // Writing to a string cannot fail.
    let _ =
        writeln!(out, "\noperator {id}\n  {parallelism} subtasks, {key_groups} key groups, {size}");
    for state in states {
        describe_state(state, *key_groups, out);
    }
    let mut kinds: Vec<&str> = others.iter().map(|(what, _)| *what).collect();
    kinds.dedup();
    for kind in kinds {
        let of_kind = others.iter().filter(|(what, _)| *what == kind);
        let (count, sum) = of_kind.fold((0, 0), |(count, sum), (_, size)| (count + 1, sum + size));
        let _ = writeln!(out, "  {kind}: {} in {count} parts", bytes(sum));
    }
}

fn describe_state(state: &StateInfo, key_groups: u32, out: &mut String) {
    let description = &state.description;
    let kind = match description.kind {
        StateKind::Value => "value",
        StateKind::List => "list",
        StateKind::Map => "map",
    };
    let (entries, size) = (state.entries, bytes(state.bytes()));
    let _ = writeln!(out, "  state {}: {kind}, {entries} entries, {size}", description.name);
    for (what, parts) in [
        ("key", &description.key),
        ("namespace", &description.namespace),
        ("map key", &description.map_key),
        ("value", &description.value),
    ] {
        if !parts.is_empty() {
            let parts: Vec<String> = parts.iter().map(part).collect();
            let _ = writeln!(out, "    {what:<10} {}", parts.join(", "));
        }
    }
    if state.groups.is_empty() {
        return;
    }
    let (least, mean, most) = state.spread(key_groups);
    let heaviest: Vec<String> = state
        .heaviest(HEAVIEST)
        .into_iter()
        .map(|(group, size)| format!("{group} ({})", bytes(size)))
        .collect();
    let _ = writeln!(
        out,
        "    key groups {} of {key_groups}, from {} to {}, {} in the mean; heaviest {}",
        state.groups.len(),
        bytes(least),
        bytes(most),
        bytes(mean),
        heaviest.join(", ")
    );
}

fn part(part: &Part) -> String {
    match part {
        Part::Hash => "hash".into(),
        Part::Flag => "flag".into(),
        Part::Time => "time in ms".into(),
        Part::Opaque(Some(width)) => format!("{width} bytes"),
        Part::Opaque(None) => "bytes".into(),
        Part::Key(schema) | Part::Row(schema) => format!("ROW<{schema}>"),
        Part::Rows(schema, count) => format!("{count} of ROW<{schema}>"),
    }
}

/// A number of bytes for people.
fn bytes(count: u64) -> String {
    match count {
        0..10_240 => format!("{count} B"),
        10_240..10_485_760 => format!("{:.1} KiB", count as f64 / 1024.0),
        _ => format!("{:.1} MiB", count as f64 / 1_048_576.0),
    }
}

/// Milliseconds since 1970 as date and time.
fn date(millis: i64) -> String {
    let (days, seconds) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = date_of_days(days as i32);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        assert_eq!(date(0), "1970-01-01 00:00:00");
        assert_eq!(date(951_782_400_000), "2000-02-29 00:00:00");
        assert_eq!(date(1_767_225_599_999), "2025-12-31 23:59:59");
        assert_eq!(date(-1), "1969-12-31 23:59:59");
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!((bytes(10_239), bytes(10_240)), ("10239 B".into(), "10.0 KiB".into()));
        assert_eq!(bytes(20 << 20), "20.0 MiB");
    }
}
