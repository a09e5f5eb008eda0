//! Scripts: what sqlparser does not know of Flink's dialect is parsed here, queries and expressions by it.

mod dialect;
mod function;
mod hint;
pub(crate) mod json;
mod like;
mod nested;
mod statement;
mod table;
mod types;
mod window;

use sqlparser::{
    ast::{Ident, ObjectName, Query},
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Span, Token, TokenWithSpan, Tokenizer, TokenizerError},
};

pub use dialect::FlinkDialect;
pub use function::CreateFunction;
pub(crate) use hint::{hinted, hints, table_options};
pub use like::Like;
pub(crate) use like::{Feature, Merging};
pub(crate) use nested::whole_type;
pub use statement::{OnConflict, Shown};
pub use table::{ColumnDefinition, ColumnSource, CreateTable, Watermark};
pub use types::parse_type;
pub(crate) use window::WINDOWS;

use crate::error::SqlError;

/// A statement, with its place in the script.
#[derive(Clone, Debug)]
pub struct Statement {
    /// What it says.
    pub kind: StatementKind,
    /// Where.
    pub span: Span,
}

/// What a statement says.
#[derive(Clone, Debug)]
pub enum StatementKind {
    /// `SET 'key' = 'value'`
    Set(String, String),
    /// `RESET ['key']`: of all that was set, if there is no key.
    Reset(Option<String>),
    /// `CREATE TABLE`
    CreateTable(Box<CreateTable>),
    /// `CREATE TABLE … AS query`
    CreateTableAs {
        /// What was said of the table.
        table: Box<CreateTable>,
        /// In which order its columns are, if they are only named.
        order: Vec<Ident>,
        /// The rows, whose columns it has.
        query: Box<Query>,
    },
    /// `CREATE VIEW name [(columns)] AS query`
    CreateView {
        /// Its name.
        name: Ident,
        /// Its columns, if they are named.
        columns: Vec<Ident>,
        /// What it stands for.
        query: Box<Query>,
        /// Nothing happens if it is there.
        if_not_exists: bool,
    },
    /// `DROP TABLE` or `DROP VIEW`
    Drop {
        /// Whether it is a view.
        view: bool,
        /// Its name.
        name: Ident,
        /// Nothing happens if it is not there.
        if_exists: bool,
    },
    /// `CREATE FUNCTION`
    CreateFunction(Box<CreateFunction>),
    /// `DROP FUNCTION`
    DropFunction {
        /// What queries call it.
        name: Ident,
        /// Nothing happens if it is not there.
        if_exists: bool,
    },
    /// `INSERT INTO name [(columns)] query [ON CONFLICT DO …]`
    Insert {
        /// The table.
        table: Ident,
        /// What a hint says instead of the table's options.
        options: Vec<(String, String)>,
        /// The columns that the query fills, if they are named.
        columns: Vec<Ident>,
        /// The rows.
        query: Box<Query>,
        /// `ON CONFLICT DO …`, if it is there.
        conflict: Option<OnConflict>,
    },
    /// A query whose rows are the result.
    Query(Box<Query>),
    /// `EXPLAIN` of a query, or of one or several INSERTs.
    Explain(Vec<Statement>),
    /// `SHOW`
    Show(Shown),
    /// `DESCRIBE name`
    Describe(Ident),
}

/// The statements of a script.
///
/// # Errors
/// If it cannot be parsed, with the place.
pub fn parse(script: &str) -> Result<Vec<Statement>, SqlError> {
    let mut parser = Parser::new(&FlinkDialect).with_tokens_with_locations(tokens(script)?);
    let mut statements = Vec::new();
    let mut in_set = false;
    loop {
        while parser.consume_token(&Token::SemiColon) {}
        let first = parser.peek_token();
        if first.token == Token::EOF {
            break;
        }
        if is_words(&parser, &["EXECUTE", "STATEMENT", "SET"]) {
            skip(&mut parser, 3);
            expect_words(&mut parser, &["BEGIN"])?;
            in_set = true;
            continue;
        }
        if is_words(&parser, &["BEGIN", "STATEMENT", "SET"]) {
            skip(&mut parser, 3);
            in_set = true;
            continue;
        }
        if in_set && is_words(&parser, &["END"]) {
            skip(&mut parser, 1);
            in_set = false;
            continue;
        }
        let kind = statement(&mut parser)?;
        let next = parser.peek_token();
        if !matches!(next.token, Token::SemiColon | Token::EOF) {
            return Err(unexpected(&next, "the end of the statement, `;`"));
        }
        if in_set && !matches!(kind, StatementKind::Insert { .. }) {
            let message = "a statement set has INSERT statements only";
            return Err(SqlError::spanned(first.span, message));
        }
        statements.push(Statement { kind, span: first.span });
    }
    match in_set {
        true => Err(SqlError::new("the statement set does not end: END is missing")),
        false => Ok(statements),
    }
}

