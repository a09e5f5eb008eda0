//! `CREATE TABLE`.

use std::fmt;

use sqlparser::{
    ast::{Expr, Ident},
    parser::Parser,
    tokenizer::{Span, Token},
};

use super::{
    Like, StatementKind, expect_words, explain, is_words, like::like, name, names, query, string,
    take_words, types::data_type, unexpected,
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
    pub like: Option<Like>,
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
    /// What the connector knows beside the rows.
    Metadata {
        /// Of what type.
        data_type: Type,
        /// What it is called by the connector.
        key: String,
        /// Whether it is only read.
        is_virtual: bool,
    },
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

/// The formats whose rows have kinds.
pub(crate) const CHANGELOGS: [&str; 2] = ["changelog-json", "debezium-json"];

impl CreateTable {
    /// Whether its rows have kinds: what is read of it updates and deletes rows.
    pub(crate) fn is_changelog(&self) -> bool {
        let format = self.options.iter().find(|(key, _)| key == "format");
        format.is_some_and(|(_, format)| CHANGELOGS.contains(&format.as_str()))
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
                ColumnSource::Metadata { data_type, key, is_virtual } => {
                    let from = match *key == column.name.value {
                        true => String::new(),
                        false => format!(" FROM '{}'", key.replace('\'', "''")),
                    };
                    let is_virtual = if *is_virtual { " VIRTUAL" } else { "" };
                    format!("{} {data_type} METADATA{from}{is_virtual}", name(&column.name))
                }
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

pub(super) fn create_table(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
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
    let mut order = Vec::new();
    if only_names(parser) {
        order = names(parser)?;
    } else if parser.consume_token(&Token::LParen) {
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
        table.like = Some(like(parser)?);
    } else if take_words(parser, &["AS"]) {
        let query = query(parser)?;
        return Ok(StatementKind::CreateTableAs { table: Box::new(table), order, query });
    }
    match order.first() {
        Some(first) => {
            Err(SqlError::at(first, format!("the column `{}` has no type", first.value)))
        }
        None => Ok(StatementKind::CreateTable(Box::new(table))),
    }
}

/// Whether names in parentheses come next, without types.
fn only_names(parser: &Parser<'_>) -> bool {
    parser.peek_nth_token(0).token == Token::LParen
        && matches!(parser.peek_nth_token(1).token, Token::Word(_))
        && matches!(parser.peek_nth_token(2).token, Token::Comma | Token::RParen)
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
        if take_words(parser, &["METADATA"]) {
            let key = match take_words(parser, &["FROM"]) {
                true => string(parser)?,
                false => name.value.clone(),
            };
            let is_virtual = take_words(parser, &["VIRTUAL"]);
            let source = ColumnSource::Metadata { data_type, key, is_virtual };
            table.columns.push(ColumnDefinition { name, source });
            if take_words(parser, &["COMMENT"]) {
                string(parser)?;
            }
            return Ok(());
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
