//! TYPEOF: what is known of a value before there is one.

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use super::{Function, arguments::count};
use crate::{
    bind::Bound,
    types::{Kind, Type},
};

pub(super) const FUNCTIONS: &[Function] =
    &[Function { names: &["TYPEOF"], doc: "TYPEOF(value [, TRUE | FALSE])", bind: type_of }];

/// The second argument says how types are shown that have no name, of which there are none.
fn type_of(_name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    let constants = [Some(true), Some(false)].map(ScalarValue::Boolean);
    let is_constant =
        |of: &Bound| matches!(&of.expr, Expr::Literal(value, _) if constants.contains(value));
    if !arguments.iter().skip(1).all(is_constant) {
        return Err("the second argument is TRUE or FALSE".into());
    }
    let shown = match &arguments[0].data_type {
        Type { kind: Kind::Null, .. } => "NULL".to_owned(),
        shown => shown.to_string(),
    };
    let kind = Kind::Char(shown.chars().count() as u32);
    let expr = Expr::Literal(ScalarValue::Utf8View(Some(shown)), None);
    Ok(Bound { expr, data_type: Type::required(kind) })
}
