//! Functions of text. Positions and lengths count characters.

use std::{borrow::Cow, sync::Arc};

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringViewBuilder};
use regex::{NoExpand, Regex};

use super::{
    Function,
    arguments::{Rows, constant_integer, constant_text, count, integer, text},
    nullable, of, prepared,
};
use crate::{
    bind::Bound,
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["LOWER", "LCASE"],
        doc: "LOWER(text)",
        bind: |name, arguments| in_case(name, arguments, Case::Lower),
    },
    Function {
        names: &["UPPER", "UCASE"],
        doc: "UPPER(text)",
        bind: |name, arguments| in_case(name, arguments, Case::Upper),
    },
    Function {
        names: &["CHAR_LENGTH", "CHARACTER_LENGTH"],
        doc: "CHAR_LENGTH(text)",
        bind: |name, arguments| {
            numbers(name, arguments, 1, |rows, row| Some(length(rows.text(0, row)?)))
        },
    },
    Function {
        names: &["REPLACE"],
        doc: "REPLACE(text, old, new)",
        bind: |name, arguments| {
            texts(name, arguments, 3, |rows, row| {
                let (text, old, new) = (rows.text(0, row)?, rows.text(1, row)?, rows.text(2, row)?);
                Some(text.replace(old, new).into())
            })
        },
    },
    Function { names: &["||", "CONCAT"], doc: "CONCAT(text, …)", bind: concat },
    Function { names: &["CONCAT_WS"], doc: "CONCAT_WS(separator, text, …)", bind: concat_ws },
    Function {
        names: &["SUBSTRING", "SUBSTR"],
        doc: "SUBSTRING(text FROM position [FOR length])",
        bind: substring,
    },
    Function {
        names: &["LEFT"],
        doc: "LEFT(text, length)",
        bind: |name, arguments| {
            text_and_number(name, arguments, |text, length| {
                text.chars().take(usize::try_from(length).unwrap_or(0)).collect()
            })
        },
    },
    Function {
        names: &["RIGHT"],
        doc: "RIGHT(text, length)",
        bind: |name, arguments| {
            text_and_number(name, arguments, |text, length| {
                let skipped =
                    text.chars().count().saturating_sub(usize::try_from(length).unwrap_or(0));
                text.chars().skip(skipped).collect()
            })
        },
    },
    Function {
        names: &["REPEAT"],
        doc: "REPEAT(text, times)",
        bind: |name, arguments| {
            text_and_number(name, arguments, |text, times| {
                text.repeat(usize::try_from(times).unwrap_or(0))
            })
        },
    },
    Function {
        names: &["REVERSE"],
        doc: "REVERSE(text)",
        bind: |name, arguments| {
            texts(name, arguments, 1, |rows, row| {
                Some(rows.text(0, row)?.chars().rev().collect::<String>().into())
            })
        },
    },
    Function {
        names: &["TRIM"],
        doc: "TRIM([BOTH | LEADING | TRAILING] [characters FROM] text)",
        bind: |name, arguments| trim(name, arguments, |text, set| text.trim_matches(set)),
    },
    Function {
        names: &["LTRIM"],
        doc: "LTRIM(text [, characters])",
        bind: |name, arguments| trim(name, arguments, |text, set| text.trim_start_matches(set)),
    },
    Function {
        names: &["RTRIM"],
        doc: "RTRIM(text [, characters])",
        bind: |name, arguments| trim(name, arguments, |text, set| text.trim_end_matches(set)),
    },
    Function {
        names: &["POSITION"],
        doc: "POSITION(part IN text)",
        bind: |name, arguments| {
            numbers(name, arguments, 2, |rows, row| {
                Some(position(rows.text(0, row)?, rows.text(1, row)?))
            })
        },
    },
    Function {
        names: &["SPLIT_INDEX"],
        doc: "SPLIT_INDEX(text, separator, index), the index from 0",
        bind: split_index,
    },
    Function {
        names: &["REGEXP_EXTRACT"],
        doc: "REGEXP_EXTRACT(text, expression [, group])",
        bind: regexp_extract,
    },
    Function {
        names: &["REGEXP_REPLACE"],
        doc: "REGEXP_REPLACE(text, expression, new)",
        bind: regexp_replace,
    },
    Function { names: &["REGEXP"], doc: "REGEXP(text, expression)", bind: regexp },
];

