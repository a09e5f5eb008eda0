//! Mistakes on purpose: a checker that never fails proves nothing.

use std::fmt;

/// A mistake that the harness makes in the place of the machines, once in a run if not said
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A `Credit` frame is not sent.
    LoseCredit,
    /// A producer believes to have one credit more than it was granted.
    SendWithoutCredit,
    /// Two pages of one channel are sent in the wrong order, with the right numbers.
    ReorderPages,
    /// A channel that waits for a floating buffer is forgotten by the pool.
    ForgetWake,
    /// A `Resume` frame is not sent.
    LoseResume,
    /// A segment is not recycled when its page was sent.
    LeakSegment,
    /// A lost connection is not reported to one of its channels.
    ForgetLoss,
    /// A reader with new data is not told of it.
    ForgetNotify,
    /// Gates set no segment aside for a jumbo row, where channels have none of their own.
    SetNothingAside,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::LoseCredit,
        Self::SendWithoutCredit,
        Self::ReorderPages,
        Self::ForgetWake,
        Self::LoseResume,
        Self::LeakSegment,
        Self::ForgetLoss,
        Self::ForgetNotify,
        Self::SetNothingAside,
    ];

    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::LoseCredit => "lose-credit",
            Self::SendWithoutCredit => "send-without-credit",
            Self::ReorderPages => "reorder-pages",
            Self::ForgetWake => "forget-wake",
            Self::LoseResume => "lose-resume",
            Self::LeakSegment => "leak-segment",
            Self::ForgetLoss => "forget-loss",
            Self::ForgetNotify => "forget-notify",
            Self::SetNothingAside => "set-nothing-aside",
        }
    }

    /// The bug with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Makes a bug happen once, at one of its first few opportunities.
#[derive(Debug)]
pub(crate) struct Saboteur {
    bug: Option<Bug>,
    skip: u64,
}

impl Saboteur {
    pub(crate) fn new(bug: Option<Bug>, skip: u64) -> Self {
        Self { bug, skip }
    }

    /// Whether this is the bug, for a mistake that is made throughout.
    pub(crate) fn is_about(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether to make the mistake here and now.
    pub(crate) fn strikes(&mut self, here: Bug) -> bool {
        if self.bug != Some(here) {
            return false;
        }
        match self.skip.checked_sub(1) {
            Some(rest) => {
                self.skip = rest;
                false
            }
            None => {
                self.bug = None;
                true
            }
        }
    }
}
