//! Snapshots as manifests, and back.

use millstream_checkpoint::{
    Manifest,
    coordinator::{Snapshot, TaskSnapshot},
    manifest::{Kind, Operator, Place, State, Subtask},
};

/// An operator for each task.
pub(super) fn manifest_of(snapshot: &Snapshot) -> Manifest {
    let operator = |(number, task): (usize, &TaskSnapshot)| {
        let state =
            |state: &[u8]| State { kind: Kind::Operator, place: Place::Inline(state.into()) };
        let subtask = match task {
            TaskSnapshot::State(bytes) => Subtask { finished: false, states: vec![state(bytes)] },
            TaskSnapshot::Finished => Subtask { finished: true, states: Vec::new() },
        };
        Operator { id: number.to_string(), max_parallelism: 128, subtasks: vec![subtask] }
    };
    Manifest {
        checkpoint: snapshot.barrier.checkpoint,
        timestamp_ms: snapshot.barrier.timestamp_ms,
        purpose: snapshot.barrier.purpose,
        job: "simulation".into(),
        graph_hash: 0,
        files: Vec::new(),
        operators: snapshot.tasks.iter().enumerate().map(operator).collect(),
    }
}

/// The part of a task.
pub(super) fn task_of(manifest: &Manifest, number: usize) -> TaskSnapshot {
    let operator = manifest.operator(&number.to_string()).expect("each task has one");
    let [subtask] = &*operator.subtasks else { panic!("one subtask") };
    match &*subtask.states {
        [] if subtask.finished => TaskSnapshot::Finished,
        [State { place: Place::Inline(bytes), .. }] => TaskSnapshot::State(bytes.clone()),
        other => panic!("{other:?}"),
    }
}
