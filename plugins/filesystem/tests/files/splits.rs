//! Files in parts: whatever the size of a split, the rows are those of the whole file.

use millstream_sdk::prelude::Record;
use millstream_sdk_test::SourceTest;
use proptest::prelude::*;

use crate::scratch::Scratch;

#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    a: Option<String>,
    b: Option<String>,
}

fn lines(path: &str, format: &str, split_size: usize, readers: u32) -> Result<Vec<String>, String> {
    let source = SourceTest::new::<Row>(millstream_filesystem::plugin, "filesystem")
        .option("path", path)
        .option("format", format)
        .option("split-size", split_size.to_string());
    let mut lines = source.lines(4096, readers).map_err(|error| error.to_string())?;
    lines.sort_unstable();
    Ok(lines)
}

/// A field as it stands in a file: plain, or in quotes with what is special.
fn field() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c ]{0,6}",
        "[a-c,]{0,6}".prop_map(|inner| format!("\"{inner}\"")),
        "[a-c]{0,3}".prop_map(|inner| format!("\"{inner}\"\"{inner}\"")),
    ]
}

fn records() -> impl Strategy<Value = String> {
    let line_end = prop_oneof![Just("\n"), Just("\r\n"), Just("\n\n")];
    let record = (field(), field(), line_end).prop_map(|(a, b, end)| format!("{a},{b}{end}"));
    (prop::collection::vec(record, 0..40), any::<bool>()).prop_map(|(records, ended)| {
        let text = records.concat();
        if ended { text } else { text.trim_end_matches(['\r', '\n']).to_owned() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn csv_in_parts_is_csv(text in records(), split_size in 1usize..200, readers in 1u32..4) {
        let scratch = Scratch::new();
        let path = scratch.file("a.csv", format!("a,b\n{text}"));
        let whole = lines(&path, "csv", usize::MAX >> 1, 1);
        prop_assert!(whole.is_ok(), "{whole:?}");
        prop_assert_eq!(lines(&path, "csv", split_size, readers), whole);
        SourceTest::new::<Row>(millstream_filesystem::plugin, "filesystem")
            .option("path", path)
            .option("split-size", split_size.to_string())
            .check_contract();
    }

    #[test]
    fn json_in_parts_is_json(
        values in prop::collection::vec(
            ("[a-c\n\"\\\\]{0,8}", prop::option::of("[ä{}]{0,4}")),
            0..40,
        ),
        split_size in 1usize..200,
        readers in 1u32..4,
    ) {
        let line = |(a, b): &(String, Option<String>)| {
            let quoted = |text: &str| {
                let text = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
                format!("\"{text}\"")
            };
            let b = b.as_deref().map_or("null".into(), quoted);
            format!("{{\"b\":{b},\"a\":{}}}\n", quoted(a))
        };
        let scratch = Scratch::new();
        let path = scratch.file("a.json", values.iter().map(line).collect::<String>());
        let whole = lines(&path, "json", usize::MAX >> 1, 1);
        prop_assert_eq!(whole.as_ref().map(Vec::len), Ok(values.len()));
        prop_assert_eq!(lines(&path, "json", split_size, readers), whole);
    }

    #[test]
    fn any_bytes_give_rows_or_an_error(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        size in 1usize..50,
    ) {
        let scratch = Scratch::new();
        let path = scratch.file("a", [b"a,b\n", &bytes[..]].concat());
        for format in ["csv", "json"] {
            let _ = lines(&path, format, size, 2);
        }
    }
}

#[test]
fn line_ends_in_quotes_are_refused_in_parts_and_read_as_a_whole() {
    let scratch = Scratch::new();
    let text = format!("a,b\n{}x,\"two\nlines\"\ny,z\n", "p,q\n".repeat(20));
    let path = scratch.file("a.csv", &text);
    let whole = lines(&path, "csv", 1 << 20, 1).expect("one part");
    assert_eq!(whole.len(), 22);
    assert!(whole.contains(&r#"{"a":"x","b":"two\nlines"}"#.into()), "{whole:?}");
    // Wherever the parts begin: no part takes the second line for a record of its own.
    for split_size in 1..text.len() / 2 {
        let said = lines(&path, "csv", split_size, 1).expect_err("it is refused");
        assert!(said.contains("`csv.multiline` to true"), "parts of {split_size}: {said}");
    }
    let multiline = SourceTest::new::<Row>(millstream_filesystem::plugin, "filesystem")
        .option("path", path)
        .option("split-size", "5")
        .option("csv.multiline", "true");
    assert_eq!(multiline.lines(4096, 2).expect("a whole").len(), 22);
}
