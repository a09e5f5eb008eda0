//! Lending formats to connectors: the host resolves the name, whoever offers the format.

use std::{cell::RefCell, ffi::c_void, slice, str, sync::Arc};

use millstream_abi::{
    BorrowedBytes, BorrowedOptions, BorrowedStr, BytesSink, FAILED, FormatTable, LentFormat, OK,
    Status,
};

use super::open;
use crate::{
    CallError, OptionInfo,
    call::{Name, lend_bytes, lend_str},
    check_options,
    registry::nearest,
};

/// The formats that a registry's plugins offer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Formats(Arc<Vec<Offered>>);

/// A format that a plugin offers.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) name: String,
    pub(crate) owner: Name,
    pub(crate) options: Vec<OptionInfo>,
    /// What connectors are lent. A plugin is never unloaded, and neither is this: a connector may
    /// keep it as long as it likes.
    pub(crate) table: &'static FormatTable,
    lent_name: &'static str,
}

impl Formats {
    /// Adds a format.
    pub(crate) fn add(
        &mut self,
        name: &str,
        owner: Name,
        options: &[OptionInfo],
        table: &FormatTable,
    ) {
        // A plugin that is newer than this engine has a larger table; what is lent is what we know.
        let table = FormatTable { size: size_of::<FormatTable>() as u32, ..*table };
        let table = Box::leak(Box::new(table));
        let lent_name = Box::leak(owner.to_string().into_boxed_str());
        let (name, options) = (name.into(), options.to_vec());
        Arc::make_mut(&mut self.0).push(Offered { name, owner, options, table, lent_name });
    }

    /// The format called `name`.
    pub(crate) fn find(&self, name: &str) -> Result<&Offered, CallError> {
        self.0.iter().find(|offered| offered.name == name).ok_or_else(|| {
            let known = || self.0.iter().map(|offered| offered.name.as_str());
            let hint = match nearest(name, known()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.0.is_empty() => "no plugin offers any".into(),
                None => format!("known are {}", known().collect::<Vec<_>>().join(", ")),
            };
            CallError::new(format!("there is no format called `{name}`: {hint}"))
        })
    }
}

thread_local! {
    /// What the connector that is being opened on this thread may ask for.
    static OFFER: RefCell<Option<Offer>> = const { RefCell::new(None) };
}

struct Offer {
    formats: Formats,
    /// What it has asked for.
    opened: Vec<Name>,
}

/// Runs the call that opens a connector: during it these formats may be asked for. Gives those that
/// were opened, too.
pub(crate) fn offering<R>(formats: &Formats, call: impl FnOnce() -> R) -> (R, Vec<Name>) {
    let offer = Offer { formats: formats.clone(), opened: Vec::new() };
    let before = OFFER.replace(Some(offer));
    let result = call();
    let offer = OFFER.replace(before);
    (result, offer.map(|offer| offer.opened).unwrap_or_default())
}

/// [`Host::open_format`](millstream_abi::Host::open_format).
pub(crate) unsafe extern "C" fn open_format(
    _context: *mut c_void,
    name: BorrowedStr,
    options: BorrowedOptions,
    schema: BorrowedBytes,
    lent: *mut LentFormat,
    errors: BytesSink,
) -> Status {
    let formats = OFFER.with_borrow(|offer| offer.as_ref().map(|offer| offer.formats.clone()));
    let opened = match formats {
        // SAFETY: the connector lends name, options and schema for the call.
        Some(formats) => unsafe { resolve(&formats, name, options, schema) },
        None => Err(CallError::new("formats are opened while a source or sink is being opened")),
    };
    match opened {
        Ok((offered, opened)) => {
            OFFER.with_borrow_mut(|offer| {
                if let Some(offer) = offer {
                    offer.opened.push(offered.owner);
                }
            });
            // SAFETY: the connector lends the result for the call.
            unsafe {
                *lent = LentFormat {
                    size: size_of::<LentFormat>() as u32,
                    owner: lend_str(offered.lent_name),
                    table: offered.table,
                    format: opened,
                };
            }
            OK
        }
        Err(error) => {
            // SAFETY: the connector passed the sink for this call.
            unsafe { (errors.take)(errors.context, lend_bytes(error.to_string().as_bytes())) };
            FAILED
        }
    }
}

/// Opens the format of this name, with those of the options that are its own.
///
/// # Safety
/// Name, options and schema are readable during the call.
unsafe fn resolve(
    formats: &Formats,
    name: BorrowedStr,
    options: BorrowedOptions,
    schema: BorrowedBytes,
) -> Result<(Offered, *mut c_void), CallError> {
    // SAFETY: the caller's promise.
    let (name, schema) = unsafe { (text(name)?, list(schema.start, schema.length)) };
    let offered = formats.find(name)?;
    let mut own = Vec::new();
    // SAFETY: the caller's promise.
    for option in unsafe { list(options.start, options.length) } {
        // SAFETY: the caller's promise.
        let (key, value) = unsafe { (text(option.key)?, text(option.value)?) };
        if let Some(key) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('.')) {
            own.push((key.to_owned(), value.to_owned()));
        }
    }
    check_options(&format!("format `{name}`"), &offered.options, &own)?;
    let opened = open(&offered.owner, offered.table, &own, schema)?;
    Ok((offered.clone(), opened.0.as_ptr()))
}

/// # Safety
/// The text is readable as long as the result is used.
unsafe fn text<'a>(text: BorrowedStr) -> Result<&'a str, CallError> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { list(text.start, text.length) };
    str::from_utf8(bytes).map_err(|_| CallError::new("a plugin passed text that is not UTF-8"))
}

/// # Safety
/// `start` points to `length` items that live as long as the result, or `length` is 0.
unsafe fn list<'a, T>(start: *const T, length: usize) -> &'a [T] {
    if length == 0 || start.is_null() {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { slice::from_raw_parts(start, length) }
}
