//! Types as Flink writes them.

use sqlparser::{parser::Parser, tokenizer::Token};

use super::{FlinkDialect, explain, skip, take_words, tokens, unexpected};
use crate::{
    error::SqlError,
    types::{Kind, MAX_LENGTH, MAX_PRECISION, STRING, Type},
};

/// The type that a text stands for.
///
/// # Errors
/// If it is none.
pub fn parse_type(text: &str) -> Result<Type, SqlError> {
    let mut parser = Parser::new(&FlinkDialect).with_tokens_with_locations(tokens(text)?);
    let found = data_type(&mut parser)?;
    match parser.peek_token() {
        next if next.token == Token::EOF => Ok(found),
        next => Err(unexpected(&next, "the end of the type")),
    }
}

pub(super) fn data_type(parser: &mut Parser<'_>) -> Result<Type, SqlError> {
    let first = parser.peek_token();
    let Token::Word(word) = &first.token else { return Err(unexpected(&first, "a type")) };
    skip(parser, 1);
    let at = |message: String| SqlError::spanned(first.span, message);
    let kind = match word.value.to_uppercase().as_str() {
        "BOOLEAN" => Kind::Boolean,
        "TINYINT" => Kind::TinyInt,
        "SMALLINT" => Kind::SmallInt,
        "INT" | "INTEGER" => Kind::Int,
        "BIGINT" => Kind::BigInt,
        "FLOAT" => Kind::Float,
        "DOUBLE" => {
            let _ = take_words(parser, &["PRECISION"]);
            Kind::Double
        }
        "DECIMAL" | "DEC" | "NUMERIC" => match arguments(parser)?[..] {
            [] => Kind::Decimal(10, 0),
            [precision] => decimal(precision, 0).map_err(at)?,
            [precision, scale] => decimal(precision, scale).map_err(at)?,
            _ => return Err(at("DECIMAL takes a precision and a scale".into())),
        },
        "STRING" => STRING,
        "BYTES" => Kind::Varbinary(MAX_LENGTH),
        "CHAR" => Kind::Char(length(parser, 1)?),
        "VARCHAR" => Kind::Varchar(length(parser, 1)?),
        "BINARY" => Kind::Binary(length(parser, 1)?),
        "VARBINARY" => Kind::Varbinary(length(parser, 1)?),
        "DATE" => Kind::Date,
        "TIME" => Kind::Time(fraction(parser, 0)?),
        "TIMESTAMP_LTZ" => Kind::TimestampLtz(fraction(parser, 6)?),
        "TIMESTAMP" => {
            let precision = fraction(parser, 6)?;
            if take_words(parser, &["WITH", "LOCAL", "TIME", "ZONE"]) {
                Kind::TimestampLtz(precision)
            } else {
                let _ = take_words(parser, &["WITHOUT", "TIME", "ZONE"]);
                Kind::Timestamp(precision)
            }
        }
        "ROW" => Kind::Row(fields(parser)?),
        "ARRAY" => Kind::Array(Box::new(within(parser, 1)?.remove(0))),
        "MULTISET" => Kind::Multiset(Box::new(within(parser, 1)?.remove(0))),
        "MAP" => {
            let mut types = within(parser, 2)?;
            let value = Box::new(types.remove(1));
            Kind::Map(Box::new(types.remove(0)), value)
        }
        "RAW" => return Err(at("the type RAW is not supported yet".into())),
        _ => {
            let known = ["BOOLEAN", "INT", "BIGINT", "DOUBLE", "DECIMAL", "STRING", "TIMESTAMP"];
            let near = crate::error::suggestion(&word.value, known);
            return Err(at(format!("there is no type `{}`{near}", word.value)));
        }
    };
    let mut found = match take_words(parser, &["NOT", "NULL"]) {
        true => Type::required(kind),
        false => {
            let _ = take_words(parser, &["NULL"]);
            Type::nullable(kind)
        }
    };
    // `INT ARRAY`, as the standard has it.
    loop {
        found = if take_words(parser, &["ARRAY"]) {
            Type::nullable(Kind::Array(Box::new(found)))
        } else if take_words(parser, &["MULTISET"]) {
            Type::nullable(Kind::Multiset(Box::new(found)))
        } else {
            return Ok(found);
        };
        if take_words(parser, &["NOT", "NULL"]) {
            found.nullable = false;
        }
    }
}

/// So many types between `<` and `>`.
fn within(parser: &mut Parser<'_>, count: usize) -> Result<Vec<Type>, SqlError> {
    if !parser.consume_token(&Token::Lt) {
        return Err(unexpected(&parser.peek_token(), "`<` and what is within"));
    }
    let mut types = vec![data_type(parser)?];
    while types.len() < count {
        if !parser.consume_token(&Token::Comma) {
            return Err(unexpected(&parser.peek_token(), "`,` and the type of values"));
        }
        types.push(data_type(parser)?);
    }
    close(parser)?;
    Ok(types)
}

