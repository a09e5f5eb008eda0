//! What is done with times by units of the calendar.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Date32Array, Int32Array, TimestampMicrosecondArray},
    datatypes::{
        Date32Type, DurationMicrosecondType, IntervalYearMonthType, TimestampMicrosecondType,
    },
};
use millstream_data::calendar::{date_of_days, days_of_date};

use super::{
    Function,
    arguments::{Rows, constant_text, count, integer, text},
    of, prepared,
    zoned::offset,
};
use crate::{
    bind::{Bound, widen},
    time::{DAY, Pattern, Zone, parse_date, parse_timestamp},
    types::{Kind, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["TO_DATE"], doc: "TO_DATE(text [, pattern])", bind: to_date },
    Function {
        names: &["TO_TIMESTAMP"],
        doc: "TO_TIMESTAMP(text [, pattern])",
        bind: to_timestamp,
    },
];

/// Functions with the name of a unit in front of their arguments, and how they are called.
pub(crate) const WITH_UNITS: &[(&str, &str)] = &[
    ("TIMESTAMPADD", "TIMESTAMPADD(unit, number, time)"),
    ("TIMESTAMPDIFF", "TIMESTAMPDIFF(unit, from, to)"),
];

/// A unit of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// So many months.
    Months(i32),
    /// So many microseconds.
    Micros(i64),
}

impl Unit {
    /// That of a name in capitals.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        Ok(match name {
            "YEAR" => Self::Months(12),
            "QUARTER" => Self::Months(3),
            "MONTH" => Self::Months(1),
            "DAY" => Self::Micros(DAY),
            "HOUR" => Self::Micros(3_600_000_000),
            "MINUTE" => Self::Micros(60_000_000),
            "SECOND" => Self::Micros(1_000_000),
            _ => {
                return Err(format!(
                    "`{name}` is no unit of time here: use YEAR, QUARTER, MONTH, DAY, HOUR, MINUTE or SECOND"
                ));
            }
        })
    }

    /// The begin of the one that a time is in.
    fn floor(self, micros: i64) -> i64 {
        match self {
            Self::Micros(unit) => micros.div_euclid(unit) * unit,
            Self::Months(unit) => begin_of_month(months(micros).div_euclid(unit) * unit),
        }
    }

    /// The begin of the first one that is not before a time.
    fn ceil(self, micros: i64) -> i64 {
        let floor = self.floor(micros);
        if floor == micros { floor } else { self.add(floor, 1) }
    }

    /// A time so many units later. Where a month is too short for the day, it is its last one.
    fn add(self, micros: i64, units: i64) -> i64 {
        match self {
            Self::Micros(unit) => micros.wrapping_add(units.wrapping_mul(unit)),
            Self::Months(unit) => add_months(micros, units.wrapping_mul(unit.into())),
        }
    }

    /// How many whole ones are between two times.
    fn between(self, from: i64, to: i64) -> i64 {
        match self {
            Self::Micros(unit) => to.wrapping_sub(from) / unit,
            Self::Months(unit) => {
                let (day, clock) = (to.div_euclid(DAY) * DAY, to.rem_euclid(DAY));
                let first = from.div_euclid(DAY) * DAY;
                let whole = match day < first {
                    true => -months_between(day, first),
                    false => months_between(first, day),
                };
                // As in Flink, which looks at the clock on the last day only, and in one direction.
                let is_short = add_months(first, whole) == day && clock < from.rem_euclid(DAY);
                (whole - i64::from(is_short)) / i64::from(unit)
            }
        }
    }
}

/// The months since 1970-01 of a time.
fn months(micros: i64) -> i32 {
    let (year, month, _) = date_of_days(micros.div_euclid(DAY) as i32);
    (year - 1970) * 12 + month - 1
}

/// How many whole months are between two days, the first of which is not later.
fn months_between(from: i64, to: i64) -> i64 {
    let months = i64::from(months(to)) - i64::from(months(from));
    months - i64::from(add_months(from, months) > to)
}

fn begin_of_month(months: i32) -> i64 {
    let (year, month) = (1970 + months.div_euclid(12), months.rem_euclid(12) + 1);
    days_of_date(year, month, 1).map_or(0, |days| i64::from(days) * DAY)
}

fn add_months(micros: i64, added: i64) -> i64 {
    let (days, clock) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (_, _, day) = date_of_days(days as i32);
    let all = i64::from(months(micros)).saturating_add(added);
    let all = i32::try_from(all).unwrap_or(if added < 0 { i32::MIN / 16 } else { i32::MAX / 16 });
    let (first, next) = (begin_of_month(all), begin_of_month(all.saturating_add(1)));
    let last = (next - first) / DAY;
    first + (i64::from(day).min(last) - 1) * DAY + clock
}

