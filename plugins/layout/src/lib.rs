//! Whether a plugin written in Rust and this engine agree on the layout of what crosses the border.
//!
//! The border is C, and its tables begin with size and version. That catches a table that is too
//! short, not two fields that changed places. So a library that the Rust SDK makes carries a
//! [`Description`] of every struct of `millstream-abi`, derived by `abi_stable` from the types that
//! its compiler saw: names, types, sizes, alignments and offsets, down to the parameters of each
//! function. [`check`] compares it with the engine's own, before any code of the plugin runs, and
//! says what differs.
//!
//! This crate, and the derive in `millstream-abi` behind the feature `layout`, are all that knows
//! `abi_stable`. Nothing is called through it and no module of it is made: what replaces it has to
//! provide [`Description`], [`check`] and [`export_layout!`].

use std::ffi::c_void;

use abi_stable::{
    StableAbi,
    library::{AbiHeaderRef, CheckTypeLayout, LibHeader, RootModule, RootModuleError},
    package_version_strings,
    sabi_types::VersionStrings,
    std_types::{RBoxError, RErr},
};
use millstream_abi::{
    ChainHost, Extension, FormatTable, FunctionTable, Host, JobTable, OptionSpec, Plugin,
    SinkTable, SourceTable, StateHost,
};

/// What a library says of its layout: the static that [`export_layout!`] puts into it.
pub type Description = LibHeader;

/// Everything that crosses, as the parameters of a function that nobody calls.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = BorderRef)))]
#[sabi(missing_field(panic))]
pub struct Border {
    /// What the two sides begin with, and the tables of each kind of extension.
    #[sabi(last_prefix_field)]
    pub crosses: unsafe extern "C" fn(
        host: *const Host,
        plugin: *const Plugin,
        extension: *const Extension,
        option: *const OptionSpec,
        source: *const SourceTable,
        sink: *const SinkTable,
        job: *const JobTable,
        chain_host: *const ChainHost,
        state_host: *const StateHost,
        format: *const FormatTable,
        function: *const FunctionTable,
    ),
}

impl RootModule for BorderRef {
    abi_stable::declare_root_module_statics! {BorderRef}

    const BASE_NAME: &'static str = "millstream_border";
    const NAME: &'static str = "millstream_border";
    const VERSION_STRINGS: VersionStrings = package_version_strings!();
}

/// What this crate was compiled with.
pub const fn description() -> Description {
    // SAFETY: the constructor gives no module.
    unsafe { LibHeader::from_constructor::<BorderRef>(no_module, CheckTypeLayout::Yes) }
}

/// A description is for comparing; there is no module behind it.
extern "C" fn no_module() -> abi_stable::library::RootModuleResult {
    RErr(RootModuleError::Returned(RBoxError::from_fmt("a layout has no module")))
}

/// Puts a [`Description`] into a library, under
/// [`LAYOUT_SYMBOL`](millstream_abi::LAYOUT_SYMBOL).
#[macro_export]
macro_rules! export_layout {
    () => {
        /// The layout of the plugin interface, as this library was compiled with it.
        #[unsafe(no_mangle)]
        #[allow(non_upper_case_globals)]
        pub static millstream_layout_v1: $crate::Description = $crate::description();
    };
}

/// Compares a library's description with the engine's own; the error says what differs.
///
/// # Safety
/// `description` is the address of the symbol that [`export_layout!`] defines, in a library that is
/// never unloaded; whatever its version, it begins with the header of `abi_stable`.
pub unsafe fn check(description: *const c_void) -> Result<(), String> {
    if description.is_null() {
        return Err("the description is missing".into());
    }
    // SAFETY: the caller's promise; a header reference is a pointer that is not null.
    let header: AbiHeaderRef = unsafe { std::mem::transmute(description) };
    if !header.is_valid() {
        return Err("its description of the interface is not one that this engine can read".into());
    }
    let described = header.upgrade().map_err(|error| error.to_string())?;
    described.ensure_layout::<BorderRef>().map_err(|error| summary(&error.to_string()))
}

/// The differences in one line. The full report repeats both layouts of every struct on the way to
/// the one that differs; of it the innermost struct is kept, and what was expected and found.
fn summary(report: &str) -> String {
    // Of crates of two versions every struct differs, in the same way.
    if let Some(packages) = package_versions(report) {
        return packages;
    }
    let mut differences: Vec<String> = Vec::new();
    let (mut owner, mut last_owner) = ("", "");
    let mut lines = report.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("--- Type Layout") {
            owner = lines.next().and_then(|line| line.strip_prefix("type:")).unwrap_or("");
        } else if let Some(what) = line.strip_prefix("Error:") {
            let mut values = lines.clone().filter(|line| !line.is_empty());
            let mut value = |name| (values.next() == Some(name)).then(|| values.next()).flatten();
            let expected = value("Expected:").unwrap_or("?");
            let found = lines.clone().skip_while(|line| *line != "Found:").nth(1).unwrap_or("?");
            let short = |value: &'_ str| value.trim_start_matches("field_name:").to_owned();
            let (expected, found) = (short(expected), short(found));
            let name = if owner == last_owner { String::new() } else { format!("`{owner}`: ") };
            last_owner = owner;
            differences.push(format!("{name}{what} (expected {expected}, found {found})"));
        }
    }
    match differences.is_empty() {
        true => report.split_whitespace().collect::<Vec<_>>().join(" "),
        false => differences.join("; "),
    }
}

/// What the report says if all that differs is the version of the crate.
fn package_versions(report: &str) -> Option<String> {
    const WHAT: &str = "incompatible package versions";
    let mut errors = report.lines().filter_map(|line| line.trim().strip_prefix("Error:"));
    if !report.contains(WHAT) || !errors.all(|error| error.trim().starts_with(WHAT)) {
        return None;
    }
    let mut lines = report.lines().map(str::trim).skip_while(|line| !line.contains(WHAT));
    let mut value = |name: &str| {
        let mut rest = lines.by_ref().skip_while(|line| *line != name);
        rest.nth(1).map(str::to_owned)
    };
    let (expected, found) = (value("Expected:")?, value("Found:")?);
    Some(format!("it was built with version {found}, this engine has {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    static DESCRIPTION: Description = description();

    #[test]
    fn the_engine_agrees_with_itself() {
        // SAFETY: a description.
        assert_eq!(unsafe { check((&raw const DESCRIPTION).cast()) }, Ok(()));
    }

    #[test]
    fn what_is_no_description_is_refused() {
        let other = [0u8; 256];
        // SAFETY: long enough for a header, which is all that is read before it is known.
        let refusal = unsafe { check(other.as_ptr().cast()) }.unwrap_err();
        assert!(refusal.contains("not one that this engine can read"), "{refusal}");
    }
}
