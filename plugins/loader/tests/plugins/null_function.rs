//! Offers a source whose third function is null.

mod raw;

use std::ffi::c_void;

use millstream_abi::{Host, Plugin, SourceTable, VERSION};

unsafe extern "C" fn function(_handle: *mut c_void) {}

/// A source's table as C sees it, where a pointer to a function may be null.
#[repr(C)]
struct Table {
    size: u32,
    version: u32,
    functions: [Option<unsafe extern "C" fn(*mut c_void)>; 9],
}

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let mut functions = [Some(function as unsafe extern "C" fn(*mut c_void)); 9];
    functions[2] = None;
    let table = Table { size: size_of::<SourceTable>() as u32, version: VERSION, functions };
    let table: *const Table = Box::leak(Box::new(table));
    Box::leak(Box::new(raw::plugin("null_function", &[("holey", table.cast())])))
}
