//! Texts as bytes, and as texts of fewer characters.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryViewBuilder, StringViewBuilder};
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use datafusion_common::DataFusionError;

use super::{
    Function,
    arguments::{Rows, constant_text, count, text},
    of, prepared,
    text::texts,
};
use crate::{
    bind::Bound,
    types::{BYTES, Kind, STRING, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["TO_BASE64"],
        doc: "TO_BASE64(text)",
        bind: |name, arguments| {
            texts(name, arguments, 1, |rows, row| Some(BASE64.encode(rows.text(0, row)?).into()))
        },
    },
    Function { names: &["FROM_BASE64"], doc: "FROM_BASE64(text)", bind: from_base64 },
    Function { names: &["ENCODE"], doc: "ENCODE(text, charset)", bind: encode },
    Function { names: &["DECODE"], doc: "DECODE(bytes, charset)", bind: decode },
    Function {
        names: &["URL_ENCODE"],
        doc: "URL_ENCODE(text)",
        bind: |name, arguments| {
            texts(name, arguments, 1, |rows, row| Some(url_encoded(rows.text(0, row)?).into()))
        },
    },
    Function { names: &["URL_DECODE"], doc: "URL_DECODE(text)", bind: url_decode },
];

/// As lenient as Java's: what is at the end may be left out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What is not of base64 is an error of the job, as in Flink.
fn from_base64(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(STRING, &arguments);
    Ok(prepared(name, String::new(), arguments, result, |arrays, rows| {
        let values = Rows::new(arrays);
        let mut made = StringViewBuilder::with_capacity(rows);
        for row in 0..rows {
            let Some(text) = values.text(0, row) else {
                made.append_null();
                continue;
            };
            let bytes = BASE64.decode(text).map_err(|_| {
                let shown: String = text.chars().take(40).collect();
                let message = format!("FROM_BASE64: the text '{shown}' is not of base64");
                DataFusionError::Execution(message)
            })?;
            made.append_value(String::from_utf8_lossy(&bytes));
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

/// How characters are bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Charset {
    Ascii,
    Latin1,
    Utf8,
    /// With a mark in front that says which byte comes first.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    /// That of a call, by its name.
    fn of(argument: &Bound) -> Result<Self, String> {
        let name = constant_text(argument).ok_or("the charset must be a constant text")?;
        Ok(match name.to_uppercase().as_str() {
            "US-ASCII" | "ASCII" => Self::Ascii,
            "ISO-8859-1" | "LATIN1" => Self::Latin1,
            "UTF-8" | "UTF8" => Self::Utf8,
            "UTF-16" => Self::Utf16,
            "UTF-16BE" => Self::Utf16Be,
            "UTF-16LE" => Self::Utf16Le,
            _ => {
                return Err(format!(
                    "there is no charset '{name}': use UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1 or US-ASCII"
                ));
            }
        })
    }

    /// A character that it does not have is a question mark.
    fn bytes(self, text: &str) -> Vec<u8> {
        let narrow = |most: u32| {
            let byte = |character: char| {
                let code = u32::from(character);
                if code <= most { code as u8 } else { b'?' }
            };
            text.chars().map(byte).collect()
        };
        match self {
            Self::Ascii => narrow(0x7f),
            Self::Latin1 => narrow(0xff),
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Utf16 if text.is_empty() => Vec::new(),
            Self::Utf16 => [vec![0xfe, 0xff], Self::Utf16Be.bytes(text)].concat(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }

    /// What is of no character becomes U+FFFD.
    fn text(self, bytes: &[u8]) -> String {
        let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
            let units: Vec<u16> =
                bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]])).collect();
            let mut made = String::from_utf16_lossy(&units);
            if bytes.len() % 2 == 1 {
                made.push(char::REPLACEMENT_CHARACTER);
            }
            made
        };
        let ascii = |byte: &u8| match byte.is_ascii() {
            true => char::from(*byte),
            false => char::REPLACEMENT_CHARACTER,
        };
        match self {
            Self::Ascii => bytes.iter().map(ascii).collect(),
            Self::Latin1 => bytes.iter().copied().map(char::from).collect(),
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
                [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
                _ => wide(bytes, u16::from_be_bytes),
            },
            Self::Utf16Be => wide(bytes, u16::from_be_bytes),
            Self::Utf16Le => wide(bytes, u16::from_le_bytes),
        }
    }
}

fn encode(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let charset = Charset::of(&arguments[1])?;
    let arguments = arguments.into_iter().take(1).map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(BYTES, &arguments);
    Ok(prepared(name, format!("{charset:?}"), arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let mut made = BinaryViewBuilder::with_capacity(rows);
        for row in 0..rows {
            made.append_option(values.text(0, row).map(|text| charset.bytes(text)));
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

fn decode(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let charset = Charset::of(&arguments[1])?;
    let kind = &arguments[0].data_type.kind;
    if !matches!(kind, Kind::Binary(_) | Kind::Varbinary(_)) {
        return Err(format!("{kind} was found where bytes were expected"));
    }
    let arguments: Vec<Bound> = arguments.into_iter().take(1).collect();
    let result = of(STRING, &arguments);
    Ok(prepared(name, format!("{charset:?}"), arguments, result, move |arrays, rows| {
        let mut made = StringViewBuilder::with_capacity(rows);
        for bytes in arrays[0].as_binary_view() {
            made.append_option(bytes.map(|bytes| charset.text(bytes)));
        }
        Ok(Arc::new(made.finish()) as ArrayRef)
    }))
}

/// As forms of HTML are sent: a space is a plus.
fn url_encoded(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => made.push('+'),
            b'.' | b'-' | b'*' | b'_' => made.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => made.push(byte.into()),
            _ => made.push_str(&format!("%{byte:02X}")),
        }
    }
    made
}

fn url_decode(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = Type::nullable(STRING);
    Ok(super::text::makes_text(name, String::new(), arguments, result, |rows, row| {
        Some(url_decoded(rows.text(0, row)?)?.into())
    }))
}

/// `None` if a percent sign has no two digits behind it.
fn url_decoded(text: &str) -> Option<String> {
    let mut made = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        made.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(bytes.next()?).to_digit(16);
                u8::try_from(digit()? << 4 | digit()?).ok()?
            }
            byte => byte,
        });
    }
    Some(String::from_utf8_lossy(&made).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn charsets_give_back_what_they_have() {
        use Charset::*;
        for charset in [Utf8, Utf16, Utf16Be, Utf16Le] {
            assert_eq!(charset.text(&charset.bytes("aß€😀")), "aß€😀", "{charset:?}");
        }
        assert_eq!(Latin1.text(&Latin1.bytes("aß€")), "aß?");
        assert_eq!(Ascii.text(&Ascii.bytes("aß")), "a?");
        assert_eq!(Ascii.text(&[0x41, 0xff]), "A\u{fffd}");
        assert_eq!(Utf16.text(&[0xff, 0xfe, 0x41, 0, 0x42]), "A\u{fffd}");
        assert_eq!(Utf16.bytes("A"), [0xfe, 0xff, 0, 0x41]);
    }

    #[test]
    fn urls_are_decoded_or_not() {
        assert_eq!(url_encoded("a b/ß*"), "a+b%2F%C3%9F*");
        assert_eq!(url_decoded("a+b%2f%C3%9F").as_deref(), Some("a b/ß"));
        assert_eq!(url_decoded("%4"), None);
        assert_eq!(url_decoded("%zz"), None);
        assert_eq!(url_decoded("%FF").as_deref(), Some("\u{fffd}"));
    }
}
