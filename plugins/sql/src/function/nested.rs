//! Arrays, maps and rows: made, taken apart and cast.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int32Array, StringViewBuilder},
    compute::concat,
    datatypes::Int64Type,
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::Expr;

use super::{
    Function,
    arguments::{constant_integer, count},
    cast::convert,
    of, prepared,
};
use crate::{
    bind::{self, Bound, widen},
    nested::{Nested, keys},
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["ARRAY"], doc: "ARRAY[value, …]", bind: array },
    Function { names: &["MAP"], doc: "MAP[key, value, …]", bind: map },
    Function { names: &["ROW"], doc: "ROW(value, …), or (value, value, …)", bind: row },
    Function {
        names: &["CARDINALITY"],
        doc: "CARDINALITY(array, map or multiset)",
        bind: cardinality,
    },
    Function { names: &["ELEMENT"], doc: "ELEMENT(array or multiset)", bind: element },
];

/// How values of a type are read and made.
///
/// # Errors
/// If it is not nested, or has parts without a type.
pub(super) fn nested(kind: &Kind) -> Result<Nested, String> {
    Nested::of(kind).ok_or_else(|| match kind.is_nested() {
        true => format!("{kind} has values without a type: use CAST"),
        false => format!("{kind} was found where an ARRAY, a MAP or a ROW was expected"),
    })
}

fn array(name: &'static str, values: Vec<Bound>) -> Result<Bound, String> {
    count(&values, 1..=usize::MAX)?;
    let (values, element) = common(values)?;
    let kind = Kind::Array(Box::new(element));
    let list = nested(&kind)?;
    let each = values.len();
    Ok(prepared(name, String::new(), values, Type::required(kind), move |arrays, rows| {
        let all = gathered(arrays)?;
        list.of_lists(&[all], (0..rows).map(|row| Some((0..each).map(move |at| at * rows + row))))
    }))
}

fn map(name: &'static str, entries: Vec<Bound>) -> Result<Bound, String> {
    if entries.is_empty() || !entries.len().is_multiple_of(2) {
        return Err("each key has a value".into());
    }
    let (mut of_keys, mut of_values) = (Vec::new(), Vec::new());
    for (at, part) in entries.into_iter().enumerate() {
        if at % 2 == 0 { of_keys.push(part) } else { of_values.push(part) }
    }
    let ((mut arguments, key), (values, value)) = (common(of_keys)?, common(of_values)?);
    let each = arguments.len();
    arguments.extend(values);
    let kind = Kind::Map(Box::new(key.clone()), Box::new(value));
    let entries = nested(&kind)?;
    Ok(prepared(name, String::new(), arguments, Type::required(kind), move |arrays, rows| {
        let (of_keys, of_values) = arrays.split_at(each);
        let (of_keys, of_values) = (gathered(of_keys)?, gathered(of_values)?);
        let names = keys(&of_keys, &key.kind)?;
        let maps = (0..rows).map(|row| {
            let all = (0..each).map(|at| at * rows + row);
            Some(distinct_keys(&names, all).into_iter())
        });
        let maps: Vec<_> = maps.collect();
        of_entries(&entries, (&of_keys, &of_values), maps)
    }))
}

/// Maps of entries, each where its key is and where its value is.
pub(super) fn of_entries<I>(
    entries: &Nested,
    (of_keys, of_values): (&ArrayRef, &ArrayRef),
    maps: Vec<Option<I>>,
) -> Result<ArrayRef, DataFusionError>
where
    I: ExactSizeIterator<Item = (usize, usize)>,
{
    let (mut key_at, mut value_at, mut ends) = (Vec::new(), Vec::new(), Vec::new());
    for map in maps {
        let is_null = map.is_none();
        for (key, value) in map.into_iter().flatten() {
            key_at.push(Some(key as u64));
            value_at.push(Some(value as u64));
        }
        ends.push((key_at.len(), is_null));
    }
    let picked = |array: &ArrayRef, at: Vec<Option<u64>>| {
        arrow::compute::take(array, &arrow::array::UInt64Array::from(at), None)
    };
    let parts = [picked(of_keys, key_at)?, picked(of_values, value_at)?];
    let mut start = 0;
    let lists = ends.into_iter().map(|(end, is_null)| {
        let list = start..end;
        start = end;
        (!is_null).then_some(list)
    });
    entries.of_lists(&parts, lists)
}

