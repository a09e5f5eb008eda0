//! `CREATE FUNCTION` and `DROP FUNCTION`.

use sqlparser::{
    ast::Ident,
    parser::Parser,
    tokenizer::{Span, Token},
};

use super::{StatementKind, expect_words, is_words, name, skip, string, take_words, unexpected};
use crate::error::SqlError;

/// `CREATE [TEMPORARY] [SYSTEM] FUNCTION`: a function of a plugin, by a name that queries call.
#[derive(Clone, Debug)]
pub struct CreateFunction {
    /// What queries call it.
    pub name: Ident,
    /// What its plugin calls it.
    pub function: String,
    /// Where that is said.
    pub function_at: Span,
    /// The file of its plugin, and where that is said; `None` if it is of one that the host was given.
    pub library: Option<(String, Span)>,
    /// Whether it takes the place of a built-in function.
    pub system: bool,
    /// Nothing happens if it is there.
    pub if_not_exists: bool,
}

/// Behind `CREATE [TEMPORARY]`; `None` if it is no function that is created.
pub(super) fn create(
    parser: &mut Parser<'_>,
    temporary: bool,
) -> Result<Option<StatementKind>, SqlError> {
    let Some(system) = begins(parser, temporary)? else { return Ok(None) };
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let name = name(parser)?;
    expect_words(parser, &["AS"])?;
    let function_at = parser.peek_token().span;
    let function = string(parser)?;
    language(parser)?;
    let library = library(parser)?;
    let created = CreateFunction { name, function, function_at, library, system, if_not_exists };
    Ok(Some(StatementKind::CreateFunction(Box::new(created))))
}

/// Behind `DROP [TEMPORARY]`; `None` if it is no function that is dropped.
pub(super) fn dropped(
    parser: &mut Parser<'_>,
    temporary: bool,
) -> Result<Option<StatementKind>, SqlError> {
    if begins(parser, temporary)?.is_none() {
        return Ok(None);
    }
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    Ok(Some(StatementKind::DropFunction { name: name(parser)?, if_exists }))
}

/// Takes `[SYSTEM] FUNCTION`, and says whether it is one of the system.
fn begins(parser: &mut Parser<'_>, temporary: bool) -> Result<Option<bool>, SqlError> {
    let span = parser.peek_token().span;
    if !is_words(parser, &["SYSTEM"]) {
        return Ok(take_words(parser, &["FUNCTION"]).then_some(false));
    }
    if !temporary {
        let message = "functions of the system are temporary: TEMPORARY SYSTEM FUNCTION";
        return Err(SqlError::spanned(span, message));
    }
    skip(parser, 1);
    expect_words(parser, &["FUNCTION"])?;
    Ok(Some(true))
}

/// `[LANGUAGE RUST]`
fn language(parser: &mut Parser<'_>) -> Result<(), SqlError> {
    if !take_words(parser, &["LANGUAGE"]) || take_words(parser, &["RUST"]) {
        return Ok(());
    }
    let found = parser.peek_token();
    let other = ["JAVA", "SCALA", "PYTHON"].into_iter().find(|other| is_words(parser, &[other]));
    Err(match other {
        None => unexpected(&found, "RUST"),
        Some(other) => SqlError::spanned(
            found.span,
            format!(
                "functions in {other} do not run here: write it in Rust, as a function of a plugin, and say \
                 LANGUAGE RUST, or nothing"
            ),
        ),
    })
}

/// `[USING PLUGIN 'file']`
fn library(parser: &mut Parser<'_>) -> Result<Option<(String, Span)>, SqlError> {
    if !take_words(parser, &["USING"]) {
        return Ok(None);
    }
    let found = parser.peek_token();
    if !take_words(parser, &["PLUGIN"]) {
        let other =
            ["JAR", "FILE", "ARTIFACT"].into_iter().find(|other| is_words(parser, &[other]));
        return Err(match other {
            None => unexpected(&found, "PLUGIN"),
            Some(other) => SqlError::spanned(
                found.span,
                format!(
                    "USING {other} is not supported: functions are those of plugins, USING PLUGIN \
                     '/path/to/lib.so'"
                ),
            ),
        });
    }
    let span = parser.peek_token().span;
    let file = string(parser)?;
    match parser.peek_token() {
        next if next.token == Token::Comma => {
            let message = "a function is of one plugin: name one file";
            Err(SqlError::spanned(next.span, message))
        }
        _ => Ok(Some((file, span))),
    }
}
