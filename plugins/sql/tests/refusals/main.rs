//! What a script is refused for, word for word.

mod json;
mod missing;
mod subqueries;
mod upserts;
mod watermarks;

use millstream_dataflow::Environment;
use millstream_sql::script;

const TABLES: &str =
    "CREATE TABLE bid (auction BIGINT, price BIGINT, channel STRING, date_time TIMESTAMP(3), \
extra ROW<url STRING, tags ROW<first STRING>>) WITH ('connector' = 'datagen');
CREATE TABLE out (auction BIGINT NOT NULL, channel VARCHAR(10)) WITH ('connector' = 'blackhole');
";

/// The error for a statement behind the tables.
fn refused(statement: &str) -> String {
    let script = format!("{TABLES}{statement}");
    match script::build(&script, &Environment::new("refused")) {
        Ok(()) => panic!("{statement} is run"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn mistakes_are_named() {
    for (statement, expected) in [
        (
            "SELECT a FROM bids",
            "there is no table or view `bids`: did you mean `bid`? (line 3, column 15)",
        ),
        (
            "SELECT prize FROM bid",
            "there is no column `prize`: did you mean `price`? (line 3, column 8)",
        ),
        (
            "SELECT b.prize FROM bid b",
            "there is no column `prize`: did you mean `price`? (line 3, column 10)",
        ),
        (
            "SELECT extra.uri FROM bid",
            "the row has no field `uri`: did you mean `url`? (line 3, column 14)",
        ),
        ("SELECT price.x FROM bid", "BIGINT has no fields: there is no `x` (line 3, column 14)"),
        (
            "SELECT LOWR(channel) FROM bid",
            "there is no function LOWR: did you mean `LOWER`? (line 3, column 8)",
        ),
        (
            "SELECT LOWER(price) FROM bid",
            "LOWER: BIGINT was found where a text was expected; it is called as LOWER(text) (line 3, column 8)",
        ),
        (
            "SELECT REPLACE(channel, 'a') FROM bid",
            "REPLACE: it does not take 2 arguments; it is called as REPLACE(text, old, new) (line 3, column 8)",
        ),
        (
            "SELECT REGEXP(channel, '(?=x)') FROM bid",
            "REGEXP: the regular expression '(?=x)' is not supported (look-around, including look-ahead \
             and look-behind, is not supported); it is called as REGEXP(text, expression) (line 3, column 8)",
        ),
        (
            "SELECT DATE_FORMAT(date_time, 'FFF') FROM bid",
            "DATE_FORMAT: `FFF` in the pattern 'FFF' is not supported; it is called as DATE_FORMAT(time or \
             text, pattern) (line 3, column 8)",
        ),
        ("SELECT *", "`*` stands for the columns of FROM, which is missing (line 3, column 8)"),
        ("SELECT price", "there is no column `price` (line 3, column 8)"),
        ("VALUES (1), (price)", "there is no column `price` (line 3, column 14)"),
        (
            "VALUES (COUNT(*))",
            "COUNT is an aggregate function: it may stand in SELECT and HAVING, but not here, nor in another \
             one (line 3, column 9)",
        ),
        (
            "VALUES (1, 2), (3)",
            "the rows of VALUES have as many columns: 2 and 1 (line 3, column 17)",
        ),
        (
            "VALUES (1, 'x'), (2, 3)",
            "column 2 of VALUES is CHAR(1) and INT: use CAST (line 3, column 9)",
        ),
        (
            "VALUES (1, NULL)",
            "the column `EXPR$1` is NULL, which cannot be stored: use CAST (line 3, column 1)",
        ),
        (
            "INSERT INTO out VALUES (CAST('x' AS INT), 'y')",
            "the text 'x' is no INT: TRY_CAST gives NULL instead (line 3, column 1)",
        ),
        (
            "INSERT INTO out VALUES (1)",
            "the table `out` takes 2 columns (auction, channel), but the query has 1 (EXPR$0) (line 3, column 25)",
        ),
        (
            "SELECT price FROM bid INTERSECT ALL SELECT price, auction FROM bid",
            "INTERSECT ALL joins queries of as many columns: 1 and 2 (line 3, column 37)",
        ),
        (
            "SELECT price FROM bid EXCEPT SELECT channel FROM bid",
            "column 1 of the queries is BIGINT and STRING: use CAST (line 3, column 30)",
        ),
        ("SELECT price FROM bid LIMIT 1 + 1", "LIMIT takes a whole number (line 3, column 29)"),
        (
            "SELECT price FROM bid FETCH FIRST ROW ONLY",
            "FETCH needs a number: FETCH FIRST 10 ROWS ONLY (line 3, column 1)",
        ),
        (
            "SELECT price FROM bid ORDER BY 2 LIMIT 1",
            "ORDER BY 2: the query has 1 columns (line 3, column 32)",
        ),
        (
            "SELECT DISTINCT price FROM bid ORDER BY auction LIMIT 1",
            "rows that are DISTINCT are ordered by what they have: select it, too (line 3, column 41)",
        ),
        (
            "SELECT price FROM bid UNION SELECT price FROM bid ORDER BY auction LIMIT 1",
            "there is no column `auction` (line 3, column 60)",
        ),
        ("SELECT channel + 1 FROM bid", "there is no STRING + INT: use CAST (line 3, column 8)"),
        (
            "SELECT price FROM bid a JOIN bid b ON a.price = b.price",
            "the column `price` is in several tables: write `table.price` (line 3, column 8)",
        ),
        (
            "SELECT 1 FROM bid, bid WHERE price = 1",
            "two tables are called `bid` here: give one another name with AS (line 3, column 20)",
        ),
        (
            "SELECT 1 FROM bid a JOIN bid b ON a.price",
            "ON takes a BOOLEAN, not BIGINT (line 3, column 35)",
        ),
        (
            "SELECT 1 FROM bid WHERE COUNT(*) > 1",
            "COUNT is an aggregate function: it may stand in SELECT and HAVING, but not here, nor in another \
             one (line 3, column 25)",
        ),
        (
            "SELECT channel, price + MAX(price) FROM bid GROUP BY channel",
            "`price` may differ within a group: put it into GROUP BY, or aggregate it, with MAX for instance \
             (line 3, column 17)",
        ),
        (
            "SELECT GROUPING(auction) FROM bid GROUP BY ROLLUP (price)",
            "GROUPING is about keys of GROUP BY, and this is none (line 3, column 17)",
        ),
        (
            "SELECT GROUPING(price) FROM bid",
            "GROUPING may stand in SELECT, HAVING and ORDER BY, with GROUP BY (line 3, column 8)",
        ),
        (
            "SELECT GROUPING_ID() FROM bid GROUP BY CUBE (price)",
            "it is called as GROUPING_ID(key, …) (line 3, column 8)",
        ),
        (
            "SELECT auction FROM bid GROUP BY ROLLUP (price)",
            "`auction` may differ within a group: put it into GROUP BY, or aggregate it, with MAX for instance \
             (line 3, column 8)",
        ),
        ("SELECT channel AS c FROM bid GROUP BY c", "there is no column `c` (line 3, column 39)"),
        (
            "SELECT SUM(channel) FROM bid",
            "SUM: STRING was found where a number was expected (line 3, column 8)",
        ),
        ("SELECT SUM(*) FROM bid", "SUM takes one argument (line 3, column 8)"),
        ("SELECT COUNT(price, auction) FROM bid", "COUNT takes one argument (line 3, column 8)"),
        (
            "SELECT COUNT(*) FILTER (WHERE price) FROM bid",
            "FILTER takes a BOOLEAN, not BIGINT (line 3, column 31)",
        ),
        ("SELECT 1 FROM bid HAVING 1", "HAVING takes a BOOLEAN, not INT (line 3, column 26)"),
        (
            "SELECT ROW_NUMBER() FROM bid",
            "ROW_NUMBER needs OVER (PARTITION BY … ORDER BY …) (line 3, column 8)",
        ),
        (
            "SELECT ROW_NUMBER() OVER (PARTITION BY price) FROM bid",
            "ROW_NUMBER needs ORDER BY: rows have no order (line 3, column 8)",
        ),
        (
            "SELECT price FROM bid WHERE ROW_NUMBER() OVER (ORDER BY price) = 1",
            "ROW_NUMBER may stand in SELECT, but not here (line 3, column 29)",
        ),
        ("SELECT 1 FROM bid WHERE price", "WHERE takes a BOOLEAN, not BIGINT (line 3, column 25)"),
        (
            "SELECT 1 FROM bid WHERE price = channel",
            "a comparison cannot have BIGINT and STRING: use CAST (line 3, column 25)",
        ),
        (
            "SELECT 1 FROM bid WHERE price AND TRUE",
            "AND takes BOOLEAN, not BIGINT (line 3, column 25)",
        ),
        (
            "SELECT CASE WHEN TRUE THEN 1 ELSE 'x' END FROM bid",
            "CASE cannot have INT and CHAR(1): use CAST (line 3, column 8)",
        ),
        (
            "SELECT CAST(date_time AS INT) FROM bid",
            "there is no CAST of TIMESTAMP(3) to INT (line 3, column 13)",
        ),
        (
            "SELECT DATE '2026-02-30' FROM bid",
            "`2026-02-30` is no DATE: write it as '2026-01-31' (line 3, column 13)",
        ),
        (
            "INSERT INTO out SELECT auction FROM bid",
            "the table `out` takes 2 columns (auction, channel), but the query has 1 (auction) (line 3, column 17)",
        ),
        (
            "INSERT INTO out SELECT date_time, channel FROM bid",
            "the column `auction` of the table `out` is BIGINT NOT NULL, but the query has TIMESTAMP(3) there: \
             use CAST (line 3, column 17)",
        ),
        (
            "INSERT INTO out (auktion) SELECT auction FROM bid",
            "the table `out` has no column `auktion`: did you mean `auction`? (line 3, column 18)",
        ),
        (
            "CREATE TABLE bid (a INT) WITH ('connector' = 'datagen')",
            "there is a `bid` already (line 3, column 14)",
        ),
        (
            "CREATE TABLE t (a INT, a INT) WITH ('connector' = 'x')",
            "the column `a` is declared twice (line 3, column 24)",
        ),
        (
            "CREATE TABLE t (a INT, WATERMARK FOR ts AS ts) WITH ('connector' = 'x')",
            "the table `t` has no column `ts` (line 3, column 38)",
        ),
        (
            "CREATE TABLE t (a INT, PRIMARY KEY (a)) WITH ('connector' = 'x')",
            "`)` was found where NOT ENFORCED (a stream processor does not own the data, and so cannot \
             enforce keys) was expected (line 3, column 39)",
        ),
        (
            "CREATE TABLE t (a INT); SELECT a FROM t",
            "the table `t` has no connector: add WITH ('connector' = '…') (line 3, column 14)",
        ),
        ("CREATE VIEW v AS SELECT x FROM bid", "there is no column `x` (line 3, column 25)"),
        ("DROP VIEW bid", "`bid` is a table: DROP TABLE (line 3, column 11)"),
        (
            "SELECT /*+ STATE_TL('bid' = '1 h') */ price FROM bid",
            "there is no hint STATE_TL: did you mean `STATE_TTL`? (line 3, column 1)",
        ),
        (
            "SELECT /*+ STATE_TTL('bit' = '1 h') */ price FROM bid",
            "a hint is about `bit`, which is not in FROM: did you mean `bid`? (line 3, column 1)",
        ),
        (
            "SELECT /*+ STATE_TTL('bid' = 'x') */ price FROM bid",
            "STATE_TTL takes a time, '1 h' or '36500 ms' for instance; `bid` was given 'x' (line 3, column 1)",
        ),
        (
            "SELECT /*+ OPTIONS('number-of-rows' = '1') */ price FROM bid",
            "the hint OPTIONS stands behind the table that it is about (line 3, column 1)",
        ),
        (
            "SELECT /*+ NOPE */ price FROM bid",
            "there is no hint NOPE: there are BROADCAST, SHUFFLE_HASH, SHUFFLE_MERGE, NEST_LOOP, LOOKUP, \
             MULTI_JOIN, STATE_TTL (line 3, column 1)",
        ),
        (
            "SELECT price FROM bid /*+ BROADCAST(bid) */",
            "the hint BROADCAST does not stand behind a table: there is OPTIONS('key' = 'value', …) (line 3, \
             column 23)",
        ),
        (
            "SELECT price FROM bid /*+ OPTIONS('a') */",
            "the hint OPTIONS does not stand behind a table: there is OPTIONS('key' = 'value', …) (line 3, \
             column 23)",
        ),
        (
            "SELECT price FROM bid /*+ OPTIONS('a' = ) */",
            "in a hint, `)` was found where a text in single quotes was expected (line 3, column 23)",
        ),
        (
            "WITH w AS (SELECT price FROM bid) SELECT price FROM w /*+ OPTIONS('a' = 'b') */",
            "the hint OPTIONS stands behind a table, and `w` is none (line 3, column 53)",
        ),
        (
            "CREATE TABLE t (a INT, m STRING METADATA) WITH ('connector' = 'x'); SELECT * FROM t",
            "the connector 'x' has no metadata columns (line 3, column 24)",
        ),
        (
            "CREATE TABLE t (a INT, m STRING METADATA) WITH ('connector' = 'filesystem', 'path' = 'x'); SELECT * FROM t",
            "there is no metadata 'm': there are file.path, file.name, file.size, file.modification-time (line 3, \
             column 24)",
        ),
        (
            "CREATE TABLE t (a INT, m DATE METADATA FROM 'file.size') WITH ('connector' = 'filesystem', 'path' = 'x'); \
             SELECT * FROM t",
            "the metadata 'file.size' are BIGINT, and there is no CAST of BIGINT to DATE: declare the column so (line 3, \
             column 24)",
        ),
        (
            "CREATE TABLE t (a INT, m INT METADATA FROM 'file.size', n STRING METADATA FROM 'file.size') WITH \
             ('connector' = 'filesystem', 'path' = 'x'); SELECT * FROM t",
            "the columns `m` and `n` are both of the metadata 'file.size': compute one of them, as in `n` AS `m` (line \
             3, column 57)",
        ),
        (
            "CREATE TABLE t (a INT, m STRING METADATA FROM 'file.name') WITH ('connector' = 'filesystem', 'path' = \
             'x'); INSERT INTO t SELECT 1",
            "the metadata column `m` cannot be written: declare it VIRTUAL (line 3, column 24)",
        ),
        (
            "CREATE TABLE t (price BIGINT) LIKE bid",
            "`bid`, which the table is LIKE, has a column `price` already (line 3, column 17)",
        ),
        (
            "CREATE TABLE t WITH ('connector' = 'x') LIKE bid (INCLUDING OPTIONS)",
            "`bid`, which the table is LIKE, has the option 'connector' already: add EXCLUDING OPTIONS or \
             OVERWRITING OPTIONS (line 3, column 16)",
        ),
        (
            "CREATE TABLE k (x AS 1, PRIMARY KEY (price) NOT ENFORCED) PARTITIONED BY (price) LIKE bid; CREATE TABLE \
             l (PRIMARY KEY (price) NOT ENFORCED) LIKE k",
            "`k`, which the table is LIKE, has a primary key already: add EXCLUDING CONSTRAINTS (line 3, column 121)",
        ),
        (
            "CREATE TABLE k (x AS 1) PARTITIONED BY (price) LIKE bid; CREATE TABLE l PARTITIONED BY (price) LIKE k",
            "`k`, which the table is LIKE, has partitions already: add EXCLUDING PARTITIONS (line 3, column 89)",
        ),
        (
            "CREATE TABLE k (x AS 1) LIKE bid; CREATE TABLE l (x AS 2) LIKE k",
            "`k`, which the table is LIKE, has a column `x` already: add EXCLUDING GENERATED or OVERWRITING \
             GENERATED (line 3, column 51)",
        ),
        (
            "CREATE TABLE k (WATERMARK FOR date_time AS date_time) LIKE bid; CREATE TABLE l (WATERMARK FOR date_time AS \
             date_time) LIKE k",
            "`k`, which the table is LIKE, has a watermark already: add EXCLUDING WATERMARKS or OVERWRITING \
             WATERMARKS (line 3, column 95)",
        ),
        (
            "CREATE TABLE t LIKE bid (OVERWRITING ALL)",
            "OVERWRITING stands with GENERATED, METADATA, OPTIONS or WATERMARKS (line 3, column 38)",
        ),
        (
            "CREATE TABLE t LIKE bid (INCLUDING ALL EXCLUDING ALL)",
            "each part of LIKE is named once (line 3, column 50)",
        ),
        (
            "CREATE TABLE t LIKE bid (ALL)",
            "`ALL` was found where INCLUDING, EXCLUDING or OVERWRITING was expected (line 3, column 26)",
        ),
        (
            "CREATE TABLE t (a, b) WITH ('connector' = 'x')",
            "the column `a` has no type (line 3, column 17)",
        ),
        (
            "CREATE TABLE t (a, pric) WITH ('connector' = 'blackhole') AS SELECT price, auction AS a FROM bid",
            "the query has no column `pric`: did you mean `price`? (line 3, column 20)",
        ),
        (
            "CREATE TABLE t (a) WITH ('connector' = 'blackhole') AS SELECT price, auction AS a FROM bid",
            "the names of the table's columns leave `price` out (line 3, column 14)",
        ),
        (
            "CREATE TABLE t AS SELECT price FROM bid",
            "the table `t` has no connector: add WITH ('connector' = '…') (line 3, column 14)",
        ),
        ("SHOW TABLES NOT 'x'", "`'x'` was found where LIKE was expected (line 3, column 17)"),
        (
            "CREATE TABLE d (a INT) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'debezium-json'); CREATE \
             TABLE o (a INT) WITH ('connector' = 'filesystem', 'path' = 'y', 'format' = 'csv'); INSERT INTO o SELECT a \
             FROM d",
            "the table `o` only takes new rows (format 'csv'), but the query updates and deletes rows, because of a table that is a changelog: use a format that takes these, 'changelog-json' or 'debezium-json', or the connector 'print' or 'blackhole' (line 3, column 191)",
        ),
        (
            "CREATE TABLE d (a INT) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'changelog-json'); SET \
             'execution.runtime-mode' = 'batch'; SELECT a FROM d",
            "batch mode reads tables of rows that only come, but this is a table that is a changelog (line 3, column 142)",
        ),
        (
            "DROP TABLE bid /*+ OPTIONS('a' = 'b') */",
            "a hint is not supported here (line 3, column 12)",
        ),
        ("DROP TABLE bid", "the script runs nothing: it has no INSERT and no query"),
    ] {
        assert_eq!(refused(statement), expected, "{statement}");
    }
}

/// The tables that can take updates, and those that cannot.
#[test]
fn a_table_takes_updates_or_the_query_has_none() {
    let into = |options: &str, query: &str| {
        let table = format!("CREATE TABLE sink (n BIGINT) WITH ({options});");
        script::explain(&format!("{TABLES}{table}\nINSERT INTO sink {query}"))
    };
    let count = "SELECT COUNT(*) FROM bid GROUP BY channel";
    for options in [
        "'connector' = 'print'",
        "'connector' = 'blackhole'",
        "'connector' = 'filesystem', 'format' = 'changelog-json'",
        "'connector' = 'filesystem', 'format' = 'debezium-json'",
    ] {
        into(options, count).unwrap();
    }
    let files = "'connector' = 'filesystem', 'format' = 'csv'";
    into(files, "SELECT a.price FROM bid a JOIN bid b ON a.auction = b.auction").unwrap();
    into(files, "SELECT price FROM bid WHERE price IN (SELECT auction FROM bid)").unwrap();
    into(files, "SELECT price FROM bid LIMIT 3 OFFSET 2").unwrap();
    into(files, "SELECT price FROM bid INTERSECT SELECT auction FROM bid").unwrap();
    // A filter that drops rows without a match leaves an inner join.
    into(
        files,
        "SELECT a.price FROM bid a LEFT JOIN bid b ON a.auction = b.auction WHERE b.price > 3",
    )
    .unwrap();
    for (query, cause) in [
        (count, "GROUP BY"),
        ("SELECT COUNT(*) FROM bid", "an aggregate function without GROUP BY"),
        ("SELECT DISTINCT price FROM bid", "DISTINCT or GROUP BY"),
        (
            "SELECT a.price FROM bid a JOIN (SELECT MAX(price) AS m FROM bid GROUP BY channel) b ON \
             a.price = b.m",
            "GROUP BY",
        ),
        (
            "SELECT a.price FROM bid a LEFT JOIN bid b ON a.auction = b.auction",
            "LEFT JOIN or a subquery",
        ),
        ("SELECT a.price FROM bid a RIGHT JOIN bid b ON a.auction = b.auction", "RIGHT JOIN"),
        ("SELECT a.price FROM bid a FULL JOIN bid b ON a.auction = b.auction", "FULL JOIN"),
        (
            "SELECT price FROM bid WHERE NOT EXISTS (SELECT 1 FROM bid b WHERE b.auction = bid.auction)",
            "NOT EXISTS or NOT IN",
        ),
        (
            "SELECT price FROM bid WHERE price IN (SELECT MAX(price) FROM bid GROUP BY channel)",
            "GROUP BY",
        ),
        (
            "SELECT price FROM bid INTERSECT ALL SELECT COUNT(*) FROM bid GROUP BY channel",
            "GROUP BY",
        ),
        ("SELECT price FROM bid EXCEPT SELECT auction FROM bid", "EXCEPT"),
        (
            "SELECT price FROM (SELECT price, ROW_NUMBER() OVER (ORDER BY price) AS rn FROM bid) WHERE \
             rn < 4 UNION ALL SELECT price FROM bid",
            "ROW_NUMBER or LIMIT",
        ),
        ("SELECT price FROM bid ORDER BY price LIMIT 3", "ROW_NUMBER or LIMIT"),
    ] {
        let expected = format!(
            "the table `sink` only takes new rows (format 'csv'), but the query updates and deletes rows, \
             because of {cause}: use a format that takes these, 'changelog-json' or 'debezium-json', or the \
             connector 'print' or 'blackhole' (line 4, column 1)"
        );
        assert_eq!(into(files, query).unwrap_err().to_string(), expected, "{query}");
    }
    let message = into("'connector' = 'socket'", count).unwrap_err().to_string();
    assert!(message.contains("(connector 'socket')"), "{message}");
}

#[test]
fn names_follow_flinks_rules() {
    for statement in [
        "SELECT auction, `price`, b.channel FROM bid AS b WHERE b.price > 3",
        "SELECT bid.extra.url, extra.tags.`first` FROM bid",
        "WITH x (a) AS (SELECT price FROM bid) SELECT a AS b, a + 1 FROM x UNION ALL SELECT 1, 2 FROM bid",
        "CREATE VIEW v (p) AS SELECT price FROM bid; SELECT v.p, p FROM v",
        "SELECT p FROM (SELECT price FROM bid) AS t (p)",
        "SELECT price, price AS price FROM default_catalog.default_database.bid",
        "CREATE TABLE copy WITH ('connector' = 'blackhole') LIKE bid; \
         INSERT INTO out (auction) SELECT auction FROM bid",
        "EXECUTE STATEMENT SET BEGIN INSERT INTO out SELECT price, channel FROM bid; \
         INSERT INTO out SELECT 1, 'x' FROM bid; END; SELECT price FROM bid",
    ] {
        let built = script::build(&format!("{TABLES}{statement}"), &Environment::new("names"));
        assert!(built.is_ok(), "{statement}: {:?}", built.err().map(|error| error.to_string()));
    }
}

#[test]
fn arguments_that_functions_do_not_take_are_named() {
    for (call, expected) in [
        (
            "SIN('a')",
            "SIN: CHAR(1) was found where a number was expected; it is called as SIN(number)",
        ),
        (
            "SHA2('a', 7)",
            "SHA2: the length must be the constant 224, 256, 384 or 512; it is called as SHA2(text, 224 | \
             256 | 384 | 512)",
        ),
        (
            "ENCODE('a', 'x')",
            "ENCODE: there is no charset 'x': use UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1 or \
             US-ASCII; it is called as ENCODE(text, charset)",
        ),
        (
            "ELT(-1, 'a')",
            "ELT: the index must not be below 0; it is called as ELT(index, text, …), the index from 1",
        ),
        (
            "RAND_INTEGER(0)",
            "RAND_INTEGER: the bound must be an INT above 0; it is called as RAND_INTEGER([seed,] bound)",
        ),
        ("'a' SIMILAR TO '('", "SIMILAR TO: '(' is no pattern"),
    ] {
        let statement = format!("SELECT {call} FROM bid");
        assert_eq!(refused(&statement), format!("{expected} (line 3, column 8)"), "{statement}");
    }
}

/// What is of a plugin is tested through the binary.
#[test]
fn functions_of_users_are_those_of_plugins() {
    for (statement, expected) in [
        (
            "CREATE FUNCTION f AS 'com.example.F' LANGUAGE JAVA",
            "functions in JAVA do not run here: write it in Rust, as a function of a plugin, and say LANGUAGE \
             RUST, or nothing (line 3, column 47)",
        ),
        (
            "CREATE TEMPORARY FUNCTION f AS 'f' LANGUAGE PYTHON",
            "functions in PYTHON do not run here: write it in Rust, as a function of a plugin, and say \
             LANGUAGE RUST, or nothing (line 3, column 45)",
        ),
        (
            "CREATE FUNCTION f AS 'f' LANGUAGE COBOL",
            "`COBOL` was found where RUST was expected (line 3, column 35)",
        ),
        (
            "CREATE FUNCTION f AS 'f' USING JAR '/f.jar'",
            "USING JAR is not supported: functions are those of plugins, USING PLUGIN '/path/to/lib.so' (line \
             3, column 32)",
        ),
        (
            "CREATE FUNCTION f AS 'f' USING PLUGIN '/a.so', PLUGIN '/b.so'",
            "a function is of one plugin: name one file (line 3, column 46)",
        ),
        (
            "CREATE SYSTEM FUNCTION f AS 'f'",
            "functions of the system are temporary: TEMPORARY SYSTEM FUNCTION (line 3, column 8)",
        ),
        (
            "CREATE FUNCTION IF NOT EXISTS f AS 'f'",
            "no plugin is known: say USING PLUGIN '/path/to/lib.so', or run the script with --plugin-path \
             DIRECTORY (line 3, column 36)",
        ),
        (
            "CREATE FUNCTION lower AS 'f'",
            "there is a built-in function LOWER, which is called instead: give the function another name, or \
             let it take its place with CREATE TEMPORARY SYSTEM FUNCTION (line 3, column 17)",
        ),
        (
            "CREATE TEMPORARY SYSTEM FUNCTION trim AS 'f'",
            "TRIM has a syntax of its own: give the function another name (line 3, column 34)",
        ),
        ("DROP FUNCTION f", "there is no function `f` of CREATE FUNCTION (line 3, column 15)"),
        (
            "SELECT * FROM bid, LATERAL TABLE(f(price)) AS t (x)",
            "there is no table function `f` of a user: make it with CREATE FUNCTION f AS '…', from a plugin \
             (line 3, column 34)",
        ),
        (
            "SELECT * FROM bid, LATERAL f(price)",
            "a function stands in FROM as LATERAL TABLE(name(…)) (line 3, column 28)",
        ),
    ] {
        assert_eq!(refused(statement), expected, "{statement}");
    }
    let dropped = format!("{TABLES}DROP TEMPORARY FUNCTION IF EXISTS f; SELECT price FROM bid");
    assert!(script::build(&dropped, &Environment::new("functions")).is_ok());
    let message = refused("CREATE FUNCTION f AS 'f' USING PLUGIN 'no/such/lib.so'");
    assert!(message.starts_with("plugin no/such/lib.so: No such file"), "{message}");
    assert!(message.ends_with("(line 3, column 39)"), "{message}");
}
