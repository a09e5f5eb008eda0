//! Offers a source without functions.

mod raw;

use millstream_abi::{Host, Plugin};

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    Box::leak(Box::new(raw::plugin("null_table", &[("hollow", std::ptr::null())])))
}
