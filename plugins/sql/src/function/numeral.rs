//! Numbers and bytes as digits of another base.

use std::{fmt::Write, sync::Arc};

use arrow::array::{ArrayRef, BinaryViewBuilder};

use super::{
    Function,
    arguments::{Rows, count, integer, text},
    of, prepared,
    text::makes_text,
};
use crate::{
    bind::Bound,
    types::{BYTES, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["BIN"], doc: "BIN(whole number)", bind: bin },
    Function { names: &["HEX"], doc: "HEX(whole number), HEX(text)", bind: hex },
    Function { names: &["UNHEX"], doc: "UNHEX(text)", bind: unhex },
];

/// Numbers are of 64 bits, whatever their type.
fn bin(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(integer).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, |rows, row| {
        Some(format!("{:b}", rows.integer(0, row)?).into())
    }))
}

fn hex(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    if !arguments[0].data_type.kind.is_integer() {
        let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
        let result = of(STRING, &arguments);
        return Ok(makes_text(name, String::new(), arguments, result, |rows, row| {
            Some(upper(rows.text(0, row)?.as_bytes()).into())
        }));
    }
    let arguments = arguments.into_iter().map(integer).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, |rows, row| {
        Some(format!("{:X}", rows.integer(0, row)?).into())
    }))
}

fn upper(bytes: &[u8]) -> String {
    digits(bytes, |byte, out| {
        // Writing to a String never fails.
        let _ = write!(out, "{byte:02X}");
    })
}

/// Bytes as two small digits each.
pub(super) fn lower(bytes: &[u8]) -> String {
    digits(bytes, |byte, out| {
        let _ = write!(out, "{byte:02x}");
    })
}

fn digits(bytes: &[u8], push: impl Fn(u8, &mut String)) -> String {
    let mut made = String::with_capacity(bytes.len() * 2);
    bytes.iter().for_each(|byte| push(*byte, &mut made));
    made
}

/// What has other characters than digits is NULL.
fn unhex(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(prepared(name, String::new(), arguments, Type::nullable(BYTES), |arrays, rows| {
        let values = Rows::new(arrays);
        let mut made = BinaryViewBuilder::with_capacity(rows);
        for row in 0..rows {
            made.append_option(values.text(0, row).and_then(bytes));
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

/// Where the number of digits is odd, the first of them makes a byte of 0, as in Flink.
fn bytes(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|digit| digit.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let digits = digits?;
    let (first, pairs) = digits.split_at(digits.len() % 2);
    let pairs = pairs.chunks_exact(2).map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | d));
    Some(first.iter().map(|_| 0).chain(pairs).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_bytes_and_back() {
        assert_eq!(bytes("6aFF"), Some(vec![0x6a, 0xff]));
        assert_eq!(bytes("616"), Some(vec![0, 0x16]));
        assert_eq!(bytes("6g"), None);
        assert_eq!((upper(&[0x0a, 0xff]), lower(&[0x0a])), ("0AFF".into(), "0a".into()));
    }
}
