use super::*;
use crate::{Catalog, bind::Binder, lower, parse};

const STREAMING: lower::Running = lower::Running {
    mode: lower::Mode::Streaming,
    life: None,
    idle: None,
    time: false,
    enforced: lower::Enforced { drops_nulls: false, lengths: lower::Lengths::Ignored },
};

/// What makes the rows of a query over small tables.
fn relation(query: &str) -> Rel {
    let script = format!(
        "CREATE TABLE a (id BIGINT NOT NULL, x INT, d DECIMAL(10, 3), f FLOAT, t TIMESTAMP(3), s STRING) \
         WITH ('connector' = 'datagen'); \
         CREATE TABLE w (k INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen'); \
         CREATE TABLE b (id BIGINT NOT NULL, y SMALLINT NOT NULL) WITH ('connector' = 'datagen'); {query}"
    );
    let mut catalog = Catalog::default();
    let mut made = None;
    for statement in parse::parse(&script).unwrap() {
        match statement.kind {
            parse::StatementKind::CreateTable(table) => catalog.add_table(*table).unwrap(),
            parse::StatementKind::Query(query) => {
                let bound = Binder::new(&catalog).query(&query).unwrap();
                let columns = bound.columns.iter();
                let fields: Vec<(&str, &Type)> =
                    columns.map(|column| (column.name.as_str(), &column.data_type)).collect();
                made = Some(lower::relation(&bound, &fields, STREAMING).unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
    made.unwrap()
}

/// The columns of the operators below the steps at the top, with their types.
fn below(query: &str) -> String {
    match relation(query) {
        Rel::Steps { input, .. } => input.schema().to_string(),
        other => other.schema().to_string(),
    }
}

/// The types of a query's columns.
fn types(query: &str) -> String {
    let columns = relation(query).schema().fields;
    let shown = columns.iter().map(|field| {
        format!("{}{}", field.data_type, if field.nullable { "" } else { " NOT NULL" })
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn aggregates_have_flinks_types() {
    let calls = "COUNT(*), COUNT(x), SUM(x), SUM(d), SUM(f), AVG(x), AVG(d), MIN(s), MAX(t)";
    let shared = "BIGINT NOT NULL, BIGINT NOT NULL, INT, DECIMAL(38, 3), FLOAT, INT, DECIMAL(38, 6), \
                  STRING, TIMESTAMP(3)";
    assert_eq!(types(&format!("SELECT {calls} FROM a GROUP BY id")), shared);
    // NULL comes of a NULL, of no row at all, and of a filter that no row passes.
    assert_eq!(
        types("SELECT SUM(y), MAX(id) FROM b GROUP BY id"),
        "SMALLINT NOT NULL, BIGINT NOT NULL"
    );
    assert_eq!(
        types("SELECT SUM(y), MAX(id), COUNT(id) FROM b"),
        "SMALLINT, BIGINT, BIGINT NOT NULL"
    );
    let filtered =
        "SELECT SUM(y) FILTER (WHERE y > 3), COUNT(y) FILTER (WHERE y > 3) FROM b GROUP BY id";
    assert_eq!(types(filtered), "SMALLINT, BIGINT NOT NULL");
    assert_eq!(
        types("SELECT AVG(d) FROM (SELECT CAST(d AS DECIMAL(20, 8)) AS d FROM a)"),
        "DECIMAL(38, 8)"
    );
}

#[test]
fn what_is_padded_may_be_null() {
    let joined = |kind: &str| types(&format!("SELECT a.id, y FROM a {kind} JOIN b ON a.id = b.id"));
    assert_eq!(joined(""), "BIGINT NOT NULL, SMALLINT NOT NULL");
    assert_eq!(joined("LEFT"), "BIGINT NOT NULL, SMALLINT");
    assert_eq!(joined("RIGHT"), "BIGINT, SMALLINT NOT NULL");
    assert_eq!(joined("FULL"), "BIGINT, SMALLINT");
    assert_eq!(
        types("SELECT id, y FROM b WHERE id NOT IN (SELECT id FROM a)"),
        "BIGINT NOT NULL, SMALLINT NOT NULL"
    );
}

#[test]
fn a_union_may_have_null_where_one_part_has() {
    assert_eq!(types("SELECT id FROM b UNION ALL SELECT CAST(x AS BIGINT) FROM a"), "BIGINT");
    assert_eq!(types("SELECT id FROM b UNION ALL SELECT id FROM a"), "BIGINT NOT NULL");
}

#[test]
fn windows_have_bounds_that_are_never_null() {
    let from = "FROM TABLE(TUMBLE(TABLE w, DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY";
    assert_eq!(
        types(&format!(
            "SELECT window_start, window_time, MAX(ts), k, window_end {from} k, window_start, window_end, \
             window_time"
        )),
        "TIMESTAMP(3) NOT NULL, TIMESTAMP(3) NOT NULL, TIMESTAMP(3), INT, TIMESTAMP(3) NOT NULL"
    );
    // Columns of the same names stay apart.
    assert_eq!(
        below(&format!("SELECT COUNT(*) {from} window_start, window_end")),
        "$agg0 BIGINT NOT NULL, window_start TIMESTAMP(3) NOT NULL, window_end TIMESTAMP(3) NOT NULL"
    );
    assert_eq!(
        below(
            "SELECT COUNT(*) FROM (SELECT k AS window_end, ts FROM w) GROUP BY window_end, \
             SESSION(ts, INTERVAL '1' DAY)"
        ),
        "window_end INT, $agg0 BIGINT NOT NULL, window_start TIMESTAMP(3) NOT NULL, window_end' TIMESTAMP(3) \
         NOT NULL"
    );
    let sums = relation(&format!("SELECT COUNT(*) {from} k, window_start, window_end"));
    assert_eq!(sums.updates(), None);
}

#[test]
fn operators_say_which_columns_they_give() {
    for (query, expected) in [
        (
            "SELECT n + 1, y FROM (SELECT y, COUNT(*) AS n FROM b GROUP BY y)",
            "y SMALLINT NOT NULL, $agg0 BIGINT NOT NULL",
        ),
        (
            "SELECT a.x + b.y FROM a JOIN b ON a.id = b.id",
            "id BIGINT NOT NULL, x INT, id' BIGINT NOT NULL, y SMALLINT NOT NULL",
        ),
        (
            "SELECT a.x + b.y FROM a LEFT JOIN b ON a.id = b.id",
            "id BIGINT NOT NULL, x INT, id' BIGINT, y SMALLINT",
        ),
        (
            "SELECT a.x + b.y FROM a RIGHT JOIN b ON a.id = b.id",
            "id BIGINT, x INT, id' BIGINT NOT NULL, y SMALLINT NOT NULL",
        ),
        (
            "SELECT a.x + b.y FROM a FULL JOIN b ON a.id = b.id",
            "id BIGINT, x INT, id' BIGINT, y SMALLINT",
        ),
        ("SELECT x + 1 FROM a WHERE id IN (SELECT id FROM b)", "id BIGINT NOT NULL, x INT"),
        (
            "SELECT rn + 1, y FROM (SELECT y, ROW_NUMBER() OVER (ORDER BY id) AS rn FROM b) WHERE rn < 3",
            "id BIGINT NOT NULL, y SMALLINT NOT NULL, $rank BIGINT NOT NULL",
        ),
        (
            "SELECT y + 1 FROM (SELECT y, ROW_NUMBER() OVER (ORDER BY id) AS rn FROM b) WHERE rn < 3",
            "id BIGINT NOT NULL, y SMALLINT NOT NULL",
        ),
    ] {
        assert_eq!(below(query), expected, "{query}");
    }
}

/// Operators that update their rows, and all above them, give changelogs.
#[test]
fn changelogs_begin_where_rows_are_updated() {
    let top = "SELECT y FROM (SELECT y, ROW_NUMBER() OVER (ORDER BY id) AS rn FROM b) WHERE rn = 1";
    let joined = format!("SELECT x FROM a JOIN ({top}) c ON a.x = c.y");
    let united = format!("SELECT id FROM b UNION ALL SELECT CAST(y AS BIGINT) FROM ({top})");
    for (query, cause) in [
        ("SELECT id FROM a WHERE x > 1", None),
        ("SELECT a.id FROM a JOIN b ON a.id = b.id", None),
        ("SELECT id FROM a UNION ALL SELECT id FROM b", None),
        ("SELECT COUNT(*) FROM b GROUP BY y", Some("GROUP BY")),
        ("SELECT COUNT(*) FROM b", Some("an aggregate function without GROUP BY")),
        ("SELECT DISTINCT y FROM b", Some("DISTINCT or GROUP BY")),
        ("SELECT a.id FROM a LEFT JOIN b ON a.id = b.id", Some("LEFT JOIN or a subquery")),
        ("SELECT id FROM a WHERE id IN (SELECT id FROM b)", None),
        ("SELECT id FROM a WHERE id NOT IN (SELECT id FROM b)", Some("NOT EXISTS or NOT IN")),
        (top, Some("ROW_NUMBER or LIMIT")),
        (&joined, Some("ROW_NUMBER or LIMIT")),
        (&united, Some("ROW_NUMBER or LIMIT")),
    ] {
        let found = relation(query);
        assert_eq!(found.updates(), cause, "{query}");
        assert_eq!(found.schema().row_kinds, cause.is_some(), "{query}");
    }
    // All parts of a union have the same columns, with kinds if one has them.
    let mut above = relation(&format!("SELECT DISTINCT id FROM ({united})"));
    if let Rel::Steps { input, .. } = above {
        above = *input;
    }
    let Rel::Aggregate { input, .. } = above else { panic!("no aggregate: {above}") };
    let Rel::Union(inputs) = *input else { panic!("no union: {input}") };
    let kinds: Vec<bool> = inputs
        .iter()
        .map(|input| match input {
            Rel::Steps { schema, .. } => schema.row_kinds,
            other => other.schema().row_kinds,
        })
        .collect();
    assert_eq!(kinds, [true, true]);
}
