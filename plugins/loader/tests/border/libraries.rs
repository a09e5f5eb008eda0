//! Building the libraries that the tests load.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The root of this crate.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where builds go: `target`, and the profile's directory in it.
pub(crate) fn target() -> (PathBuf, String) {
    let test = std::env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("target/profile/deps/test");
    let name = profile.file_name().and_then(|name| name.to_str()).expect("a profile's name");
    (profile.parent().expect("target").to_owned(), name.to_owned())
}

/// The library of `tests/plugins/NAME.rs`, built once for all tests.
pub(crate) fn plugin(name: &str) -> PathBuf {
    static EXAMPLES: OnceLock<PathBuf> = OnceLock::new();
    let examples = EXAMPLES.get_or_init(|| {
        let (target, profile) = target();
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", env!("CARGO_PKG_NAME"), "--examples"]);
        cargo.arg("--target-dir").arg(&target).current_dir(root());
        if profile == "release" {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the plugins are built");
        target.join(profile).join("examples")
    });
    examples.join(format!("lib{name}.so"))
}

/// A directory of its own for a test, gone when it is dropped.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a scratch directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
