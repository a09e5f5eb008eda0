//! Functions of JSON and their clauses.

use crate::refused;

#[test]
fn what_functions_of_json_cannot_is_named() {
    for (expression, expected) in [
        (
            "JSON_VALUE(channel, '$.a' RETURNING BIGINT)",
            "JSON_VALUE with RETURNING BIGINT is not supported",
        ),
        (
            "JSON_VALUE(channel, '$' RETURNING INT DEFAULT 'x' ON EMPTY)",
            "JSON_VALUE: the default 'x' is not of the type that it returns, INT; it is called as JSON_VALUE(text, path",
        ),
        (
            "JSON_VALUE(channel, '$' DEFAULT channel ON EMPTY)",
            "JSON_VALUE with DEFAULT of what is no constant ON EMPTY is not supported",
        ),
        (
            "JSON_VALUE(channel, '$' WITH WRAPPER)",
            "JSON_VALUE with WRAPPER UNCONDITIONAL is not supported",
        ),
        (
            "JSON_VALUE(channel, '$' EMPTY ARRAY ON ERROR)",
            "JSON_VALUE with EMPTY ARRAY ON ERROR is not supported",
        ),
        (
            "JSON_VALUE(channel, '$' FOO)",
            "`FOO` was found where RETURNING, or what stands ON EMPTY or ON ERROR was expected",
        ),
        (
            "JSON_VALUE(channel, '$' NULL ON FOO)",
            "`ON` was found where ON EMPTY or ON ERROR was expected",
        ),
        (
            "JSON_QUERY(channel, '$' RETURNING ARRAY<BIGINT>)",
            "JSON_QUERY with RETURNING ARRAY<BIGINT> is not supported",
        ),
        (
            "JSON_QUERY(channel, '$' DEFAULT 1 ON EMPTY)",
            "JSON_QUERY with DEFAULT ON EMPTY is not supported",
        ),
        ("JSON_QUERY(channel, '$' WITH CONDITIONAL)", "`)` was found where WRAPPER was expected"),
        (
            "JSON_EXISTS(channel, '$' TRUE ON EMPTY)",
            "JSON_EXISTS with TRUE ON EMPTY is not supported",
        ),
        ("price IS JSON", "IS JSON VALUE: BIGINT was found where a text was expected"),
        (
            "JSON_OBJECT(KEY price VALUE 1)",
            "JSON_OBJECT: the key is BIGINT, not a text; it is called as JSON_OBJECT(",
        ),
        ("JSON_OBJECT('a', 1)", "`,` was found where VALUE was expected"),
        (
            "JSON_ARRAY(date_time)",
            "JSON_ARRAY: JSON of TIMESTAMP(3) is not made yet: CAST it to STRING; it is called as",
        ),
        (
            "JSON_STRING(extra)",
            "is not made yet: CAST it to STRING; it is called as JSON_STRING(value)",
        ),
        // As in Flink.
        ("JSON_ARRAYAGG(DISTINCT price)", "`price` was found where ) was expected"),
        ("JSON_ARRAYAGG(price) FILTER (WHERE price > 1)", "`(` was found where the end"),
        ("JSON_ARRAYAGG(price) OVER (ORDER BY PROCTIME())", "`(` was found where the end"),
        ("JSON_OBJECTAGG(KEY price VALUE 1)", "JSON_OBJECT: the key is BIGINT, not a text"),
        ("JSON_OBJECTAGG(channel, price)", "`,` was found where VALUE was expected"),
        // Flink takes it, and does not heed it.
        ("JSON_ARRAYAGG(price ORDER BY price)", "`ORDER` was found where ) was expected"),
    ] {
        let message = refused(&format!("SELECT {expression} FROM bid"));
        assert!(message.contains(expected), "{expression}: {message}");
    }
}
