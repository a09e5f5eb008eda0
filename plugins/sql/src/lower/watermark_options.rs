//! What a table says of its watermarks beside the WATERMARK itself: `scan.watermark.*`.

use millstream_dataflow::graph::alignment::SourceAlignment;

use crate::{
    error::{SqlError, suggestion},
    parse::CreateTable,
    time::parse_duration,
};

const ALL: &str = "scan.watermark.";
const IDLE: &str = "scan.watermark.idle-timeout";
const GROUP: &str = "scan.watermark.alignment.group";
const MAX_DRIFT: &str = "scan.watermark.alignment.max-drift";
const UPDATE_INTERVAL: &str = "scan.watermark.alignment.update-interval";
const STRATEGY: &str = "scan.watermark.emit.strategy";
const GAP: &str = "scan.watermark.emit.on-event.gap";
const KNOWN: &[&str] = &[GROUP, MAX_DRIFT, UPDATE_INTERVAL, IDLE, STRATEGY, GAP];

/// Whether an option is of those that connectors do not see.
pub(super) fn is_of_watermarks(key: &str) -> bool {
    key.starts_with(ALL)
}

/// The options of a table that are about its watermarks.
#[derive(Debug, Default)]
pub(super) struct WatermarkOptions {
    /// After how many milliseconds without a row a subtask of it no longer holds the watermark back, if that is
    /// said of this table; 0: never.
    pub(super) idle: Option<u64>,
    /// Which others it waits for.
    pub(super) alignment: Option<SourceAlignment>,
}

impl WatermarkOptions {
    /// Those of a table.
    ///
    /// # Errors
    /// If one is unknown, means something else than it says, or takes another value.
    pub(super) fn of(table: &CreateTable) -> Result<Self, SqlError> {
        let refused = |what: String| {
            SqlError::at(&table.name, format!("the table `{}`: {what}", table.name.value))
        };
        let value = |wanted: &str| {
            table.options.iter().find(|(key, _)| key == wanted).map(|(_, value)| value.as_str())
        };
        for (key, _) in table.options.iter().filter(|(key, _)| is_of_watermarks(key)) {
            if !KNOWN.contains(&key.as_str()) {
                let near = suggestion(key, KNOWN.iter().copied());
                return Err(refused(format!("there is no option `{key}`{near}")));
            }
            if table.watermark.is_none() {
                let what = format!(
                    "the option `{key}` is about its watermark, and it has none: declare one, as in WATERMARK FOR ts \
                     AS ts"
                );
                return Err(refused(what));
            }
        }
        if let Some(strategy) =
            value(STRATEGY).filter(|it| !["on-event", "on-periodic"].contains(it))
        {
            let what = format!(
                "the option `{STRATEGY}` takes `on-event` or `on-periodic`, not `{strategy}`"
            );
            return Err(refused(what));
        }
        if let Some(gap) = value(GAP).filter(|gap| gap.trim() != "1") {
            let what = format!(
                "the option `{GAP}` is `{gap}`, and a watermark is said behind the row that raises it, always: leave \
                 the option out"
            );
            return Err(refused(what));
        }
        let time = |key: &str| {
            let parsed = value(key).map(|text| {
                let millis = parse_duration(text);
                millis.map_err(|what| refused(format!("the option `{key}` {what}")))
            });
            parsed.transpose().map(|millis| millis.and_then(|millis| u64::try_from(millis).ok()))
        };
        let (drift, interval) = (time(MAX_DRIFT)?, time(UPDATE_INTERVAL)?);
        let alignment = match (value(GROUP), drift) {
            (Some(group), Some(drift)) => Some(SourceAlignment {
                group: group.into(),
                max_drift: i64::try_from(drift).unwrap_or(i64::MAX),
                update_interval: interval.unwrap_or(1000),
            }),
            (None, None) if interval.is_none() => None,
            _ => {
                let what = format!(
                    "tables that wait for one another have both a `{GROUP}`, which says who does, and a \
                     `{MAX_DRIFT}`, which says from when on"
                );
                return Err(refused(what));
            }
        };
        Ok(Self { idle: time(IDLE)?, alignment })
    }
}