/// A call that makes a text of each row, whose arguments are `arity` texts.
pub(super) fn texts(
    name: &'static str,
    arguments: Vec<Bound>,
    arity: usize,
    make: impl for<'a> Fn(&Rows<'a>, usize) -> Option<Cow<'a, str>> + Send + Sync + 'static,
) -> Result<Bound, String> {
    count(&arguments, arity..=arity)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, make))
}

pub(super) fn makes_text(
    name: &'static str,
    key: String,
    arguments: Vec<Bound>,
    result: Type,
    make: impl for<'a> Fn(&Rows<'a>, usize) -> Option<Cow<'a, str>> + Send + Sync + 'static,
) -> Bound {
    prepared(name, key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let mut made = StringViewBuilder::with_capacity(rows);
        (0..rows).for_each(|row| made.append_option(make(&values, row)));
        Ok(Arc::new(made.finish()) as ArrayRef)
    })
}

#[derive(Clone, Copy)]
enum Case {
    Lower,
    Upper,
}

/// A call that writes a text in letters of one case: those of ASCII where they are, or else any.
fn in_case(name: &'static str, arguments: Vec<Bound>, case: Case) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let mut made = StringViewBuilder::with_capacity(rows);
        let mut letters = String::new();
        for row in 0..rows {
            let text = values.text(0, row);
            if let Some(text) = text {
                letters.clear();
                letters.push_str(text);
                match (case, text.is_ascii()) {
                    (Case::Lower, true) => letters.make_ascii_lowercase(),
                    (Case::Upper, true) => letters.make_ascii_uppercase(),
                    (Case::Lower, false) => letters = text.to_lowercase(),
                    (Case::Upper, false) => letters = text.to_uppercase(),
                }
            }
            made.append_option(text.map(|_| &letters));
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

/// A call that makes an INT of each row, whose arguments are `arity` texts.
pub(super) fn numbers(
    name: &'static str,
    arguments: Vec<Bound>,
    arity: usize,
    make: impl for<'a> Fn(&Rows<'a>, usize) -> Option<i32> + Send + Sync + 'static,
) -> Result<Bound, String> {
    count(&arguments, arity..=arity)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Int, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let made: Int32Array = (0..rows).map(|row| make(&values, row)).collect();
        Ok(Arc::new(made) as ArrayRef)
    }))
}

pub(super) fn text_and_number(
    name: &'static str,
    arguments: Vec<Bound>,
    make: impl Fn(&str, i64) -> String + Send + Sync + 'static,
) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let [first, second] = two(arguments)?;
    let arguments = vec![text(first)?, integer(second)?];
    let result = of(STRING, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, move |rows, row| {
        Some(make(rows.text(0, row)?, rows.integer(1, row)?).into())
    }))
}

pub(super) fn two(arguments: Vec<Bound>) -> Result<[Bound; 2], String> {
    arguments.try_into().map_err(|_| "it takes two arguments".to_owned())
}

fn concat(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let arity = arguments.len();
    count(&arguments, 1..=usize::MAX)?;
    texts(name, arguments, arity, move |rows, row| {
        let mut all = String::new();
        for argument in 0..arity {
            all.push_str(rows.text(argument, row)?);
        }
        Some(all.into())
    })
}

fn concat_ws(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let arity = arguments.len();
    count(&arguments, 1..=usize::MAX)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments[..1]);
    Ok(makes_text(name, String::new(), arguments, result, move |rows, row| {
        let separator = rows.text(0, row)?;
        // What is NULL is left out.
        let parts: Vec<&str> = (1..arity).filter_map(|part| rows.text(part, row)).collect();
        Some(parts.join(separator).into())
    }))
}

