//! What statements show that read nothing, and what is set.

use arrow::array::{Array, AsArray};

use super::*;

mod upserts;

const TABLES: &str = "\
CREATE TABLE bid (auction BIGINT NOT NULL, price DECIMAL(10, 2), `at` TIMESTAMP(3), r ROW<url STRING>, day AS \
CAST(`at` AS DATE), WATERMARK FOR `at` AS `at` - INTERVAL '4' SECOND, PRIMARY KEY (price, auction) NOT ENFORCED) \
WITH ('connector' = 'datagen', 'it''s' = 'x');
CREATE TABLE sink (n BIGINT, d DATE) PARTITIONED BY (d) WITH ('connector' = 'print');
CREATE VIEW v (a, b) AS SELECT auction, day FROM bid WHERE price > 1;
";

/// The rows of the only result of a script, with the names of its columns in front.
fn result(statement: &str) -> Vec<Vec<String>> {
    let mut shown = Vec::new();
    let script = format!("{TABLES}{statement}");
    let planned = each(&script, |table, rows| {
        let (None, Rel::Values { rows, schema }) = (table, rows) else {
            panic!("{statement} reads something")
        };
        shown.push(schema.fields.iter().map(|field| field.name.clone()).collect());
        for row in 0..rows.num_rows() {
            let cells = rows.columns().iter().map(|column| match column.as_string_view_opt() {
                _ if column.is_null(row) => "NULL".to_owned(),
                Some(texts) => texts.value(row).to_owned(),
                None => column.as_boolean().value(row).to_string(),
            });
            shown.push(cells.collect());
        }
        Ok(())
    });
    planned.unwrap_or_else(|error| panic!("{}", error.explain(&script)));
    shown
}

fn refused(statement: &str) -> String {
    let script = format!("{TABLES}{statement}");
    each(&script, |_, _| Ok(())).expect_err(statement).to_string()
}

/// The operators of EXPLAIN.
fn explained(statement: &str) -> String {
    let rows = result(&format!("EXPLAIN {statement}"));
    assert_eq!(rows[0], ["result"]);
    let [_, row] = &rows[..] else { panic!("{rows:?}") };
    physical(&row[0]).to_owned()
}

/// The operators of the text of EXPLAIN.
fn physical(text: &str) -> &str {
    let (_, physical) = text.split_once("\n== Physical Plan ==\n").expect("a physical plan");
    physical.split_once("\n== Job Graph ==\n").expect("a job graph").0
}

#[test]
fn explain_shows_what_is_meant_what_runs_and_the_job() {
    let rows = result("EXPLAIN INSERT INTO sink SELECT COUNT(*), day FROM bid GROUP BY day");
    let expected = "\
== Logical Plan ==
Projection: EXPR$0 AS n, day AS d
  Projection: $agg0 AS EXPR$0, day AS day
    Aggregate: groupBy=[[day]], aggr=[[COUNT() AS $agg0]]
      Projection: day AS day
        Projection: bid.auction, bid.price, bid.at, bid.r, bid.r.url, bid.$watermark, CAST(bid.at) AS day
          TableScan: bid

== Physical Plan ==
Sink sink [n, d], changelogMode=[NONE]
  Project [$agg0 AS n, day AS d], changelogMode=[I,UB,UA], upsertKeys=[[d]]
    Aggregate by [day] [COUNT(*) AS $agg0], changelogMode=[I,UB,UA], upsertKeys=[[day]], state=[accumulators by [day]]
      Project [CAST(at) AS day], changelogMode=[I]
        Scan bid [at], changelogMode=[I]

== Job Graph ==
1. Source bid [datagen]
2. calculate <- 1 forward
3. Aggregate by [day] [COUNT(*)] [state] <- 2 hash
4. calculate <- 3 forward
5. Sink sink [print] <- 4 forward
";
    assert_eq!(rows[1], [expected]);
    // One job, in which what several read is read once.
    let both = "STATEMENT SET BEGIN INSERT INTO sink (n) SELECT auction FROM bid; INSERT INTO sink (n) SELECT auction \
                FROM bid WHERE price > 1; END";
    let text = result(&format!("EXPLAIN {both}"))[1].concat();
    let (_, graph) = text.split_once("== Job Graph ==\n").expect("a job graph");
    let count = |what: &str| graph.lines().filter(|line| line.contains(what)).count();
    assert_eq!((count("Source bid"), count("Sink sink")), (1, 2), "{graph}");
}

