//! What is found in texts by patterns, and what characters they are made of.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, StringViewBuilder};
use regex::Regex;

use super::{
    Function,
    arguments::{Rows, constant_integer, constant_text, count, text},
    nested::nested,
    of, prepared,
    text::{expression, java, length, makes_text},
};
use crate::{
    bind::Bound,
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["REGEXP_COUNT"],
        doc: "REGEXP_COUNT(text, expression)",
        bind: |name, arguments| {
            numbers(name, arguments, |regex, text| {
                i32::try_from(regex.find_iter(text).count()).unwrap_or(i32::MAX)
            })
        },
    },
    Function {
        names: &["REGEXP_INSTR"],
        doc: "REGEXP_INSTR(text, expression)",
        bind: |name, arguments| {
            numbers(name, arguments, |regex, text| {
                let found = regex.find(text).and_then(|found| text.get(..found.start()));
                found.map_or(0, |before| length(before) + 1)
            })
        },
    },
    Function {
        names: &["REGEXP_EXTRACT_ALL"],
        doc: "REGEXP_EXTRACT_ALL(text, expression [, group]), an array",
        bind: extract_all,
    },
    Function { names: &["REGEXP_SUBSTR"], doc: "REGEXP_SUBSTR(text, expression)", bind: substr },
    Function {
        names: &["IS_DIGIT"],
        doc: "IS_DIGIT(text)",
        bind: |name, arguments| made_of(name, arguments, r"\A\p{Nd}+\z", Kind::is_integer),
    },
    Function {
        names: &["IS_ALPHA"],
        doc: "IS_ALPHA(text)",
        bind: |name, arguments| made_of(name, arguments, r"\A\p{L}+\z", |_| false),
    },
    Function {
        names: &["IS_DECIMAL"],
        doc: "IS_DECIMAL(text)",
        bind: |name, arguments| made_of(name, arguments, NUMBER, Kind::is_numeric),
    },
];

/// What Java reads as a DOUBLE.
const NUMBER: &str = r"(?x)\A[\x00-\x20]*[+-]?(NaN|Infinity|(
    ([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?
    |0[xX]([0-9a-fA-F]+\.?|[0-9a-fA-F]*\.[0-9a-fA-F]+)[pP][+-]?[0-9]+
    )[fFdD]?)[\x00-\x20]*\z";

/// A call that makes an INT of a text and an expression.
fn numbers(
    name: &'static str,
    arguments: Vec<Bound>,
    make: fn(&Regex, &str) -> i32,
) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let regex = expression(&arguments[1])?;
    let key = format!("'{regex}'");
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Int, &arguments).with_nullable(true);
    Ok(prepared(name, key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let made = |row| Some(make(&regex, values.text(0, row)?));
        Ok(Arc::new((0..rows).map(made).collect::<Int32Array>()) as ArrayRef)
    }))
}

fn substr(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let regex = expression(&arguments[1])?;
    let key = format!("'{regex}'");
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(makes_text(name, key, arguments, Type::nullable(STRING), move |rows, row| {
        Some(regex.find(rows.text(0, row)?)?.as_str().into())
    }))
}

/// What each match has in a group, the first one if none is said; NULL if there is no such group.
fn extract_all(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=3)?;
    let regex = expression(&arguments[1])?;
    let group = match arguments.get(2) {
        Some(group) => constant_integer(group).ok_or("the group must be a constant number")?,
        None => 1,
    };
    let group = usize::try_from(group).ok().filter(|group| *group < regex.captures_len());
    let (key, kind) =
        (format!("'{regex}', {group:?}"), Kind::Array(Box::new(Type::nullable(STRING))));
    let list = nested(&kind)?;
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(prepared(name, key, arguments, Type::nullable(kind), move |arrays, rows| {
        let values = Rows::new(arrays);
        let mut found = StringViewBuilder::new();
        let mut all = 0;
        let lists = (0..rows).map(|row| {
            let (text, group, begin) = (values.text(0, row)?, group?, all);
            for captures in regex.captures_iter(text) {
                found.append_option(captures.get(group).map(|found| found.as_str()));
                all += 1;
            }
            Some(begin..all)
        });
        let lists: Vec<_> = lists.collect();
        list.of_lists(&[Arc::new(found.finish()) as ArrayRef], lists)
    }))
}