/// Entries by different keys: where a key came first, and where its value is, which is the last one.
pub(super) fn distinct_keys(
    names: &[Vec<u8>],
    entries: impl Iterator<Item = usize>,
) -> Vec<(usize, usize)> {
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for at in entries {
        match kept.iter_mut().find(|(key, _)| names.get(*key) == names.get(at)) {
            Some((_, value)) => *value = at,
            None => kept.push((at, at)),
        }
    }
    kept
}

fn row(name: &'static str, fields: Vec<Bound>) -> Result<Bound, String> {
    count(&fields, 1..=usize::MAX)?;
    let named = fields.iter().enumerate();
    let named = named.map(|(at, field)| (format!("EXPR${at}"), field.data_type.clone()));
    let kind = Kind::Row(named.collect());
    let row = nested(&kind)?;
    Ok(prepared(name, String::new(), fields, Type::required(kind), move |arrays, rows| {
        row.of_fields(arrays, rows, |_| true)
    }))
}

/// Values as one type, and which that is.
pub(super) fn common(values: Vec<Bound>) -> Result<(Vec<Bound>, Type), String> {
    let nullable = super::nullable(&values);
    let (values, kind) =
        bind::common(values).map_err(|(a, b)| format!("{a} and {b} have no type in common"))?;
    Ok((values, Type { kind, nullable }))
}

/// Arrays of one type behind each other.
fn gathered(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
    Ok(concat(&arrays)?)
}

fn cardinality(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let kind = &arguments[0].data_type.kind;
    let list = lists(kind)?;
    let result = of(Kind::Int, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        let lengths = list.lists(&arrays[0]).into_iter().map(|list| Some(list?.len() as i32));
        Ok(Arc::new(lengths.collect::<Int32Array>()))
    }))
}

/// What has elements.
pub(super) fn lists(kind: &Kind) -> Result<Nested, String> {
    let list = nested(kind)?;
    match list.is_row() {
        true => Err(format!("{kind} was found where an ARRAY or a MAP was expected")),
        false => Ok(list),
    }
}

fn element(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let kind = &arguments[0].data_type.kind;
    let (Kind::Array(element) | Kind::Multiset(element)) = kind else {
        return Err(format!("{kind} was found where an ARRAY was expected"));
    };
    let result = Type::nullable(element.kind.clone());
    let list = nested(kind)?;
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        let lists = list.lists(&arrays[0]);
        if lists.iter().flatten().any(|list| list.len() > 1) {
            let message = "ELEMENT: the array has more than one element";
            return Err(DataFusionError::Execution(message.into()));
        }
        let only = lists.into_iter().map(|list| list.filter(|list| !list.is_empty()));
        let places: Vec<_> = only.map(|list| Some((list?.at(0), 0))).collect();
        list.values(0, &places)
    }))
}

/// A field of a row.
///
/// # Errors
/// If it has a type that is not stored.
pub(crate) fn field(row: Bound, at: usize) -> Result<Bound, String> {
    let Kind::Row(fields) = &row.data_type.kind else {
        return Err(format!("{} has no fields", row.data_type.kind));
    };
    let Some((name, data_type)) = fields.get(at) else {
        return Err(format!("{} has no field {at}", row.data_type.kind));
    };
    let nullable = row.data_type.nullable || data_type.nullable;
    let (key, result) = (name.clone(), data_type.clone().with_nullable(nullable));
    let rows = nested(&row.data_type.kind)?;
    Ok(prepared("FIELD", format!("{at} {key}"), vec![row], result, move |arrays, _| {
        rows.field(&arrays[0], at)
    }))
}

