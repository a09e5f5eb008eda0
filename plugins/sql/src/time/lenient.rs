//! Times of texts that are not quite in a pattern.

use millstream_data::calendar::days_of_date;

use super::{DAY, Part, Pattern, letters, parse_fraction};

impl Pattern {
    /// The microseconds since 1970-01-01 00:00 of a text that begins in this pattern, as Java's
    /// `SimpleDateFormat` reads it: numbers have as many digits as there are, and run over: the 30th of
    /// February is a day of March.
    pub(crate) fn read_leniently(&self, mut text: &str) -> Option<i64> {
        let (mut year, mut month, mut day, mut micros) = (1970_i64, 1_i64, 1_i64, 0_i64);
        let mut half = 0;
        for (at, part) in self.0.iter().enumerate() {
            let (letter, count) = match part {
                Part::Text(part) => {
                    text = text.strip_prefix(part.as_str())?;
                    continue;
                }
                Part::Field(letter, count) => (*letter, *count),
            };
            text = text.trim_start_matches([' ', '\t']);
            if letter == 'a' {
                half = if text.starts_with("PM") { 12 } else { 0 };
                text = text.strip_prefix("AM").or(text.strip_prefix("PM"))?;
                continue;
            }
            if letters::is_name(letter, count) {
                let number = letters::take_leniently(letter, &mut text)?;
                if letter != 'E' {
                    month = i64::from(number) + 1;
                }
                continue;
            }
            let found = text.bytes().take_while(u8::is_ascii_digit).count();
            // A number that another follows has as many digits as it has letters.
            let is_followed = matches!(self.0.get(at + 1), Some(Part::Field(..)));
            let taken = if is_followed { found.min(count) } else { found };
            let (digits, rest) = text.split_at_checked(taken)?;
            text = rest;
            let number: i64 = digits.parse().ok().filter(|number| *number < 1_000_000_000)?;
            match letter {
                'y' | 'u' if count == 2 && taken == 2 => year = 2000 + number,
                'y' | 'u' => year = number,
                'M' | 'L' => month = number,
                'd' => day = number,
                'D' => (month, day) = (1, number),
                'H' => micros += number * 3_600_000_000,
                'k' => micros += number % 24 * 3_600_000_000,
                'h' | 'K' => micros += number % 12 * 3_600_000_000,
                'm' => micros += number * 60_000_000,
                's' => micros += number * 1_000_000,
                _ => micros += parse_fraction(digits)?,
            }
        }
        let (years, month) = ((month - 1).div_euclid(12), (month - 1).rem_euclid(12) + 1);
        let year = i32::try_from(year + years).ok()?;
        let first = days_of_date(year, i32::try_from(month).ok()?, 1)?;
        Some((i64::from(first) + day - 1) * DAY + micros + half * 3_600_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Pattern, parse_timestamp};

    #[test]
    fn what_is_not_quite_a_time_is_read() {
        let pattern = Pattern::parse("yyyy-MM-dd HH:mm:ss").unwrap();
        for (text, expected) in [
            ("2024-02-29 13:14:15.999", Some("2024-02-29 13:14:15")),
            ("2024-02-30 25:00:00", Some("2024-03-02 01:00:00")),
            ("2024-13-1 1:2:3", Some("2025-01-01 01:02:03")),
            ("2024-02-29", None),
            ("nonsense", None),
            ("99999999999999999999-01-01 00:00:00", None),
        ] {
            let read = pattern.read_leniently(text);
            assert_eq!(read, expected.map(|time| parse_timestamp(time).unwrap()), "{text}");
        }
        let packed = Pattern::parse("yyyyMMdd").unwrap().read_leniently("20240229");
        assert_eq!(packed, parse_timestamp("2024-02-29"));
    }
}
