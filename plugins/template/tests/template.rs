//! The plugin in a host in miniature.

use std::fs;

use millstream_sdk::prelude::*;
use millstream_sdk_test::{FormatTest, FunctionTest, SinkTest, SourceTest};

/// A row of the source. The derive needs no dependency but the SDK.
#[derive(Clone, Debug, PartialEq, Record)]
struct Second {
    number: i64,
    text: String,
    half: Option<i64>,
}

fn countdown(from: &str) -> SourceTest {
    SourceTest::new::<Second>(template::plugin, "countdown").option("from", from)
}

#[test]
fn it_counts_down() {
    let second = |number, text: &str, half| Second { number, text: text.into(), half };
    let expected = [
        second(3, "3 seconds to go", None),
        second(2, "2 seconds to go", Some(1)),
        second(1, "1 seconds to go", None),
    ];
    assert_eq!(countdown("3").rows::<Second>().expect("rows"), expected);
    // More rows than a page holds: the texts fill it first.
    assert_eq!(countdown("2500").rows::<Second>().expect("rows").len(), 2500);
    assert!(countdown("0").rows::<Second>().expect("rows").is_empty());
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
    assert!(said.contains("gives a BIGINT, a STRING and a BIGINT that may be NULL"), "{said}");
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

#[test]
fn the_format_reads_what_it_writes() {
    let labelled = FormatTest::new::<i64>(template::plugin, "labelled").option("label", "n");
    assert_eq!(labelled.file::<i64>(&[7, -8]).expect("a file"), b"n: 7\nn: -8\n");
    assert_eq!(labelled.rows::<i64>(b"n: 7\nn: -8").expect("rows"), [7, -8]);
    labelled.check_contract::<i64>(b"n: 7\nn: -8\nn: 900\n");
    let said = labelled.rows::<i64>(b"n: 7\nm: 8\n").expect_err("it is refused").to_string();
    assert!(said.starts_with("line 2: ") && said.contains("`m: 8` is not `n: `"), "{said}");
}

#[test]
fn the_function_clamps() {
    let clamp = FunctionTest::new(template::plugin, "clamp");
    let rows = [(Some(5), 1, 3), (Some(0), 1, 3), (Some(2), 1, 3), (None, 1, 3)];
    let results = clamp.scalar::<(Option<i64>, i64, i64), Option<i64>>(&rows).expect("results");
    assert_eq!(results, [Some(3), Some(1), Some(2), None]);
    clamp.check_scalar::<(Option<i64>, i64, i64), Option<i64>>(&rows);
    let said = clamp.scalar::<(i64,), i64>(&[]).expect_err("one argument").to_string();
    assert!(said.contains("it takes (number BIGINT NULL, low BIGINT, high BIGINT)"), "{said}");
}
