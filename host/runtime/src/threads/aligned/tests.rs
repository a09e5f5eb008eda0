//! Members of a group, on a clock of the test's own.

use super::*;

fn alignment(max_drift: i64, update_interval: u64) -> SourceAlignment {
    SourceAlignment { group: "g".into(), max_drift, update_interval }
}

fn member(groups: &Groups, index: u32, max_drift: i64) -> (Member, Arc<TaskMetrics>) {
    let source = Subtask { node: 0, index };
    let member = groups.add(source, &alignment(max_drift, 100));
    let metrics = Arc::default();
    groups.reads(source, &metrics);
    (member, metrics)
}

#[test]
fn who_is_ahead_waits_for_the_next_look() {
    let groups = Groups::default();
    let ((slow, slow_time), (fast, fast_time)) = (member(&groups, 0, 10), member(&groups, 1, 10));
    slow_time.told(Some(100), None);
    fast_time.told(Some(110), None);
    assert_eq!((slow.waits_at(0), fast.waits_at(0)), (None, None));
    fast_time.told(Some(111), None);
    assert_eq!(fast.waits_at(20), Some(Duration::from_millis(80)), "until it is looked at again");
    slow_time.told(Some(101), None);
    assert!(fast.waits_at(99).is_some(), "nobody has looked");
    assert_eq!(fast.waits_at(100), None);
    assert_eq!(slow.waits_at(150), None);
}

#[test]
fn who_is_idle_or_has_ended_holds_nobody_back() {
    let groups = Groups::default();
    let ((slow, slow_time), (fast, fast_time)) = (member(&groups, 0, 0), member(&groups, 1, 0));
    fast_time.told(Some(500), None);
    assert!(fast.waits_at(0).is_some(), "the other has no watermark yet");
    slow_time.told(None, Some(true));
    assert_eq!(fast.waits_at(100), None);
    slow_time.told(Some(3), Some(false));
    assert!(fast.waits_at(200).is_some());
    drop(slow);
    assert_eq!(fast.waits_at(300), None);
}

#[test]
fn other_processes_and_other_drifts_count() {
    let groups = Groups::default();
    let ((near, near_time), (far, far_time)) = (member(&groups, 0, 10), member(&groups, 1, 1000));
    let times = [&near_time, &far_time];
    times.iter().for_each(|time| time.told(Some(600), None));
    assert_eq!((near.waits_at(0), far.waits_at(0)), (None, None));
    assert_eq!(groups.report(), [("g".to_string(), Some(600))]);
    groups.elsewhere("g", Some(100));
    assert!(near.waits_at(100).is_some() && far.waits_at(100).is_none());
    groups.elsewhere("g", None);
    assert_eq!(near.waits_at(200), None);
}
