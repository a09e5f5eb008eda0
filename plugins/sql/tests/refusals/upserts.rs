//! Rows that a table knows by another key than the query that updates them.

const TABLES: &str = "\
CREATE TABLE s (a INT, b STRING) WITH ('connector' = 'datagen');
CREATE TABLE c (id INT, v STRING, n INT, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = 'c', 'format' = 'debezium-json');
CREATE TABLE by_n (b STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'print');
";

fn refused(statement: &str) -> String {
    crate::refused(&format!("{TABLES}{statement}"))
}

#[test]
fn keys_that_differ_are_refused() {
    let instead = "so that several of its rows may have one key: write ON CONFLICT DO DEDUPLICATE behind the query, \
                   which keeps all of them and writes the last one, DO NOTHING, which writes the first one, DO ERROR, or \
                   another key (line 7, column 1)";
    for (insert, by) in [
        ("SELECT b, COUNT(*) FROM s GROUP BY b", "by [b]"),
        ("SELECT v, n FROM c", "by no columns"),
    ] {
        let expected = format!(
            "the table `by_n` knows its rows by the PRIMARY KEY [n], but the query updates them {by}, {instead}"
        );
        assert_eq!(refused(&format!("INSERT INTO by_n {insert}")), expected);
    }
    assert_eq!(
        refused("INSERT INTO by_n SELECT b, COUNT(*) FROM s GROUP BY b ON CONFLICT DO UPDATE"),
        "`UPDATE` was found where DEDUPLICATE, NOTHING or ERROR was expected (line 7, column 70)"
    );
    // As in Flink.
    for what in ["DEDUPLICATE", "NOTHING", "ERROR"] {
        assert_eq!(
            refused(&format!("INSERT INTO by_n SELECT b, a FROM s ON CONFLICT DO {what}")),
            format!(
                "ON CONFLICT DO {what} is about rows that are updated, but the query only adds rows: leave it away \
                 (line 7, column 1)"
            )
        );
    }
    assert_eq!(
        refused("SET 'table.exec.sink.upsert-materialize' = 'NONE'; SELECT 1"),
        "'table.exec.sink.upsert-materialize' is not supported: where rows of a query may have one primary key of a \
         table, write ON CONFLICT DO DEDUPLICATE behind the query: of these the last one is written then (line 7, \
         column 1)"
    );
}
