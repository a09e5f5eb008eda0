//! Batch mode: what is said are the rows that are left.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use crate::{
    killed::kill_and_rescale,
    program::{Scratch, millstream, stderr, stdout},
    sql::{expected, library, nexmark, script_to, unpacked, written},
};

/// Queries of Nexmark that update in streaming mode, and some that do not.
const QUERIES: [&str; 9] = ["q3", "q4", "q5", "q9", "q11", "q15", "q16", "q18", "q19"];

/// The script of a query in batch mode. Its sink takes no updates.
fn script(query: &str, events: &str, out: &str) -> String {
    let sink = format!("'connector' = 'filesystem', 'path' = '{out}', 'format' = 'csv'");
    let mode = "SET 'execution.runtime-mode' = 'batch';\n";
    format!("{mode}{}", script_to(query, events, &sink))
}

fn events() -> String {
    unpacked(&nexmark().join("events.jsonl.gz"))
}

#[test]
fn batch_mode_gives_the_rows_that_are_left() {
    library();
    let scratch = Scratch::new("batch-nexmark");
    let events = scratch.file("events.jsonl", events().as_bytes());
    for query in QUERIES {
        for engine in [
            &["--parallelism", "1"][..],
            &["--parallelism", "2", "--state", "lsm", "--processes", "2"],
        ] {
            let out = scratch.path("out");
            let file = scratch.file("job.sql", script(query, &events, &out).as_bytes());
            let output = millstream(&[&["run", &file], engine].concat());
            assert!(output.status.success(), "{query} {engine:?}: {}", stderr(&output));
            let (rows, wanted) = (written(Path::new(&out)), expected(query));
            assert!(rows == wanted, "{query} {engine:?}: {} of {}", rows.len(), wanted.len());
            fs::remove_dir_all(&out).expect("the sink's directory");
        }
    }
}

/// What q6 gives for each seller: the means of the prices of up to eleven winning bids, in the order of their
/// times. Bids of one time have no order: any is right.
fn averages(events: &str) -> BTreeMap<String, BTreeSet<Vec<String>>> {
    let (mut auctions, mut bids) = (BTreeMap::new(), BTreeMap::<i64, Vec<(i64, String)>>::new());
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let number = |value: &Value| value.as_i64().expect("a number");
    for line in events.lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        let (auction, bid) = (&event["auction"], &event["bid"]);
        if event["event_type"] == 1 {
            let (from, to) = (text(&auction["date_time"]), text(&auction["expires"]));
            auctions.insert(number(&auction["id"]), (from, to, auction["seller"].to_string()));
        } else if event["event_type"] == 2 {
            let bid = (number(&bid["auction"]), number(&bid["price"]), text(&bid["date_time"]));
            bids.entry(bid.0).or_default().push((bid.1, bid.2));
        }
    }
    let mut sellers: BTreeMap<String, BTreeMap<String, Vec<i64>>> = BTreeMap::new();
    for (id, (from, to, seller)) in auctions {
        let valid = bids.get(&id).into_iter().flatten().filter(|(_, at)| from <= *at && *at <= to);
        let best = valid.max_by_key(|(price, at)| (*price, std::cmp::Reverse(at.clone())));
        if let Some((price, at)) = best {
            sellers.entry(seller).or_default().entry(at.clone()).or_default().push(*price);
        }
    }
    let orders = |times: BTreeMap<String, Vec<i64>>| {
        let mut orders: Vec<Vec<i64>> = vec![Vec::new()];
        for prices in times.into_values() {
            let turned = (0..prices.len()).map(|turn| [&prices[turn..], &prices[..turn]].concat());
            let turned: Vec<_> = turned.collect();
            let longer = |order: Vec<i64>| {
                turned.iter().map(|prices| [&order[..], prices].concat()).collect::<Vec<_>>()
            };
            orders = orders.into_iter().flat_map(longer).collect();
        }
        orders
    };
    let means = |(seller, order): (&String, Vec<i64>)| {
        let around = (0..order.len()).map(|at| &order[at.saturating_sub(10)..=at]);
        let mean = |prices: &[i64]| prices.iter().sum::<i64>() / prices.len() as i64;
        let mut rows: Vec<_> = around.map(|prices| format!("{seller},{}", mean(prices))).collect();
        rows.sort();
        rows
    };
    let each = |(seller, times)| {
        let orders = orders(times).into_iter();
        let rows = orders.map(|order| means((&seller, order))).collect();
        (seller, rows)
    };
    sellers.into_iter().map(each).collect()
}