fn substring(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=3)?;
    let with_length = arguments.len() == 3;
    let mut given = arguments.into_iter();
    let mut arguments = Vec::new();
    arguments.extend(given.next().map(text).transpose()?);
    for number in given {
        arguments.push(integer(number)?);
    }
    // A length below zero gives NULL.
    let result = Type { kind: STRING, nullable: with_length || nullable(&arguments) };
    Ok(makes_text(name, String::new(), arguments, result, move |rows, row| {
        let (text, from) = (rows.text(0, row)?, rows.integer(1, row)?);
        let length = if with_length { rows.integer(2, row)? } else { i64::MAX };
        sub(text, from, usize::try_from(length).ok()?).map(Cow::Borrowed)
    }))
}

/// At most `length` characters from position `from` on, which counts from 1, or from the end if below 0.
fn sub(text: &str, from: i64, length: usize) -> Option<&str> {
    let skipped = match from {
        0 => 0,
        1.. => usize::try_from(from - 1).ok()?,
        _ => {
            let back = usize::try_from(from.unsigned_abs()).ok()?;
            match text.chars().count().checked_sub(back) {
                Some(skipped) => skipped,
                None => return Some(""),
            }
        }
    };
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    let Some(start) = places.nth(skipped) else { return Some("") };
    let end = match length {
        0 => start,
        _ => places.nth(length - 1).unwrap_or(text.len()),
    };
    text.get(start..end)
}

pub(super) fn trim(
    name: &'static str,
    arguments: Vec<Bound>,
    trimmed: impl for<'a> Fn(&'a str, &dyn Fn(char) -> bool) -> &'a str + Send + Sync + 'static,
) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    let with_set = arguments.len() == 2;
    let arity = arguments.len();
    texts(name, arguments, arity, move |rows, row| {
        let text = rows.text(0, row)?;
        let set = if with_set { rows.text(1, row)? } else { " " };
        Some(trimmed(text, &|c| set.contains(c)).into())
    })
}

pub(super) fn length(text: &str) -> i32 {
    i32::try_from(text.chars().count()).unwrap_or(i32::MAX)
}

/// Where `part` begins in `text`, from 1; 0 if it is not there.
fn position(part: &str, text: &str) -> i32 {
    text.find(part).map_or(0, |at| length(&text[..at]) + 1)
}

fn split_index(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 3..=3)?;
    let [first, second, third] =
        <[Bound; 3]>::try_from(arguments).map_err(|_| "it takes three arguments".to_owned())?;
    let arguments = vec![text(first)?, text(second)?, integer(third)?];
    Ok(makes_text(name, String::new(), arguments, Type::nullable(STRING), |rows, row| {
        let (text, separator) = (rows.text(0, row)?, rows.text(1, row)?);
        let index = usize::try_from(rows.integer(2, row)?).ok()?;
        if text.is_empty() || separator.is_empty() {
            return (index == 0 && !text.is_empty()).then_some(text.into());
        }
        let part = match separator.as_bytes() {
            [one] => part_at(text, memchr::memchr_iter(*one, text.as_bytes()), 1, index),
            _ => text.split(separator).nth(index),
        };
        part.map(Cow::Borrowed)
    }))
}

/// The part of a text with this number, where separators of so many bytes are.
fn part_at(
    text: &str,
    mut separators: impl Iterator<Item = usize>,
    width: usize,
    index: usize,
) -> Option<&str> {
    let begin = match index.checked_sub(1) {
        Some(before) => separators.nth(before)? + width,
        None => 0,
    };
    text.get(begin..separators.next().unwrap_or(text.len()))
}

/// The expression of a call, which must be constant.
pub(super) fn expression(argument: &Bound) -> Result<Regex, String> {
    let pattern = constant_text(argument).ok_or("the expression must be a constant text")?;
    Regex::new(&java(pattern)).map_err(|error| {
        let said = error.to_string();
        let reason = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("the regular expression '{pattern}' is not supported ({reason})")
    })
}

