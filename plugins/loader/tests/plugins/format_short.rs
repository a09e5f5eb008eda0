//! Offers a format whose table ends too early.

mod raw;

use millstream_abi::{FormatTable, Host, KIND_FORMAT, Plugin, VERSION};

/// A table that says that it has no function.
#[repr(C)]
struct Table {
    size: u32,
    version: u32,
}

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let size = size_of::<FormatTable>() as u32 - 8;
    let table: *const Table = Box::leak(Box::new(Table { size, version: VERSION }));
    Box::leak(Box::new(raw::plugin_of(KIND_FORMAT, "format_short", &[("short", table.cast())])))
}
