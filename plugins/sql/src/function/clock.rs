//! The time now, and times as seconds since 1970.

use std::{sync::Arc, time::SystemTime};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Date32Array, Int64Array, Time32MillisecondArray,
        TimestampMicrosecondArray,
    },
    datatypes::{Float64Type, Int64Type},
};
use datafusion_common::DataFusionError;

use super::{
    Function,
    arguments::{Rows, constant_integer, constant_text, count, double, integer, text},
    calendar, of, prepared,
    text::makes_text,
    volatile,
    zoned::offset,
};
use crate::{
    bind::Bound,
    time::{DAY, Pattern, Zone},
    types::{Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["CURRENT_TIMESTAMP"], doc: "CURRENT_TIMESTAMP", bind: now },
    Function { names: &["NOW"], doc: "NOW()", bind: now },
    Function { names: &["CURRENT_ROW_TIMESTAMP"], doc: "CURRENT_ROW_TIMESTAMP()", bind: now },
    Function {
        names: &["LOCALTIMESTAMP"],
        doc: "LOCALTIMESTAMP",
        bind: |name, arguments| {
            clock(name, &arguments, Kind::Timestamp(3), |Now { local, .. }, rows| {
                Arc::new(TimestampMicrosecondArray::from_value(local, rows))
            })
        },
    },
    Function {
        names: &["CURRENT_DATE"],
        doc: "CURRENT_DATE",
        bind: |name, arguments| {
            clock(name, &arguments, Kind::Date, |Now { local, .. }, rows| {
                Arc::new(Date32Array::from_value(local.div_euclid(DAY) as i32, rows))
            })
        },
    },
    Function { names: &["CURRENT_TIME"], doc: "CURRENT_TIME", bind: time_of_day },
    Function { names: &["LOCALTIME"], doc: "LOCALTIME", bind: time_of_day },
    Function {
        names: &["CONVERT_TZ"],
        doc: "CONVERT_TZ(text, zone from, zone to)",
        bind: convert_tz,
    },
    Function {
        names: &["UNIX_TIMESTAMP"],
        doc: "UNIX_TIMESTAMP([text [, pattern]]), in seconds",
        bind: unix_timestamp,
    },
    Function {
        names: &["FROM_UNIXTIME"],
        doc: "FROM_UNIXTIME(seconds [, pattern])",
        bind: from_unixtime,
    },
    Function {
        names: &["TO_TIMESTAMP_LTZ"],
        doc: "TO_TIMESTAMP_LTZ(number [, 0 | 3]), TO_TIMESTAMP_LTZ(text [, pattern])",
        bind: to_timestamp_ltz,
    },
];

/// The pattern of a text with a date and a time of day.
const USUAL: &str = "yyyy-MM-dd HH:mm:ss";

/// Microseconds since 1970, in whole milliseconds.
fn micros_now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX / 1000) * 1000
}

/// What the clock says: the time, and what clocks of the session show; in microseconds since 1970.
#[derive(Clone, Copy)]
struct Now {
    micros: i64,
    local: i64,
}

/// What the clock says, the same for all rows of a page.
fn clock(
    name: &'static str,
    arguments: &[Bound],
    kind: Kind,
    make: fn(Now, usize) -> ArrayRef,
) -> Result<Bound, String> {
    count(arguments, 0..=0)?;
    let (result, zone) = (Type::required(kind), Zone::of_session());
    Ok(volatile(name, String::new(), Vec::new(), result, move |_, rows| {
        let micros = micros_now();
        Ok(make(Now { micros, local: micros + offset(zone, micros) }, rows))
    }))
}

pub(super) fn now(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    clock(name, &arguments, Kind::TimestampLtz(3), |Now { micros, .. }, rows| {
        Arc::new(TimestampMicrosecondArray::from_value(micros, rows).with_timezone("UTC"))
    })
}

fn time_of_day(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    clock(name, &arguments, Kind::Time(0), |Now { local, .. }, rows| {
        let millis = (local.rem_euclid(DAY) / 1000) as i32;
        Arc::new(Time32MillisecondArray::from_value(millis, rows))
    })
}

/// The pattern of a call, which must be constant, or the usual one.
fn pattern(argument: Option<&Bound>) -> Result<(String, Pattern), String> {
    let given = match argument {
        None => USUAL,
        Some(given) => constant_text(given).ok_or("the pattern must be a constant text")?,
    };
    Ok((format!("'{given}'"), Pattern::parse_simple(given)?))
}

