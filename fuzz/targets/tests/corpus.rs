//! Inputs that are well-formed, or failed once, and a few mutations of them.

use std::time::Duration;

use millstream_fuzz::{TARGETS, Target, mutate};

#[test]
fn every_input_passes() {
    for target in TARGETS {
        let inputs = mutate::inputs(target).expect("the corpus");
        let report = mutate::run(target, &inputs, 7, Duration::from_millis(300));
        assert!(report.failed.is_none(), "{}: {:?}", target.name, report.failed);
        assert!(report.tried > inputs.len() as u64);
    }
}

#[test]
fn a_target_that_is_wrong_is_found() {
    let wrong = Target {
        name: "wrong",
        run: |data| assert!(!data.contains(&0xFF), "255 is a byte, too"),
        inputs: || vec![vec![0; 8]],
    };
    let report = mutate::run(&wrong, &(wrong.inputs)(), 7, Duration::from_secs(10));
    assert!(report.failed.is_some());
}
