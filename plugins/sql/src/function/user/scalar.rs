//! Calls of scalar functions.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, UInt32Array},
    compute::take,
};
use datafusion_common::DataFusionError;
use millstream_loader::{OpenScalar, Registry};

use super::{UserFunction, open::Opened, signature::Signature};
use crate::{bind::Bound, function::of_plugin, types::Type};

/// The result of a call; NULL where an argument is NULL that must not be.
pub(super) fn call(
    function: &Arc<UserFunction>,
    signature: &Signature,
    arguments: Vec<Bound>,
) -> Result<Bound, String> {
    let [(_, result)] = &signature.results[..] else {
        return Err(format!("{} has no result", function.name));
    };
    let strict = signature.strict(&arguments);
    let nullable = result.nullable || !strict.is_empty();
    let opened = Opened::new(function, signature, strict, Registry::scalar)?;
    let result = Type { kind: result.kind.clone(), nullable };
    Ok(of_plugin(function, arguments, result, move |arrays, rows| run(&opened, arrays, rows)))
}

fn run(
    opened: &Opened<OpenScalar>,
    arrays: &[ArrayRef],
    rows: usize,
) -> Result<ArrayRef, DataFusionError> {
    let taken = opened.taken(arrays, rows)?;
    let results = opened.results(&taken, OpenScalar::call, |_| ())?;
    let missing = || DataFusionError::Execution("a scalar function has one result".to_owned());
    let result = results.into_iter().next().ok_or_else(missing)?;
    let Some(of) = &taken.of else { return Ok(result) };
    // Back to their places, with NULL at the others.
    let mut places = vec![None; rows];
    for (at, row) in (0u32..).zip(of.values()) {
        if let Some(place) = places.get_mut(*row as usize) {
            *place = Some(at);
        }
    }
    Ok(take(&result, &UInt32Array::from(places), None)?)
}
