//! The scripts.

use millstream_simulation::engine::Rows;

use super::{reference, tables::Input};

/// A script.
pub(crate) struct Script {
    pub(crate) name: &'static str,
    /// Behind the tables.
    pub(crate) text: &'static str,
    /// Rows are late, and which ones is said by their order.
    pub(crate) late: bool,
    /// What it makes, without the engine.
    pub(crate) reference: Option<fn(&Input) -> Rows>,
}

impl Script {
    const fn new(name: &'static str, text: &'static str) -> Self {
        Self { name, text, late: false, reference: None }
    }

    const fn late(self) -> Self {
        Self { late: true, ..self }
    }

    const fn is(self, reference: fn(&Input) -> Rows) -> Self {
        Self { reference: Some(reference), ..self }
    }
}

/// All of them.
pub(crate) const SCRIPTS: &[Script] = &[
    Script::new(
        "tumble",
        "CREATE TABLE sink (k INT, b TIMESTAMP(3), n BIGINT, d BIGINT, m STRING) WITH ('connector' = 'simulated'); \
         INSERT INTO sink SELECT k, window_start, COUNT(*), COUNT(DISTINCT s), MAX(s) FROM TABLE(TUMBLE(TABLE t, \
         DESCRIPTOR(ts), INTERVAL '0.3' SECOND)) GROUP BY k, window_start, window_end;",
    ),
    Script::new("hop_late", HOP).late().is(reference::hop_late),
    Script::new("hop", HOP),
    Script::new("session_late", SESSION).late(),
    Script::new("session", SESSION),
    Script::new(
        "window_join",
        "CREATE TABLE sink (k INT, e TIMESTAMP(3), v BIGINT, w BIGINT) WITH ('connector' = 'simulated'); \
         INSERT INTO sink SELECT COALESCE(a.k, b.k), COALESCE(a.window_end, b.window_end), v, w FROM (SELECT * FROM \
         TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '0.2' SECOND))) a FULL JOIN (SELECT * FROM \
         TABLE(TUMBLE(TABLE u, DESCRIPTOR(ts), INTERVAL '0.2' SECOND))) b ON a.k = b.k AND a.window_start = \
         b.window_start AND a.window_end = b.window_end;",
    ),
    Script::new(
        "window_top_n",
        "CREATE TABLE sink (k INT, e TIMESTAMP(3), n BIGINT, p BIGINT) WITH ('connector' = 'simulated'); INSERT INTO \
         sink SELECT k, e, n, p FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY b, e ORDER BY n DESC, k) AS p FROM \
         (SELECT k, window_start AS b, window_end AS e, SUM(v) AS n FROM TABLE(CUMULATE(TABLE t, DESCRIPTOR(ts), \
         INTERVAL '0.2' SECOND, INTERVAL '0.8' SECOND)) GROUP BY k, window_start, window_end)) WHERE p <= 2;",
    ),
    Script::new("groups_of_groups", GROUPS).is(reference::groups_of_groups),
    Script::new("mini_batch", MINI_BATCH).is(reference::groups_of_groups),
    Script::new(
        "distinct",
        "CREATE TABLE sink (k INT, d BIGINT, f BIGINT, l STRING) WITH ('connector' = 'simulated', 'format' = \
         'changelog-json'); INSERT INTO sink SELECT k, COUNT(DISTINCT s), SUM(v) FILTER (WHERE s = 'a'), MIN(s) FROM \
         (SELECT DISTINCT k, s, v - MOD(v, 7) AS v FROM t) GROUP BY k;",
    ),
    Script::new(
        "join",
        "CREATE TABLE sink (k INT, v BIGINT, w BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'simulated'); INSERT \
         INTO sink SELECT t.k, v, w, u.ts FROM t JOIN u ON t.k = u.k AND MOD(v + w, 5) = 0;",
    ),
    Script::new(
        "outer_join",
        "CREATE TABLE sink (k INT, k2 INT, n BIGINT, w BIGINT) WITH ('connector' = 'simulated', 'format' = \
         'changelog-json'); INSERT INTO sink SELECT a.k, b.k, a.n, b.w FROM (SELECT k, COUNT(*) AS n FROM t WHERE \
         MOD(v, 3) > 0 GROUP BY k) a FULL JOIN (SELECT k, MAX(w) AS w FROM u WHERE w > 10 GROUP BY k) b ON a.k = b.k;",
    ),
    Script::new(
        "shared",
        "CREATE VIEW a AS SELECT k, COUNT(*) AS n, SUM(v) AS v FROM t GROUP BY k; CREATE TABLE sink (k INT, n BIGINT, \
         v BIGINT) WITH ('connector' = 'simulated', 'format' = 'changelog-json'); INSERT INTO sink SELECT x.k, x.n, \
         y.v FROM a x JOIN a y ON x.n = y.n UNION ALL SELECT k, v, n FROM a WHERE k NOT IN (SELECT k FROM u WHERE k IS NOT NULL AND w > 20);",
    ),
    Script::new(
        "set_operation",
        "CREATE TABLE sink (k INT, n BIGINT) WITH ('connector' = 'simulated', 'format' = 'changelog-json'); INSERT INTO \
         sink (SELECT k, MOD(v, 4) AS n FROM t EXCEPT ALL SELECT k, MOD(w, 4) AS n FROM u) UNION ALL (SELECT k, MAX(v) \
         AS n FROM t GROUP BY k INTERSECT SELECT k, w AS n FROM u);",
    ),
    Script::new(
        "interval_join",
        "CREATE TABLE sink (k INT, v BIGINT, w BIGINT, a TIMESTAMP(3), b TIMESTAMP(3)) WITH ('connector' = \
         'simulated'); INSERT INTO sink SELECT t.k, v, w, t.ts, u.ts FROM t LEFT JOIN u ON t.k = u.k AND u.ts BETWEEN \
         t.ts - INTERVAL '0.15' SECOND AND t.ts + INTERVAL '0.05' SECOND;",
    ),
    Script::new(
        "temporal_join",
        "CREATE TABLE sink (k INT, v BIGINT, rate BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'simulated'); INSERT INTO \
         sink SELECT t.k, v, rate, t.ts FROM t LEFT JOIN r FOR SYSTEM_TIME AS OF t.ts ON t.k = r.k;",
    ),
    Script::new(
        "top_n",
        "CREATE TABLE sink (k INT, v BIGINT, p BIGINT) WITH ('connector' = 'simulated', 'format' = 'changelog-json'); \
         INSERT INTO sink SELECT k, v, p FROM (SELECT k, v, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS p \
         FROM t) WHERE p <= 3;",
    )
    .is(reference::top_n),
    Script::new(
        "top_n_of_changes",
        "CREATE TABLE sink (m BIGINT, k INT, n BIGINT, p BIGINT) WITH ('connector' = 'simulated', 'format' = \
         'changelog-json'); INSERT INTO sink SELECT m, k, n, p FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY m ORDER \
         BY n DESC, k) AS p FROM (SELECT MOD(v, 2) AS m, k, COUNT(*) AS n FROM t GROUP BY MOD(v, 2), k)) WHERE p <= 2;",
    ),
    Script::new(
        "first_row",
        "CREATE TABLE sink (k INT, s STRING, v BIGINT, ts TIMESTAMP(3)) WITH ('connector' = 'simulated', 'format' = \
         'changelog-json'); INSERT INTO sink SELECT k, s, v, ts FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, s \
         ORDER BY ts) AS p FROM t) WHERE p = 1;",
    ),
    Script::new(
        "last_row",
        "CREATE TABLE sink (k INT, n BIGINT) WITH ('connector' = 'simulated', 'format' = 'changelog-json'); INSERT INTO \
         sink SELECT k, SUM(v) FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k, s ORDER BY ts DESC) AS p FROM t) WHERE \
         p = 1 GROUP BY k;",
    ),
    Script::new("over", OVER),
    Script::new("over_late", OVER).late(),
];

