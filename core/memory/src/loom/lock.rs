//! The spin lock: exclusion, and that one section sees the one before.

use loom::thread;

use crate::sync::{Arc, SpinLock};

#[test]
fn loom_lock_excludes() {
    loom::model(|| {
        let lock = Arc::new(SpinLock::new(0));
        let other = lock.clone();
        let thread = thread::spawn(move || other.with(|count| *count += 1));
        lock.with(|count| *count += 1);
        thread.join().unwrap();
        assert_eq!(lock.with(|count| *count), 2);
    });
}
