//! Calls of functions that users have made.

use std::sync::Arc;

use sqlparser::ast::{self, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    Bound,
    expression::{Scope, unsupported},
};
use crate::{error::SqlError, function::UserFunction};

impl Scope<'_> {
    /// A call that stands for a value.
    pub(super) fn of_user(
        &self,
        user: &Arc<UserFunction>,
        function: &ast::Function,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let name = user.name();
        if user.is_table() {
            let message = format!(
                "{name} is a table function: it may stand in FROM, LATERAL TABLE({name}(…)), but not here"
            );
            return Err(SqlError::at(part, message));
        }
        if function.over.is_some() || function.filter.is_some() {
            let message =
                format!("{name} is a function of single rows: it takes no OVER and no FILTER");
            return Err(SqlError::at(part, message));
        }
        let arguments = match &function.args {
            FunctionArguments::None => &[][..],
            FunctionArguments::List(list)
                if list.clauses.is_empty() && list.duplicate_treatment.is_none() =>
            {
                &list.args[..]
            }
            _ => return Err(unsupported(part)),
        };
        let arguments = self.arguments_of_user(arguments)?;
        user.call(arguments).map_err(|message| SqlError::at(part, message))
    }

    /// What a call is given.
    pub(super) fn arguments_of_user(
        &self,
        arguments: &[FunctionArg],
    ) -> Result<Vec<Bound>, SqlError> {
        let argument = |argument: &FunctionArg| match argument {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.bind(expr),
            _ => Err(unsupported(argument)),
        };
        arguments.iter().map(argument).collect()
    }
}
