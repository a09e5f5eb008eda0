//! What merging costs, on paper: runs that have sizes and nothing else.

use alloc::vec;

use super::*;
use crate::stack::tests::{part, run, run_of};

const RANKS: Range<u64> = 0..1 << 40;
const LIMITS: Limits = Limits { fan_in: 16, layers_max: 12, slice_min: 4 << 20 };
const MIB: u64 = 1 << 20;

#[test]
fn layers_of_one_size_are_merged() {
    let layers = |chosen| Some(Choice::Layers(chosen));
    assert_eq!(choose(&[], 0, 8, 12), None);
    assert_eq!(choose(&[1, 1, 1, 1, 1], 0, 8, 12), None);
    assert_eq!(choose(&[1, 1, 1, 1, 1, 1], 6, 8, 12), Some(Choice::All));
    assert_eq!(choose(&[1, 1, 1, 1, 1, 1], 7, 8, 12), layers(0..6));
    assert_eq!(choose(&[1, 10, 10, 11, 9, 10, 10, 300], 0, 8, 12), layers(1..7));
    assert_eq!(choose(&[1, 1], 10, 2, 12), layers(0..2));
    assert_eq!(choose(&[1, 10, 100, 1000], 0, 8, 3), layers(0..4));
    assert_eq!(choose(&[1, 10, 100, 1000, 10_000], 0, 2, 3), layers(0..2));
}

/// A state of which only the sizes are known.
struct Sizes {
    stack: Arc<Stack>,
    schedule: Schedule,
    last_file: u64,
    /// Bytes that were merged since it was asked for them last.
    merged: u64,
    /// Most bytes at a time.
    most: u64,
}

impl Sizes {
    fn new() -> Self {
        let stack = Arc::new(Stack::new(RANKS));
        Self { stack, schedule: Schedule::default(), last_file: 0, merged: 0, most: 0 }
    }

    fn run(&mut self, ranks: &Range<u64>, bytes: u64, hiding: u16) -> Part {
        self.last_file += 1;
        Part::new(run_of(1000, self.last_file, ranks.clone(), bytes, hiding), ranks.clone())
    }

    fn bytes(&self) -> u64 {
        self.stack.runs().iter().map(|run| run.place.length).sum()
    }

    /// So many bytes come in, of which a share per mille hides something; then all is merged that is due.
    fn flush(&mut self, bytes: u64, hiding: u16) {
        let (mut parts, mut begin) = (Vec::new(), RANKS.start);
        let ends: Vec<u64> = self.stack.slices().iter().map(|slice| slice.ranks.end).collect();
        for end in ends {
            let share = ((u128::from(bytes) * u128::from(end - begin)) >> 40) as u64;
            if end == RANKS.end || share >= LIMITS.slice_min / 16 {
                parts.push(self.run(&(begin..end), share, hiding));
                begin = end;
            }
        }
        Arc::make_mut(&mut self.stack).add_layer(parts);
        self.schedule.flushed(bytes, &self.stack, &LIMITS);
        while let Some(job) = self.schedule.next(&mut self.stack, &LIMITS) {
            self.merge(&job);
        }
    }

    fn merge(&mut self, job: &Job) {
        let mut parts = self.stack.of_layers(&job.layers, &job.ranks);
        let hidden = |part: &Part| part.bytes * u64::from(part.run.place.hiding) / 1000;
        let all: u64 = parts.iter().map(|part| part.bytes).sum();
        let hides: u64 = parts.iter().map(hidden).sum();
        let (bytes, hiding) = match job.target {
            Target::Layer(_) => (all, (1000 * hides).checked_div(all).unwrap_or(0) as u16),
            Target::Bottom => {
                let slice = self.stack.slices().iter().find(|slice| slice.ranks == job.ranks);
                parts.extend(slice.expect("a slice").bottom.clone());
                let all: u64 = parts.iter().map(|part| part.bytes).sum();
                (all - hides, 0)
            }
        };
        assert!(parts.len() <= LIMITS.fan_in);
        self.merged += bytes;
        self.most = self.most.max(self.bytes() + bytes);
        let output = self.run(&job.ranks, bytes, hiding).run;
        let stack = Arc::make_mut(&mut self.stack);
        stack.replace(&job.ranks, &job.layers, Some(output), job.target);
        self.schedule.merged(bytes, job.target);
    }
}

