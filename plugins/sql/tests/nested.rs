//! What scripts with nested values are refused for, word for word.

use millstream_dataflow::Environment;
use millstream_sql::script;

const TABLES: &str =
    "CREATE TABLE t (n INT, s STRING, a ARRAY<INT>, m MAP<STRING, INT>, r ROW<f INT>) WITH \
('connector' = 'datagen');
CREATE TABLE out (n INT, s VARCHAR(10)) WITH ('connector' = 'blackhole');
";

/// The error for a statement behind the tables.
fn refused(statement: &str) -> String {
    let script = format!("{TABLES}{statement}");
    match script::build(&script, &Environment::new("refused")) {
        Ok(()) => panic!("{statement} is run"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_has_no_meaning_is_named() {
    for (statement, expected) in [
        (
            "SELECT ARRAY[1, 'a'] FROM t",
            "ARRAY: INT and CHAR(1) have no type in common; it is called as ARRAY[value, …] (line 3, column 14)",
        ),
        (
            "SELECT MAP['a'] FROM t",
            "MAP: each key has a value; it is called as MAP[key, value, …] (line 3, column 8)",
        ),
        (
            "SELECT ARRAY[] FROM t",
            "ARRAY: it does not take 0 arguments; it is called as ARRAY[value, …] (line 3, column 1)",
        ),
        ("SELECT [1] FROM t", "an array is written `ARRAY[…]` (line 3, column 9)"),
        (
            "SELECT ARRAY[NULL] FROM t",
            "ARRAY: ARRAY<NULL> has values without a type: use CAST; it is called as ARRAY[value, …] (line 3, column 14)",
        ),
        ("SELECT a[0] FROM t", "the index of an array begins with 1, it was 0 (line 3, column 10)"),
        (
            "SELECT a['x'] FROM t",
            "the index of an array is a whole number, not CHAR(1) (line 3, column 10)",
        ),
        ("SELECT m[1] FROM t", "the keys of the map are STRING, not INT (line 3, column 10)"),
        ("SELECT n[1] FROM t", "INT has no elements (line 3, column 10)"),
        ("SELECT a[1:2] FROM t", "`a[1:2]` is not supported yet (line 3, column 8)"),
        ("SELECT ROW(n).x FROM t", "the row has no field `x` (line 3, column 15)"),
        ("SELECT r['nope'] FROM t", "the row has no field `nope` (line 3, column 10)"),
        ("SELECT r[n] FROM t", "a field of a row is named by a constant (line 3, column 10)"),
        ("SELECT r[2] FROM t", "there is no such field (line 3, column 10)"),
        ("SELECT r < r FROM t", "values of ROW<`f` INT> are in no order (line 3, column 8)"),
        (
            "SELECT n FROM t WHERE a BETWEEN a AND a",
            "values of ARRAY<INT> are in no order (line 3, column 23)",
        ),
        (
            "SELECT n FROM t ORDER BY r LIMIT 3",
            "values of ROW<`f` INT> are in no order (line 3, column 26)",
        ),
        (
            "SELECT * FROM (SELECT ROW_NUMBER() OVER (PARTITION BY n ORDER BY a) AS k FROM t) WHERE k = 1",
            "values of ARRAY<INT> are in no order (line 3, column 66)",
        ),
        (
            "SELECT MAX(r) FROM t",
            "MAX: ROW<`f` INT> was found where a number, a text or a time was expected (line 3, column 8)",
        ),
        (
            "SELECT GREATEST(a, a) FROM t",
            "GREATEST: values of ARRAY<INT> are in no order; it is called as GREATEST(value, …) (line 3, column 8)",
        ),
        (
            "SELECT CARDINALITY(n) FROM t",
            "CARDINALITY: INT was found where an ARRAY, a MAP or a ROW was expected; it is called as CARDINALITY(array, map or multiset) (line 3, column 8)",
        ),
        (
            "SELECT CARDINALITY(r) FROM t",
            "CARDINALITY: ROW<`f` INT> was found where an ARRAY or a MAP was expected; it is called as CARDINALITY(array, map or multiset) (line 3, column 8)",
        ),
        (
            "SELECT ELEMENT(m) FROM t",
            "ELEMENT: MAP<STRING, INT> was found where an ARRAY was expected; it is called as ELEMENT(array or multiset) (line 3, column 8)",
        ),
        (
            "SELECT CAST(r AS ROW<x INT, y INT>) FROM t",
            "there is no CAST of ROW<`f` INT> to ROW<`x` INT, `y` INT> (line 3, column 13)",
        ),
        (
            "SELECT CAST(n AS ARRAY<INT>) FROM t",
            "there is no CAST of INT to ARRAY<INT> (line 3, column 13)",
        ),
        (
            "SELECT CAST(s AS ARRAY<INT>) FROM t",
            "there is no CAST of STRING to ARRAY<INT> (line 3, column 13)",
        ),
        (
            "SELECT CAST(n AS ARRAY<NOPE>) FROM t",
            "there is no type `NOPE` (line 1, column 7) (line 3, column 13)",
        ),
        (
            "INSERT INTO out SELECT n, ARRAY[s] FROM t",
            "the column `s` of the table `out` is VARCHAR(10), but the query has ARRAY<STRING> NOT NULL there: use CAST (line 3, column 17)",
        ),
        (
            "SELECT 1 FROM t, UNNEST(n) AS u (x)",
            "UNNEST takes an ARRAY, a MAP or a MULTISET, not INT (line 3, column 25)",
        ),
        (
            "SELECT 1 FROM t RIGHT JOIN UNNEST(a) AS u (x) ON TRUE",
            "UNNEST is joined with CROSS JOIN, JOIN … ON or LEFT JOIN … ON TRUE only (line 3, column 28)",
        ),
        (
            "SELECT 1 FROM t LEFT JOIN UNNEST(a) AS u (x) ON x > 1",
            "LEFT JOIN of UNNEST takes ON TRUE only (line 3, column 49)",
        ),
        (
            "SELECT 1 FROM t, UNNEST(a) AS u (x, y)",
            "2 columns are named, but the query has 1 (line 3, column 31)",
        ),
        (
            "SELECT 1 FROM t, UNNEST(a, a) AS u (x)",
            "the table function UNNEST is not supported yet (line 3, column 18)",
        ),
        (
            "SELECT a FROM t, UNNEST(a) AS t (x)",
            "two tables are called `t` here: give one another name with AS (line 3, column 18)",
        ),
        (
            "SELECT (SELECT COUNT(*) FROM UNNEST(a)) FROM t",
            "there is no column `a` (line 3, column 37)",
        ),
        (
            "SELECT n FROM t WHERE EXISTS (SELECT 1 FROM UNNEST(a) AS u (x) WHERE x = n)",
            "there is no column `a` (line 3, column 52)",
        ),
        (
            "SELECT ARRAY_SORT(ARRAY[a]) FROM t",
            "ARRAY_SORT: values of ARRAY<INT> are in no order; it is called as ARRAY_SORT(array [, ascending [, nulls first]]) (line 3, column 8)",
        ),
        (
            "SELECT ARRAY_SORT(a, 1) FROM t",
            "ARRAY_SORT: INT was found where a BOOLEAN was expected; it is called as ARRAY_SORT(array [, ascending [, nulls first]]) (line 3, column 8)",
        ),
        (
            "SELECT ARRAY_MAX(n) FROM t",
            "ARRAY_MAX: INT was found where an ARRAY was expected; it is called as ARRAY_MAX(array) (line 3, column 8)",
        ),
        (
            "SELECT ARRAY_CONTAINS(a, 'x') FROM t",
            "ARRAY_CONTAINS: INT and CHAR(1) have no type in common; it is called as ARRAY_CONTAINS(array, element) (line 3, column 8)",
        ),
        (
            "SELECT ARRAY_JOIN(a, ',') FROM t",
            "ARRAY_JOIN: INT was found where texts were expected; it is called as ARRAY_JOIN(array of texts, separator [, instead of NULL]) (line 3, column 8)",
        ),
        (
            "SELECT ARRAY_SLICE(a, 'x') FROM t",
            "ARRAY_SLICE: CHAR(1) was found where a whole number was expected; it is called as ARRAY_SLICE(array, from [, to]), from 1, from the end if below 0 (line 3, column 8)",
        ),
        (
            "SELECT MAP_KEYS(a) FROM t",
            "MAP_KEYS: ARRAY<INT> was found where a MAP was expected; it is called as MAP_KEYS(map) (line 3, column 8)",
        ),
        (
            "SELECT MAP_FROM_ARRAYS(a, n) FROM t",
            "MAP_FROM_ARRAYS: INT was found where an ARRAY was expected; it is called as MAP_FROM_ARRAYS(array of keys, array of values) (line 3, column 8)",
        ),
        (
            "SELECT MAP_UNION(m, MAP[1, 2]) FROM t",
            "MAP_UNION: MAP<STRING, INT> and MAP<INT NOT NULL, INT NOT NULL> have no type in common; it is called as MAP_UNION(map, …) (line 3, column 8)",
        ),
        (
            "SELECT STR_TO_MAP(s, ',') FROM t",
            "STR_TO_MAP: it does not take 2 arguments; it is called as STR_TO_MAP(text [, between entries, between key and value]) (line 3, column 8)",
        ),
        (
            "SELECT COLLECT(n IGNORE NULLS) FROM t",
            "COLLECT gathers values in the order in which they come, without `IGNORE NULLS` (line 3, column 8)",
        ),
        (
            "SELECT ARRAY_AGG(n ORDER BY s) FROM t",
            "ARRAY_AGG gathers values in the order in which they come, without `ORDER BY s` (line 3, column 8)",
        ),
        ("SELECT ARRAY_AGG(n, s) FROM t", "ARRAY_AGG takes one argument (line 3, column 8)"),
        ("SELECT COLLECT(*) FROM t", "COLLECT takes one argument (line 3, column 8)"),
        (
            "SELECT ARRAY_AGG(NULL) FROM t",
            "ARRAY_AGG: ARRAY<NULL> has values without a type: use CAST (line 3, column 8)",
        ),
        (
            "SELECT JSON_VALUE(s, s) FROM t",
            "JSON_VALUE: the path is a constant; it is called as JSON_VALUE(text, path [RETURNING type] [… ON EMPTY] [… ON ERROR]), the path a constant as in 'lax $.a.b[0]' (line 3, column 8)",
        ),
        (
            "SELECT JSON_VALUE(s, 'a.b') FROM t",
            "JSON_VALUE: the path 'a.b' is not supported: it is like 'lax $.a.b[0]'; it is called as JSON_VALUE(text, path [RETURNING type] [… ON EMPTY] [… ON ERROR]), the path a constant as in 'lax $.a.b[0]' (line 3, column 8)",
        ),
        (
            "SELECT JSON_QUERY(s, '$.a[*]') FROM t",
            "JSON_QUERY: the path '$.a[*]' is not supported: it is like 'lax $.a.b[0]'; it is called as JSON_QUERY(text, path [RETURNING ARRAY<STRING>] [WITH [CONDITIONAL] ARRAY WRAPPER] [… ON EMPTY] [… ON ERROR]), an object or array (line 3, column 8)",
        ),
        (
            "SELECT JSON_QUERY(s, '$.a' RETURNING ARRAY<STRING> EMPTY OBJECT ON EMPTY) FROM t",
            "JSON_QUERY with RETURNING ARRAY<STRING> and EMPTY OBJECT ON EMPTY is not supported (line 3, column 8)",
        ),
        (
            "SELECT JSON_QUERY(s, '$.a' RETURNING ARRAY<INT>) FROM t",
            "JSON_QUERY with RETURNING ARRAY<INT> is not supported (line 3, column 8)",
        ),
        (
            "SELECT PRINTF(s, n) FROM t",
            "PRINTF: the format must be a constant text; it is called as PRINTF(format, value, …), of s, d, x, o, f, b and n (line 3, column 8)",
        ),
        (
            "SELECT PRINTF('%e', n) FROM t",
            "PRINTF: `%e` in '%e' is not supported; it is called as PRINTF(format, value, …), of s, d, x, o, f, b and n (line 3, column 8)",
        ),
        (
            "SELECT PRINTF('%s', a) FROM t",
            "PRINTF: ARRAY<INT> was found where a text, a number or a BOOLEAN was expected; it is called as PRINTF(format, value, …), of s, d, x, o, f, b and n (line 3, column 8)",
        ),
        (
            "SELECT TYPEOF(n, n = 1) FROM t",
            "TYPEOF: the second argument is TRUE or FALSE; it is called as TYPEOF(value [, TRUE | FALSE]) (line 3, column 8)",
        ),
        (
            "SELECT REGEXP_EXTRACT_ALL(s, 'a', n) FROM t",
            "REGEXP_EXTRACT_ALL: the group must be a constant number; it is called as REGEXP_EXTRACT_ALL(text, expression [, group]), an array (line 3, column 8)",
        ),
        (
            "SELECT TO_TIMESTAMP(s, 'yyyy Q') FROM t",
            "TO_TIMESTAMP: texts are not read by `Q` of a pattern; it is called as TO_TIMESTAMP(text [, pattern]) (line 3, column 8)",
        ),
        (
            "SELECT FROM_UNIXTIME(n, 'yyyy z') FROM t",
            "FROM_UNIXTIME: `z` in the pattern 'yyyy z' is not supported; it is called as FROM_UNIXTIME(seconds [, pattern]) (line 3, column 8)",
        ),
        (
            "SELECT JSON_EXISTS(n, '$.a') FROM t",
            "JSON_EXISTS: INT was found where a text was expected; it is called as JSON_EXISTS(text, path [… ON ERROR]) (line 3, column 8)",
        ),
    ] {
        assert_eq!(refused(statement), expected, "{statement}");
    }
}
