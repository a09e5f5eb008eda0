//! A library whose compiler saw another interface.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use millstream_loader::{LoadError, Registry};

use crate::libraries::{root, target};

const MANIFEST: &str = r#"
[workspace]
members = ["abi", "layout", "plugin"]

[workspace.package]
version = "0.1.0"
edition = "2024"
rust-version = "1.95"
license = "Apache-2.0"

[workspace.dependencies]
millstream-abi = { path = "abi" }
"#;

const PLUGIN_MANIFEST: &str = r#"
[package]
name = "other-layout"
version = "0.1.0"
edition = "2024"

[lib]
crate-type = ["cdylib"]

[dependencies]
millstream-abi = { path = "../abi" }
millstream-layout = { path = "../layout" }
"#;

const PLUGIN: &str = r#"
use millstream_abi::{Host, Plugin};

#[unsafe(no_mangle)]
pub extern "C" fn millstream_plugin_v1(_host: *const Host) -> *const Plugin {
    std::ptr::null()
}

millstream_layout::export_layout! {}
"#;

/// Copies a crate of this repository, with one change to its source.
fn copy(name: &str, to: &Path, change: Option<(&str, &str)>) {
    let from = root().join("..").join(name);
    fs::create_dir_all(to.join(name).join("src")).expect("a directory");
    let manifest = fs::read_to_string(from.join("Cargo.toml")).expect("a manifest");
    // The lints are of the workspace that is left behind.
    let manifest = manifest.replace("[lints]\nworkspace = true\n", "");
    write(&to.join(name).join("Cargo.toml"), &manifest);
    let mut changed = 0;
    for file in fs::read_dir(from.join("src")).expect("a directory") {
        let file = file.expect("a file");
        let mut source = fs::read_to_string(file.path()).expect("a source");
        if let Some((old, new)) = change {
            changed += source.matches(old).count();
            source = source.replace(old, new);
        }
        write(&to.join(name).join("src").join(file.file_name()), &source);
    }
    if let Some((old, _)) = change {
        assert_eq!(changed, 1, "`{old}` is there once");
    }
}

/// Writes a file if that changes it, so that nothing is built twice.
fn write(path: &Path, text: &str) {
    if fs::read_to_string(path).ok().as_deref() != Some(text) {
        fs::write(path, text).expect("a file");
    }
}

/// Builds a plugin against an interface that was changed. All variants are built in one directory:
/// cargo tells packages apart by where they are in their workspace, and sources by their time.
fn build(variant: &str, change: (&str, &str)) -> PathBuf {
    let directory = target().0.join("other-layout");
    copy("abi", &directory, Some(change));
    copy("layout", &directory, None);
    fs::create_dir_all(directory.join("plugin/src")).expect("a directory");
    write(&directory.join("Cargo.toml"), MANIFEST);
    write(&directory.join("plugin/Cargo.toml"), PLUGIN_MANIFEST);
    write(&directory.join("plugin/src/lib.rs"), PLUGIN);
    // The versions that this workspace has resolved, so that nothing is looked up.
    let lock = root().join("../../Cargo.lock");
    if !directory.join("Cargo.lock").exists() {
        fs::copy(lock, directory.join("Cargo.lock")).expect("the lock file");
    }
    let built = directory.join("target");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--target-dir"]).arg(&built).current_dir(&directory);
    assert!(cargo.status().expect("cargo runs").success(), "the plugin is built");
    let library = directory.join(format!("libother_layout_{variant}.so"));
    // A new file, since an earlier one may still be mapped.
    let _ = fs::remove_file(&library);
    fs::copy(built.join("debug/libother_layout.so"), &library).expect("the library");
    library
}

/// Why the library is refused.
fn refusal(variant: &str, change: (&str, &str)) -> LoadError {
    Registry::new().load(&build(variant, change)).expect_err("it is refused")
}

/// The difference that the refusal states.
fn difference(variant: &str, change: (&str, &str)) -> String {
    let refused = refusal(variant, change);
    assert!(matches!(refused, LoadError::Layout { .. }), "{refused}");
    let said = refused.to_string();
    assert!(said.contains("libother_layout_") && said.contains("rebuild"), "{said}");
    said
}

/// One test, since the variants are built one after the other. Their entry gives no table: a
/// refusal because of the layout shows that it was not asked.
#[test]
fn another_layout_is_refused_with_the_difference_before_the_entry_is_called() {
    let control = refusal("control", ("//! The border between", "//! The very border between"));
    assert!(matches!(control, LoadError::Entry { .. }), "{control}");

    let wider = ("    pub rows: u32,\n}", "    pub rows: u64,\n}");
    let said = difference("wider", wider);
    assert!(
        said.contains("`FilledPage`: ") && said.contains("(expected u32, found u64)"),
        "{said}"
    );
    let renamed = ("    pub length: u32,\n", "    pub bytes: u32,\n");
    let said = difference("renamed", renamed);
    assert!(
        said.contains("`FilledPage`: ") && said.contains("(expected length, found bytes)"),
        "{said}"
    );
    let added = (
        "    /// Closes a writer; what was neither finished",
        "    /// New.\n    pub sync: unsafe extern \"C\" fn(writer: *mut c_void) -> Status,\n    \
         /// Closes a writer; what was neither finished",
    );
    let said = difference("added", added);
    assert!(said.contains("`SinkTable`: ") && said.contains("(expected 11, found 12)"), "{said}");
    let format = (
        "    pub consumed: usize,\n    /// After a failure: lines",
        "    pub eaten: usize,\n    /// After a failure: lines",
    );
    let said = difference("format", format);
    assert!(
        said.contains("`Decoded`: ") && said.contains("(expected consumed, found eaten)"),
        "{said}"
    );
    let function = (
        "    pub accumulator: BorrowedBytes,\n    /// One sentence about it; may be empty.",
        "    pub state: BorrowedBytes,\n    /// One sentence about it; may be empty.",
    );
    let said = difference("function", function);
    assert!(
        said.contains("`BorrowedSignature`: ")
            && said.contains("(expected accumulator, found state)"),
        "{said}"
    );
}
