//! Where late rows come, with both writers.

use alloc::{boxed::Box, vec, vec::Vec};

use millstream_data::value::Record;

use super::run::CopyChain;
use crate::{
    operator::bench::{Bench, Out},
    stream::Pages,
};

type Row = (u64, i64);

fn benches() -> Vec<Bench<Row, Row>> {
    let copies =
        Bench::of_chain(0, 1, |_, writer| Box::new(CopyChain::new(&Row::schema(), writer)));
    vec![Bench::open(&Pages::<Row>::new(), 0, 1, 8), copies]
}

#[test]
fn a_late_row_comes_behind_the_watermark_that_it_missed() {
    for mut bench in benches() {
        bench.push(&[(1, 10)]);
        bench.watermark_waits(7);
        bench.push(&[(2, 8)]);
        bench.late();
        bench.push(&[(3, 5)]);
        let expected = [Out::Row((1, 10)), Out::Row((2, 8)), Out::Watermark(7), Out::Row((3, 5))];
        assert_eq!(bench.take(), expected);
    }
}

#[test]
fn so_does_one_that_begins_a_page() {
    for mut bench in benches() {
        bench.watermark_waits(7);
        bench.late();
        bench.push(&[(3, 5)]);
        assert_eq!(bench.take(), [Out::Watermark(7), Out::Row((3, 5))]);
        bench.late();
        bench.push(&[(3, 6)]);
        assert_eq!(bench.take(), [Out::Row((3, 6))]);
    }
}
