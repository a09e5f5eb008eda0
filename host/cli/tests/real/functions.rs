//! Functions of users, which scripts take from plugins.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    sync::OnceLock,
};

use crate::{
    killed::kill_and_rescale,
    program::{Scratch, millstream, root, stderr, stdout},
    sql::{library, written},
};

/// The library with the functions, built once, beside that which runs scripts.
pub(crate) fn functions() -> &'static str {
    static LIBRARY: OnceLock<String> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        library();
        let directory = Path::new(env!("CARGO_BIN_EXE_millstream")).parent().expect("a directory");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "millstream-sql", "--example"]);
        cargo.arg("sql_functions").current_dir(root());
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the functions are built");
        let library = directory.join("examples/libsql_functions.so");
        library.to_str().expect("a UTF-8 path").to_owned()
    })
}

/// The functions by these names, over a table of these rows.
fn tables(rows: &str, using: &str) -> String {
    let mut script = format!(
        "CREATE TABLE t (id INT NOT NULL, n BIGINT, s STRING) WITH ('connector' = 'filesystem', \
         'path' = '{rows}', 'format' = 'json');\n"
    );
    for (name, function) in [
        ("loud", "shout"),
        ("Zeroed", "or_zero"),
        ("words", "words"),
        ("dice", "dice"),
        ("tick", "tick"),
    ] {
        script +=
            &format!("CREATE TEMPORARY FUNCTION {name} AS '{function}' LANGUAGE RUST{using};\n");
    }
    script
}

fn using() -> String {
    format!(" USING PLUGIN '{}'", functions())
}

pub(crate) const ROWS: &str = r#"{"id":1,"n":5,"s":"hello big world"}
{"id":2,"n":null,"s":null}
{"id":3,"n":7,"s":"a  b"}
{"id":4,"n":5,"s":""}
"#;

/// What is printed of a query, in order of the lines, and with which arguments.
pub(crate) fn run(scratch: &Scratch, script: &str, more: &[&str]) -> Output {
    let file = scratch.file("job.sql", script.as_bytes());
    millstream(&[&["run", &file], more].concat())
}

pub(crate) fn rows(output: &Output) -> Vec<String> {
    assert!(output.status.success(), "{}", stderr(output));
    let mut rows: Vec<_> = stdout(output).lines().skip(1).map(str::to_owned).collect();
    rows.sort();
    rows
}

/// Queries, and their rows in order of the lines.
const QUERIES: &[(&str, &[&str])] = &[
    // NULL is not given to what takes none; numbers are given as the next wider ones.
    (
        "SELECT id, LOUD(s) AS l, zeroed(n) AS z, zeroed(id) / 2 AS i, zeroed(1.5) AS d FROM t",
        &["1,HELLO BIG WORLD!,5,0,1.5", "2,,0,1,1.5", "3,A  B!,7,1,1.5", "4,!,5,2,1.5"],
    ),
    ("SELECT id FROM t WHERE loud(s) IS NULL OR zeroed(n) = 7", &["2", "3"]),
    (
        "SELECT loud(CAST(NULL AS STRING)) IS NULL, loud('x') FROM (VALUES (1)) AS v (a)",
        &["true,X!"],
    ),
    ("SELECT zeroed(NULL), zeroed(CAST(3 AS TINYINT))", &["0.0,3"]),
    ("SELECT MAX(loud(s)), zeroed(SUM(n)) FROM t", &["HELLO BIG WORLD!,17"]),
    ("SELECT COUNT(DISTINCT k) FROM (SELECT tick() AS k FROM t)", &["4"]),
    (
        "SELECT id, w, l FROM t, LATERAL TABLE(words(s)) AS x (w, l)",
        &["1,big,3", "1,hello,5", "1,world,5", "3,\"\",", "3,a,1", "3,b,1"],
    ),
    (
        "SELECT id, word, length FROM t LEFT JOIN LATERAL TABLE(words(s)) ON TRUE WHERE id <> 1",
        &["2,,", "3,\"\",", "3,a,1", "3,b,1", "4,,"],
    ),
    (
        "SELECT id, w FROM t CROSS JOIN LATERAL TABLE(words(loud(s))) AS x (w, l) WHERE l > 3",
        &["1,HELLO", "1,WORLD!"],
    ),
    (
        "SELECT id, w FROM t JOIN LATERAL TABLE(words(s)) AS x (w, l) ON l > id",
        &["1,big", "1,hello", "1,world"],
    ),
    ("SELECT x.* FROM TABLE(words('a bc')) AS x (p, q)", &["a,1", "bc,2"]),
    ("SELECT side < 6 FROM t, LATERAL TABLE(dice(6)) WHERE id = 1", &["true"]),
    // Pages of arguments and of results are as long as they must be, and as many.
    ("SELECT CHAR_LENGTH(loud(REPEAT(s, 20000))) FROM t WHERE id = 1", &["300001"]),
    ("SELECT COUNT(*) FROM t, LATERAL TABLE(words(REPEAT(s, 20000)))", &["80002"]),
    // Rows that change: what was said of the smaller text is taken back.
    (
        "SELECT w, COUNT(*) FROM (SELECT n, MAX(s) AS s FROM t GROUP BY n) AS g, \
         LATERAL TABLE(words(s)) AS x (w, l) GROUP BY w",
        &["\"\",1", "a,1", "b,1", "big,1", "hello,1", "world,1"],
    ),
    ("SHOW USER FUNCTIONS", &["dice", "loud", "tick", "words", "zeroed"]),
    (
        "DROP FUNCTION tick; DROP FUNCTION words; SHOW USER FUNCTIONS LIKE '%o%'",
        &["loud", "zeroed"],
    ),
];

