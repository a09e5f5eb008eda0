//! Expressions.

use std::cell::RefCell;

use datafusion_common::ScalarValue;
use datafusion_expr::{Between, BinaryExpr, Case, Expr, Like, Operator, expr::InList};
use sqlparser::ast::{
    self, BinaryOperator, DateTimeField, FunctionArg, FunctionArgExpr, FunctionArguments, Ident,
    UnaryOperator, Value,
};

use super::{
    Bound, Column, Relation, aggregate::Calls, arithmetic::arithmetic, coerce, literal, nested,
    subquery::misplaced, window::is_group_window,
};
use crate::{
    error::{Place, SqlError},
    function,
    parse::{parse_type, simple_name, whole_type},
    types::{Kind, STRING, Type},
};

/// What an expression can be about.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) relation: &'a Relation,
    /// Takes calls of functions of many rows, where these may stand.
    pub(super) calls: Option<&'a RefCell<Calls>>,
    /// The rows around a subquery, which count where its own have no such column.
    pub(super) around: Option<&'a Relation>,
}

impl Relation {
    /// An expression over the columns of single rows.
    ///
    /// # Errors
    /// If it names what is not there, or its types do not fit.
    pub fn bind(&self, expression: &ast::Expr) -> Result<Bound, SqlError> {
        Scope { relation: self, calls: None, around: None }.bind(expression)
    }
}

