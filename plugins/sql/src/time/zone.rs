//! The time zone of a session: what clocks show at the instants of TIMESTAMP_LTZ.

use std::{cell::Cell, fmt, sync::Arc};

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;
use millstream_dataflow::operator::rows::{LocalTime, WindowClock};

/// Microseconds of a second.
const SECOND: i64 = 1_000_000;

/// A time zone that is not UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zone {
    /// That of a region.
    Region(Tz),
    /// So many seconds in front of UTC, always.
    Fixed(i32),
}

thread_local! {
    /// That of the session whose script is planned.
    static SESSION: Cell<Option<Zone>> = const { Cell::new(None) };
}

/// While it is there [`Zone::of_session`] is this one: functions ask for it when they are bound.
pub(crate) struct Session(Option<Zone>);

impl Session {
    pub(crate) fn in_zone(zone: Option<Zone>) -> Self {
        Self(SESSION.replace(zone))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        SESSION.set(self.0);
    }
}

impl Zone {
    /// The zone of a name, as in `Asia/Shanghai` or `GMT+08:00`; `None` for UTC.
    ///
    /// # Errors
    /// What a zone is called, if this is no zone's name.
    pub(crate) fn parse(name: &str) -> Result<Option<Self>, String> {
        if matches!(name.to_uppercase().as_str(), "UTC" | "Z" | "GMT") {
            return Ok(None);
        }
        let offset = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
        if let Some(seconds) = seconds(offset) {
            return Ok((seconds != 0).then_some(Self::Fixed(seconds)));
        }
        match name.parse() {
            Ok(Tz::UTC | Tz::Etc__UTC) => Ok(None),
            Ok(region) => Ok(Some(Self::Region(region))),
            Err(_) => {
                Err("takes 'UTC', a region as 'Asia/Shanghai', or an offset as 'GMT+08:00'".into())
            }
        }
    }

    /// The zone of a name as Java's `TimeZone` has it: another name is that of UTC.
    pub(crate) fn of_java(name: &str) -> Option<Self> {
        let is_offset = |name: &str| name.starts_with(['+', '-']);
        match name.strip_prefix("UTC").is_some_and(is_offset) || is_offset(name) {
            true => None,
            false => Self::parse(name).unwrap_or_default(),
        }
    }

    /// That of the session whose script is being planned; `None` for UTC.
    pub(crate) fn of_session() -> Option<Self> {
        SESSION.get()
    }

    /// What clocks show at an instant; both in microseconds.
    pub(crate) fn local(self, micros: i64) -> i64 {
        micros.saturating_add(self.offset(micros))
    }

    /// How far clocks are in front of UTC at an instant; both in microseconds. At times that no calendar has
    /// they are not.
    pub(crate) fn offset(self, micros: i64) -> i64 {
        let seconds = match self {
            Self::Fixed(seconds) => seconds,
            Self::Region(region) => match DateTime::from_timestamp_micros(micros) {
                Some(at) => offset_seconds(region, &at.naive_utc()),
                None => 0,
            },
        };
        i64::from(seconds) * SECOND
    }

    /// The instant at which clocks show a time, in microseconds: the first one, if they show it twice; where it
    /// is skipped, as long after the one at which they do so, as Java has it.
    pub(crate) fn instant(self, micros: i64) -> i64 {
        match self.instants(micros) {
            Instants::One(at) | Instants::Two([at, _]) => at,
            // Clocks before are still those of the time that is skipped.
            Instants::None([_, at]) => at,
        }
    }

    fn instants(self, micros: i64) -> Instants {
        let at = |seconds: i32| micros.saturating_sub(i64::from(seconds) * SECOND);
        let region = match self {
            Self::Fixed(seconds) => return Instants::One(at(seconds)),
            Self::Region(region) => region,
        };
        let Some(time) = DateTime::from_timestamp_micros(micros).map(|at| at.naive_utc()) else {
            return Instants::One(micros);
        };
        match region.offset_from_local_datetime(&time) {
            MappedLocalTime::Single(offset) => Instants::One(at(offset.fix().local_minus_utc())),
            MappedLocalTime::Ambiguous(first, second) => {
                let both = [first, second].map(|offset| at(offset.fix().local_minus_utc()));
                Instants::Two([both[0].min(both[1]), both[0].max(both[1])])
            }
            MappedLocalTime::None => {
                // No clock is put forward by more than a day.
                let day = TimeDelta::days(1);
                let around = [time.checked_add_signed(day), time.checked_sub_signed(day)];
                Instants::None(around.map(|near| match near {
                    Some(near) => at(offset_seconds(region, &near)),
                    None => micros,
                }))
            }
        }
    }

    /// The clock of its windows.
    pub(crate) fn clock(self) -> WindowClock {
        WindowClock::of(Arc::new(self))
    }
}

/// The instants at which a time is shown, the earlier one first; `None`: it is skipped, and these are those that
/// clocks of before, and of after, would have.
enum Instants {
    One(i64),
    Two([i64; 2]),
    None([i64; 2]),
}

