//! Times as text, and text as times.

mod duration;
mod lenient;
mod letters;
mod zone;

pub(crate) use duration::parse_duration;
use letters::Java;
use millstream_data::calendar::{date_of_days, day_of_year, days_of_date};
pub(crate) use zone::{Session, Zone};

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400_000_000;

/// The days since 1970-01-01 of `2026-01-31`.
pub(crate) fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.splitn(3, '-');
    let year: i32 = digits(parts.next()?, 4)?;
    let (month, day): (i32, i32) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    days_of_date(year, month, day)
}

/// The microseconds of a day of `23:59:59.999999`; seconds may be left out.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.splitn(3, ':');
    let hour: i64 = digits(parts.next()?, 2).filter(|hour| *hour < 24)?.into();
    let minute: i64 = digits(parts.next()?, 2).filter(|minute| *minute < 60)?.into();
    let second: i64 = match parts.next() {
        Some(second) => digits(second, 2).filter(|second| *second < 60)?.into(),
        None if fraction.is_empty() => 0,
        None => return None,
    };
    Some((hour * 3600 + minute * 60 + second) * 1_000_000 + parse_fraction(fraction)?)
}

/// The microseconds since 1970-01-01 00:00 of `2026-01-31 23:59:59.999`; the time of day may be left out.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
    i64::from(parse_date(date)?).checked_mul(DAY)?.checked_add(parse_time(clock)?)
}

