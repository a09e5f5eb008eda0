//! Letters of patterns that are not just numbers of the calendar or the clock: names of months and days, quarters, and
//! weeks, which begin with Sunday, as in Java's locale of the USA.

use millstream_data::calendar::{date_of_days, day_of_year};

use super::push_padded;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Which of Java's classes a pattern is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Java {
    /// `DateTimeFormatter`.
    Formatter,
    /// `SimpleDateFormat`.
    Simple,
}

/// The letter in place of Simple's `u`, the number of the day in a week that begins with Monday.
const WEEKDAY: char = 'i';

impl Java {
    /// A field of so many letters, as it is shown and read; `None` if it is not supported.
    pub(super) fn field(self, letter: char, count: usize) -> Option<(char, usize)> {
        let is_known = match (letter, count) {
            ('y' | 'Y', 1 | 2 | 4) | ('S', 1..=6) | ('a', 1) | ('D', 1..=3) => true,
            ('d' | 'H' | 'k' | 'K' | 'h' | 'm' | 's' | 'w', 1 | 2) => true,
            ('M' | 'L' | 'E', 1..=5) | ('G', 1..=3) | ('W', 1) => true,
            ('u', 1 | 2 | 4) | ('Q' | 'q', 1..=4) | ('e', 1 | 2) => self == Self::Formatter,
            _ => false,
        };
        match (self, letter, count) {
            (Self::Simple, 'u', 1 | 2) => Some((WEEKDAY, count)),
            _ if !is_known => None,
            // Four letters and more are the whole name.
            (Self::Simple, 'M' | 'L' | 'E', 5) => Some((letter, 4)),
            _ => Some((letter, count)),
        }
    }
}

/// Whether texts are read by a letter.
pub(super) fn is_read(letter: char) -> bool {
    !matches!(letter, 'Q' | 'q' | 'e' | 'G' | 'Y' | 'w' | 'W' | WEEKDAY)
}

/// Whether a field is a name.
pub(super) fn is_name(letter: char, count: usize) -> bool {
    letter == 'E' || (matches!(letter, 'M' | 'L') && count > 2)
}

/// The number of the weekday, Sunday is 0.
pub(super) fn weekday(days: i32) -> i32 {
    (days + 4).rem_euclid(7)
}

/// Shows a field of a day; `false` if it is none of those here.
pub(super) fn push(letter: char, count: usize, days: i32, out: &mut String) -> bool {
    let (year, month, day) = date_of_days(days);
    let quarter = (month + 2) / 3;
    // What is of the week of a day is that of its Saturday.
    let saturday = days - weekday(days) + 6;
    let number = match letter {
        'M' | 'L' if count > 2 => {
            out.push_str(shortened(&MONTHS, month - 1, count));
            return true;
        }
        'E' => {
            out.push_str(shortened(&DAYS, weekday(days), count));
            return true;
        }
        'G' => {
            out.push_str(if year > 0 { "AD" } else { "BC" });
            return true;
        }
        'Q' | 'q' if count > 2 => {
            let whole = ["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"];
            let short = ["Q1", "Q2", "Q3", "Q4"];
            let names = if count == 3 { short } else { whole };
            out.push_str(names.get(quarter as usize - 1).unwrap_or(&""));
            return true;
        }
        'Q' | 'q' => quarter,
        'L' => month,
        'e' => weekday(days) + 1,
        WEEKDAY => (weekday(days) + 6) % 7 + 1,
        'Y' if count == 2 => date_of_days(saturday).0.rem_euclid(100),
        'Y' => date_of_days(saturday).0,
        'w' => (day_of_year(saturday) - 1) / 7 + 1,
        'W' => (day - 1 + weekday(days - day + 1)) / 7 + 1,
        _ => return false,
    };
    push_padded(number.into(), count, out);
    true
}

/// A name: three letters of it, all, or with five letters in the pattern the first one.
fn shortened<'a>(names: &[&'a str], number: i32, count: usize) -> &'a str {
    let name = usize::try_from(number).ok().and_then(|number| names.get(number).copied());
    let name = name.unwrap_or_default();
    match count {
        ..=3 => name.get(..3).unwrap_or(name),
        4 => name,
        _ => name.get(..1).unwrap_or(name),
    }
}

/// Takes the name that a text begins with, as it is shown: its number, from 0 on.
pub(super) fn take(letter: char, count: usize, text: &mut &str) -> Option<i32> {
    let names: &[&str] = if letter == 'E' { &DAYS } else { &MONTHS };
    let numbers = 0..names.len() as i32;
    let (number, name) = numbers
        .map(|number| (number, shortened(names, number, count)))
        .find(|(_, name)| text.starts_with(name))?;
    *text = text.get(name.len()..)?;
    Some(number)
}

/// The same of names short or whole, in small letters or capitals.
pub(super) fn take_leniently(letter: char, text: &mut &str) -> Option<i32> {
    let names: &[&str] = if letter == 'E' { &DAYS } else { &MONTHS };
    for count in [4, 3] {
        for number in 0..names.len() as i32 {
            let name = shortened(names, number, count);
            if text.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name)) {
                *text = text.get(name.len()..)?;
                return Some(number);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Pattern, parse_timestamp};

    fn shown(pattern: &Pattern, time: &str) -> String {
        let mut out = String::new();
        pattern.format(parse_timestamp(time).unwrap(), &mut out);
        out
    }

    #[test]
    fn names_and_weeks_are_javas() {
        let of = |pattern: &str, time: &str| shown(&Pattern::parse(pattern).unwrap(), time);
        let time = "2024-02-03 14:05:06";
        assert_eq!(of("EEE, d MMM yyyy hh:mm:ss a", time), "Sat, 3 Feb 2024 02:05:06 PM");
        assert_eq!(
            of("EEEE MMMM L e E w W k K Q QQQ QQQQ G", time),
            "Saturday February 2 7 Sat 5 1 14 2 1 Q1 1st quarter AD"
        );
        assert_eq!(of("YYYY-ww e W", "2024-12-30 00:00:00"), "2025-01 2 5");
        assert_eq!(of("k K h", "2024-12-30 00:00:00"), "24 0 12");
        let simple = Pattern::parse_simple("EEEE MMMMM u w YYYY").unwrap();
        assert_eq!(shown(&simple, time), "Saturday February 6 5 2024");
        assert!(Pattern::parse_simple("Q").is_err() && Pattern::parse("F").is_err());
    }

    #[test]
    fn names_are_read_as_they_are_shown_or_leniently() {
        let pattern = Pattern::parse("EEE, d MMMM yyyy").unwrap();
        assert_eq!(pattern.read("Sat, 3 February 2024"), parse_timestamp("2024-02-03"));
        for text in ["Sun, 3 February 2024", "Sat, 3 Feb 2024", "sat, 3 February 2024"] {
            assert_eq!(pattern.read(text), None, "{text}");
        }
        let pattern = Pattern::parse_simple("EEE, d MMM yyyy").unwrap();
        for text in ["Sat, 3 February 2024", "Sun, 3 feb 2024"] {
            assert_eq!(pattern.read_leniently(text), parse_timestamp("2024-02-03"), "{text}");
        }
        assert_eq!(pattern.read_leniently("Sun, 3 xyz 2024"), None);
        assert!(Pattern::parse("yyyy Q").unwrap().reading().is_err());
    }
}
