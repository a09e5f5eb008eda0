//! JSON lines beside another parser: the same objects, the same rows, the same refusals.

use std::sync::Arc;

use millstream_data::{
    Record, Value,
    page::{Layout, RowBuilder, Shape, ValidPage},
};
use millstream_format::{Columns, RecordError, Step, json};
use proptest::{collection, option, prelude::*, sample};
use serde_json::{Map, Value as Json, json as json_value};

#[derive(Clone, Debug, PartialEq, Record)]
struct Inner {
    number: Option<i64>,
    text: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Record)]
struct Outer {
    number: Option<i64>,
    text: Option<String>,
    float: Option<f64>,
    truth: Option<bool>,
    list: Option<Vec<Option<i64>>>,
    inner: Option<Inner>,
}

const PAGE_BYTES: usize = 64 << 10;

/// Decodes the lines with one decoder, up to the first that is refused.
fn decode(lines: &[String]) -> Result<Vec<Outer>, RecordError> {
    let mut decoder = json::Decoder::new(&Columns::new(&Outer::schema()).unwrap());
    let shape = Arc::new(Shape::new(&Outer::schema()));
    let layout = Arc::new(Layout::fitted(&shape, PAGE_BYTES, 100).unwrap());
    let mut words = vec![0u128; PAGE_BYTES / 16];
    let mut rows = RowBuilder::new(bytemuck::cast_slice_mut(&mut words), &shape, &layout);
    for line in lines {
        let step = decoder.record(line.as_bytes(), 0, true, &mut rows)?;
        assert_eq!(step, Step::Row(line.len()), "{line}");
    }
    let sealed = rows.seal(true);
    let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
    let columns = Outer::bind(&page);
    Ok((0..page.rows()).map(|row| Outer::own(Outer::at(&columns, row))).collect())
}

/// The row that the other parser reads.
fn expected(line: &str) -> Option<Outer> {
    let value: Json = serde_json::from_str(line).ok()?;
    let object = value.as_object()?;
    let (number, text) = (|o: &Map<_, _>| o.get("number").and_then(Json::as_i64), text_of);
    Some(Outer {
        number: number(object),
        text: text(object),
        float: object.get("float").and_then(Json::as_f64),
        truth: object.get("truth").and_then(Json::as_bool),
        list: object
            .get("list")
            .and_then(Json::as_array)
            .map(|items| items.iter().map(Json::as_i64).collect()),
        inner: object
            .get("inner")
            .and_then(Json::as_object)
            .map(|inner| Inner { number: number(inner), text: text(inner) }),
    })
}

fn text_of(object: &Map<String, Json>) -> Option<String> {
    object.get("text").and_then(Json::as_str).map(str::to_owned)
}

/// The text of an object with its members in this order, and this between the tokens.
fn written(members: &[(String, Json)], space: &str) -> String {
    let value = |value: &Json| match value {
        Json::Object(inner) => {
            let inner: Vec<_> = inner.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            written(&inner, space)
        }
        other => other.to_string(),
    };
    let members = members.iter().map(|(name, member)| {
        format!("{space}{}{space}:{space}{}{space}", json_value!(name), value(member))
    });
    format!("{space}{{{}}}{space}", members.collect::<Vec<_>>().join(","))
}

fn texts() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,40}", "[ -~]{0,20}", ".{0,20}", "[\"\\\\\n\t\u{1}äß😀]{0,10}"]
}

/// Values of every column, and members that nobody asks for.
fn objects() -> impl Strategy<Value = Vec<(String, Json)>> {
    let inner = (option::of(any::<i64>()), option::of(texts()))
        .prop_map(|(number, text)| json_value!({"text": text, "number": number}));
    let members = (
        option::of(any::<i64>()),
        option::of(texts()),
        option::of(-1e9f64..1e9),
        option::of(any::<bool>()),
        option::of(collection::vec(option::of(-9i64..9), 0..4)),
        option::of(inner),
        option::of(texts()),
    )
        .prop_map(|(number, text, float, truth, list, inner, more)| {
            vec![
                ("number".to_owned(), json_value!(number)),
                ("text".to_owned(), json_value!(text)),
                ("float".to_owned(), json_value!(float)),
                ("truth".to_owned(), json_value!(truth)),
                ("list".to_owned(), json_value!(list)),
                ("inner".to_owned(), json_value!(inner)),
                ("more".to_owned(), json_value!([more, {"text": more}])),
            ]
        });
    (members, 0usize..=7).prop_flat_map(|(members, kept)| {
        Just(members).prop_shuffle().prop_map(move |members| members[..kept].to_vec())
    })
}

