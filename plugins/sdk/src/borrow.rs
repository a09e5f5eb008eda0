//! Borrowed memory of the other side.

use std::{slice, str};

use millstream_abi::{BorrowedBytes, BorrowedOptions, BorrowedStr};

use crate::Error;

/// # Safety
/// `bytes` points to as many readable bytes as it says, for as long as the caller uses the result.
pub(crate) unsafe fn bytes<'a>(bytes: BorrowedBytes) -> &'a [u8] {
    if bytes.length == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(bytes.start, bytes.length) }
}

/// # Safety
/// As [`bytes`].
pub(crate) unsafe fn text<'a>(text: BorrowedStr) -> Result<&'a str, Error> {
    let text = BorrowedBytes { start: text.start, length: text.length };
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text) };
    str::from_utf8(bytes).map_err(|_| Error::new("the host passed text that is not UTF-8"))
}

/// # Safety
/// As [`bytes`], for the options and all that they point to.
pub(crate) unsafe fn options(options: BorrowedOptions) -> Result<Vec<(String, String)>, Error> {
    if options.length == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller's promise.
    let options = unsafe { slice::from_raw_parts(options.start, options.length) };
    options
        .iter()
        .map(|option| {
            // SAFETY: the caller's promise.
            let (key, value) = unsafe { (text(option.key)?, text(option.value)?) };
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

pub(crate) fn lend_str(text: &str) -> BorrowedStr {
    BorrowedStr { start: text.as_ptr(), length: text.len() }
}

pub(crate) fn lend_bytes(bytes: &[u8]) -> BorrowedBytes {
    BorrowedBytes { start: bytes.as_ptr(), length: bytes.len() }
}
