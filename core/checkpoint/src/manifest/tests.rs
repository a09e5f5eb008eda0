use std::{format, string::ToString, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::Permit;

fn manifest() -> Manifest {
    let handle = |offset, length| Handle { file: "count-0".into(), offset, length };
    let ranges = vec![
        GroupRange { group: 3, offset: 0, length: 10 },
        GroupRange { group: 5, offset: 10, length: 0 },
        GroupRange { group: 127, offset: 20, length: 5 },
    ];
    let subtask = |states| Subtask { finished: false, states };
    let file = |kind| State { kind, place: Place::File(handle(4, 25)) };
    let inline = |kind| State { kind, place: Place::Inline([1, 2, 3].into()) };
    let finished = Subtask { finished: true, states: vec![] };
    Manifest {
        checkpoint: 42,
        timestamp_ms: -7,
        purpose: Purpose::StopWithSavepoint,
        job: "flights".into(),
        graph_hash: 0x0123_4567_89AB_CDEF,
        files: vec![
            File { name: "count-0".into(), length: 29, checksum: 11 },
            File { name: "count-1".into(), length: 0, checksum: 12 },
        ],
        operators: vec![
            Operator {
                id: "count".into(),
                max_parallelism: 128,
                subtasks: vec![
                    subtask(vec![file(Kind::Keyed(ranges)), inline(Kind::Operator)]),
                    finished,
                ],
            },
            Operator {
                id: "read".into(),
                max_parallelism: 1,
                subtasks: vec![subtask(vec![inline(Kind::Source), inline(Kind::Sink)])],
            },
        ],
    }
}

/// The same bytes with the checksum of what is in them.
fn mended(mut bytes: Vec<u8>) -> Vec<u8> {
    let header = millstream_data::hash::bytes(millstream_data::hash::SEED, &bytes[..8]);
    let sum = millstream_data::hash::bytes(header, &bytes[16..]);
    bytes[8..16].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn what_is_written_is_read() {
    let manifest = manifest();
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes).as_ref(), Ok(&manifest));
    let (restored, permit) = Permit::restored(&bytes).unwrap();
    assert_eq!((&restored, permit.checkpoint()), (&manifest, 42));
    assert_eq!(manifest.state_bytes(), 25 + 3 * 3);
    assert_eq!(manifest.operator("count").map(Operator::parallelism), Some(2));
    assert_eq!(manifest.file("count-1").map(|file| file.checksum), Some(12));
}

#[test]
fn the_order_in_which_it_was_put_together_does_not_matter() {
    let mut other = manifest();
    other.operators.reverse();
    other.files.reverse();
    assert_eq!(other.encode(), manifest().encode());
}

