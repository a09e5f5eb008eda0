//! Frozen segments: the last reader returns them, whoever it is, after all reads.

use loom::thread;

use super::{Witness, explore, network};

#[test]
fn loom_buffer_last_reader_returns_the_segment() {
    explore(3, || {
        let network = network(1);
        let witness = Witness::new(1);
        let pool = network.create_local(1, 1).unwrap();
        let segment = pool.request().unwrap();
        witness.write(segment.index(), 1);
        let buffer = segment.freeze(1);
        let reader = buffer.clone();
        let other = thread::spawn({
            let witness = witness.clone();
            move || assert_eq!(witness.read(reader.index()), 1)
        });
        assert_eq!(witness.read(buffer.index()), 1);
        drop(buffer);
        if let Some(segment) = pool.request() {
            // A race here would mean that the other one still reads.
            witness.write(segment.index(), 2);
        }
        other.join().unwrap();
        assert!(pool.request().is_some());
        assert_eq!(network.audit().free, Some(1));
    });
}

#[test]
fn loom_buffer_unfreezes_for_the_last_reader_only() {
    explore(3, || {
        let network = network(1);
        let witness = Witness::new(1);
        let pool = network.create_local(1, 1).unwrap();
        let buffer = pool.request().unwrap().freeze(1);
        let reader = buffer.clone();
        let other = thread::spawn({
            let witness = witness.clone();
            move || {
                witness.read(reader.index());
                drop(reader);
            }
        });
        match buffer.try_unfreeze() {
            Ok(segment) => witness.write(segment.index(), 2),
            Err(buffer) => assert_eq!(witness.read(buffer.index()), 0),
        }
        other.join().unwrap();
        assert_eq!(network.audit().free, Some(1));
    });
}
