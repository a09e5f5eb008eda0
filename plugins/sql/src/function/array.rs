//! Functions that make arrays of arrays, or look for something in them.

use std::{collections::HashSet, ops::Range, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, BooleanArray, Int32Array, StringViewBuilder, UInt64Array,
        make_comparator,
    },
    compute::{SortOptions, concat, take},
    datatypes::Int64Type,
};
use datafusion_common::DataFusionError;

use super::{
    Function,
    arguments::{count, integer, text},
    nested::nested,
    of, prepared,
};
use crate::{
    bind::{Bound, widen},
    nested::{Nested, keys},
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["ARRAY_CONTAINS"],
        doc: "ARRAY_CONTAINS(array, element)",
        bind: |name, arguments| {
            let call = Call::new(arguments, 2..=2, 1)?;
            let result = of(Kind::Boolean, &call.arguments[..1]);
            Ok(call.found(name, result, |found| {
                Arc::new(found.map(|at| Some(at?.is_some())).collect::<BooleanArray>())
            }))
        },
    },
    Function {
        names: &["ARRAY_POSITION"],
        doc: "ARRAY_POSITION(array, element), 0 if it is not there",
        bind: position,
    },
    Function {
        names: &["ARRAY_DISTINCT"],
        doc: "ARRAY_DISTINCT(array)",
        bind: |name, arguments| {
            let distinct = |of: &Elements, [list]: [Range<usize>; 1]| of.distinct(list);
            Ok(Call::new(arguments, 1..=1, 0)?.picked(name, distinct))
        },
    },
    Function {
        names: &["ARRAY_REVERSE"],
        doc: "ARRAY_REVERSE(array)",
        bind: |name, arguments| {
            let reversed = |_: &Elements, [list]: [Range<usize>; 1]| list.rev().collect();
            Ok(Call::new(arguments, 1..=1, 0)?.picked(name, reversed))
        },
    },
    Function {
        names: &["ARRAY_REMOVE"],
        doc: "ARRAY_REMOVE(array, element)",
        bind: |name, arguments| {
            let rest = |of: &Elements, [list, element]: [Range<usize>; 2]| {
                list.filter(|at| of.keys.get(*at) != of.keys.get(element.start)).collect()
            };
            Ok(Call::new(arguments, 2..=2, 1)?.picked(name, rest))
        },
    },
    Function {
        names: &["ARRAY_APPEND"],
        doc: "ARRAY_APPEND(array, element)",
        bind: |name, arguments| {
            let both =
                |_: &Elements, [list, element]: [Range<usize>; 2]| list.chain(element).collect();
            Ok(Call::new(arguments, 2..=2, 1)?.picked(name, both))
        },
    },
    Function {
        names: &["ARRAY_PREPEND"],
        doc: "ARRAY_PREPEND(array, element)",
        bind: |name, arguments| {
            let both =
                |_: &Elements, [list, element]: [Range<usize>; 2]| element.chain(list).collect();
            Ok(Call::new(arguments, 2..=2, 1)?.picked(name, both))
        },
    },
    Function {
        names: &["ARRAY_CONCAT"],
        doc: "ARRAY_CONCAT(array, …)",
        bind: |name, arguments| {
            let call = Call::new(arguments, 1..=usize::MAX, 0)?;
            Ok(call.picked_of_any(name, |_, lists| lists.iter().cloned().flatten().collect()))
        },
    },
    Function {
        names: &["ARRAY_UNION"],
        doc: "ARRAY_UNION(array, array)",
        bind: |name, arguments| {
            let union = |of: &Elements, [a, b]: [Range<usize>; 2]| of.distinct(a.chain(b));
            Ok(Call::new(arguments, 2..=2, 0)?.picked(name, union))
        },
    },
    Function {
        names: &["ARRAY_EXCEPT"],
        doc: "ARRAY_EXCEPT(array, array)",
        bind: |name, arguments| {
            let except = |of: &Elements, [a, b]: [Range<usize>; 2]| {
                let others = of.set(b);
                of.distinct(a.filter(|at| !of.is_in(*at, &others)))
            };
            Ok(Call::new(arguments, 2..=2, 0)?.picked(name, except))
        },
    },
    Function {
        names: &["ARRAY_INTERSECT"],
        doc: "ARRAY_INTERSECT(array, array)",
        bind: |name, arguments| {
            let both = |of: &Elements, [a, b]: [Range<usize>; 2]| {
                let others = of.set(b);
                of.distinct(a.filter(|at| of.is_in(*at, &others)))
            };
            Ok(Call::new(arguments, 2..=2, 0)?.picked(name, both))
        },
    },
    Function {
        names: &["ARRAY_SLICE"],
        doc: "ARRAY_SLICE(array, from [, to]), from 1, from the end if below 0",
        bind: slice,
    },
    Function {
        names: &["ARRAY_SORT"],
        doc: "ARRAY_SORT(array [, ascending [, nulls first]])",
        bind: sort,
    },
    Function {
        names: &["ARRAY_MAX"],
        doc: "ARRAY_MAX(array)",
        bind: |name, arguments| extreme(name, arguments, true),
    },
    Function {
        names: &["ARRAY_MIN"],
        doc: "ARRAY_MIN(array)",
        bind: |name, arguments| extreme(name, arguments, false),
    },
    Function {
        names: &["ARRAY_JOIN"],
        doc: "ARRAY_JOIN(array of texts, separator [, instead of NULL])",
        bind: join,
    },
];

