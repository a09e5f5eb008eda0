//! Keys of updates, what tables take of them, and what is written where the keys differ.

use super::*;

const TABLES: &str = "\
CREATE TABLE s (a INT, b STRING) WITH ('connector' = 'datagen');
CREATE TABLE c (id INT, v STRING, n INT, PRIMARY KEY (id) NOT ENFORCED)
WITH ('connector' = 'filesystem', 'path' = 'c', 'format' = 'debezium-json');
CREATE TABLE hole (b STRING, n BIGINT) WITH ('connector' = 'blackhole');
CREATE TABLE by_b (b STRING, n BIGINT, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector' = 'blackhole');
CREATE TABLE by_n (b STRING, n BIGINT, PRIMARY KEY (n) NOT ENFORCED) WITH ('connector' = 'blackhole');
CREATE TABLE by_both (b STRING, n BIGINT, PRIMARY KEY (n, b) NOT ENFORCED) WITH ('connector' = 'blackhole');
CREATE TABLE printed (b STRING, n BIGINT, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector' = 'print');
CREATE VIEW counted AS SELECT b, COUNT(*) AS n FROM s GROUP BY b;
";

/// The lines of EXPLAIN, each the operator's name with what it says and its keys.
fn lines(insert: &str) -> Vec<String> {
    let text = result(&format!("{TABLES}EXPLAIN {insert}"))[1].concat();
    let line = |line: &str| {
        let (head, modes) = line.trim().split_once(", changelogMode=").unwrap();
        let modes = modes.split_once(", state=").map_or(modes, |(modes, _)| modes);
        format!("{} {modes}", head.split(' ').next().unwrap())
    };
    physical(&text).lines().filter(|line| !line.contains("Sink ")).map(line).collect()
}

#[test]
fn rows_as_they_were_are_left_away_where_nothing_needs_them() {
    let grouped = "Project [I,UA], upsertKeys=[[b]]; Aggregate [I,UA], upsertKeys=[[b]]";
    let whole = "Project [I,UB,UA], upsertKeys=[[b]]; Aggregate [I,UB,UA], upsertKeys=[[b]]";
    let all = |lines: Vec<String>| {
        let lines = lines.into_iter().filter(|line| !line.ends_with(" [I]"));
        lines.collect::<Vec<_>>().join("; ")
    };
    for (insert, expected) in [
        ("INTO hole SELECT b, n FROM counted", grouped),
        ("INTO by_b SELECT b, n FROM counted", grouped),
        // Rows of one group may have several keys of the table, one after the other.
        ("INTO by_both SELECT b, n FROM counted", whole),
        ("INTO printed SELECT b, n FROM counted", whole),
        (
            "INTO hole SELECT b, n FROM counted WHERE n > 2",
            "Project [I,UB,UA], upsertKeys=[[b]]; Filter [I,UB,UA]; Aggregate [I,UB,UA], upsertKeys=[[b]]",
        ),
        (
            "INTO hole SELECT 'x', n FROM counted WHERE CHAR_LENGTH(b) > 2",
            "Project [I,UA]; Aggregate [I,UA], upsertKeys=[[b]]",
        ),
        (
            "INTO by_n SELECT MAX(b), a FROM s GROUP BY a",
            "Project [I,UA], upsertKeys=[[n]]; Aggregate [I,UA], upsertKeys=[[a]]",
        ),
        (
            "INTO hole SELECT b, n FROM counted UNION ALL SELECT b, a FROM s",
            "Union [I,UA]; Project [I,UA], upsertKeys=[[b]]; Aggregate [I,UA], upsertKeys=[[b]]",
        ),
        (
            "INTO by_both SELECT b, r FROM (SELECT b, ROW_NUMBER() OVER (PARTITION BY b ORDER BY a) AS r FROM s) \
             WHERE r <= 2",
            "Project [I,UA], upsertKeys=[[b, n]]; TopN [I,UA], upsertKeys=[[b, $rank]]",
        ),
        // The rows of the groups below a group are taken back.
        (
            "INTO by_b SELECT b, COUNT(*) FROM (SELECT b, a, COUNT(*) FROM s GROUP BY b, a) GROUP BY b",
            "Project [I,UA,D], upsertKeys=[[b]]; Aggregate [I,UA,D], upsertKeys=[[b]]; Project [I,UB,UA]; Aggregate \
             [I,UB,UA], upsertKeys=[[b, a]]",
        ),
    ] {
        assert_eq!(all(lines(&format!("INSERT {insert}"))), expected, "{insert}");
    }
}

/// All keys here are Flink's, where it takes the rows with one of them as the primary key.
#[test]
fn keys_are_those_of_flink() {
    let keys = |query: &str| {
        let line = lines(&format!("INSERT INTO hole {query}")).remove(0);
        line.split_once("upsertKeys=").map_or("none".to_owned(), |(_, keys)| keys.to_owned())
    };
    let counted = "(SELECT b, COUNT(*) AS n FROM s GROUP BY b)";
    let most = "(SELECT b, MAX(a) AS m FROM s GROUP BY b)";
    for (query, expected) in [
        ("SELECT v, id FROM c", "[[n]]"),
        ("SELECT v, n FROM c", "none"),
        ("SELECT UPPER(b), n FROM counted", "none"),
        ("SELECT b, n AS c FROM counted WHERE b = 'x'", "[[b]]"),
        ("SELECT MAX(b), COUNT(*) FROM s", "[[]]"),
        (&format!("SELECT x.b, x.n FROM {counted} x JOIN {most} y ON x.b = y.b"), "[[b]]"),
        (&format!("SELECT y.b, x.n FROM {counted} x JOIN {most} y ON x.b = y.b"), "[[b]]"),
        (&format!("SELECT y.b, x.n FROM {counted} x LEFT JOIN {most} y ON x.b = y.b"), "none"),
        (&format!("SELECT x.b, x.n FROM {counted} x LEFT JOIN {most} y ON x.b = y.b"), "[[b]]"),
        (&format!("SELECT x.b, x.n FROM {counted} x LEFT JOIN c y ON x.b = y.v"), "none"),
        // Rows of one `b` come from several subtasks, by what their `n` are.
        (&format!("SELECT x.b, x.n FROM {counted} x LEFT JOIN c y ON x.n = y.id"), "none"),
        ("SELECT b, n FROM counted WHERE n IN (SELECT id FROM c)", "none"),
        ("SELECT b, n FROM counted WHERE b IN (SELECT v FROM c)", "[[b]]"),
        ("SELECT b, a FROM s UNION SELECT v, n FROM c", "[[b, n]]"),
        ("SELECT b, n FROM counted UNION ALL SELECT b, a FROM s", "none"),
        ("SELECT b, a FROM s INTERSECT SELECT v, n FROM c", "[[b, n]]"),
    ] {
        assert_eq!(keys(query), expected, "{query}");
    }
    let ranked = |columns: &str, limit: u8| {
        format!(
            "SELECT {columns} FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY n ORDER BY b) AS r FROM counted) WHERE \
             r <= {limit}"
        )
    };
    assert_eq!(keys(&ranked("b, n", 3)), "none");
    assert_eq!(keys(&ranked("b, n", 1)), "[[n]]");
}

#[test]
fn of_rows_with_one_key_the_last_is_written() {
    let last = "INSERT INTO by_n SELECT b, n FROM counted ON CONFLICT DO DEDUPLICATE";
    let text = result(&format!("{TABLES}EXPLAIN {last}"))[1].concat();
    let expected = "  TopN 1 by [n] order [], the latest of equals, changelogMode=[I,UA,D], upsertKeys=[[n]], \
                    state=[all rows by [n]]";
    assert_eq!(physical(&text).lines().nth(1), Some(expected));
    // There is no conflict, and nothing is kept.
    for table in ["by_b", "hole"] {
        let insert = format!("INSERT INTO {table} SELECT b, n FROM counted");
        assert_eq!(lines(&format!("{insert} ON CONFLICT DO DEDUPLICATE")), lines(&insert));
    }
    assert!(!lines("INSERT INTO by_n SELECT b, a FROM s").concat().contains("TopN"));
}

#[test]
fn of_rows_with_one_key_the_first_is_written_or_none() {
    let shown = |what: &str, script: &str| {
        let conflict = format!("INSERT INTO by_n SELECT b, n FROM counted ON CONFLICT DO {what}");
        let text = result(&format!("{TABLES}{script}EXPLAIN {conflict}"))[1].concat();
        physical(&text).lines().nth(1).map(str::to_owned)
    };
    for (what, head) in
        [("NOTHING", "Single by [n], the first"), ("ERROR", "Single by [n], or an error")]
    {
        let expected = format!(
            "  {head}, changelogMode=[I,UA,D], upsertKeys=[[n]], state=[changes by [n], until the watermark rises, and the \
             row that was said]"
        );
        assert_eq!(shown(what, ""), Some(expected));
        // There is no conflict, and nothing is kept.
        let insert = "INSERT INTO by_b SELECT b, n FROM counted";
        assert_eq!(lines(&format!("{insert} ON CONFLICT DO {what}")), lines(insert));
        // Only rows that are left come: what a batch has is written, as in Flink.
        let batch = "SET 'execution.runtime-mode' = 'batch';";
        assert!(shown(what, batch).is_some_and(|line| line.contains("changelogMode=[I]")));
    }
    // Who looks for conflicts asks for the watermark.
    let timed = "CREATE TABLE w (b STRING, n BIGINT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) WITH ('connector' = 'datagen');";
    let counted = "EXPLAIN INSERT INTO by_n SELECT b, COUNT(*) FROM w GROUP BY b ON CONFLICT DO";
    let scan = |what: &str| {
        let text = result(&format!("{TABLES}{timed}{counted} {what}"))[1].concat();
        physical(&text).lines().any(|line| line.contains("watermark ts of ts"))
    };
    assert_eq!(["DEDUPLICATE", "NOTHING", "ERROR"].map(scan), [false, true, true]);
}

/// One that needs the rows as they were has them said for all.
#[test]
fn an_operator_that_several_inserts_read_runs_once() {
    let planned = |inserts: &str| {
        let mut jobs = Vec::new();
        let script = format!("{TABLES}{inserts}");
        each(&script, |_, rows| {
            jobs.push(((), rows));
            Ok(())
        })
        .unwrap();
        let jobs = sink::together(jobs).into_iter();
        jobs.map(|(_, rows)| rows.changelog_mode().to_string()).collect::<Vec<_>>()
    };
    let (hole, printed) =
        ("INSERT INTO hole SELECT * FROM counted;", "INSERT INTO printed SELECT * FROM counted;");
    assert_eq!(planned(&format!("{hole}{printed}")), ["[I,UB,UA]", "[I,UB,UA]"]);
    assert_eq!(planned(&format!("{hole}{hole}")), ["[I,UA]", "[I,UA]"]);
    assert_eq!(planned("INSERT INTO printed SELECT b, COUNT(a) FROM s GROUP BY b;"), ["[I,UB,UA]"]);
}

/// What a table says of its columns is seen to behind the operator that updates, whose keys are still there, and
/// before the last rows are kept.
#[test]
fn columns_of_tables_are_enforced_where_that_was_set() {
    let planned = |settings: &str, insert: &str| {
        let text = result(&format!("{TABLES}{settings}EXPLAIN INSERT INTO {insert}"))[1].concat();
        let lines = physical(&text).lines().skip(1).take(2);
        let said = lines.map(|line| line.trim().split(", state=").next().unwrap().to_owned());
        said.collect::<Vec<_>>().join("; ")
    };
    let drop = "SET 'table.exec.sink.not-null-enforcer' = 'DROP';";
    let fit = "CREATE TABLE l (b VARCHAR(3)) WITH ('connector' = 'datagen');
        CREATE TABLE short (b VARCHAR(3), n BIGINT, PRIMARY KEY (b) NOT ENFORCED) WITH ('connector' = 'blackhole');
        SET 'table.exec.sink.type-length-enforcer' = 'TRIM_PAD';";
    let last = "by_n SELECT b, n FROM counted ON CONFLICT DO DEDUPLICATE";
    let nothing = "Project [b, $agg0 AS n], changelogMode=[I,UA], upsertKeys=[[b]]; Aggregate by [b] [COUNT(*) AS \
                   $agg0], changelogMode=[I,UA], upsertKeys=[[b]]";
    for (settings, insert, expected) in [
        (
            drop,
            last,
            "TopN 1 by [n] order [], the latest of equals, changelogMode=[I,UA,D], upsertKeys=[[n]]; Filter n IS NOT \
             NULL, changelogMode=[I,UB,UA], upsertKeys=[[b]]",
        ),
        (
            drop,
            "by_both SELECT b, a FROM s",
            "Filter b IS NOT NULL AND n IS NOT NULL, changelogMode=[I]; Project [b, CAST(a AS Int64) AS n], \
             changelogMode=[I]",
        ),
        (drop, "hole SELECT b, n FROM counted", nothing),
        (
            fit,
            "short SELECT b, COUNT(*) FROM l GROUP BY b",
            "Project [FIT(b) AS b, $agg0 AS n], changelogMode=[I,UA]; Aggregate by [b] [COUNT(*) AS $agg0], \
             changelogMode=[I,UA], upsertKeys=[[b]]",
        ),
        (fit, "hole SELECT b, n FROM counted", nothing),
    ] {
        assert_eq!(planned(settings, insert), expected, "{insert}");
    }
}
