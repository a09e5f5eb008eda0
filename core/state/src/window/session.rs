//! Windows of one key that merge: sessions.

use alloc::vec::Vec;

use super::Window;

/// The windows of one key that have merged so far, each with the window under which its state is kept:
/// Flink's `MergingWindowSet`. State stays where it is while the window around it grows; only when two
/// windows with state become one is the state of the others merged into that of the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    /// Windows and where their state is, by begin. They neither overlap nor touch.
    windows: Vec<(Window, Window)>,
}

/// What became of a window that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The window that it is part of now.
    pub window: Window,
    /// The window under which its state is kept.
    pub state: Window,
    /// Windows that are no more: whose timers have to go. Not the one that was added, if it is new.
    pub gone: Vec<Window>,
    /// Where state is kept that has to be merged into [`state`](Self::state).
    pub states: Vec<Window>,
}

impl Sessions {
    /// Sessions without a window.
    pub fn new() -> Self {
        Self::default()
    }

    /// Windows with the windows under which their state is kept, by begin: what is kept of them.
    pub fn windows(&self) -> &[(Window, Window)] {
        &self.windows
    }

    /// Sessions that were kept; `None` if they are none: not in order, or touching.
    pub fn restore(windows: Vec<(Window, Window)>) -> Option<Self> {
        let apart = |pair: &[(Window, Window)]| pair[0].0.end < pair[1].0.start;
        let whole = windows.iter().all(|(window, _)| window.start <= window.end);
        (whole && windows.windows(2).all(apart)).then_some(Self { windows })
    }

    /// Adds the window of a row, and merges those that touch.
    pub fn add(&mut self, window: Window) -> Merged {
        let first = self.windows.partition_point(|(known, _)| known.end < window.start);
        let count = self.windows[first..].partition_point(|(known, _)| known.start <= window.end);
        let touched = first..first + count;
        let Some((_, state)) = self.windows[touched.clone()].first().copied() else {
            self.windows.insert(first, (window, window));
            return Merged { window, state: window, gone: Vec::new(), states: Vec::new() };
        };
        let known = &self.windows[touched.clone()];
        let cover = known.iter().fold(window, |cover, (known, _)| cover.cover(known));
        let gone = known.iter().map(|(known, _)| *known).filter(|known| *known != cover);
        let merged = Merged {
            window: cover,
            state,
            gone: gone.collect(),
            states: known.iter().skip(1).map(|(_, state)| *state).collect(),
        };
        self.windows.splice(touched, [(cover, state)]);
        merged
    }

    /// Forgets a window; gives where its state is kept.
    pub fn remove(&mut self, window: &Window) -> Option<Window> {
        let at = self.windows.iter().position(|(known, _)| known == window)?;
        Some(self.windows.remove(at).1)
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, vec};

    use proptest::prelude::*;

    use super::*;

    fn window(start: i64, end: i64) -> Window {
        Window { start, end }
    }

    #[test]
    fn windows_that_touch_become_one_and_state_stays_where_it_was() {
        let mut sessions = Sessions::new();
        let first = sessions.add(window(0, 10));
        assert_eq!((first.window, first.state), (window(0, 10), window(0, 10)));
        sessions.add(window(20, 30));
        assert_eq!(sessions.windows().len(), 2);
        // Touching windows merge, too.
        let grown = sessions.add(window(10, 15));
        assert_eq!((grown.window, grown.state), (window(0, 15), window(0, 10)));
        assert_eq!((grown.gone, grown.states), (vec![window(0, 10)], vec![]));
        let bridge = sessions.add(window(15, 25));
        assert_eq!((bridge.window, bridge.state), (window(0, 30), window(0, 10)));
        assert_eq!(bridge.gone, [window(0, 15), window(20, 30)]);
        assert_eq!(bridge.states, [window(20, 30)]);
        // Within: nothing changes.
        let within = sessions.add(window(3, 7));
        assert_eq!((within.window, within.gone), (window(0, 30), vec![]));
        assert_eq!(sessions.remove(&window(0, 30)), Some(window(0, 10)));
        assert_eq!(sessions.remove(&window(0, 30)), None);
    }

    #[test]
    fn only_windows_apart_are_restored() {
        let entry = |start, end| (window(start, end), window(start, end));
        assert!(Sessions::restore(vec![entry(0, 5), entry(6, 9)]).is_some());
        assert!(Sessions::restore(vec![entry(0, 6), entry(6, 9)]).is_none());
        assert!(Sessions::restore(vec![entry(7, 9), entry(0, 5)]).is_none());
        assert!(Sessions::restore(vec![entry(5, 0)]).is_none());
    }

    proptest! {
        /// Whatever order rows come in, sessions are those of the sorted times, and the count that is
        /// kept in state is that of the rows in the session.
        #[test]
        fn sessions_do_not_depend_on_order(
            times in proptest::collection::vec(0i64..200, 1..40),
            gap in 1i64..15,
        ) {
            let mut sessions = Sessions::new();
            let mut counts: BTreeMap<Window, usize> = BTreeMap::new();
            for time in &times {
                let merged = sessions.add(window(*time, *time + gap));
                let others: usize =
                    merged.states.iter().map(|state| counts.remove(state).unwrap()).sum();
                *counts.entry(merged.state).or_default() += others + 1;
            }
            let found: Vec<_> = sessions
                .windows()
                .iter()
                .map(|(window, state)| (*window, counts[state]))
                .collect();
            let mut sorted = times.clone();
            sorted.sort_unstable();
            let mut expected: Vec<(Window, usize)> = Vec::new();
            for time in sorted {
                match expected.last_mut() {
                    Some((last, count)) if time <= last.end => {
                        last.end = time + gap;
                        *count += 1;
                    }
                    _ => expected.push((window(time, time + gap), 1)),
                }
            }
            prop_assert_eq!(found, expected);
            prop_assert_eq!(counts.len(), sessions.windows().len());
            let kept = sessions.windows().to_vec();
            prop_assert_eq!(Sessions::restore(kept), Some(sessions));
        }
    }
}
