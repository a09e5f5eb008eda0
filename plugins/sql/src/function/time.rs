//! Functions of time.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringViewBuilder},
    datatypes::{Date32Type, Time32MillisecondType, TimestampMicrosecondType},
};

use millstream_data::calendar::{date_of_days, day_of_year};

use super::{
    Function,
    arguments::{Rows, constant_text, count},
    clock::{now, usual},
    extract::week,
    of, prepared,
    text::makes_text,
    zoned::local,
};
use crate::{
    bind::{Bound, widen},
    time::{DAY, Pattern},
    types::{Kind, STRING, Type},
};

macro_rules! parts {
    ($($names:expr, $doc:literal, $part:expr;)*) => {
        &[
            $(Function { names: $names, doc: $doc, bind: |name, arguments| part(name, arguments, $part) },)*
            Function {
                names: &["DATE_FORMAT"],
                doc: "DATE_FORMAT(time or text, pattern)",
                bind: date_format,
            },
            Function { names: &[PROCTIME], doc: "PROCTIME()", bind: now },
        ]
    };
}

pub(super) const FUNCTIONS: &[Function] = parts! {
    &["YEAR"], "YEAR(time)", |micros| civil(micros).0.into();
    &["QUARTER"], "QUARTER(time)", |micros| ((civil(micros).1 + 2) / 3).into();
    &["MONTH"], "MONTH(time)", |micros| civil(micros).1.into();
    &["DAYOFMONTH", "DAY"], "DAYOFMONTH(time)", |micros| civil(micros).2.into();
    &["DAYOFYEAR", "DOY"], "DAYOFYEAR(time)", |micros| {
        day_of_year(days(micros)).into()
    };
    // Sunday is 1, and 1970-01-01 was a Thursday.
    &["DAYOFWEEK", "DOW"], "DAYOFWEEK(time), Sunday is 1", |micros| {
        ((days(micros) + 4).rem_euclid(7) + 1).into()
    };
    &["WEEK"], "WEEK(time), that of ISO 8601", week;
    &["HOUR"], "HOUR(time)", |micros| micros.rem_euclid(DAY) / 3_600_000_000;
    &["MINUTE"], "MINUTE(time)", |micros| micros.rem_euclid(DAY) / 60_000_000 % 60;
    &["SECOND"], "SECOND(time)", |micros| micros.rem_euclid(DAY) / 1_000_000 % 60;
};

/// The name of the function that stands for processing time: when a row is seen. Windows look at the clock
/// themselves.
pub(crate) const PROCTIME: &str = "PROCTIME";

pub(super) fn days(micros: i64) -> i32 {
    micros.div_euclid(DAY) as i32
}

pub(super) fn civil(micros: i64) -> (i32, i32, i32) {
    date_of_days(days(micros))
}

/// A part of a time, as BIGINT.
pub(super) fn part(
    name: &'static str,
    arguments: Vec<Bound>,
    part: fn(i64) -> i64,
) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments: Vec<Bound> = arguments.into_iter().map(local).collect();
    let kind = arguments[0].data_type.kind.clone();
    if !matches!(kind, Kind::Timestamp(_) | Kind::TimestampLtz(_) | Kind::Date | Kind::Time(_)) {
        return Err(format!("{kind} was found where a time was expected"));
    }
    let result = of(Kind::BigInt, &arguments);
    Ok(prepared(name, String::new(), arguments, result, move |arrays, _| {
        let array = &arrays[0];
        let made: Int64Array = match kind {
            Kind::Date => {
                array.as_primitive::<Date32Type>().unary(|days| part(i64::from(days) * DAY))
            }
            Kind::Time(_) => array
                .as_primitive::<Time32MillisecondType>()
                .unary(|millis| part(i64::from(millis) * 1000)),
            _ => array.as_primitive::<TimestampMicrosecondType>().unary(part),
        };
        Ok(Arc::new(made) as ArrayRef)
    }))
}

fn date_format(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let pattern = constant_text(&arguments[1]).ok_or("the pattern must be a constant text")?;
    let is_text = arguments[0].data_type.kind.is_text();
    let parse = if is_text { Pattern::parse_simple } else { Pattern::parse };
    let (key, pattern) = (format!("'{pattern}'"), parse(pattern)?);
    let mut arguments: Vec<Bound> = arguments.into_iter().take(1).map(local).collect();
    let kind = arguments[0].data_type.kind.clone();
    arguments = match kind {
        Kind::Timestamp(_) | Kind::TimestampLtz(_) => arguments,
        Kind::Date => arguments.into_iter().map(|a| widen(a, Kind::Timestamp(0))).collect(),
        // A text that is no time is NULL.
        kind if kind.is_text() => {
            let usual = usual()?;
            let result = Type::nullable(STRING);
            return Ok(makes_text(name, key, arguments, result, move |rows: &Rows<'_>, row| {
                let mut made = String::new();
                pattern.format(usual.read_leniently(rows.text(0, row)?)?, &mut made);
                Some(made.into())
            }));
        }
        _ => return Err(format!("{kind} was found where a time was expected")),
    };
    let result = of(STRING, &arguments);
    Ok(prepared(name, key, arguments, result, move |arrays, rows| {
        let times = arrays[0].as_primitive::<TimestampMicrosecondType>();
        let mut made = StringViewBuilder::with_capacity(rows);
        // Times that follow each other often look alike.
        let (unit, mut said) = (pattern.unit(), None);
        let mut text = String::new();
        for row in 0..rows {
            if times.is_null(row) {
                made.append_null();
                continue;
            }
            let time = times.value(row);
            if said.replace(time.div_euclid(unit)) != Some(time.div_euclid(unit)) {
                text.clear();
                pattern.format(time, &mut text);
            }
            made.append_value(&text);
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}