impl Scope<'_> {
    /// An expression.
    ///
    /// # Errors
    /// If it names what is not there, or its types do not fit.
    pub(super) fn bind(&self, expression: &ast::Expr) -> Result<Bound, SqlError> {
        use ast::Expr as Sql;
        match expression {
            Sql::Identifier(name) => Ok(self.column(name)?.bound()),
            Sql::CompoundIdentifier(names) => self.path(names),
            Sql::CompoundFieldAccess { root, access_chain } => {
                self.accessed(root, access_chain, expression)
            }
            Sql::Array(array) => self.array(array, expression),
            Sql::Tuple(fields) => self.row(fields, expression),
            Sql::Nested(inner) => self.bind(inner),
            Sql::Value(value) => literal::literal(&value.value, value),
            Sql::TypedString(typed) => match &typed.value.value {
                Value::SingleQuotedString(text) => {
                    literal::typed(&typed.data_type, text, expression)
                }
                _ => Err(unsupported(expression)),
            },
            Sql::Interval(interval) => literal::interval(interval, expression),
            Sql::UnaryOp { op, expr } => self.unary(op, expr),
            Sql::BinaryOp { left, op, right } => self.binary(left, op, right, expression),
            Sql::IsNull(inner) => self.is(inner, Expr::IsNull),
            Sql::IsNotNull(inner) => self.is(inner, Expr::IsNotNull),
            Sql::IsTrue(inner) => self.is_boolean(inner, Expr::IsTrue),
            Sql::IsNotTrue(inner) => self.is_boolean(inner, Expr::IsNotTrue),
            Sql::IsFalse(inner) => self.is_boolean(inner, Expr::IsFalse),
            Sql::IsNotFalse(inner) => self.is_boolean(inner, Expr::IsNotFalse),
            Sql::IsUnknown(inner) => self.is_boolean(inner, Expr::IsUnknown),
            Sql::IsNotUnknown(inner) => self.is_boolean(inner, Expr::IsNotUnknown),
            Sql::IsDistinctFrom(left, right) => {
                self.distinct(left, Operator::IsDistinctFrom, right, expression)
            }
            Sql::IsNotDistinctFrom(left, right) => {
                self.distinct(left, Operator::IsNotDistinctFrom, right, expression)
            }
            Sql::Between { expr, negated, low, high } => {
                let parts = vec![self.bind(expr)?, self.bind(low)?, self.bind(high)?];
                ordered(&parts[0], expression)?;
                let nullable = any_nullable(&parts);
                let mut parts =
                    comparable(parts, expression)?.into_iter().map(|b| Box::new(b.expr));
                let (Some(expr), Some(low), Some(high)) =
                    (parts.next(), parts.next(), parts.next())
                else {
                    return Err(unsupported(expression));
                };
                let between = Expr::Between(Between { expr, negated: *negated, low, high });
                Ok(boolean(between, nullable))
            }
            Sql::InList { expr, list, negated } => {
                let mut parts = vec![self.bind(expr)?];
                for item in list {
                    parts.push(self.bind(item)?);
                }
                let nullable = any_nullable(&parts);
                let mut parts = comparable(parts, expression)?.into_iter().map(|b| b.expr);
                let Some(expr) = parts.next() else { return Err(unsupported(expression)) };
                let list = InList::new(Box::new(expr), parts.collect(), *negated);
                Ok(boolean(Expr::InList(list), nullable))
            }
            Sql::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(*negated, expr, pattern, escape_char.as_ref(), expression)
            }
            Sql::Case { operand, conditions, else_result, .. } => {
                self.case(operand.as_deref(), conditions, else_result.as_deref(), expression)
            }
            Sql::Cast { kind, expr, data_type, format: None, array: false } => {
                let try_cast = matches!(kind, ast::CastKind::TryCast);
                let bound = self.bind(expr)?;
                let to = parse_type(&whole_type(data_type))
                    .map_err(|error| SqlError::at(expression, error.to_string()))?;
                function::checked_cast(bound, &to.kind, try_cast)
                    .map_err(|message| SqlError::at(expression, message))
            }
            Sql::Extract { field, expr, .. } => self.extract(field, expr, expression),
            Sql::Substring { expr, substring_from, substring_for, .. } => {
                let mut arguments = vec![self.bind(expr)?];
                for part in [substring_from, substring_for].into_iter().flatten() {
                    arguments.push(self.bind(part)?);
                }
                call("SUBSTRING", arguments, expression)
            }
            Sql::Trim { expr, trim_where, trim_what, .. } => {
                let name = match trim_where {
                    None | Some(ast::TrimWhereField::Both) => "TRIM",
                    Some(ast::TrimWhereField::Leading) => "LTRIM",
                    Some(ast::TrimWhereField::Trailing) => "RTRIM",
                };
                let mut arguments = vec![self.bind(expr)?];
                if let Some(what) = trim_what {
                    arguments.push(self.bind(what)?);
                }
                call(name, arguments, expression)
            }
            Sql::Position { expr, r#in } => {
                call("POSITION", vec![self.bind(expr)?, self.bind(r#in)?], expression)
            }
            Sql::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
                let mut arguments = Vec::new();
                for part in [expr, overlay_what, overlay_from].into_iter().chain(overlay_for) {
                    arguments.push(self.bind(part)?);
                }
                call("OVERLAY", arguments, expression)
            }
            Sql::SimilarTo { negated, expr, pattern, escape_char } => {
                let arguments = vec![self.bind(expr)?, self.bind(pattern)?];
                let escape = escape(escape_char.as_ref(), expression)?;
                let similar = function::similar(arguments, escape).map_err(|message| {
                    SqlError::at(expression, format!("SIMILAR TO: {message}"))
                })?;
                Ok(if *negated { not(similar) } else { similar })
            }
            Sql::Ceil { expr, field } => self.rounded("CEIL", expr, field, expression),
            Sql::Floor { expr, field } => self.rounded("FLOOR", expr, field, expression),
            Sql::Function(function) => self.function(function, expression),
            Sql::Subquery(_)
            | Sql::InSubquery { .. }
            | Sql::Exists { .. }
            | Sql::AnyOp { .. }
            | Sql::AllOp { .. } => Err(misplaced(expression)),
            other => Err(unsupported(other)),
        }
    }

    /// A condition, of the clause `what`.
    pub(super) fn condition(&self, condition: &ast::Expr, what: &str) -> Result<Expr, SqlError> {
        let bound = self.bind(condition)?;
        if !matches!(bound.data_type.kind, Kind::Boolean | Kind::Null) {
            let found = bound.data_type.kind;
            return Err(SqlError::at(condition, format!("{what} takes a BOOLEAN, not {found}")));
        }
        Ok(coerce::widen(bound, Kind::Boolean).expr)
    }

    /// `column`, `table.column`, and fields of rows behind either.
    pub(super) fn path(&self, names: &[Ident]) -> Result<Bound, SqlError> {
        let (column, fields) = match names {
            [table, name, fields @ ..] if let Some(relation) = self.with_table(table) => {
                // A column of the same name as its table's alias counts if the table has no such column.
                match relation.column(Some(table), name) {
                    Ok(column) => (column, fields),
                    Err(error) => match relation.column(None, table) {
                        Ok(column) => (column, &names[1..]),
                        Err(_) => return Err(error),
                    },
                }
            }
            [name, fields @ ..] => (self.column(name)?, fields),
            [] => return Err(SqlError::new("a name is missing")),
        };
        nested::field(column, fields)
    }

    /// The column of this name.
    fn column(&self, name: &Ident) -> Result<&Column, SqlError> {
        let is_own = self.relation.columns.iter().any(|column| column.name == name.value);
        let around = self.around.filter(|_| !is_own);
        match around.map(|around| around.column(None, name)) {
            Some(Ok(column)) => Ok(column),
            _ => self.relation.column(None, name),
        }
    }

    /// The rows in which a table is called so.
    fn with_table(&self, name: &Ident) -> Option<&Relation> {
        let mut relations = [Some(self.relation), self.around].into_iter().flatten();
        relations.find(|relation| relation.has_table(&name.value))
    }

    fn unary(&self, op: &UnaryOperator, expr: &ast::Expr) -> Result<Bound, SqlError> {
        let bound = self.bind(expr)?;
        let kind = &bound.data_type.kind;
        match op {
            UnaryOperator::Not if matches!(kind, Kind::Boolean | Kind::Null) => {
                Ok(boolean(Expr::Not(Box::new(bound.expr)), bound.data_type.nullable))
            }
            UnaryOperator::Plus if kind.is_numeric() => Ok(bound),
            UnaryOperator::Minus if kind.is_numeric() => {
                let Bound { expr, data_type } = bound;
                let expr = match expr {
                    Expr::Literal(value, metadata) => match value.arithmetic_negate() {
                        Ok(negated) => Expr::Literal(negated, metadata),
                        Err(_) => Expr::Negative(Box::new(Expr::Literal(value, metadata))),
                    },
                    expr => Expr::Negative(Box::new(expr)),
                };
                Ok(Bound { expr, data_type })
            }
            _ => Err(SqlError::at(expr, format!("there is no {op} of {kind}"))),
        }
    }

    fn binary(
        &self,
        left: &ast::Expr,
        op: &BinaryOperator,
        right: &ast::Expr,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        if *op == BinaryOperator::Overlaps {
            return self.overlaps([left, right], part);
        }
        let (a, b) = (self.bind(left)?, self.bind(right)?);
        let nullable = a.data_type.nullable || b.data_type.nullable;
        let operator = match op {
            BinaryOperator::And => Operator::And,
            BinaryOperator::Or => Operator::Or,
            BinaryOperator::Eq => Operator::Eq,
            BinaryOperator::NotEq => Operator::NotEq,
            BinaryOperator::Lt => Operator::Lt,
            BinaryOperator::LtEq => Operator::LtEq,
            BinaryOperator::Gt => Operator::Gt,
            BinaryOperator::GtEq => Operator::GtEq,
            BinaryOperator::StringConcat => return call("||", vec![a, b], part),
            _ => return arithmetic(a, op, b, part),
        };
        let (a, b) = if operator.is_logic_operator() {
            for (bound, expression) in [(&a, left), (&b, right)] {
                let kind = &bound.data_type.kind;
                if !matches!(kind, Kind::Boolean | Kind::Null) {
                    let message = format!("{op} takes BOOLEAN, not {kind}");
                    return Err(SqlError::at(expression, message));
                }
            }
            (coerce::widen(a, Kind::Boolean), coerce::widen(b, Kind::Boolean))
        } else {
            if !matches!(operator, Operator::Eq | Operator::NotEq) {
                ordered(&a, left)?;
            }
            pair(a, b, part)?
        };
        let expr = BinaryExpr::new(Box::new(a.expr), operator, Box::new(b.expr));
        Ok(boolean(Expr::BinaryExpr(expr), nullable))
    }

    fn distinct(
        &self,
        left: &ast::Expr,
        operator: Operator,
        right: &ast::Expr,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let (a, b) = pair(self.bind(left)?, self.bind(right)?, part)?;
        let expr = BinaryExpr::new(Box::new(a.expr), operator, Box::new(b.expr));
        Ok(boolean(Expr::BinaryExpr(expr), false))
    }

    fn is(&self, inner: &ast::Expr, make: fn(Box<Expr>) -> Expr) -> Result<Bound, SqlError> {
        Ok(boolean(make(Box::new(self.bind(inner)?.expr)), false))
    }

    fn is_boolean(
        &self,
        inner: &ast::Expr,
        make: fn(Box<Expr>) -> Expr,
    ) -> Result<Bound, SqlError> {
        let bound = self.bind(inner)?;
        let kind = &bound.data_type.kind;
        if !matches!(kind, Kind::Boolean | Kind::Null) {
            return Err(SqlError::at(inner, format!("a BOOLEAN was expected, not {kind}")));
        }
        let bound = coerce::widen(bound, Kind::Boolean);
        Ok(boolean(make(Box::new(bound.expr)), false))
    }

    fn like(
        &self,
        negated: bool,
        expr: &ast::Expr,
        pattern: &ast::Expr,
        escape: Option<&Value>,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let (text, like) = (self.bind(expr)?, self.bind(pattern)?);
        for bound in [&text, &like] {
            let kind = &bound.data_type.kind;
            if !kind.is_text() && *kind != Kind::Null {
                return Err(SqlError::at(part, format!("LIKE takes texts, not {kind}")));
            }
        }
        let escape_char = self::escape(escape, part)?;
        let nullable = text.data_type.nullable || like.data_type.nullable;
        let (text, mut like) = (coerce::widen(text, STRING), coerce::widen(like, STRING));
        // The kernel takes a backslash for an escape, which it is not in Flink unless one says so.
        match (escape_char, &mut like.expr) {
            (Some('\\'), _) => {}
            (escape, Expr::Literal(ScalarValue::Utf8View(Some(pattern)), _)) => {
                *pattern = with_backslash(pattern, escape);
            }
            (None, _) => {}
            (Some(_), _) => {
                let message = "ESCAPE is not supported yet where the pattern is no constant";
                return Err(SqlError::at(part, message));
            }
        }
        let like = Like::new(negated, Box::new(text.expr), Box::new(like.expr), None, false);
        Ok(boolean(Expr::Like(like), nullable))
    }

    fn case(
        &self,
        operand: Option<&ast::Expr>,
        conditions: &[ast::CaseWhen],
        otherwise: Option<&ast::Expr>,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let mut whens = Vec::new();
        let mut results = Vec::new();
        if let Some(operand) = operand {
            whens.push(self.bind(operand)?);
        }
        for condition in conditions {
            whens.push(self.bind(&condition.condition)?);
            results.push(self.bind(&condition.result)?);
        }
        if operand.is_some() {
            whens = comparable(whens, part)?;
        } else if let Some(at) =
            whens.iter().position(|when| !matches!(when.data_type.kind, Kind::Boolean | Kind::Null))
        {
            let (kind, place) = (&whens[at].data_type.kind, &conditions[at].condition);
            return Err(SqlError::at(place, format!("WHEN takes a BOOLEAN, not {kind}")));
        }
        match otherwise {
            Some(otherwise) => results.push(self.bind(otherwise)?),
            None => results.push(coerce::null()),
        }
        let nullable = any_nullable(&results);
        let (results, kind) = common(results, "CASE", part)?;
        let mut whens = whens.into_iter().map(|bound| Box::new(bound.expr));
        let expr = operand.and_then(|_| whens.next());
        let mut results = results.into_iter().map(|bound| Box::new(bound.expr));
        let pairs = whens.zip(results.by_ref()).collect();
        let expr = Expr::Case(Case { expr, when_then_expr: pairs, else_expr: results.next() });
        Ok(Bound { expr, data_type: Type { kind, nullable } })
    }

    fn extract(
        &self,
        field: &DateTimeField,
        expr: &ast::Expr,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        function::extract(&field.to_string().to_uppercase(), self.bind(expr)?)
            .map_err(|message| SqlError::at(part, message))
    }

    fn rounded(
        &self,
        name: &str,
        expr: &ast::Expr,
        field: &ast::CeilFloorKind,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        match field {
            ast::CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => {
                call(name, vec![self.bind(expr)?], part)
            }
            ast::CeilFloorKind::DateTimeField(unit) => {
                let unit = unit.to_string().to_uppercase();
                function::rounded(self.bind(expr)?, &unit, name == "CEIL")
                    .map_err(|message| SqlError::at(part, format!("{name}: {message}")))
            }
            ast::CeilFloorKind::Scale(_) => Err(unsupported(part)),
        }
    }

    /// A call with a unit of time in front: `TIMESTAMPADD(DAY, 1, ts)`.
    fn with_unit(
        &self,
        name: &str,
        arguments: &[FunctionArg],
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        use FunctionArgExpr::Expr as Given;
        let wrong = |message| SqlError::at(part, format!("{name}: {message}"));
        let Some((FunctionArg::Unnamed(Given(ast::Expr::Identifier(unit))), given)) =
            arguments.split_first()
        else {
            return Err(wrong("its first argument is a unit of time, DAY for instance".to_owned()));
        };
        let bind = |argument: &FunctionArg| match argument {
            FunctionArg::Unnamed(Given(expr)) => self.bind(expr),
            _ => Err(unsupported(argument)),
        };
        let given = given.iter().map(bind).collect::<Result<_, _>>()?;
        function::with_unit(name, &unit.value.to_uppercase(), given).map_err(wrong)
    }

    fn function(&self, function: &ast::Function, part: &ast::Expr) -> Result<Bound, SqlError> {
        let name = simple_name(&function.name)?.value.to_uppercase();
        if let Some(user) = function::of_user(&name) {
            return self.of_user(&user, function, part);
        }
        if function.over.is_some() || function.filter.is_some() || function::is_aggregate(&name) {
            return self.many_rows(&name, function, part);
        }
        if let Some(bound) = self.auxiliary(&name, function, part)? {
            return Ok(bound);
        }
        if let Some(bound) = self.current_watermark(&name, function, part)? {
            return Ok(bound);
        }
        if let Some(bound) = self.grouping(&name, function, part)? {
            return Ok(bound);
        }
        if let Some(bound) = self.json(&name, function, part)? {
            return Ok(bound);
        }
        if is_group_window(&name) {
            let message = format!("the window {name} may stand in GROUP BY and FROM, but not here");
            return Err(SqlError::at(part, message));
        }
        let arguments = match &function.args {
            FunctionArguments::None => Vec::new(),
            FunctionArguments::List(list) if let Some(clause) = list.clauses.first() => {
                let message = format!("`{clause}` in a call of {name} is not supported yet");
                return Err(SqlError::at(part, message));
            }
            FunctionArguments::List(list)
                if function::WITH_UNITS.iter().any(|(with, _)| *with == name) =>
            {
                return self.with_unit(&name, &list.args, part);
            }
            FunctionArguments::List(list) => {
                let argument = |argument: &FunctionArg| match argument {
                    FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.bind(expr),
                    _ => Err(unsupported(argument)),
                };
                list.args.iter().map(argument).collect::<Result<_, _>>()?
            }
            FunctionArguments::Subquery(_) => return Err(unsupported(part)),
        };
        call(&name, arguments, part)
    }
}

