//! Calls of functions of JSON with clauses, and `IS JSON`, which sqlparser does not read.
//!
//! `JSON_VALUE(x, '$.a' RETURNING INT NULL ON EMPTY)` becomes a call whose clauses are named arguments, `x IS JSON
//! OBJECT` one of a function that is named so.

use sqlparser::{
    ast::{
        Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgOperator, FunctionArgumentList,
        FunctionArguments, Ident, ObjectName, UnaryOperator, Value,
    },
    parser::{Parser, ParserError},
    tokenizer::{Span, Token, Word},
};

use super::{is_words, skip, take_words};

/// What is in a call of JSON_OBJECT or JSON_ARRAY where there is no value.
pub(crate) const NULLS: &str = "NULLS";
/// What JSON_OBJECTAGG and JSON_ARRAYAGG are made of: the element that a row has, and what LISTAGG has made of these,
/// with this in between, which no JSON has.
pub(crate) const ELEMENT: &str = "JSON ELEMENT";
pub(crate) const OBJECT_OF: &str = "JSON_OBJECTAGG OF";
pub(crate) const ARRAY_OF: &str = "JSON_ARRAYAGG OF";
pub(crate) const BETWEEN: &str = "\u{1}";
/// The names of clauses.
pub(crate) const RETURNING: &str = "RETURNING";
pub(crate) const WRAPPER: &str = "WRAPPER";
pub(crate) const ON_EMPTY: &str = "ON EMPTY";
pub(crate) const ON_ERROR: &str = "ON ERROR";

/// A call at hand that has clauses of its own; `None` if it is another expression.
pub(super) fn call(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let Token::Word(Word { value, quote_style: None, .. }) = parser.peek_token().token else {
        return None;
    };
    if parser.peek_nth_token(1).token != Token::LParen {
        return None;
    }
    let value = value.to_uppercase();
    let read = match &value[..] {
        "JSON_VALUE" | "JSON_QUERY" | "JSON_EXISTS" => queried,
        "JSON_OBJECT" => object,
        "JSON_ARRAY" => array,
        "JSON_OBJECTAGG" => member,
        "JSON_ARRAYAGG" => element,
        _ => return None,
    };
    let name = parser.parse_identifier();
    Some(name.and_then(|name| {
        parser.expect_token(&Token::LParen)?;
        let arguments = read(parser)?;
        parser.expect_token(&Token::RParen)?;
        Ok(match &value[..] {
            "JSON_OBJECTAGG" => aggregated(name.span, ["JSON_OBJECT", OBJECT_OF], arguments),
            "JSON_ARRAYAGG" => aggregated(name.span, ["JSON_ARRAY", ARRAY_OF], arguments),
            _ => function(name, arguments),
        })
    }))
}

/// What is aggregated of the JSON that one function makes of each row, and what another makes of all of it.
fn aggregated(span: Span, [of_row, of_all]: [&str; 2], arguments: Vec<FunctionArg>) -> Expr {
    let call = |name, arguments| function(Ident::with_span(span, name), arguments);
    let element = call(ELEMENT, vec![unnamed(call(of_row, arguments))]);
    let all = call("LISTAGG", vec![unnamed(element), unnamed(text(BETWEEN))]);
    call(of_all, vec![unnamed(all)])
}

/// `IS [NOT] JSON [VALUE | OBJECT | ARRAY | SCALAR]` behind an expression; `None` if it is something else.
pub(super) fn is_json(parser: &mut Parser<'_>, of: &Expr) -> Option<Result<Expr, ParserError>> {
    let begin = parser.peek_token();
    let negated = match is_words(parser, &["IS", "NOT", "JSON"]) {
        true => true,
        false if is_words(parser, &["IS", "JSON"]) => false,
        false => return None,
    };
    skip(parser, if negated { 3 } else { 2 });
    let kinds = ["VALUE", "OBJECT", "ARRAY", "SCALAR"];
    let kind = kinds.into_iter().find(|kind| take_words(parser, &[kind])).unwrap_or("VALUE");
    let name = Ident::with_span(begin.span, format!("IS JSON {kind}"));
    let call = function(name, vec![unnamed(of.clone())]);
    Some(Ok(match negated {
        true => Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(call) },
        false => call,
    }))
}

fn function(name: Ident, args: Vec<FunctionArg>) -> Expr {
    let list = FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() };
    Expr::Function(Function {
        name: ObjectName::from(vec![name]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(list),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

fn unnamed(expr: Expr) -> FunctionArg {
    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr))
}

fn named(name: &str, expr: Expr) -> FunctionArg {
    let operator = FunctionArgOperator::RightArrow;
    FunctionArg::Named { name: Ident::new(name), arg: FunctionArgExpr::Expr(expr), operator }
}

fn text(text: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(text.to_owned()))
}

