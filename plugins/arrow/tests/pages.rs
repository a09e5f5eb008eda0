//! Pages to arrays and back.

use std::{process::Command, sync::Arc};

use millstream_arrow::{ArrayRun, Leaf, with_arrays};
use millstream_data::{
    hash::SEED,
    page::{Layout, RowBuilder, Shape, ValidPage},
    row::{PageRows, RowLayout},
    types::{DataType, Field, Schema},
};
use proptest::{collection::vec, option, prelude::*};

/// A row: what is nested in the third column is NULL with it.
type Row = (i64, Option<String>, Option<(bool, Option<i128>)>);

fn nested() -> Schema {
    let decimal = DataType::Decimal { precision: 38, scale: 3 };
    let fields = vec![Field::new("flag", DataType::Boolean), Field::new("sum", decimal).nullable()];
    Schema::new(vec![
        Field::new("id", DataType::Int64),
        Field::new("text", DataType::String).nullable(),
        Field::new("inner", DataType::Row(fields)).nullable(),
    ])
}

/// The same without nesting: what the leaves are.
fn flat() -> Schema {
    let decimal = DataType::Decimal { precision: 38, scale: 3 };
    Schema::new(vec![
        Field::new("id", DataType::Int64),
        Field::new("text", DataType::String).nullable(),
        Field::new("flag", DataType::Boolean).nullable(),
        Field::new("sum", decimal).nullable(),
    ])
}

fn buffer(words: &mut Vec<u128>) -> &mut [u8] {
    words.resize(4096, 0);
    bytemuck::cast_slice_mut(words)
}

fn builder<'a>(words: &'a mut Vec<u128>, schema: &Schema) -> RowBuilder<&'a mut [u8]> {
    let shape = Arc::new(Shape::new(schema));
    let bytes = buffer(words);
    let layout = Arc::new(Layout::fitted(&shape, bytes.len(), 40).expect("it fits"));
    RowBuilder::new(bytes, &shape, &layout)
}

/// Writes rows until the page is full; how many.
fn write(rows: &[Row], page: &mut RowBuilder<&mut [u8]>) -> usize {
    for (at, (id, text, inner)) in rows.iter().enumerate() {
        if !page.has_room() {
            return at;
        }
        page.put_fixed(0, id.to_le_bytes());
        match text {
            Some(text) if page.put_str(1, text).is_err() => return at,
            Some(_) => {}
            None => page.put_null(1),
        }
        match inner {
            None => page.put_blank(2..5),
            Some((flag, sum)) => {
                page.put_group(2);
                page.put_bool(3, *flag);
                match sum {
                    Some(sum) => page.put_fixed(4, sum.to_le_bytes()),
                    None => page.put_null(4),
                }
            }
        }
        page.commit();
    }
    rows.len()
}

fn read(page: &ValidPage<'_>, row: usize) -> Row {
    let id = page.column(0).fixed::<i64>()[row];
    let [text, flag, sum] = [1, 2, 3].map(|column| page.column(column));
    let text = text.validity().is_valid(row).then(|| text.strings().at(row).to_owned());
    let sum =
        sum.validity().is_valid(row).then(|| i128::from_le_bytes(sum.fixed::<[u8; 16]>()[row]));
    let flag = flag.validity().is_valid(row).then(|| flag.bits().at(row));
    (id, text, flag.map(|flag| (flag, sum)))
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        rows in vec(
            (any::<i64>(), option::of("[a-zß]{0,30}"), option::of((any::<bool>(), option::of(-9i128..9)))),
            0..200,
        ),
        slice in 0usize..200,
    ) {
        let (mut from, mut to) = (Vec::new(), Vec::new());
        let mut page = builder(&mut from, &nested());
        let fit = write(&rows, &mut page);
        let sealed = page.seal(false);
        let shape = Shape::new(&nested());
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        let leaves = Leaf::of(&nested()).unwrap();
        let start = slice.min(fit);
        let mut copy = builder(&mut to, &flat());
        let mut hashes = Vec::new();
        let written = with_arrays(&page, &leaves, |arrays| {
            let arrays: Vec<_> =
                arrays.iter().map(|array| array.slice(start, fit - start)).collect();
            let run = ArrayRun::new(fit - start, &arrays).unwrap();
            let room = copy.room_for_run(run.rows(), |row| run.heap_bytes(row));
            run.write(0, room, &mut copy);
            hashes.extend((0..room).map(|row| [&[0, 1, 2, 3][..], &[3, 1]].map(|c| run.hash(row, c))));
            room
        });
        copy.commit_run(written);
        let sealed = copy.seal(true);
        let shape = Shape::new(&flat());
        let copy = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        prop_assert_eq!(copy.rows(), written);
        for row in 0..written {
            prop_assert_eq!(&read(&copy, row), &rows[start + row]);
        }
        // A row belongs to the same key, whatever it lies in.
        let layouts = [RowLayout::new(&flat()), RowLayout::projected(&flat(), &[3, 1], true)];
        for (number, layout) in layouts.iter().enumerate() {
            let page_rows = PageRows::new(layout, &copy).unwrap();
            prop_assert_eq!(hashes.len(), written);
            for (row, hash) in hashes.iter().enumerate() {
                let mut bytes = Vec::new();
                page_rows.gather(row, &mut bytes);
                let alone = layout.trusted(&bytes).unwrap();
                let alone = (0..layout.columns()).fold(SEED, |state, at| alone.hash(at, state));
                prop_assert_eq!(page_rows.hash(row), hash[number]);
                prop_assert_eq!(alone, hash[number]);
            }
        }
    }
}

/// An array that is kept longer than its page is lent ends the process, whatever kept it.
#[test]
fn nothing_outlives_a_page() {
    const KEEP: &str = "KEEP_AN_ARRAY";
    if std::env::var_os(KEEP).is_some() {
        let mut words = Vec::new();
        let page = builder(&mut words, &flat());
        let sealed = page.seal(false);
        let shape = Shape::new(&flat());
        let page = ValidPage::validate(&sealed.buffer[..sealed.length], &shape).unwrap();
        let leaves = Leaf::of(&flat()).unwrap();
        let kept = with_arrays(&page, &leaves, |arrays| arrays[0].slice(0, 0));
        drop(kept);
        return;
    }
    let mut again = Command::new(std::env::current_exe().expect("this test"));
    let output = again.args(["--exact", "nothing_outlives_a_page", "--nocapture"]).env(KEEP, "1");
    let output = output.output().expect("it starts");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("was kept beyond the call"), "{said}");
}
