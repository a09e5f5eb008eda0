//! `LIKE t (INCLUDING …)`: what of a table is taken over.

use sqlparser::{ast::Ident, parser::Parser, tokenizer::Token};

use super::{name, skip, unexpected};
use crate::error::SqlError;

/// `LIKE table [(options)]`
#[derive(Clone, Debug, PartialEq)]
pub struct Like {
    /// The table.
    pub table: Ident,
    /// What is taken over of each feature, where that is said; `ALL` stands for those that are not.
    pub(crate) said: Vec<(Feature, Merging)>,
}

/// A part of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Feature {
    All,
    Constraints,
    Partitions,
    Distribution,
    Generated,
    Metadata,
    Options,
    Watermarks,
}

/// What becomes of a part of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Merging {
    /// It is taken over, and must not be there twice.
    Including,
    /// It is left out.
    Excluding,
    /// It is taken over, but for what is there.
    Overwriting,
}

const FEATURES: &[(&str, Feature)] = &[
    ("ALL", Feature::All),
    ("CONSTRAINTS", Feature::Constraints),
    ("PARTITIONS", Feature::Partitions),
    ("DISTRIBUTION", Feature::Distribution),
    ("GENERATED", Feature::Generated),
    ("METADATA", Feature::Metadata),
    ("OPTIONS", Feature::Options),
    ("WATERMARKS", Feature::Watermarks),
];

impl Like {
    /// What becomes of a feature.
    pub(crate) fn merging(&self, feature: Feature) -> Merging {
        let said = |wanted| self.said.iter().find(|(said, _)| *said == wanted);
        match (said(feature).or_else(|| said(Feature::All)), feature) {
            (Some((_, merging)), _) => *merging,
            (None, Feature::Options) => Merging::Overwriting,
            (None, _) => Merging::Including,
        }
    }
}

/// What is behind the word.
pub(super) fn like(parser: &mut Parser<'_>) -> Result<Like, SqlError> {
    let mut like = Like { table: name(parser)?, said: Vec::new() };
    if !parser.consume_token(&Token::LParen) {
        return Ok(like);
    }
    while !parser.consume_token(&Token::RParen) {
        let words = [("INCLUDING", Merging::Including), ("EXCLUDING", Merging::Excluding)];
        let words = words.into_iter().chain([("OVERWRITING", Merging::Overwriting)]);
        let merging = one_of(parser, words, "INCLUDING, EXCLUDING or OVERWRITING")?;
        let span = parser.peek_token().span;
        let names: Vec<_> = FEATURES.iter().map(|(name, _)| *name).collect();
        let feature = one_of(parser, FEATURES.iter().copied(), &names.join(", "))?;
        let merges = !matches!(
            feature,
            Feature::All | Feature::Constraints | Feature::Partitions | Feature::Distribution
        );
        if merging == Merging::Overwriting && !merges {
            let message = "OVERWRITING stands with GENERATED, METADATA, OPTIONS or WATERMARKS";
            return Err(SqlError::spanned(span, message));
        }
        if like.said.iter().any(|(other, _)| *other == feature) {
            return Err(SqlError::spanned(span, "each part of LIKE is named once"));
        }
        like.said.push((feature, merging));
    }
    Ok(like)
}

fn one_of<T>(
    parser: &mut Parser<'_>,
    words: impl IntoIterator<Item = (&'static str, T)>,
    expected: &str,
) -> Result<T, SqlError> {
    let next = parser.peek_token();
    let found = words.into_iter().find(|(word, _)| {
        matches!(&next.token, Token::Word(found) if found.value.eq_ignore_ascii_case(word))
    });
    match found {
        Some((_, value)) => {
            skip(parser, 1);
            Ok(value)
        }
        None => Err(unexpected(&next, expected)),
    }
}
