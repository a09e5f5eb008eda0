//! Options as an extension declares them, and as a user gives them.

use millstream_abi::{
    OPTION_HAS_DEFAULT, OPTION_REQUIRED, OPTION_SECRET, TYPE_BOOLEAN, TYPE_BYTES, TYPE_DURATION,
    TYPE_FLOAT, TYPE_FORMAT, TYPE_INTEGER, TYPE_STRING,
};

use crate::{CallError, registry::nearest};

/// An option that an extension takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionInfo {
    /// Its name.
    pub name: String,
    /// What values look like.
    pub value_type: OptionType,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// What it is if not given.
    pub default: Option<String>,
    /// One sentence about it.
    pub doc: String,
}

/// What the values of an option look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionType {
    /// Any text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Float,
    /// `true` or `false`.
    Boolean,
    /// A number of bytes with an optional unit.
    Bytes,
    /// A time with a unit.
    Duration,
    /// The name of a format, whose options are given with its name and a dot in front.
    Format,
}

impl OptionType {
    /// What a value is, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            Self::String => "a text",
            Self::Integer => "a whole number",
            Self::Float => "a number",
            Self::Boolean => "`true` or `false`",
            Self::Bytes => "a number of bytes such as `64 MiB`",
            Self::Duration => "a time such as `100 ms`",
            Self::Format => "the name of a format",
        }
    }

    /// Whether `value` is of this type, as far as its form tells.
    fn accepts(self, value: &str) -> bool {
        let value = value.trim();
        let number_and_unit = || {
            let end = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
            let unit = value[end..].trim();
            end > 0 && unit.chars().all(|c| c.is_ascii_alphabetic() || c == 'µ')
        };
        match self {
            Self::String | Self::Format => true,
            Self::Integer => value.parse::<i64>().is_ok(),
            Self::Float => value.parse::<f64>().is_ok(),
            Self::Boolean => value.parse::<bool>().is_ok(),
            Self::Bytes | Self::Duration => number_and_unit(),
        }
    }
}

impl OptionInfo {
    /// Whether the option is called so. A `*` in its own name stands for any text, as in
    /// `fields.*.kind`.
    fn is_named(&self, name: &str) -> bool {
        match self.name.split_once('*') {
            None => self.name == name,
            Some((start, end)) => {
                let inner = name.strip_prefix(start).and_then(|rest| rest.strip_suffix(end));
                inner.is_some_and(|inner| !inner.is_empty())
            }
        }
    }

    /// `None` if the type does not exist.
    pub(crate) fn new(
        name: String,
        value_type: u32,
        flags: u32,
        default: String,
        doc: String,
    ) -> Option<Self> {
        let value_type = match value_type {
            TYPE_STRING => OptionType::String,
            TYPE_INTEGER => OptionType::Integer,
            TYPE_FLOAT => OptionType::Float,
            TYPE_BOOLEAN => OptionType::Boolean,
            TYPE_BYTES => OptionType::Bytes,
            TYPE_DURATION => OptionType::Duration,
            TYPE_FORMAT => OptionType::Format,
            _ => return None,
        };
        Some(Self {
            name,
            value_type,
            required: flags & OPTION_REQUIRED != 0,
            secret: flags & OPTION_SECRET != 0,
            default: (flags & OPTION_HAS_DEFAULT != 0).then_some(default),
            doc,
        })
    }
}

/// Checks what was given against what is declared.
///
/// # Errors
/// The first option that is unknown (with the nearest that is known), of another type, or missing.
pub fn check_options(
    owner: &str,
    declared: &[OptionInfo],
    given: &[(String, String)],
) -> Result<(), CallError> {
    for (name, value) in given {
        let Some(option) = declared.iter().find(|option| option.is_named(name)) else {
            let known = declared.iter().map(|option| option.name.as_str());
            let hint = match nearest(name, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if declared.is_empty() => "it takes none".into(),
                None => format!("it takes {}", known.collect::<Vec<_>>().join(", ")),
            };
            return Err(CallError::new(format!("{owner} has no option `{name}`: {hint}")));
        };
        if !option.value_type.accepts(value) {
            let shown = if option.secret { "its value" } else { value.as_str() };
            return Err(CallError::new(format!(
                "the option `{name}` of {owner} is {}, but `{shown}` is not",
                option.value_type.describe()
            )));
        }
    }
    let missing = declared
        .iter()
        .find(|option| option.required && !given.iter().any(|(name, _)| *name == option.name));
    match missing {
        Some(option) => Err(CallError::new(format!(
            "{owner} needs the option `{}`: {}",
            option.name, option.doc
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared() -> Vec<OptionInfo> {
        let option = |name: &str, value_type, flags| {
            OptionInfo::new(name.into(), value_type, flags, String::new(), "its doc".into())
                .unwrap()
        };
        vec![
            option("path", TYPE_STRING, OPTION_REQUIRED),
            option("split-size", TYPE_BYTES, 0),
            option("password", TYPE_INTEGER, OPTION_SECRET),
        ]
    }

    fn refusal(given: &[(&str, &str)]) -> String {
        let given: Vec<_> = given.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        check_options("source files", &declared(), &given).unwrap_err().to_string()
    }

    #[test]
    fn unknown_mistyped_and_missing_options_are_refused() {
        assert_eq!(
            refusal(&[("path", "a"), ("split.size", "1")]),
            "source files has no option `split.size`: did you mean `split-size`?"
        );
        assert_eq!(
            refusal(&[("path", "a"), ("split-size", "large")]),
            "the option `split-size` of source files is a number of bytes such as `64 MiB`, but \
             `large` is not"
        );
        assert_eq!(refusal(&[]), "source files needs the option `path`: its doc");
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let option = |name: &str| {
            OptionInfo::new(name.into(), TYPE_STRING, 0, String::new(), "doc".into()).unwrap()
        };
        let kind = option("fields.*.kind");
        assert!(kind.is_named("fields.id.kind") && kind.is_named("fields.a.b.kind"));
        assert!(!kind.is_named("fields..kind") && !kind.is_named("fields.kind"));
        assert!(!option("fields.id.kind").is_named("fields.*.kind"));
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert!(!refusal(&[("path", "a"), ("password", "hunter2")]).contains("hunter2"));
    }

    #[test]
    fn good_options_pass() {
        let given = vec![("path".into(), "a".into()), ("split-size".into(), "64 MiB".into())];
        assert_eq!(check_options("source files", &declared(), &given), Ok(()));
    }
}