#[test]
fn functions_of_users_are_called() {
    let scratch = Scratch::new("functions");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), &using());
    for (query, expected) in QUERIES {
        for engine in [
            &["--parallelism", "1"][..],
            &["--parallelism", "2"],
            &["--parallelism", "2", "--processes", "2"],
        ] {
            let engine = [engine, &["--output", "csv"]].concat();
            let output = run(&scratch, &format!("{script}{query}"), &engine);
            assert_eq!(rows(&output), *expected, "{query}: {engine:?}");
        }
    }
}

/// Without a file they are those of the plugins that the host was given, in all processes.
#[test]
fn functions_are_of_the_hosts_plugins() {
    let scratch = Scratch::new("functions-given");
    let plugins = scratch.path("plugins");
    fs::create_dir_all(&plugins).expect("a directory");
    fs::copy(functions(), scratch.path("plugins/libsql_functions.so")).expect("a copy");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), "");
    let (query, expected) = QUERIES[0];
    let engine =
        ["--plugin-path", &plugins, "--output", "csv", "--parallelism", "2", "--processes", "2"];
    assert_eq!(rows(&run(&scratch, &format!("{script}{query}"), &engine)), expected);
    let output = run(&scratch, "CREATE FUNCTION f AS 'shoot'; SELECT 1", &engine);
    let expected = "the plugins of --plugin-path have no function `shoot`: did you mean `shout`? (line 1, column 22)";
    assert!(stderr(&output).contains(expected), "{}", stderr(&output));
}

/// Only a function of the system takes the place of a built-in one, as in Flink.
#[test]
fn built_in_functions_make_room_for_those_of_the_system() {
    let scratch = Scratch::new("functions-system");
    let create = format!("CREATE TEMPORARY SYSTEM FUNCTION upper AS 'shout'{};", using());
    for (rest, expected) in [
        ("SELECT upper('a')", "A!"),
        ("DROP TEMPORARY SYSTEM FUNCTION upper; SELECT UPPER('a')", "A"),
        ("CREATE FUNCTION IF NOT EXISTS Upper AS 'nothing'; SELECT Upper('a')", "A!"),
    ] {
        let output = run(&scratch, &format!("{create}{rest}"), &["--output", "csv"]);
        assert_eq!(rows(&output), [expected], "{rest}");
    }
}

/// Of what statements have in common nothing is shared that another function makes by the same name.
#[test]
fn a_name_stands_for_another_function_from_then_on() {
    let scratch = Scratch::new("functions-again");
    let mut script = tables(&scratch.file("rows.json", ROWS.as_bytes()), &using());
    for (sink, function) in [("a", "shout"), ("b", "whisper")] {
        let out = scratch.path(sink);
        script += &format!(
            "CREATE FUNCTION f AS '{function}'{};
            CREATE TABLE {sink} (s STRING) WITH ('connector' = 'filesystem', 'path' = '{out}', 'format' = \
             'csv');
            INSERT INTO {sink} SELECT f(s) FROM t WHERE f(s) LIKE '%Y%' OR id = 1;
            DROP FUNCTION f;",
            using()
        );
    }
    let output = run(&scratch, &script, &[]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(written(Path::new(&scratch.path("a"))), ["HELLO BIG WORLD!"]);
    assert_eq!(written(Path::new(&scratch.path("b"))), ["hello big world"]);
}

#[test]
fn explain_shows_calls() {
    let scratch = Scratch::new("functions-explain");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), &using());
    let query = "EXPLAIN SELECT id, loud(w) AS v FROM t LEFT JOIN LATERAL TABLE(words(s)) AS x (w, n) ON TRUE";
    let output = run(&scratch, &format!("{script}{query}"), &["--output", "csv"]);
    let shown = stdout(&output);
    for part in ["Project [id, loud(word) AS v]", "LeftUnnest words(s) AS [word, length]"] {
        assert!(shown.contains(part), "{part}: {shown}{}", stderr(&output));
    }
}

