//! A library that is no plugin.

/// Something that it exports.
#[unsafe(no_mangle)]
pub extern "C" fn something_else() -> u32 {
    1
}
