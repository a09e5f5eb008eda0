//! Functions that fill, change and search texts by their characters.

use std::{borrow::Cow, sync::Arc};

use arrow::array::{ArrayRef, BooleanArray, Int32Array};

use super::{
    Function,
    arguments::{Rows, constant_integer, count, integer, text},
    of, prepared,
    text::{length, makes_text, numbers, texts, trim},
};
use crate::{
    bind::Bound,
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["LPAD"],
        doc: "LPAD(text, length, filling)",
        bind: |name, arguments| padded(name, arguments, |text, filling| filling + text),
    },
    Function {
        names: &["RPAD"],
        doc: "RPAD(text, length, filling)",
        bind: |name, arguments| padded(name, arguments, |text, filling| text.to_owned() + &filling),
    },
    Function {
        names: &["INITCAP"],
        doc: "INITCAP(text)",
        bind: |name, arguments| {
            texts(name, arguments, 1, |rows, row| Some(initcap(rows.text(0, row)?).into()))
        },
    },
    Function {
        names: &["ASCII"],
        doc: "ASCII(text)",
        bind: |name, arguments| {
            numbers(name, arguments, 1, |rows, row| {
                // The first byte, which is below 0 where the character is not of ASCII.
                let first = rows.text(0, row)?.bytes().next().unwrap_or(0);
                Some(i32::from(first as i8))
            })
        },
    },
    Function { names: &["CHR"], doc: "CHR(whole number)", bind: chr },
    Function {
        names: &["LOCATE"],
        doc: "LOCATE(part, text [, position])",
        bind: |name, arguments| {
            count(&arguments, 2..=3)?;
            found(name, arguments, 2, |rows, row, from| {
                let from = if from { rows.integer(2, row)? } else { 1 };
                Some(position(rows.text(0, row)?, rows.text(1, row)?, from))
            })
        },
    },
    Function {
        names: &["INSTR"],
        doc: "INSTR(text, part [, position [, occurrence]]), from the end if below 0",
        bind: instr,
    },
    Function {
        names: &["OVERLAY"],
        doc: "OVERLAY(text PLACING new FROM position [FOR length])",
        bind: overlay,
    },
    Function {
        names: &["BTRIM"],
        doc: "BTRIM(text [, characters])",
        bind: |name, arguments| trim(name, arguments, |text, set| text.trim_matches(set)),
    },
    Function {
        names: &["STARTSWITH"],
        doc: "STARTSWITH(text, part)",
        bind: |name, arguments| compared(name, arguments, |text, part| text.starts_with(part)),
    },
    Function {
        names: &["ENDSWITH"],
        doc: "ENDSWITH(text, part)",
        bind: |name, arguments| compared(name, arguments, |text, part| text.ends_with(part)),
    },
    Function {
        names: &["TRANSLATE"],
        doc: "TRANSLATE(text, characters, others)",
        bind: |name, arguments| {
            texts(name, arguments, 3, |rows, row| {
                let (text, from, to) = (rows.text(0, row)?, rows.text(1, row)?, rows.text(2, row)?);
                Some(translate(text, from, to).into())
            })
        },
    },
    Function { names: &["ELT"], doc: "ELT(index, text, …), the index from 1", bind: elt },
];

/// The arguments of which the first are texts, the others whole numbers.
fn texts_and_numbers(arguments: Vec<Bound>, texts: usize) -> Result<Vec<Bound>, String> {
    let one = |(at, argument)| if at < texts { text(argument) } else { integer(argument) };
    arguments.into_iter().enumerate().map(one).collect()
}

/// A text of exactly so many characters; NULL if they are fewer than none, or nothing is there to fill with.
fn padded(
    name: &'static str,
    arguments: Vec<Bound>,
    fill: fn(&str, String) -> String,
) -> Result<Bound, String> {
    let [base, wanted, filling] =
        <[Bound; 3]>::try_from(arguments).map_err(|_| "it takes three arguments".to_owned())?;
    let arguments = vec![text(base)?, integer(wanted)?, text(filling)?];
    Ok(makes_text(name, String::new(), arguments, Type::nullable(STRING), move |rows, row| {
        let (text, filling) = (rows.text(0, row)?, rows.text(2, row)?);
        let wanted = usize::try_from(rows.integer(1, row)?).ok()?;
        if filling.is_empty() {
            return None;
        }
        let cut: String = text.chars().take(wanted).collect();
        let missing = wanted - cut.chars().count();
        Some(fill(&cut, filling.chars().cycle().take(missing).collect()).into())
    }))
}

/// Letters and digits of ASCII make words; all others are between them, and stay.
fn initcap(text: &str) -> String {
    let mut in_word = false;
    let change = |character: char| {
        let was_in_word = std::mem::replace(&mut in_word, character.is_ascii_alphanumeric());
        match was_in_word {
            true => character.to_ascii_lowercase(),
            false => character.to_ascii_uppercase(),
        }
    };
    text.chars().map(change).collect()
}

/// The character of the number's lowest byte, and none of one below 0.
fn chr(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(integer).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, |rows, row| {
        let number = rows.integer(0, row)?;
        let character = (number >= 0).then_some(char::from(number as u8));
        Some(character.map(String::from).unwrap_or_default().into())
    }))
}

/// A call that finds a place: of `texts` texts, and numbers behind them; `find` is told whether there are any.
fn found(
    name: &'static str,
    arguments: Vec<Bound>,
    texts: usize,
    find: impl for<'a> Fn(&Rows<'a>, usize, bool) -> Option<i32> + Send + Sync + 'static,
) -> Result<Bound, String> {
    let with_numbers = arguments.len() > texts;
    let arguments = texts_and_numbers(arguments, texts)?;
    let result = of(Kind::Int, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let made: Int32Array = (0..rows).map(|row| find(&values, row, with_numbers)).collect();
        Ok(Arc::new(made) as ArrayRef)
    }))
}

