//! A plugin as one writes it without the SDK: included by those that have to misbehave.

use std::ffi::c_void;

use millstream_abi::{BorrowedStr, Extension, KIND_SOURCE, LANGUAGE_OTHER, Plugin, VERSION};

/// A plugin that offers sources with these tables, leaked as every plugin's.
#[allow(dead_code)]
pub(crate) fn plugin(name: &'static str, sources: &[(&'static str, *const c_void)]) -> Plugin {
    plugin_of(KIND_SOURCE, name, sources)
}

/// The same with extensions of any kind.
pub(crate) fn plugin_of(
    kind: u32,
    name: &'static str,
    tables: &[(&'static str, *const c_void)],
) -> Plugin {
    let extension = |(name, table): &(&'static str, *const c_void)| Extension {
        size: size_of::<Extension>() as u32,
        kind,
        name: text(name),
        summary: text("misbehaves"),
        options: std::ptr::null(),
        options_length: 0,
        table: *table,
    };
    let extensions = Vec::leak(tables.iter().map(extension).collect());
    Plugin {
        size: size_of::<Plugin>() as u32,
        version: VERSION,
        name: text(name),
        plugin_version: text("1"),
        summary: text("misbehaves"),
        extensions: extensions.as_ptr(),
        extensions_length: extensions.len(),
        language: LANGUAGE_OTHER,
    }
}

fn text(text: &'static str) -> BorrowedStr {
    BorrowedStr { start: text.as_ptr(), length: text.len() }
}
