//! `CREATE TABLE`.

use std::fmt;

use sqlparser::{
    ast::{Expr, Ident},
    parser::Parser,
    tokenizer::{Span, Token},
};

use super::{
    expect_words, explain, is_words, name, names, string, take_words, types::data_type, unexpected,
};
use crate::{error::SqlError, types::Type};

/// A table as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateTable {
    /// Its name.
    pub name: Ident,
    /// Nothing happens if it is there.
    pub if_not_exists: bool,
    /// Its columns, in order.
    pub columns: Vec<ColumnDefinition>,
    /// `WATERMARK FOR column AS expression`
    pub watermark: Option<Watermark>,
    /// `PRIMARY KEY (…) NOT ENFORCED`
    pub primary_key: Vec<Ident>,
    /// `PARTITIONED BY (…)`
    pub partitioned_by: Vec<Ident>,
    /// `WITH (…)`, in order.
    pub options: Vec<(String, String)>,
    /// Where the options are.
    pub options_span: Span,
    /// `LIKE table`
    pub like: Option<Ident>,
}

/// A column as it was declared.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDefinition {
    /// Its name.
    pub name: Ident,
    /// Where its values come from.
    pub source: ColumnSource,
}

/// Where the values of a column come from.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnSource {
    /// The connector.
    Physical(Type),
    /// An expression of other columns.
    Computed(Box<Expr>),
}

/// How event time is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Watermark {
    /// The column with the time.
    pub column: Ident,
    /// The watermark after a row.
    pub expression: Expr,
}

impl CreateTable {
    /// The same table with these options, instead of its own of these keys.
    pub(crate) fn with_options(&self, options: &[(String, String)]) -> Self {
        let mut table = self.clone();
        table.options.retain(|(key, _)| !options.iter().any(|(other, _)| other == key));
        table.options.extend_from_slice(options);
        table
    }
}

/// The statement that declares it.
impl fmt::Display for CreateTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &Ident| format!("`{}`", name.value.replace('`', "``"));
        let names = |all: &[Ident]| all.iter().map(name).collect::<Vec<_>>().join(", ");
        let mut elements: Vec<String> = Vec::new();
        for column in &self.columns {
            elements.push(match &column.source {
                ColumnSource::Physical(data_type) => format!("{} {data_type}", name(&column.name)),
                ColumnSource::Computed(made) => format!("{} AS {made}", name(&column.name)),
            });
        }
        if let Some(Watermark { column, expression }) = &self.watermark {
            elements.push(format!("WATERMARK FOR {} AS {expression}", name(column)));
        }
        if !self.primary_key.is_empty() {
            elements.push(format!("PRIMARY KEY ({}) NOT ENFORCED", names(&self.primary_key)));
        }
        write!(f, "CREATE TABLE {} (\n  {}\n)", name(&self.name), elements.join(",\n  "))?;
        if !self.partitioned_by.is_empty() {
            write!(f, "\nPARTITIONED BY ({})", names(&self.partitioned_by))?;
        }
        if self.options.is_empty() {
            return Ok(());
        }
        let text = |text: &str| format!("'{}'", text.replace('\'', "''"));
        let options = self.options.iter().map(|(key, value)| (text(key), text(value)));
        let options: Vec<_> = options.map(|(key, value)| format!("{key} = {value}")).collect();
        write!(f, "\nWITH (\n  {}\n)", options.join(",\n  "))
    }
}

