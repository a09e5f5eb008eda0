//! Nested types and maps in a form that sqlparser knows.
//!
//! `CAST(x AS ROW<a INT>)` becomes ``CAST(x AS `ROW<a INT>`)``, a type with a name of its own, which is
//! [read](whole_type) again when it is bound; `MAP[…]` becomes the call `MAP(…)`.

use sqlparser::{
    ast,
    tokenizer::{Token, TokenWithSpan, Word},
};

/// What begins a type that sqlparser does not read.
const NESTED: &[&str] = &["ARRAY", "MAP", "MULTISET", "ROW"];

/// The tokens with nested types and maps rewritten; each keeps its place.
pub(super) fn rewritten(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let (mut out, mut open): (Vec<TokenWithSpan>, Vec<Open>) = (Vec::new(), Vec::new());
    let mut rest = tokens.into_iter().peekable();
    let mut last: Option<Token> = None;
    while let Some(token) = rest.next() {
        if matches!(token.token, Token::Whitespace(_)) {
            out.push(token);
            continue;
        }
        let mut token = token;
        match &token.token {
            Token::LParen => {
                let cast = last.as_ref().is_some_and(|last| is_word(last, &["CAST", "TRY_CAST"]));
                open.push(if cast { Open::Cast } else { Open::Other });
            }
            Token::LBracket => {
                let map = last.as_ref().is_some_and(|last| is_word(last, &["MAP"]));
                open.push(if map { Open::Map } else { Open::Other });
                if map {
                    token.token = Token::LParen;
                }
            }
            Token::RParen => drop(open.pop()),
            Token::RBracket if open.pop() == Some(Open::Map) => token.token = Token::RParen,
            word if is_word(word, &["AS"]) && open.last() == Some(&Open::Cast) => {
                out.push(token);
                let mut depth = 0;
                let mut data_type = Vec::new();
                while let Some(next) = rest.next_if(|next| {
                    match next.token {
                        Token::LParen => depth += 1,
                        Token::RParen => depth -= 1,
                        _ => {}
                    }
                    depth >= 0 && next.token != Token::SemiColon
                }) {
                    data_type.push(next);
                }
                out.extend(named(data_type));
                last = None;
                continue;
            }
            _ => {}
        }
        last = Some(token.token.clone());
        out.push(token);
    }
    out
}

/// What a parenthesis or bracket is of that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    Cast,
    Map,
    Other,
}

/// The tokens of a type: one of a name if it is nested, else the same.
fn named(tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let nested = tokens.iter().any(|token| is_word(&token.token, NESTED));
    let first = tokens.iter().find(|token| !matches!(token.token, Token::Whitespace(_)));
    let Some(first) = first.filter(|_| nested) else { return tokens };
    let text = tokens.iter().map(|token| token.token.to_string()).collect::<String>();
    let name = Token::make_word(text.trim(), Some('`'));
    vec![TokenWithSpan::new(name, first.span)]
}

/// A type of an expression as Flink writes it.
pub(crate) fn whole_type(data_type: &ast::DataType) -> String {
    if let ast::DataType::Custom(name, arguments) = data_type
        && let ([ast::ObjectNamePart::Identifier(name)], []) = (&name.0[..], &arguments[..])
        && name.quote_style == Some('`')
    {
        return name.value.clone();
    }
    data_type.to_string()
}

/// Whether a token is one of these words, whatever its case.
fn is_word(token: &Token, words: &[&str]) -> bool {
    matches!(token, Token::Word(Word { value, quote_style: None, .. })
        if words.iter().any(|word| value.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::{super::tokens, *};

    /// The tokens of a text as they are parsed.
    fn shown(text: &str) -> String {
        let tokens = tokens(text).unwrap().into_iter().map(|token| token.token);
        let tokens = tokens.filter(|token| !matches!(token, Token::Whitespace(_)));
        tokens.map(|token| token.to_string()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn nested_types_are_names_and_maps_are_calls() {
        for (text, expected) in [
            ("CAST(x AS ROW<a INT>)", "CAST ( x AS `ROW<a INT>` )"),
            ("CAST(x AS MAP<INT, ROW<a INT>>)", "CAST ( x AS `MAP<INT, ROW<a INT>>` )"),
            ("try_cast(x AS INT ARRAY)", "try_cast ( x AS `INT ARRAY` )"),
            ("CAST(x AS ROW(a DECIMAL(3, 1)))", "CAST ( x AS `ROW(a DECIMAL(3, 1))` )"),
            ("CAST(CAST(x AS ARRAY<INT>) AS INT)", "CAST ( CAST ( x AS `ARRAY<INT>` ) AS INT )"),
            ("MAP['a', b[1]]['a']", "MAP ( 'a' , b [ 1 ] ) [ 'a' ]"),
            // What is none of these stays.
            ("f(x AS ROW<a INT>)", "f ( x AS ROW < a INT > )"),
            ("`MAP`[1]", "`MAP` [ 1 ]"),
            ("CAST(x AS DECIMAL(3, 1))", "CAST ( x AS DECIMAL ( 3 , 1 ) )"),
            ("CAST(x AS ARRAY<INT>; y", "CAST ( x AS `ARRAY<INT>` ; y"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }
}