/// `array[index]`, from 1, or `map[key]`; NULL if there is none. `row[number]` and `row['name']` are fields.
///
/// # Errors
/// If it is none of these, or the index or key is of another type.
pub(crate) fn item(whole: Bound, key: Bound) -> Result<Bound, String> {
    match &whole.data_type.kind {
        Kind::Array(element) => {
            let found = &key.data_type.kind;
            if !found.is_integer() && *found != Kind::Null {
                return Err(format!("the index of an array is a whole number, not {found}"));
            }
            if let Some(index) = constant_integer(&key).filter(|index| *index < 1) {
                return Err(format!("the index of an array begins with 1, it was {index}"));
            }
            let result = Type::nullable(element.kind.clone());
            let list = nested(&whole.data_type.kind)?;
            let arguments = vec![whole, widen(key, Kind::BigInt)];
            Ok(prepared("ITEM", String::new(), arguments, result, move |arrays, _| {
                let indexes = arrays[1].as_primitive::<Int64Type>();
                let places = list.lists(&arrays[0]).into_iter().zip(indexes);
                let places = places.map(|(list, index)| {
                    let (list, index) = (list?, usize::try_from(index?).ok()?);
                    (1..=list.len()).contains(&index).then(|| (list.at(index - 1), 0))
                });
                list.values(0, &places.collect::<Vec<_>>())
            }))
        }
        Kind::Map(of_key, value) => {
            let common = key.data_type.kind.common(&of_key.kind);
            if common.is_none_or(|common| !common.same_values(&of_key.kind)) {
                let found = &key.data_type.kind;
                return Err(format!("the keys of the map are {}, not {found}", of_key.kind));
            }
            let (of_key, result) = (of_key.kind.clone(), Type::nullable(value.kind.clone()));
            let entries = nested(&whole.data_type.kind)?;
            let arguments = vec![whole, widen(key, of_key.clone())];
            Ok(prepared("ITEM", String::new(), arguments, result, move |arrays, _| {
                let column = entries.column(1);
                let (spread, ends) = entries.spread(&arrays[0])?;
                let names = keys(&spread[0], &of_key)?;
                let wanted = keys(&arrays[1], &of_key)?;
                let lists = entries.lists(&arrays[0]);
                let mut begin = 0;
                let places = lists.iter().zip(ends).zip(&wanted).map(|((list, end), wanted)| {
                    let start = std::mem::replace(&mut begin, end);
                    let at = names.get(start..end)?.iter().position(|name| name == wanted)?;
                    Some(((*list)?.at(at), column))
                });
                entries.values(1, &places.collect::<Vec<_>>())
            }))
        }
        Kind::Row(fields) => match &key.expr {
            Expr::Literal(ScalarValue::Int32(Some(at)), _) => {
                let at = usize::try_from(*at).ok().and_then(|at| at.checked_sub(1));
                let at = at.filter(|at| *at < fields.len());
                field(whole, at.ok_or("there is no such field")?)
            }
            Expr::Literal(ScalarValue::Utf8View(Some(name)), _) => {
                let at = fields.iter().position(|(field, _)| field == name);
                let at = at.ok_or_else(|| format!("the row has no field `{name}`"))?;
                field(whole, at)
            }
            _ => Err("a field of a row is named by a constant".into()),
        },
        other => Err(format!("{other} has no elements")),
    }
}

/// A map whose entries are in the order of their keys, so that equal maps are equal bytes; another value as it is.
pub(crate) fn in_order(value: Bound) -> Bound {
    let kind = value.data_type.kind.clone();
    let key = match &kind {
        Kind::Map(key, _) | Kind::Multiset(key) => key.kind.clone(),
        _ => return value,
    };
    let Some(entries) = Nested::of(&kind) else { return value };
    let result = value.data_type.clone();
    prepared("IN_ORDER", String::new(), vec![value], result, move |arrays, _| {
        let (parts, ends) = entries.spread(&arrays[0])?;
        let names = keys(&parts[0], &key)?;
        let mut begin = 0;
        let maps = ends.into_iter().enumerate().map(|(row, end)| {
            let mut order: Vec<usize> = (std::mem::replace(&mut begin, end)..end).collect();
            order.sort_by_key(|at| names.get(*at));
            arrays[0].is_valid(row).then(|| order.into_iter())
        });
        entries.of_lists(&parts, maps)
    })
}

