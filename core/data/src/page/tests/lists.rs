//! Pages of lists and maps.

use alloc::{collections::BTreeMap, string::String, sync::Arc, vec, vec::Vec};
use proptest::{collection, option, prelude::*};

use super::{Buffer, Place, PlaceView, fill, read};
use crate::{Record, page::*, value::Value};

#[derive(Clone, Debug, PartialEq, Record)]
struct Lists {
    id: u64,
    numbers: Vec<i64>,
    words: Option<Vec<String>>,
    matrix: Vec<Vec<Option<i32>>>,
    flags: Vec<bool>,
    places: Vec<Option<Place>>,
    pairs: Vec<(String, Option<Vec<u8>>)>,
    scores: BTreeMap<String, Option<f64>>,
    index: Option<BTreeMap<i32, Vec<String>>>,
    nested: Option<(Vec<i16>, bool)>,
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z]{0,13}", "\\PC{0,20}"]
}

fn place() -> impl Strategy<Value = Place> {
    (text(), any::<Option<i16>>()).prop_map(|(city, zone)| Place { city, zone })
}

/// Lists of up to about `most` elements.
fn lists(most: usize) -> impl Strategy<Value = Lists> {
    let half = most / 2;
    (
        (
            any::<u64>(),
            collection::vec(any::<i64>(), 0..=most),
            option::of(collection::vec(text(), 0..=half)),
            collection::vec(collection::vec(any::<Option<i32>>(), 0..=4), 0..=half),
            collection::vec(any::<bool>(), 0..=most),
        ),
        (
            collection::vec(option::of(place()), 0..=half),
            collection::vec((text(), option::of(collection::vec(any::<u8>(), 0..5))), 0..=half),
            collection::btree_map(text(), option::of(-1e9..1e9f64), 0..=half),
            option::of(collection::btree_map(
                any::<i32>(),
                collection::vec(text(), 0..3),
                0..=half,
            )),
            option::of((collection::vec(any::<i16>(), 0..=half), any::<bool>())),
        ),
    )
        .prop_map(
            |((id, numbers, words, matrix, flags), (places, pairs, scores, index, nested))| Lists {
                id,
                numbers,
                words,
                matrix,
                flags,
                places,
                pairs,
                scores,
                index,
                nested,
            },
        )
}

/// Writes a row as a connector does that knows the columns only at run time.
fn put(rows: &mut RowBuilder<Buffer>, row: &Lists) -> Result<(), Full> {
    rows.put_fixed(0, row.id.to_le_bytes());
    rows.begin_list(1);
    for number in &row.numbers {
        rows.begin_element(1)?;
        rows.put_fixed(2, number.to_le_bytes());
    }
    match &row.words {
        Some(words) => {
            rows.begin_list(3);
            for word in words {
                rows.begin_element(3)?;
                rows.put_str(4, word)?;
            }
        }
        None => rows.put_null(3),
    }
    rows.begin_list(5);
    for line in &row.matrix {
        rows.begin_element(5)?;
        rows.begin_list(6);
        for number in line {
            rows.begin_element(6)?;
            match number {
                Some(number) => rows.put_fixed(7, number.to_le_bytes()),
                None => rows.put_null(7),
            }
        }
    }
    rows.begin_list(8);
    for flag in &row.flags {
        rows.begin_element(8)?;
        rows.put_bool(9, *flag);
    }
    rows.begin_list(10);
    for place in &row.places {
        rows.begin_element(10)?;
        let city = place.as_ref().map(|place| place.city.as_str());
        match place {
            Some(_) => rows.put_group(11),
            None => rows.put_null(11),
        }
        rows.put_str(12, city.unwrap_or(""))?;
        match place.as_ref().and_then(|place| place.zone) {
            Some(zone) => rows.put_fixed(13, zone.to_le_bytes()),
            None => rows.put_null(13),
        }
    }
    rows.begin_list(14);
    for (name, bytes) in &row.pairs {
        rows.begin_element(14)?;
        rows.put_str(15, name)?;
        match bytes {
            Some(bytes) => {
                rows.begin_list(16);
                for byte in bytes {
                    rows.begin_element(16)?;
                    rows.put_fixed(17, [*byte]);
                }
            }
            None => rows.put_null(16),
        }
    }
    rows.begin_list(18);
    for (name, score) in &row.scores {
        rows.begin_element(18)?;
        rows.put_str(19, name)?;
        match score {
            Some(score) => rows.put_fixed(20, score.to_le_bytes()),
            None => rows.put_null(20),
        }
    }
    match &row.index {
        Some(index) => {
            rows.begin_list(21);
            for (key, words) in index {
                rows.begin_element(21)?;
                rows.put_fixed(22, key.to_le_bytes());
                rows.begin_list(23);
                for word in words {
                    rows.begin_element(23)?;
                    rows.put_str(24, word)?;
                }
            }
        }
        None => rows.put_null(21),
    }
    match &row.nested {
        Some((numbers, flag)) => {
            rows.put_group(25);
            rows.begin_list(26);
            for number in numbers {
                rows.begin_element(26)?;
                rows.put_fixed(27, number.to_le_bytes());
            }
            rows.put_bool(28, *flag);
        }
        None => {
            rows.put_null(25);
            rows.begin_list(26);
            rows.put_bool(28, false);
        }
    }
    rows.commit();
    Ok(())
}

