//! Directories for one test.

use std::{path::Path, path::PathBuf, process::Command};

use millstream_checkpoint::{
    Manifest,
    manifest::{File, Purpose},
};

/// A directory for one test, gone when the test ends.
pub(crate) struct Scratch(pub(crate) PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("millstream-checkpoints-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A file system of its own.
#[allow(dead_code, reason = "not all tests need one")]
pub(crate) struct Mount<'a>(&'a Path);

#[allow(dead_code, reason = "not all tests need one")]
impl<'a> Mount<'a> {
    /// `None` where the system lets nobody mount.
    pub(crate) fn new(path: &'a Path, options: &str) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "millstream-test"]).arg(path);
        if mount.output().is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        eprintln!("not tested: mounting a file system is not allowed");
        None
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// A manifest that lists these files.
pub(crate) fn manifest(checkpoint: u64, files: Vec<File>) -> Manifest {
    Manifest {
        checkpoint,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "flights".into(),
        graph_hash: 0,
        files,
        operators: vec![],
    }
}
