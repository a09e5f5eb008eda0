//! Options: declared, so that the host can check and explain them, and read with their type.

use std::{fmt, str::FromStr, time::Duration};

use millstream_abi::{
    OPTION_HAS_DEFAULT, OPTION_REQUIRED, OPTION_SECRET, OptionSpec, TYPE_BOOLEAN, TYPE_BYTES,
    TYPE_DURATION, TYPE_FLOAT, TYPE_FORMAT, TYPE_INTEGER, TYPE_STRING,
};

use millstream_data::types::Schema;

use crate::{Error, borrow::lend_str, format::OpenFormat};

/// An option that a source, sink, format or job takes.
///
/// A `*` in its name stands for any text: `fields.*.kind` is an option of each column.
#[derive(Clone, Copy, Debug)]
pub struct OptionDoc {
    name: &'static str,
    value_type: u32,
    flags: u32,
    default: &'static str,
    doc: &'static str,
}

impl OptionDoc {
    /// An option that is any text.
    pub const fn string(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_STRING, doc)
    }

    /// An option that is a whole number.
    pub const fn integer(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_INTEGER, doc)
    }

    /// An option that is a number.
    pub const fn float(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_FLOAT, doc)
    }

    /// An option that is `true` or `false`.
    pub const fn boolean(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_BOOLEAN, doc)
    }

    /// An option that is a number of bytes, with an optional unit: `64 MiB`.
    pub const fn bytes(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_BYTES, doc)
    }

    /// An option that is a time with a unit: `100 ms`.
    pub const fn duration(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_DURATION, doc)
    }

    /// An option that is the name of a format. The host checks that there is one, and that the
    /// options which begin with its name and a dot are those of the format.
    pub const fn format(name: &'static str, doc: &'static str) -> Self {
        Self::new(name, TYPE_FORMAT, doc)
    }

    const fn new(name: &'static str, value_type: u32, doc: &'static str) -> Self {
        Self { name, value_type, flags: 0, default: "", doc }
    }

    /// The same option, with the value that it has if it is not given.
    pub const fn default(self, default: &'static str) -> Self {
        Self { default, flags: self.flags | OPTION_HAS_DEFAULT, ..self }
    }

    /// The same option, which must be given.
    pub const fn required(self) -> Self {
        Self { flags: self.flags | OPTION_REQUIRED, ..self }
    }

    /// The same option, whose value is never shown: not in plans, errors or the `Debug` of
    /// [`Options`].
    pub const fn secret(self) -> Self {
        Self { flags: self.flags | OPTION_SECRET, ..self }
    }

    /// Whether the option is called so; a `*` in its own name stands for any text.
    fn is_named(&self, name: &str) -> bool {
        match self.name.split_once('*') {
            None => self.name == name,
            Some((start, end)) => {
                let inner = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
                inner.is_some_and(|inner| !inner.is_empty())
            }
        }
    }

    pub(crate) fn spec(&self) -> OptionSpec {
        OptionSpec {
            name: lend_str(self.name),
            value_type: self.value_type,
            flags: self.flags,
            default_value: lend_str(self.default),
            doc: lend_str(self.doc),
        }
    }
}

/// The options that were given, and the defaults of those that were not.
///
/// `Debug` shows what was given, without the values of secrets, and without those of options that
/// are not declared here, such as a format's: they may be secrets of somebody else.
#[derive(Clone)]
pub struct Options {
    docs: &'static [OptionDoc],
    given: Vec<(String, String)>,
}

impl Options {
    /// Options as given, later ones over earlier ones.
    pub fn new(docs: &'static [OptionDoc], given: Vec<(String, String)>) -> Self {
        Self { docs, given }
    }

    /// The value of an option; `None` if it was not given and has no default.
    pub fn value(&self, name: &str) -> Option<&str> {
        let given = self.given.iter().rev().find(|(key, _)| key == name);
        given.map(|(_, value)| value.as_str()).or_else(|| {
            let doc = self.docs.iter().find(|doc| doc.is_named(name))?;
            (doc.flags & OPTION_HAS_DEFAULT != 0).then_some(doc.default)
        })
    }

