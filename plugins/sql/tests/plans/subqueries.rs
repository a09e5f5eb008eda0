//! How subqueries are planned.

use crate::plan;

#[test]
fn subqueries_are_joins() {
    let cases = [
        (
            "SELECT x FROM a WHERE id IN (SELECT id FROM b WHERE y > 1) AND x > 2",
            "\
Project [x]
  SemiJoin [id = id']
    Filter x > 2
      Scan a [id, x]
    Project [id AS id']
      Filter y > 1
        Scan b [id, y]
",
        ),
        (
            "SELECT x FROM a WHERE EXISTS (SELECT * FROM b WHERE b.id = a.id AND y > a.x AND a.x > 1 \
             AND y > 3)",
            "\
Project [x]
  SemiJoin [id = id'] on CAST(y AS Int32) > x
    Filter x > 1
      Scan a [id, x]
    Project [id AS id', y]
      Filter y > 3
        Scan b [id, y]
",
        ),
        (
            "SELECT x FROM a WHERE NOT EXISTS (SELECT * FROM b WHERE b.id = a.id AND y > a.x AND a.x > \
             1 AND y > 3)",
            "\
Project [x]
  AntiJoin [id = id'] on CAST(y AS Int32) > x AND x > 1
    Scan a [id, x]
    Project [id AS id', y]
      Filter y > 3
        Scan b [id, y]
",
        ),
        (
            "SELECT l.x FROM a l WHERE NOT EXISTS (SELECT 1 FROM a WHERE a.id = l.id) AND l.x IN \
             (SELECT y + 1 FROM b)",
            "\
SemiJoin [x = EXPR$0]
  Project [x]
    AntiJoin [id = id']
      Scan a [id, x]
      Project [id AS id']
        Scan a [id]
  Project [CAST(y AS Int32) + 1 AS EXPR$0]
    Scan b [y]
",
        ),
        (
            "SELECT x FROM a WHERE x IS NOT NULL AND x NOT IN (SELECT y FROM b WHERE y IS NOT NULL)",
            "\
AntiJoin [x = $key1]
  Filter x IS NOT NULL
    Scan a [x]
  Project [y, CAST(y AS Int32) AS $key1]
    Filter y IS NOT NULL
      Scan b [y]
",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(plan(query), expected, "{query}");
    }
}

#[test]
fn subqueries_are_values() {
    let cases = [
        (
            "SELECT id, (SELECT MAX(y) FROM b) AS m FROM a",
            "\
Project [id, $value0_v AS m]
  LeftJoin []
    Scan a [id]
    Project [$agg0 AS $value0_v]
      Aggregate by [] [MAX(y) AS $agg0]
        Scan b [y]
",
        ),
        (
            "SELECT id FROM a WHERE x > (SELECT y FROM b WHERE id = 3)",
            "\
Project [id]
  Filter x > CAST($value0_0 AS Int32)
    Join []
      Scan a [id, x]
      Project [$agg0 AS $value0_0]
        Aggregate by [] [SINGLE_VALUE($value0_v) AS $agg0]
          Project [y AS $value0_v]
            Filter id = 3
              Scan b [id, y]
",
        ),
        (
            "SELECT id, (SELECT COUNT(*) FROM b WHERE b.id = a.id AND y > 1) AS n FROM a",
            "\
Project [id, CASE WHEN $value0_0 IS NULL THEN 0 ELSE $value0_0 END AS n]
  LeftJoin [id = $value0_k0]
    Scan a [id]
    Project [id' AS $value0_k0, $agg0 AS $value0_0]
      Aggregate by [id'] [COUNT(*) AS $agg0]
        Project [id AS id']
          Filter y > 1
            Scan b [id, y]
",
        ),
        (
            "SELECT id, (SELECT MAX(y) FROM b WHERE y < a.x) AS n FROM a",
            "\
Project [id, $value0_0 AS n]
  LeftJoin [x = $value0_k0]
    Scan a [id, x]
    Project [$around0_0 AS $value0_k0, $agg0 AS $value0_0]
      Aggregate by [$around0_0] [MAX(y) AS $agg0]
        Project [$around0_0, y]
          Filter CAST(y AS Int32) < $around0_0
            Join []
              Scan b [y]
              Aggregate by [$around0_0] []
                Project [x AS $around0_0]
                  Scan a [x]
",
        ),
        (
            "SELECT id, EXISTS (SELECT * FROM b WHERE b.id = a.id) AS e, EXISTS (SELECT * FROM b) AS f FROM a",
            "\
Project [id, $value0 AS e, $value1_v IS NOT NULL AS f]
  LeftJoin []
    Project [id, $value0_v IS NOT NULL AS $value0]
      LeftJoin [id = $value0_k0]
        Scan a [id]
        Project [$value0_k0, true AS $value0_v]
          Aggregate by [$value0_k0] []
            Project [id AS $value0_k0]
              Scan b [id]
    Aggregate by [$value1_v] []
      Project [true AS $value1_v]
        Scan b []
",
        ),
        (
            "SELECT id FROM a WHERE x IN (SELECT y FROM b) OR id = 3",
            "\
Project [id]
  Filter ($value0_0 IS NULL OR $value0_0 = 0) IS DISTINCT FROM true AND ($value0_found IS NOT NULL OR (x IS NULL OR $value0_1 < $value0_0) IS NOT DISTINCT FROM true AND $value0_found IS NULL AND NULL) OR id = 3
    LeftJoin [x = $value0_found]
      Filter ($value0_0 IS NULL OR $value0_0 = 0) IS DISTINCT FROM true OR id = 3
        LeftJoin []
          Scan a [id, x]
          Project [$agg0 AS $value0_0, $agg1 AS $value0_1]
            Aggregate by [] [COUNT(*) AS $agg0, COUNT($value0_v) AS $agg1]
              Project [CAST(y AS Int32) AS $value0_v]
                Scan b [y]
      Project [$value0_v AS $value0_found]
        Aggregate by [$value0_v] []
          Project [CAST(y AS Int32) AS $value0_v]
            Scan b [y]
",
        ),
        (
            "SELECT id FROM a WHERE x NOT IN (SELECT y FROM b)",
            "\
Project [id]
  AntiJoin [] on x = CAST(y AS Int32) OR x IS NULL OR CAST(y AS Int32) IS NULL
    Scan a [id, x]
    Scan b [y]
",
        ),
        (
            "SELECT x, SUM(id) * (SELECT MAX(y) FROM b) AS s FROM a GROUP BY x",
            "\
Project [x, $agg0 * CAST($above0_v AS Int64) AS s]
  LeftJoin []
    Aggregate by [x] [SUM(id) AS $agg0]
      Project [x, id]
        Scan a [id, x]
    Project [$agg0 AS $above0_v]
      Aggregate by [] [MAX(y) AS $agg0]
        Scan b [y]
",
        ),
    ];
    for (query, expected) in cases {
        assert_eq!(plan(query), expected, "{query}");
    }
}

#[test]
fn subqueries_behind_lateral_are_joins_of_what_is_about_each_row() {
    let cases = [
        (
            "SELECT x, t.y FROM a, LATERAL (SELECT y FROM b WHERE b.id = a.id ORDER BY y DESC LIMIT 2) AS t",
            "\
Project [x, $lateral0_0 AS y]
  Join [id = $lateral0_k0]
    Scan a [id, x]
    TopN 2 by [$lateral0_k0] order [$lateral0_0 DESC]
      Project [id AS $lateral0_k0, y AS $lateral0_0]
        Scan b [id, y]
",
        ),
        (
            "SELECT x, t.s FROM a LEFT JOIN LATERAL (SELECT y + a.x AS s FROM b WHERE b.id = a.id ORDER BY b.y LIMIT 1 \
             OFFSET 1) AS t ON TRUE",
            "\
Project [x, $lateral0_0 AS s]
  LeftJoin [id = $lateral0_k0, x = $lateral0_k1]
    Scan a [id, x]
    Project [$lateral0_k0, $lateral0_k1, $lateral0_0]
      Filter $rank > 1
        Project [$lateral0_k0, $lateral0_k1, $lateral0_0, $rank]
          TopN 2 by [$lateral0_k0, $lateral0_k1] order [$lateral0_1] with rank
            Project [id' AS $lateral0_k0, $around0_0 AS $lateral0_k1, CAST(y AS Int32) + $around0_0 AS $lateral0_0, y AS $lateral0_1]
              Join []
                Project [id AS id', y]
                  Scan b [id, y]
                Aggregate by [$around0_0] []
                  Project [x AS $around0_0]
                    Scan a [x]
",
        ),
        (
            "SELECT x, t.m FROM a LEFT JOIN LATERAL (SELECT MAX(y) AS m FROM b WHERE b.id = a.id) AS t ON t.m > 1",
            "\
Project [x, $lateral0_0 AS m]
  LeftJoin [id = $lateral0_k0]
    Scan a [id, x]
    Project [id' AS $lateral0_k0, $agg0 AS $lateral0_0]
      Filter $agg0 > 1
        Aggregate by [id'] [MAX(y) AS $agg0]
          Project [id AS id', y]
            Scan b [id, y]
",
        ),
        ("SELECT x, t.y FROM a, LATERAL (SELECT DISTINCT y FROM b WHERE b.id > a.id) AS t", "\
Project [x, $lateral0_0 AS y]
  Join [id = $lateral0_k0]
    Scan a [id, x]
    Aggregate by [$lateral0_k0, $lateral0_0] []
      Project [$around0_0 AS $lateral0_k0, y AS $lateral0_0]
        Filter id' > $around0_0
          Join []
            Project [id AS id', y]
              Scan b [id, y]
            Aggregate by [$around0_0] []
              Project [id AS $around0_0]
                Scan a [id]
"),
        ("SELECT x FROM a WHERE EXISTS (SELECT y FROM b WHERE b.id = a.id ORDER BY y LIMIT 1)", "\
Project [x]
  SemiJoin [id = id']
    Scan a [id, x]
    Project [id AS id']
      Scan b [id]
"),
    ];
    for (query, expected) in cases {
        assert_eq!(plan(query), expected, "{query}");
    }
}
