//! Addresses of the internet as numbers.

use std::{net::Ipv4Addr, sync::Arc};

use arrow::array::{ArrayRef, Int64Array};

use super::{
    Function,
    arguments::{Rows, count, integer, text},
    prepared,
    text::makes_text,
};
use crate::{
    bind::Bound,
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["INET_ATON"], doc: "INET_ATON(text), as in '192.168.0.1'", bind: aton },
    Function { names: &["INET_NTOA"], doc: "INET_NTOA(number)", bind: ntoa },
];

/// What is no address is NULL.
fn aton(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = Type::nullable(Kind::BigInt);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, rows| {
        let texts = Rows::new(arrays);
        let numbers = (0..rows).map(|row| number(texts.text(0, row)?));
        Ok(Arc::new(numbers.collect::<Int64Array>()) as ArrayRef)
    }))
}

/// Four numbers; of fewer the last one is the last of four.
fn number(address: &str) -> Option<i64> {
    let parts = address.split('.').map(|part| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<i64>().ok().filter(|part| is_number && *part < 256)
    });
    let parts = parts.collect::<Option<Vec<_>>>()?;
    let (last, first) = parts.split_last().filter(|(_, first)| first.len() < 4)?;
    let first = first.iter().zip([24, 16, 8]).map(|(part, bits)| part << bits);
    Some(first.sum::<i64>() + last)
}

fn ntoa(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(integer).collect::<Result<Vec<_>, _>>()?;
    let result = Type::nullable(STRING);
    Ok(makes_text(name, String::new(), arguments, result, |rows, row| {
        let number = u32::try_from(rows.integer(0, row)?).ok()?;
        Some(Ipv4Addr::from(number).to_string().into())
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_may_be_short() {
        for (text, expected) in [
            ("192.168.0.1", Some(3_232_235_521)),
            ("1.2.3", Some(16_908_291)),
            ("127.1", Some(2_130_706_433)),
            ("0001", Some(1)),
            ("1.256", None),
            ("1.2.3.4.5", None),
            ("1..2", None),
            ("+1", None),
            ("", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }
}
