//! Times as settings and hints have them: `1 h`, `90s`, `36500 ms`.

/// The units, with how many milliseconds they are, or how many of them are one, below 0.
const UNITS: &[(&[&str], i64)] = &[
    (&["d", "day", "days"], 86_400_000),
    (&["h", "hour", "hours"], 3_600_000),
    (&["m", "min", "minute", "minutes"], 60_000),
    (&["s", "sec", "secs", "second", "seconds"], 1000),
    (&["", "ms", "milli", "millis", "millisecond", "milliseconds"], 1),
    (&["µs", "micro", "micros", "microsecond", "microseconds"], -1000),
    (&["ns", "nano", "nanos", "nanosecond", "nanoseconds"], -1_000_000),
];

/// The milliseconds of a time as Flink writes it: a whole number and its unit, milliseconds without one.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_lowercase();
    let scale = UNITS.iter().find(|(names, _)| names.contains(&unit.as_str()));
    let millis =
        number.parse::<i64>().ok().zip(scale).and_then(|(number, (_, scale))| match *scale {
            below if below < 0 => Some(number / -below),
            scale => number.checked_mul(scale),
        });
    millis.ok_or_else(|| "takes a time, '1 h' or '36500 ms' for instance".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_number_and_a_unit() {
        for (text, millis) in [
            ("1 h", 3_600_000),
            ("2d", 172_800_000),
            ("90 SECONDS", 90_000),
            (" 5 min ", 300_000),
            ("36500 ms", 36_500),
            ("7", 7),
            ("2500 micros", 2),
            ("1 ns", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(millis), "{text}");
        }
        for text in ["", "h", "-1 h", "1 fortnight", "1.5 h", "9223372036854775807 d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