/// Arguments that are arrays of one type, and elements of that type.
struct Call {
    arguments: Vec<Bound>,
    element: Type,
    list: Nested,
    /// How many of the arguments are arrays; the others are elements.
    arrays: usize,
}

/// The elements of all arguments, one after another.
struct Elements {
    all: ArrayRef,
    keys: Vec<Vec<u8>>,
    /// For each argument, where the elements of each row are; `None` if the array is NULL.
    lists: Vec<Vec<Option<Range<usize>>>>,
}

impl Call {
    /// Arguments, the last `elements` of which are elements.
    fn new(
        arguments: Vec<Bound>,
        wanted: std::ops::RangeInclusive<usize>,
        elements: usize,
    ) -> Result<Self, String> {
        count(&arguments, wanted)?;
        let arrays = arguments.len() - elements;
        let mut element: Option<Type> = None;
        for (at, argument) in arguments.iter().enumerate() {
            let own = match &argument.data_type.kind {
                Kind::Array(own) if at < arrays => (**own).clone(),
                Kind::Null if at < arrays => continue,
                kind if at < arrays => return Err(not_an_array(kind)),
                _ => argument.data_type.clone(),
            };
            element = Some(match element {
                None => own,
                Some(other) => other.common(&own).ok_or_else(|| {
                    format!("{} and {} have no type in common", other.kind, own.kind)
                })?,
            });
        }
        let element = element.ok_or("the array has no type: use CAST")?;
        let kind = Kind::Array(Box::new(element.clone()));
        let list = nested(&kind)?;
        let widened = arguments.into_iter().enumerate().map(|(at, argument)| match at < arrays {
            true => widen(argument, kind.clone()),
            false => widen(argument, element.kind.clone()),
        });
        Ok(Self { arguments: widened.collect(), element, list, arrays })
    }

    /// An array of elements that are picked among those of the arguments; NULL if an array is.
    fn picked<const N: usize>(
        self,
        name: &'static str,
        pick: impl Fn(&Elements, [Range<usize>; N]) -> Vec<usize> + Send + Sync + 'static,
    ) -> Bound {
        self.picked_of_any(name, move |elements, lists| {
            match <[Range<usize>; N]>::try_from(lists.to_vec()) {
                Ok(lists) => pick(elements, lists),
                Err(_) => Vec::new(),
            }
        })
    }

    fn picked_of_any(
        self,
        name: &'static str,
        pick: impl Fn(&Elements, &[Range<usize>]) -> Vec<usize> + Send + Sync + 'static,
    ) -> Bound {
        let Self { arguments, element, list, arrays } = self;
        let kind = Kind::Array(Box::new(element.clone()));
        let result = of(kind, &arguments[..arrays]);
        prepared(name, String::new(), arguments, result, move |arguments, rows| {
            let elements = Elements::of(arguments, arrays, (&list, &element.kind))?;
            let lists = (0..rows).map(|row| {
                let lists = elements.lists.iter().map(|lists| lists.get(row)?.clone());
                let lists = lists.collect::<Option<Vec<_>>>()?;
                Some(pick(&elements, &lists).into_iter())
            });
            let lists: Vec<_> = lists.collect();
            list.of_lists(&[Arc::clone(&elements.all)], lists)
        })
    }

    /// Where the last argument is found in the first: `None` if that is NULL, else the place, if there is one.
    fn found(
        self,
        name: &'static str,
        result: Type,
        say: impl Fn(&mut dyn Iterator<Item = Option<Option<usize>>>) -> ArrayRef
        + Send
        + Sync
        + 'static,
    ) -> Bound {
        let Self { arguments, element, list, arrays } = self;
        prepared(name, String::new(), arguments, result, move |arguments, rows| {
            let elements = Elements::of(arguments, arrays, (&list, &element.kind))?;
            let mut found = (0..rows).map(|row| {
                let [list, wanted] = [0, 1].map(|at| elements.lists.get(at)?.get(row)?.clone());
                let (list, wanted) = (list?, elements.keys.get(wanted?.start)?);
                Some(elements.keys.get(list)?.iter().position(|key| key == wanted))
            });
            Ok(say(&mut found))
        })
    }
}

