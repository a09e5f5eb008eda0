//! Statements about a script and its tables: `EXPLAIN`, `SHOW`, `DESCRIBE`, `SET` and `RESET`; and what an
//! INSERT says of conflicts.

use sqlparser::{
    ast::Ident,
    parser::Parser,
    tokenizer::{Span, Token},
};

use super::{
    Statement, StatementKind, expect_words, explain, is_words, name, skip, statement, string,
    take_words, unexpected,
};
use crate::error::SqlError;

/// What `SHOW` shows.
#[derive(Clone, Debug)]
pub enum Shown {
    /// `SHOW TABLES`: the names of tables and views.
    Tables,
    /// `SHOW VIEWS`
    Views,
    /// `SHOW FUNCTIONS`
    Functions,
    /// `SHOW USER FUNCTIONS`: those of CREATE FUNCTION.
    UserFunctions,
    /// `SHOW CREATE TABLE name`
    CreateTable(Ident),
    /// `SHOW CREATE VIEW name`
    CreateView(Ident),
    /// `SET` without a key: what was set.
    Settings,
    /// `SHOW … [NOT] LIKE 'pattern'`: of what is shown those that are like it, or not.
    Like(Box<Self>, String, bool),
}

/// `EXPLAIN [CHANGELOG_MODE | PLAN FOR] statement` or `EXPLAIN STATEMENT SET BEGIN … END`.
pub(super) fn explained(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    details(parser)?;
    let _ = take_words(parser, &["PLAN", "FOR"]);
    let span = parser.peek_token().span;
    if take_words(parser, &["STATEMENT", "SET"]) {
        return Ok(StatementKind::Explain(inserts(parser, span)?));
    }
    let kind = statement(parser)?;
    if !matches!(kind, StatementKind::Query(_) | StatementKind::Insert { .. }) {
        let message = "EXPLAIN takes a query, an INSERT or a statement set";
        return Err(SqlError::spanned(span, message));
    }
    Ok(StatementKind::Explain(vec![Statement { kind, span }]))
}

/// What else Flink can be asked to explain: changelog modes are always shown, the rest is not there.
fn details(parser: &mut Parser<'_>) -> Result<(), SqlError> {
    loop {
        let span = parser.peek_token().span;
        for detail in ["ESTIMATED_COST", "PLAN_ADVICE", "JSON_EXECUTION_PLAN"] {
            if is_words(parser, &[detail]) {
                let message = format!("EXPLAIN {detail} is not supported yet: leave it away");
                return Err(SqlError::spanned(span, message));
            }
        }
        if !take_words(parser, &["CHANGELOG_MODE"]) || !parser.consume_token(&Token::Comma) {
            return Ok(());
        }
    }
}

/// The INSERTs of `BEGIN …; …; END`.
fn inserts(parser: &mut Parser<'_>, set: Span) -> Result<Vec<Statement>, SqlError> {
    expect_words(parser, &["BEGIN"])?;
    let mut statements = Vec::new();
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        if take_words(parser, &["END"]) {
            break;
        }
        let first = parser.peek_token();
        if first.token == Token::EOF {
            let message = "the statement set does not end: END is missing";
            return Err(SqlError::spanned(set, message));
        }
        let kind = statement(parser)?;
        if !matches!(kind, StatementKind::Insert { .. }) {
            let message = "a statement set has INSERT statements only";
            return Err(SqlError::spanned(first.span, message));
        }
        let next = parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(unexpected(&next, "the end of the statement, `;`"));
        }
        statements.push(Statement { kind, span: first.span });
    }
    match statements.is_empty() {
        true => Err(SqlError::spanned(set, "the statement set has no INSERT")),
        false => Ok(statements),
    }
}

/// What an INSERT does with rows that have the same primary key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// `DEDUPLICATE`: the one that came last is written.
    Deduplicate,
    /// `NOTHING`: the one that was there first is.
    Nothing,
    /// `ERROR`: the job fails.
    Error,
}

impl OnConflict {
    /// Its word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deduplicate => "DEDUPLICATE",
            Self::Nothing => "NOTHING",
            Self::Error => "ERROR",
        }
    }
}

/// `ON CONFLICT DO DEDUPLICATE | NOTHING | ERROR`, if it is there.
pub(super) fn on_conflict(parser: &mut Parser<'_>) -> Result<Option<OnConflict>, SqlError> {
    if !take_words(parser, &["ON", "CONFLICT"]) {
        return Ok(None);
    }
    expect_words(parser, &["DO"])?;
    let all = [OnConflict::Deduplicate, OnConflict::Nothing, OnConflict::Error];
    let what = parser.peek_token();
    let found = all.into_iter().find(|conflict| take_words(parser, &[conflict.name()]));
    found.map(Some).ok_or_else(|| unexpected(&what, "DEDUPLICATE, NOTHING or ERROR"))
}

pub(super) fn show(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    let listed: [(&[&str], Shown); 4] = [
        (&["TABLES"], Shown::Tables),
        (&["VIEWS"], Shown::Views),
        (&["FUNCTIONS"], Shown::Functions),
        (&["USER", "FUNCTIONS"], Shown::UserFunctions),
    ];
    for (words, shown) in listed {
        if take_words(parser, words) {
            let not = take_words(parser, &["NOT"]);
            let shown = match take_words(parser, &["LIKE"]) {
                true => Shown::Like(Box::new(shown), string(parser)?, not),
                false if not => return Err(unexpected(&parser.peek_token(), "LIKE")),
                false => shown,
            };
            return Ok(StatementKind::Show(shown));
        }
    }
    if take_words(parser, &["CREATE", "TABLE"]) {
        return Ok(StatementKind::Show(Shown::CreateTable(name(parser)?)));
    }
    if take_words(parser, &["CREATE", "VIEW"]) {
        return Ok(StatementKind::Show(Shown::CreateView(name(parser)?)));
    }
    let expected = "TABLES, VIEWS, [USER] FUNCTIONS, CREATE TABLE or CREATE VIEW";
    Err(unexpected(&parser.peek_token(), expected))
}

pub(super) fn describe(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    Ok(StatementKind::Describe(name(parser)?))
}

pub(super) fn set(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    let Some(key) = key(parser)? else { return Ok(StatementKind::Show(Shown::Settings)) };
    parser.expect_token(&Token::Eq).map_err(|error| explain(parser, &error))?;
    let value = match parser.peek_token().token {
        Token::SingleQuotedString(_) => string(parser)?,
        _ => parser.next_token().token.to_string(),
    };
    Ok(StatementKind::Set(key, value))
}

pub(super) fn reset(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    Ok(StatementKind::Reset(key(parser)?))
}

/// The key of a setting, if there is one: in quotes, or without, as older scripts have it.
fn key(parser: &mut Parser<'_>) -> Result<Option<String>, SqlError> {
    let is_end = |token: &Token| matches!(token, Token::Eq | Token::SemiColon | Token::EOF);
    let first = parser.peek_token().token;
    if matches!(first, Token::SingleQuotedString(_)) {
        return string(parser).map(Some);
    }
    let mut key = String::new();
    while !is_end(&parser.peek_token().token) {
        key.push_str(&parser.next_token().token.to_string());
    }
    Ok((!key.is_empty()).then_some(key))
}
