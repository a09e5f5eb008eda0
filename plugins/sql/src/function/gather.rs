//! What ARRAY_AGG and COLLECT are given of each row: its value as an array or a multiset of just it, so that equal ones
//! and NULLs are told apart as those of any column are.

use super::{nested::nested, prepared};
use crate::{
    bind::Bound,
    types::{Kind, Type},
};

/// An array of the value, or NULL if it is NULL and NULLs are `passed` over.
pub(crate) fn array_of_one(value: Bound, passed: bool) -> Result<Bound, String> {
    let kind = Kind::Array(Box::new(value.data_type.clone()));
    of_one(if passed { "ARRAY_OF_VALUE" } else { "ARRAY_OF_ONE" }, value, kind, passed)
}

/// A multiset of the value, or NULL if it is NULL.
pub(crate) fn multiset_of_one(value: Bound) -> Result<Bound, String> {
    let kind = Kind::Multiset(Box::new(value.data_type.clone()));
    of_one("MULTISET_OF_VALUE", value, kind, true)
}

fn of_one(name: &'static str, value: Bound, kind: Kind, passed: bool) -> Result<Bound, String> {
    let list = nested(&kind)?;
    let result = Type { kind, nullable: value.data_type.nullable };
    Ok(prepared(name, String::new(), vec![value], result, move |arrays, _| {
        list.of_one(&arrays[0], passed)
    }))
}
