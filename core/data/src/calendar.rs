//! Days since 1970-01-01 as dates of the Gregorian calendar, and back.
//!
//! Years begin in March here and come in eras of 400, so that the leap day is the last of its year (after
//! Howard Hinnant, "chrono-compatible low-level date algorithms").

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;
const DAYS_OF_ERA: i64 = 146_097;

/// Year, month (from 1) and day (from 1) of so many days since 1970-01-01.
pub fn date_of_days(days: i32) -> (i32, i32, i32) {
    let days = i64::from(days) + EPOCH;
    let (era, of_era) = (days.div_euclid(DAYS_OF_ERA), days.rem_euclid(DAYS_OF_ERA));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = (month + 2) % 12 + 1;
    ((era * 400 + year + i64::from(month <= 2)) as i32, month as i32, day as i32)
}

/// The days since 1970-01-01 of a year, a month from 1 to 12, and a day from 1; `None` if no such day is in
/// the calendar, or if it is too far away for an `i32`.
pub fn days_of_date(year: i32, month: i32, day: i32) -> Option<i32> {
    let last = match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    match (1..=last).contains(&day) {
        true => i32::try_from(days_from_march(year, month, day)).ok(),
        false => None,
    }
}

/// Which day of its year, from 1, is so many days since 1970-01-01.
pub fn day_of_year(days: i32) -> i32 {
    let (year, ..) = date_of_days(days);
    (i64::from(days) - days_from_march(year, 1, 1) + 1) as i32
}

/// Days since 1970-01-01 of what is a date, or a few days behind the end of its month.
fn days_from_march(year: i32, month: i32, day: i32) -> i64 {
    let from_march = i64::from(year) - i64::from(month <= 2);
    let (era, of_era) = (from_march.div_euclid(400), from_march.rem_euclid(400));
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * DAYS_OF_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_have_dates() {
        assert_eq!(date_of_days(0), (1970, 1, 1));
        assert_eq!(date_of_days(-1), (1969, 12, 31));
        assert_eq!(days_of_date(2000, 2, 29), Some(11_016));
        assert_eq!(days_of_date(2024, 2, 29), Some(19_782));
        for none in [(1900, 2, 29), (2023, 2, 29), (2013, 13, 1), (2013, 4, 31), (2013, 4, 0)] {
            assert_eq!(days_of_date(none.0, none.1, none.2), None, "{none:?}");
        }
        assert_eq!(days_of_date(i32::MAX, 1, 1), None);
        assert_eq!((day_of_year(0), day_of_year(-1), day_of_year(11_016)), (1, 365, 60));
    }

    proptest! {
        #[test]
        fn days_go_round(days: i32) {
            let (year, month, day) = date_of_days(days);
            prop_assert_eq!(days_of_date(year, month, day), Some(days));
        }

        #[test]
        fn days_follow_each_other(days in i32::MIN..i32::MAX) {
            let (this, next) = (date_of_days(days), date_of_days(days + 1));
            prop_assert!(this < next);
            prop_assert!(next == (this.0, this.1, this.2 + 1) || next.2 == 1);
        }
    }
}