/// With mini-batches, and if nothing has to be known of all rows of a group.
#[test]
fn groups_are_made_before_rows_are_sent() {
    let graph = |settings: &str, calls: &str| {
        let bundled = "SET 'table.exec.mini-batch.enabled' = 'true';";
        let query = format!("EXPLAIN INSERT INTO sink SELECT {calls}, day FROM bid GROUP BY day");
        let text = result(&format!("{bundled} {settings} {query}")).concat().concat();
        let (_, graph) = text.split_once("== Job Graph ==\n").expect("a job graph");
        graph.to_owned()
    };
    let phases =
        |strategy: &str| format!("SET 'table.optimizer.agg-phase-strategy' = '{strategy}';");
    let expected = "\
1. Source bid [datagen]
2. calculate <- 1 forward
3. aggregate pages <- 2 forward
4. Aggregate by [day] [COUNT(*)] [state] <- 3 hash
5. calculate <- 4 forward
6. Sink sink [print] <- 5 forward
";
    assert_eq!(graph("", "COUNT(*)"), expected);
    assert_eq!(graph(&phases("TWO_PHASE"), "COUNT(*)"), expected);
    assert!(!graph(&phases("ONE_PHASE"), "COUNT(*)").contains("pages"));
    assert!(!graph("", "COUNT(DISTINCT auction)").contains("pages"));
}