/// A state of `all` bytes that was written with buffers of `buffer` bytes, and what that cost, as a multiple.
fn loaded(all: u64, buffer: u64) -> (Sizes, f64) {
    let mut sizes = Sizes::new();
    for _ in 0..all / buffer {
        sizes.flush(buffer, 0);
    }
    let cost = 1.0 + sizes.merged as f64 / all as f64;
    sizes.merged = 0;
    (sizes, cost)
}

#[test]
fn loading_does_not_rewrite_the_bottom_again_and_again() {
    for (all, buffer) in [(512, 12), (5 << 10, 96), (5 << 10, 24)] {
        let (sizes, cost) = loaded(all * MIB, buffer * MIB);
        assert!(cost < 5.5, "{all} MiB by buffers of {buffer}: {cost}");
        let most = sizes.most as f64 / (all * MIB) as f64;
        assert!(most < 1.1, "{all} MiB by buffers of {buffer}: {most} on the disk");
        assert!(sizes.stack.depth() <= LIMITS.layers_max + 2, "{}", sizes.stack.depth());
        assert!((16..80).contains(&sizes.stack.slices().len()), "{}", sizes.stack.slices().len());
    }
}

#[test]
fn a_checkpoint_of_a_hundredth_writes_a_twentieth() {
    for (all, buffer) in [(512, 12), (5 << 10, 96)] {
        let (mut sizes, _) = loaded(all * MIB, buffer * MIB);
        let mut written = Vec::new();
        for _ in 0..200 {
            let fresh = all * MIB / 100;
            sizes.flush(fresh, 1000);
            let share = (fresh + core::mem::take(&mut sizes.merged)) as f64 / (all * MIB) as f64;
            assert!(share < 0.2, "{all} MiB: {share} are written");
            let bytes = sizes.bytes() as f64 / (all * MIB) as f64;
            assert!(bytes < 1.25, "{all} MiB: {bytes} on the disk");
            assert!(sizes.stack.depth() <= LIMITS.layers_max + 2, "{}", sizes.stack.depth());
            written.push(share);
        }
        for hundred in written.chunks(100) {
            let mean = hundred.iter().sum::<f64>() / 100.0;
            assert!(mean < 0.056, "{all} MiB: {mean} are written on average");
        }
    }
}

#[test]
fn what_is_small_stays_in_few_files() {
    let mut sizes = Sizes::new();
    for _ in 0..100 {
        sizes.flush(64 << 10, 500);
    }
    assert_eq!(sizes.stack.slices().len(), 1);
    assert!(sizes.stack.runs().len() <= LIMITS.layers_max, "{}", sizes.stack.runs().len());
}

#[test]
fn a_slice_is_divided_where_its_bytes_are() {
    let mut stack = Stack::new(0..1000);
    stack.add_layer(vec![part(1, 0..80, 800), part(2, 80..1000, 8)]);
    stack.split(0, &[]);
    let cut = cuts(&stack.slices()[0], 4);
    assert_eq!(cut, [40, 80, 540]);
    // A rank with all of it is not divided.
    let mut one = Arc::into_inner(run(1, 0..800, 800, 0)).expect("nobody else has it");
    one.index.last = vec![7; 8];
    let mut stack = Stack::new(0..1000);
    stack.add_layer(vec![Part::new(Arc::new(one), 0..800)]);
    assert_eq!(cuts(&stack.slices()[0], 4), [8]);
}

#[test]
fn what_was_cleared_stays_within_its_ranks() {
    let mut stack = Stack::new(0..90);
    stack.add_layer(vec![part(1, 0..90, 80)]);
    stack.add_layer(vec![part(2, 0..30, 80), part(3, 60..90, 80)]);
    stack.split(0, &[30, 60]);
    let mut stack = Arc::new(stack);
    let limits = Limits { layers_max: 1, ..LIMITS };
    let mut schedule = Schedule::default();
    let ids: Vec<u64> = stack.layers().iter().map(|layer| layer.id).collect();
    for ranks in [0..30, 30..60, 60..90] {
        let job = schedule.next(&mut stack, &limits).expect("two layers are one too many");
        assert_eq!((&job.ranks, &job.layers), (&ranks, &ids));
        let output = Some(run(9, ranks.clone(), 80, 0));
        Arc::make_mut(&mut stack).replace(&ranks, &ids, output, job.target);
    }
    assert_eq!((schedule.next(&mut stack, &limits), stack.layers().len()), (None, 1));
}