pub(super) fn unsupported(part: &(impl Place + std::fmt::Display)) -> SqlError {
    SqlError::at(part, format!("`{part}` is not supported yet"))
}

/// The character of `ESCAPE`.
fn escape(given: Option<&Value>, part: &ast::Expr) -> Result<Option<char>, SqlError> {
    match given {
        None => Ok(None),
        Some(Value::SingleQuotedString(text)) if text.chars().count() == 1 => {
            Ok(text.chars().next())
        }
        Some(_) => Err(SqlError::at(part, "ESCAPE takes one character")),
    }
}

fn not(bound: Bound) -> Bound {
    boolean(Expr::Not(Box::new(bound.expr)), bound.data_type.nullable)
}

/// A pattern of LIKE with backslashes in place of another escape, or of none.
fn with_backslash(pattern: &str, escape: Option<char>) -> String {
    let mut made = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let is_escape = Some(character) == escape;
        let literal = if is_escape { characters.next() } else { None };
        if is_escape || character == '\\' {
            made.push('\\');
        }
        made.push(literal.unwrap_or(character));
    }
    made
}

pub(super) fn boolean(expr: Expr, nullable: bool) -> Bound {
    Bound { expr, data_type: Type { kind: Kind::Boolean, nullable } }
}

pub(super) fn any_nullable(parts: &[Bound]) -> bool {
    parts.iter().any(|part| part.data_type.nullable)
}