fn offset_seconds(region: Tz, utc: &NaiveDateTime) -> i32 {
    region.offset_from_utc_datetime(utc).fix().local_minus_utc()
}

/// The seconds of `+08:00`, `-8` or `+0830`.
fn seconds(offset: &str) -> Option<i32> {
    let (sign, digits) = match offset.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at_checked(2)?,
        None => (digits, "0"),
    };
    let number = |text: &str, most: i32| {
        let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<i32>().ok().filter(|number| is_number && *number <= most)
    };
    Some(sign * (number(hours, 18)? * 3600 + number(minutes, 59)? * 60))
}

impl LocalTime for Zone {
    fn at(&self, instant: i64) -> i64 {
        instant.saturating_add(self.offset(instant.saturating_mul(1000)) / 1000)
    }

    fn instant(&self, local: i64) -> i64 {
        Self::instant(*self, local.saturating_mul(1000)).div_euclid(1000)
    }

    fn over(&self, local: i64) -> i64 {
        let micros = local.saturating_mul(1000);
        let at = match self.instants(micros) {
            Instants::One(at) | Instants::Two([_, at]) => at,
            // Clocks of after show the first time behind the gap at the very instant that those of before begin it.
            Instants::None([after, before]) => {
                self.skipped_at(after.min(before), after.max(before))
            }
        };
        at.div_euclid(1000)
    }
}

impl Zone {
    /// The instant between two, in microseconds, from which on clocks are put forward.
    fn skipped_at(self, mut before: i64, mut after: i64) -> i64 {
        let new = self.offset(after);
        while after.saturating_sub(before) > 1 {
            let between = before + (after - before) / 2;
            match self.offset(between) == new {
                true => after = between,
                false => before = between,
            }
        }
        after
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Region(region) => f.write_str(region.name()),
            Self::Fixed(seconds) => {
                let sign = if *seconds < 0 { '-' } else { '+' };
                let minutes = seconds.abs() / 60;
                write!(f, "GMT{sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse_timestamp;

    fn zone(name: &str) -> Zone {
        Zone::parse(name).unwrap().unwrap()
    }

    fn at(text: &str) -> i64 {
        parse_timestamp(text).unwrap()
    }

    #[test]
    fn zones_have_names_and_offsets() {
        assert_eq!(Zone::parse("UTC"), Ok(None));
        assert_eq!(Zone::parse("GMT+00:00"), Ok(None));
        for (name, shown) in [
            ("Asia/Shanghai", "Asia/Shanghai"),
            ("GMT-08:30", "GMT-08:30"),
            ("UTC+8", "GMT+08:00"),
            ("+0530", "GMT+05:30"),
        ] {
            assert_eq!(zone(name).to_string(), shown);
        }
        for wrong in ["", "Mars", "GMT+", "GMT+25:00", "+1:2:3", "+08:60"] {
            assert!(Zone::parse(wrong).unwrap_err().starts_with("takes 'UTC'"), "{wrong}");
        }
        assert_eq!(zone("GMT-08:30").local(at("2024-01-01 08:30")), at("2024-01-01"));
        assert_eq!(zone("GMT-08:30").instant(at("2024-01-01")), at("2024-01-01 08:30"));
    }

    #[test]
    fn an_hour_is_skipped_or_comes_twice() {
        let new_york = zone("America/New_York");
        for (local, instant, over) in [
            ("2026-03-08 01:59:59", "2026-03-08 06:59:59", "2026-03-08 06:59:59"),
            ("2026-03-08 02:30:00", "2026-03-08 07:30:00", "2026-03-08 07:00:00"),
            ("2026-03-08 03:00:00", "2026-03-08 07:00:00", "2026-03-08 07:00:00"),
            ("2026-11-01 00:59:59", "2026-11-01 04:59:59", "2026-11-01 04:59:59"),
            ("2026-11-01 01:30:00", "2026-11-01 05:30:00", "2026-11-01 06:30:00"),
            ("2026-11-01 02:00:00", "2026-11-01 07:00:00", "2026-11-01 07:00:00"),
        ] {
            assert_eq!(new_york.instant(at(local)), at(instant), "{local}");
            assert_eq!(LocalTime::over(&new_york, at(local) / 1000), at(over) / 1000, "{local}");
        }
        assert_eq!(new_york.local(at("2026-03-08 07:00:00")), at("2026-03-08 03:00:00"));
        assert_eq!(
            LocalTime::at(&new_york, at("2026-11-01 06:30") / 1000),
            at("2026-11-01 01:30") / 1000
        );
    }

    #[test]
    fn times_of_no_calendar_are_those_of_utc() {
        let shanghai = zone("Asia/Shanghai");
        for time in [i64::MIN, i64::MAX] {
            assert_eq!((shanghai.local(time), shanghai.instant(time)), (time, time));
        }
    }

    #[test]
    fn a_session_ends() {
        let outer = Session::in_zone(Some(zone("Asia/Tokyo")));
        drop(Session::in_zone(None));
        assert_eq!(Zone::of_session(), Some(zone("Asia/Tokyo")));
        drop(outer);
        assert_eq!(Zone::of_session(), None);
    }
}
