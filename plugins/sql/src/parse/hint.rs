//! Hints, `/*+ … */`: behind SELECT sqlparser gives them; those behind a table become a part of its name.

use sqlparser::{
    ast::{Ident, ObjectName},
    keywords::Keyword,
    parser::Parser,
    tokenizer::{Span, Token, TokenWithSpan, Tokenizer, Whitespace, Word},
};

use super::{FlinkDialect, unexpected};
use crate::error::SqlError;

/// What a part of a name begins with that is a hint.
const MARK: char = '+';

/// A hint: its name in capitals, and what is in its parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    pub(crate) name: String,
    /// `'key' = 'value'`
    pub(crate) options: Vec<(String, String)>,
    /// Names alone.
    pub(crate) names: Vec<String>,
}

/// The tokens with hints behind names as one more part of these.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut out: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    let mut behind_name = false;
    for TokenWithSpan { token, span } in tokens {
        match token {
            Token::Whitespace(Whitespace::MultiLineComment(text))
                if behind_name && text.starts_with(MARK) =>
            {
                let keyword = Keyword::NoKeyword;
                out.push(TokenWithSpan::new(Token::Period, span));
                let hint = Word { value: text, quote_style: Some('`'), keyword };
                out.push(TokenWithSpan::new(Token::Word(hint), span));
            }
            token => {
                behind_name = match &token {
                    Token::Whitespace(_) => behind_name,
                    Token::Word(word) => !(word.quote_style.is_none() && is_reserved(word.keyword)),
                    _ => false,
                };
                out.push(TokenWithSpan::new(token, span));
            }
        }
    }
    out
}

/// Whether a hint behind this word is not that of a table.
fn is_reserved(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::SELECT | Keyword::FROM | Keyword::JOIN | Keyword::INTO | Keyword::DISTINCT
    )
}

/// A name without the hint behind it, and that.
pub(crate) fn hinted(name: &ObjectName) -> (ObjectName, Option<Ident>) {
    let hint = name.0.last().and_then(|part| part.as_ident()).filter(|part| is_hint(part));
    match hint {
        Some(hint) => {
            let parts = name.0.get(..name.0.len() - 1).unwrap_or(&[]);
            (ObjectName(parts.to_vec()), Some(hint.clone()))
        }
        None => (name.clone(), None),
    }
}

pub(super) fn is_hint(part: &Ident) -> bool {
    part.quote_style == Some('`') && part.value.starts_with(MARK)
}

/// The options that the hint behind a table says.
///
/// # Errors
/// If it says something else.
pub(crate) fn table_options(hint: &Ident) -> Result<Vec<(String, String)>, SqlError> {
    let mut options = Vec::new();
    for found in hints(hint.value.trim_start_matches(MARK), hint.span)? {
        if found.name != "OPTIONS" || !found.names.is_empty() {
            let message = format!(
                "the hint {} does not stand behind a table: there is OPTIONS('key' = 'value', …)",
                found.name
            );
            return Err(SqlError::at(hint, message));
        }
        options.extend(found.options);
    }
    Ok(options)
}

/// The hints of a text, which is at `span`.
///
/// # Errors
/// If it cannot be read.
pub(crate) fn hints(text: &str, span: Span) -> Result<Vec<Hint>, SqlError> {
    let here = |error: SqlError| SqlError::spanned(span, format!("in a hint, {error}"));
    let tokens = Tokenizer::new(&FlinkDialect, text).tokenize();
    let tokens = tokens.map_err(|error| here(SqlError::new(error.message)))?;
    let mut parser = Parser::new(&FlinkDialect).with_tokens(tokens);
    let mut hints = Vec::new();
    while parser.peek_token().token != Token::EOF {
        hints.push(hint(&mut parser).map_err(|error| here(error.placeless()))?);
        let _ = parser.consume_token(&Token::Comma);
    }
    Ok(hints)
}

fn hint(parser: &mut Parser<'_>) -> Result<Hint, SqlError> {
    let name = word(parser)?.ok_or_else(|| unexpected(&parser.peek_token(), "a hint's name"))?;
    let mut hint = Hint { name: name.to_uppercase(), options: Vec::new(), names: Vec::new() };
    if !parser.consume_token(&Token::LParen) {
        return Ok(hint);
    }
    while !parser.consume_token(&Token::RParen) {
        let expected = "a name, or 'key' = 'value'";
        let key = word(parser)?.ok_or_else(|| unexpected(&parser.peek_token(), expected))?;
        if parser.consume_token(&Token::Eq) {
            let value = word(parser)?
                .ok_or_else(|| unexpected(&parser.peek_token(), "a text in single quotes"))?;
            hint.options.push((key, value));
        } else {
            hint.names.push(key);
        }
        if !parser.consume_token(&Token::Comma) && parser.peek_token().token != Token::RParen {
            return Err(unexpected(&parser.peek_token(), "`,` or `)`"));
        }
    }
    Ok(hint)
}

/// A name, or a text in quotes, which may have several parts.
fn word(parser: &mut Parser<'_>) -> Result<Option<String>, SqlError> {
    let mut name = match parser.peek_token().token {
        Token::Word(Word { value, .. }) | Token::SingleQuotedString(value) => value,
        Token::Number(number, _) => number,
        _ => return Ok(None),
    };
    parser.next_token();
    while parser.consume_token(&Token::Period) {
        match parser.next_token() {
            TokenWithSpan { token: Token::Word(word), .. } => {
                name.push('.');
                name.push_str(&word.value);
            }
            other => return Err(unexpected(&other, "a name")),
        }
    }
    Ok(Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_have_names_and_options() {
        let text = " state_ttl('a' = '1d', b='2 h'), BROADCAST(a, `b c`) NO_ARGUMENTS ";
        let pairs = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
        };
        let hint = |name: &str, options, names: &[&str]| Hint {
            name: name.into(),
            options,
            names: names.iter().map(|name| (*name).into()).collect(),
        };
        let expected = [
            hint("STATE_TTL", pairs(&[("a", "1d"), ("b", "2 h")]), &[]),
            hint("BROADCAST", Vec::new(), &["a", "b c"]),
            hint("NO_ARGUMENTS", Vec::new(), &[]),
        ];
        assert_eq!(hints(text, Span::empty()).unwrap(), expected);
    }

    #[test]
    fn what_is_no_hint_is_said() {
        for (text, expected) in [
            (
                "OPTIONS(",
                "in a hint, the script ends where a name, or 'key' = 'value' was expected",
            ),
            ("OPTIONS('a' 'b')", "in a hint, `'b'` was found where `,` or `)` was expected"),
            ("(", "in a hint, `(` was found where a hint's name was expected"),
        ] {
            assert_eq!(hints(text, Span::empty()).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
