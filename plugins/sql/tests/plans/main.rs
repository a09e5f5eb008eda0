//! How Nexmark's queries are planned: `plans/` has the tree of each.

mod subqueries;

use std::{fs, path::Path};

use millstream_sql::script;

/// How a query of Nexmark is planned.
fn planned(query: &str) -> String {
    let queries =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../host/cli/tests/nexmark/queries");
    let read = |name: &str| fs::read_to_string(queries.join(format!("{name}.sql"))).unwrap();
    let script = format!("{}\n{}", read("ddl"), read(query))
        .replace("${EVENTS}", "events.jsonl")
        .replace("${SIDE}", "side_input.csv")
        .replace("${SINK}", "'connector' = 'blackhole'");
    script::explain(&script).unwrap_or_else(|error| panic!("{query}: {}", error.explain(&script)))
}

/// Filters are where the rows come from, and only what is needed is read. With `WRITE_PLANS=1` what is planned now
/// is written down: read the difference.
#[test]
fn queries_are_planned_as_written_down() {
    for query in
        ["q3", "q4", "q5", "q7", "q8", "q9", "q11", "q13", "q15", "q16", "q17", "q18", "q19", "q20"]
    {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/plans/{query}.txt"));
        let (found, pinned) = (planned(query), fs::read_to_string(&file).unwrap_or_default());
        if std::env::var_os("WRITE_PLANS").is_some() {
            fs::write(&file, &found).unwrap();
            continue;
        }
        assert_eq!(found, pinned, "the plan of {query} is another now:\n{found}");
    }
}

#[test]
fn the_last_row_by_event_time_is_the_one_that_came_last() {
    let latest = |from: &str, order: &str, rest: &str| {
        let table = "CREATE TABLE e (k INT, ts TIMESTAMP(3), other TIMESTAMP(3), WATERMARK FOR ts AS ts) \
             WITH ('connector' = 'datagen');";
        let query = format!(
            "SELECT k FROM (SELECT k, ROW_NUMBER() OVER (PARTITION BY k ORDER BY {order}) AS rn FROM \
             {from}) WHERE {rest}"
        );
        let found = plan(&format!("{table}{query}"));
        assert!(found.contains("TopN"), "{found}");
        found.contains("the latest of equals")
    };
    assert!(latest("e", "ts DESC", "rn = 1"));
    assert!(latest("(SELECT k, ts AS t FROM e WHERE k > 1) x", "x.t DESC", "rn <= 1"));
    assert!(latest("(SELECT k, ts AS t FROM e UNION ALL SELECT k, ts FROM e)", "t DESC", "rn = 1"));
    for (from, order, rest) in [
        ("e", "ts", "rn <= 2"),
        ("e", "ts DESC", "rn <= 2"),
        ("e", "ts DESC, other", "rn = 1"),
        ("e", "other DESC", "rn = 1"),
        ("(SELECT k, ts + INTERVAL '1' SECOND AS ts FROM e)", "ts DESC", "rn = 1"),
        ("(SELECT k, ts AS t FROM e UNION ALL SELECT k, other FROM e)", "t DESC", "rn = 1"),
        ("e JOIN a ON k = a.x", "ts DESC", "rn = 1"),
        ("(SELECT k, MAX(ts) AS ts FROM e GROUP BY k)", "ts DESC", "rn = 1"),
    ] {
        assert!(!latest(from, order, rest), "{from} {order} {rest}");
    }
}

/// As in Flink: rows are only ever added.
#[test]
fn the_first_row_by_event_time_is_said_when_the_watermark_has_reached_it() {
    let table = "CREATE TABLE e (k INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
         WITH ('connector' = 'datagen'); CREATE TABLE out (k INT, rn BIGINT) WITH ('connector' = 'socket', \
         'hostname' = 'localhost', 'port' = '1');";
    let query = "SELECT k, rn FROM (SELECT k, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts) AS rn FROM e) \
         WHERE rn = 1";
    assert_eq!(
        plan(&format!("{table}{query}")),
        "Project [k, $rank AS rn]\n  Project [k, ts, 1 AS $rank]\n    Earliest by [k] of ts\n      Scan e [k, ts] \
         watermark ts of ts\n"
    );
}

