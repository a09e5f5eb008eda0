//! PRINTF: texts by a format of Java.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewBuilder},
    datatypes::{Float64Type, Int64Type},
};

use datafusion_common::ScalarValue;
use datafusion_expr::Expr;

use super::{
    Function,
    arguments::{constant_text, integer},
    cast::cast,
    prepared,
};
use crate::{
    bind::{Bound, widen},
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[Function {
    names: &["PRINTF"],
    doc: "PRINTF(format, value, …), of s, d, x, o, f, b and n",
    bind: printf,
}];

/// A part of a format.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value(Value),
}

/// How a value is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Value {
    flags: String,
    width: usize,
    precision: Option<usize>,
    conversion: char,
    /// Whether it is a BOOLEAN.
    is_boolean: bool,
    /// The number of the value, from 0 on.
    argument: usize,
}

/// The widest that a value may be said to be, and the most digits.
const MOST: usize = 1000;

/// The parts of a format; `None` if Java has none like it.
fn parse(format: &str) -> Result<Option<Vec<Part>>, String> {
    let (mut parts, mut rest, mut next) = (Vec::new(), format, 0);
    while let Some((before, behind)) = rest.split_once('%') {
        parts.push(Part::Text(before.to_owned()));
        let mut value = Value::default();
        rest = behind;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if let Some((number, behind)) = rest.split_at_checked(digits)
            && let (Ok(number @ 1..), Some(behind)) =
                (number.parse::<usize>(), behind.strip_prefix('$'))
        {
            (value.argument, rest) = (number, behind);
        }
        let flags = rest.bytes().take_while(|byte| b"-+ 0,(".contains(byte)).count();
        let (flags, behind) = rest.split_at(flags);
        value.flags = flags.to_owned();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let (width, behind) = behind.split_at(digits(behind));
        value.width = width.parse().unwrap_or(0);
        rest = behind;
        if let Some(behind) = rest.strip_prefix('.') {
            let (precision, behind) = behind.split_at(digits(behind));
            let Ok(precision) = precision.parse() else { return Ok(None) };
            (value.precision, rest) = (Some(precision), behind);
        }
        if value.width > MOST || value.precision > Some(MOST) {
            return Err(format!("'{format}' says more than {MOST} characters of a value"));
        }
        let mut letters = rest.chars();
        value.conversion = match letters.next() {
            Some('%') => {
                parts.push(Part::Text("%".into()));
                rest = letters.as_str();
                continue;
            }
            Some('n') => {
                parts.push(Part::Text("\n".into()));
                rest = letters.as_str();
                continue;
            }
            Some(letter @ ('s' | 'S' | 'd' | 'x' | 'X' | 'o' | 'f' | 'b' | 'B')) => letter,
            Some(
                letter @ ('e' | 'E' | 'g' | 'G' | 'a' | 'A' | 'c' | 'C' | 'h' | 'H' | 't' | 'T'),
            ) => {
                return Err(format!("`%{letter}` in '{format}' is not supported"));
            }
            _ => return Ok(None),
        };
        rest = letters.as_str();
        if value.argument == 0 {
            next += 1;
            value.argument = next;
        }
        value.argument -= 1;
        parts.push(Part::Value(value));
    }
    parts.push(Part::Text(rest.to_owned()));
    Ok(Some(parts))
}