/// Rows in pages that are built at run time, as sources do: a row that was refused is tried again
/// in the next page, then in one with more of what was short, then in larger ones.
fn fill_at_run_time(rows: &[Lists], size: usize) -> (Arc<Shape>, Vec<Sealed<Buffer>>) {
    let shape = Arc::new(Shape::new(&Lists::schema()));
    let mut sizing = Sizing::new(Arc::clone(&shape), size).unwrap();
    let (mut pages, mut next) = (Vec::new(), 0);
    while next < rows.len() {
        let mut page = RowBuilder::new(Buffer::new(size), &shape, sizing.layout());
        while page.has_room() && next < rows.len() && put(&mut page, &rows[next]).is_ok() {
            next += 1;
        }
        page.roll_back();
        let mut sealed = page.seal(next.is_multiple_of(2));
        let mut jumbo = sizing.clone();
        let mut larger = size;
        while sealed.rows == 0 {
            let shortage = sealed.shortage.expect("a row was refused");
            if larger == size && sizing.make_room_of(shortage) {
                break;
            }
            jumbo.make_room_of(shortage);
            larger *= 2;
            assert!(larger <= 1 << 20, "rows of the test fit a mebibyte");
            let layout = Arc::new(jumbo.jumbo(larger).unwrap());
            let mut page = RowBuilder::new(Buffer::new(larger), &shape, &layout);
            if put(&mut page, &rows[next]).is_ok() {
                next += 1;
            }
            sealed = page.seal(true);
        }
        if sealed.rows > 0 {
            sizing.learn(sealed.rows, &sealed.demand);
            pages.push(sealed);
        }
    }
    (shape, pages)
}