/// The microseconds of the digits behind the point; what is behind the sixth does not count.
pub(crate) fn parse_fraction(fraction: &str) -> Option<i64> {
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.bytes().chain([b'0'; 6]).take(6);
    Some(digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0')))
}

fn digits(text: &str, most: usize) -> Option<i32> {
    let good = (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if good { text.parse().ok() } else { None }
}

/// A pattern of `DATE_FORMAT`, as Java's `DateTimeFormatter` has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A field, by its letter, and how many letters there were.
    Field(char, usize),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// If a letter in it is not supported.
    pub(crate) fn parse(pattern: &str) -> Result<Self, String> {
        Self::of(pattern, Java::Formatter)
    }

    /// Reads a pattern of Java's `SimpleDateFormat`.
    ///
    /// # Errors
    /// If a letter in it is not supported.
    pub(crate) fn parse_simple(pattern: &str) -> Result<Self, String> {
        Self::of(pattern, Java::Simple)
    }

    /// The same, if texts are read by all of its letters.
    ///
    /// # Errors
    /// If one only shows times.
    pub(crate) fn reading(self) -> Result<Self, String> {
        let not_read = |part: &Part| match part {
            Part::Field(letter, _) => (!letters::is_read(*letter)).then_some(*letter),
            Part::Text(_) => None,
        };
        match self.0.iter().find_map(not_read) {
            None => Ok(self),
            Some('i') => Err("texts are not read by `u` of a pattern, the day of a week".into()),
            Some(letter) => Err(format!("texts are not read by `{letter}` of a pattern")),
        }
    }

    fn of(pattern: &str, java: Java) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            if letter == '\'' {
                let mut text = String::new();
                while let Some(inner) = letters.next() {
                    match (inner, letters.peek()) {
                        ('\'', Some('\'')) => text.extend(letters.next()),
                        ('\'', _) => break,
                        _ => text.push(inner),
                    }
                }
                // Two quotes in a row are one.
                parts.push(Part::Text(if text.is_empty() { "'".into() } else { text }));
            } else if letter.is_ascii_alphabetic() {
                let mut count = 1;
                while letters.next_if_eq(&letter).is_some() {
                    count += 1;
                }
                let Some((letter, count)) = java.field(letter, count) else {
                    let letters = letter.to_string().repeat(count);
                    return Err(format!("`{letters}` in the pattern '{pattern}' is not supported"));
                };
                parts.push(Part::Field(letter, count));
            } else {
                parts.push(Part::Text(letter.into()));
            }
        }
        Ok(Self(parts))
    }

    /// The microseconds since 1970-01-01 00:00 of a text in this pattern; what it does not say is as it was then.
    pub(crate) fn read(&self, mut text: &str) -> Option<i64> {
        let (mut year, mut month, mut day, mut micros, mut half) = (1970, 1, 1, 0_i64, None);
        let (mut weekday, mut of_year) = (None, None);
        for part in &self.0 {
            let (letter, count) = match part {
                Part::Text(part) => {
                    text = text.strip_prefix(part.as_str())?;
                    continue;
                }
                Part::Field(letter, count) => (*letter, *count),
            };
            if letter == 'a' {
                let (am, pm) = (text.strip_prefix("AM"), text.strip_prefix("PM"));
                half = Some(if pm.is_some() { 12 } else { 0 });
                text = am.or(pm)?;
                continue;
            }
            if letters::is_name(letter, count) {
                let number = letters::take(letter, count, &mut text)?;
                match letter {
                    'E' => weekday = Some(number),
                    _ => month = number + 1,
                }
                continue;
            }
            // A single letter takes as many digits as there are.
            let found = text.bytes().take_while(u8::is_ascii_digit).count();
            let wanted = if count == 1 { found } else { count };
            if wanted == 0 || wanted > found {
                return None;
            }
            let (digits, rest) = text.split_at_checked(wanted)?;
            text = rest;
            let number: i64 = digits.parse().ok()?;
            let within = |most: i64| (number < most).then_some(number);
            match letter {
                'y' | 'u' if count == 2 => year = 2000 + number as i32,
                'y' | 'u' => year = i32::try_from(number).ok()?,
                'M' | 'L' => month = i32::try_from(number).ok()?,
                'd' => day = i32::try_from(number).ok()?,
                'H' => micros += within(24)? * 3_600_000_000,
                'k' => micros += within(25)? % 24 * 3_600_000_000,
                'h' | 'K' => micros += within(13)? % 12 * 3_600_000_000,
                'm' => micros += within(60)? * 60_000_000,
                's' => micros += within(60)? * 1_000_000,
                'S' => micros += parse_fraction(digits)?,
                // Days of the year.
                _ => of_year = Some(i32::try_from(number).ok()?),
            }
        }
        if !text.is_empty() {
            return None;
        }
        let days = match of_year {
            None => days_of_date(year, month, day)?,
            Some(of_year) => {
                let days = days_of_date(year, 1, 1)?.checked_add(of_year)?.checked_sub(1)?;
                Some(days).filter(|days| date_of_days(*days).0 == year)?
            }
        };
        if weekday.is_some_and(|weekday| weekday != letters::weekday(days)) {
            return None;
        }
        Some(i64::from(days) * DAY + micros + half.unwrap_or(0) * 3_600_000_000)
    }

    /// Microseconds of a unit, counted from 1970-01-01 00:00, in all of which times look alike.
    pub(crate) fn unit(&self) -> i64 {
        let of = |part: &Part| match part {
            Part::Field('H' | 'k' | 'K' | 'h' | 'a', _) => 3_600_000_000,
            Part::Field('m', _) => 60_000_000,
            Part::Field('s', _) => 1_000_000,
            Part::Field('S', count) => 10i64.pow(6 - (*count).min(6) as u32),
            Part::Field(..) | Part::Text(_) => DAY,
        };
        self.0.iter().map(of).min().unwrap_or(DAY)
    }

    /// Adds a time, in microseconds since 1970-01-01 00:00.
    pub(crate) fn format(&self, micros: i64, out: &mut String) {
        let (days, clock) = (micros.div_euclid(DAY) as i32, micros.rem_euclid(DAY));
        let (year, month, day) = date_of_days(days);
        let seconds = clock / 1_000_000;
        let hour = seconds / 3600;
        for part in &self.0 {
            let (letter, count) = match part {
                Part::Text(text) => {
                    out.push_str(text);
                    continue;
                }
                Part::Field(letter, count) => (*letter, *count),
            };
            if letters::push(letter, count, days, out) {
                continue;
            }
            let number = match letter {
                'y' | 'u' if count == 2 => i64::from(year.rem_euclid(100)),
                'y' | 'u' => year.into(),
                'M' => month.into(),
                'd' => day.into(),
                'D' => (day_of_year(days)).into(),
                'H' => hour,
                'k' => (hour + 23) % 24 + 1,
                'K' => hour % 12,
                'h' => (hour + 11) % 12 + 1,
                'm' => seconds / 60 % 60,
                's' => seconds % 60,
                'a' => {
                    out.push_str(if hour < 12 { "AM" } else { "PM" });
                    continue;
                }
                _ => clock % 1_000_000 / 10i64.pow(6 - count as u32),
            };
            push_padded(number, count, out);
        }
    }
}

