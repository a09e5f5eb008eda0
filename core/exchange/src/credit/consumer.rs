//! The consumer's end of a channel's credit, and the decisions of its buffer manager.

use crate::id::ChannelId;

/// Where a buffer of a channel came from, and so where it goes when its page was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BufferKind {
    /// Owned by the channel from its start to its end, taken straight from the global pool.
    Exclusive,
    /// Borrowed from the pool of the gate, for as long as a page needs it.
    Floating,
}

/// The pool of floating buffers of a gate, as its channels see it.
pub trait FloatingBuffers {
    /// Hands one buffer to the channel and returns `true`; or notes that the channel waits for
    /// one and returns `false`. Nothing may come between looking and noting: a buffer that is
    /// recycled in that instant must reach the channel.
    ///
    /// A noted channel is told once, by [`ConsumerCredit::on_floating`], and is forgotten then.
    /// `held` is how many buffers the channel has already, free and in use.
    fn take_or_listen(&mut self, channel: ChannelId, held: u32) -> bool;

    /// Takes one free floating buffer of the channel back. If another channel waits, offer it the
    /// buffer after the call that led here has returned.
    fn give_back(&mut self, channel: ChannelId);

    /// The channel ended: forgets that it waits, and takes home all its free buffers, exclusive
    /// and floating. Those in use follow one by one as their pages are read.
    fn release(&mut self, channel: ChannelId);
}

/// Where a segment goes whose page was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a segment that goes nowhere is lost"]
pub enum Recycled {
    /// Among the free exclusive segments of its channel.
    Keep,
    /// To the pool that it came from: that of the gate for a floating one, the global one for the
    /// exclusive segment of a channel that ended.
    Home,
}

/// Whether the new credit calls for a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "credit that nobody announces is never used"]
pub enum Announce {
    /// The first credit that waits: have a `Credit` frame sent, with whatever
    /// [`ConsumerCredit::take_unannounced`] returns at that time.
    Schedule,
    /// None, or one is scheduled already and will carry this credit too.
    Nothing,
}

/// What one channel can hold, and how much of it the producer does not know yet.
///
/// It knows no time. Every call that can gain credit returns an [`Announce`].
#[derive(Debug)]
pub struct ConsumerCredit {
    channel: ChannelId,
    initial: u32,
    free: Counts,
    in_use: Counts,
    required: u32,
    unannounced: u32,
    waiting: bool,
    released: bool,
}

/// Buffers by kind.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    exclusive: u32,
    floating: u32,
}

impl ConsumerCredit {
    /// Starts with `initial` exclusive buffers, which the backend has taken from the global pool,
    /// and without any floating one. The channel's request grants exactly this credit.
    pub fn new(channel: ChannelId, initial: u32) -> Self {
        Self {
            channel,
            initial,
            free: Counts { exclusive: initial, floating: 0 },
            in_use: Counts::default(),
            required: initial,
            unannounced: 0,
            waiting: false,
            released: false,
        }
    }

    /// Reserves a buffer for data that arrives, floating ones first. `None` when there is none:
    /// the producer sent without credit.
    pub fn on_data(&mut self) -> Option<BufferKind> {
        if self.free.floating > 0 {
            self.free.floating -= 1;
            self.in_use.floating += 1;
            Some(BufferKind::Floating)
        } else {
            self.free.exclusive = self.free.exclusive.checked_sub(1)?;
            self.in_use.exclusive += 1;
            Some(BufferKind::Exclusive)
        }
    }

    /// The producer told its backlog, with data, with an event or in an announcement: asks the
    /// pool for floating buffers up to backlog + initial credit.
    pub fn on_backlog(&mut self, backlog: u32, pool: &mut impl FloatingBuffers) -> Announce {
        self.required = backlog.saturating_add(self.initial);
        self.request(pool)
    }

    /// A blocking event arrived, behind which nothing is sent until the channel is resumed: its
    /// backlog is 0, and a channel without exclusive buffers gives its floating ones to others.
    pub fn on_blocking(&mut self, pool: &mut impl FloatingBuffers) -> Announce {
        if self.initial == 0 {
            self.unannounced = 0;
            while self.free.floating > 0 {
                self.free.floating -= 1;
                pool.give_back(self.channel);
            }
        }
        self.on_backlog(0, pool)
    }

