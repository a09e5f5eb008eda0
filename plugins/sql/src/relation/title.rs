//! What operators are called: in metrics, and as a part of what their state is called in checkpoints.

use std::fmt;

use millstream_data::hash::{self, SEED};

use super::{AggregateCall, Rel, show::Columns, timed::in_zone};

/// Characters of a title, but for what stands for those that are cut off.
const TITLE_MAX: usize = 80;

impl Rel {
    /// What an operator that keeps rows is called. It says what the operator computes, so that a script that
    /// computes something else does not take its state for its own; it does not say what results are called.
    pub(crate) fn title(&self) -> Option<String> {
        let title = match self {
            Self::Scan { .. } | Self::Values { .. } | Self::Steps { .. } | Self::Union(_) => {
                return None;
            }
            Self::Living { rows, .. } | Self::Upserts { rows } => return rows.title(),
            Self::Final { input } => return input.title(),
            Self::Aggregate { input, keys, calls } => groups("Aggregate", input, *keys, calls),
            Self::Windows { input, keys, window, zone, calls, .. } => {
                let mut of = format!("Windows {window}");
                // Writing to a String never fails.
                let _ = in_zone(&mut of, *zone);
                groups(&of, input, *keys, calls)
            }
            Self::Over { input, partition, frame, calls, .. } => {
                let columns = Columns(input.schema());
                let calls = made(&columns, calls);
                format!("Over by [{}] {frame} [{calls}]", columns.list(partition))
            }
            other => Head(other).to_string(),
        };
        Some(short(title))
    }
}

fn groups(of: &str, input: &Rel, keys: usize, calls: &[AggregateCall]) -> String {
    let columns = Columns(input.schema());
    let keys: Vec<usize> = (0..keys).collect();
    format!("{of} by [{}] [{}]", columns.list(&keys), made(&columns, calls))
}

fn made(columns: &Columns, calls: &[AggregateCall]) -> String {
    calls.iter().map(|call| columns.made(call)).collect::<Vec<_>>().join(", ")
}

/// The line of an operator.
struct Head<'a>(&'a Rel);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.head(f)
    }
}

/// A title that is not too long, and another one than that of others.
fn short(title: String) -> String {
    if title.chars().count() <= TITLE_MAX {
        return title;
    }
    let begin: String = title.chars().take(TITLE_MAX).collect();
    format!("{begin}… {:08x}", hash::bytes(SEED, title.as_bytes()) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_titles_are_cut_and_differ() {
        let long = |end: &str| short(format!("{}{end}", "ä".repeat(TITLE_MAX)));
        assert_eq!(short("Aggregate".into()), "Aggregate");
        assert_eq!(long("").chars().count(), TITLE_MAX);
        assert_eq!(long("a").chars().count(), TITLE_MAX + 10);
        assert_ne!(long("a"), long("b"));
    }
}
