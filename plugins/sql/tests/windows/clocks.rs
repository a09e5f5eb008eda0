//! Windows of processing time, of tables that may be idle, and of time zones.

use super::*;

/// As in Flink, groups of the same windows are updated: their rows come when these have ended.
#[test]
fn groups_of_windows_of_processing_time_are_grouped() {
    let groups = "SELECT k, COUNT(*) AS n, window_start, window_end, window_time FROM TABLE(TUMBLE(TABLE p, \
                  DESCRIPTOR(now), INTERVAL '1' SECOND)) GROUP BY k, window_start, window_end, window_time";
    check(
        &format!("SELECT MAX(n) FROM ({groups}) GROUP BY window_start, window_end"),
        &[
            "Project [$agg0 AS EXPR$0]",
            "Aggregate by [window_start, window_end] [MAX(n) AS $agg0]",
            "Project [window_start, window_end, $agg0 AS n]",
            "Project [k, window_start, window_end, CAST(window_end - 1000) AS window_time, $agg0]",
            "Windows TUMBLE 1000 ms of PROCTIME() by [k] [COUNT(*) AS $agg0]",
            "Project [k]",
            "Project [k, PROCTIME() AS now]",
            "Scan t [k]",
        ],
    );
    check(
        &format!(
            "CREATE VIEW g AS SELECT n, window_time AS wt FROM ({groups}); SELECT MAX(n) FROM TABLE(TUMBLE(TABLE g, \
             DESCRIPTOR(wt), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end"
        ),
        &[
            "Project [$agg0 AS EXPR$0]",
            "Windows TUMBLE 60000 ms of PROCTIME() by [] [MAX(n) AS $agg0]",
            "Project [$agg0 AS n]",
            "Project [k, window_start, window_end, CAST(window_end - 1000) AS window_time, $agg0]",
            "Windows TUMBLE 1000 ms of PROCTIME() by [k] [COUNT(*) AS $agg0]",
            "Project [k]",
            "Project [k, PROCTIME() AS now]",
            "Scan t [k]",
        ],
    );
}

/// Each row comes at once; who asks for no event time reads none.
#[test]
fn rows_come_with_their_windows_of_processing_time() {
    check(
        "SELECT k, window_start AS s, window_time AS m FROM TABLE(TUMBLE(TABLE p, DESCRIPTOR(now), INTERVAL '1' SECOND))",
        &[
            "Project [k, window_start AS s, window_time AS m]",
            "Assign TUMBLE 1000 ms of PROCTIME()",
            "Project [k, PROCTIME() AS now]",
            "Scan t [k]",
        ],
    );
}

#[test]
fn sessions_may_be_of_processing_time() {
    let plan = [
        "Project [k, $agg0 AS n]",
        "Windows SESSION 5000 ms of PROCTIME() by [k] [COUNT(*) AS $agg0]",
        "Project [k]",
        "Project [k, PROCTIME() AS now]",
        "Scan t [k]",
    ];
    check(
        "SELECT k, COUNT(*) AS n FROM TABLE(SESSION(TABLE p PARTITION BY k, DESCRIPTOR(now), INTERVAL '5' SECOND)) \
         GROUP BY k, window_start, window_end",
        &plan,
    );
    check("SELECT k, COUNT(*) AS n FROM p GROUP BY k, SESSION(now, INTERVAL '5' SECOND)", &plan);
}

#[test]
fn a_table_may_be_idle() {
    check(
        "SET 'table.exec.source.idle-timeout' = '3 s'; SELECT TUMBLE_END(ts, INTERVAL '5' SECOND) FROM t GROUP BY \
         TUMBLE(ts, INTERVAL '5' SECOND)",
        &[
            "Project [window_end AS EXPR$0]",
            "Windows TUMBLE 5000 ms of ts by [] []",
            "Scan t [ts] watermark ts of ts, idle after 3000 ms",
        ],
    );
}

/// What a table says of itself counts more than what is set for all.
#[test]
fn a_table_has_a_time_of_its_own_to_be_idle() {
    check(
        "SET 'table.exec.source.idle-timeout' = '3 s'; SELECT TUMBLE_END(ts, INTERVAL '5' SECOND) FROM t /*+ \
         OPTIONS('scan.watermark.idle-timeout' = '5 s') */ GROUP BY TUMBLE(ts, INTERVAL '5' SECOND)",
        &[
            "Project [window_end AS EXPR$0]",
            "Windows TUMBLE 5000 ms of ts by [] []",
            "Scan t [ts] watermark ts of ts, idle after 5000 ms",
        ],
    );
}

/// Windows of instants say whose clocks they go by.
#[test]
fn windows_of_instants_are_of_a_time_zone() {
    check(
        "SET 'table.local-time-zone' = 'Asia/Shanghai'; CREATE TABLE l (k INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts \
         AS ts) WITH ('connector' = 'datagen'); SELECT window_start, MAX(k) FROM TABLE(TUMBLE(TABLE l, \
         DESCRIPTOR(ts), INTERVAL '1' DAY)) GROUP BY window_start, window_end",
        &[
            "Project [window_start, $agg0 AS EXPR$1]",
            "Windows TUMBLE 86400000 ms of ts in Asia/Shanghai by [] [MAX(k) AS $agg0]",
            "Project [ts, k]",
            "Scan l [k, ts] watermark ts of ts",
        ],
    );
}

/// Nothing asks for the watermark of the table.
#[test]
fn windows_may_be_of_processing_time() {
    check(
        "SELECT k, COUNT(*) AS n, window_end FROM TABLE(HOP(TABLE p, DESCRIPTOR(now), INTERVAL '5' SECOND, \
         INTERVAL '10' SECOND)) WHERE v > 3 GROUP BY k, window_start, window_end",
        &[
            "Project [k, $agg0 AS n, window_end]",
            "Windows HOP 10000 ms every 5000 ms of PROCTIME() by [k] [COUNT(*) AS $agg0]",
            "Project [k]",
            "Project [k, PROCTIME() AS now]",
            "Filter v > 3",
            "Scan t [k, v]",
        ],
    );
}
