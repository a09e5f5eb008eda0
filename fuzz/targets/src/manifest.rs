//! Manifests of checkpoints.

use millstream_checkpoint::{
    Manifest,
    manifest::{File, GroupRange, Handle, Kind, Operator, Place, Purpose, State, Subtask},
};
use millstream_data::hash;

/// Bytes of a manifest in front of its checksum, and in front of its body.
const SUMMED: usize = 8;
const HEADER: usize = 16;

/// Bytes are no manifest, or one whose bytes they are. Checksums are mended, or nothing behind them
/// would ever be reached.
pub fn manifest(data: &[u8]) {
    read(data);
    let mut bytes = data.to_vec();
    if bytes.len() >= HEADER {
        let header = hash::bytes(hash::SEED, &bytes[..SUMMED]);
        let sum = hash::bytes(header, &bytes[HEADER..]);
        bytes[SUMMED..HEADER].copy_from_slice(&sum.to_le_bytes());
        read(&bytes);
    }
}

fn read(bytes: &[u8]) {
    match Manifest::decode(bytes) {
        Ok(manifest) => {
            assert_eq!(manifest.encode(), bytes, "a manifest has one form");
            for state in states(&manifest) {
                let Place::File(handle) = &state.place else { continue };
                let file = manifest.file(&handle.file).expect("it is listed");
                assert!(handle.offset + handle.length <= file.length);
            }
            let _ = manifest.state_bytes();
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
}

fn states(manifest: &Manifest) -> impl Iterator<Item = &State> {
    let subtasks = manifest.operators.iter().flat_map(|operator| &operator.subtasks);
    subtasks.flat_map(|subtask| &subtask.states)
}

/// Manifests with nothing, and with some of everything.
pub(crate) fn manifests() -> Vec<Vec<u8>> {
    let file = |name: &str, length| File { name: name.into(), length, checksum: 7 };
    let ranges = (0..5).map(|n| GroupRange { group: 3 * n, offset: u64::from(n) * 10, length: 10 });
    let handle = Handle { file: "count-0".into(), offset: 8, length: 50 };
    let keyed = State { kind: Kind::Keyed(ranges.collect()), place: Place::File(handle) };
    let inline = |kind| State { kind, place: Place::Inline(vec![1, 2, 3].into()) };
    let subtask = |states| Subtask { finished: false, states };
    let operator = |id: &str, subtasks| Operator { id: id.into(), max_parallelism: 128, subtasks };
    let finished = Subtask { finished: true, states: Vec::new() };
    let manifest = Manifest {
        checkpoint: 7,
        timestamp_ms: 1_700_000_000_000,
        purpose: Purpose::Checkpoint,
        job: "flights".into(),
        graph_hash: 11,
        files: Vec::new(),
        operators: Vec::new(),
    };
    let full = Manifest {
        purpose: Purpose::Savepoint,
        files: vec![file("count-0", 58), file("count-1", 0)],
        operators: vec![
            operator("count", vec![subtask(vec![keyed, inline(Kind::Operator)]), finished]),
            operator("read", vec![subtask(vec![inline(Kind::Source), inline(Kind::Sink)])]),
        ],
        ..manifest.clone()
    };
    vec![manifest.encode(), full.encode()]
}