fn call(name: &str, arguments: Vec<Bound>, part: &ast::Expr) -> Result<Bound, SqlError> {
    function::call(name, arguments).map_err(|message| SqlError::at(part, message))
}

/// Values that are compared with each other, as one type.
fn comparable(parts: Vec<Bound>, place: &ast::Expr) -> Result<Vec<Bound>, SqlError> {
    // A constant text beside times is a time.
    let time = parts.iter().map(|part| part.data_type.kind.clone()).find(is_time);
    let parts = match time {
        None => parts,
        Some(time) => parts
            .into_iter()
            .map(|part| match &part.expr {
                Expr::Literal(ScalarValue::Utf8View(Some(_)), _) => {
                    function::checked_cast(part, &time, false)
                        .map_err(|message| SqlError::at(place, message))
                }
                _ => Ok(part),
            })
            .collect::<Result<_, _>>()?,
    };
    let (parts, _) = common(parts, "a comparison", place)?;
    Ok(parts.into_iter().map(function::in_order).collect())
}

/// Refuses values that are equal or not, but not less or more.
pub(super) fn ordered(part: &Bound, place: &ast::Expr) -> Result<(), SqlError> {
    match part.data_type.kind.is_nested() {
        false => Ok(()),
        true => {
            let kind = &part.data_type.kind;
            Err(SqlError::at(place, format!("values of {kind} are in no order")))
        }
    }
}

fn is_time(kind: &Kind) -> bool {
    kind.is_timestamp() || matches!(kind, Kind::Date | Kind::Time(_))
}

pub(super) fn pair(a: Bound, b: Bound, place: &ast::Expr) -> Result<(Bound, Bound), SqlError> {
    let mut both = comparable(vec![a, b], place)?.into_iter();
    match (both.next(), both.next()) {
        (Some(a), Some(b)) => Ok((a, b)),
        _ => Err(unsupported(place)),
    }
}

/// Values as the type that all can be.
pub(super) fn common(
    parts: Vec<Bound>,
    what: &str,
    place: &ast::Expr,
) -> Result<(Vec<Bound>, Kind), SqlError> {
    coerce::common(parts).map_err(|(kind, other)| {
        SqlError::at(place, format!("{what} cannot have {kind} and {other}: use CAST"))
    })
}