/// Reads texts in the usual pattern.
pub(super) fn usual() -> Result<Pattern, String> {
    Ok(pattern(None)?.1)
}

/// A text that is no time is the lowest number, as in Flink.
fn unix_timestamp(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 0..=2)?;
    if arguments.is_empty() {
        return clock(name, &arguments, Kind::BigInt, |Now { micros, .. }, rows| {
            Arc::new(Int64Array::from_value(micros.div_euclid(1_000_000), rows))
        });
    }
    let (key, pattern) = pattern(arguments.get(1))?;
    let pattern = pattern.reading()?;
    let zone = Zone::of_session();
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(Kind::BigInt, &arguments);
    Ok(prepared(name, key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let seconds = |row| {
            let micros = pattern.read_leniently(values.text(0, row)?);
            let instant = |local| zone.map_or(local, |zone| zone.instant(local));
            Some(micros.map_or(i64::MIN, |local| instant(local) / 1_000_000))
        };
        Ok(Arc::new((0..rows).map(seconds).collect::<Int64Array>()) as ArrayRef)
    }))
}

fn from_unixtime(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    let (key, pattern) = pattern(arguments.get(1))?;
    let zone = Zone::of_session();
    let arguments = arguments.into_iter().take(1).map(integer).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(makes_text(name, key, arguments, result, move |rows, row| {
        let mut made = String::new();
        let micros = rows.integer(0, row)?.saturating_mul(1_000_000);
        pattern.format(micros.saturating_add(offset(zone, micros)), &mut made);
        Some(made.into())
    }))
}

fn to_timestamp_ltz(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    let result = Type::nullable(Kind::TimestampLtz(3));
    let kind = &arguments[0].data_type.kind;
    if !kind.is_numeric() {
        // A text that is no time fails the job, as in Flink.
        let (key, arguments, read) = calendar::times_of_texts(arguments)?;
        return Ok(prepared(name, key, arguments, result, move |arrays, rows| {
            let values = Rows::new(arrays);
            let time = |row| {
                let Some(text) = values.text(0, row) else { return Ok(None) };
                let time = read(text).map(|micros| micros.div_euclid(1000) * 1000);
                let shown: String = text.chars().take(40).collect();
                let message = format!("TO_TIMESTAMP_LTZ: the text '{shown}' is no time");
                time.map(Some).ok_or(DataFusionError::Execution(message))
            };
            let made: TimestampMicrosecondArray = (0..rows).map(time).collect::<Result<_, _>>()?;
            Ok(Arc::new(made.with_timezone("UTC")) as ArrayRef)
        }));
    }
    let unit = match arguments.get(1).map(constant_integer) {
        Some(Some(0)) => 1_000_000,
        None | Some(Some(3)) => 1000,
        _ => return Err("the precision must be the constant 0, seconds, or 3, milliseconds".into()),
    };
    let is_whole = kind.is_integer();
    let of_one = |argument| if is_whole { integer(argument) } else { double(argument) };
    let arguments = arguments.into_iter().take(1).map(of_one).collect::<Result<Vec<_>, _>>()?;
    Ok(prepared(name, unit.to_string(), arguments, result, move |arrays, rows| {
        let time = |row: usize| {
            let number = match is_whole {
                true => arrays[0].as_primitive::<Int64Type>().value(row),
                false => arrays[0].as_primitive::<Float64Type>().value(row) as i64,
            };
            arrays[0].is_valid(row).then_some(number)?.checked_mul(unit)
        };
        let made: TimestampMicrosecondArray = (0..rows).map(time).collect();
        Ok(Arc::new(made.with_timezone("UTC")) as ArrayRef)
    }))
}

/// A time as clocks of one zone show it, as those of another one do; what is no time is NULL.
fn convert_tz(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 3..=3)?;
    let pattern = usual()?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = Type::nullable(STRING);
    Ok(makes_text(name, String::new(), arguments, result, move |rows, row| {
        let local = pattern.read_leniently(rows.text(0, row)?)?;
        let [from, to] = [rows.text(1, row)?, rows.text(2, row)?].map(Zone::of_java);
        let instant = from.map_or(local, |zone| zone.instant(local));
        let mut made = String::new();
        pattern.format(instant.saturating_add(offset(to, instant)), &mut made);
        Some(made.into())
    }))
}
