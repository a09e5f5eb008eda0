//! The format `raw`, both ways.

use millstream_data::value::Bytes;
use millstream_format::plugin;
use millstream_sdk_test::FormatTest;

#[test]
fn texts_and_bytes_are_lines() {
    let file = "hello\n\nwörld\r\nlast".as_bytes();
    let texts = FormatTest::new::<String>(plugin, "raw");
    assert_eq!(texts.rows::<String>(file).unwrap(), ["hello", "", "wörld", "last"]);
    texts.check_contract::<String>(file);
    let refused = texts.rows::<String>(b"a\n\xFF\n").unwrap_err().to_string();
    assert!(refused.contains("line 2") && refused.contains("not UTF-8"), "{refused}");
    let bytes = FormatTest::new::<Bytes>(plugin, "raw");
    let file = b"\xFF\x00\n\n\x01";
    assert_eq!(bytes.rows::<Bytes>(file).unwrap().len(), 3);
    bytes.check_contract::<Bytes>(file);
}

#[test]
fn numbers_are_their_bytes() {
    let numbers = FormatTest::new::<i32>(plugin, "raw");
    // As Flink writes them.
    let file = b"\0\0\0\x01\n\0\0\x01\x02\n";
    assert_eq!(numbers.rows::<i32>(file).unwrap(), [1, 258]);
    assert_eq!(numbers.file(&[1, 258]).unwrap(), file);
    numbers.check_contract::<i32>(file);
    let little = FormatTest::new::<i64>(plugin, "raw").option("endianness", "little-endian");
    assert_eq!(little.file(&[258i64]).unwrap(), b"\x02\x01\0\0\0\0\0\0\n");
    little.check_contract::<i64>(b"\x02\x01\0\0\0\0\0\0\n");
    FormatTest::new::<f64>(plugin, "raw").check_contract::<f64>(&FILE_OF_A_DOUBLE);
    FormatTest::new::<bool>(plugin, "raw").check_contract::<bool>(b"\0\n\x01\n");
    let refused = numbers.rows::<i32>(b"\0\0\0\x01\n\0\n").unwrap_err().to_string();
    let expected = "the line has 1 bytes, but the column has 4";
    assert!(refused.contains("line 2") && refused.contains(expected), "{refused}");
}

/// 1.5
const FILE_OF_A_DOUBLE: [u8; 9] = [0x3F, 0xF8, 0, 0, 0, 0, 0, 0, b'\n'];

#[test]
fn what_has_no_bytes_is_refused() {
    let optional = FormatTest::new::<Option<String>>(plugin, "raw");
    assert_eq!(optional.file(&[Some("a".to_owned())]).unwrap(), b"a\n");
    let refused = optional.file(&[Some("a".to_owned()), None]).unwrap_err().to_string();
    assert!(
        refused.contains("a value is NULL, which the format raw has no bytes for"),
        "{refused}"
    );
    let opened = |test: FormatTest| test.open().map(drop).unwrap_err().to_string();
    let refused = opened(FormatTest::new::<(String, i64)>(plugin, "raw"));
    assert!(refused.contains("the format raw is one column, but the columns are"), "{refused}");
    let refused = opened(FormatTest::new::<Vec<i64>>(plugin, "raw"));
    assert!(refused.contains("the format raw has no column of"), "{refused}");
    let refused = opened(FormatTest::new::<String>(plugin, "raw").option("charset", "latin1"));
    assert!(refused.contains("only UTF-8 is read and written"), "{refused}");
    let refused = opened(FormatTest::new::<i32>(plugin, "raw").option("endianness", "middle"));
    assert!(refused.contains("is big-endian or little-endian, not middle"), "{refused}");
}
