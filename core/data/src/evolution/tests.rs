//! Snapshots and rules.

use alloc::{boxed::Box, format, string::String, string::ToString, vec, vec::Vec};
use proptest::{collection, prelude::*};

use super::*;
use crate::types::{DataType, Field, Schema};

mod rewriting;

fn data_type() -> impl Strategy<Value = DataType> {
    let leaf = prop_oneof![
        Just(DataType::Boolean),
        Just(DataType::Int8),
        Just(DataType::Int32),
        Just(DataType::Int64),
        Just(DataType::UInt16),
        Just(DataType::Float32),
        Just(DataType::Float64),
        (1u8..=38, 0u8..=38).prop_map(|(precision, scale)| DataType::Decimal {
            precision,
            scale: scale.min(precision)
        }),
        Just(DataType::Date),
        (0u8..=6).prop_map(|precision| DataType::Timestamp { precision }),
        Just(DataType::String),
        Just(DataType::Bytes),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let field = (inner.clone(), any::<bool>()).prop_map(|(data_type, nullable)| Field {
            name: "element".into(),
            data_type,
            nullable,
        });
        prop_oneof![
            field.clone().prop_map(|field| DataType::Array(Box::new(field))),
            (inner.clone(), field.clone()).prop_map(|(key, value)| {
                DataType::Map(Box::new(Field::new("key", key)), Box::new(value))
            }),
            collection::vec(field, 1..4).prop_map(|fields| DataType::Row(named(fields))),
        ]
    })
}

fn named(fields: Vec<Field>) -> Vec<Field> {
    let name = |(i, field): (usize, Field)| Field { name: format!("f{i}"), ..field };
    fields.into_iter().enumerate().map(name).collect()
}

fn schema() -> impl Strategy<Value = Schema> {
    collection::vec((data_type(), any::<bool>()), 1..6).prop_map(|types| {
        let field = |(data_type, nullable)| Field { name: String::new(), data_type, nullable };
        Schema::new(named(types.into_iter().map(field).collect()))
    })
}

proptest! {
    #[test]
    fn snapshots_round_trip_and_truncations_are_refused(schema in schema()) {
        for snapshot in [Snapshot::value(schema.clone()), Snapshot::key(schema.clone())] {
            let bytes = snapshot.encode();
            prop_assert_eq!(Snapshot::decode(&bytes), Ok(snapshot.clone()));
            for end in 0..bytes.len() {
                prop_assert!(Snapshot::decode(&bytes[..end]).is_err());
            }
        }
    }

    #[test]
    fn a_changed_byte_is_noticed(schema in schema(), at in any::<prop::sample::Index>(), to: u8) {
        let snapshot = Snapshot::value(schema);
        let mut bytes = snapshot.encode();
        let at = at.index(bytes.len());
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        // The role has no sum of its own; everything else has.
        prop_assert!(Snapshot::decode(&bytes).is_err() || at == 5);
    }

    #[test]
    fn any_bytes_are_a_snapshot_or_an_error(bytes in collection::vec(any::<u8>(), 0..60)) {
        let mut whole = b"MSSS\x01\x01".to_vec();
        whole.extend(bytes);
        let _ = Snapshot::decode(&whole);
    }
}

