//! Reading.

use millstream_sdk::prelude::{Decimal, Record, Timestamp};
use millstream_sdk_test::SourceTest;

use crate::scratch::Scratch;

#[derive(Clone, Debug, PartialEq, Record)]
struct Reading {
    id: i64,
    place: Option<String>,
    degrees: Option<f64>,
    price: Option<Decimal<10, 2>>,
    at: Option<Timestamp>,
    good: bool,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Person {
    id: i64,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Event {
    kind: i32,
    person: Option<Person>,
    bid: Option<Person>,
}

fn source<T: Record>(path: &str) -> SourceTest {
    SourceTest::new::<T>(millstream_filesystem::plugin, "filesystem").option("path", path)
}

fn json<T: Record>(path: &str) -> SourceTest {
    source::<T>(path).option("format", "json")
}

fn error<T: Record + std::fmt::Debug>(test: &SourceTest) -> String {
    test.rows::<T>().expect_err("it fails").to_string()
}

#[test]
fn json_members_are_matched_by_name() {
    let scratch = Scratch::new();
    let path = scratch.file(
        "a.json",
        concat!(
            r#"{"id":1,"place":"Ulm \u00e4\n","degrees":-1.5e1,"price":"12.345","#,
            r#""at":"1970-01-01 00:00:01","good":true}"#,
            "\n\n",
            r#" { "good" : false , "more" : [1,{"a":"}"}], "id" : 2 , "place" : "" } "#,
            "\r\n",
            r#"{"id":3,"place":null,"degrees":7,"price":0.5,"at":null,"good":true}"#,
        ),
    );
    let rows = json::<Reading>(&path).rows::<Reading>().expect("three rows");
    let expected = [
        Reading {
            id: 1,
            place: Some("Ulm ä\n".into()),
            degrees: Some(-15.0),
            price: Some(Decimal(1235)),
            at: Some(Timestamp(1_000_000)),
            good: true,
        },
        Reading {
            id: 2,
            place: Some(String::new()),
            degrees: None,
            price: None,
            at: None,
            good: false,
        },
        Reading {
            id: 3,
            place: None,
            degrees: Some(7.0),
            price: Some(Decimal(50)),
            at: None,
            good: true,
        },
    ];
    assert_eq!(rows, expected);
    json::<Reading>(&path).option("split-size", "20").check_contract();
}

#[test]
fn json_rows_nest() {
    let scratch = Scratch::new();
    let path = scratch.file(
        "a.json",
        concat!(
            r#"{"kind":0,"person":{"id":1,"name":"Saul"}}"#,
            "\n",
            r#"{"kind":2,"person":null,"bid":{"name":"a long name of nineteen","id":5}}"#,
            "\n",
        ),
    );
    let rows = json::<Event>(&path).rows::<Event>().expect("two rows");
    let person = |id, name: &str| Some(Person { id, name: name.into() });
    let expected = [
        Event { kind: 0, person: person(1, "Saul"), bid: None },
        Event { kind: 2, person: None, bid: person(5, "a long name of nineteen") },
    ];
    assert_eq!(rows, expected);
    json::<Event>(&path).check_contract();
}

#[test]
fn json_errors_name_line_and_column() {
    let scratch = Scratch::new();
    let refused = |line: &str| {
        let path = scratch.file("a.json", format!("{{\"id\":1,\"name\":\"a\"}}\n{line}\n"));
        let said = error::<Person>(&json::<Person>(&path));
        assert!(said.contains("a.json, line 2: "), "{said}");
        said.split("line 2: ").nth(1).expect("what is wrong").to_owned()
    };
    assert_eq!(refused(r#"{"id":"x","name":"a"}"#), "column `id`: `x` is not a BIGINT");
    assert_eq!(refused(r#"{"id":1.5,"name":"a"}"#), "column `id`: `1.5` is not a BIGINT");
    assert_eq!(
        refused(r#"{"id":null,"name":"a"}"#),
        "column `id`: null, but the column must not be NULL"
    );
    assert_eq!(
        refused(r#"{"id":2}"#),
        "there is no member `name`, and the column must not be NULL"
    );
    assert_eq!(refused(r#"{"id":2,"id":3,"name":"a"}"#), "the member `id` comes twice");
    let said = refused(r#"{"id":2,"name":"a"#);
    assert!(said.starts_with("the JSON object does not end before the line does"), "{said}");
    assert!(refused(r#"{"id":2 "name":"a"}"#).starts_with("no JSON at character 9"));
    assert!(refused("[1]").contains("an object"), "{}", refused("[1]"));
    assert!(refused(r#"{"id":2,"name":"a"} x"#).starts_with("no JSON at character 21"));
}

#[test]
fn csv_errors_name_line_and_column() {
    let scratch = Scratch::new();
    let path = scratch.file("a.csv", "name,id\na,1\nb,x\n");
    let said = error::<Person>(&source::<Person>(&path));
    assert!(said.ends_with("a.csv, line 3: column `id`: `x` is not a BIGINT"), "{said}");
    let said = error::<Event>(&source::<Event>(&path));
    assert!(said.contains("nested column `person`") && said.contains("use JSON"), "{said}");
}

#[test]
fn compressed_files_are_read_and_truncated_ones_refused() {
    let scratch = Scratch::new();
    let text: String = (0..5000).map(|id| format!("{id},name {id}\n")).collect();
    let text = format!("id,name\n{text}");
    let zstd = zstd::encode_all(text.as_bytes(), 3).expect("zstd");
    let path = scratch.file("a.csv.zst", &zstd);
    let rows = source::<Person>(&path).rows::<Person>().expect("all rows");
    assert_eq!(rows.len(), 5000);
    assert_eq!(rows[4999], Person { id: 4999, name: "name 4999".into() });
    source::<Person>(&path).check_contract();
    let path = scratch.file("b.csv.zst", &zstd[..zstd.len() / 2]);
    let said = error::<Person>(&source::<Person>(&path));
    assert!(
        said.contains("b.csv.zst") && said.contains("zstd") && said.contains("truncated"),
        "{said}"
    );
    let path = scratch.file("c.csv.zst", "no zstd at all");
    let said = error::<Person>(&source::<Person>(&path));
    assert!(said.contains("c.csv.zst") && said.contains("zstd"), "{said}");
}

#[test]
fn directories_and_patterns_name_many_files() {
    let scratch = Scratch::new();
    scratch.file("a.csv", "id,name\n1,a\n");
    scratch.file("b.csv", "name,other,id\nb,x,2\n");
    scratch.file(".hidden.csv", "damaged");
    let read = |path: &str| {
        let rows = source::<Person>(&scratch.path(path)).rows::<Person>().expect("rows");
        rows.iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(read(""), [1, 2]);
    assert_eq!(read("*.csv"), [1, 2]);
    assert_eq!(read("[b-z].csv"), [2]);
    source::<Person>(&scratch.path("")).check_contract();
    let said = error::<Person>(&source::<Person>(&scratch.path("*.txt")));
    assert!(said.contains("*.txt"), "{said}");
}

#[test]
fn lines_of_text_are_rows() {
    let scratch = Scratch::new();
    let path = scratch.file("a.txt", "one\n\ntwo, \"2\"\r\nlast");
    let text = source::<String>(&path).option("format", "text");
    assert_eq!(text.rows::<String>().expect("rows"), ["one", "", "two, \"2\"", "last"]);
    text.option("split-size", "4").check_contract();
    let path = scratch.file("b.txt", b"fine\n\xFF\n");
    let said = error::<String>(&source::<String>(&path).option("format", "text"));
    assert!(said.ends_with("b.txt, line 2: the line is not UTF-8 text"), "{said}");
    let said = error::<Person>(&source::<Person>(&path).option("format", "text"));
    assert!(said.contains("one column of STRING"), "{said}");
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Notes {
    id: i64,
    note: Option<String>,
    numbers: Vec<i64>,
}

#[test]
fn a_record_that_is_too_large_names_its_line_and_field() {
    let scratch = Scratch::new();
    let long = "x".repeat(3 << 20);
    let csv = scratch.file("a.csv", format!("id,note,numbers\n1,a,\n2,{long},7\n"));
    let json = scratch.file("a.json", format!("{{\"id\":1,\"numbers\":[]}}\n{{\"note\":\"{long}"));
    let limited = |test: SourceTest| test.option("max-record-size", "2 MiB");
    let said = error::<Notes>(&limited(source::<Notes>(&csv)));
    assert!(said.contains("a.csv, line 3: ") && said.contains("`note`"), "{said}");
    assert!(said.contains("`max-record-size`, 2097152 bytes"), "{said}");
    let said = error::<Notes>(&limited(source::<Notes>(&json).option("format", "json")));
    assert!(said.contains("a.json, line 2: ") && said.contains("`note` with at least"), "{said}");
    // Short as text, long as a row: eight bytes for each number.
    let numbers = "1;".repeat(1 << 19);
    let csv = scratch.file("b.csv", format!("id,note,numbers\n1,,{numbers}1\n"));
    let said = error::<Notes>(&limited(source::<Notes>(&csv)));
    assert!(said.contains("b.csv, line 2: ") && said.contains("`numbers` with 1048577"), "{said}");
    let rows = source::<Notes>(&csv).rows::<Notes>().expect("it fits the default limit");
    assert_eq!(rows[0].numbers.len(), (1 << 19) + 1);
}