#[test]
fn what_a_function_cannot_is_named() {
    let scratch = Scratch::new("functions-refused");
    let script = tables(&scratch.file("rows.json", ROWS.as_bytes()), &using());
    for (statement, expected) in [
        (
            "CREATE FUNCTION loud AS 'shout'; SELECT 1",
            "there is a function `loud` already (line 7, column 17)",
        ),
        (
            "CREATE FUNCTION f AS 'org.example.F' USING_; SELECT 1",
            "has no function `org.example.F`: there are ",
        ),
        (
            "SELECT loud(n) FROM t",
            "loud does not take (BIGINT): it takes (text STRING NOT NULL) (line 7, column 8)",
        ),
        (
            "SELECT zeroed(s) FROM t",
            "Zeroed does not take (STRING): it takes (number DOUBLE), or (number BIGINT) (line 7, column 8)",
        ),
        (
            "SELECT loud() FROM t",
            "loud does not take (): it takes (text STRING NOT NULL) (line 7, column 8)",
        ),
        (
            "SELECT loud(s) OVER (ORDER BY n) FROM t",
            "loud is a function of single rows: it takes no OVER and no FILTER (line 7, column 8)",
        ),
        (
            "SELECT words(s) FROM t",
            "words is a table function: it may stand in FROM, LATERAL TABLE(words(…)), but not here (line 7, \
             column 8)",
        ),
        (
            "SELECT * FROM t, LATERAL TABLE(loud(s)) AS x (a)",
            "loud is a scalar function, which stands for a value: it cannot stand in FROM (line 7, column 26)",
        ),
        (
            "SELECT * FROM t, LATERAL TABLE(words(n)) AS x (a, b)",
            "words does not take (BIGINT): it takes (text STRING NOT NULL) (line 7, column 26)",
        ),
        (
            "SELECT * FROM t, LATERAL TABLE(words(s)) AS x (a)",
            "1 columns are named, but the query has 2",
        ),
        (
            "SELECT * FROM t LEFT JOIN LATERAL TABLE(words(s)) AS x (w, l) ON l > 1",
            "LEFT JOIN of words takes ON TRUE only (line 7, column 66)",
        ),
        (
            "SELECT side FROM (SELECT n, MAX(s) AS s FROM t GROUP BY n) AS g, LATERAL TABLE(dice(n))",
            "dice(n) gives other rows each time, so that it cannot be called for rows that are updated, because \
             of DISTINCT or GROUP BY: what it said of a row could not be taken back",
        ),
        // While the job runs.
        (
            "SELECT zeroed(n + 6) FROM t",
            "function `or_zero` of plugin sql-functions: 13 is no number for a function",
        ),
    ] {
        let statement = statement.replace(" USING_", &using());
        let output = run(&scratch, &format!("{script}{statement}"), &["--output", "csv"]);
        let said = stderr(&output);
        assert!(!output.status.success() && said.contains(expected), "{statement}: {said}");
    }
}

/// Some rows with NULLs, and what the query makes of them.
fn many() -> (String, Vec<String>) {
    const ROWS: usize = 30_000;
    let (mut text, mut expected) = (String::new(), Vec::new());
    for id in 0..ROWS {
        if id % 5 == 0 {
            text += &format!("{{\"id\":{id},\"s\":null}}\n");
            expected.push(format!("{id},,"));
            continue;
        }
        text += &format!("{{\"id\":{id},\"s\":\"number {id} of a long text\"}}\n");
        let loud = format!("NUMBER {id} OF A LONG TEXT!");
        for word in ["number", &id.to_string(), "of", "a", "long", "text"] {
            expected.push(format!("{id},{loud},{word}"));
        }
    }
    expected.sort();
    (text, expected)
}

#[test]
fn a_script_with_functions_that_is_killed_goes_on() {
    let scratch = Scratch::new("functions-killed");
    let (text, expected) = many();
    let out = scratch.path("out");
    let script = tables(&scratch.file("rows.json", text.as_bytes()), &using())
        + &format!(
            "CREATE TABLE sink (id INT, l STRING, w STRING) WITH ('connector' = 'filesystem', 'path' = \
             '{out}', 'format' = 'csv');
            INSERT INTO sink SELECT id, loud(s), w FROM t LEFT JOIN LATERAL TABLE(words(s)) AS x (w, n) ON TRUE;"
        );
    let file = scratch.file("job.sql", script.as_bytes());
    let processes: [&[&str]; 2] = [&[], &["--processes", "2"]];
    for (number, more) in processes.into_iter().enumerate() {
        let checkpoints = scratch.path(&format!("checkpoints-{number}"));
        kill_and_rescale("functions", &file, &checkpoints, more);
        let rows = written(Path::new(&out));
        let wrong = rows.iter().zip(&expected).find(|(found, expected)| found != expected);
        assert!(rows == expected, "{} of {} rows, {wrong:?}", rows.len(), expected.len());
        fs::remove_dir_all(&out).expect("the sink's directory");
    }
}
