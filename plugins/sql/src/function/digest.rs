//! Digests of texts, as hexadecimal digits.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use super::{
    Function,
    arguments::{constant_integer, count, text},
    numeral::lower,
    of,
    text::makes_text,
};
use crate::{bind::Bound, types::Kind};

pub(super) const FUNCTIONS: &[Function] = &[
    Function {
        names: &["MD5"],
        doc: "MD5(text)",
        bind: |name, arguments| digest(name, arguments, digits::<Md5>, Kind::Char(32)),
    },
    Function {
        names: &["SHA1"],
        doc: "SHA1(text)",
        bind: |name, arguments| digest(name, arguments, digits::<Sha1>, Kind::Char(40)),
    },
    Function {
        names: &["SHA224"],
        doc: "SHA224(text)",
        bind: |name, arguments| digest(name, arguments, digits::<Sha224>, Kind::Char(56)),
    },
    Function {
        names: &["SHA256"],
        doc: "SHA256(text)",
        bind: |name, arguments| digest(name, arguments, digits::<Sha256>, Kind::Char(64)),
    },
    Function {
        names: &["SHA384"],
        doc: "SHA384(text)",
        bind: |name, arguments| digest(name, arguments, digits::<Sha384>, Kind::Char(96)),
    },
    Function {
        names: &["SHA512"],
        doc: "SHA512(text)",
        bind: |name, arguments| digest(name, arguments, digits::<Sha512>, Kind::Char(128)),
    },
    Function { names: &["SHA2"], doc: "SHA2(text, 224 | 256 | 384 | 512)", bind: sha2_of },
];

fn digits<D: Digest>(text: &str) -> String {
    lower(&D::digest(text.as_bytes()))
}

fn digest(
    name: &'static str,
    arguments: Vec<Bound>,
    digits: fn(&str) -> String,
    kind: Kind,
) -> Result<Bound, String> {
    count(&arguments, 1..=1)?;
    let arguments = arguments.into_iter().map(text).collect::<Result<Vec<_>, _>>()?;
    let result = of(kind, &arguments);
    Ok(makes_text(name, String::new(), arguments, result, move |rows, row| {
        Some(digits(rows.text(0, row)?).into())
    }))
}

fn sha2_of(_: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 2..=2)?;
    let (name, digits): (_, fn(&str) -> String) = match constant_integer(&arguments[1]) {
        Some(224) => ("SHA224", digits::<Sha224>),
        Some(256) => ("SHA256", digits::<Sha256>),
        Some(384) => ("SHA384", digits::<Sha384>),
        Some(512) => ("SHA512", digits::<Sha512>),
        _ => return Err("the length must be the constant 224, 256, 384 or 512".into()),
    };
    digest(name, arguments.into_iter().take(1).collect(), digits, Kind::Varchar(128))
}