#[test]
fn rows_around_each_row() {
    let table = "CREATE TABLE e (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
         WITH ('connector' = 'datagen');";
    let query = "SELECT k, SUM(v) OVER w, MAX(v) OVER w, ROW_NUMBER() OVER (ORDER BY ts) FROM e WINDOW w AS \
         (PARTITION BY k ORDER BY ts ROWS BETWEEN 2 PRECEDING AND CURRENT ROW)";
    assert_eq!(
        plan(&format!("{table}{query}")),
        "Project [k, $over0 AS EXPR$1, $over1 AS EXPR$2, $rank AS EXPR$3]\n  Over by [] order [ts] ROWS \
         UNBOUNDED PRECEDING TO CURRENT ROW [COUNT(*) AS $rank] by watermark\n    Over by [k] order [ts] ROWS 2 \
         PRECEDING TO CURRENT ROW [SUM(v) AS $over0, MAX(v) AS $over1] by watermark\n      Scan e [k, v, ts] \
         watermark ts of ts\n"
    );
    let batch = "SET 'execution.runtime-mode' = 'batch';";
    let query = "SELECT k, AVG(s) OVER (ORDER BY s) FROM (SELECT k, SUM(v) AS s FROM e GROUP BY k)";
    assert_eq!(
        plan(&format!("{batch}{table}{query}")),
        "Project [k, $over0 AS EXPR$1]\n  Over by [] order [s] RANGE UNBOUNDED PRECEDING TO CURRENT ROW [AVG(s) \
         AS $over0] at the end\n    Project [k, $agg0 AS s]\n      Final\n        Aggregate by [k] [SUM(v) AS \
         $agg0]\n          Scan e [k, v]\n"
    );
}

const TABLES: &str = "CREATE TABLE a (id BIGINT, x INT, r ROW<s STRING, t INT>) \
WITH ('connector' = 'datagen'); CREATE TABLE b (id BIGINT, y SMALLINT) WITH ('connector' = 'datagen');";