/// The tokens of a text.
fn tokens(text: &str) -> Result<Vec<TokenWithSpan>, SqlError> {
    let tokens = Tokenizer::new(&FlinkDialect, text).tokenize_with_location();
    let tokens = tokens.map_err(|TokenizerError { message, location }| {
        SqlError::spanned(Span::new(location, location), lower(&message))
    })?;
    // There is no shift in Flink's SQL: `>>` is where two rows end.
    let divided = |token: TokenWithSpan| match token.token {
        Token::ShiftRight => vec![TokenWithSpan::new(Token::Gt, token.span); 2],
        _ => vec![token],
    };
    let tokens = tokens.into_iter().flat_map(divided).collect();
    Ok(nested::rewritten(window::rewritten(hint::rewritten(tokens))))
}

fn statement(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    let first = parser.peek_token();
    let Token::Word(word) = &first.token else {
        return match first.token {
            Token::LParen => Ok(StatementKind::Query(query(parser)?)),
            _ => Err(unexpected(&first, "a statement")),
        };
    };
    match word.value.to_uppercase().as_str() {
        "SELECT" | "WITH" | "VALUES" => Ok(StatementKind::Query(query(parser)?)),
        "SET" => statement::set(parser),
        "RESET" => statement::reset(parser),
        "CREATE" => create(parser),
        "DROP" => drop_statement(parser),
        "INSERT" => insert(parser),
        "EXPLAIN" => statement::explained(parser),
        "SHOW" => statement::show(parser),
        "DESCRIBE" | "DESC" => statement::describe(parser),
        _ => {
            let known = [
                "SELECT", "WITH", "VALUES", "SET", "RESET", "CREATE", "DROP", "INSERT", "EXPLAIN",
                "SHOW", "DESCRIBE",
            ];
            let near = crate::error::suggestion(&word.value, known);
            let message = format!("there is no statement `{}`{near}", word.value);
            Err(SqlError::spanned(first.span, message))
        }
    }
}

fn create(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    let temporary = take_words(parser, &["TEMPORARY"]);
    if let Some(function) = function::create(parser, temporary)? {
        return Ok(function);
    }
    if take_words(parser, &["TABLE"]) {
        return table::create_table(parser);
    }
    if take_words(parser, &["VIEW"]) {
        let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
        let name = name(parser)?;
        let columns = match parser.peek_token().token {
            Token::LParen => names(parser)?,
            _ => Vec::new(),
        };
        expect_words(parser, &["AS"])?;
        return Ok(StatementKind::CreateView {
            name,
            columns,
            query: query(parser)?,
            if_not_exists,
        });
    }
    Err(unexpected(&parser.peek_token(), "TABLE, VIEW or FUNCTION"))
}

fn drop_statement(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    let temporary = take_words(parser, &["TEMPORARY"]);
    if let Some(function) = function::dropped(parser, temporary)? {
        return Ok(function);
    }
    let view = take_words(parser, &["VIEW"]);
    if !view && !take_words(parser, &["TABLE"]) {
        return Err(unexpected(&parser.peek_token(), "TABLE, VIEW or FUNCTION"));
    }
    let if_exists = take_words(parser, &["IF", "EXISTS"]);
    Ok(StatementKind::Drop { view, name: name(parser)?, if_exists })
}