/// Reads every cell of a page that is valid.
fn read_all(bytes: &[u8], shape: &Shape) {
    if let Ok(page) = ValidPage::validate(bytes, shape) {
        let columns = Lists::bind(&page);
        for row in 0..page.rows() {
            let _ = Lists::own(Lists::at(&columns, row));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn lists_round_trip(
        rows in prop_oneof![
            collection::vec(lists(6), 0..120),
            collection::vec(lists(200), 0..6),
        ],
        size in prop_oneof![Just(4096usize), Just(32768)],
    ) {
        let (shape, pages) = fill(&rows, size);
        prop_assert_eq!(&read::<Lists>(&shape, &pages), &rows);
        let (shape, pages) = fill_at_run_time(&rows, size);
        prop_assert_eq!(&read::<Lists>(&shape, &pages), &rows);
    }

    #[test]
    fn damaged_lists_are_refused_or_read_without_panic(
        rows in collection::vec(lists(6), 1..8),
        damage in collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (shape, mut pages) = fill(&rows, 4096);
        let page = &mut pages[0];
        let length = page.length;
        for (at, byte) in damage {
            page.buffer[at.index(length)] = byte;
        }
        read_all(&page.buffer[..length], &shape);
    }
}

#[test]
fn damaged_offsets_are_named() {
    type Row = (Vec<i64>,);
    let shape = Shape::new(&Row::schema());
    let rows: Vec<Row> = vec![(vec![1, 2],), (vec![],), (vec![3],)];
    let data = |page: &[u8]| read_u32(page, HEADER_BYTES + 8).unwrap() as usize;
    let refused = |index: usize, offset: i32| {
        let mut page = fill(&rows, 4096).1.remove(0);
        let at = data(&page.buffer) + 4 * index;
        page.buffer[at..at + 4].copy_from_slice(&offset.to_le_bytes());
        ValidPage::validate(&page.buffer[..page.length], &shape).unwrap_err()
    };
    let backwards =
        PageError::Cell { column: 0, row: 2, what: "a list that ends before it begins" };
    assert_eq!(refused(2, 1), backwards);
    assert!(matches!(refused(0, 1), PageError::Cell { column: 0, row: 0, .. }));
    assert!(matches!(refused(1, -1), PageError::Cell { column: 0, row: 1, .. }));
    // More or fewer elements than there are: the column of elements has another length.
    for end in [2, 4, i32::MAX] {
        assert!(matches!(refused(3, end), PageError::Column { column: 1, .. }), "{end}");
    }
}

#[test]
fn a_full_bitmap_of_lists_stays_in_front_of_the_columns_that_follow() {
    // 64 cells have a bitmap of eight bytes, though there are 65 offsets.
    type Row = (Option<Vec<i64>>, i64, Vec<i64>);
    let shape = Arc::new(Shape::new(&Row::schema()));
    let layout = Arc::new(Layout::new(&shape, 8192, &[64, 64, 128]).unwrap());
    let mut page = PageBuilder::<Row, _>::new(Buffer::new(8192), &shape, &layout);
    let row = |i: i64| -> Row { ((i % 3 != 0).then(|| vec![i]), -i, vec![i, i]) };
    let rows: Vec<Row> = (0..64).map(row).collect();
    rows.iter().for_each(|row| page.append(row.view()).unwrap());
    assert_eq!(read::<Row>(&shape, &[page.seal(&shape, true)]), rows);
}

#[test]
fn a_refused_row_takes_its_elements_with_it() {
    type Row = (Vec<i64>, String);
    let shape = Arc::new(Shape::new(&Row::schema()));
    let layout = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
    let row: Row = (vec![1, 2, 3], String::from("short"));
    let long: Row = (vec![4, 5], "x".repeat(5000));
    let many: Row = (vec![6; 4096], String::new());
    let mut page = PageBuilder::<Row, _>::new(Buffer::new(4096), &shape, &layout);
    assert_eq!(page.append(row.view()), Ok(()));
    assert_eq!(page.append(long.view()), Err(Full));
    assert_eq!(page.append(many.view()), Err(Full));
    assert_eq!(page.append(row.view()), Ok(()));
    let sealed = page.seal(&shape, true);
    assert_eq!(sealed.demand, Demand { heap_bytes: 0, elements: vec![0, 6] });
    assert_eq!(read::<Row>(&shape, &[sealed]), vec![row.clone(), row]);
}

#[test]
fn views_of_pages_and_of_owned_values_are_alike() {
    type Row = (Vec<i32>, BTreeMap<String, i64>, Vec<Place>);
    let places = vec![Place { city: String::from("Rome"), zone: None }];
    let map = BTreeMap::from([("a".into(), 1), ("b".into(), 2)]);
    let row: Row = (vec![3, 1, 2], map, places);
    let (shape, pages) = fill(core::slice::from_ref(&row), 4096);
    let page = ValidPage::validate(&pages[0].buffer[..pages[0].length], &shape).unwrap();
    let (numbers, map, places) = Row::at(&Row::bind(&page), 0);
    assert_eq!((numbers, map, places), row.view());
    assert_eq!(numbers.as_slice(), Some(&[3, 1, 2][..]));
    assert_eq!((numbers.len(), numbers.get(2), numbers.get(3)), (3, Some(2), None));
    assert_eq!(numbers.iter().rev().collect::<Vec<_>>(), [2, 1, 3]);
    assert_eq!((map.get("b"), map.get("c"), map.iter().len()), (Some(2), None, 2));
    assert_eq!(places.get(0), Some(PlaceView { city: "Rome", zone: None }));
    assert_ne!(row.0.view(), vec![3, 1].view());
}

#[test]
#[should_panic(expected = "within an element")]
fn an_element_is_begun_before_it_is_written() {
    let shape = Arc::new(Shape::new(&Vec::<i64>::schema()));
    let layout = Arc::new(Layout::fitted(&shape, 4096, 0).unwrap());
    let mut rows = RowBuilder::new(Buffer::new(4096), &shape, &layout);
    rows.begin_list(0);
    rows.begin_element(0).unwrap();
    rows.put_fixed(1, [1; 8]);
    rows.commit();
    rows.begin_list(0);
    rows.put_fixed(1, [2; 8]);
}
