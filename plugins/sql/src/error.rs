//! What is wrong with a script, and where.

use std::fmt;

use strsim::levenshtein;

use sqlparser::{
    ast::{self, Spanned},
    tokenizer::Span,
};

/// A part of a script, which is somewhere.
pub(crate) trait Place {
    /// Where: lines and columns from 1, line 0 if that is not known.
    fn place(&self) -> Span;
}

impl Place for Span {
    fn place(&self) -> Span {
        *self
    }
}

impl Place for ast::Ident {
    fn place(&self) -> Span {
        self.span
    }
}

macro_rules! places {
    ($($part:ident)*) => {$(
        impl Place for ast::$part {
            fn place(&self) -> Span {
                self.span()
            }
        }
    )*};
}

places! {
    Expr FunctionArg GroupByExpr ObjectName OrderBy Query Select SelectItem SetExpr TableFactor ValueWithSpan
}

/// One sentence for people, with the place that it is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqlError {
    message: String,
    /// Lines and columns from 1, without the last column; `None` if it is about no place.
    at: Option<Span>,
}

impl SqlError {
    /// The same without a place.
    pub(crate) fn placeless(self) -> Self {
        Self { at: None, ..self }
    }

    /// An error about no place in particular.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), at: None }
    }

    /// An error about a part of the script.
    pub(crate) fn at(part: &impl Place, message: impl Into<String>) -> Self {
        Self::spanned(part.place(), message)
    }

    /// An error about a place.
    pub fn spanned(span: Span, message: impl Into<String>) -> Self {
        Self { message: message.into(), at: (span.start.line > 0).then_some(span) }
    }

    /// The same error, about this place if it had none.
    pub fn or_at(self, span: Span) -> Self {
        match self.at {
            None => Self::spanned(span, self.message),
            Some(_) => self,
        }
    }

    /// The error with the line of the script that it is about, and the part of it underlined.
    pub fn explain(&self, script: &str) -> String {
        let Some(Span { start, end }) = self.at else { return self.message.clone() };
        let line = usize::try_from(start.line - 1).ok().and_then(|line| script.lines().nth(line));
        let Some(line) = line else { return self.message.clone() };
        let width = line.chars().count();
        let first = (start.column.max(1) as usize - 1).min(width);
        let last = if end.line == start.line { end.column.max(1) as usize - 1 } else { width };
        let marks = last.clamp(first + 1, width.max(first + 1)) - first;
        let number = start.line.to_string();
        format!(
            "{} (line {number}, column {})\n{:pad$} |\n{number} | {line}\n{:pad$} | {:first$}{}",
            self.message,
            start.column,
            "",
            "",
            "",
            "^".repeat(marks),
            pad = number.len(),
        )
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.at {
            Some(Span { start, .. }) => {
                write!(f, " (line {}, column {})", start.line, start.column)
            }
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlError {}

/// The one of `known` that is nearest to `name`, if one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distances = known.into_iter().map(|word| (levenshtein(&name, &word.to_lowercase()), word));
    let (least, word) = distances.min_by_key(|(distance, _)| *distance)?;
    (least <= 1 + name.chars().count() / 4).then_some(word)
}

/// `: did you mean …?`, if one of `known` is near.
pub(crate) fn suggestion<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map(|word| format!(": did you mean `{word}`?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlparser::tokenizer::Location;

    #[test]
    fn the_place_is_underlined() {
        let span = Span::new(Location::new(2, 8), Location::new(2, 13));
        let error = SqlError::spanned(span, "there is no column `pricd`");
        let expected = "there is no column `pricd` (line 2, column 8)\n  |\n2 | SELECT pricd FROM bid\n  \
                        |        ^^^^^";
        assert_eq!(error.explain("-- q\nSELECT pricd FROM bid\n"), expected);
    }

    #[test]
    fn only_what_is_near_is_suggested() {
        let known = ["price", "bidder", "date_time"];
        assert_eq!(nearest("pricd", known), Some("price"));
        assert_eq!(nearest("DATETIME", known), Some("date_time"));
        assert_eq!(nearest("seller", known), None);
    }
}