pub(super) fn create_table(parser: &mut Parser<'_>) -> Result<CreateTable, SqlError> {
    let if_not_exists = take_words(parser, &["IF", "NOT", "EXISTS"]);
    let mut table = CreateTable {
        name: name(parser)?,
        if_not_exists,
        columns: Vec::new(),
        watermark: None,
        primary_key: Vec::new(),
        partitioned_by: Vec::new(),
        options: Vec::new(),
        options_span: Span::empty(),
        like: None,
    };
    if parser.consume_token(&Token::LParen) {
        loop {
            element(parser, &mut table)?;
            if parser.consume_token(&Token::RParen) {
                break;
            }
            if !parser.consume_token(&Token::Comma) {
                return Err(unexpected(&parser.peek_token(), "`,` or `)`"));
            }
        }
    }
    if take_words(parser, &["COMMENT"]) {
        string(parser)?;
    }
    if take_words(parser, &["PARTITIONED", "BY"]) {
        table.partitioned_by = names(parser)?;
    }
    table.options_span = parser.peek_token().span;
    if take_words(parser, &["WITH"]) {
        table.options = options(parser)?;
    }
    if take_words(parser, &["LIKE"]) {
        table.like = Some(name(parser)?);
        if parser.peek_token().token == Token::LParen {
            let span = parser.peek_token().span;
            return Err(SqlError::spanned(span, "LIKE takes no options yet"));
        }
    }
    if is_words(parser, &["AS"]) {
        let span = parser.peek_token().span;
        return Err(SqlError::spanned(span, "CREATE TABLE … AS is not supported yet: use INSERT"));
    }
    Ok(table)
}

/// A column, the watermark or the primary key.
fn element(parser: &mut Parser<'_>, table: &mut CreateTable) -> Result<(), SqlError> {
    let span = parser.peek_token().span;
    if is_words(parser, &["WATERMARK", "FOR"]) {
        let _ = take_words(parser, &["WATERMARK", "FOR"]);
        let column = identifier(parser)?;
        expect_words(parser, &["AS"])?;
        let watermark = Watermark { column, expression: expression(parser)? };
        if table.watermark.replace(watermark).is_some() {
            return Err(SqlError::spanned(span, "a table has one watermark"));
        }
        return Ok(());
    }
    if is_words(parser, &["CONSTRAINT"]) || is_words(parser, &["PRIMARY", "KEY"]) {
        if take_words(parser, &["CONSTRAINT"]) {
            identifier(parser)?;
        }
        expect_words(parser, &["PRIMARY", "KEY"])?;
        table.primary_key = names(parser)?;
        return not_enforced(parser);
    }
    let name = identifier(parser)?;
    if take_words(parser, &["AS"]) {
        let source = ColumnSource::Computed(Box::new(expression(parser)?));
        table.columns.push(ColumnDefinition { name, source });
    } else {
        let data_type = data_type(parser)?;
        if is_words(parser, &["METADATA"]) {
            let span = parser.peek_token().span;
            return Err(SqlError::spanned(span, "metadata columns are not supported yet"));
        }
        if take_words(parser, &["PRIMARY", "KEY"]) {
            table.primary_key = vec![name.clone()];
            not_enforced(parser)?;
        }
        table.columns.push(ColumnDefinition { name, source: ColumnSource::Physical(data_type) });
    }
    if take_words(parser, &["COMMENT"]) {
        string(parser)?;
    }
    Ok(())
}

fn not_enforced(parser: &mut Parser<'_>) -> Result<(), SqlError> {
    match take_words(parser, &["NOT", "ENFORCED"]) {
        true => Ok(()),
        false => Err(unexpected(
            &parser.peek_token(),
            "NOT ENFORCED (a stream processor does not own the data, and so cannot enforce keys)",
        )),
    }
}

fn options(parser: &mut Parser<'_>) -> Result<Vec<(String, String)>, SqlError> {
    let open = parser.expect_token(&Token::LParen);
    open.map_err(|error| explain(parser, &error))?;
    let mut options: Vec<(String, String)> = Vec::new();
    loop {
        let span = parser.peek_token().span;
        let key = string(parser)?;
        parser.expect_token(&Token::Eq).map_err(|error| explain(parser, &error))?;
        let value = string(parser)?;
        if options.iter().any(|(other, _)| *other == key) {
            return Err(SqlError::spanned(span, format!("the option '{key}' is given twice")));
        }
        options.push((key, value));
        if parser.consume_token(&Token::RParen) {
            return Ok(options);
        }
        if !parser.consume_token(&Token::Comma) {
            return Err(unexpected(&parser.peek_token(), "`,` or `)`"));
        }
    }
}

fn identifier(parser: &mut Parser<'_>) -> Result<Ident, SqlError> {
    parser.parse_identifier().map_err(|error| explain(parser, &error))
}

fn expression(parser: &mut Parser<'_>) -> Result<Expr, SqlError> {
    parser.parse_expr().map_err(|error| explain(parser, &error))
}