/// The text and the path, and what is said of them.
fn queried(parser: &mut Parser<'_>) -> Result<Vec<FunctionArg>, ParserError> {
    let mut arguments = Vec::new();
    for expr in parser.parse_comma_separated(Parser::parse_expr)? {
        arguments.push(unnamed(expr));
    }
    loop {
        if take_words(parser, &["RETURNING"]) {
            let data_type = parser.parse_data_type()?;
            arguments.push(named(RETURNING, text(&data_type.to_string())));
        } else if let Some(wrapper) = wrapper(parser)? {
            arguments.push(named(WRAPPER, text(wrapper)));
        } else if parser.peek_token().token == Token::RParen {
            return Ok(arguments);
        } else {
            let instead = instead(parser)?;
            let on = match () {
                () if take_words(parser, &["ON", "EMPTY"]) => ON_EMPTY,
                () if take_words(parser, &["ON", "ERROR"]) => ON_ERROR,
                () => return parser.expected("ON EMPTY or ON ERROR", parser.peek_token()),
            };
            arguments.push(named(on, instead));
        }
    }
}

/// What stands for what is not there: a text says what, but the default of JSON_VALUE, which is in parentheses.
fn instead(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    if take_words(parser, &["DEFAULT"]) {
        return Ok(Expr::Nested(Box::new(parser.parse_expr()?)));
    }
    let known: [&[&str]; 8] = [
        &["EMPTY", "ARRAY"],
        &["EMPTY", "OBJECT"],
        &["EMPTY"],
        &["NULL"],
        &["ERROR"],
        &["TRUE"],
        &["FALSE"],
        &["UNKNOWN"],
    ];
    match known.into_iter().find(|words| take_words(parser, words)) {
        Some(words) => Ok(text(&words.join(" "))),
        None => {
            parser.expected("RETURNING, or what stands ON EMPTY or ON ERROR", parser.peek_token())
        }
    }
}

fn wrapper(parser: &mut Parser<'_>) -> Result<Option<&'static str>, ParserError> {
    let with = match () {
        () if take_words(parser, &["WITHOUT"]) => "WITHOUT",
        () if take_words(parser, &["WITH"]) => match take_words(parser, &["CONDITIONAL"]) {
            true => "CONDITIONAL",
            false => {
                take_words(parser, &["UNCONDITIONAL"]);
                "UNCONDITIONAL"
            }
        },
        () => return Ok(None),
    };
    take_words(parser, &["ARRAY"]);
    match take_words(parser, &["WRAPPER"]) {
        true => Ok(Some(with)),
        false => parser.expected("WRAPPER", parser.peek_token()),
    }
}

/// Keys and values by turns.
fn object(parser: &mut Parser<'_>) -> Result<Vec<FunctionArg>, ParserError> {
    let mut arguments = Vec::new();
    while parser.peek_token().token != Token::RParen && !is_nulls(parser) {
        if !arguments.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        arguments.extend(key_and_value(parser)?);
    }
    nulls(parser, &mut arguments);
    Ok(arguments)
}

/// `[KEY] key VALUE value`, `key: value`
fn key_and_value(parser: &mut Parser<'_>) -> Result<[FunctionArg; 2], ParserError> {
    let has_key = is_words(parser, &["KEY"]) && parser.peek_nth_token(1).token != Token::Comma;
    if has_key {
        parser.next_token();
    }
    let key = parser.parse_expr()?;
    if !take_words(parser, &["VALUE"]) && !parser.consume_token(&Token::Colon) {
        return parser.expected("VALUE", parser.peek_token());
    }
    Ok([key, parser.parse_expr()?].map(unnamed))
}

/// What JSON_OBJECTAGG is about.
fn member(parser: &mut Parser<'_>) -> Result<Vec<FunctionArg>, ParserError> {
    let mut arguments = key_and_value(parser)?.to_vec();
    nulls(parser, &mut arguments);
    Ok(arguments)
}

/// What JSON_ARRAYAGG is about.
fn element(parser: &mut Parser<'_>) -> Result<Vec<FunctionArg>, ParserError> {
    let mut arguments = vec![unnamed(parser.parse_expr()?)];
    nulls(parser, &mut arguments);
    Ok(arguments)
}

fn array(parser: &mut Parser<'_>) -> Result<Vec<FunctionArg>, ParserError> {
    let mut arguments = Vec::new();
    while parser.peek_token().token != Token::RParen && !is_nulls(parser) {
        if !arguments.is_empty() {
            parser.expect_token(&Token::Comma)?;
        }
        arguments.push(unnamed(parser.parse_expr()?));
    }
    nulls(parser, &mut arguments);
    Ok(arguments)
}

fn is_nulls(parser: &Parser<'_>) -> bool {
    ["NULL", "ABSENT"].into_iter().any(|what| is_words(parser, &[what, "ON", "NULL"]))
}

/// `[NULL | ABSENT] ON NULL`
fn nulls(parser: &mut Parser<'_>, arguments: &mut Vec<FunctionArg>) {
    let what =
        ["NULL", "ABSENT"].into_iter().find(|what| take_words(parser, &[what, "ON", "NULL"]));
    arguments.extend(what.map(|what| named(NULLS, text(what))));
}
