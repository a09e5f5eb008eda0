//! Functions of maps, and those that divide texts into maps and arrays.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, StringViewArray},
    compute::concat,
};
use datafusion_common::DataFusionError;

use super::{
    Function,
    arguments::{Rows, count, text},
    nested::{common, distinct_keys, nested, of_entries},
    of, prepared,
};
use crate::{
    bind::Bound,
    nested::keys,
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["MAP_KEYS"],
        doc: "MAP_KEYS(map)",
        bind: |name, arguments| part(name, arguments, 0),
    },
    Function {
        names: &["MAP_VALUES"],
        doc: "MAP_VALUES(map)",
        bind: |name, arguments| part(name, arguments, 1),
    },
    Function { names: &["MAP_ENTRIES"], doc: "MAP_ENTRIES(map)", bind: entries },
    Function { names: &["MAP_UNION"], doc: "MAP_UNION(map, …)", bind: union },
    Function {
        names: &["MAP_FROM_ARRAYS"],
        doc: "MAP_FROM_ARRAYS(array of keys, array of values)",
        bind: from_arrays,
    },
    Function {
        names: &["STR_TO_MAP"],
        doc: "STR_TO_MAP(text [, between entries, between key and value])",
        bind: from_text,
    },
    Function { names: &["SPLIT"], doc: "SPLIT(text, separator)", bind: split },
];

/// The types of keys and values.
fn of_map(argument: &Bound) -> Result<(Type, Type), String> {
    match &argument.data_type.kind {
        Kind::Map(key, value) => Ok(((**key).clone(), (**value).clone())),
        kind => Err(format!("{kind} was found where a MAP was expected")),
    }
}

/// Where the elements of each row are, behind those of the row before; `None` if it is NULL.
fn ranges(array: &ArrayRef, ends: Vec<usize>) -> Vec<Option<std::ops::Range<usize>>> {
    let mut begin = 0;
    let range = |(row, end)| {
        let range = std::mem::replace(&mut begin, end)..end;
        array.is_valid(row).then_some(range)
    };
    ends.into_iter().enumerate().map(range).collect()
}

fn part(name: &'static str, arguments: Vec<Bound>, which: usize) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let (key, value) = of_map(&arguments[0])?;
    let kind = Kind::Array(Box::new(if which == 0 { key } else { value }));
    let (map, list) = (nested(&arguments[0].data_type.kind)?, nested(&kind)?);
    let result = of(kind, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        let (mut parts, ends) = map.spread(&arrays[0])?;
        list.of_lists(&[parts.swap_remove(which)], ranges(&arrays[0], ends))
    }))
}

fn entries(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let (key, value) = of_map(&arguments[0])?;
    let row = Kind::Row(vec![("key".into(), key), ("value".into(), value)]);
    let kind = Kind::Array(Box::new(Type::required(row.clone())));
    let (map, row, list) = (nested(&arguments[0].data_type.kind)?, nested(&row)?, nested(&kind)?);
    let result = of(kind, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        let (parts, ends) = map.spread(&arrays[0])?;
        let rows = row.of_fields(&parts, ends.last().copied().unwrap_or(0), |_| true)?;
        list.of_lists(&[rows], ranges(&arrays[0], ends))
    }))
}

fn union(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=usize::MAX)?;
    arguments.iter().try_for_each(|argument| of_map(argument).map(|_| ()))?;
    let (arguments, data_type) = common(arguments)?;
    let Kind::Map(key, _) = &data_type.kind else { return Err("it takes maps".into()) };
    let (key, map) = (key.kind.clone(), nested(&data_type.kind)?);
    Ok(prepared(name, String::new(), arguments, data_type, move |arrays, rows| {
        let (mut of_keys, mut of_values, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        let mut begin = 0;
        for array in arrays {
            let (parts, ends) = map.spread(array)?;
            let length = ends.last().copied().unwrap_or(0);
            lists.push((begin, ranges(array, ends)));
            begin += length;
            if let Ok([keys, values]) = <[ArrayRef; 2]>::try_from(parts) {
                of_keys.push(keys);
                of_values.push(values);
            }
        }
        let all = |arrays: &[ArrayRef]| {
            concat(&arrays.iter().map(|array| &**array as &dyn Array).collect::<Vec<_>>())
        };
        let (of_keys, of_values) = (all(&of_keys)?, all(&of_values)?);
        let names = keys(&of_keys, &key)?;
        let maps = (0..rows).map(|row| {
            let own = lists.iter().map(|(begin, ranges)| {
                let range = ranges.get(row)?.clone()?;
                Some(begin + range.start..begin + range.end)
            });
            let own = own.collect::<Option<Vec<_>>>()?;
            Some(distinct_keys(&names, own.into_iter().flatten()).into_iter())
        });
        let maps: Vec<_> = maps.collect();
        of_entries(&map, (&of_keys, &of_values), maps)
    }))
}