    /// The pool, where the channel waits, offers a buffer. Returns whether the channel takes it;
    /// if not, the pool offers it to the next. If so, the channel has gone on to ask for more.
    pub fn on_floating(&mut self, pool: &mut impl FloatingBuffers) -> Option<Announce> {
        if self.released || !self.waiting {
            return None;
        }
        self.waiting = false;
        if self.free() >= self.required {
            return None;
        }
        self.free.floating += 1;
        let first = self.gain(1);
        let further = self.request(pool);
        assert_eq!(further, Announce::Nothing, "{}: scheduled twice", self.channel);
        Some(first)
    }

    /// The page in a buffer was read. Returns where its segment goes.
    ///
    /// A floating buffer goes back to its pool at once. An exclusive one stays; if there is now
    /// more than required, a free floating one goes instead and the credit for it passes over.
    pub fn recycle(
        &mut self,
        kind: BufferKind,
        pool: &mut impl FloatingBuffers,
    ) -> (Recycled, Announce) {
        let in_use = match kind {
            BufferKind::Floating => &mut self.in_use.floating,
            BufferKind::Exclusive => &mut self.in_use.exclusive,
        };
        *in_use = in_use.checked_sub(1).expect("a buffer is recycled once");
        if self.released || kind == BufferKind::Floating {
            return (Recycled::Home, Announce::Nothing);
        }
        self.free.exclusive += 1;
        if self.free() > self.required && self.free.floating > 0 {
            self.free.floating -= 1;
            pool.give_back(self.channel);
            return (Recycled::Keep, Announce::Nothing);
        }
        (Recycled::Keep, self.gain(1))
    }

    /// The consumer resumes the channel. Credit of a channel without exclusive buffers starts
    /// again from zero at both ends; the `Resume` frame must leave before any later `Credit`.
    pub fn resume(&mut self) {
        if self.initial == 0 {
            self.unannounced = 0;
        }
    }

    /// All credit that the producer does not know of, for the `Credit` frame that is sent now.
    /// Zero when it became void meanwhile: send no frame then.
    pub fn take_unannounced(&mut self) -> u32 {
        core::mem::take(&mut self.unannounced)
    }

    /// The channel ended. All its free buffers go home; call again has no effect.
    pub fn release(&mut self, pool: &mut impl FloatingBuffers) {
        if self.released {
            return;
        }
        self.released = true;
        self.waiting = false;
        self.unannounced = 0;
        self.free = Counts::default();
        pool.release(self.channel);
    }

    /// Free buffers, of both kinds.
    pub fn free(&self) -> u32 {
        self.free.exclusive + self.free.floating
    }

    /// All buffers of the channel, free and in use, of both kinds.
    pub fn held(&self) -> u32 {
        self.free() + self.in_use.exclusive + self.in_use.floating
    }

    /// Floating buffers of the channel, free and in use.
    pub fn floating(&self) -> u32 {
        self.free.floating + self.in_use.floating
    }

    /// Buffers that hold data that was not read yet.
    pub fn in_use(&self) -> u32 {
        self.in_use.exclusive + self.in_use.floating
    }

    /// How many free buffers the channel wants: one of its own for each page that waits, and those
    /// that it started with.
    pub fn required(&self) -> u32 {
        self.required
    }

    /// Credit that no `Credit` frame has carried yet.
    pub fn unannounced(&self) -> u32 {
        self.unannounced
    }

    /// The credit that the channel started with.
    pub fn initial(&self) -> u32 {
        self.initial
    }

    /// Whether the channel waits for the pool.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    /// Buffers that count for debloating and metrics: those queued and those that the producer
    /// has waiting.
    pub fn occupied(&self, queued: u32) -> u32 {
        queued.saturating_add(self.required.saturating_sub(self.initial))
    }

    /// Asks for floating buffers one by one; waits for the pool at most once.
    fn request(&mut self, pool: &mut impl FloatingBuffers) -> Announce {
        if self.released {
            return Announce::Nothing;
        }
        let mut gained = 0;
        while !self.waiting && self.free() < self.required {
            if pool.take_or_listen(self.channel, self.held()) {
                self.free.floating += 1;
                gained += 1;
            } else {
                self.waiting = true;
            }
        }
        self.gain(gained)
    }

    fn gain(&mut self, buffers: u32) -> Announce {
        let first = self.unannounced == 0 && buffers > 0;
        self.unannounced += buffers;
        if first { Announce::Schedule } else { Announce::Nothing }
    }
}