fn insert(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    skip(parser, 1);
    expect_words(parser, &["INTO"])?;
    let span = parser.peek_token().span;
    let named = parser.parse_object_name(false).map_err(|error| explain(parser, &error))?;
    let (named, hint) = hinted(&named);
    let table = simple_name(&named).map_err(|error| error.or_at(span))?;
    let options = hint.as_ref().map(table_options).transpose()?.unwrap_or_default();
    // A parenthesis may begin the columns, or a query.
    let second = parser.peek_nth_token(1).token;
    let is_query = matches!(&second, Token::Word(word)
        if matches!(word.keyword, Keyword::SELECT | Keyword::WITH | Keyword::VALUES));
    let columns = match parser.peek_token().token {
        Token::LParen if !is_query => names(parser)?,
        _ => Vec::new(),
    };
    let query = query(parser)?;
    let conflict = statement::on_conflict(parser)?;
    Ok(StatementKind::Insert { table, options, columns, query, conflict })
}

pub(super) fn query(parser: &mut Parser<'_>) -> Result<Box<Query>, SqlError> {
    parser.parse_query().map_err(|error| explain(parser, &error))
}

/// A name without a catalog or database in front.
pub(super) fn name(parser: &mut Parser<'_>) -> Result<Ident, SqlError> {
    let span = parser.peek_token().span;
    let name = parser.parse_object_name(false).map_err(|error| explain(parser, &error))?;
    simple_name(&name).map_err(|error| error.or_at(span))
}

/// The only part of a name.
///
/// # Errors
/// If it has several: there is one catalog with one database here.
pub fn simple_name(name: &ObjectName) -> Result<Ident, SqlError> {
    match &name.0[..] {
        [.., last] if last.as_ident().is_some_and(hint::is_hint) => {
            Err(SqlError::at(name, "a hint is not supported here"))
        }
        [part] => part.as_ident().cloned().ok_or_else(|| SqlError::at(name, "this is no name")),
        [.., last] if is_default(name) => {
            last.as_ident().cloned().ok_or_else(|| SqlError::at(name, "this is no name"))
        }
        _ => Err(SqlError::at(
            name,
            format!("there are no catalogs and databases here: `{name}` must be a plain name"),
        )),
    }
}

/// Whether the name is one of Flink's default catalog and database.
fn is_default(name: &ObjectName) -> bool {
    let mut parts: Vec<String> =
        name.0.iter().map(|part| part.to_string().replace('`', "")).collect();
    parts.pop();
    matches!(
        &parts.iter().map(String::as_str).collect::<Vec<_>>()[..],
        ["default_database"] | ["default_catalog", "default_database"]
    )
}

pub(super) fn names(parser: &mut Parser<'_>) -> Result<Vec<Ident>, SqlError> {
    let open = parser.expect_token(&Token::LParen);
    open.map_err(|error| explain(parser, &error))?;
    let names = parser.parse_comma_separated(Parser::parse_identifier);
    let names = names.map_err(|error| explain(parser, &error))?;
    let close = parser.expect_token(&Token::RParen);
    close.map_err(|error| explain(parser, &error))?;
    Ok(names)
}

pub(super) fn string(parser: &mut Parser<'_>) -> Result<String, SqlError> {
    match parser.peek_token() {
        TokenWithSpan { token: Token::SingleQuotedString(text), .. } => {
            skip(parser, 1);
            Ok(text)
        }
        other => Err(unexpected(&other, "a text in single quotes")),
    }
}

pub(super) fn skip(parser: &mut Parser<'_>, tokens: usize) {
    for _ in 0..tokens {
        parser.next_token();
    }
}

/// Whether these words come next, whatever their case.
pub(super) fn is_words(parser: &Parser<'_>, words: &[&str]) -> bool {
    words.iter().enumerate().all(|(i, word)| {
        matches!(parser.peek_nth_token(i).token, Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word))
    })
}

pub(super) fn take_words(parser: &mut Parser<'_>, words: &[&str]) -> bool {
    let found = is_words(parser, words);
    if found {
        skip(parser, words.len());
    }
    found
}

pub(super) fn expect_words(parser: &mut Parser<'_>, words: &[&str]) -> Result<(), SqlError> {
    match take_words(parser, words) {
        true => Ok(()),
        false => Err(unexpected(&parser.peek_token(), &words.join(" "))),
    }
}