/// Takes a `>`, which may be the first half of `>>`.
fn close(parser: &mut Parser<'_>) -> Result<(), SqlError> {
    match parser.consume_token(&Token::Gt) {
        true => Ok(()),
        false => Err(unexpected(&parser.peek_token(), "`>`")),
    }
}

fn fields(parser: &mut Parser<'_>) -> Result<Vec<(String, Type)>, SqlError> {
    let round = parser.consume_token(&Token::LParen);
    if !round && !parser.consume_token(&Token::Lt) {
        return Err(unexpected(&parser.peek_token(), "`<` and the fields of the row"));
    }
    let mut fields = Vec::new();
    loop {
        let name = parser.parse_identifier().map_err(|error| explain(parser, &error))?;
        fields.push((name.value, data_type(parser)?));
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    let close = if round { Token::RParen } else { Token::Gt };
    match parser.consume_token(&close) {
        true => Ok(fields),
        false => Err(unexpected(&parser.peek_token(), &format!("`,` or `{close}`"))),
    }
}

fn decimal(precision: u64, scale: u64) -> Result<Kind, String> {
    let fits = (1..=u64::from(MAX_PRECISION)).contains(&precision) && scale <= precision;
    match fits {
        true => Ok(Kind::Decimal(precision as u8, scale as u8)),
        false => Err(format!(
            "DECIMAL({precision}, {scale}): the precision is 1 to 38, the scale at most that"
        )),
    }
}

fn length(parser: &mut Parser<'_>, default: u32) -> Result<u32, SqlError> {
    let span = parser.peek_token().span;
    match arguments(parser)?[..] {
        [] => Ok(default),
        [length] if (1..=u64::from(MAX_LENGTH)).contains(&length) => Ok(length as u32),
        _ => Err(SqlError::spanned(span, "the length is a number from 1 to 2147483647")),
    }
}

/// Fractional digits of seconds.
fn fraction(parser: &mut Parser<'_>, default: u8) -> Result<u8, SqlError> {
    let span = parser.peek_token().span;
    match arguments(parser)?[..] {
        [] => Ok(default),
        [precision @ 0..=6] => Ok(precision as u8),
        [7..=9] => Err(SqlError::spanned(
            span,
            "times have at most 6 fractional digits, microseconds, here",
        )),
        _ => Err(SqlError::spanned(span, "the precision is a number from 0 to 6")),
    }
}

fn arguments(parser: &mut Parser<'_>) -> Result<Vec<u64>, SqlError> {
    if !parser.consume_token(&Token::LParen) {
        return Ok(Vec::new());
    }
    let numbers = parser.parse_comma_separated(Parser::parse_literal_uint);
    let numbers = numbers.map_err(|error| explain(parser, &error))?;
    match parser.consume_token(&Token::RParen) {
        true => Ok(numbers),
        false => Err(unexpected(&parser.peek_token(), "`)`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_printed_as_they_are_read() {
        for text in [
            "BOOLEAN",
            "BIGINT NOT NULL",
            "DECIMAL(23, 3)",
            "STRING",
            "VARCHAR(12)",
            "CHAR(1)",
            "BYTES",
            "TIMESTAMP(3)",
            "TIMESTAMP_LTZ(6)",
            "DATE",
            "TIME(0)",
            "ROW<`id` BIGINT, `at` ROW<`x` INT NOT NULL> NOT NULL>",
            "ARRAY<INT NOT NULL> NOT NULL",
            "MAP<STRING, ARRAY<ROW<`x` INT>>>",
            "MULTISET<STRING>",
        ] {
            assert_eq!(parse_type(text).unwrap().to_string(), text);
        }
        assert_eq!(
            parse_type("timestamp(3) with local time zone").unwrap().to_string(),
            "TIMESTAMP_LTZ(3)"
        );
        assert_eq!(parse_type("INT NOT NULL ARRAY").unwrap().to_string(), "ARRAY<INT NOT NULL>");
        assert_eq!(parse_type("numeric").unwrap().to_string(), "DECIMAL(10, 0)");
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for (text, expected) in [
            ("BIGNIT", "there is no type `BIGNIT`: did you mean `BIGINT`?"),
            ("DECIMAL(39, 2)", "the precision is 1 to 38"),
            ("DECIMAL(3, 4)", "the precision is 1 to 38"),
            ("TIMESTAMP(9)", "at most 6 fractional digits"),
            ("ARRAY<INT", "where `>` was expected"),
            ("ARRAY", "where `<` and what is within was expected"),
            ("MAP<INT>", "where `,` and the type of values was expected"),
            ("RAW", "the type RAW is not supported yet"),
            ("INT INT", "where the end of the type was expected"),
        ] {
            let found = parse_type(text).unwrap_err().to_string();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }
}