#[test]
fn explain_shows_operators_their_changes_and_their_state() {
    for (statement, expected) in [
        (
            "SELECT a FROM v",
            "\
Project [auction AS a], changelogMode=[I]
  Filter price > 1.00, changelogMode=[I]
    Scan bid [auction, price], changelogMode=[I]
",
        ),
        (
            "PLAN FOR INSERT INTO sink SELECT COUNT(DISTINCT n), d FROM (SELECT auction AS n, day AS d, \
             ROW_NUMBER() OVER (PARTITION BY auction ORDER BY price) AS rn FROM bid) WHERE rn <= 3 GROUP BY d",
            "\
Sink sink [n, d], changelogMode=[NONE]
  Project [$agg0 AS n, d], changelogMode=[I,UB,UA,D], upsertKeys=[[d]]
    Aggregate by [d] [COUNT(DISTINCT n) AS $agg0], changelogMode=[I,UB,UA,D], upsertKeys=[[d]], state=[accumulators by [d], \
             values of n by [d]]
      Project [day AS d, auction AS n], changelogMode=[I,D]
        TopN 3 by [auction] order [price], changelogMode=[I,D], upsertKeys=[[auction, price]], state=[the first 3 rows by [auction]]
          Project [auction, price, CAST(at) AS day], changelogMode=[I]
            Scan bid [auction, price, at], changelogMode=[I]
",
        ),
        (
            "CHANGELOG_MODE SELECT l.auction, MAX(k.price) FROM bid l JOIN bid k ON l.auction = k.auction GROUP BY \
             l.auction",
            "\
Project [auction, $agg0 AS EXPR$1], changelogMode=[I,UB,UA], upsertKeys=[[auction]]
  Aggregate by [auction] [MAX(price') AS $agg0], changelogMode=[I,UB,UA], upsertKeys=[[auction]], \
             state=[accumulators by [auction]]
    Project [auction, price'], changelogMode=[I]
      Join [auction = auction'], changelogMode=[I], state=[left rows by [auction], right rows by [auction']]
        Scan bid [auction], changelogMode=[I]
        Project [auction AS auction', price AS price'], changelogMode=[I]
          Scan bid [auction, price], changelogMode=[I]
",
        ),
        (
            "SELECT COUNT(*) AS n FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`at`), INTERVAL '1' MINUTE)) GROUP BY \
             auction, window_start, window_end",
            "\
Project [$agg0 AS n], changelogMode=[I]
  Windows TUMBLE 60000 ms of at by [auction] [COUNT(*) AS $agg0], changelogMode=[I], state=[accumulators by \
             [auction] and window, until the watermark passes its end]
    Scan bid [auction, at] watermark at - 4000000 of at, changelogMode=[I]
",
        ),
        (
            "STATEMENT SET BEGIN INSERT INTO sink (n) VALUES (1), (2); INSERT INTO sink SELECT a, b FROM v; END",
            "\
Sink sink [n, d], changelogMode=[NONE]
  Project [CAST(EXPR$0 AS Int64) AS n, NULL AS d], changelogMode=[I]
    Values [EXPR$0] 2 rows, changelogMode=[I]

Sink sink [n, d], changelogMode=[NONE]
  Project [auction AS n, CAST(at) AS d], changelogMode=[I]
    Filter price > 1.00, changelogMode=[I]
      Scan bid [auction, price, at], changelogMode=[I]
",
        ),
    ] {
        assert_eq!(explained(statement), expected, "{statement}");
    }
}

/// Ranks are only handed on, the first row is replaced, and of several one leaves.
#[test]
fn a_top_n_has_the_changes_that_its_rows_need() {
    let mode = |columns: &str, limit: u32| {
        let text = explained(&format!(
            "SELECT {columns} FROM (SELECT auction, ROW_NUMBER() OVER (PARTITION BY day ORDER BY price) AS rn FROM \
             bid) WHERE rn <= {limit}"
        ));
        let line = text.lines().find(|line| line.contains("TopN")).unwrap().to_owned();
        let (_, mode) = line.split_once("changelogMode=").unwrap();
        mode.split_once(']').unwrap().0.to_owned() + "]"
    };
    assert_eq!(mode("auction", 1), "[I,UB,UA]");
    assert_eq!(mode("auction", 2), "[I,D]");
    assert_eq!(mode("auction, rn", 2), "[I,UB,UA]");
}

/// Of the lines of EXPLAIN those with state: what is behind the columns that it is kept by.
#[test]
fn how_long_state_is_kept_is_shown() {
    let lives = |set: &str, query: &str| {
        let text = result(&format!("{set}EXPLAIN {query}"))[1].concat();
        let kept = text.lines().filter_map(|line| {
            let (operator, state) = line.trim().split_once(", changelogMode")?;
            let (_, state) = state.split_once("state=[")?;
            let (_, life) = state.rsplit_once(']').and_then(|(state, _)| state.rsplit_once(']'))?;
            Some(format!("{}{life}", operator.split(' ').next().unwrap_or("")))
        });
        kept.collect::<Vec<_>>().join("; ")
    };
    let ttl = "SET 'table.exec.state.ttl' = '1 min'; ";
    let joined = "a.day FROM bid a JOIN bid b ON a.auction = b.auction";
    let grouped = "auction, COUNT(*) FROM bid GROUP BY auction";
    for (set, query, expected) in [
        ("", format!("SELECT {grouped}"), "Aggregate"),
        (ttl, format!("SELECT {grouped}"), "Aggregate, for 60000 ms"),
        (ttl, format!("SELECT {joined}"), "Join, for 60000 ms"),
        (ttl, "SELECT auction FROM bid LIMIT 3".to_owned(), "TopN, for 60000 ms"),
        (
            ttl,
            "SELECT auction FROM bid INTERSECT SELECT price FROM bid WHERE price > 1".to_owned(),
            "Intersect, for 60000 ms",
        ),
        // Windows end by themselves, and in batch mode all do.
        (
            ttl,
            "SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE bid, DESCRIPTOR(`at`), INTERVAL '1' MINUTE)) GROUP BY \
             window_start, window_end"
                .to_owned(),
            "Windows and window, until the watermark passes its end",
        ),
        (
            "SET 'table.exec.state.ttl' = '1 min'; SET 'execution.runtime-mode' = 'batch'; ",
            format!("SELECT {joined}"),
            "Join",
        ),
        ("", format!("SELECT /*+ STATE_TTL('bid' = '2 s') */ {grouped}"), "Aggregate, for 2000 ms"),
        (ttl, "SELECT /*+ STATE_TTL('b' = '1s') */ DISTINCT day FROM bid b".to_owned(), "Aggregate, for 1000 ms"),
        (ttl, format!("SELECT /*+ STATE_TTL('b' = '1s') */ {joined}"), "Join, left for 60000 ms, right for 1000 ms"),
        (
            "",
            format!("SELECT /*+ STATE_TTL('a' = '1s', 'c' = '3s'), BROADCAST(b) */ {joined} JOIN bid c ON c.price = b.price"),
            "Join, left for ever, right for 3000 ms; Join, left for 1000 ms, right for ever",
        ),
        // It is about this query, and not about those within.
        (
            "",
            "SELECT /*+ STATE_TTL('x' = '1s') */ n, COUNT(*) FROM (SELECT COUNT(*) AS n FROM bid AS x GROUP BY \
             auction) x GROUP BY n"
                .to_owned(),
            "Aggregate, for 1000 ms; Aggregate",
        ),
    ] {
        assert_eq!(lives(set, &query), expected, "{set}{query}");
    }
}

#[test]
fn names_are_shown_that_are_like_a_pattern() {
    let shown = |statement: &str| result(statement).split_off(1).concat();
    assert_eq!(shown("SHOW TABLES LIKE 'b%'"), ["bid"]);
    assert_eq!(shown("SHOW TABLES NOT LIKE 'b_d'"), ["sink", "v"]);
    assert_eq!(shown("SHOW VIEWS LIKE '_'"), ["v"]);
    assert_eq!(shown("SHOW FUNCTIONS LIKE '%base64'").len(), 2);
    assert!(shown("SHOW TABLES LIKE 'id'").is_empty());
}

/// As in Flink: the table's own columns first, those of the query that it has not got behind them.
#[test]
fn a_table_has_the_columns_of_its_query() {
    let created = |statement: &str| {
        let mut sinks = Vec::new();
        each(&format!("{TABLES}{statement}"), |table, rows| {
            sinks.extend(table.map(|table| (table.to_string(), rows.to_string())));
            Ok(())
        })
        .unwrap();
        let [(table, rows)] = <[_; 1]>::try_from(sinks).unwrap();
        let columns = table.lines().skip(1).take_while(|line| *line != ")").map(str::trim);
        (columns.collect::<Vec<_>>().join(" "), rows.lines().next().unwrap().to_owned())
    };
    let with = "WITH ('connector' = 'print') AS SELECT auction AS a, day, 'x' AS x FROM bid";
    for (declared, columns, rows) in [
        (
            "",
            "`a` BIGINT NOT NULL, `day` DATE, `x` CHAR(1) NOT NULL",
            "Project [auction AS a, CAST(at) AS day, x]",
        ),
        (
            "(x, a, day)",
            "`x` CHAR(1) NOT NULL, `a` BIGINT NOT NULL, `day` DATE",
            "Project [x, auction AS a, CAST(at) AS day]",
        ),
        (
            "(n INT, a INT, b AS a + 1)",
            "`n` INT, `a` INT, `b` AS a + 1, `day` DATE, `x` CHAR(1) NOT NULL",
            "Project [NULL AS n, CAST(auction) AS a, CAST(at) AS day, x]",
        ),
    ] {
        let found = created(&format!("CREATE TABLE c {declared} {with}"));
        assert_eq!(found, (columns.to_owned(), rows.to_owned()), "{declared}");
    }
}

#[test]
fn describe_has_flinks_columns() {
    let head = ["name", "type", "null", "key", "extras", "watermark"];
    let key = "PRI(price, auction)";
    let expected: &[[&str; 6]] = &[
        head,
        ["auction", "BIGINT", "false", key, "NULL", "NULL"],
        ["price", "DECIMAL(10, 2)", "false", key, "NULL", "NULL"],
        ["at", "TIMESTAMP(3) *ROWTIME*", "true", "NULL", "NULL", "`at` - INTERVAL '4' SECOND"],
        ["r", "ROW<`url` STRING>", "true", "NULL", "NULL", "NULL"],
        ["day", "DATE", "true", "NULL", "AS CAST(`at` AS DATE)", "NULL"],
    ];
    assert_eq!(result("DESCRIBE bid"), expected);
    let expected: &[[&str; 6]] = &[
        head,
        ["a", "BIGINT", "false", "NULL", "NULL", "NULL"],
        ["b", "DATE", "true", "NULL", "NULL", "NULL"],
    ];
    assert_eq!(result("DESC v"), expected);
    assert!(
        refused("DESCRIBE bids")
            .starts_with("there is no table or view `bids`: did you mean `bid`?")
    );
}

#[test]
fn show_lists_what_is_there_now() {
    assert_eq!(result("SHOW TABLES"), [["table name"], ["bid"], ["sink"], ["v"]]);
    assert_eq!(result("DROP TABLE sink; SHOW TABLES"), [["table name"], ["bid"], ["v"]]);
    assert_eq!(result("SHOW VIEWS"), [["view name"], ["v"]]);
    assert_eq!(result("DROP VIEW v; SHOW VIEWS"), [["view name"]]);
    let functions = result("SHOW FUNCTIONS");
    assert!(functions.is_sorted_by(|a, b| a[0] == "function name" || a < b), "{functions:?}");
    for name in ["upper", "count", "row_number"] {
        assert!(functions.iter().any(|row| row[0] == name), "{name}");
    }
}

#[test]
fn show_create_gives_statements_that_say_the_same() {
    let shown = result("SHOW CREATE TABLE bid").remove(1).remove(0);
    let expected = "\
CREATE TABLE `bid` (
  `auction` BIGINT NOT NULL,
  `price` DECIMAL(10, 2) NOT NULL,
  `at` TIMESTAMP(3),
  `r` ROW<`url` STRING>,
  `day` AS CAST(`at` AS DATE),
  WATERMARK FOR `at` AS `at` - INTERVAL '4' SECOND,
  PRIMARY KEY (`price`, `auction`) NOT ENFORCED
)
WITH (
  'connector' = 'datagen',
  'it''s' = 'x'
)";
    assert_eq!(shown, expected);
    let again = format!("DROP TABLE bid; {shown}; SHOW CREATE TABLE bid");
    assert_eq!(result(&again).remove(1), [expected]);
    let partitioned = result("SHOW CREATE TABLE sink").remove(1).remove(0);
    assert!(partitioned.contains(")\nPARTITIONED BY (`d`)\nWITH ("), "{partitioned}");
    let view = result("SHOW CREATE VIEW v").remove(1).remove(0);
    assert_eq!(view, "CREATE VIEW `v` (`a`, `b`) AS\nSELECT auction, day FROM bid WHERE price > 1");
    assert!(refused("SHOW CREATE TABLE v").starts_with("`v` is a view, no table"));
    assert!(refused("SHOW CREATE VIEW bid").starts_with("`bid` is a table: SHOW CREATE TABLE"));
}

#[test]
fn a_script_has_one_result() {
    for second in ["SELECT 1", "SHOW TABLES", "DESCRIBE v", "EXPLAIN SELECT 1", "SET"] {
        let message = refused(&format!("SHOW VIEWS;\n{second}"));
        let expected = "a script has one result, the rows of a query, EXPLAIN, SHOW or DESCRIBE: write those of \
                        other queries with INSERT INTO, and take the other statements out (line 5, column 1)";
        assert_eq!(message, expected, "{second}");
    }
    each(&format!("{TABLES}INSERT INTO sink (n) VALUES (1); SHOW VIEWS"), |_, _| Ok(())).unwrap();
}

#[test]
fn what_explain_and_show_do_not_take_is_named() {
    for (statement, expected) in [
        (
            "EXPLAIN SHOW TABLES",
            "EXPLAIN takes a query, an INSERT or a statement set (line 4, column 9)",
        ),
        (
            "EXPLAIN CHANGELOG_MODE, ESTIMATED_COST SELECT 1",
            "EXPLAIN ESTIMATED_COST is not supported yet: leave it away (line 4, column 25)",
        ),
        (
            "EXPLAIN STATEMENT SET BEGIN INSERT INTO sink (n) VALUES (1);",
            "the statement set does not end: END is missing (line 4, column 9)",
        ),
        (
            "EXPLAIN STATEMENT SET BEGIN SELECT 1; END",
            "a statement set has INSERT statements only (line 4, column 29)",
        ),
        ("EXPLAIN STATEMENT SET BEGIN END", "the statement set has no INSERT (line 4, column 9)"),
        ("EXPLAIN SELECT xyz FROM bid", "there is no column `xyz` (line 4, column 16)"),
        (
            "SHOW JARS",
            "`JARS` was found where TABLES, VIEWS, [USER] FUNCTIONS, CREATE TABLE or CREATE VIEW was expected (line 4, \
             column 6)",
        ),
    ] {
        assert_eq!(refused(statement), expected, "{statement}");
    }
}

#[test]
fn settings_are_shown_reset_and_applied() {
    let settings = "SET 'parallelism.default' = '3'; SET pipeline.name = counts; SET 'sql-client.x' = 'y'; \
                    SET 'execution.runtime-mode' = 'STREAMING'; SET 'table.local-time-zone' = 'utc'";
    let expected = [
        ["key", "value"],
        ["execution.runtime-mode", "STREAMING"],
        ["parallelism.default", "3"],
        ["pipeline.name", "counts"],
        ["sql-client.x", "y"],
        ["table.local-time-zone", "utc"],
    ];
    assert_eq!(result(&format!("{settings}; SET")), expected);
    assert_eq!(result(&format!("{settings}; RESET; SET")), expected[..1]);
    let left = result(&format!("{settings}; RESET 'pipeline.name'; RESET sql-client.x; SET;"));
    assert_eq!(left, [&expected[..3], &expected[5..]].concat());

    let built = |settings: &str| {
        let env = Environment::new("sql");
        let script =
            format!("{TABLES}{settings}; SELECT auction, COUNT(*) FROM bid GROUP BY auction");
        build(&script, &env).unwrap();
        let program = env.build();
        let nodes = program.graph().nodes.iter().map(|node| node.parallelism);
        (program.graph().name.clone(), nodes.collect::<Vec<_>>())
    };
    let (name, nodes) = built(settings);
    assert_eq!(name, "counts");
    assert_eq!(nodes.iter().filter(|subtasks| **subtasks == Some(3)).count(), nodes.len() - 1);
    assert_eq!(nodes.last(), Some(&Some(1)), "there is one result");
    let (name, nodes) = built(&format!("{settings}; RESET"));
    assert_eq!((name.as_str(), nodes[0]), ("sql", None));
}

#[test]
fn what_cannot_be_set_is_named() {
    for (statement, expected) in [
        (
            "SET 'execution.runtime-mode' = 'automatic'",
            "the setting 'execution.runtime-mode' takes 'streaming' or 'batch'; it was given 'automatic' (line 4, column 1)",
        ),
        (
            "SET 'parallelism.default' = '0'",
            "the setting 'parallelism.default' takes a whole number from 1 on; it was given '0' (line 4, column 1)",
        ),
        (
            "SET 'pipeline.name' = ''",
            "the setting 'pipeline.name' takes a name that is not empty; it was given '' (line 4, column 1)",
        ),
        (
            "SET 'table.local-time-zone' = 'Berlin'",
            "the setting 'table.local-time-zone' takes 'UTC', a region as 'Asia/Shanghai', or an offset as \
             'GMT+08:00'; it was given 'Berlin' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.source.idle-timeout' = 'soon'",
            "the setting 'table.exec.source.idle-timeout' takes a time, '1 h' or '36500 ms' for instance; it was \
             given 'soon' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.emit.early-fire.enabled' = 'true'",
            "'table.exec.emit.early-fire.enabled' is not supported: a window is said once, when it has ended: for \
             groups that are said with each row GROUP BY `FLOOR(ts TO MINUTE)` for instance, and for rows that come \
             late let the watermark wait for them, as in `WATERMARK FOR ts AS ts - INTERVAL '1' MINUTE` (line 4, \
             column 1)",
        ),
        (
            "SET 'execution.checkpointing.mode' = 'TWICE'",
            "the setting 'execution.checkpointing.mode' takes 'exactly-once' or 'at-least-once'; it was given 'TWICE' \
             (line 4, column 1)",
        ),
        (
            "SET 'paralelism.default' = '2'",
            "there is no setting 'paralelism.default' here: did you mean `parallelism.default`? (line 4, column 1)",
        ),
        (
            "RESET 'table.exec.source.idle'",
            "there is no setting 'table.exec.source.idle' here: a script can set execution.runtime-mode, \
             parallelism.default, table.exec.resource.default-parallelism, pipeline.name, table.exec.state.ttl, table.exec.source.idle-timeout, \
             table.local-time-zone, table.exec.sink.not-null-enforcer, table.exec.sink.type-length-enforcer, \
             table.exec.mini-batch.enabled, table.exec.mini-batch.allow-latency, table.exec.mini-batch.size, \
             table.optimizer.agg-phase-strategy (line 4, column 1)",
        ),
        (
            "SET 'table.optimizer.agg-phase-strategy' = 'THREE_PHASE'",
            "the setting 'table.optimizer.agg-phase-strategy' takes 'AUTO', 'ONE_PHASE' or 'TWO_PHASE'; it was given \
             'THREE_PHASE' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.sink.not-null-enforcer' = 'IGNORE'",
            "the setting 'table.exec.sink.not-null-enforcer' takes 'ERROR' or 'DROP'; it was given 'IGNORE' (line 4, \
             column 1)",
        ),
        (
            "SET 'table.exec.sink.type-length-enforcer' = 'TRIM'",
            "the setting 'table.exec.sink.type-length-enforcer' takes 'IGNORE', 'TRIM_PAD' or 'ERROR'; it was given \
             'TRIM' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.mini-batch.enabled' = 'on'",
            "the setting 'table.exec.mini-batch.enabled' takes 'true' or 'false'; it was given 'on' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.mini-batch.size' = 'all'",
            "the setting 'table.exec.mini-batch.size' takes a whole number; it was given 'all' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.mini-batch.allow-latency' = 'long'",
            "the setting 'table.exec.mini-batch.allow-latency' takes a time, '1 h' or '36500 ms' for instance; it was \
             given 'long' (line 4, column 1)",
        ),
        (
            "SET 'table.exec.state.ttl' = 'long'",
            "the setting 'table.exec.state.ttl' takes a time, '1 h' or '36500 ms' for instance; it was given 'long' \
             (line 4, column 1)",
        ),
    ] {
        assert_eq!(refused(statement), expected, "{statement}");
    }
}
