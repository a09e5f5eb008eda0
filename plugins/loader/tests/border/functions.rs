//! Functions of libraries: called, refused, and survived when they fail.

use std::sync::Arc;

use millstream::loader::{FunctionKind, Registry, ResultPage};
use millstream_data::{
    Record, Value,
    page::{Layout, PageBuilder, Shape, ValidPage},
    types::Schema,
};

use crate::libraries::plugin;

const SEGMENT: usize = 4096;

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.load(&plugin("function_calls")).expect("it is loaded");
    registry.load(&plugin("function_pages")).expect("it is loaded");
    registry
}

/// A page of numbers.
fn numbers(numbers: &[i64]) -> Vec<u128> {
    let shape = Shape::new(&i64::schema());
    let layout = Arc::new(Layout::fitted(&shape, SEGMENT, 0).expect("a row fits"));
    let mut memory = vec![0u128; SEGMENT / 16];
    let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
    let mut page = PageBuilder::<i64, _>::new(buffer, &shape, &layout);
    numbers.iter().for_each(|number| page.append(*number).expect("room"));
    page.seal(&shape, false);
    memory
}

fn page(memory: &[u128]) -> ValidPage<'_> {
    ValidPage::trusted(bytemuck::cast_slice(memory)).expect("a page")
}

/// The first column of a page of results.
fn read<R: Value>(segment: &[u128], result: ResultPage) -> Vec<R> {
    let ResultPage::Page { length, rows } = result else { panic!("no page: {result:?}") };
    let bytes: &[u8] = bytemuck::cast_slice(segment);
    let page = ValidPage::trusted(&bytes[..length]).expect("a page");
    let columns = R::bind(&page);
    (0..rows).map(|row| R::own(R::at(&columns, row))).collect()
}

fn segment() -> Vec<u128> {
    vec![0x5A; SEGMENT / 16]
}

#[track_caller]
fn says<T>(result: Result<T, impl std::fmt::Display>, parts: &[&str]) {
    let said = result.err().expect("it fails").to_string();
    for part in parts {
        assert!(said.contains(part), "`{part}` in: {said}");
    }
}

#[test]
fn functions_of_a_library_are_called() {
    let registry = registry();
    let memory = numbers(&[3, 4, 5]);
    let mut double = registry.scalar("double", &i64::schema(), SEGMENT).expect("it opens");
    let mut results = segment();
    let made = double.call(&page(&memory), 1, bytemuck::cast_slice_mut(&mut results));
    assert_eq!(read::<i64>(&results, made.expect("results")), [8, 10]);
    let made = double.call(&page(&memory), 3, bytemuck::cast_slice_mut(&mut results));
    assert_eq!(made, Ok(ResultPage::Done));

    let mut total = registry.aggregate("total", &i64::schema(), SEGMENT).expect("it opens");
    let empty = total.create().expect("an accumulator");
    let mut all = vec![empty.clone(), empty.clone()];
    total.add(&page(&memory), &[0, 1, 0], &mut all).expect("added");
    total.retract(&page(&numbers(&[5])), &[0], &mut all).expect("taken back");
    let (first, second) = all.split_at_mut(1);
    total.merge(first, second).expect("merged");
    let made = total.results(&all, 0, bytemuck::cast_slice_mut(&mut results));
    assert_eq!(read::<i64>(&results, made.expect("results")), [7, 4]);

    let mut down = registry.table_function("down", &i64::schema(), SEGMENT).expect("it opens");
    let memory = numbers(&[0, 3]);
    let made = down.call(&page(&memory), bytemuck::cast_slice_mut(&mut results));
    let expected = [(3, 1), (2, 1), (1, 1)];
    assert_eq!(read::<(i64, u32)>(&results, made.expect("results")), expected);
    let made = down.call(&page(&memory), bytemuck::cast_slice_mut(&mut results));
    assert_eq!(made, Ok(ResultPage::Done));
}

