//! How what goes by event time is planned, and what it is refused for.

use millstream_sql::script;

const TABLES: &str = "\
CREATE TABLE a (k INT, v STRING, at STRING, ts AS TO_TIMESTAMP(at), WATERMARK FOR ts AS ts) \
WITH ('connector' = 'datagen');
CREATE TABLE b (k INT, w STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) \
WITH ('connector' = 'datagen');
CREATE TABLE r (k INT, l INT, rate INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts, PRIMARY KEY (k, l) NOT ENFORCED) \
WITH ('connector' = 'datagen');
CREATE VIEW latest AS SELECT ts, w, k FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) AS rn \
FROM b) WHERE rn = 1;
CREATE TABLE c (k INT, w STRING, ts TIMESTAMP(3)) WITH ('connector' = 'datagen');
";

fn explained(query: &str) -> Result<String, String> {
    script::explain(&format!("{TABLES}{query}")).map_err(|error| error.to_string())
}

/// How a query is planned.
fn plan(query: &str) -> String {
    explained(query).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// The line of a plan that has this word.
fn line(query: &str, word: &str) -> String {
    let plan = plan(query);
    let line = plan.lines().find(|line| line.contains(word));
    line.unwrap_or_else(|| panic!("{query}: {plan}")).trim().to_owned()
}

#[test]
fn times_that_are_near_each_other_are_joined_by_time() {
    let near = |condition: &str, expected: &str| {
        for from in ["a JOIN b ON", "a CROSS JOIN b WHERE", "a, b WHERE"] {
            let query = format!("SELECT v, w FROM {from} a.k = b.k AND {condition}");
            let found = line(&query, "Join [");
            assert_eq!(found, format!("IntervalJoin [k = k'] ts' from ts {expected}"), "{query}");
        }
    };
    near(
        "a.ts BETWEEN b.ts - INTERVAL '5' SECOND AND b.ts + INTERVAL '3' SECOND",
        "-3000 ms to +5000 ms",
    );
    near(
        "b.ts BETWEEN a.ts - INTERVAL '5' SECOND AND a.ts + INTERVAL '3' SECOND",
        "-5000 ms to +3000 ms",
    );
    near("a.ts > b.ts - INTERVAL '5' SECOND AND a.ts < b.ts", "+1 ms to +4999 ms");
    near("a.ts - INTERVAL '1' MINUTE <= b.ts AND b.ts <= a.ts", "-60000 ms to +0 ms");
    near("a.ts = b.ts", "+0 ms to +0 ms");
    near("a.ts = INTERVAL '1' SECOND + b.ts", "-1000 ms to -1000 ms");
    near(
        "a.ts >= b.ts AND a.ts <= b.ts + INTERVAL '5' SECOND AND a.ts < b.ts + INTERVAL '1' MINUTE",
        "-5000 ms to +0 ms",
    );
    near("a.ts >= b.ts + INTERVAL '5' SECOND AND a.ts <= b.ts", "+0 ms to -5000 ms");
}

/// What else is asked is a filter, or decides which rows have a match.
#[test]
fn joins_by_time_are_of_all_kinds() {
    let near =
        "a.k = b.k AND a.ts BETWEEN b.ts AND b.ts + INTERVAL '3' SECOND AND v <> w AND v <> 'x'";
    let expected = "\
Project [v, w]
  IntervalFullJoin [k = k'] ts' from ts -3000 ms to +0 ms on v != w AND v != x
    Project [k, v, TO_TIMESTAMP(at) AS ts]
      Scan a [k, v, at] watermark TO_TIMESTAMP(at) of TO_TIMESTAMP(at)
    Project [k AS k', w, ts AS ts']
      Scan b [k, w, ts] watermark ts - 1000000 of ts
";
    assert_eq!(plan(&format!("SELECT v, w FROM a FULL JOIN b ON {near}")), expected);
    let inner = plan(&format!("SELECT v, w FROM a JOIN b ON {near}"));
    assert!(inner.contains("Filter v != w\n    IntervalJoin ["), "{inner}");
    for kind in ["LEFT", "RIGHT"] {
        let found = line(&format!("SELECT v, w FROM a {kind} JOIN b ON {near}"), "Join [");
        assert!(found.to_uppercase().starts_with(&format!("INTERVAL{kind}JOIN")), "{found}");
    }
    let alone = "SELECT v, w FROM a LEFT JOIN b ON a.ts = b.ts";
    assert_eq!(line(alone, "Join ["), "IntervalLeftJoin [] ts' from ts +0 ms to +0 ms");
}

/// As in Flink, whose rows stay for good then.
#[test]
fn other_joins_are_of_all_that_has_come() {
    for (from, rest) in [
        ("a JOIN b ON a.k = b.k AND a.ts > b.ts", ""),
        ("a JOIN c ON a.k = c.k AND a.ts = c.ts", ""),
        (
            "a JOIN (SELECT k, ts + INTERVAL '1' SECOND AS ts FROM b) b ON a.k = b.k AND a.ts = b.ts",
            "",
        ),
        ("a JOIN (SELECT k, ts FROM b GROUP BY k, ts) b ON a.k = b.k AND a.ts = b.ts", ""),
        ("a JOIN c USING (k) JOIN b ON a.ts = b.ts", ""),
        ("a LEFT JOIN b ON a.k = b.k", "WHERE a.ts = b.ts OR b.ts IS NULL"),
        ("a", "WHERE EXISTS (SELECT 1 FROM b WHERE a.k = b.k AND a.ts = b.ts)"),
    ] {
        let found = plan(&format!("SELECT a.v FROM {from} {rest}"));
        assert!(found.contains("Join [") && !found.contains("Interval"), "{from}: {found}");
    }
}

/// Both times are event times above.
#[test]
fn times_stay_event_times_behind_joins_by_time() {
    let joined =
        "SELECT a.k, a.ts AS t1, b.ts AS t2 FROM a LEFT JOIN b ON a.k = b.k AND a.ts = b.ts";
    for time in ["t1", "t2"] {
        let query = format!(
            "CREATE VIEW j AS {joined}; SELECT COUNT(*) FROM TABLE(TUMBLE(TABLE j, DESCRIPTOR({time}), \
             INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
        );
        assert!(line(&query, "Windows").contains(&format!("of {time}")), "{time}");
        let twice = format!(
            "SELECT a.v FROM ({joined}) j JOIN a ON a.k = j.k AND a.ts BETWEEN j.{time} AND j.{time} + \
             INTERVAL '1' SECOND"
        );
        assert_eq!(plan(&twice).matches("Interval").count(), 2, "{twice}");
    }
}

/// A condition of the table decides what there is for a row, never which version that is.
#[test]
fn rows_are_joined_with_the_version_of_their_time() {
    let expected = "\
Project [v, rate]
  TemporalLeftJoin [k = k', l = l'] ts' as of ts on rate > 3 AND l < 7
    Scan q [k, l, v, ts] watermark ts of ts
    Project [k AS k', l AS l', rate, ts AS ts']
      Scan r [k, l, rate, ts] watermark ts of ts
";
    let q = "CREATE TABLE q (k INT, l INT, v STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts) \
             WITH ('connector' = 'datagen');";
    let from = "q LEFT JOIN r FOR SYSTEM_TIME AS OF q.ts ON q.k = r.k AND q.l = r.l";
    let found = plan(&format!("{q} SELECT v, rate FROM {from} AND rate > 3 AND q.l < 7"));
    assert_eq!(found, expected);
    let filtered = format!("{q} SELECT v FROM {} WHERE rate > 3", from.replace("LEFT", "INNER"));
    let found = plan(&filtered);
    assert!(
        found.starts_with(
            "Project [v]\n  Filter rate > 3\n    Project [v, rate]\n      TemporalJoin ["
        ),
        "{found}"
    );
    let latest = "SELECT v, w FROM a JOIN latest FOR SYSTEM_TIME AS OF a.ts AS x ON a.k = x.k";
    assert_eq!(line(latest, "Temporal"), "TemporalJoin [k = k'] ts' as of ts");
    assert_eq!(line(latest, "TopN"), "TopN 1 by [k] order [ts DESC], the latest of equals");
}

#[test]
fn versions_are_asked_for_in_time() {
    let refused = |from: &str| explained(&format!("SELECT a.v FROM {from}")).expect_err(from);
    for (from, expected) in [
        (
            "a JOIN b FOR SYSTEM_TIME AS OF a.ts ON a.k = b.k",
            "the table on the right of a temporal join needs versions: declare PRIMARY KEY (…) NOT ENFORCED and \
             WATERMARK FOR in CREATE TABLE and select both columns; or keep the last row of each key by event time \
             in a view, with ROW_NUMBER() OVER (PARTITION BY k ORDER BY ts DESC) = 1 (line 6, column 24)",
        ),
        (
            "a JOIN r FOR SYSTEM_TIME AS OF a.ts ON a.k = r.k",
            "FOR SYSTEM_TIME AS OF needs an equality of all of the table's key: add one of `l` to ON",
        ),
        (
            "a JOIN r FOR SYSTEM_TIME AS OF a.ts ON a.k < r.k",
            "FOR SYSTEM_TIME AS OF needs an equality of all of the table's key: add one of `k` to ON",
        ),
        (
            "c JOIN r FOR SYSTEM_TIME AS OF c.ts ON c.k = r.k AND c.k = r.l",
            "FOR SYSTEM_TIME AS OF takes the event time of the rows on its left, which `c.ts` is not: declare it \
             in CREATE TABLE with WATERMARK FOR, and pass the column on as it is (line 6, column 48)",
        ),
        (
            "(SELECT *, PROCTIME() AS now FROM a) p JOIN r FOR SYSTEM_TIME AS OF p.now ON p.k = r.k",
            "a temporal join of processing time is not supported, as in Flink, and no connector looks rows up: use \
             event time, or leave FOR SYSTEM_TIME out, so that rows are joined with those that come later, too",
        ),
        (
            "a RIGHT JOIN r FOR SYSTEM_TIME AS OF a.ts ON a.k = r.k",
            "FOR SYSTEM_TIME AS OF joins with JOIN or LEFT JOIN only",
        ),
        (
            "a JOIN r FOR SYSTEM_TIME AS OF a.ts USING (k)",
            "FOR SYSTEM_TIME AS OF needs ON, with an equality of the table's PRIMARY KEY",
        ),
        (
            "a, r FOR SYSTEM_TIME AS OF a.ts WHERE a.k = r.k",
            "FOR SYSTEM_TIME AS OF stands behind the second table of a JOIN … ON, with the event time of the first \
             one",
        ),
    ] {
        let found = refused(from);
        assert!(found.starts_with(expected), "{from}: {found}");
    }
}
