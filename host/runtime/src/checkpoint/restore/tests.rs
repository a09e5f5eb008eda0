use std::fs;

use millstream_checkpoint::manifest::{Kind, Purpose, State, Subtask};

use super::*;

#[test]
fn another_number_of_key_groups_is_refused() {
    let directory = std::env::temp_dir().join(format!("millstream-groups-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let store = Arc::new(Storage::open(&directory, "job").unwrap());
    let state = State { kind: Kind::Operator, place: Place::Inline([1].into()) };
    let operator = |id: &str, states| Operator {
        id: id.into(),
        max_parallelism: 128,
        subtasks: vec![Subtask { finished: false, states }],
    };
    let manifest = Manifest {
        checkpoint: 7,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "job".into(),
        graph_hash: StreamGraph::default().fingerprint(),
        files: Vec::new(),
        operators: vec![operator("counts", vec![state]), operator("maps", Vec::new())],
    };
    let restore = Restore::new(store, manifest, &StreamGraph::default()).unwrap();
    assert_eq!(restore.check_key_groups("counts", 128), Ok(()));
    assert_eq!(restore.check_key_groups("maps", 256), Ok(()), "there is nothing to divide");
    let refused = restore.check_key_groups("counts", 256).unwrap_err().to_string();
    assert!(refused.contains("128 key groups") && refused.contains("256"), "{refused}");
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn splits_that_are_left_stay_in_order() {
    let directory = std::env::temp_dir().join(format!("millstream-splits-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let store = Arc::new(Storage::open(&directory, "job").unwrap());
    let operator = |id: &str, states: Vec<Vec<u8>>| Operator {
        id: id.into(),
        max_parallelism: 128,
        subtasks: states
            .into_iter()
            .map(|bytes| {
                let place = Place::Inline(bytes.into());
                let states = vec![State { kind: Kind::Source, place }];
                Subtask { finished: false, states }
            })
            .collect(),
    };
    let position = |taken: &[u32], current: Option<(u32, &str)>| {
        let current =
            current.map(|(number, bytes)| Split { number, bytes: bytes.as_bytes().to_vec() });
        serde_json::to_vec(&Position { taken: taken.to_vec(), current }).unwrap()
    };
    let all = ["a", "b", "c", "d", "e"].map(|split| split.as_bytes().to_vec());
    let positions = vec![position(&[0, 3], Some((3, "rest of d"))), position(&[1], None)];
    let manifest = Manifest {
        checkpoint: 1,
        timestamp_ms: 0,
        purpose: Purpose::Checkpoint,
        job: "job".into(),
        graph_hash: StreamGraph::default().fingerprint(),
        files: Vec::new(),
        operators: vec![
            operator("rows", positions),
            operator(&split_list("rows"), vec![encode_splits(&all)]),
        ],
    };
    let restore = Restore::new(store, manifest, &StreamGraph::default()).unwrap();
    let left = restore.splits("rows").unwrap();
    let left: Vec<_> = left.iter().map(|split| str::from_utf8(split).unwrap()).collect();
    assert_eq!(left, ["c", "rest of d", "e"]);
    fs::remove_dir_all(directory).unwrap();
}

#[test]
fn splits_round_trip_and_damage_is_seen() {
    let splits = vec![b"one".to_vec(), Vec::new(), b"three".to_vec()];
    let bytes = encode_splits(&splits);
    assert_eq!(decode_splits(&bytes), Some(splits));
    assert_eq!(decode_splits(&bytes[..bytes.len() - 1]), None);
}