/// An expression of Java's as one of ours: there its classes are of ASCII.
pub(super) fn java(pattern: &str) -> String {
    let mut made = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let escaped = if character == '\\' { characters.next() } else { None };
        made.push_str(match escaped {
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => r"[ \t\n\x0B\f\r]",
            Some('S') => r"[^ \t\n\x0B\f\r]",
            Some('b') => r"(?-u:\b)",
            escaped => {
                made.push(character);
                made.extend(escaped);
                continue;
            }
        });
    }
    made
}

fn regexp_extract(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=3)?;
    let regex = expression(&arguments[1])?;
    let group = match arguments.get(2) {
        None => 0,
        Some(group) => constant_integer(group)
            .and_then(|group| usize::try_from(group).ok())
            .ok_or("the group must be a constant number")?,
    };
    if group >= regex.captures_len() {
        let groups = regex.captures_len() - 1;
        return Err(format!("the expression has {groups} groups, and no group {group}"));
    }
    let key = format!("'{regex}', {group}");
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(prepared(name, key, arguments, Type::nullable(STRING), move |arrays, rows| {
        let values = Rows::new(arrays);
        let mut made = StringViewBuilder::with_capacity(rows);
        let mut places = regex.capture_locations();
        let mut find = |text| match group {
            0 => Some(regex.find(text)?.as_str()),
            _ => {
                regex.captures_read(&mut places, text)?;
                places.get(group).and_then(|(begin, end)| text.get(begin..end))
            }
        };
        (0..rows).for_each(|row| made.append_option(values.text(0, row).and_then(&mut find)));
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

fn regexp_replace(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 3..=3)?;
    let regex = expression(&arguments[1])?;
    let key = format!("'{regex}'");
    let given = arguments.into_iter().enumerate().filter(|(i, _)| *i != 1);
    let arguments = given.map(|(_, bound)| text(bound)).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, key, arguments, result, move |rows, row| {
        Some(regex.replace_all(rows.text(0, row)?, NoExpand(rows.text(1, row)?)))
    }))
}

fn regexp(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let regex = expression(&arguments[1])?;
    let key = format!("'{regex}'");
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Boolean, &arguments);
    Ok(prepared(name, key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        // Flink finds nothing with an expression that is empty.
        let matches =
            |row| Some(!regex.as_str().is_empty() && regex.is_match(values.text(0, row)?));
        let made: BooleanArray = (0..rows).map(matches).collect();
        Ok(Arc::new(made) as ArrayRef)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_of_expressions_are_of_ascii() {
        let found = |pattern: &str, text: &str| {
            let found = Regex::new(&java(pattern)).unwrap().find(text).map(|found| found.range());
            found.map(|range| text[range].to_owned())
        };
        assert_eq!(found(r"\w+", "ä1x"), Some("1x".into()));
        assert_eq!(found(r"[\w-]+", "ä1-x"), Some("1-x".into()));
        assert_eq!(found(r"[^\W1]+", "ä1x"), Some("x".into()));
        assert_eq!(found(r"\bx", "äx"), Some("x".into()));
        assert_eq!(found(r"\d\.\\\s", r"1.\ "), Some(r"1.\ ".into()));
    }

    #[test]
    fn parts_between_separators_are_counted_from_zero() {
        for text in ["a/b/c", "/a//", "a", "/", "ä/ö/ü/"] {
            for index in 0..6 {
                let found = part_at(text, memchr::memchr_iter(b'/', text.as_bytes()), 1, index);
                assert_eq!(found, text.split('/').nth(index), "{index} of {text}");
            }
        }
    }

    #[test]
    fn parts_of_text_are_flinks() {
        for (from, length, expected) in [
            (1, 2, "gr"),
            (0, 2, "gr"),
            (3, 99, "üße"),
            (-2, 1, "ß"),
            (-9, 3, ""),
            (6, 1, ""),
            (2, 0, ""),
        ] {
            assert_eq!(sub("grüße", from, length), Some(expected), "{from} {length}");
        }
        assert_eq!(position("ß", "grüße"), 4);
        assert_eq!(position("x", "grüße"), 0);
    }
}
