//! Results are shown when every part of a job is done, or not at all.

use std::{fs, path::PathBuf};

use millstream::{
    Runtime, builder,
    dataflow::{Connector, Environment},
    loader::Registry,
    result::Collected,
};

/// A directory of its own for a test, gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("millstream-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    /// The names of its files.
    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).expect("a directory");
        entries.map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Writes ten rows into a directory at once, while another branch takes a tenth of a second for its
/// rows and then fails, if it is to.
fn run(directory: &Scratch, fails: bool) -> bool {
    let env = Environment::new("two branches");
    let files = Connector::new("filesystem").option("path", directory.0.to_str().expect("UTF-8"));
    env.generate(|_, _| 0..10u64).sink("files", files);
    env.generate(|_, _| 0..100u64)
        .per_second(1000)
        .map(move |n| {
            assert!(!fails || n < 99, "the last row is a bad one");
            n
        })
        .result();
    let mut registry = Registry::new();
    builder::bundle(&mut registry).expect("the bundled plugins");
    let runtime = Runtime::builder().parallelism(1).plugins(registry).build().expect("memory");
    runtime.run(env.build(), Collected::<u64>::new().sink()).is_ok()
}

#[test]
fn a_sink_that_was_done_early_shows_nothing_if_another_branch_fails() {
    let directory = Scratch::new("not-shown");
    assert!(!run(&directory, true));
    assert_eq!(directory.files(), [""; 0], "not even hidden files are left");
}

#[test]
fn a_job_that_ends_well_shows_its_files() {
    let directory = Scratch::new("shown");
    assert!(run(&directory, false));
    let files = directory.files();
    assert!(!files.is_empty() && files.iter().all(|name| name.starts_with("part-")), "{files:?}");
}
