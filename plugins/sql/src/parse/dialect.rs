//! How Flink writes names, numbers and texts.

use sqlparser::{
    ast::Expr,
    dialect::Dialect,
    parser::{Parser, ParserError},
};

use super::json;

/// Flink's dialect: names in backticks, texts in single quotes without escapes.
#[derive(Clone, Copy, Debug)]
pub struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_' || c == '$'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        self.is_identifier_start(c) || c.is_ascii_digit()
    }

    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '`'
    }

    fn identifier_quote_style(&self, _identifier: &str) -> Option<char> {
        Some('`')
    }

    fn supports_filter_during_aggregation(&self) -> bool {
        true
    }

    fn supports_group_by_expr(&self) -> bool {
        true
    }

    fn supports_match_recognize(&self) -> bool {
        true
    }

    fn supports_table_versioning(&self) -> bool {
        true
    }

    fn supports_comment_optimizer_hint(&self) -> bool {
        true
    }

    fn supports_window_function_null_treatment_arg(&self) -> bool {
        true
    }

    fn parse_prefix(&self, parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
        json::call(parser)
    }

    fn parse_infix(
        &self,
        parser: &mut Parser<'_>,
        expression: &Expr,
        _precedence: u8,
    ) -> Option<Result<Expr, ParserError>> {
        json::is_json(parser, expression)
    }

    fn require_interval_qualifier(&self) -> bool {
        true
    }
}