/// Whether there is a cast between nested types.
pub(super) fn is_cast(from: &Kind, to: &Kind, within: impl Fn(&Kind, &Kind) -> bool) -> bool {
    match (from, to) {
        (Kind::Array(a), Kind::Array(b)) | (Kind::Multiset(a), Kind::Multiset(b)) => {
            within(&a.kind, &b.kind)
        }
        (Kind::Map(a, x), Kind::Map(b, y)) => within(&a.kind, &b.kind) && within(&x.kind, &y.kind),
        (Kind::Row(a), Kind::Row(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((_, a), (_, b))| within(&a.kind, &b.kind))
        }
        (from, to) => from.is_nested() && to.is_text(),
    }
}

/// Nested values as others of a type with as many parts, each of which is cast.
pub(super) fn converted(
    array: &ArrayRef,
    from: &Kind,
    to: &Kind,
    try_cast: bool,
) -> Result<ArrayRef, DataFusionError> {
    if from.same_values(to) {
        return Ok(Arc::clone(array));
    }
    let none = || DataFusionError::Execution(format!("there is no CAST of {from} to {to}"));
    let (source, target) = (Nested::of(from).ok_or_else(none)?, Nested::of(to).ok_or_else(none)?);
    let cast = |at: usize, part: &ArrayRef| match (source.parts().get(at), target.parts().get(at)) {
        (Some(a), Some(b)) if a.same_values(b) => Ok(Arc::clone(part)),
        (Some(a), Some(b)) => convert(part, a, b, try_cast),
        _ => Err(none()),
    };
    if source.is_row() {
        let fields = (0..source.parts().len()).map(|at| cast(at, &source.field(array, at)?));
        let fields = fields.collect::<Result<Vec<_>, _>>()?;
        return target.of_fields(&fields, array.len(), |row| array.is_valid(row));
    }
    let (parts, ends) = source.spread(array)?;
    let parts = parts.iter().enumerate().map(|(at, part)| cast(at, part));
    let mut begin = 0;
    let lists = ends.into_iter().enumerate().map(|(row, end)| {
        let list = std::mem::replace(&mut begin, end)..end;
        array.is_valid(row).then_some(list)
    });
    target.of_lists(&parts.collect::<Result<Vec<_>, _>>()?, lists)
}

/// Nested values as Flink casts them to text: `[1, 2]`, `{a=1}`, `(1, x)`.
pub(super) fn texts(array: &ArrayRef, from: &Kind) -> Result<ArrayRef, DataFusionError> {
    let none = || DataFusionError::Execution(format!("there is no CAST of {from} to STRING"));
    let source = Nested::of(from).ok_or_else(none)?;
    let text = |at: usize, part: ArrayRef| match source.parts().get(at) {
        Some(kind) => convert(&part, kind, &STRING, false),
        None => Err(none()),
    };
    let (parts, ends) = match source.is_row() {
        true => {
            let fields = (0..source.parts().len()).map(|at| source.field(array, at));
            (fields.collect::<Result<Vec<_>, _>>()?, (1..=array.len()).collect())
        }
        false => source.spread(array)?,
    };
    let parts = parts.into_iter().enumerate().map(|(at, part)| text(at, part));
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    let parts: Vec<_> = parts.iter().map(|part| part.as_string_view()).collect();
    let (open, between, close) = match from {
        Kind::Row(_) => ("(", ", ", ")"),
        Kind::Array(_) => ("[", "", "]"),
        _ => ("{", "=", "}"),
    };
    let mut made = StringViewBuilder::with_capacity(array.len());
    let mut begin = 0;
    for (row, end) in ends.into_iter().enumerate() {
        let elements = std::mem::replace(&mut begin, end)..end;
        if array.is_null(row) {
            made.append_null();
            continue;
        }
        let shown = elements.map(|at| {
            let parts = parts.iter();
            let parts = parts.map(|part| if part.is_null(at) { "NULL" } else { part.value(at) });
            parts.collect::<Vec<_>>().join(between)
        });
        made.append_value(format!("{open}{}{close}", shown.collect::<Vec<_>>().join(", ")));
    }
    Ok(Arc::new(made.finish()))
}
