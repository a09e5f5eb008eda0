//! Calls of functions that users have made.

use std::sync::Arc;

use sqlparser::ast::{self, DuplicateTreatment, FunctionArg, FunctionArgExpr, FunctionArguments};

use super::{
    Bound,
    aggregate::Call,
    expression::{Scope, unsupported},
};
use crate::{
    error::SqlError,
    function::{UserCall, UserFunction},
};

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
        if user.is_aggregate() {
            return self.aggregate_of_user(user, function, part);
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

    /// A call of a function of all rows of a group.
    fn aggregate_of_user(
        &self,
        user: &Arc<UserFunction>,
        function: &ast::Function,
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let name = user.name();
        let over = function.over.as_ref();
        let refused = |what: &str| Err(SqlError::at(part, format!("{name} {what}")));
        if function.null_treatment.is_some() || !function.within_group.is_empty() {
            return refused("with IGNORE NULLS or WITHIN GROUP is not supported yet");
        }
        let Some(calls) = self.calls else {
            return refused(
                "is an aggregate function: it may stand in SELECT and HAVING, but not here, nor in another one",
            );
        };
        let (arguments, distinct) = match &function.args {
            FunctionArguments::List(list) if list.clauses.is_empty() => {
                let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                (&list.args[..], distinct)
            }
            FunctionArguments::None => (&[][..], false),
            _ => return Err(unsupported(part)),
        };
        if distinct && arguments.len() != 1 {
            return refused("with DISTINCT takes one argument");
        }
        // What is aggregated are values of single rows.
        let rows = Scope { calls: None, ..*self };
        let arguments = rows.arguments_of_user(arguments)?;
        let filter = function.filter.as_deref();
        let filter = filter.map(|condition| rows.condition(condition, "FILTER")).transpose()?;
        let (UserCall { function, arguments }, output) =
            user.aggregate(arguments).map_err(|message| SqlError::at(part, message))?;
        let arguments = arguments.into_iter().map(|argument| argument.expr).collect();
        let user = UserCall { function, arguments };
        if let Some(over) = over {
            if filter.is_some() {
                return refused("with FILTER and OVER is not supported yet");
            }
            let window = self.window(over)?;
            return self.over_of_user(name, (user, distinct, output), &window, part);
        }
        let call = Call::of_user(user, filter, distinct, output);
        Ok(calls.borrow_mut().add(call))
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