fn push_padded(number: i64, width: usize, out: &mut String) {
    use std::fmt::Write;
    if let (0..=99, 2) = (number, width) {
        let digit = |digit: i64| (b'0' + digit as u8) as char;
        return out.extend([number / 10, number % 10].map(digit));
    }
    // Writing to a String never fails.
    let _ = write!(out, "{number:0width$}");
}

/// Adds a timestamp as Flink casts it to text: `2026-01-31 23:59:59.999`, with so many fractional digits.
pub(crate) fn push_timestamp(micros: i64, precision: u8, out: &mut String) {
    push_date(micros.div_euclid(DAY) as i32, out);
    out.push(' ');
    push_time(micros.rem_euclid(DAY), precision, out);
}

/// Adds a date: `2026-01-31`.
pub(crate) fn push_date(days: i32, out: &mut String) {
    let (year, month, day) = date_of_days(days);
    push_padded(year.into(), 4, out);
    out.push('-');
    push_padded(month.into(), 2, out);
    out.push('-');
    push_padded(day.into(), 2, out);
}

/// Adds a time of day: `23:59:59.999`, with so many fractional digits.
pub(crate) fn push_time(micros: i64, precision: u8, out: &mut String) {
    let seconds = micros / 1_000_000;
    push_padded(seconds / 3600, 2, out);
    out.push(':');
    push_padded(seconds / 60 % 60, 2, out);
    out.push(':');
    push_padded(seconds % 60, 2, out);
    if precision > 0 {
        out.push('.');
        let digits = usize::from(precision.min(6));
        push_padded(micros % 1_000_000 / 10i64.pow(6 - digits as u32), digits, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_in_the_calendar() {
        assert_eq!(parse_date("2024-02-29"), Some(19_782));
        assert_eq!(parse_date("2023-02-29"), None);
    }

    #[test]
    fn patterns_are_javas() {
        let micros = parse_timestamp("2026-03-09 14:05:07.012345").unwrap();
        for (pattern, expected) in [
            ("yyyy-MM-dd", "2026-03-09"),
            ("HH:mm", "14:05"),
            ("yyyyMMdd'T'HHmmss.SSS", "20260309T140507.012"),
            ("d/M/yy h 'o''clock' a", "9/3/26 2 o'clock PM"),
        ] {
            let mut out = String::new();
            Pattern::parse(pattern).unwrap().format(micros, &mut out);
            assert_eq!(out, expected);
        }
        for (pattern, text, expected) in [
            ("yyyy/MM/dd", "2026/03/09", Some("2026-03-09")),
            ("d.M.yyyy HH:mm:ss.SSS", "9.3.2026 14:05:07.012", Some("2026-03-09 14:05:07.012")),
            ("h:mm a", "2:05 PM", Some("1970-01-01 14:05")),
            ("yyyy-MM-dd", "2026-02-30", None),
            ("yyyy-MM-dd", "2026-03-09 ", None),
            ("yyyy-MM-dd", "26-03-09", None),
        ] {
            let read = Pattern::parse(pattern).unwrap().read(text);
            assert_eq!(read, expected.map(|time| parse_timestamp(time).unwrap()), "{text}");
        }
        assert!(Pattern::parse("xxxx").unwrap_err().contains("`xxxx`"));
    }

    #[test]
    fn times_before_1970_are_times() {
        let micros = parse_timestamp("1969-12-31 23:59:59.5").unwrap();
        assert_eq!(micros, -500_000);
        let mut out = String::new();
        push_timestamp(micros, 3, &mut out);
        assert_eq!(out, "1969-12-31 23:59:59.500");
    }
}
