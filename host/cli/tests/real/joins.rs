//! Joins that keep rows without a match, and what is left of their changes.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    changelogs::left,
    killed::kill_and_rescale,
    program::{Scratch, millstream, stderr, stdout},
    sql::{library, nexmark, unpacked},
};

/// Rows of `l` and `r`: keys that are NULL, on one side only, and several times, and rows that are equal.
const LEFT: &str = "a,1,x\na,2,y\na,2,y\nb,5,z\n,7,n\nc,3,\nd,,d\n";
const RIGHT: &str =
    "a,1,one\na,3,three\nc,,none\nc,9,nine\ne,4,four\n,7,null\nb,5,five\nb,5,five\n";

/// Queries over these rows, and what is left in the end.
const QUERIES: &[(&str, &[&str])] = &[
    (
        "SELECT l.k, l.n, r.s FROM l LEFT JOIN r ON l.k = r.k",
        &[
            ",7,",
            "a,1,one",
            "a,1,three",
            "a,2,one",
            "a,2,one",
            "a,2,three",
            "a,2,three",
            "b,5,five",
            "b,5,five",
            "c,3,nine",
            "c,3,none",
            "d,,",
        ],
    ),
    // What is no equality decides what matches, too.
    (
        "SELECT l.k, l.n, r.n, r.s FROM l LEFT JOIN r ON l.k = r.k AND r.n > l.n",
        &[",7,,", "a,1,3,three", "a,2,3,three", "a,2,3,three", "b,5,,", "c,3,9,nine", "d,,,"],
    ),
    (
        "SELECT l.k, l.n, r.s FROM l LEFT JOIN r ON l.k = r.k AND l.n > 1 AND r.n > 1",
        &[",7,", "a,1,", "a,2,three", "a,2,three", "b,5,five", "b,5,five", "c,3,nine", "d,,"],
    ),
    // A filter above drops rows again.
    ("SELECT l.k, l.n FROM l LEFT JOIN r ON l.k = r.k WHERE r.k IS NULL", &[",7", "d,"]),
    ("SELECT l.k, r.n FROM l LEFT JOIN r ON l.k = r.k WHERE r.n > 3", &["b,5", "b,5", "c,9"]),
    (
        "SELECT r.k, r.n, l.s FROM l RIGHT JOIN r ON l.k = r.k AND l.n <= r.n",
        &[",7,", "a,1,x", "a,3,x", "a,3,y", "a,3,y", "b,5,z", "b,5,z", "c,,", "c,9,", "e,4,"],
    ),
    (
        "SELECT l.k, r.k, l.n, r.n FROM l FULL OUTER JOIN r ON l.k = r.k AND l.n = r.n",
        &[
            ",,,7", ",,7,", ",a,,3", ",c,,", ",c,,9", ",e,,4", "a,,2,", "a,,2,", "a,a,1,1",
            "b,b,5,5", "b,b,5,5", "c,,3,", "d,,,",
        ],
    ),
    (
        "SELECT l.k, r.k, l.n, r.n FROM l FULL JOIN r ON l.k = r.k AND l.s < r.s AND l.n <> r.n",
        &[
            ",,,7", ",,7,", ",a,,1", ",a,,3", ",b,,5", ",b,,5", ",c,,", ",c,,9", ",e,,4", "a,,1,",
            "a,,2,", "a,,2,", "b,,5,", "c,,3,", "d,,,",
        ],
    ),
    // A side that changes: rows without a match come and go.
    (
        "SELECT l.k, l.n, g.c FROM l LEFT JOIN (SELECT k, COUNT(*) AS c FROM r GROUP BY k) g ON l.k = g.k",
        &[",7,", "a,1,2", "a,2,2", "a,2,2", "b,5,2", "c,3,2", "d,,"],
    ),
    (
        "SELECT l.k, l.n, g.m FROM l LEFT JOIN (SELECT k, SUM(n) AS m FROM r GROUP BY k) g \
         ON l.k = g.k AND g.m > l.n + 2",
        &[",7,", "a,1,4", "a,2,", "a,2,", "b,5,10", "c,3,9", "d,,"],
    ),
    (
        "SELECT g.k, g.c, h.k, h.d FROM (SELECT k, COUNT(*) AS c FROM l GROUP BY k) g FULL JOIN \
         (SELECT k, COUNT(*) AS d FROM r GROUP BY k) h ON g.k = h.k AND g.c >= h.d",
        &[",,,1", ",,b,2", ",,c,2", ",,e,1", ",1,,", "a,3,a,2", "b,1,,", "c,1,,", "d,1,,"],
    ),
    (
        "SELECT c, COUNT(*) FROM (SELECT l.k, COUNT(r.k) AS c FROM l LEFT JOIN r ON l.k = r.k GROUP BY \
         l.k) GROUP BY c",
        &["0,2", "2,2", "6,1"],
    ),
    // A side without any row.
    (
        "SELECT l.k, r.s FROM l LEFT JOIN r ON l.k = r.k AND 1 > 2 WHERE l.n < 3",
        &["a,", "a,", "a,"],
    ),
    // Several of them.
    (
        "SELECT l.n, r.n, t.n FROM l LEFT JOIN r ON l.k = r.k AND r.n = 9 LEFT JOIN l t ON t.k = r.k \
         WHERE l.n > 2",
        &["3,9,3", "5,,", "7,,"],
    ),
];