/// Where `part` begins in `text` at or behind a place, from 1; 0 if it is not there. Nothing is at the first place.
fn position(part: &str, text: &str, from: i64) -> i32 {
    if part.is_empty() {
        return 1;
    }
    let skipped = usize::try_from(from.saturating_sub(1)).unwrap_or(0);
    let start = text.char_indices().nth(skipped).map_or(text.len(), |(at, _)| at);
    let found = text.get(start..).and_then(|rest| rest.find(part));
    found.map_or(0, |at| text.get(..start + at).map_or(0, length) + 1)
}

fn instr(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=4)?;
    let numbers = arguments.len() - 2;
    if arguments.get(3).and_then(constant_integer).is_some_and(|occurrence| occurrence <= 0) {
        return Err("the occurrence must be above 0".into());
    }
    found(name, arguments, 2, move |rows, row, _| {
        let (text, part) = (rows.text(0, row)?, rows.text(1, row)?);
        let from = if numbers > 0 { rows.integer(2, row)? } else { 1 };
        let occurrence = if numbers > 1 { rows.integer(3, row)? } else { 1 };
        Some(match from {
            0 => 0,
            1.. => occurrence_of(part, text, from, occurrence),
            _ => {
                // The same from the other end.
                let turned = |text: &str| text.chars().rev().collect::<String>();
                let from = from.saturating_neg();
                match occurrence_of(&turned(part), &turned(text), from, occurrence) {
                    0 => 0,
                    at => length(text) + 2 - at - length(part),
                }
            }
        })
    })
}

/// The place of a part that is found so many times; 0 if it is not.
fn occurrence_of(part: &str, text: &str, mut from: i64, occurrence: i64) -> i32 {
    let mut found = 0;
    for _ in 0..occurrence {
        found = position(part, text, from);
        // Nothing is found at the first place again and again.
        if found == 0 || part.is_empty() {
            break;
        }
        from = i64::from(found) + 1;
    }
    found
}

fn overlay(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 3..=4)?;
    let with_length = arguments.len() == 4;
    let arguments = texts_and_numbers(arguments, 2)?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, move |rows, row| {
        let (text, new, from) = (rows.text(0, row)?, rows.text(1, row)?, rows.integer(2, row)?);
        let replaced = match with_length {
            true => rows.integer(3, row)?,
            false => length(new).into(),
        };
        Some(overlaid(text, new, from, replaced))
    }))
}

/// The text with `length` characters from a place on replaced; as it is if the place is not in it.
fn overlaid<'a>(text: &'a str, new: &str, from: i64, length: i64) -> Cow<'a, str> {
    let characters = text.chars().count();
    let Some(kept) = from.checked_sub(1).and_then(|kept| usize::try_from(kept).ok()) else {
        return text.into();
    };
    if kept >= characters {
        return text.into();
    }
    let mut made: String = text.chars().take(kept).collect();
    made.push_str(new);
    // As in Flink, nothing is left behind a length below 1.
    if let Ok(length @ 1..) = usize::try_from(length) {
        made.extend(text.chars().skip(kept.saturating_add(length)));
    }
    made.into()
}

fn compared(
    name: &'static str,
    arguments: Vec<Bound>,
    compare: fn(&str, &str) -> bool,
) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::Boolean, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let compare = |row| Some(compare(values.text(0, row)?, values.text(1, row)?));
        Ok(Arc::new((0..rows).map(compare).collect::<BooleanArray>()) as ArrayRef)
    }))
}

/// Each character as the one at its place in `to`; those without one are left out.
fn translate(text: &str, from: &str, to: &str) -> String {
    let change = |character: char| match from.chars().position(|other| other == character) {
        Some(at) => to.chars().nth(at),
        None => Some(character),
    };
    text.chars().filter_map(change).collect()
}

fn elt(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=usize::MAX)?;
    if constant_integer(&arguments[0]).is_some_and(|index| index < 0) {
        return Err("the index must not be below 0".into());
    }
    let mut given = arguments.into_iter();
    let mut arguments = Vec::new();
    arguments.extend(given.next().map(integer).transpose()?);
    for value in given {
        arguments.push(text(value)?);
    }
    Ok(makes_text(name, String::new(), arguments, Type::nullable(STRING), |rows, row| {
        match usize::try_from(rows.integer(0, row)?) {
            Ok(index @ 1..) => rows.text(index, row).map(Cow::Borrowed),
            _ => None,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_1() {
        for (part, text, from, expected) in
            [("ß", "grüße", 1, 4), ("e", "grüßee", 6, 6), ("g", "grüße", -3, 1), ("", "x", 9, 1)]
        {
            assert_eq!(position(part, text, from), expected, "{part} in {text} from {from}");
        }
        assert_eq!(position("g", "grüße", 2), 0);
        assert_eq!(occurrence_of("ü", "üaüb", 1, 2), 3);
        assert_eq!(occurrence_of("ü", "üaüb", 1, 3), 0);
    }

    #[test]
    fn a_part_is_replaced_where_there_is_one() {
        assert_eq!(overlaid("grüße", "--", 2, 2), "g--ße");
        assert_eq!(overlaid("grüße", "-", 6, 1), "grüße");
        assert_eq!(overlaid("grüße", "-", 2, 0), "g-");
        assert_eq!(overlaid("grüße", "-", i64::MIN, 0), "grüße");
        assert_eq!(overlaid("grüße", "-", 1, i64::MAX), "-");
    }
}