/// How a query of small tables is planned.
fn plan(query: &str) -> String {
    script::explain(&format!("{TABLES}{query}")).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Constants are computed when they are planned, each column of the type that all its values can be.
#[test]
fn rows_may_stand_in_the_query() {
    for (query, expected) in [
        ("VALUES (1, 'a'), (2, NULL)", "Values [EXPR$0, EXPR$1] 2 rows\n"),
        ("SELECT 1 + 2 AS n", "Project [3 AS n]\n  Values [$row] 1 row\n"),
        (
            "SELECT s, n FROM (VALUES (UPPER('a'), NULL), ('b', NULL)) AS t (s, n) WHERE n IS NULL UNION ALL \
             SELECT 'c', id FROM a",
            "Union\n  Project [EXPR$0 AS s, NULL AS n]\n    Values [EXPR$0] 2 rows\n  Project [c AS s, id AS n]\n    \
             Scan a [id]\n",
        ),
        ("SELECT 1 AS n WHERE 1 > 2", "Values [n] 0 rows\n"),
    ] {
        assert_eq!(plan(query), expected, "{query}");
    }
}

#[test]
fn a_table_is_joined_with_itself() {
    let found = plan("SELECT l.x, k.r.s FROM a l JOIN a k ON l.id = k.id AND l.r.t > k.x");
    let expected = "\
Project [x, r.s' AS s]
  Filter r.t > x'
    Join [id = id']
      Scan a [id, x, r.t]
      Project [id AS id', x AS x', r.s AS r.s']
        Scan a [id, x, r.s]
";
    assert_eq!(found, expected);
}

#[test]
fn an_equality_in_where_joins_and_keys_may_be_computed() {
    let found = plan("SELECT x, y FROM a, b WHERE x + 1 = y AND y > 3");
    let expected = "\
Project [x, y]
  Join [$key1 = $key1]
    Project [x, x + 1 AS $key1]
      Scan a [x]
    Project [y, CAST(y AS Int32) AS $key1]
      Filter y > 3
        Scan b [y]
";
    assert_eq!(found, expected);
}

/// A column that tables have in common is the one that is there, and both are found under their tables' names.
#[test]
fn columns_in_common_are_one_column() {
    let scans = "Scan a [id]\n    Project [id AS id']\n      Scan b [id]\n";
    for (query, expected) in [
        (
            "SELECT id FROM a JOIN b USING (id)",
            format!("Project [id]\n  Join [id = id']\n    {scans}"),
        ),
        (
            "SELECT id FROM a NATURAL JOIN b",
            format!("Project [id]\n  Join [id = id']\n    {scans}"),
        ),
        (
            "SELECT id FROM a RIGHT JOIN b USING (id)",
            format!("Project [id' AS id]\n  RightJoin [id = id']\n    {scans}"),
        ),
        (
            "SELECT id, a.id, b.id FROM a FULL JOIN b USING (id)",
            format!(
                "Project [CASE WHEN id IS NOT NULL THEN id ELSE id' END AS id, id AS id', id' AS id'']\n  FullJoin [id = id']\n    {scans}"
            ),
        ),
    ] {
        assert_eq!(plan(query), expected, "{query}");
    }
    let star = plan("SELECT * FROM b JOIN (SELECT x AS y, id FROM a) c USING (y)");
    assert!(star.starts_with("Project [CAST(y AS Int32) AS y, id, id']\n"), "{star}");
}

/// All rows are of one key.
#[test]
fn joins_need_no_equality() {
    for (query, expected) in [
        ("SELECT a.x FROM a, b", "Join []"),
        ("SELECT a.x FROM a CROSS JOIN b", "Join []"),
        ("SELECT a.x FROM a JOIN b ON a.id < b.id", "Filter id < id'\n    Join []"),
        ("SELECT a.x FROM a LEFT JOIN b ON a.id < b.id", "LeftJoin [] on id < id'"),
        ("SELECT a.x FROM a NATURAL JOIN (SELECT y FROM b) c", "Join []"),
        ("SELECT a.x FROM a FULL JOIN b ON TRUE", "FullJoin []\n"),
        ("SELECT a.x FROM a WHERE EXISTS (SELECT 1 FROM b)", "SemiJoin []\n"),
    ] {
        let found = plan(query);
        assert!(found.contains(expected), "{query}: {found}");
    }
}

#[test]
fn outer_joins_ask_on_pairs_and_filters_go_where_they_may() {
    let cases = [
        (
            "SELECT a.x, y FROM a LEFT JOIN b ON a.id = b.id AND a.x > b.y AND b.y > 1 AND a.x > 2 \
             WHERE a.x < 9",
            "\
Project [x, y]
  LeftJoin [id = id'] on x > CAST(y AS Int32) AND x > 2
    Filter x < 9
      Scan a [id, x]
    Project [id AS id', y]
      Filter y > 1
        Scan b [id, y]
",
        ),
        (
            "SELECT a.x, y FROM a RIGHT JOIN b ON a.id = b.id AND a.x > 2 WHERE y < 9",
            "\
Project [x, y]
  RightJoin [id = id']
    Filter x > 2
      Scan a [id, x]
    Project [id AS id', y]
      Filter y < 9
        Scan b [id, y]
",
        ),
        (
            "SELECT a.x, y FROM a FULL JOIN b ON a.x + 1 = b.y AND a.x > 2 WHERE y IS NULL",
            "\
Filter y IS NULL
  Project [x, y]
    FullJoin [$key1 = $key1] on x > 2
      Project [x, x + 1 AS $key1]
        Scan a [x]
      Project [y, CAST(y AS Int32) AS $key1]
        Scan b [y]
",
        ),
        (
            "SELECT a.x, y FROM a LEFT JOIN b ON a.id = b.id WHERE y > 1",
            "\
Project [x, y]
  Join [id = id']
    Scan a [id, x]
    Project [id AS id', y]
      Filter y > 1
        Scan b [id, y]
",
        ),
        (
            "SELECT a.x, y FROM a FULL JOIN b ON a.id = b.id WHERE a.x > 1",
            "\
Project [x, y]
  LeftJoin [id = id']
    Filter x > 1
      Scan a [id, x]
    Project [id AS id', y]
      Scan b [id, y]
",
        ),
        (
            "SELECT a.x, y FROM a LEFT JOIN b ON a.id = b.id WHERE COALESCE(y, 1) = 1",
            "\
Project [x, y]
  Filter CASE WHEN __common_expr_4 IS NOT NULL THEN __common_expr_4 ELSE 1 END = 1
    Project [CAST(y AS Int32) AS __common_expr_4, x, y]
      LeftJoin [id = id']
        Scan a [id, x]
        Project [id AS id', y]
          Scan b [id, y]
",
        ),
        (
            "SELECT a.x, y FROM a LEFT JOIN b ON a.id = b.id AND 1 > 2",
            "\
Project [x, NULL AS y]
  Scan a [x]
",
        ),
        (
            "SELECT n, y FROM (SELECT id, COUNT(*) AS n FROM a GROUP BY id) g RIGHT JOIN b ON g.id = b.id",
            "\
Project [n, y]
  RightJoin [id = id']
    Project [id, $agg0 AS n]
      Aggregate by [id] [COUNT(*) AS $agg0]
        Scan a [id]
    Project [id AS id', y]
      Scan b [id, y]
",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(plan(query), expected, "{query}");
    }
}

/// Filters go below a Top-N by its partition only, and below an aggregate by its keys only.
#[test]
fn filters_that_would_change_ranks_and_groups_stay_above() {
    let found = plan(
        "SELECT x, rn FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY id ORDER BY y) AS rn FROM \
         (SELECT id, id + 1 AS x, y FROM b)) WHERE rn BETWEEN 2 AND 3 AND rn < 8 AND y > 4 AND id = 5",
    );
    let expected = "\
Project [x, $rank AS rn]
  Filter $rank >= 2 AND y > 4
    Project [x, y, $rank]
      TopN 3 by [id] order [y] with rank
        Project [id, 6 AS x, y]
          Filter id = 5
            Scan b [id, y]
";
    assert_eq!(found, expected);
    let found = plan(
        "SELECT m FROM (SELECT id, MAX(y) AS m, COUNT(*) AS n FROM b GROUP BY id) WHERE id = 5 AND m > 3",
    );
    let expected = "\
Project [$agg0 AS m]
  Filter $agg0 > 3
    Project [$agg0]
      Aggregate by [id] [MAX(y) AS $agg0]
        Filter id = 5
          Scan b [id, y]
";
    assert_eq!(found, expected);
}

#[test]
fn nothing_but_the_columns_of_a_top_n_is_read() {
    let found = plan(
        "SELECT x FROM (SELECT *, ROW_NUMBER() OVER (ORDER BY MOD(id, 3) DESC NULLS FIRST, x) AS rn \
         FROM (SELECT id, x, r.s, r.t FROM a)) WHERE 2 > rn",
    );
    let expected = "\
Project [x]
  TopN 1 by [] order [$order4 DESC NULLS FIRST, x]
    Project [x, %(id, 3) AS $order4]
      Scan a [id, x]
";
    assert_eq!(found, expected);
}

#[test]
fn groups_have_keys_having_and_one_column_a_call() {
    let found = plan(
        "SELECT COUNT(*) + 1, b.y + 1, SUM(id) FILTER (WHERE id > 2), MIN(DISTINCT id), COUNT(DISTINCT y) \
         FROM b GROUP BY y + 1, y HAVING SUM(id) FILTER (WHERE id > 2) > COUNT(*) AND y > 0",
    );
    let expected = "\
Project [$agg1 + 1 AS EXPR$0, $key0 AS EXPR$1, $agg0 AS EXPR$2, $agg2 AS EXPR$3, $agg3 AS EXPR$4]
  Filter $agg1 < $agg0
    Project [$key0, $agg0, $agg1, $agg2, $agg3]
      Aggregate by [$key0, y] [SUM(id) FILTER $filter3 AS $agg0, COUNT(*) AS $agg1, MIN(id) AS $agg2, COUNT(DISTINCT y) AS $agg3]
        Project [CAST(y AS Int32) + 1 AS $key0, y, id, id > 2 AS $filter3]
          Filter y > 0
            Scan b [id, y]
";
    assert_eq!(found, expected);
}

#[test]
fn all_rows_may_be_one_group_and_rows_may_count_once() {
    for (query, expected) in [
        (
            "SELECT COUNT(*) AS n FROM b WHERE y > 1",
            "Project [$agg0 AS n]\n  Aggregate by [] [COUNT(*) AS $agg0]\n    Project [true AS $0]\n      \
             Filter y > 1\n        Scan b [y]\n",
        ),
        (
            "SELECT 1 AS n FROM b HAVING MAX(y) > 3",
            "Project [1 AS n]\n  Filter $agg0 > 3\n    Aggregate by [] [MAX(y) AS $agg0]\n      Scan b [y]\n",
        ),
        ("SELECT DISTINCT y FROM b", "Aggregate by [y] []\n  Scan b [y]\n"),
        (
            "SELECT DISTINCT COUNT(*) AS n FROM b GROUP BY y",
            "Aggregate by [n] []\n  Project [$agg0 AS n]\n    Aggregate by [y] [COUNT(*) AS $agg0]\n      \
             Scan b [y]\n",
        ),
    ] {
        assert_eq!(plan(query), expected, "{query}");
    }
}

#[test]
fn groups_may_be_ranked() {
    let found = plan(
        "SELECT y FROM (SELECT y, ROW_NUMBER() OVER (PARTITION BY y + 1 ORDER BY COUNT(*) DESC) AS rn \
         FROM b GROUP BY y) WHERE rn <= 2",
    );
    let expected = "\
Project [y]
  TopN 2 by [$order2] order [$agg0 DESC]
    Project [y, $agg0, CAST(y AS Int32) + 1 AS $order2]
      Aggregate by [y] [COUNT(*) AS $agg0]
        Scan b [y]
";
    assert_eq!(found, expected);
}

#[test]
fn sets_are_of_whole_rows_and_filters_go_to_both_sides() {
    for (query, expected) in [
        (
            "SELECT x FROM (SELECT id, x FROM a EXCEPT ALL SELECT id, y FROM b) WHERE x > 1",
            "\
Project [x]
  ExceptAll
    Filter x > 1
      Scan a [id, x]
    Project [id, CAST(y AS Int32) AS x]
      Filter y > 1
        Scan b [id, y]
",
        ),
        (
            "SELECT id FROM a UNION SELECT y FROM b",
            "\
Aggregate by [id] []
  Union
    Scan a [id]
    Project [CAST(y AS Int64) AS id]
      Scan b [y]
",
        ),
        (
            "SELECT y FROM b EXCEPT SELECT y FROM b WHERE 1 > 2",
            "Aggregate by [y] []\n  Scan b [y]\n",
        ),
        ("SELECT y FROM b EXCEPT ALL SELECT y FROM b WHERE 1 > 2", "Scan b [y]\n"),
        ("SELECT y FROM b INTERSECT SELECT y FROM b WHERE 1 > 2", "Values [y] 0 rows\n"),
    ] {
        assert_eq!(plan(query), expected, "{query}");
    }
}

#[test]
fn the_first_rows_are_a_top_n_without_partitions() {
    for (query, expected) in [
        (
            "SELECT id FROM a ORDER BY x + 1 DESC, id LIMIT 3",
            "\
Project [id]
  TopN 3 by [] order [$order1 DESC, id]
    Project [id, x + 1 AS $order1]
      Scan a [id, x]
",
        ),
        (
            "SELECT id AS x, x AS y FROM a ORDER BY x, 2 DESC NULLS FIRST LIMIT 3 OFFSET 2",
            "\
Project [x, y]
  Filter $rank > 2
    TopN 5 by [] order [x, y DESC NULLS FIRST] with rank
      Project [id AS x, x AS y]
        Scan a [id, x]
",
        ),
        (
            "SELECT COUNT(*) AS n FROM (SELECT id FROM a ORDER BY x) LIMIT 1",
            "\
TopN 1 by [] order []
  Project [$agg0 AS n]
    Aggregate by [] [COUNT(*) AS $agg0]
      Project [true AS $0]
        Scan a []
",
        ),
        ("SELECT id FROM a ORDER BY x LIMIT 0", "Values [id] 0 rows\n"),
    ] {
        assert_eq!(plan(query), expected, "{query}");
    }
}

#[test]
fn each_set_of_keys_is_a_group_of_its_own() {
    let found = plan("SELECT x, SUM(x) AS s, GROUPING(x) AS g FROM a GROUP BY ROLLUP (x)");
    let expected = "\
Union
  Project [$key0 AS x, $agg0 AS s, CASE $set WHEN 0 THEN 0 WHEN 1 THEN 1 ELSE 1 END AS g]
    Project [x AS $key0, $agg0, 0 AS $set]
      Aggregate by [x] [SUM(x) AS $agg0]
        Scan a [x]
  Project [$key0 AS x, $agg0 AS s, CASE $set WHEN 0 THEN 0 WHEN 1 THEN 1 ELSE 1 END AS g]
    Project [NULL AS $key0, $agg0, 1 AS $set]
      Aggregate by [] [SUM(x) AS $agg0]
        Scan a [x]
";
    assert_eq!(found, expected);
}

#[test]
fn elements_are_rows_in_the_chain_that_reads_them() {
    for (query, expected) in [
        (
            "SELECT id, e FROM a CROSS JOIN UNNEST(ARRAY[x, r.t]) AS u (e) WHERE e > 1 AND id = 2",
            "\
Project [id, u AS e]
  Filter u > 1
    Project [id, u]
      Unnest ARRAY(x, r.t) AS [u]
        Filter id = 2
          Scan a [id, x, r.t]
",
        ),
        (
            "SELECT e, COUNT(*) AS n FROM a LEFT JOIN UNNEST(MAP[r.s, x]) AS u (k, e) ON TRUE GROUP BY e",
            "\
Project [VALUE AS e, $agg0 AS n]
  Aggregate by [VALUE] [COUNT(*) AS $agg0]
    Project [VALUE]
      LeftUnnest MAP(r.s, x) AS [KEY, VALUE]
        Scan a [x, r.s]
",
        ),
        (
            "SELECT r, r.s FROM a",
            "\
Project [r, r.s AS s]
  Scan a [r, r.s]
",
        ),
    ] {
        assert_eq!(plan(query), expected, "{query}");
    }
}