fn printf(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let given = arguments.first().ok_or("it takes a format")?;
    let nothing = || Bound {
        expr: Expr::Literal(ScalarValue::Utf8View(None), None),
        data_type: Type::nullable(STRING),
    };
    if given.data_type.kind == Kind::Null {
        return Ok(nothing());
    }
    let format = constant_text(given).ok_or("the format must be a constant text")?.to_owned();
    let Some(parts) = parse(&format)? else { return Ok(nothing()) };
    let (mut values, mut shown) = (Vec::new(), Vec::new());
    for part in parts {
        let how = match part {
            Part::Text(text) => {
                shown.push((text, None));
                continue;
            }
            Part::Value(how) => how,
        };
        // What Java refuses is NULL.
        let Some(value) = arguments.get(how.argument + 1).cloned() else { return Ok(nothing()) };
        let kind = value.data_type.kind.clone();
        let is_known = kind.is_numeric() || kind.is_text() || kind == Kind::Boolean;
        let bits = match kind {
            Kind::TinyInt => 8,
            Kind::SmallInt => 16,
            Kind::Int => 32,
            _ => 64,
        };
        values.push(match how.conversion {
            _ if kind == Kind::Null => widen(value, STRING),
            _ if !is_known => {
                return Err(format!(
                    "{kind} was found where a text, a number or a BOOLEAN was expected"
                ));
            }
            'd' | 'x' | 'X' | 'o' if kind.is_integer() => integer(value)?,
            'f' if matches!(kind, Kind::Float | Kind::Double) => widen(value, Kind::Double),
            'd' | 'x' | 'X' | 'o' | 'f' => return Ok(nothing()),
            'b' | 'B' if kind != Kind::Boolean => {
                // What is there and no BOOLEAN is true.
                shown.push((String::new(), Some((Value { conversion: 't', ..how }, bits))));
                values.push(cast(value, &STRING, false));
                continue;
            }
            _ => cast(value, &STRING, false),
        });
        let how = Value { is_boolean: kind == Kind::Boolean, ..how };
        shown.push((String::new(), Some((how, bits))));
    }
    let (result, is_only) = (Type::nullable(STRING), arguments.len() == 2);
    Ok(prepared(name, format!("'{format}'"), values, result, move |arrays, rows| {
        let mut made = StringViewBuilder::with_capacity(rows);
        let mut text = String::new();
        for row in 0..rows {
            // As in Flink, NULL is a value unless it is the only one.
            if is_only && arrays.iter().all(|array| array.is_null(row)) {
                made.append_null();
                continue;
            }
            text.clear();
            let mut arrays = arrays.iter();
            for (plain, value) in &shown {
                text.push_str(plain);
                if let Some((how, bits)) = value
                    && let Some(array) = arrays.next()
                {
                    show(how, *bits, array, row, &mut text);
                }
            }
            made.append_value(&text);
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

fn show(how: &Value, bits: u32, array: &ArrayRef, row: usize, out: &mut String) {
    if array.is_null(row) {
        let shown = if matches!(how.conversion, 'b' | 'B' | 't') { "false" } else { "null" };
        return how.texts(shown, out);
    }
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        let number = numbers.value(row);
        let cut = number as u64 & (u64::MAX >> (64 - bits));
        match how.conversion {
            'd' => how.number(number < 0, number.unsigned_abs().to_string(), out),
            'o' => how.padded(&format!("{cut:o}"), out),
            'X' => how.padded(&format!("{cut:X}"), out),
            _ => how.padded(&format!("{cut:x}"), out),
        }
    } else if let Some(numbers) = array.as_primitive_opt::<Float64Type>() {
        let number = numbers.value(row);
        if !number.is_finite() {
            let shown = if number.is_nan() { "NaN" } else { "Infinity" };
            let sign = if number < 0.0 { "-" } else { "" };
            return Value { flags: how.flags.replace('0', ""), ..how.clone() }
                .padded(&format!("{sign}{shown}"), out);
        }
        let digits = rounded(&number.abs().to_string(), how.precision.unwrap_or(6));
        how.number(number.is_sign_negative(), digits, out);
    } else {
        let text = array.as_string_view().value(row);
        match how.conversion {
            't' => how.texts("true", out),
            // As Java has it, not SQL.
            _ if how.is_boolean => how.texts(&text.to_lowercase(), out),
            _ => how.texts(text, out),
        }
    }
}

/// The digits of a number that is not below 0, with so many behind the point, halves away from it, as Java rounds what
/// it prints.
fn rounded(shown: &str, precision: usize) -> String {
    let (whole, fraction) = shown.split_once('.').unwrap_or((shown, ""));
    let up = fraction.as_bytes().get(precision).is_some_and(|digit| *digit >= b'5');
    let kept = fraction.bytes().chain(std::iter::repeat(b'0')).take(precision);
    let mut digits: Vec<u8> = whole.bytes().chain(kept).collect();
    let mut carry = up;
    for digit in digits.iter_mut().rev() {
        match (carry, *digit) {
            (false, _) => break,
            (true, b'9') => *digit = b'0',
            (true, _) => {
                *digit += 1;
                carry = false;
            }
        }
    }
    if carry {
        digits.insert(0, b'1');
    }
    let point = digits.len() - precision;
    let mut made: String = digits.into_iter().map(char::from).collect();
    if precision > 0 {
        made.insert(point, '.');
    }
    made
}

impl Value {
    fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// A number of these digits, with its sign.
    fn number(&self, negative: bool, digits: String, out: &mut String) {
        let digits = if self.has(',') { grouped(&digits) } else { digits };
        let (before, behind) = match negative {
            true if self.has('(') => ("(", ")"),
            true => ("-", ""),
            false if self.has('+') => ("+", ""),
            false if self.has(' ') => (" ", ""),
            false => ("", ""),
        };
        let length = before.len() + digits.len() + behind.len();
        let zeros = if self.has('0') { self.width.saturating_sub(length) } else { 0 };
        let zeros = "0".repeat(zeros);
        let plain = Self { flags: self.flags.replace('0', ""), ..self.clone() };
        plain.padded(&format!("{before}{zeros}{digits}{behind}"), out);
    }

    /// A text, cut and in capitals if that was said.
    fn texts(&self, text: &str, out: &mut String) {
        let cut: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        let plain = Self { flags: self.flags.replace('0', ""), ..self.clone() };
        match self.conversion {
            'S' | 'B' | 'X' => plain.padded(&cut.to_uppercase(), out),
            _ => plain.padded(&cut, out),
        }
    }

    fn padded(&self, text: &str, out: &mut String) {
        let missing = self.width.saturating_sub(text.chars().count());
        let filling = if self.has('0') { "0" } else { " " }.repeat(missing);
        match self.has('-') {
            true => out.extend([text, &filling]),
            false => out.extend([&*filling, text]),
        }
    }
}

/// Digits with commas between each three in front of the point.
fn grouped(digits: &str) -> String {
    let whole = digits.find('.').unwrap_or(digits.len());
    let mut made = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && at < whole && (whole - at).is_multiple_of(3) {
            made.push(',');
        }
        made.push(digit);
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_as_they_are_shown() {
        for (shown, precision, expected) in [
            ("0.25", 1, "0.3"),
            ("2.5", 0, "3"),
            ("1.005", 2, "1.01"),
            ("999.996", 2, "1000.00"),
            ("7", 3, "7.000"),
        ] {
            assert_eq!(rounded(shown, precision), expected);
        }
        assert_eq!(grouped("1234567.8901"), "1,234,567.8901");
        assert_eq!(grouped("123"), "123");
    }

    #[test]
    fn formats_are_javas() {
        assert_eq!(parse("a%").unwrap(), None);
        assert_eq!(parse("%z").unwrap(), None);
        assert!(parse("%e").is_err() && parse("%2000d").is_err());
        let Some(parts) = parse("%2$-5s%%%05.1f").unwrap() else { panic!() };
        let values: Vec<_> = parts.iter().filter(|part| matches!(part, Part::Value(_))).collect();
        let [Part::Value(first), Part::Value(second)] = values[..] else { panic!("{parts:?}") };
        assert_eq!((first.argument, &*first.flags, first.width), (1, "-", 5));
        assert_eq!((second.argument, &*second.flags, second.precision), (0, "0", Some(1)));
    }
}