#[test]
fn types_become_those_that_hold_all_their_values() {
    use DataType::*;
    let decimal = |precision, scale| Decimal { precision, scale };
    let list = |element| Array(Box::new(Field::new("element", element)));
    for (old, new, allowed) in [
        (Int8, Int64, true),
        (Int64, Int32, false),
        (Int32, UInt64, false),
        (UInt32, Int32, false),
        (UInt32, Int64, true),
        (UInt8, UInt16, true),
        (Int32, Float64, true),
        (Int32, Float32, false),
        (Int16, Float32, true),
        (Int64, Float64, false),
        (Float32, Float64, true),
        (Float64, Float32, false),
        (Float32, decimal(38, 10), false),
        (Int32, decimal(10, 0), true),
        (Int32, decimal(11, 2), false),
        (UInt64, decimal(20, 0), true),
        (UInt64, decimal(19, 0), false),
        (decimal(10, 2), decimal(12, 4), true),
        (decimal(10, 2), decimal(11, 4), false),
        (decimal(10, 2), decimal(10, 1), false),
        (decimal(10, 0), Int64, false),
        (Timestamp { precision: 3 }, Timestamp { precision: 6 }, true),
        (Timestamp { precision: 6 }, Timestamp { precision: 3 }, false),
        (Timestamp { precision: 3 }, TimestampLtz { precision: 3 }, false),
        (Date, Int32, false),
        (Boolean, Int8, false),
        (String, Bytes, true),
        (Bytes, String, false),
        (list(Int32), list(Int64), true),
        (list(Int64), list(Int32), false),
        (Int32, list(Int32), false),
    ] {
        let schema = |data_type: &DataType| {
            Snapshot::value(Schema::new(vec![Field::new("x", data_type.clone())]))
        };
        let answer = compatibility(&schema(&old), &schema(&new));
        let found = matches!(answer, Compatibility::AfterMigration(_));
        assert_eq!(found, allowed, "{old} to {new}: {answer:?}");
    }
}

#[test]
fn what_cannot_be_read_is_shown_side_by_side() {
    let old = Schema::new(vec![
        Field::new("id", DataType::Int64),
        Field::new("note", DataType::String).nullable(),
        Field::new("gone", DataType::Boolean),
    ]);
    let new = Schema::new(vec![
        Field::new("note", DataType::String),
        Field::new("added", DataType::Date),
        Field::new("id", DataType::Int32),
    ]);
    let answer = compatibility(&Snapshot::value(old.clone()), &Snapshot::value(new));
    let Compatibility::Incompatible(error) = answer else { panic!("{answer:?}") };
    let expected = "\
rows of the old schema cannot be read with the new one
  `note`: it may be NULL in old rows: make it nullable
  `added`: old rows do not have it: make it nullable, or give a default
  `id`: BIGINT cannot become INT without loss
  old                    | new
! note STRING            | note STRING NOT NULL
! -                      | added DATE NOT NULL
! id BIGINT NOT NULL     | id INT NOT NULL
  gone BOOLEAN NOT NULL  | -";
    assert_eq!(error.to_string(), expected);
    let same = compatibility(&Snapshot::value(old.clone()), &Snapshot::value(old));
    assert!(matches!(same, Compatibility::AsIs));
}

#[test]
fn keys_never_change_and_defaults_are_of_their_type() {
    let key = |data_type| Snapshot::key(Schema::new(vec![Field::new("k", data_type)]));
    let answer = compatibility(&key(DataType::Int32), &key(DataType::Int64));
    assert!(matches!(&answer, Compatibility::Incompatible(e) if e.to_string().contains("key")));
    assert!(matches!(
        compatibility(&key(DataType::Int32), &key(DataType::Int32)),
        Compatibility::AsIs
    ));
    let value = Snapshot::value(key(DataType::Int32).schema);
    assert!(matches!(compatibility(&key(DataType::Int32), &value), Compatibility::Incompatible(_)));
    let more = Snapshot::value(Schema::new(vec![
        Field::new("k", DataType::Int32),
        Field::new("small", DataType::UInt8),
    ]));
    let with = |literal| {
        let defaults = Defaults::none().with("small", literal);
        matches!(compatibility_with(&value, &more, &defaults), Compatibility::AfterMigration(_))
    };
    assert!(with(Literal::Integer(255)) && with(Literal::Zero));
    assert!(!with(Literal::Integer(256)) && !with(Literal::Text("7".into())));
}

#[test]
fn the_bytes_never_change() {
    // Stored in checkpoints: a change here breaks them.
    let snapshot = Snapshot::value(Schema::new(vec![
        Field::new("a", DataType::Decimal { precision: 10, scale: 2 }).nullable(),
    ]));
    let mut expected = b"MSSS\x01\x01\x01\0\0\0\x01\0\0\0a\x01\x0C\x0A\x02".to_vec();
    expected.extend(snapshot.schema.fingerprint().to_le_bytes());
    assert_eq!(snapshot.encode(), expected);
    let mut other = expected;
    other[4] = 2;
    let error = Snapshot::decode(&other).unwrap_err();
    assert_eq!(error, SnapshotError::Version { found: 2 });
}