/// Queries that keep rows with a match, or without.
const MATCHED: &[(&str, &[&str])] = &[
    ("SELECT k, n FROM l WHERE k IN (SELECT k FROM r)", &["a,1", "a,2", "a,2", "b,5", "c,3"]),
    ("SELECT k, n FROM l WHERE n IN (SELECT n FROM r WHERE r.k = l.k)", &["a,1", "b,5"]),
    (
        "SELECT k, n FROM l WHERE EXISTS (SELECT * FROM r WHERE r.k = l.k AND r.n > l.n)",
        &["a,1", "a,2", "a,2", "c,3"],
    ),
    (
        "SELECT k, n FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.n > l.n)",
        &[",7", "b,5", "d,"],
    ),
    (
        "SELECT k, n FROM l WHERE NOT (EXISTS (SELECT 1 FROM r WHERE k = l.k)) AND TRUE",
        &[",7", "d,"],
    ),
    // A condition of the rows around the subquery alone.
    (
        "SELECT k, n FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE k = l.k AND l.n > 2)",
        &[",7", "a,1", "a,2", "a,2", "d,"],
    ),
    ("SELECT k, n FROM p WHERE n NOT IN (SELECT n FROM q)", &["a,1", "f,4"]),
    (
        "SELECT n FROM l WHERE n IS NOT NULL AND n NOT IN (SELECT n FROM r WHERE n IS NOT NULL)",
        &["2", "2"],
    ),
    // The same table, whose names inside count first.
    ("SELECT k, n FROM l WHERE EXISTS (SELECT 1 FROM l t WHERE t.k = l.k AND t.n > l.n)", &["a,1"]),
    ("SELECT k, n FROM l WHERE EXISTS (SELECT 1 FROM r WHERE k = l.k AND s = 'five')", &["b,5"]),
    (
        "SELECT k, n FROM l WHERE k IN (SELECT k FROM r) AND NOT EXISTS (SELECT 1 FROM p WHERE p.k = \
         l.k)",
        &["c,3"],
    ),
    (
        "SELECT k, n FROM l WHERE EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND r.n IN (SELECT n + 1 FROM p))",
        &["a,1", "a,2", "a,2", "b,5"],
    ),
    // Sides that change.
    ("SELECT k, n FROM l WHERE n + 1 IN (SELECT COUNT(*) FROM r GROUP BY k)", &["a,1"]),
    ("SELECT k FROM l WHERE k IN (SELECT k FROM r GROUP BY k HAVING SUM(n) > 5)", &["b", "c"]),
    (
        "SELECT k, c FROM (SELECT k, COUNT(*) AS c FROM l GROUP BY k) g WHERE k IN (SELECT k FROM r WHERE \
         n > 2)",
        &["a,3", "b,1", "c,1"],
    ),
    (
        "SELECT k FROM l WHERE NOT EXISTS (SELECT 1 FROM (SELECT k, COUNT(*) AS c FROM r GROUP BY k) g \
         WHERE g.k = l.k AND g.c = 1)",
        &["", "a", "a", "a", "b", "c", "d"],
    ),
    (
        "SELECT g.k, g.c FROM (SELECT k, COUNT(*) AS c FROM l GROUP BY k) g WHERE NOT EXISTS (SELECT 1 \
         FROM (SELECT k, SUM(n) AS s FROM r GROUP BY k) h WHERE h.k = g.k AND h.s > 2 * g.c)",
        &[",1", "a,3", "d,1"],
    ),
    ("SELECT COUNT(*) FROM l WHERE k IN (SELECT k FROM r) AND n > 1", &["4"]),
    // A side without any row.
    (
        "SELECT k, n FROM l WHERE NOT EXISTS (SELECT 1 FROM r WHERE r.k = l.k AND 1 > 2) AND n > 4",
        &[",7", "b,5"],
    ),
];