/// `FLOOR(time TO unit)`, or `CEIL`.
///
/// # Errors
/// If it is no time.
pub(crate) fn rounded(time: Bound, unit: &str, up: bool) -> Result<Bound, String> {
    let zone = Zone::of_session().filter(|_| matches!(time.data_type.kind, Kind::TimestampLtz(_)));
    let key = match zone {
        Some(zone) => format!("{unit} of {zone}"),
        None => unit.to_owned(),
    };
    let unit = Unit::of(unit)?;
    let round = move |micros: i64| {
        // Clocks are taken to have been in front of UTC as far as they are now, as in Flink.
        let ahead = offset(zone, micros);
        let local = micros.saturating_add(ahead);
        (if up { unit.ceil(local) } else { unit.floor(local) }).saturating_sub(ahead)
    };
    let (name, result) = (if up { "CEIL" } else { "FLOOR" }, time.data_type.clone());
    let kind = result.kind.clone();
    if !kind.is_timestamp() && kind != Kind::Date {
        return Err(format!("{kind} was found where a time was expected"));
    }
    Ok(prepared(name, key, vec![time], result, move |arrays, _| Ok(each(&arrays[0], round))))
}

/// An array of times or dates with each one changed.
fn each(array: &ArrayRef, change: impl Fn(i64) -> i64) -> ArrayRef {
    match array.as_primitive_opt::<Date32Type>() {
        Some(dates) => {
            let day = |days: i32| change(i64::from(days) * DAY).div_euclid(DAY) as i32;
            Arc::new(dates.unary::<_, Date32Type>(day))
        }
        None => {
            let times = array.as_primitive::<TimestampMicrosecondType>();
            let made = times.unary::<_, TimestampMicrosecondType>(change);
            Arc::new(made.with_data_type(times.data_type().clone()))
        }
    }
}

/// A date and an interval, which is taken off if it is `negative`.
pub(crate) fn date_and_interval(date: Bound, interval: Bound, negative: bool) -> Bound {
    let sign = if negative { -1 } else { 1 };
    let nullable = date.data_type.nullable || interval.data_type.nullable;
    let result = Type { kind: Kind::Date, nullable };
    let in_months = interval.data_type.kind == Kind::YearMonth;
    let name = if negative { "-" } else { "+" };
    prepared(name, "DATE".into(), vec![date, interval], result, move |arrays, rows| {
        let dates = arrays[0].as_primitive::<Date32Type>();
        let made: Date32Array = (0..rows)
            .map(|row| {
                if dates.is_null(row) || arrays[1].is_null(row) {
                    return None;
                }
                let micros = i64::from(dates.value(row)) * DAY;
                let moved = if in_months {
                    let months = arrays[1].as_primitive::<IntervalYearMonthType>().value(row);
                    add_months(micros, sign * i64::from(months))
                } else {
                    let by = arrays[1].as_primitive::<DurationMicrosecondType>().value(row);
                    micros.wrapping_add(sign * by)
                };
                Some(moved.div_euclid(DAY) as i32)
            })
            .collect();
        Ok(Arc::new(made) as ArrayRef)
    })
}

/// A call of one of [`WITH_UNITS`].
///
/// # Errors
/// If the arguments are others.
pub(crate) fn with_unit(name: &str, unit: &str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let key = unit.to_owned();
    let unit = Unit::of(unit)?;
    let [first, second] = <[Bound; 2]>::try_from(arguments)
        .map_err(|_| "it takes a unit and two arguments".to_owned())?;
    if name == "TIMESTAMPDIFF" {
        let arguments = vec![time(first)?, time(second)?];
        let result = of(Kind::Int, &arguments);
        return Ok(prepared("TIMESTAMPDIFF", key, arguments, result, move |arrays, rows| {
            let [from, to] = [0, 1].map(|at| arrays[at].as_primitive::<TimestampMicrosecondType>());
            let between = |row| {
                let both = from.is_valid(row) && to.is_valid(row);
                both.then(|| unit.between(from.value(row), to.value(row)) as i32)
            };
            Ok(Arc::new((0..rows).map(between).collect::<Int32Array>()) as ArrayRef)
        }));
    }
    let is_date = second.data_type.kind == Kind::Date;
    let by_days = matches!(unit, Unit::Months(_) | Unit::Micros(DAY));
    let second = if is_date && by_days { second } else { time(second)? };
    let kind = second.data_type.kind.clone();
    let arguments = vec![integer(first)?, second];
    let result = of(kind, &arguments);
    Ok(prepared("TIMESTAMPADD", key, arguments, result, move |arrays, rows| {
        let numbers = Rows::new(arrays);
        let units: Vec<Option<i64>> = (0..rows).map(|row| numbers.integer(0, row)).collect();
        if let Some(dates) = arrays[1].as_primitive_opt::<Date32Type>() {
            let moved = |row: usize| {
                let (units, day) = (units[row]?, dates.is_valid(row).then(|| dates.value(row))?);
                Some(unit.add(i64::from(day) * DAY, units).div_euclid(DAY) as i32)
            };
            return Ok(Arc::new((0..rows).map(moved).collect::<Date32Array>()) as ArrayRef);
        }
        let times = arrays[1].as_primitive::<TimestampMicrosecondType>();
        let moved = |row: usize| {
            let (units, time) = (units[row]?, times.is_valid(row).then(|| times.value(row))?);
            Some(unit.add(time, units))
        };
        let made: TimestampMicrosecondArray = (0..rows).map(moved).collect();
        Ok(Arc::new(made.with_data_type(times.data_type().clone())) as ArrayRef)
    }))
}

