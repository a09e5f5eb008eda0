//! `EXTRACT` of what no function is named after.

use millstream_data::calendar::day_of_year;

use super::{
    call,
    time::{civil, days, part},
};
use crate::{bind::Bound, time::DAY};

/// What `EXTRACT` takes beside the names of functions.
pub(crate) const EXTRACTED: &[&str] = &[
    "CENTURY",
    "DECADE",
    "EPOCH",
    "ISODOW",
    "ISOYEAR",
    "MICROSECOND",
    "MILLENNIUM",
    "MILLISECOND",
    "NANOSECOND",
];

/// `EXTRACT(unit FROM time)`, the unit in capitals.
///
/// # Errors
/// If there is no such unit, or it is no time.
pub(crate) fn extract(unit: &str, time: Bound) -> Result<Bound, String> {
    let (name, of): (_, fn(i64) -> i64) = match unit {
        "CENTURY" => ("CENTURY", |micros| (i64::from(civil(micros).0) + 99).div_euclid(100)),
        "DECADE" => ("DECADE", |micros| i64::from(civil(micros).0).div_euclid(10)),
        // What is before 1970 is cut toward it, as in Flink.
        "EPOCH" => ("EPOCH", |micros| micros / 1_000_000),
        "ISODOW" => ("ISODOW", |micros| i64::from(weekday(days(micros))) + 1),
        "ISOYEAR" => ("ISOYEAR", |micros| civil(thursday(micros)).0.into()),
        "MICROSECOND" => ("MICROSECOND", |micros| micros % 1_000_000 / 1000 * 1000),
        "MILLENNIUM" => {
            ("MILLENNIUM", |micros| (i64::from(civil(micros).0) + 999).div_euclid(1000))
        }
        "MILLISECOND" => ("MILLISECOND", |micros| micros % 1_000_000 / 1000),
        "NANOSECOND" => ("NANOSECOND", |micros| micros % 1_000_000 / 1000 * 1_000_000),
        other => {
            return call(other, vec![time]).map_err(|wrong| {
                let others = EXTRACTED.join(", ");
                format!("EXTRACT: {wrong}; beside names of functions it takes {others}")
            });
        }
    };
    part(name, vec![time], of).map_err(|wrong| format!("EXTRACT: {wrong}"))
}

/// The week of its year, which has four days at least, and begins with Monday.
pub(super) fn week(micros: i64) -> i64 {
    i64::from((day_of_year(days(thursday(micros))) - 1) / 7 + 1)
}

/// The Thursday of the same week, which is in the week's year.
fn thursday(micros: i64) -> i64 {
    i64::from(days(micros) - weekday(days(micros)) + 3) * DAY
}

/// From 0, Monday; 1970-01-01 was a Thursday.
fn weekday(days: i32) -> i32 {
    (days + 3).rem_euclid(7)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_timestamp;

    #[test]
    fn weeks_belong_to_the_year_of_their_thursday() {
        for (date, year, number) in [
            ("2024-12-30", 2025, 1),
            ("2021-01-03", 2020, 53),
            ("2000-01-01", 1999, 52),
            ("1969-12-28", 1969, 52),
        ] {
            let at = parse_timestamp(date).unwrap();
            assert_eq!((civil(thursday(at)).0, week(at)), (year, number), "{date}");
        }
    }
}
