//! ARRAY_AGG and COLLECT: what they gather of each row, and whether NULLs are among it.

use sqlparser::ast::{
    self, DuplicateTreatment, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArguments, NullTreatment,
};

use super::{aggregate::Argument, expression::Scope};
use crate::{
    error::SqlError,
    function::{array_of_one, multiset_of_one},
};

impl Scope<'_> {
    /// What a call is about: each value as an array or a multiset of just it.
    pub(super) fn gathered(
        &self,
        name: &str,
        function: &Function,
        part: &ast::Expr,
    ) -> Result<Argument, SqlError> {
        let takes_one = || SqlError::at(part, format!("{name} takes one argument"));
        let FunctionArguments::List(list) = &function.args else { return Err(takes_one()) };
        let [FunctionArg::Unnamed(FunctionArgExpr::Expr(value))] = &list.args[..] else {
            return Err(takes_one());
        };
        let mut nulls = function.null_treatment;
        for clause in &list.clauses {
            match clause {
                FunctionArgumentClause::IgnoreOrRespectNulls(said) if name == "ARRAY_AGG" => {
                    nulls = Some(*said);
                }
                clause => {
                    let message = format!(
                        "{name} gathers values in the order in which they come, without `{clause}`"
                    );
                    return Err(SqlError::at(part, message));
                }
            }
        }
        let value = self.bind(value)?;
        let value = match name {
            "COLLECT" => multiset_of_one(value),
            _ => array_of_one(value, nulls == Some(NullTreatment::IgnoreNulls)),
        };
        let value = value.map_err(|error| SqlError::at(part, format!("{name}: {error}")))?;
        let distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
        Ok(Argument { value: Some(value), distinct, separator: String::new() })
    }
}