/// Whether a text is of such characters. Of other types it is known, even if they are NULL, as in Flink.
fn made_of(
    name: &'static str,
    arguments: Vec<Bound>,
    pattern: &str,
    is_known: fn(&Kind) -> bool,
) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let kind = arguments[0].data_type.kind.clone();
    let result = Type::required(Kind::Boolean);
    if !kind.is_text() && kind != Kind::Null {
        let known = is_known(&kind);
        return Ok(prepared(name, String::new(), arguments, result, move |_, rows| {
            Ok(Arc::new(BooleanArray::from(vec![known; rows])) as ArrayRef)
        }));
    }
    let regex = Regex::new(pattern).map_err(|error| error.to_string())?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let matches = |row| Some(values.text(0, row).is_some_and(|text| regex.is_match(text)));
        Ok(Arc::new((0..rows).map(matches).collect::<BooleanArray>()) as ArrayRef)
    }))
}

/// `text SIMILAR TO pattern`, of which `escape` takes the meaning of the character behind it.
///
/// # Errors
/// If the pattern is not constant, or is none.
pub(crate) fn similar(arguments: Vec<Bound>, escape: Option<char>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let pattern = constant_text(&arguments[1]).ok_or("the pattern must be a constant text")?;
    let regex = Regex::new(&java(&of_similar(pattern, escape)?))
        .map_err(|_| format!("'{pattern}' is no pattern"))?;
    let key = format!("'{regex}'");
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Boolean, &arguments);
    Ok(prepared("SIMILAR TO", key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let matches = |row| Some(regex.is_match(values.text(0, row)?));
        Ok(Arc::new((0..rows).map(matches).collect::<BooleanArray>()) as ArrayRef)
    }))
}

/// The regular expression of a pattern. As in Flink, a point is one of expressions.
fn of_similar(pattern: &str, escape: Option<char>) -> Result<String, String> {
    const CLASSES: [(&str, &str); 7] = [
        ("[:ALPHA:]", "A-Za-z"),
        ("[:UPPER:]", "A-Z"),
        ("[:LOWER:]", "a-z"),
        ("[:DIGIT:]", "0-9"),
        ("[:SPACE:]", " "),
        ("[:WHITESPACE:]", r"\s"),
        ("[:ALNUM:]", "0-9A-Za-z"),
    ];
    let mut made = String::from(r"\A(?:");
    let mut rest = pattern;
    let mut in_brackets = false;
    while let Some(character) = rest.chars().next() {
        let class = CLASSES.iter().find(|(name, _)| {
            let found = rest.get(..name.len());
            in_brackets && found.is_some_and(|found| found.eq_ignore_ascii_case(name))
        });
        if let Some((name, class)) = class {
            made.push_str(class);
            rest = rest.get(name.len()..).unwrap_or_default();
            continue;
        }
        rest = rest.get(character.len_utf8()..).unwrap_or_default();
        if Some(character) == escape {
            let Some(literal) = rest.chars().next() else {
                return Err(format!("the pattern '{pattern}' ends with its escape"));
            };
            rest = rest.get(literal.len_utf8()..).unwrap_or_default();
            made.push_str(&regex::escape(literal.encode_utf8(&mut [0; 4])));
            continue;
        }
        match character {
            '_' if !in_brackets => made.push('.'),
            '%' if !in_brackets => made.push_str("(?s:.*)"),
            '\\' => made.push_str(r"\\"),
            '$' => made.push_str(r"\$"),
            _ => made.push(character),
        }
        in_brackets = match character {
            '[' => true,
            ']' => false,
            _ => in_brackets,
        };
    }
    made.push_str(r")\z");
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_similar_to_are_of_the_whole_text() {
        let matches = |pattern: &str, text: &str| {
            Regex::new(&of_similar(pattern, Some('!')).unwrap()).unwrap().is_match(text)
        };
        for (pattern, text, expected) in [
            ("a|b", "b", true),
            ("a|b", "ab", false),
            ("a_%", "ab\nc", true),
            ("a!_%", "ab", false),
            ("a!_%", "a_b", true),
            ("[_%]", "x", false),
            ("[[:DIGIT:]x]+", "1x2", true),
            ("[[:digit:]]+", "a", false),
            (r"a\$", r"a\$", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{text} SIMILAR TO {pattern}");
        }
        assert!(of_similar("a!", Some('!')).is_err());
    }

    #[test]
    fn numbers_are_those_that_java_reads() {
        let number = Regex::new(NUMBER).unwrap();
        for text in ["1", "-1.5", "+.5", "1.", "1e5", " 1 ", "NaN", "-Infinity", "1f", "0x1p3"] {
            assert!(number.is_match(text), "{text}");
        }
        for text in ["", ".", "inf", "1e", "1 2", "0x1", "e5"] {
            assert!(!number.is_match(text), "{text}");
        }
    }
}