const HOP: &str = "\
CREATE TABLE sink (k INT, b TIMESTAMP(3), n BIGINT, v BIGINT) WITH ('connector' = 'simulated');
INSERT INTO sink SELECT k, window_start, COUNT(*), SUM(v) FROM TABLE(HOP(TABLE t, DESCRIPTOR(ts), \
INTERVAL '0.2' SECOND, INTERVAL '0.6' SECOND)) GROUP BY k, window_start, window_end;";

const SESSION: &str = "\
CREATE TABLE sink (k INT, b TIMESTAMP(3), e TIMESTAMP(3), n BIGINT, s STRING) WITH ('connector' = 'simulated');
INSERT INTO sink SELECT k, window_start, window_end, COUNT(*), MIN(s) FROM TABLE(SESSION(TABLE t PARTITION BY k, \
DESCRIPTOR(ts), INTERVAL '0.07' SECOND)) GROUP BY k, window_start, window_end;";

const GROUPS: &str = "\
CREATE TABLE sink (n BIGINT, times BIGINT, least BIGINT, most BIGINT) WITH ('connector' = 'simulated', 'format' = \
'changelog-json');
INSERT INTO sink SELECT MOD(n, 3), COUNT(*), MIN(least), SUM(most) FROM (SELECT k, COUNT(*) AS n, MIN(v) AS least, \
MAX(v) AS most FROM t GROUP BY k) GROUP BY MOD(n, 3);";

const MINI_BATCH: &str = "\
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '1 s';
SET 'table.exec.mini-batch.size' = '7';
CREATE TABLE sink (n BIGINT, times BIGINT, least BIGINT, most BIGINT) WITH ('connector' = 'simulated', 'format' = \
'changelog-json');
INSERT INTO sink SELECT MOD(n, 3), COUNT(*), MIN(least), SUM(most) FROM (SELECT k, COUNT(*) AS n, MIN(v) AS least, \
MAX(v) AS most FROM t GROUP BY k) GROUP BY MOD(n, 3);";

/// The sum goes by rows, whose times differ, and the count by time.
const OVER: &str = "\
CREATE TABLE sink (k INT, v BIGINT, n BIGINT, m BIGINT) WITH ('connector' = 'simulated');
INSERT INTO sink SELECT k, v, SUM(v) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW), \
COUNT(s) OVER (PARTITION BY k ORDER BY ts ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM t;";
