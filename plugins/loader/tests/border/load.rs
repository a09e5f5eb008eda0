//! Libraries that are refused: the error names the plugin and the difference, and the registry goes
//! on.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use millstream_loader::Registry;

use crate::libraries::{Scratch, plugin};

/// Loads what must be refused, and checks what is said about it and that the registry still works.
fn refusal(path: &Path, parts: &[&str]) {
    let mut registry = Registry::new();
    let said = registry.load(path).expect_err("it is refused").to_string();
    for part in parts {
        assert!(said.contains(part), "`{part}` in: {said}");
    }
    assert!(!said.contains('\n') || said.contains("layout"), "one line: {said}");
    assert!(registry.plugins().is_empty());
    registry.load(&plugin("calls")).expect("another plugin loads");
}

#[test]
fn a_library_without_the_entry() {
    let path = plugin("missing_symbol");
    refusal(&path, &["libmissing_symbol.so", "millstream_plugin_v1", "export!"]);
}

#[test]
fn another_version_of_the_interface() {
    let path = plugin("other_version");
    refusal(&path, &["libother_version.so", "version 2", "has 1", "rebuild"]);
}

#[test]
fn a_rust_library_that_hides_its_layout() {
    refusal(&plugin("no_layout"), &["libno_layout.so", "`no_layout`", "millstream_layout_v1"]);
}

#[test]
fn a_source_without_functions() {
    refusal(&plugin("null_table"), &["libnull_table.so", "`hollow`", "no functions"]);
}

#[test]
fn a_source_with_a_null_function() {
    refusal(&plugin("null_function"), &["libnull_function.so", "`holey`", "function 3 is null"]);
}

#[test]
fn a_format_whose_table_is_too_short() {
    let said = ["libformat_short.so", "`short`", "bytes, this engine needs"];
    refusal(&plugin("format_short"), &said);
}

#[test]
fn a_panic_at_load() {
    refusal(&plugin("panics_at_load"), &["libpanics_at_load.so", "panicked: no licence found"]);
}

#[test]
fn a_file_that_is_no_library() {
    let scratch = Scratch::new("no-library");
    let path = scratch.0.join("libtext.so");
    fs::write(&path, "text").expect("a scratch file");
    refusal(&path, &["libtext.so", "not a library"]);
    refusal(&scratch.0.join("libabsent.so"), &["libabsent.so", "No such file"]);
}

#[test]
fn a_file_that_anyone_may_write() {
    let scratch = Scratch::new("writable");
    let path = scratch.0.join("libcalls.so");
    fs::copy(plugin("calls"), &path).expect("a copy");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o757)).expect("permissions");
    refusal(&path, &["libcalls.so", "writable by everyone", "chmod o-w"]);
}

#[test]
fn a_name_that_is_taken() {
    let scratch = Scratch::new("duplicate");
    let copy = scratch.0.join("libcopy.so");
    fs::copy(plugin("calls"), &copy).expect("a copy");
    let mut registry = Registry::new();
    registry.load(&plugin("calls")).expect("the first is loaded");
    let said = registry.load(&copy).expect_err("the same name").to_string();
    assert!(said.contains("`calls`") && said.contains("libcopy.so"), "{said}");
    let said = registry.load(&plugin("duplicate")).expect_err("the same source").to_string();
    assert!(said.contains("source `calls`") && said.contains("libduplicate.so"), "{said}");
    assert_eq!(registry.plugins().len(), 1);
}

#[test]
fn a_directory_is_loaded_as_far_as_it_is_good() {
    let scratch = Scratch::new("directory");
    for name in ["calls", "missing_symbol", "pages"] {
        fs::copy(plugin(name), scratch.0.join(format!("lib{name}.so"))).expect("a copy");
    }
    fs::write(scratch.0.join("README"), "not looked at").expect("a scratch file");
    let mut registry = Registry::new();
    let refused = registry.load_directory(&scratch.0).expect("the directory is there");
    assert_eq!(refused.len(), 1);
    assert!(refused[0].to_string().contains("libmissing_symbol.so"), "{}", refused[0]);
    let names: Vec<_> = registry.plugins().iter().map(|plugin| plugin.name.as_str()).collect();
    assert_eq!(names, ["calls", "pages"]);
}
