//! Texts and bytes of the length that a column of a table has.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray, StringViewArray},
    datatypes::DataType as Arrow,
};
use datafusion_common::DataFusionError;

use super::{cast::sized, prepared};
use crate::{bind::Bound, types::Kind};

/// The length of the column's values, and whether all have it.
fn length(kind: &Kind) -> Option<(usize, bool)> {
    match kind {
        Kind::Char(length) | Kind::Binary(length) => Some((*length as usize, true)),
        Kind::Varchar(length) | Kind::Varbinary(length) => Some((*length as usize, false)),
        _ => None,
    }
}

/// Texts and bytes of a column, whose type the bound value says, cut to its length, and filled up with spaces or
/// zeros if all have it.
pub(crate) fn fitted(value: Bound) -> Bound {
    let (kind, result) = (value.data_type.kind.clone(), value.data_type.clone());
    let Some((length, fills)) = length(&kind) else { return value };
    prepared("FIT", kind.to_string(), vec![value], result, move |arrays, _| {
        let array = &arrays[0];
        Ok(match array.data_type() {
            Arrow::BinaryView => {
                let fit = |bytes: &[u8]| {
                    let mut bytes = bytes.get(..length).unwrap_or(bytes).to_vec();
                    bytes.resize(if fills { length } else { bytes.len() }, 0);
                    bytes
                };
                let made = array.as_binary_view().iter().map(|bytes| bytes.map(fit));
                Arc::new(made.collect::<BinaryViewArray>()) as ArrayRef
            }
            _ => {
                let fit = |text: &str| sized(text, length as u32, fills);
                let made = array.as_string_view().iter().map(|text| text.map(fit));
                Arc::new(made.collect::<StringViewArray>())
            }
        })
    })
}

/// Texts and bytes of the column of this name, whose type the bound value says; one of another length is an error.
pub(crate) fn measured(name: &str, value: Bound) -> Bound {
    let (kind, result) = (value.data_type.kind.clone(), value.data_type.clone());
    let Some((length, all)) = length(&kind) else { return value };
    let name = name.to_owned();
    prepared("MEASURE", format!("{name} {kind}"), vec![value], result, move |arrays, _| {
        let array = &arrays[0];
        let (lengths, what): (Vec<usize>, _) = match array.data_type() {
            Arrow::BinaryView => {
                let lengths = array.as_binary_view().iter().flatten().map(<[u8]>::len);
                (lengths.collect(), "byte")
            }
            _ => {
                let texts = array.as_string_view().iter().flatten();
                (texts.map(|text| text.chars().count()).collect(), "character")
            }
        };
        let fits = |found: &usize| if all { *found == length } else { *found <= length };
        match lengths.iter().find(|found| !fits(found)) {
            None => Ok(Arc::clone(array)),
            Some(found) => Err(DataFusionError::Execution(format!(
                "a row has {found} {what}{} in the column `{name}`, which is {kind}: SET \
                 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD' writes as many as the column has",
                if *found == 1 { "" } else { "s" }
            ))),
        }
    })
}