#[test]
fn the_format_never_changes() {
    let manifest = Manifest {
        checkpoint: 1,
        timestamp_ms: 2,
        purpose: Purpose::Checkpoint,
        job: "j".into(),
        graph_hash: 3,
        files: vec![File { name: "f".into(), length: 4, checksum: 5 }],
        operators: vec![Operator {
            id: "o".into(),
            max_parallelism: 6,
            subtasks: vec![Subtask {
                finished: false,
                states: vec![State {
                    kind: Kind::Keyed(vec![GroupRange { group: 5, offset: 1, length: 2 }]),
                    place: Place::File(Handle { file: "f".into(), offset: 1, length: 3 }),
                }],
            }],
        }],
    };
    let bytes = manifest.encode();
    assert_eq!(bytes[..8], *b"MSCP\x01\x00\x01\x00");
    let mut body = vec![1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'j'];
    body.extend([3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'f']);
    body.extend([4, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'o']);
    body.extend([6, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0]);
    body.extend([1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
    body.extend([1, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[16..], body);
}

#[test]
fn each_damaged_byte_and_each_cut_is_found() {
    let good = manifest().encode();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        assert!(Manifest::decode(&bad).is_err(), "byte {at}");
        assert!(Manifest::decode(&good[..at]).is_err(), "cut at {at}");
        if at >= 16 {
            assert!(Manifest::decode(&mended(good[..at].to_vec())).is_err(), "mended cut at {at}");
        }
    }
    let mut longer = good;
    longer.push(0);
    let error = Manifest::decode(&mended(longer)).unwrap_err();
    assert_eq!(error.what, "there are bytes behind the last operator");
}

#[test]
fn refusals_name_the_place() {
    let refused = |change: fn(&mut Manifest)| {
        let mut manifest = manifest();
        change(&mut manifest);
        Manifest::decode(&manifest.encode()).unwrap_err()
    };
    fn keyed(manifest: &mut Manifest) -> &mut Vec<GroupRange> {
        match &mut manifest.operators[0].subtasks[0].states[0].kind {
            Kind::Keyed(ranges) => ranges,
            _ => panic!(),
        }
    }
    let overlap = "key groups are not in order, or overlap, or there is no such one";
    let order = "operators are not in order, or one comes twice";
    let behind = "a state ends behind its file";
    let parallelism = "an operator cannot have such a parallelism";
    type Change = fn(&mut Manifest);
    let changes: [(&str, Change); 11] = [
        (order, |m| m.operators[1].id = "count".into()),
        ("an operator has no id", |m| m.operators[1].id.clear()),
        (parallelism, |m| m.operators[1].subtasks.clear()),
        (parallelism, |m| m.operators[0].max_parallelism = 1),
        ("files are not in order, or one comes twice", |m| m.files[1].name = "count-0".into()),
        ("no file of a checkpoint has such a name", |m| m.files[1].name = "../x".into()),
        ("a state is in a file that is not listed", |m| m.files[0].name = "other".into()),
        (behind, |m| m.files[0].length = 28),
        (overlap, |m| keyed(m)[2].group = 128),
        (overlap, |m| keyed(m)[2].offset = 9),
        ("a key group ends behind its state", |m| keyed(m)[2].length = 6),
    ];
    for (what, change) in changes {
        assert_eq!(refused(change).what, what);
    }
    let error = Manifest::decode(b"MSKG0000").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the manifest is damaged at byte 0: no manifest begins like this; restore an older checkpoint"
    );
    // The place of a value behind the header is its own.
    let mut bytes = manifest().encode();
    bytes[16 + 16] = 9;
    let error = Manifest::decode(&mended(bytes)).unwrap_err();
    assert_eq!((error.offset, error.what), (32, "there is no such purpose of a checkpoint"));
}

#[test]
fn names_of_files_stay_in_their_directory() {
    for good in ["a", "0-1.state", "Z_", &"x".repeat(FILE_NAME_MAX)] {
        assert!(is_file_name(good), "{good}");
    }
    for bad in ["", ".", "..", ".a", "_metadata", "-x", "a/b", "a\\b", "ä", "a b", "a\0"] {
        assert!(!is_file_name(bad), "{bad}");
    }
    assert!(!is_file_name(&"x".repeat(FILE_NAME_MAX + 1)));
}

fn any_place(files: Vec<File>) -> impl Strategy<Value = Place> {
    let inline = prop::collection::vec(any::<u8>(), 0..20).prop_map(|b| Place::Inline(b.into()));
    let in_file = (any::<prop::sample::Index>(), any::<u64>(), any::<u64>());
    let in_file = in_file.prop_map(move |(file, offset, length)| {
        let Some(file) = (!files.is_empty()).then(|| file.get(&files)) else {
            return Place::Inline([].into());
        };
        let offset = offset % (file.length + 1);
        let length = length % (file.length - offset + 1);
        Place::File(Handle { file: file.name.clone(), offset, length })
    });
    prop_oneof![inline, in_file]
}

fn any_state(groups: u32, files: Vec<File>) -> impl Strategy<Value = State> {
    let cuts = prop::collection::btree_map(0..groups, any::<(u64, u64)>(), 0..4);
    (0..4u8, any_place(files), cuts).prop_map(|(kind, place, cuts)| {
        let mut free = 0;
        let ranges = cuts.into_iter().map(|(group, (gap, length))| {
            let offset = free + gap % (place.length() - free + 1);
            let length = length % (place.length() - offset + 1);
            free = offset + length;
            GroupRange { group, offset, length }
        });
        let kind = match kind {
            0 => Kind::Keyed(ranges.collect()),
            1 => Kind::Operator,
            2 => Kind::Source,
            3 => Kind::InFlight,
            _ => Kind::Sink,
        };
        State { kind, place }
    })
}

fn any_operator(files: Vec<File>) -> impl Strategy<Value = (u32, Vec<Subtask>)> {
    (1..300u32).prop_flat_map(move |groups| {
        let states = prop::collection::vec(any_state(groups, files.clone()), 0..3);
        let subtask =
            (any::<bool>(), states).prop_map(|(finished, states)| Subtask { finished, states });
        let subtasks = prop::collection::vec(subtask, 1..=groups.min(4) as usize);
        (Just(groups), subtasks)
    })
}

fn any_manifest() -> impl Strategy<Value = Manifest> {
    let files = prop::collection::btree_map("[a-zA-Z0-9][a-z._-]{0,5}", any::<(u64, u64)>(), 0..4);
    let files = files.prop_map(|files| {
        let file = |(name, (length, checksum))| File { name, length: length / 2, checksum };
        files.into_iter().map(file).collect::<Vec<_>>()
    });
    let purpose = prop_oneof![
        Just(Purpose::Checkpoint),
        Just(Purpose::Savepoint),
        Just(Purpose::StopWithSavepoint)
    ];
    let head = (any::<u64>(), any::<i64>(), purpose, ".{0,5}", any::<u64>());
    (head, files).prop_flat_map(|(head, files)| {
        let operators = prop::collection::btree_map(".{1,5}", any_operator(files.clone()), 0..4);
        operators.prop_map(move |operators| {
            let (checkpoint, timestamp_ms, purpose, job, graph_hash) = head.clone();
            let operator =
                |(id, (max_parallelism, subtasks))| Operator { id, max_parallelism, subtasks };
            let operators = operators.into_iter().map(operator).collect();
            let files = files.clone();
            Manifest { checkpoint, timestamp_ms, purpose, job, graph_hash, files, operators }
        })
    })
}

proptest! {
    #[test]
    fn decode_inverts_encode(manifest in any_manifest()) {
        let bytes = manifest.encode();
        prop_assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    }

    #[test]
    fn what_decodes_is_canonical(
        manifest in any_manifest(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut bytes = manifest.encode();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let bytes = mended(bytes);
        if let Ok(read) = Manifest::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes, "{}", format!("{read:?}"));
        }
    }
}
