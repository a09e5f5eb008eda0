//! From the counts of subtasks to metrics.

use std::fmt;

use millstream::{Progress, progress::SubtaskCounts};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// The metrics of a job's subtasks.
#[derive(Debug)]
pub(crate) struct JobCollector(pub(crate) Progress);

type Labels<'a> = [(&'static str, &'a str); 3];

impl Collector for JobCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let tasks: Vec<Task> = self.0.subtasks().into_iter().map(Task::new).collect();
        let mut family = Family { encoder: &mut encoder, job: self.0.job(), tasks: &tasks };
        family.counter("records_in", "Records taken from input channels", |c| c.rows_in)?;
        family.counter("records_out", "Records submitted", |c| c.rows_out)?;
        family
            .counter("bytes_in", "Bytes of the pages taken from input channels", |c| c.bytes_in)?;
        family.counter("bytes_out", "Bytes of the pages submitted", |c| c.bytes_out)?;
        family.counter("pages_out", "Pages submitted", |c| c.pages_out)?;
        family.seconds("busy", "Time spent working", |c| c.busy_nanos)?;
        family.seconds("idle", "Time spent waiting for input", |c| c.idle_nanos)?;
        family.seconds("backpressured", "Time spent waiting for room downstream", |c| {
            c.backpressured_nanos
        })?;
        family
            .gauge("input_queue_length", "Elements that wait in input channels", |c| c.queued_in)?;
        family.gauge("output_segments_used", "Segments that the output pools hold", |c| {
            c.segments_used
        })?;
        family.gauge("output_segments_max", "Segments that the output pools may hold", |c| {
            c.segments_max
        })
    }
}

/// A subtask, and its labels.
struct Task {
    counts: SubtaskCounts,
    /// The node's name, without the subtask.
    name: String,
    index: String,
}

impl Task {
    fn new(counts: SubtaskCounts) -> Self {
        let name = counts.name.rsplit_once(" (").map_or(&*counts.name, |(name, _)| name).to_owned();
        let index = counts.subtask.index.to_string();
        Self { counts, name, index }
    }
}

type Counts = millstream::dataflow::task::TaskCounts;

struct Family<'a, 'b> {
    encoder: &'a mut DescriptorEncoder<'b>,
    job: &'a str,
    tasks: &'a [Task],
}

impl Family<'_, '_> {
    fn counter(&mut self, name: &str, help: &str, of: impl Fn(&Counts) -> u64) -> fmt::Result {
        self.each(name, help, None, |counts| ConstCounter::new(of(counts)))
    }

    fn seconds(&mut self, name: &str, help: &str, of: impl Fn(&Counts) -> u64) -> fmt::Result {
        self.each(name, help, Some(&Unit::Seconds), |counts| {
            ConstCounter::new(of(counts) as f64 / 1e9)
        })
    }

    fn gauge(&mut self, name: &str, help: &str, of: impl Fn(&Counts) -> u64) -> fmt::Result {
        self.each(name, help, None, |counts| ConstGauge::new(of(counts) as i64))
    }

    /// A metric of every subtask.
    fn each<M: EncodeMetric>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        metric: impl Fn(&Counts) -> M,
    ) -> fmt::Result {
        let Some(first) = self.tasks.first() else { return Ok(()) };
        let kind = metric(&first.counts.counts).metric_type();
        let name = format!("millstream_task_{name}");
        let mut encoder = self.encoder.encode_descriptor(&name, help, unit, kind)?;
        for task in self.tasks {
            let labels: Labels<'_> =
                [("job", self.job), ("task", &task.name), ("subtask", &task.index)];
            metric(&task.counts.counts).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
