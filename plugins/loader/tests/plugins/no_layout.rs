//! Says that it is written in Rust, and does not describe its layout.

mod raw;

use millstream_abi::{Host, LANGUAGE_RUST, Plugin};

/// The plugin's entry.
#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    let plugin = Plugin { language: LANGUAGE_RUST, ..raw::plugin("no_layout", &[]) };
    Box::leak(Box::new(plugin))
}