#[test]
fn names_types_and_pages_are_checked() {
    let registry = registry();
    let scalar = |name, schema: &Schema| registry.scalar(name, schema, SEGMENT);
    says(scalar("duoble", &i64::schema()), &["no function called `duoble`", "`double`?"]);
    says(
        scalar("double", &u8::schema()),
        &["does not take (", "(number BIGINT) -> doubled BIGINT"],
    );
    says(scalar("double", &Option::<i64>::schema()), &["does not take (BIGINT NULL)"]);
    says(
        scalar("total", &i64::schema()),
        &["is no scalar function, but a function of another kind: aggregate function"],
    );
    let signature = registry.signature(FunctionKind::Table, "down", &i64::schema());
    let results = signature.expect("a signature").results.to_string();
    assert!(results.contains("argument row"), "{results}");

    let mut double = scalar("double", &i64::schema()).expect("it opens");
    let shape = Shape::new(&u64::schema());
    let layout = Arc::new(Layout::fitted(&shape, SEGMENT, 0).expect("a row fits"));
    let mut memory = vec![0u128; SEGMENT / 16];
    let buffer: &mut [u8] = bytemuck::cast_slice_mut(&mut memory);
    let mut builder = PageBuilder::<u64, _>::new(buffer, &shape, &layout);
    builder.append(7).expect("room");
    builder.seal(&shape, false);
    let mut results = segment();
    let called = double.call(&page(&memory), 0, bytemuck::cast_slice_mut(&mut results));
    says(called, &["function `double` of plugin function_calls", "arguments of other types"]);
    let mut total = registry.aggregate("total", &i64::schema(), SEGMENT).expect("it opens");
    let mut one = vec![total.create().expect("an accumulator")];
    says(total.add(&page(&numbers(&[3])), &[1], &mut one), &["groups that are not those"]);
    one[0].pop();
    says(total.add(&page(&numbers(&[3])), &[0], &mut one), &["an accumulator is damaged"]);
}

#[test]
fn panics_and_errors_in_a_function() {
    let registry = registry();
    let mut results = segment();
    let owner = "function `double` of plugin function_calls: ";
    let mut double = registry.scalar("double", &i64::schema(), SEGMENT).expect("it opens");
    for (number, said) in
        [(1, "panicked: the function's own mistake in call"), (2, "call does not work today")]
    {
        let memory = numbers(&[number]);
        let called = double.call(&page(&memory), 0, bytemuck::cast_slice_mut(&mut results));
        says(called, &[owner, said]);
    }
    let opened = registry.scalar("double", &String::schema(), SEGMENT);
    says(opened, &[owner, "panicked: the function's own mistake in open"]);

    let mut total = registry.aggregate("total", &i64::schema(), SEGMENT).expect("it opens");
    let mut all = vec![total.create().expect("an accumulator")];
    let before = all.clone();
    says(total.add(&page(&numbers(&[7, 1])), &[0, 0], &mut all), &["mistake in add"]);
    says(total.add(&page(&numbers(&[7, 2])), &[0, 0], &mut all), &["add does not work today"]);
    assert_eq!(all, before, "nothing is half done");
    let mut one = all.clone();
    total.retract(&page(&numbers(&[-1])), &[0], &mut one).expect("the sum is 1");
    says(total.merge(&mut all, &one), &["mistake in merge"]);
    let made = total.results(&one, 0, bytemuck::cast_slice_mut(&mut results));
    says(made, &["function `total` of plugin function_calls", "mistake in result"]);

    let mut down = registry.table_function("down", &i64::schema(), SEGMENT).expect("it opens");
    let called = down.call(&page(&numbers(&[2])), bytemuck::cast_slice_mut(&mut results));
    says(called, &["function `down` of plugin function_calls", "begin does not work today"]);

    let made = double.call(&page(&numbers(&[21])), 0, bytemuck::cast_slice_mut(&mut results));
    assert_eq!(read::<i64>(&results, made.expect("it lives on")), [42]);
}

#[test]
fn wrong_claims_of_a_function() {
    let registry = registry();
    let mut results = segment();
    for (name, said) in [
        ("oversized", "longer than the segment"),
        ("bad_page", "made a bad page"),
        ("backwards", "2048 bytes instead of"),
        ("too_many", "gives 3 results for 2 rows"),
        ("no_rows", "a page without rows"),
        ("never", "gives no results for 2 rows"),
    ] {
        let mut function = registry.scalar(name, &i64::schema(), SEGMENT).expect("it opens");
        let memory = numbers(&[1, 2]);
        let called = function.call(&page(&memory), 0, bytemuck::cast_slice_mut(&mut results));
        says(called, &["plugin function_pages", said]);
    }
    let opened = registry.table_function("other_row", &i64::schema(), SEGMENT);
    let called = opened
        .expect("it opens")
        .call(&page(&numbers(&[1])), bytemuck::cast_slice_mut(&mut results));
    says(called, &["rows that are not those of 1 arguments"]);

    let opened = registry.aggregate("accumulators", &i64::schema(), SEGMENT);
    let mut function = opened.expect("it opens");
    let mut all = vec![function.create().expect("an accumulator")];
    let before = all.clone();
    says(function.add(&page(&numbers(&[1])), &[0], &mut all), &["made a bad accumulator"]);
    says(function.merge(&mut all, &before), &["an accumulator that it was not given"]);
    assert_eq!(all, before);
    let made = function.results(&all, 0, bytemuck::cast_slice_mut(&mut results));
    says(made, &["another number of results"]);
}

#[test]
fn signatures_that_contradict_each_other_are_refused_at_load() {
    let refused = Registry::new().load(&plugin("function_signatures")).map(|_| ());
    let said = ["libfunction_signatures.so", "`twice`", "two signatures of it take the same types"];
    says(refused, &said);
}
