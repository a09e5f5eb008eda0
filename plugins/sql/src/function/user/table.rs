//! Calls of table functions: a list of rows for each row, which is spread as UNNEST spreads one.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::DataFusionError;
use millstream_loader::{OpenTableFunction, Registry};

use super::{UserFunction, open::Opened, signature::Signature};
use crate::{
    bind::Bound,
    function::of_plugin,
    nested::Nested,
    types::{Kind, Type},
};

/// The rows of a call; NULL, that is none, where an argument is NULL that must not be.
pub(super) fn call(
    function: &Arc<UserFunction>,
    signature: &Signature,
    arguments: Vec<Bound>,
) -> Result<Bound, String> {
    let strict = signature.strict(&arguments);
    let result = Type { kind: list_of(&signature.results), nullable: !strict.is_empty() };
    let lists = Lists::new(&signature.results).ok_or_else(|| {
        format!("{} gives rows of types that cannot be kept in a list", function.name)
    })?;
    let opened = Opened::new(function, signature, strict, Registry::table_function)?;
    Ok(of_plugin(function, arguments, result, move |arrays, rows| lists.run(&opened, arrays, rows)))
}

fn row_of(columns: &[(String, Type)]) -> Type {
    Type::required(Kind::Row(columns.to_vec()))
}

fn list_of(columns: &[(String, Type)]) -> Kind {
    Kind::Array(Box::new(row_of(columns)))
}

/// How results become lists of rows.
struct Lists {
    row: Nested,
    list: Nested,
}

impl Lists {
    fn new(columns: &[(String, Type)]) -> Option<Self> {
        let (row, list) = (row_of(columns).kind, list_of(columns));
        Some(Self { row: Nested::of(&row)?, list: Nested::of(&list)? })
    }

    fn run(
        &self,
        opened: &Opened<OpenTableFunction>,
        arrays: &[ArrayRef],
        rows: usize,
    ) -> Result<ArrayRef, DataFusionError> {
        let taken = opened.taken(arrays, rows)?;
        // Which of the rows that are taken each result is of, in order.
        let mut owners: Vec<u32> = Vec::new();
        let columns = opened.results(
            &taken,
            |function, page, _, segment| function.call(page, segment),
            |page| {
                let last = page.column(page.columns().saturating_sub(1));
                owners.extend(last.fixed::<u32>().iter().take(page.rows()));
            },
        )?;
        let results = self.row.of_fields(&columns, owners.len(), |_| true)?;
        let begins = |taken: usize| owners.partition_point(|owner| (*owner as usize) < taken);
        let of_taken = |taken: usize| begins(taken)..begins(taken + 1);
        let Some(of) = &taken.of else {
            let lists = (0..rows).map(|row| Some(of_taken(row)));
            return self.list.of_lists(&[results], lists);
        };
        let mut next = 0..of.len();
        let lists = (0..rows as u32).map(|row| {
            let at = next.start;
            let is_taken = of.values().get(at) == Some(&row);
            is_taken.then(|| next.next()).flatten().map(of_taken)
        });
        self.list.of_lists(&[results], lists)
    }
}
