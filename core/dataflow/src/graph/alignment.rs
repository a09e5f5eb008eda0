//! Sources that wait for one another.
//!
//! What a source was told of it stands among the options of its connector, by Flink's names, and is taken out
//! before the connector sees them.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

/// The options, by Flink's names; times are milliseconds.
pub const GROUP: &str = "scan.watermark.alignment.group";
/// See [`GROUP`].
pub const MAX_DRIFT: &str = "scan.watermark.alignment.max-drift";
/// See [`GROUP`].
pub const UPDATE_INTERVAL: &str = "scan.watermark.alignment.update-interval";

/// Options of a connector, in the order they were given.
pub type Options = Vec<(String, String)>;

/// How far the watermark of a source may be ahead of that of the last one of its group: a subtask that is
/// further reads nothing until the others have come up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceAlignment {
    /// Those of one name wait for one another.
    pub group: String,
    /// How far it may be ahead, in milliseconds.
    pub max_drift: i64,
    /// How often it is looked at how far the others have come, in milliseconds.
    pub update_interval: u64,
}

impl SourceAlignment {
    /// As options of a source.
    pub fn options(&self) -> Options {
        let Self { group, max_drift, update_interval } = self;
        let options = [
            (GROUP, group.clone()),
            (MAX_DRIFT, max_drift.to_string()),
            (UPDATE_INTERVAL, update_interval.to_string()),
        ];
        options.into_iter().map(|(key, value)| (key.into(), value)).collect()
    }

    /// What is said of it among options, and the others, which are the connector's.
    ///
    /// # Errors
    /// A sentence, if a time is none.
    pub fn take(options: &[(String, String)]) -> Result<(Option<Self>, Options), String> {
        let value = |wanted: &str| options.iter().find(|(key, _)| key == wanted);
        let time = |wanted: &str, default: u64| {
            let Some((key, text)) = value(wanted) else { return Ok(default) };
            let what = || format!("the option `{key}` takes milliseconds, not `{text}`");
            text.parse::<u64>().map_err(|_| what())
        };
        let (max_drift, update_interval) = (time(MAX_DRIFT, 0)?, time(UPDATE_INTERVAL, 1000)?);
        let max_drift = i64::try_from(max_drift).unwrap_or(i64::MAX);
        let alignment = value(GROUP).map(|(_, group)| Self {
            group: group.clone(),
            max_drift,
            update_interval,
        });
        let is_other = |key: &str| ![GROUP, MAX_DRIFT, UPDATE_INTERVAL].contains(&key);
        let others = options.iter().filter(|(key, _)| is_other(key)).cloned().collect();
        Ok((alignment, others))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_out_as_they_were_put_in() {
        let alignment =
            SourceAlignment { group: "g".into(), max_drift: 30_000, update_interval: 500 };
        let mut options = alignment.options();
        options.insert(1, ("path".into(), "p".into()));
        let others = Vec::from([("path".to_string(), "p".to_string())]);
        assert_eq!(SourceAlignment::take(&options), Ok((Some(alignment), others.clone())));
        assert_eq!(SourceAlignment::take(&others), Ok((None, others)));
        let wrong = [(MAX_DRIFT.to_string(), "soon".to_string())];
        let said = SourceAlignment::take(&wrong).unwrap_err();
        assert_eq!(said, format!("the option `{MAX_DRIFT}` takes milliseconds, not `soon`"));
    }
}
