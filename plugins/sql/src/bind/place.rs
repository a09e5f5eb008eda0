//! Calls of functions of where a row is in its partition: RANK, LAG and others.

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;
use sqlparser::ast::{self, Function, FunctionArg, FunctionArgExpr, FunctionArguments, WindowSpec};

use super::{Bound, coerce, expression::Scope};
use crate::{
    error::SqlError,
    relation::Place,
    types::{Kind, Type},
};

/// A call of one of them.
pub(super) struct Placed {
    pub(super) place: Place,
    /// The value that LAG and LEAD are about, and that where there is no such row.
    pub(super) value: Option<Bound>,
    pub(super) default: Option<Bound>,
    pub(super) output: Type,
}

impl Scope<'_> {
    /// What a call is, if it is one of these functions.
    pub(super) fn place(
        &self,
        name: &str,
        function: &Function,
        window: &WindowSpec,
        part: &ast::Expr,
    ) -> Result<Option<Placed>, SqlError> {
        if !["RANK", "DENSE_RANK", "PERCENT_RANK", "CUME_DIST", "NTILE", "LAG", "LEAD"]
            .contains(&name)
        {
            return Ok(None);
        }
        if window.window_frame.is_some() {
            return Err(SqlError::at(part, format!("{name} takes no ROWS and no RANGE")));
        }
        let is_shift = ["LAG", "LEAD"].contains(&name);
        if window.order_by.is_empty() && !is_shift {
            return Err(SqlError::at(part, format!("{name} needs ORDER BY: rows have no order")));
        }
        let how = match name {
            "NTILE" => "NTILE(4)".to_owned(),
            _ if is_shift => format!("{name}(value [, rows [, instead]])"),
            _ => format!("{name}()"),
        };
        let wrong = || SqlError::at(part, format!("it is called as {how}, with constants"));
        let arguments = self.values(&function.args).ok_or_else(wrong)??;
        let mut arguments = arguments.into_iter();
        let number = |bound: Option<Bound>| match bound.map(|bound| bound.expr) {
            None => Ok(1),
            Some(Expr::Literal(ScalarValue::Int32(Some(number)), _)) => Ok(i64::from(number)),
            Some(_) => Err(wrong()),
        };
        let plain = |place, kind| (place, Type::required(kind));
        let (place, output) = match name {
            "RANK" => plain(Place::Rank, Kind::BigInt),
            "DENSE_RANK" => plain(Place::DenseRank, Kind::BigInt),
            "PERCENT_RANK" => plain(Place::PercentRank, Kind::Double),
            "CUME_DIST" => plain(Place::CumeDist, Kind::Double),
            "NTILE" => {
                let parts = number(Some(arguments.next().ok_or_else(wrong)?))?;
                if parts <= 0 {
                    return Err(SqlError::at(part, "NTILE is of one part at least"));
                }
                plain(Place::Tile(parts), Kind::BigInt)
            }
            _ => {
                let value = arguments.next().ok_or_else(wrong)?;
                let rows = number(arguments.next())?;
                if rows < 0 {
                    return Err(SqlError::at(part, format!("{name} is by no less than 0 rows")));
                }
                let mut output = Type { nullable: true, ..value.data_type.clone() };
                let default = arguments.next().map(|default| {
                    let nullable = default.data_type.nullable;
                    output.nullable = value.data_type.nullable || nullable;
                    coerce::store(default, &output).ok_or_else(|| {
                        let message =
                            format!("the last argument of {name} is {} here", output.kind);
                        SqlError::at(part, message)
                    })
                });
                let default = default.transpose()?;
                let place = Place::Before(if name == "LEAD" { -rows } else { rows });
                if arguments.next().is_some() {
                    return Err(wrong());
                }
                return Ok(Some(Placed { place, value: Some(value), default, output }));
            }
        };
        match arguments.next() {
            None => Ok(Some(Placed { place, value: None, default: None, output })),
            Some(_) => Err(wrong()),
        }
    }

    /// The arguments of a call that has nothing but values.
    fn values(&self, arguments: &FunctionArguments) -> Option<Result<Vec<Bound>, SqlError>> {
        let FunctionArguments::List(list) = arguments else { return None };
        if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
            return None;
        }
        let values = list.args.iter().map(|argument| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(value)) => Some(value),
            _ => None,
        });
        let values = values.collect::<Option<Vec<_>>>()?;
        Some(values.into_iter().map(|value| self.bind(value)).collect())
    }
}