impl Elements {
    /// Those of arguments, the first `arrays` of which are arrays.
    fn of(
        arguments: &[ArrayRef],
        arrays: usize,
        (list, element): (&Nested, &Kind),
    ) -> Result<Self, DataFusionError> {
        let (mut parts, mut lists, mut begin) = (Vec::new(), Vec::new(), 0);
        for (at, argument) in arguments.iter().enumerate() {
            let (part, ends) = match at < arrays {
                true => list.spread(argument)?,
                false => (vec![Arc::clone(argument)], (1..=argument.len()).collect()),
            };
            let (mut ranges, mut start) = (Vec::new(), begin);
            for (row, end) in ends.into_iter().enumerate() {
                let range = start..begin + end;
                start = range.end;
                ranges.push((at >= arrays || argument.is_valid(row)).then_some(range));
            }
            lists.push(ranges);
            begin = start;
            parts.extend(part);
        }
        let parts: Vec<&dyn Array> = parts.iter().map(|part| &**part).collect();
        let all = concat(&parts)?;
        let keys = keys(&all, element)?;
        Ok(Self { all, keys, lists })
    }

    /// The first of equal elements.
    fn distinct(&self, elements: impl Iterator<Item = usize>) -> Vec<usize> {
        let mut seen = HashSet::new();
        elements.filter(|at| seen.insert(self.keys.get(*at))).collect()
    }

    fn set(&self, elements: Range<usize>) -> HashSet<&[u8]> {
        elements.filter_map(|at| self.keys.get(at)).map(Vec::as_slice).collect()
    }

    fn is_in(&self, at: usize, others: &HashSet<&[u8]>) -> bool {
        self.keys.get(at).is_some_and(|key| others.contains(key.as_slice()))
    }
}

fn not_an_array(kind: &Kind) -> String {
    format!("{kind} was found where an ARRAY was expected")
}

fn position(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let call = Call::new(arguments, 2..=2, 1)?;
    let result = of(Kind::Int, &call.arguments);
    let (wanted, kind) = (call.arguments[1].clone(), result.kind.clone());
    let found = call.found(name, result.clone(), |found| {
        let number = |at: Option<usize>| at.map_or(0, |at| at as i32 + 1);
        Arc::new(found.map(|at| Some(number(at?))).collect::<Int32Array>())
    });
    // Of NULL nobody knows where it is.
    let null = arrow::array::new_null_array(&kind.arrow(), 1);
    let null = datafusion_common::ScalarValue::try_from_array(&null, 0);
    let null = datafusion_expr::Expr::Literal(null.map_err(|error| error.to_string())?, None);
    let expr = datafusion_expr::when(wanted.expr.is_null(), null).otherwise(found.expr);
    Ok(Bound { expr: expr.map_err(|error| error.to_string())?, data_type: result })
}

/// The only array of the arguments, and the type of its elements.
fn first(arguments: &[Bound]) -> Result<(Nested, Type), String> {
    match arguments.first().map(|first| &first.data_type.kind) {
        Some(kind @ Kind::Array(element)) => Ok((nested(kind)?, (**element).clone())),
        Some(kind) => Err(not_an_array(kind)),
        None => Err("it takes an ARRAY".into()),
    }
}

fn slice(name: &'static str, mut arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=3)?;
    let (list, element) = first(&arguments)?;
    let numbers = arguments.split_off(1).into_iter().map(integer);
    arguments.extend(numbers.collect::<Result<Vec<_>, _>>()?);
    let result = of(Kind::Array(Box::new(element.clone())), &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arguments, rows| {
        let elements = Elements::of(&arguments[..1], 1, (&list, &element.kind))?;
        let number = |argument: usize, row: usize| {
            let Some(numbers) = arguments.get(argument) else { return Some(i64::MAX) };
            let numbers = numbers.as_primitive::<Int64Type>();
            numbers.is_valid(row).then(|| numbers.value(row))
        };
        let lists = (0..rows).map(|row| {
            let (list, from, to) =
                (elements.lists.first()?.get(row)?.clone()?, number(1, row)?, number(2, row)?);
            let length = list.len() as i64;
            // The place of a number, which may be outside.
            let place = |number: i64| match number {
                0 => 0,
                number if number < 0 => number + length,
                number => number - 1,
            };
            let (from, to) = (place(from).max(0), place(to).min(length - 1));
            let inside = from..to.saturating_add(1).max(from);
            Some(inside.map(|at| list.start + at as usize).collect::<Vec<_>>().into_iter())
        });
        let lists: Vec<_> = lists.collect();
        list.of_lists(&[Arc::clone(&elements.all)], lists)
    }))
}

