//! The plugin in a host in miniature.

use std::fs;

use millstream_sdk::prelude::*;
use millstream_sdk_test::{SinkTest, SourceTest};

/// Rows of one column can be records, too. The derive needs no dependency but the SDK.
#[derive(Clone, Debug, PartialEq, Record)]
struct Number {
    number: i64,
}

fn countdown(from: &str) -> SourceTest {
    SourceTest::new::<i64>(template::plugin, "countdown").option("from", from)
}

#[test]
fn it_counts_down() {
    assert_eq!(countdown("3").rows::<i64>().expect("rows"), [3, 2, 1]);
    assert_eq!(countdown("2500").rows::<i64>().expect("rows").len(), 2500);
    let records = SourceTest::new::<Number>(template::plugin, "countdown").option("from", "2");
    let expected = [Number { number: 2 }, Number { number: 1 }];
    assert_eq!(records.rows::<Number>().expect("rows"), expected);
    assert!(countdown("0").rows::<i64>().expect("rows").is_empty());
}

#[test]
fn the_source_keeps_the_contract() {
    countdown("12345").check_contract();
}

#[test]
fn wrong_options_are_explained() {
    let said = countdown("-1").open().expect_err("it is refused").to_string();
    assert!(said.contains("the option `from` is -1"), "{said}");
    let text = SourceTest::new::<String>(template::plugin, "countdown").option("from", "1");
    let said = text.open().expect_err("it is refused").to_string();
    assert!(said.contains("one column of BIGINT"), "{said}");
}

#[test]
fn numbers_are_appended_when_all_is_done() {
    let path = std::env::temp_dir().join(format!("millstream-template-{}", std::process::id()));
    let _ = fs::remove_file(&path);
    let name = path.to_str().expect("a UTF-8 path");
    let append = SinkTest::new::<i64>(template::plugin, "append").option("path", name);
    append.check_contract::<i64>();
    append.abandon::<i64>(&[&[7, 8]]).expect("it is written");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "");
    append.write::<i64>(&[&[1, 2], &[3]]).expect("it is written");
    assert_eq!(fs::read_to_string(&path).expect("the file"), "1\n2\n3\n");
    fs::remove_file(&path).expect("the file");
}