pub(super) fn unexpected(found: &TokenWithSpan, expected: &str) -> SqlError {
    let found_text = match &found.token {
        Token::EOF => "the script ends".to_owned(),
        token => format!("`{token}` was found"),
    };
    SqlError::spanned(found.span, format!("{found_text} where {expected} was expected"))
}

/// An error of sqlparser in our words, with the place that is in its message, or else where it stopped.
pub(super) fn explain(parser: &Parser<'_>, error: &ParserError) -> SqlError {
    let (ParserError::ParserError(said) | ParserError::TokenizerError(said)) = error else {
        return SqlError::new("the statement is nested too deeply");
    };
    let (message, place) = match said.rsplit_once(" at Line: ") {
        Some((message, place)) => (message, place.split_once(", Column: ")),
        None => (&said[..], None),
    };
    let place = place.and_then(|(line, column)| Some((line.parse().ok()?, column.parse().ok()?)));
    let next = parser.peek_token();
    let span = match place {
        Some((line, column)) => {
            let start = Location::new(line, column);
            if next.span.start == start { next.span } else { Span::new(start, start) }
        }
        None => place_of(parser, &next),
    };
    let message = match message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("the script ends where {expected} was expected"),
        Some((expected, found)) => format!("`{found}` was found where {expected} was expected"),
        None => lower(message),
    };
    SqlError::spanned(span, message)
}

/// Where a token is; the end of the script is where its last token is.
fn place_of(parser: &Parser<'_>, token: &TokenWithSpan) -> Span {
    if token.token != Token::EOF {
        return token.span;
    }
    let before = (0..parser.index()).rev().map(|index| parser.token_at(index));
    let last =
        before.into_iter().find(|token| !matches!(token.token, Token::EOF | Token::Whitespace(_)));
    last.map_or(token.span, |last| last.span)
}

fn lower(message: &str) -> String {
    let mut letters = message.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(script: &str) -> String {
        parse(script).unwrap_err().to_string()
    }

    #[test]
    fn scripts_have_statements_of_all_kinds() {
        let script = "SET 'parallelism.default' = '2'; -- a comment
            CREATE TEMPORARY TABLE t (a INT) WITH ('connector' = 'datagen');
            CREATE VIEW v (b) AS SELECT a FROM t;
            EXECUTE STATEMENT SET BEGIN INSERT INTO x SELECT b FROM v; INSERT INTO y (c) \
            SELECT b FROM v; END;
            EXPLAIN SELECT 1 FROM v; DESCRIBE t; SHOW TABLES; DROP VIEW IF EXISTS v;
            INSERT INTO z (SELECT 1 FROM t)";
        let kinds: Vec<_> = parse(script).unwrap().into_iter().map(|s| s.kind).collect();
        assert_eq!(kinds.len(), 10);
        assert!(matches!(&kinds[0], StatementKind::Set(key, value)
            if key == "parallelism.default" && value == "2"));
        assert!(matches!(&kinds[4], StatementKind::Insert { columns, .. } if columns.len() == 1));
        assert!(matches!(&kinds[9], StatementKind::Insert { columns, .. } if columns.is_empty()));
    }

    #[test]
    fn mistakes_have_their_place() {
        for (script, expected) in [
            ("SELEC 1", "there is no statement `SELEC`: did you mean `SELECT`? (line 1, column 1)"),
            ("SET 'a' 'b'", "`'b'` was found where = was expected (line 1, column 9)"),
            (
                "SELECT a FROM t WHERE",
                "the script ends where an expression was expected (line 1, column 17)",
            ),
            (
                "CREATE INDEX i",
                "`INDEX` was found where TABLE, VIEW or FUNCTION was expected (line 1, column 8)",
            ),
            (
                "SELECT 1 FROM t g\nGO",
                "`GO` was found where the end of the statement, `;` was expected (line 2, column 1)",
            ),
            ("SELECT 'x", "unterminated string literal (line 1, column 8)"),
            (
                "BEGIN STATEMENT SET; SELECT 1;",
                "a statement set has INSERT statements only (line 1, column 22)",
            ),
            (
                "INSERT INTO a.b SELECT 1",
                "there are no catalogs and databases here: `a.b` must be a plain name (line 1, column 13)",
            ),
        ] {
            let found = message(script);
            assert!(found.starts_with(expected), "{script}: {found}");
        }
    }
}
