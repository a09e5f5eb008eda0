//! Plugins through the real binary.

use crate::program::{build_library, millstream, stderr, stdout};

#[test]
fn plugins_are_listed_and_explained() {
    let output = millstream(&["plugin", "list"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for name in ["blackhole", "datagen", "filesystem", "nexmark", "print", "socket"] {
        assert!(stdout(&output).contains(name), "{name} in {}", stdout(&output));
    }
    let output = millstream(&["plugin", "inspect", "nexmark"]);
    assert!(stdout(&output).contains("events"), "{}", stdout(&output));
    let output = millstream(&["plugin", "inspect", "nexmrak"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("did you mean `nexmark`?"), "{}", stderr(&output));
    let output = millstream(&["plugin", "list", "--plugin-path", "/nowhere"]);
    assert!(!output.status.success());
    assert!(stderr(&output).contains("/nowhere"), "{}", stderr(&output));
}

#[test]
fn words_are_counted() {
    let library = build_library("wordcount");
    let library = library.to_str().expect("a UTF-8 path");
    let output = millstream(&["run", library, "--parallelism", "2"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut rows: Vec<_> = stdout(&output).lines().map(str::to_owned).collect();
    assert_eq!(rows.remove(0), "word,count");
    assert_eq!(rows.len(), 138);
    for row in ["that,13", "the,11", "we,10", "here,8", "battle,1"] {
        assert!(rows.iter().any(|found| found == row), "{row} in {rows:?}");
    }
    let output = millstream(&["plugin", "inspect", library]);
    assert!(stdout(&output).contains("--input"), "{}", stdout(&output));
}