    /// What was given, in order.
    pub fn given(&self) -> impl Iterator<Item = (&str, &str)> {
        self.given.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of an option that must be there.
    ///
    /// # Errors
    /// If it was not given and has no default.
    pub fn string(&self, name: &str) -> Result<&str, Error> {
        self.value(name).ok_or_else(|| Error::new(format!("the option `{name}` is missing")))
    }

    /// The value of a whole number.
    ///
    /// # Errors
    /// If it is missing or none.
    pub fn integer(&self, name: &str) -> Result<i64, Error> {
        self.parsed(name, "a whole number")
    }

    /// The value of a number.
    ///
    /// # Errors
    /// If it is missing or none.
    pub fn float(&self, name: &str) -> Result<f64, Error> {
        self.parsed(name, "a number")
    }

    /// The value of a switch.
    ///
    /// # Errors
    /// If it is missing or neither `true` nor `false`.
    pub fn boolean(&self, name: &str) -> Result<bool, Error> {
        self.parsed(name, "`true` or `false`")
    }

    /// The value of a number of bytes.
    ///
    /// # Errors
    /// If it is missing or none.
    pub fn bytes(&self, name: &str) -> Result<u64, Error> {
        let value = self.string(name)?;
        parse_bytes(value)
            .ok_or_else(|| self.wrong(name, value, "a number of bytes such as `64 MiB`"))
    }

    /// The value of a time.
    ///
    /// # Errors
    /// If it is missing or none.
    pub fn duration(&self, name: &str) -> Result<Duration, Error> {
        let value = self.string(name)?;
        parse_duration(value).ok_or_else(|| self.wrong(name, value, "a time such as `100 ms`"))
    }

    /// Opens the format that an option names, for rows of `schema`. The format gets the options that
    /// begin with its name and a dot. Only while a source or sink is being opened, and from the
    /// thread that opens it: the host knows by it which formats there are.
    ///
    /// # Errors
    /// If the option is missing, no plugin offers the format, or the format refuses its options or
    /// the columns.
    pub fn format(&self, name: &str, schema: &Schema) -> Result<OpenFormat, Error> {
        OpenFormat::open(self.string(name)?, self, schema)
    }

    fn parsed<T: FromStr>(&self, name: &str, what: &str) -> Result<T, Error> {
        let value = self.string(name)?;
        value.trim().parse().map_err(|_| self.wrong(name, value, what))
    }

    fn wrong(&self, name: &str, value: &str, what: &str) -> Error {
        Error::new(match self.is_secret(name) {
            Some(true) => format!("the option `{name}` is not {what}"),
            _ => format!("the option `{name}` is `{value}`, which is not {what}"),
        })
    }

    /// Whether the option's value is never shown; `None` if it is not declared here.
    fn is_secret(&self, name: &str) -> Option<bool> {
        let mut named = self.docs.iter().filter(|doc| doc.is_named(name)).peekable();
        named.peek()?;
        Some(named.any(|doc| doc.flags & OPTION_SECRET != 0))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Options ")?;
        let shown = |(name, value)| Shown { name, value, secret: self.is_secret(name) };
        f.debug_set().entries(self.given().map(shown)).finish()
    }
}

/// An option as `Debug` shows it.
struct Shown<'a> {
    name: &'a str,
    value: &'a str,
    secret: Option<bool>,
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.secret {
            Some(false) => write!(f, "{}: {:?}", self.name, self.value),
            Some(true) => write!(f, "{}: ***", self.name),
            None => f.write_str(self.name),
        }
    }
}

/// The number of bytes that text like `64 MiB`, `32kb` or `100` names. As in Flink, `k` and `kb`
/// are 1024 bytes.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

/// The time that text like `100 ms`, `2s` or `1 min` names; without a unit milliseconds, as in
/// Flink.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let nanos: u64 = match unit.to_ascii_lowercase().as_str() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "" | "ms" => 1_000_000,
        "s" | "sec" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    number.checked_mul(nanos).map(Duration::from_nanos)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, text[end..].trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCS: &[OptionDoc] =
        &[OptionDoc::integer("count", "").default("10"), OptionDoc::string("path", "").required()];

    #[test]
    fn given_values_come_before_defaults_and_later_before_earlier() {
        let given = vec![("count".into(), "3".into()), ("count".into(), "4".into())];
        assert_eq!(Options::new(DOCS, given).integer("count"), Ok(4));
        assert_eq!(Options::new(DOCS, Vec::new()).integer("count"), Ok(10));
    }

    #[test]
    fn errors_name_option_value_and_expectation() {
        let options = Options::new(DOCS, vec![("count".into(), "many".into())]);
        let error = options.integer("count").unwrap_err().to_string();
        assert_eq!(error, "the option `count` is `many`, which is not a whole number");
        let error = options.string("path").unwrap_err().to_string();
        assert_eq!(error, "the option `path` is missing");
    }

    #[test]
    fn the_values_of_secrets_are_not_shown() {
        const DOCS: &[OptionDoc] = &[
            OptionDoc::string("path", ""),
            OptionDoc::integer("pin", "").secret(),
            OptionDoc::string("header.*", "").secret(),
        ];
        let given = [("path", "a b"), ("pin", "l2e4"), ("header.token", "t0p"), ("csv.key", "k3y")];
        let given = given.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let options = Options::new(DOCS, given);
        let shown = format!("{options:?}");
        assert_eq!(shown, "Options {path: \"a b\", pin: ***, header.token: ***, csv.key}");
        let error = options.integer("pin").unwrap_err().to_string();
        assert_eq!(error, "the option `pin` is not a whole number");
    }

    #[test]
    fn units() {
        assert_eq!(parse_bytes("64 MiB"), Some(64 << 20));
        assert_eq!(parse_bytes("32kb"), Some(32 << 10));
        assert_eq!(parse_bytes("7"), Some(7));
        assert_eq!(parse_bytes("MiB"), None);
        assert_eq!(parse_bytes("99999999999 tb"), None);
        assert_eq!(parse_duration("100 ms"), Some(Duration::from_millis(100)));
        assert_eq!(parse_duration("2s"), Some(Duration::from_secs(2)));
        assert_eq!(parse_duration("5 parsecs"), None);
    }
}
