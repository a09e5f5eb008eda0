//! A plugin as one writes it without the SDK: included by those that have to misbehave.

use std::ffi::c_void;

use millstream_abi::{BorrowedStr, Extension, KIND_SOURCE, LANGUAGE_OTHER, Plugin, VERSION};

/// A plugin that offers sources with these tables, leaked as every plugin's.
pub(crate) fn plugin(name: &'static str, sources: &[(&'static str, *const c_void)]) -> Plugin {
    let source = |(name, table): &(&'static str, *const c_void)| Extension {
        size: size_of::<Extension>() as u32,
        kind: KIND_SOURCE,
        name: text(name),
        summary: text("misbehaves"),
        options: std::ptr::null(),
        options_length: 0,
        table: *table,
    };
    let extensions = Vec::leak(sources.iter().map(source).collect());
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
