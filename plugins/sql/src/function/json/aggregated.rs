//! What JSON_OBJECTAGG and JSON_ARRAYAGG make of the JSON of each row, which LISTAGG puts together.

use std::{cmp::Ordering, sync::Arc};

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use datafusion_common::DataFusionError;

use crate::{
    bind::Bound,
    function::prepared,
    parse::json::{ARRAY_OF, BETWEEN, ELEMENT, OBJECT_OF},
    types::{Kind, STRING, Type},
};

/// Flink says that these are VARCHAR(2000), and cuts nothing off.
const RESULT: Type = Type { kind: Kind::Varchar(2000), nullable: false };

/// What is within the array or object of a row; NULL if nothing is.
pub(crate) fn element(arguments: Vec<Bound>) -> Bound {
    let result = Type { kind: STRING, nullable: true };
    prepared(ELEMENT, String::new(), arguments, result, |arrays, rows| {
        let within = |row| {
            let text = text(arrays, row)?;
            let within = text.get(1..text.len().checked_sub(1)?)?;
            (!within.is_empty()).then_some(within)
        };
        Ok(Arc::new((0..rows).map(within).collect::<StringViewArray>()))
    })
}

/// An array of elements.
pub(crate) fn array_of(arguments: Vec<Bound>) -> Bound {
    prepared(ARRAY_OF, String::new(), arguments, RESULT, |arrays, rows| {
        let array = |row| {
            let elements = text(arrays, row).unwrap_or("");
            Some(format!("[{}]", elements.replace(BETWEEN, ",")))
        };
        Ok(Arc::new((0..rows).map(array).collect::<StringViewArray>()))
    })
}

/// An object of members, in the order of their keys. As in Flink two of one key are an error.
pub(crate) fn object_of(arguments: Vec<Bound>) -> Bound {
    prepared(OBJECT_OF, String::new(), arguments, RESULT, |arrays, rows| {
        let object = |row| text(arrays, row).map_or(Ok("{}".to_owned()), object).map(Some);
        let objects = (0..rows).map(object).collect::<Result<StringViewArray, _>>()?;
        Ok(Arc::new(objects))
    })
}

fn object(members: &str) -> Result<String, DataFusionError> {
    let mut keyed: Vec<(String, &str)> = Vec::new();
    for member in members.split(BETWEEN) {
        // A key is in front, in quotes.
        let mut values = serde_json::Deserializer::from_str(member).into_iter::<String>();
        let key = values.next().and_then(Result::ok).ok_or_else(|| {
            DataFusionError::Execution(format!("JSON_OBJECTAGG: {member} has no key"))
        })?;
        keyed.push((key, member));
    }
    keyed.sort_by(|(one, _), (other, _)| by_units(one, other));
    let twice = keyed.iter().zip(keyed.iter().skip(1)).find(|(one, next)| one.0 == next.0);
    if let Some(((key, _), _)) = twice {
        return Err(DataFusionError::Execution(format!(
            "JSON_OBJECTAGG: the key '{key}' is there more than once: group by it, or take one row of each key"
        )));
    }
    let members: Vec<&str> = keyed.into_iter().map(|(_, member)| member).collect();
    Ok(format!("{{{}}}", members.join(",")))
}

/// The order of Java's texts.
fn by_units(one: &str, other: &str) -> Ordering {
    one.encode_utf16().cmp(other.encode_utf16())
}

fn text(arrays: &[ArrayRef], row: usize) -> Option<&str> {
    let texts = arrays.first()?.as_string_view_opt()?;
    texts.is_valid(row).then(|| texts.value(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_in_the_order_of_their_keys() {
        let members = ["\"b\":1", "\"\":2", r#""a\"b":{"x":1}"#, "\"a\":null"].join(BETWEEN);
        let expected = r#"{"":2,"a":null,"a\"b":{"x":1},"b":1}"#;
        assert_eq!(object(&members).expect("an object"), expected);
        let twice = object(&[&members, "\"b\":2"].join(BETWEEN)).expect_err("a key is there twice");
        assert!(twice.to_string().contains("the key 'b' is there more than once"), "{twice}");
        assert_eq!(by_units("\u{ffee}", "\u{1f600}"), Ordering::Greater);
    }
}