/// Refuses elements that are in no order.
fn ordered(element: &Type) -> Result<(), String> {
    match element.kind.is_nested() {
        true => Err(format!("values of {} are in no order", element.kind)),
        false => Ok(()),
    }
}

fn sort(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=3)?;
    let (list, element) = first(&arguments)?;
    ordered(&element)?;
    if let Some(flag) = arguments.iter().skip(1).find(|flag| flag.data_type.kind != Kind::Boolean) {
        return Err(format!("{} was found where a BOOLEAN was expected", flag.data_type.kind));
    }
    let result = of(Kind::Array(Box::new(element.clone())), &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arguments, rows| {
        let elements = Elements::of(&arguments[..1], 1, (&list, &element.kind))?;
        let compare = |descending, nulls_first| {
            let options = SortOptions { descending, nulls_first };
            make_comparator(&elements.all, &elements.all, options)
        };
        let orders = [
            compare(false, false)?,
            compare(false, true)?,
            compare(true, false)?,
            compare(true, true)?,
        ];
        let flag = |argument: usize, row: usize| {
            let flags = arguments.get(argument)?.as_boolean();
            Some(flags.is_valid(row).then(|| flags.value(row)))
        };
        let lists = (0..rows).map(|row| {
            let list = elements.lists.first()?.get(row)?.clone()?;
            let ascending = flag(1, row).unwrap_or(Some(true))?;
            let nulls_first = flag(2, row).unwrap_or(Some(ascending))?;
            let order = orders.get(2 * usize::from(!ascending) + usize::from(nulls_first))?;
            let mut sorted: Vec<usize> = list.collect();
            sorted.sort_by(|a, b| order(*a, *b));
            Some(sorted.into_iter())
        });
        let lists: Vec<_> = lists.collect();
        list.of_lists(&[Arc::clone(&elements.all)], lists)
    }))
}

fn extreme(name: &'static str, arguments: Vec<Bound>, greatest: bool) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let (list, element) = first(&arguments)?;
    ordered(&element)?;
    let result = Type::nullable(element.kind.clone());
    Ok(prepared(name, String::new(), arguments, result, move |arguments, rows| {
        let elements = Elements::of(arguments, 1, (&list, &element.kind))?;
        let all = &elements.all;
        let order =
            make_comparator(all, all, SortOptions { descending: greatest, nulls_first: false })?;
        let places = (0..rows).map(|row| {
            let list = elements.lists.first()?.get(row)?.clone()?;
            list.min_by(|a, b| order(*a, *b)).map(|at| at as u64)
        });
        Ok(take(all, &places.collect::<UInt64Array>(), None)?)
    }))
}

fn join(name: &'static str, mut arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=3)?;
    let (_, element) = first(&arguments)?;
    if !element.kind.is_text() {
        return Err(format!("{} was found where texts were expected", element.kind));
    }
    let texts = arguments.split_off(1).into_iter().map(text);
    arguments.extend(texts.collect::<Result<Vec<_>, _>>()?);
    let list = nested(&Kind::Array(Box::new(Type::nullable(STRING))))?;
    let result = of(STRING, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arguments, rows| {
        let elements = Elements::of(&arguments[..1], 1, (&list, &STRING))?;
        let texts = elements.all.as_string_view();
        let argument = |argument: usize, row: usize| {
            let texts = arguments.get(argument)?.as_string_view();
            texts.is_valid(row).then(|| texts.value(row))
        };
        let mut made = StringViewBuilder::with_capacity(rows);
        for row in 0..rows {
            let list = elements.lists.first().and_then(|lists| lists.get(row)?.clone());
            let instead = argument(2, row);
            let (Some(list), Some(separator)) = (list, argument(1, row)) else {
                made.append_null();
                continue;
            };
            if arguments.len() > 2 && instead.is_none() {
                made.append_null();
                continue;
            }
            let shown = list.filter_map(|at| match texts.is_valid(at) {
                true => Some(texts.value(at)),
                false => instead,
            });
            made.append_value(shown.collect::<Vec<_>>().join(separator));
        }
        Ok(Arc::new(made.finish()))
    }))
}