/// The argument as a time of a day.
fn time(argument: Bound) -> Result<Bound, String> {
    match &argument.data_type.kind {
        kind if kind.is_timestamp() => Ok(argument),
        Kind::Date | Kind::Null => Ok(widen(argument, Kind::Timestamp(3))),
        kind => Err(format!("{kind} was found where a time was expected")),
    }
}

/// What tells a call apart, its texts, and what reads them.
pub(super) type Texts<F> = (String, Vec<Bound>, F);

/// The texts of a call, and what its pattern says they are.
fn texts(
    arguments: Vec<Bound>,
    plain: fn(&str) -> Option<i64>,
) -> Result<Texts<impl Fn(&str) -> Option<i64>>, String> {
    count(&arguments, 1..=2)?;
    let (mut key, mut pattern) = (String::new(), None);
    if let Some(given) = arguments.get(1) {
        let given = constant_text(given).ok_or("the pattern must be a constant text")?;
        (key, pattern) = (format!("'{given}'"), Some(Pattern::parse(given)?.reading()?));
    }
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let read = move |text: &str| match &pattern {
        Some(pattern) => pattern.read(text),
        None => plain(text),
    };
    Ok((key, arguments, read))
}

/// [`texts`] that are times of a day.
pub(super) fn times_of_texts(
    arguments: Vec<Bound>,
) -> Result<Texts<impl Fn(&str) -> Option<i64>>, String> {
    texts(arguments, parse_timestamp)
}

/// What is no date becomes NULL.
fn to_date(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let plain = |text: &str| parse_date(text).map(|days| i64::from(days) * DAY);
    let (key, arguments, read) = texts(arguments, plain)?;
    Ok(prepared(name, key, arguments, Type::nullable(Kind::Date), move |arrays, rows| {
        let values = Rows::new(arrays);
        let day = |row| Some(read(values.text(0, row)?)?.div_euclid(DAY) as i32);
        Ok(Arc::new((0..rows).map(day).collect::<Date32Array>()) as ArrayRef)
    }))
}

/// What is no time becomes NULL.
fn to_timestamp(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let (key, arguments, read) = texts(arguments, parse_timestamp)?;
    let result = Type::nullable(Kind::Timestamp(3));
    Ok(prepared(name, key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let time = |row| Some(read(values.text(0, row)?)?.div_euclid(1000) * 1000);
        Ok(Arc::new((0..rows).map(time).collect::<TimestampMicrosecondArray>()) as ArrayRef)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn units_of_the_calendar() {
        let (month, year) = (Unit::Months(1), Unit::Months(12));
        assert_eq!(month.add(at("2024-01-31 10:00"), 1), at("2024-02-29 10:00"));
        assert_eq!(year.add(at("2024-02-29"), -1), at("2023-02-28"));
        assert_eq!(month.floor(at("2024-02-29 13:14")), at("2024-02-01"));
        assert_eq!(Unit::Months(3).ceil(at("2024-02-01")), at("2024-04-01"));
        assert_eq!(year.floor(at("1969-07-01")), at("1969-01-01"));
        assert_eq!(month.between(at("2024-01-31"), at("2024-03-01")), 1);
        assert_eq!(month.between(at("2024-03-01"), at("2024-01-31")), -1);
        assert_eq!(month.between(at("2024-01-01 12:00"), at("2024-03-01 11:00")), 1);
        assert_eq!(month.between(at("2024-03-01 12:00"), at("2024-01-01 00:00")), -3);
        assert_eq!(Unit::Micros(DAY).between(at("2024-01-02"), at("2024-01-01 12:00")), 0);
    }
}