fn from_arrays(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let element = |argument: &Bound| match &argument.data_type.kind {
        Kind::Array(element) => Ok((**element).clone()),
        kind => Err(format!("{kind} was found where an ARRAY was expected")),
    };
    let (key, value) = (element(&arguments[0])?, element(&arguments[1])?);
    let lists = [nested(&arguments[0].data_type.kind)?, nested(&arguments[1].data_type.kind)?];
    let kind = Kind::Map(Box::new(key.clone()), Box::new(value));
    let map = nested(&kind)?;
    let result = of(kind, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let (of_keys, ends) = lists[0].spread(&arrays[0])?;
        let key_ranges = ranges(&arrays[0], ends);
        let (of_values, ends) = lists[1].spread(&arrays[1])?;
        let value_ranges = ranges(&arrays[1], ends);
        let names = keys(&of_keys[0], &key.kind)?;
        let mut maps = Vec::new();
        for row in 0..rows {
            let both = (key_ranges[row].clone(), value_ranges[row].clone());
            let (Some(keys), Some(values)) = both else {
                maps.push(None);
                continue;
            };
            if keys.len() != values.len() {
                let message = format!(
                    "MAP_FROM_ARRAYS: there are {} keys and {} values, but each key has one value",
                    keys.len(),
                    values.len()
                );
                return Err(DataFusionError::Execution(message));
            }
            let kept = distinct_keys(&names, keys.clone());
            let entry = |(key, value): (usize, usize)| (key, value - keys.start + values.start);
            maps.push(Some(kept.into_iter().map(entry).collect::<Vec<_>>().into_iter()));
        }
        of_entries(&map, (&of_keys[0], &of_values[0]), maps)
    }))
}

fn from_text(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=3)?;
    if arguments.len() == 2 {
        return Err("it does not take 2 arguments".into());
    }
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let kind = Kind::Map(Box::new(Type::nullable(STRING)), Box::new(Type::nullable(STRING)));
    let map = nested(&kind)?;
    let has_separators = arguments.len() > 1;
    Ok(prepared(name, String::new(), arguments, Type::nullable(kind), move |arrays, rows| {
        let texts = Rows::new(arrays);
        let (mut of_keys, mut of_values, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..rows {
            let separator = |argument, usual| match has_separators {
                true => texts.text(argument, row),
                false => Some(usual),
            };
            let all = (texts.text(0, row), separator(1, ","), separator(2, "="));
            let (Some(text), Some(between), Some(is)) = all else {
                lists.push(None);
                continue;
            };
            let begin = of_keys.len();
            for entry in text.split(between).filter(|_| !text.is_empty()) {
                let (key, value) = match entry.split_once(is) {
                    Some((key, value)) => (key, Some(value)),
                    None => (entry, None),
                };
                of_keys.push(key);
                of_values.push(value);
            }
            lists.push(Some(begin..of_keys.len()));
        }
        let of_keys: ArrayRef =
            Arc::new(of_keys.into_iter().map(Some).collect::<StringViewArray>());
        let of_values: ArrayRef = Arc::new(of_values.into_iter().collect::<StringViewArray>());
        let names = keys(&of_keys, &STRING)?;
        let maps = lists.into_iter().map(|list| Some(distinct_keys(&names, list?).into_iter()));
        let maps: Vec<_> = maps.collect();
        of_entries(&map, (&of_keys, &of_values), maps)
    }))
}

fn split(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let kind = Kind::Array(Box::new(Type::nullable(STRING)));
    let list = nested(&kind)?;
    let result = of(kind, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let texts = Rows::new(arrays);
        let (mut parts, mut lists) = (Vec::new(), Vec::new());
        for row in 0..rows {
            let (Some(text), Some(separator)) = (texts.text(0, row), texts.text(1, row)) else {
                lists.push(None);
                continue;
            };
            let begin = parts.len();
            match separator {
                "" => parts.extend(text.chars().map(String::from)),
                _ if text.is_empty() => {}
                separator => parts.extend(text.split(separator).map(str::to_owned)),
            }
            lists.push(Some(begin..parts.len()));
        }
        let parts: ArrayRef = Arc::new(parts.into_iter().map(Some).collect::<StringViewArray>());
        list.of_lists(&[parts], lists)
    }))
}
