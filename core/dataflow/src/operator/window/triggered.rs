//! Windows with triggers: for what cannot be folded into slices.
//!
//! For each key and window there are contents, an accumulator or a list of rows, the states of the
//! trigger, and timers: Flink's `WindowOperator` and `EvictingWindowOperator`. Each row costs a few
//! calls of the state for each of its windows, where [`WindowChain`](super::WindowChain) has one
//! for many rows: that one does tumbling, sliding and cumulating windows that are folded and
//! emitted at their end.

mod contents;
mod listed;
mod merging;
#[cfg(test)]
mod tests;
mod windows;

use alloc::vec::Vec;
use core::fmt;

use millstream_data::{Value, page::ValidPage, value::Record};
use millstream_state::{
    Key as StateKey,
    window::{Lateness, Window},
};

pub(crate) use contents::{Contents, Gather};
pub use contents::{Folding, FoldingThen, Gathering};
pub use listed::{AtOnce, Listing};
pub(crate) use windows::is_global;
pub use windows::{
    CountWindows, EventTimeWindows, GLOBAL_WINDOW, GlobalWindows, ProcessingTimeSessionWindows,
    ProcessingTimeWindows, SessionWindows, Windows,
};

use super::{Trigger, TriggerContext, TriggerResult};
use crate::{
    chain::{Context, OpenInfo, Signal, TaskError},
    operator::{
        Row, Stage,
        head::KeyedHead,
        process::{KeyContext, StateRegistry},
        process_page,
        stateless::Emitter,
        timers::{TimeKind, Timer, TimerService},
    },
    state::{KeyBatch, KeyedState, damaged},
    writer::{PartitionWriter, Single},
};
use merging::Merging;

/// Bytes of the namespace of a window: its begin and its end.
const NAMESPACE: usize = 16;

/// A window as a namespace.
pub(super) fn namespace(window: &Window) -> [u8; NAMESPACE] {
    let mut bytes = [0; NAMESPACE];
    bytes[..8].copy_from_slice(&(window.start ^ i64::MIN).to_be_bytes());
    bytes[8..].copy_from_slice(&(window.end ^ i64::MIN).to_be_bytes());
    bytes
}

fn window_of(namespace: &[u8]) -> Result<Window, TaskError> {
    let parts = namespace.split_first_chunk().zip(namespace.last_chunk());
    let Some(((start, _), end)) = parts else {
        return Err(damaged("window", &"it is too short"));
    };
    let time = |bytes: &[u8; 8]| i64::from_be_bytes(*bytes) ^ i64::MIN;
    Ok(Window { start: time(start), end: time(end) })
}

/// What a window operator with a trigger is made of.
#[derive(Clone)]
pub(crate) struct Triggering<G, W, R, S> {
    pub(crate) gathering: G,
    pub(crate) windows: W,
    pub(crate) trigger: R,
    pub(crate) key: S,
    pub(crate) lateness: Lateness,
    /// The chain's output for rows that are too late.
    pub(crate) late: Option<u16>,
}

/// A chain that gathers the rows of windows, and emits when a trigger says so.
pub(crate) struct TriggeredChain<G: Gather, W, R: Trigger<G::In>, S, N> {
    contents: G::Contents,
    windows: W,
    trigger: R,
    trigger_states: R::States,
    key: S,
    lateness: Lateness,
    fingerprint: u64,
    state: KeyedState,
    timers: TimerService,
    /// The windows of each key, if they merge.
    merging: Option<Merging>,
    /// The key at hand, and the windows of the row at hand.
    batch: KeyBatch<G::Key>,
    targets: Vec<Window>,
    timer: Timer,
    next: N,
    /// Where rows go that are too late for all of their windows, if they go anywhere.
    late: Option<PartitionWriter<G::In, Single>>,
}

/// A window that a row went into, and the one under which its contents are kept.
#[derive(Clone, Copy)]
struct Entered {
    window: Window,
    kept: Window,
}

