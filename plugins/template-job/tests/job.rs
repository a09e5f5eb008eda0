//! The job on the engine, in this process.

use std::fs;

use millstream::{Runtime, builder, loader::Registry, result::Collected};
use template_job::Turnover;

const ORDERS: &str = "\
id,customer,amount
1,ada,10.50
2,bob,3
3,ada,
4,ada,0.25
";

#[test]
fn orders_are_added_up_by_customer() {
    let path = std::env::temp_dir().join(format!("millstream-orders-{}.csv", std::process::id()));
    fs::write(&path, ORDERS).expect("a file");

    // The connectors and formats that `millstream run` knows, and the job.
    let mut plugins = Registry::new();
    builder::bundle(&mut plugins).expect("the bundled plugins");
    plugins.bundle(template_job::plugin).expect("the plugin");
    let plugin = plugins.plugins().last().expect("the plugin");
    let input = ("input".into(), path.to_str().expect("a UTF-8 path").into());
    let job = plugins.job(plugin, "turnover", &[input]).expect("the job");
    let result = Collected::<Turnover>::new();
    let runtime = Runtime::builder().plugins(plugins).parallelism(2).build().expect("a runtime");
    runtime.run(job, result.sink()).expect("it runs");

    let mut rows = result.take();
    rows.sort_by(|a, b| a.customer.cmp(&b.customer));
    let rows: Vec<_> =
        rows.iter().map(|row| (&*row.customer, row.orders, row.amount.to_string())).collect();
    assert_eq!(rows, [("ada", 2, "10.75".into()), ("bob", 1, "3.00".into())]);
    fs::remove_file(&path).expect("the file");
}
