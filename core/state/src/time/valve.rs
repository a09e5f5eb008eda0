//! The watermark of a task, out of those of its channels.

use alloc::{vec, vec::Vec};

use super::{WATERMARK_MAX, WATERMARK_MIN};

/// Takes the watermarks of channels together, as Flink's `StatusWatermarkValve` does: the least of
/// those that count. A channel that is idle does not count, nor one that comes back from idleness
/// behind what was already said, until it has caught up.
///
/// A channel that has ended does not count, either: Flink gives it the last watermark of all, which
/// then passes while the other channels are only idle, and makes their rows late when they return.
///
/// Outputs are given to a function, in order.
#[derive(Clone, Debug)]
pub struct Valve {
    channels: Vec<Channel>,
    /// What was said last.
    watermark: i64,
    idle: bool,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    watermark: i64,
    status: Status,
    /// It has not fallen behind what was said.
    aligned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Active,
    Idle,
    Ended,
}

/// What a [`Valve`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValveOutput {
    /// The task's watermark, larger than the one before.
    Watermark(i64),
    /// The task has no channel with rows.
    Idle,
    /// It has one again.
    Active,
}

impl Valve {
    /// A valve for so many channels, all of them active.
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: WATERMARK_MIN, status: Status::Active, aligned: true };
        Self { channels: vec![channel; channels], watermark: WATERMARK_MIN, idle: false }
    }

    /// The task's watermark.
    pub fn watermark(&self) -> i64 {
        self.watermark
    }

    /// Whether no channel has rows for now.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// A channel says that its rows are behind this time. Ignored from one that is idle or has ended,
    /// and if it is no step forward. A channel that there is not is ignored, too. The last watermark of
    /// all says that the channel [ends](Self::end).
    pub fn advance(&mut self, channel: usize, time: i64, out: &mut impl FnMut(ValveOutput)) {
        if time == WATERMARK_MAX {
            return self.end(channel, out);
        }
        let said = self.watermark;
        let Some(found) = self.channels.get_mut(channel) else { return };
        if found.status != Status::Active || time <= found.watermark {
            return;
        }
        found.watermark = time;
        found.aligned |= time >= said;
        self.say_least(out);
    }

    /// A channel has no rows for now.
    pub fn idle(&mut self, channel: usize, out: &mut impl FnMut(ValveOutput)) {
        self.leave(channel, Status::Idle, out);
    }

    /// A channel that was idle has rows again.
    pub fn active(&mut self, channel: usize, out: &mut impl FnMut(ValveOutput)) {
        let said = self.watermark;
        let Some(found) = self.channels.get_mut(channel) else { return };
        if found.status != Status::Idle {
            return;
        }
        found.status = Status::Active;
        found.aligned = found.watermark >= said;
        if core::mem::take(&mut self.idle) {
            out(ValveOutput::Active);
        }
    }

    /// A channel has ended. With the last one the watermark is [`WATERMARK_MAX`].
    pub fn end(&mut self, channel: usize, out: &mut impl FnMut(ValveOutput)) {
        self.leave(channel, Status::Ended, out);
    }

    /// A channel counts no longer.
    fn leave(&mut self, channel: usize, status: Status, out: &mut impl FnMut(ValveOutput)) {
        let Some(found) = self.channels.get_mut(channel) else { return };
        let before = found.status;
        if before == Status::Ended || before == status {
            return;
        }
        found.status = status;
        found.aligned = false;
        let held_back = before == Status::Active && found.watermark == self.watermark;
        let any = |status| self.channels.iter().any(|channel| channel.status == status);
        match (any(Status::Active), any(Status::Idle)) {
            (true, _) => {
                // It may have been the one that held the others back.
                if before == Status::Active {
                    self.say_least(out);
                }
            }
            (false, true) => {
                if held_back {
                    let largest = self.channels.iter().map(|channel| channel.watermark).max();
                    self.say(largest, out);
                }
                if !core::mem::replace(&mut self.idle, true) {
                    out(ValveOutput::Idle);
                }
            }
            (false, false) => {
                if core::mem::take(&mut self.idle) {
                    out(ValveOutput::Active);
                }
                self.say(Some(WATERMARK_MAX), out);
            }
        }
    }

    fn say_least(&mut self, out: &mut impl FnMut(ValveOutput)) {
        let aligned = self.channels.iter().filter(|channel| channel.aligned);
        self.say(aligned.map(|channel| channel.watermark).min(), out);
    }

    fn say(&mut self, watermark: Option<i64>, out: &mut impl FnMut(ValveOutput)) {
        if let Some(watermark) = watermark.filter(|watermark| *watermark > self.watermark) {
            self.watermark = watermark;
            out(ValveOutput::Watermark(watermark));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ValveOutput::*, *};

    /// Does something to a valve, and gives what it says.
    fn said(
        valve: &mut Valve,
        act: impl FnOnce(&mut Valve, &mut dyn FnMut(ValveOutput)),
    ) -> Vec<ValveOutput> {
        let mut all = Vec::new();
        act(valve, &mut |output| all.push(output));
        all
    }

    macro_rules! said {
        ($valve:ident.$call:ident($($argument:expr),*)) => {
            said(&mut $valve, |valve, mut out| valve.$call($($argument,)* &mut out))
        };
    }

    #[test]
    fn the_least_watermark_passes_once() {
        let mut valve = Valve::new(2);
        assert_eq!(said!(valve.advance(0, 5)), []);
        assert_eq!(said!(valve.advance(1, 3)), [Watermark(3)]);
        assert_eq!(said!(valve.advance(1, 3)), []);
        assert_eq!(said!(valve.advance(1, 2)), [], "no step forward");
        assert_eq!(said!(valve.advance(1, 9)), [Watermark(5)]);
        assert_eq!(valve.watermark(), 5);
    }

    #[test]
    fn an_idle_channel_does_not_hold_back() {
        let mut valve = Valve::new(3);
        assert_eq!(said!(valve.advance(0, 10)), []);
        assert_eq!(said!(valve.advance(1, 20)), []);
        assert_eq!(said!(valve.idle(2)), [Watermark(10)]);
        assert_eq!(said!(valve.advance(2, 99)), [], "what an idle channel says is ignored");
        assert_eq!(said!(valve.idle(0)), [Watermark(20)]);
        // The last one held the others back: what the largest knew is true now.
        assert_eq!(said!(valve.idle(1)), [Idle]);
        assert!(valve.is_idle());
        assert_eq!(said!(valve.active(0)), [Active]);
        assert_eq!(said!(valve.active(1)), []);
    }

    #[test]
    fn the_last_one_to_go_idle_lets_the_largest_watermark_pass() {
        let mut valve = Valve::new(2);
        said!(valve.advance(0, 10));
        assert_eq!(said!(valve.advance(1, 4)), [Watermark(4)]);
        assert_eq!(said!(valve.idle(0)), []);
        assert_eq!(said!(valve.idle(1)), [Watermark(10), Idle]);
    }

    #[test]
    fn who_comes_back_behind_counts_once_it_has_caught_up() {
        let mut valve = Valve::new(2);
        said!(valve.idle(1));
        assert_eq!(said!(valve.advance(0, 100)), [Watermark(100)]);
        assert_eq!(said!(valve.active(1)), []);
        assert_eq!(said!(valve.advance(1, 50)), []);
        assert_eq!(said!(valve.advance(0, 110)), [Watermark(110)], "50 does not count");
        assert_eq!(said!(valve.advance(1, 110)), []);
        assert_eq!(said!(valve.advance(0, 130)), [], "110 counts now");
        assert_eq!(said!(valve.advance(1, 120)), [Watermark(120)]);
    }

    #[test]
    fn who_has_ended_counts_no_longer_and_the_last_ends_time() {
        let mut valve = Valve::new(3);
        said!(valve.advance(0, 1));
        said!(valve.advance(1, 2));
        assert_eq!(said!(valve.advance(2, 3)), [Watermark(1)]);
        assert_eq!(said!(valve.end(0)), [Watermark(2)]);
        assert_eq!(said!(valve.end(0)), []);
        // Flink would end time here, and the rows of channel 1 would be late when it returns.
        assert_eq!(said!(valve.idle(1)), [Watermark(3)]);
        assert_eq!(said!(valve.end(2)), [Idle]);
        assert_eq!(said!(valve.active(1)), [Active]);
        assert_eq!(said!(valve.advance(1, 7)), [Watermark(7)]);
        assert_eq!(said!(valve.idle(1)), [Idle]);
        assert_eq!(said!(valve.end(1)), [Active, Watermark(WATERMARK_MAX)]);
    }

    #[test]
    fn the_end_of_one_channel_is_not_the_end_of_time_for_one_that_is_idle() {
        let mut valve = Valve::new(2);
        said!(valve.advance(0, 5));
        assert_eq!(said!(valve.advance(1, 9)), [Watermark(5)]);
        assert_eq!(said!(valve.advance(1, WATERMARK_MAX)), []);
        assert_eq!(said!(valve.idle(0)), [Watermark(9), Idle]);
        assert_eq!(said!(valve.active(0)), [Active]);
        assert_eq!(said!(valve.advance(0, WATERMARK_MAX)), [Watermark(WATERMARK_MAX)]);
    }

    #[test]
    fn channels_that_are_not_there_are_ignored() {
        let mut valve = Valve::new(1);
        assert_eq!(said!(valve.advance(1, 7)), []);
        assert_eq!(said!(valve.end(1)), []);
    }

    proptest::proptest! {
        /// Whatever happens, watermarks only grow, statuses alternate, and nothing passes that an
        /// aligned channel has not said.
        #[test]
        fn watermarks_grow_and_never_overtake(
            steps in proptest::collection::vec((0usize..3, 0u8..6, -20i64..20), 0..60),
        ) {
            let mut valve = Valve::new(3);
            let (mut last, mut idle) = (WATERMARK_MIN, false);
            for (channel, act, time) in steps {
                let outputs = match act {
                    0 => said!(valve.idle(channel)),
                    1 => said!(valve.active(channel)),
                    2 if time > 15 => said!(valve.end(channel)),
                    _ => said!(valve.advance(channel, time)),
                };
                for output in outputs {
                    match output {
                        Watermark(time) => {
                            proptest::prop_assert!(time > last && !idle);
                            last = time;
                        }
                        Idle | Active => {
                            proptest::prop_assert_eq!(idle, output == Active);
                            idle = output == Idle;
                        }
                    }
                }
                proptest::prop_assert_eq!((valve.watermark(), valve.is_idle()), (last, idle));
                let aligned = valve.channels.iter().filter(|channel| channel.aligned);
                for channel in aligned {
                    proptest::prop_assert!(channel.watermark >= last);
                }
            }
        }
    }
}
