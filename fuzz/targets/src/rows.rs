//! Pages, and the schemas that stand beside stored rows.

use std::{collections::BTreeMap, sync::Arc};

use millstream_data::{
    Decimal, Record, Value,
    evolution::{Compatibility, Snapshot, compatibility},
    page::{Layout, RowBuilder, Shape, ValidPage},
};

use crate::inputs;

/// A row with every kind of column.
#[derive(Clone, Debug, PartialEq, Record)]
pub(crate) struct Everything {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) note: Option<String>,
    pub(crate) delay: Option<i32>,
    pub(crate) price: Decimal<10, 2>,
    pub(crate) open: bool,
    pub(crate) nested: Option<(i16, String)>,
    pub(crate) numbers: Option<Vec<Option<i32>>>,
    pub(crate) tags: BTreeMap<String, Vec<(bool, String)>>,
}

type Tags = Vec<(Option<bool>, String)>;

/// The same, as a later program has it.
#[derive(Clone, Debug, PartialEq, Record)]
struct Later {
    tags: Option<BTreeMap<String, Tags>>,
    numbers: Option<Vec<Option<f64>>>,
    nested: Option<(i64, String)>,
    added: Option<Vec<String>>,
    open: bool,
    price: Decimal<20, 4>,
    name: Option<String>,
    id: Decimal<38, 0>,
}

/// A page that is valid can be read, every cell of it.
pub fn page(data: &[u8]) {
    with_valid::<Everything>(data, |page| {
        let columns = Everything::bind(page);
        for row in 0..page.rows() {
            let read = Everything::own(Everything::at(&columns, row));
            assert!(read.name.len() <= data.len());
        }
    });
}

/// Rows of a page that is valid become rows of another schema, or find no room.
pub fn migration(data: &[u8]) {
    let snapshot = |schema| Snapshot::value(schema);
    let answer = compatibility(&snapshot(Everything::schema()), &snapshot(Later::schema()));
    let Compatibility::AfterMigration(plan) = answer else { panic!("{answer:?}") };
    with_valid::<Everything>(data, |page| {
        let shape = Arc::new(Shape::new(&Later::schema()));
        let layout = Arc::new(Layout::fitted(&shape, 16384, 100).expect("it fits"));
        let mut words = vec![0u128; 16384 / 16];
        inputs::with_bytes_mut(&mut words, |bytes| {
            let mut rows = RowBuilder::new(bytes, &shape, &layout);
            let migration = plan.open(page).expect("the schema that the plan begins with");
            let written =
                (0..page.rows()).take_while(|row| migration.write(*row, &mut rows).is_ok());
            let written = written.count();
            let sealed = rows.seal(true);
            let after = ValidPage::validate(&sealed.buffer[..sealed.length], &shape);
            let after = after.expect("what was rewritten is valid");
            assert_eq!(after.rows(), written);
            let (before, columns) = (Everything::bind(page), Later::bind(&after));
            for row in 0..written {
                let (old, new) = (Everything::at(&before, row), Later::at(&columns, row));
                assert_eq!((new.name, new.open), (Some(old.name), old.open));
                assert_eq!(new.numbers.map(|n| n.len()), old.numbers.map(|n| n.len()));
            }
        });
    });
}

/// Bytes are no snapshot, or a snapshot whose bytes they are.
pub fn snapshot(data: &[u8]) {
    let Ok(snapshot) = Snapshot::decode(data) else { return };
    assert_eq!(snapshot.encode(), data);
    assert!(matches!(compatibility(&snapshot, &snapshot), Compatibility::AsIs));
    let other = Snapshot::value(Everything::schema());
    if let Compatibility::Incompatible(error) = compatibility(&snapshot, &other) {
        assert!(!error.to_string().is_empty());
    }
}

/// Validates the bytes as a page of `T`, at the start of a segment, aligned.
fn with_valid<T: Record>(data: &[u8], read: impl FnOnce(&ValidPage<'_>)) {
    let mut words = vec![0u128; data.len().div_ceil(16)];
    for (word, chunk) in words.iter_mut().zip(data.chunks(16)) {
        let mut padded = [0; 16];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u128::from_ne_bytes(padded);
    }
    inputs::with_bytes(&words, data.len(), |bytes| {
        if let Ok(page) = ValidPage::validate(bytes, &Shape::new(&T::schema())) {
            read(&page);
        }
    });
}
