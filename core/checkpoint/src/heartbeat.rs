//! Failure detection: who says nothing for too long is taken for dead.
//!
//! A connection that breaks tells at once that the other end is gone. One that stays open tells nothing: a
//! process may be stopped, or its machine unreachable. So peers say something at short intervals, whatever it is,
//! and a [`Heartbeats`] says who did not for longer than the timeout.

use alloc::{vec, vec::Vec};

/// Who was heard of when. Times are milliseconds of one clock, which never goes back.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    timeout_ms: u64,
    /// By peer: when it was heard of last; `None` once it was taken for dead.
    heard: Vec<Option<u64>>,
}

/// A peer that was not heard of for too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// Which, by number.
    pub peer: usize,
    /// For how long, in milliseconds.
    pub for_ms: u64,
}

impl Heartbeats {
    /// Of so many peers, which were all heard of at `now`. A timeout of 0 counts as 1.
    pub fn new(peers: usize, timeout_ms: u64, now: u64) -> Self {
        Self { timeout_ms: timeout_ms.max(1), heard: vec![Some(now); peers] }
    }

    /// A peer has said something. One that was taken for dead stays so.
    pub fn heard(&mut self, peer: usize, now: u64) {
        if let Some(Some(heard)) = self.heard.get_mut(peer) {
            *heard = now.max(*heard);
        }
    }

    /// A peer that is to be taken for dead; call again until there is none. Each is told once.
    pub fn step(&mut self, now: u64) -> Option<Silence> {
        let timeout = self.timeout_ms;
        let silent = |heard: &Option<u64>| {
            heard.map(|heard| now.saturating_sub(heard)).filter(|silence| *silence >= timeout)
        };
        let (peer, for_ms) =
            self.heard.iter().enumerate().find_map(|(peer, heard)| Some((peer, silent(heard)?)))?;
        self.heard[peer] = None;
        Some(Silence { peer, for_ms })
    }

    /// When to call [`step`](Self::step) at the latest; `None` if nobody is left to wait for.
    pub fn next_deadline(&self) -> Option<u64> {
        self.heard.iter().flatten().min().map(|heard| heard.saturating_add(self.timeout_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_silent_for_the_timeout_is_told_once() {
        let mut beats = Heartbeats::new(3, 50, 100);
        assert_eq!((beats.step(149), beats.next_deadline()), (None, Some(150)));
        beats.heard(1, 120);
        assert_eq!(beats.step(150), Some(Silence { peer: 0, for_ms: 50 }));
        beats.heard(0, 151);
        assert_eq!(beats.step(160), Some(Silence { peer: 2, for_ms: 60 }));
        assert_eq!((beats.step(169), beats.next_deadline()), (None, Some(170)));
        beats.heard(1, 110);
        assert_eq!(beats.step(170), Some(Silence { peer: 1, for_ms: 50 }));
        assert_eq!((beats.step(1000), beats.next_deadline()), (None, None));
    }

    #[test]
    fn who_does_not_exist_is_not_waited_for() {
        let mut beats = Heartbeats::new(0, 0, 0);
        beats.heard(4, 1);
        assert_eq!((beats.step(u64::MAX), beats.next_deadline()), (None, None));
    }
}