/// Checks the rows of q6.
fn assert_averages(rows: &[String], events: &str, context: &str) {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows {
        let seller = row.split(',').next().expect("a seller");
        found.entry(seller.to_owned()).or_default().push(row.clone());
    }
    let wanted = averages(events);
    assert!(found.keys().eq(wanted.keys()), "{context}: other sellers");
    for (seller, rows) in found {
        assert!(wanted[&seller].contains(&rows), "{context}: {rows:?} of {:?}", wanted[&seller]);
    }
}

#[test]
fn averages_of_the_last_winning_bids_are_flinks() {
    library();
    let scratch = Scratch::new("batch-q6");
    let all = events();
    let events = scratch.file("events.jsonl", all.as_bytes());
    for engine in [
        &["--parallelism", "1"][..],
        &["--parallelism", "2", "--state", "lsm"],
        &["--parallelism", "2", "--processes", "2"],
    ] {
        let out = scratch.path("out");
        let file = scratch.file("job.sql", script("q6", &events, &out).as_bytes());
        let output = millstream(&[&["run", &file], engine].concat());
        assert!(output.status.success(), "{engine:?}: {}", stderr(&output));
        assert_averages(&written(Path::new(&out)), &all, &format!("{engine:?}"));
        fs::remove_dir_all(&out).expect("the sink's directory");
    }
}

/// Every event comes several times, which changes no winner.
#[test]
fn a_killed_batch_script_gives_the_same() {
    library();
    let scratch = Scratch::new("batch-killed");
    let all = events();
    let events = scratch.file("events.jsonl", all.repeat(6).as_bytes());
    for more in [&[][..], &["--state", "lsm"]] {
        let (checkpoints, out) = (scratch.path("checkpoints"), scratch.path("out"));
        let file = scratch.file("job.sql", script("q6", &events, &out).as_bytes());
        kill_and_rescale("q6", &file, &checkpoints, more);
        assert_averages(&written(Path::new(&out)), &all, &format!("{more:?}"));
        fs::remove_dir_all(&out).expect("the sink's directory");
    }
}

/// The rows of a query are printed in its order, if that is what the command or the script asks for.
#[test]
fn a_result_is_in_the_order_of_its_query() {
    library();
    let scratch = Scratch::new("batch-order");
    let query =
        "SELECT k, v FROM (VALUES (1, 5), (2, 7), (1, 9), (3, 1)) AS t (k, v) ORDER BY v DESC;\n";
    let run = |text: &str, options: &[&str]| {
        let job = scratch.file("job.sql", text.as_bytes());
        millstream(&[&["run", &job, "--output", "csv", "--parallelism", "2"], options].concat())
    };
    let ordered = "k,v\n1,9\n2,7\n1,5\n3,1\n";
    assert_eq!(stdout(&run(query, &["--mode", "batch"])), ordered);
    let set = |mode: &str| format!("SET 'execution.runtime-mode' = '{mode}';\n{query}");
    assert_eq!(stdout(&run(&set("batch"), &["--mode", "streaming"])), ordered);
    // What the script says counts more.
    let refused = stderr(&run(&set("streaming"), &["--mode", "batch"]));
    assert!(refused.contains("ORDER BY without LIMIT"), "{refused}");
    let refused = stderr(&run(query, &["--mode", "later"]));
    assert!(refused.contains("--mode takes 'streaming' or 'batch'"), "{refused}");
}