fn assert_left(name: &str, queries: &[(&str, &[&str])]) {
    library();
    let scratch = Scratch::new(name);
    let table = |name: &str, rows: &str, not_null: &str| {
        let rows = scratch.file(&format!("{name}.csv"), rows.as_bytes());
        format!(
            "CREATE TABLE {name} (k STRING, n INT{not_null}, s STRING) WITH ('connector' = 'filesystem', \
             'path' = '{rows}', 'format' = 'csv', 'csv.null-literal' = '');\n"
        )
    };
    let tables = [
        table("l", LEFT, ""),
        table("r", RIGHT, ""),
        table("p", "a,1,p\nb,2,q\n,3,r\nf,4,s\n", " NOT NULL"),
        table("q", "a,2,p\n,3,r\nf,6,s\n", " NOT NULL"),
    ]
    .concat();
    for (query, wanted) in queries {
        let file = scratch.file("job.sql", format!("{tables}{query}").as_bytes());
        for engine in [&["--parallelism", "1"][..], &["--parallelism", "2", "--state", "lsm"]] {
            let output = millstream(&[&["run", &file, "--output", "csv"], engine].concat());
            assert!(output.status.success(), "{query} {engine:?}: {}", stderr(&output));
            let printed = stdout(&output);
            let mut rows: Vec<&str> = printed.lines().skip(1).collect();
            rows.sort_unstable();
            assert_eq!(rows, *wanted, "{query} {engine:?}");
        }
    }
}

#[test]
fn rows_without_a_match_are_left() {
    assert_left("joins-outer", QUERIES);
}

#[test]
fn rows_with_a_match_are_left_or_those_without() {
    assert_left("joins-matched", MATCHED);
}

/// Auctions of which the seller is not known to be from California, with the bids above their reserve.
const AUCTIONS: &str = "\
CREATE TABLE auctions (id BIGINT, price BIGINT) WITH (${SINK});
INSERT INTO auctions SELECT a.id, b.price FROM auction a
LEFT JOIN bid b ON a.id = b.auction AND b.price > a.reserve
WHERE NOT EXISTS (SELECT 1 FROM person p WHERE p.id = a.seller AND p.state = 'CA');";

/// The same, of the events themselves, each of which comes so many times.
fn auctions(events: &str, times: usize) -> Vec<String> {
    let events: Vec<Value> =
        events.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let all = |kind: &'static str| {
        events.iter().map(move |event| &event[kind]).filter(|event| event.is_object())
    };
    let mut rows = Vec::new();
    for auction in all("auction") {
        let is_seller = |person: &&Value| person["id"] == auction["seller"];
        if all("person").filter(is_seller).any(|person| person["state"] == "CA") {
            continue;
        }
        let is_high = |bid: &&Value| {
            bid["auction"] == auction["id"] && bid["price"].as_i64() > auction["reserve"].as_i64()
        };
        let row = |bid: &Value| format!("{},{}", auction["id"], bid["price"]);
        let found: Vec<String> = all("bid").filter(is_high).map(row).collect();
        match found.is_empty() {
            true => rows.extend(vec![format!("{},null", auction["id"]); times]),
            false => rows.extend((0..times * times).flat_map(|_| found.clone())),
        }
    }
    rows.sort();
    rows
}

#[test]
fn a_join_that_was_killed_has_its_matches_again() {
    const TIMES: usize = 4;
    library();
    let scratch = Scratch::new("joins-killed");
    let events = unpacked(&nexmark().join("events.jsonl.gz"));
    let wanted = auctions(&events, TIMES);
    assert!(wanted.iter().any(|row| row.ends_with("null")) && wanted.len() > 1000);
    let events = scratch.file("events.jsonl", events.repeat(TIMES).as_bytes());
    for backend in ["memory", "lsm"] {
        let (checkpoints, out) =
            (scratch.path(&format!("checkpoints-{backend}")), scratch.path(backend));
        let sink =
            format!("'connector' = 'filesystem', 'path' = '{out}', 'format' = 'changelog-json'");
        let ddl = fs::read_to_string(nexmark().join("queries/ddl.sql")).expect("the tables");
        let text = format!("{ddl}\n{AUCTIONS}");
        let text = text.replace("${EVENTS}", &events).replace("${SINK}", &sink);
        let file = scratch.file("job.sql", text.as_bytes());
        kill_and_rescale(backend, &file, &checkpoints, &["--state", backend]);
        let rows = left(Path::new(&out), "id,price");
        assert!(rows == wanted, "{backend}: {} rows of {}", rows.len(), wanted.len());
    }
}