impl<G, W, R, S, N> TriggeredChain<G, W, R, S, N>
where
    G: Gather,
    W: Windows<G::In>,
    R: Trigger<G::In>,
{
    /// The chain of a window operator and what follows it.
    pub(crate) fn new(
        triggering: Triggering<G, W, R, S>,
        info: &OpenInfo,
        next: N,
    ) -> Result<Self, TaskError> {
        let Triggering { gathering, windows, mut trigger, key, lateness, late } = triggering;
        windows.check()?;
        if W::MERGE && !trigger.can_merge() {
            return Err(TaskError::new(
                "the windows merge, and the trigger cannot: give it `can_merge` and `on_merge`",
            ));
        }
        let late = late.map(|output| PartitionWriter::new(&Single, output, info));
        let mut state = KeyedState::open(info)?;
        state.keyed_by::<G::Key>();
        let timers = TimerService::open(&mut state, NAMESPACE)?;
        let batch = KeyBatch::new();
        let width = batch.width();
        let contents = gathering.open(&mut state, width)?;
        let merging = W::MERGE.then(|| Merging::open(&mut state, width)).transpose()?;
        let mut registry = StateRegistry::new(&mut state, width, NAMESPACE);
        let trigger_states = trigger.open(&mut registry)?;
        Ok(Self {
            contents,
            windows,
            trigger,
            trigger_states,
            key,
            lateness,
            fingerprint: G::In::schema().fingerprint(),
            state,
            timers,
            merging,
            batch,
            targets: Vec::new(),
            timer: Timer::default(),
            next,
            late: late.transpose()?,
        })
    }

    /// Whether a row for a window comes too late.
    fn is_late(&self, window: &Window) -> bool {
        W::BY_EVENT_TIME && self.lateness.is_late(window, self.state.watermark)
    }

    /// When a window is forgotten, by the time that ends it; `None` if it never is.
    fn cleanup_time(&self, window: &Window) -> Option<i64> {
        let time = match W::BY_EVENT_TIME {
            true => self.lateness.cleanup_time(window),
            false => window.max_time(),
        };
        (!is_global(window) && time != i64::MAX).then_some(time)
    }

    /// Calls the trigger about a window of the key at hand.
    fn with_trigger<X>(
        &mut self,
        window: Window,
        call: impl FnOnce(&mut R, &mut R::States, &mut TriggerContext<'_>) -> Result<X, TaskError>,
    ) -> Result<X, TaskError> {
        let Self { trigger, trigger_states, state, timers, batch, .. } = self;
        let namespace = namespace(&window);
        let key = StateKey { namespace: &namespace, ..batch.keys().at(0) };
        let keyed = KeyContext { state, timers, key };
        call(trigger, trigger_states, &mut TriggerContext { keyed, window })
    }

    /// Has the engine called to forget a window of the key at hand, or not any more.
    fn set_cleanup(&mut self, window: &Window, set: bool) -> Result<(), TaskError> {
        let Some(time) = self.cleanup_time(window) else { return Ok(()) };
        let Self { state, timers, batch, .. } = self;
        let namespace = namespace(window);
        let key = StateKey { namespace: &namespace, ..batch.keys().at(0) };
        let timers = match W::BY_EVENT_TIME {
            true => &mut timers.event,
            false => &mut timers.processing,
        };
        match set {
            true => timers.register(state, &key, time),
            false => timers.delete(state, &key, time),
        }
    }

    /// Where a row goes that is in the window `own`; `None` if that is late.
    fn enter(&mut self, own: Window) -> Result<Option<Entered>, TaskError> {
        if self.merging.is_none() {
            let is_late = self.is_late(&own);
            return Ok((!is_late).then_some(Entered { window: own, kept: own }));
        }
        let (lateness, Self { merging, state, batch, .. }) = (self.lateness, &mut *self);
        let Some(merging) = merging else { return Ok(None) };
        let watermark = state.watermark;
        let is_late = |window: &Window| W::BY_EVENT_TIME && lateness.is_late(window, watermark);
        let merged = merging.add(state, &batch.keys().at(0), own, is_late)?;
        let Some(merged) = merged else { return Ok(None) };
        if !merged.gone.is_empty() {
            self.with_trigger(merged.window, |trigger, states, context| {
                trigger.on_merge(states, &merged.gone, context)
            })?;
            for gone in &merged.gone {
                self.with_trigger(*gone, |trigger, states, context| {
                    trigger.clear(states, context)
                })?;
                self.set_cleanup(gone, false)?;
            }
            let Self { contents, state, batch, .. } = self;
            let namespace = namespace(&merged.state);
            let into = StateKey { namespace: &namespace, ..batch.keys().at(0) };
            contents.merge(state, &into, &merged.states)?;
        }
        Ok(Some(Entered { window: merged.window, kept: merged.state }))
    }

    /// Forgets a window of the key at hand.
    fn forget(&mut self, entered: &Entered) -> Result<(), TaskError> {
        let Self { contents, state, batch, merging, .. } = self;
        let (key, namespace) = (batch.keys().at(0), namespace(&entered.kept));
        contents.clear(state, &StateKey { namespace: &namespace, ..key })?;
        if let Some(merging) = merging {
            merging.retire(state, &key, &entered.window)?;
        }
        self.with_trigger(entered.window, |trigger, states, context| trigger.clear(states, context))
    }
}

impl<G, W, R, S, N> TriggeredChain<G, W, R, S, N>
where
    G: Gather,
    W: Windows<G::In>,
    R: Trigger<G::In>,
    N: Stage<G::Out>,
{
    /// Does what the trigger has said of a window of the key at hand.
    fn obey(
        &mut self,
        result: TriggerResult,
        entered: &Entered,
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let Self { contents, state, batch, next, .. } = self;
        let namespace = namespace(&entered.kept);
        let at = StateKey { namespace: &namespace, ..batch.keys().at(0) };
        if result.fires() {
            contents.emit(state, &at, batch, entered.window, &mut Emitter { next, context })?;
        }
        if result.purges() {
            contents.clear(state, &at)?;
        }
        Ok(())
    }

    /// A timer of the key at hand has fired.
    fn on_timer(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<(), TaskError> {
        let (window, time) = (window_of(self.timer.namespace())?, self.timer.time);
        let Self { merging, state, batch, .. } = self;
        let kept = match merging {
            None => Some(window),
            Some(merging) => merging.kept_under(state, &batch.keys().at(0), &window)?,
        };
        // A timer of a window that has become part of another, or was forgotten.
        let Some(kept) = kept else { return Ok(()) };
        let entered = Entered { window, kept };
        let result = self.with_trigger(window, |trigger, states, context| match kind {
            TimeKind::Event => trigger.on_event_time(states, time, context),
            TimeKind::Processing => trigger.on_processing_time(states, time, context),
        })?;
        self.obey(result, &entered, context)?;
        let ends = W::BY_EVENT_TIME == (kind == TimeKind::Event);
        match ends && self.cleanup_time(&window) == Some(time) {
            true => self.forget(&entered),
            false => Ok(()),
        }
    }
}

impl<G, W, R, S, N> TriggeredChain<G, W, R, S, N>
where
    G: Gather,
    W: Windows<G::In>,
    R: Trigger<G::In>,
    S: for<'a> Fn(Row<'a, G::In>) -> <G::Key as Value>::View<'a> + Send + 'static,
    N: Stage<G::Out>,
{
    fn take_row(
        &mut self,
        row: <G::In as Value>::View<'_>,
        context: &mut Context<'_>,
    ) -> Result<(), TaskError> {
        let time = self.windows.time(row, self.state.time);
        self.batch.clear();
        self.batch.push((self.key)(Row::new(row)));
        let mut targets = core::mem::take(&mut self.targets);
        targets.clear();
        self.windows.assign(time, &mut targets);
        let mut taken = false;
        for own in &targets {
            let Some(entered) = self.enter(*own)? else { continue };
            taken = true;
            let Self { contents, state, batch, .. } = self;
            let namespace = namespace(&entered.kept);
            let at = StateKey { namespace: &namespace, ..batch.keys().at(0) };
            contents.add(state, &at, time, row)?;
            let result = self.with_trigger(entered.window, |trigger, states, context| {
                trigger.on_element(states, row, time, context)
            })?;
            self.obey(result, &entered, context)?;
            self.set_cleanup(&entered.window, true)?;
        }
        self.targets = targets;
        let is_late = W::BY_EVENT_TIME && self.lateness.is_row_late(time, self.state.watermark);
        if !taken
            && is_late
            && let Some(late) = &mut self.late
        {
            late.push(row, context);
        }
        Ok(())
    }
}

impl<G, W, R, S, N> KeyedHead for TriggeredChain<G, W, R, S, N>
where
    G: Gather,
    W: Windows<G::In>,
    R: Trigger<G::In>,
    S: for<'a> Fn(Row<'a, G::In>) -> <G::Key as Value>::View<'a> + Send + 'static,
    N: Stage<G::Out>,
{
    type Out = G::Out;
    type Next = N;

    fn next(&mut self) -> &mut N {
        &mut self.next
    }

    fn state(&mut self) -> &mut KeyedState {
        &mut self.state
    }

    fn timers(&mut self) -> Option<&mut TimerService> {
        Some(&mut self.timers)
    }

    fn take(
        &mut self,
        _input: u16,
        page: &ValidPage<'_>,
        start: usize,
        context: &mut Context<'_>,
    ) -> Result<usize, TaskError> {
        Ok(process_page::<G::In>(page, self.fingerprint, start, context, |row, context| {
            if let Err(error) = self.take_row(row, context) {
                context.fail(error);
            }
        }))
    }

    fn advance(&mut self, kind: TimeKind, context: &mut Context<'_>) -> Result<bool, TaskError> {
        loop {
            let Self { state, timers, batch, timer, .. } = self;
            if !timers.next_due(kind, state, timer)? {
                return Ok(true);
            }
            batch.clear();
            batch.push_bytes(timer.key());
            // It comes from the state, which may have been damaged; what follows trusts it.
            batch.checked(batch.at(0))?;
            self.on_timer(kind, context)?;
            if context.is_blocked() {
                return Ok(false);
            }
        }
    }

    fn restored(&mut self) -> Result<(), TaskError> {
        self.timers.restored(&mut self.state)
    }

    fn signal_side(&mut self, signal: Signal, context: &mut Context<'_>) {
        if let Some(late) = &mut self.late {
            late.signal(signal, context);
        }
    }

    fn flush_side(&mut self, force: bool, context: &mut Context<'_>) {
        if let Some(late) = &mut self.late {
            late.flush(force, context);
        }
    }
}

impl<G: Gather, W, R: Trigger<G::In>, S, N> fmt::Debug for TriggeredChain<G, W, R, S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TriggeredChain(watermark {})", self.state.watermark)
    }
}