proptest! {
    #[test]
    fn objects_are_the_rows_that_they_say(
        objects in collection::vec((objects(), sample::select(vec!["", " ", "\t \r"])), 1..6),
    ) {
        let lines: Vec<_> = objects.iter().map(|(object, space)| written(object, space)).collect();
        let expected: Option<Vec<_>> = lines.iter().map(|line| expected(line)).collect();
        prop_assert_eq!(decode(&lines).ok(), expected);
    }

    #[test]
    fn what_the_other_parser_refuses_is_refused(
        object in objects(),
        at in any::<sample::Index>(),
        byte in sample::select(b"{}[]\",:\\ 0123-.eEtrufalsn\x01x".to_vec()),
        cut in any::<bool>(),
    ) {
        let kept = object.into_iter().filter(|(name, _)| name != "more").collect::<Vec<_>>();
        let mut line = written(&kept, "").into_bytes();
        match at.index(line.len()) {
            at if cut => line.truncate(at),
            at => line[at] = byte,
        }
        let Ok(line) = String::from_utf8(line) else { return Ok(()) };
        prop_assume!(!line.trim().is_empty());
        // A number that is too large is one all the same: infinity, as in Java.
        if serde_json::from_str::<Json>(&line).is_err_and(|error| !error.to_string().contains("out of range")) {
            prop_assert!(decode(&[line]).is_err());
        }
    }
}

#[test]
fn numbers_and_text_go_where_they_can() {
    let row = |line: &str| decode(&[line.to_owned()]).map(|rows| rows[0].clone());
    let numbers = row(r#"{"number":1e3,"text":12.50,"float":"1.5","truth":"true"}"#).unwrap();
    assert_eq!((numbers.number, numbers.text.as_deref()), (Some(1000), Some("12.50")));
    assert_eq!((numbers.float, numbers.truth), (Some(1.5), Some(true)));
    let nested = row(r#"{"text":{"a": [1, "}"]},"number":"-7"}"#).unwrap();
    assert_eq!((nested.number, nested.text.as_deref()), (Some(-7), Some(r#"{"a": [1, "}"]}"#)));
    let largest = row(r#"{"number":9223372036854775807}"#).unwrap();
    assert_eq!(largest.number, Some(i64::MAX));
    for (line, expected) in [
        (r#"{"number":9223372036854775808}"#, "column `number`: `9223372036854775808` is not"),
        (r#"{"number":{}}"#, "expected a plain value for column `number`, and found an object"),
        (r#"{"inner":"x"}"#, "expected an object for column `inner`, and found a string"),
        (r#"{"number":,"text":1}"#, "no JSON at character 11: expected a value"),
        (r#"{"ä":1,"number" 1}"#, "no JSON at character 17: expected `:`"),
        (r#"{"text":"a\q"}"#, "no JSON at character 12: no such escape"),
        (r#"{"number":1,}"#, "no JSON at character 13: expected the name of a member"),
        (r#"{"number":01}"#, "no JSON at character 12: expected `,` or `}`"),
        ("{\"number\":1", "does not end before the line does (character 11)"),
        ("\"number\"", "no JSON at character 1: expected an object"),
    ] {
        let message = row(line).unwrap_err().message;
        assert!(message.contains(expected), "{line}: {message}");
    }
}

#[test]
fn a_line_that_is_no_text_is_refused() {
    let mut decoder = json::Decoder::new(&Columns::new(&Outer::schema()).unwrap());
    let shape = Arc::new(Shape::new(&Outer::schema()));
    let layout = Arc::new(Layout::fitted(&shape, PAGE_BYTES, 100).unwrap());
    let mut words = vec![0u128; PAGE_BYTES / 16];
    let mut rows = RowBuilder::new(bytemuck::cast_slice_mut(&mut words), &shape, &layout);
    let error = decoder.record(b"{\"text\":\"\xFF\"}", 0, true, &mut rows).unwrap_err();
    assert_eq!(error.message, "the line is not UTF-8 text from byte 10 on");
}
