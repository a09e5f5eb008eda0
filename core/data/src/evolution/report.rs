//! Why rows of one schema cannot become rows of another.

use alloc::{format, string::String, vec::Vec};
use core::fmt;

use crate::types::{Field, Schema};

/// Rows of the old schema cannot become rows of the new one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incompatible {
    /// What stands in the way, at least one thing.
    pub reasons: Vec<Reason>,
    /// The schema that the rows were written with.
    pub old: Schema,
    /// The schema that they should be read with.
    pub new: Schema,
}

/// One thing that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The field, by path as in [`Defaults`](super::Defaults); empty for the schema as a whole.
    pub path: String,
    /// What is wrong with it, and what helps.
    pub what: String,
}

/// The reasons, and below them both schemas side by side, the fields in question marked.
impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows of the old schema cannot be read with the new one")?;
        for Reason { path, what } in &self.reasons {
            match path.as_str() {
                "" => write!(f, ": {what}")?,
                path => write!(f, "\n  `{path}`: {what}")?,
            }
        }
        let lines = self.lines();
        let width = |side: fn(&Line) -> &str| {
            lines.iter().map(|line| side(line).chars().count()).max().unwrap_or(0)
        };
        let (old, new) = (width(|line| &line.old), width(|line| &line.new));
        for line in &lines {
            let mark = if line.marked { "!" } else { " " };
            let text = format!("{mark} {:<old$}  | {:<new$}", line.old, line.new);
            write!(f, "\n{}", text.trim_end())?;
        }
        Ok(())
    }
}

impl core::error::Error for Incompatible {}

struct Line {
    old: String,
    new: String,
    marked: bool,
}

impl Incompatible {
    /// The fields of both schemas, those of the new one first, matched by name.
    fn lines(&self) -> Vec<Line> {
        let line = |old: Option<&Field>, new: Option<&Field>| {
            let name = new.or(old).map_or("", |field| field.name.as_str());
            let text = |field: Option<&Field>| field.map_or("-".into(), |field| format!("{field}"));
            let below = |reason: &Reason| {
                let rest = reason.path.strip_prefix(name);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '{']))
            };
            let marked = self.reasons.iter().any(below);
            Line { old: text(old), new: text(new), marked }
        };
        let find = |schema: &Schema, name: &str| {
            schema.position(name).and_then(|at| schema.fields.get(at)).cloned()
        };
        let heading = Line { old: "old".into(), new: "new".into(), marked: false };
        let kept = self.new.fields.iter();
        let kept = kept.map(|new| line(find(&self.old, &new.name).as_ref(), Some(new)));
        let removed = self.old.fields.iter().filter(|old| self.new.position(&old.name).is_none());
        let removed = removed.map(|old| line(Some(old), None));
        core::iter::once(heading).chain(kept).chain(removed).collect()
    }
}
