//! What nodes of our own in a plan have in common: they are made of an input, and add columns to it.

use std::collections::HashSet;

use datafusion_common::DFSchema;
use datafusion_expr::Expr;

/// Compares a node by what its `identity` gives: its schema follows from that, and where it is in the script does
/// not matter.
macro_rules! compared_by_identity {
    ($node:ty) => {
        impl PartialEq for $node {
            fn eq(&self, other: &Self) -> bool {
                self.identity() == other.identity()
            }
        }

        impl Eq for $node {}

        impl std::hash::Hash for $node {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.identity().hash(state);
            }
        }

        impl PartialOrd for $node {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                self.identity().partial_cmp(&other.identity())
            }
        }
    };
}

pub(super) use compared_by_identity;

/// The columns of a schema that are none of these keys.
pub(super) fn all_but(keys: &[Expr], schema: &DFSchema) -> HashSet<String> {
    let is_key = |name: &str| {
        keys.iter().any(|key| matches!(key, Expr::Column(column) if column.name == name))
    };
    let names = schema.fields().iter().map(|field| field.name().as_str());
    names.filter(|name| !is_key(name)).map(str::to_owned).collect()
}

/// Those columns of a node that are its input's, which come first.
pub(super) fn of_input(columns: &[usize], input: &DFSchema) -> Vec<usize> {
    let width = input.fields().len();
    columns.iter().copied().filter(|column| *column < width).collect()
}
