//! Every option of the engine.

use millstream_memory::segment::check_segment_size;
use millstream_sdk::options::{parse_bytes, parse_duration};

/// An option of the engine.
#[derive(Clone, Copy, Debug)]
pub struct ConfigOption {
    /// Its name.
    pub key: &'static str,
    /// What its values look like.
    pub kind: ConfigKind,
    /// Its value if nobody sets it; empty if it follows from others.
    pub default: &'static str,
    /// One sentence about it.
    pub doc: &'static str,
}

/// What the values of an option look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    /// A whole number above 0.
    Integer,
    /// A whole number, which may be 0.
    Count,
    /// `true` or `false`.
    Boolean,
    /// A number of bytes, such as `64 MiB`.
    Bytes,
    /// The size of a segment.
    SegmentSize,
    /// A time, such as `100 ms`.
    Duration,
    /// A time, `0`, or `-1` for never.
    Timeout,
    /// Any text.
    Text,
    /// `claim` or `no-claim`.
    Claim,
    /// A kind of storage.
    Storage,
    /// A kind of state backend.
    StateBackend,
    /// How files of state are compressed.
    Compression,
    /// What a checkpoint guarantees.
    CheckpointMode,
    /// `true`, `false` or `auto`.
    ZeroCopy,
}

/// Every option of the engine.
pub const OPTIONS: &[ConfigOption] = &[
    ConfigOption {
        key: "parallelism.default",
        kind: ConfigKind::Integer,
        default: "",
        doc: "Subtasks of operators that set none themselves; the number of cores if not set",
    },
    ConfigOption {
        key: "executor.workers",
        kind: ConfigKind::Integer,
        default: "",
        doc: "Worker threads; the number of cores if not set",
    },
    ConfigOption {
        key: "executor.spin",
        kind: ConfigKind::Duration,
        default: "20 us",
        doc: "How long an idle worker looks for work before it sleeps",
    },
    ConfigOption {
        key: "memory.segment-size",
        kind: ConfigKind::SegmentSize,
        default: "64 KiB",
        doc: "Bytes of a segment, a power of two from 4 KiB to 16 MiB",
    },
    ConfigOption {
        key: "memory.network",
        kind: ConfigKind::Bytes,
        default: "",
        doc: "Memory for segments that pages are exchanged in; 64 MiB, or what follows from the \
              process's or the engine's",
    },
    ConfigOption {
        key: "memory.process.size",
        kind: ConfigKind::Bytes,
        default: "",
        doc: "Memory of the whole process; the parts follow from it",
    },
    ConfigOption {
        key: "memory.engine.size",
        kind: ConfigKind::Bytes,
        default: "",
        doc: "Memory of the process without overhead, instead of memory.process.size",
    },
    ConfigOption {
        key: "memory.task.size",
        kind: ConfigKind::Bytes,
        default: "",
        doc: "Memory of operators and user code; the rest if not set",
    },
    ConfigOption {
        key: "memory.managed.size",
        kind: ConfigKind::Bytes,
        default: "",
        doc: "Memory for sorting, state and caching; two fifths of the engine's if that is set, else a \
              quarter of the machine's",
    },
    ConfigOption {
        key: "io.tmp.dirs",
        kind: ConfigKind::Text,
        default: "",
        doc: "Directories to spill to, separated by commas; the system's for temporary files if not \
              set",
    },
    ConfigOption {
        key: "io.tmp.storage",
        kind: ConfigKind::Storage,
        default: "auto",
        doc: "How spill files are read and written: auto, uring or threads",
    },
    ConfigOption {
        key: "state.backend.type",
        kind: ConfigKind::StateBackend,
        default: "memory",
        doc: "Where state is kept: memory, or lsm, which is files and as much of managed memory as there \
              is",
    },
    ConfigOption {
        key: "state.lsm.compression",
        kind: ConfigKind::Compression,
        default: "none",
        doc: "How new files of state are compressed: none or lz4, or two of them with a comma between, for files \
              that are young and for those under all others",
    },
    ConfigOption {
        key: "state.local-directory",
        kind: ConfigKind::Text,
        default: "",
        doc: "Where a process works with state in files if checkpoints are in an object store; the first of \
              io.tmp.dirs if not set",
    },
    ConfigOption {
        key: "state.local-recovery",
        kind: ConfigKind::Boolean,
        default: "false",
        doc: "Whether files of the last checkpoint in an object store are kept locally, too, so that a job that \
              begins again on the same machine does not fetch them",
    },
    ConfigOption {
        key: "checkpoint.dir",
        kind: ConfigKind::Text,
        default: "",
        doc: "Where checkpoints are kept; there are none if not set",
    },
    ConfigOption {
        key: "checkpoint.interval",
        kind: ConfigKind::Duration,
        default: "10 s",
        doc: "Time from the beginning of one checkpoint to that of the next",
    },
    ConfigOption {
        key: "checkpoint.min-pause",
        kind: ConfigKind::Duration,
        default: "0 ms",
        doc: "Time between the end of a checkpoint and the beginning of the next, at least",
    },
    ConfigOption {
        key: "checkpoint.timeout",
        kind: ConfigKind::Duration,
        default: "10 min",
        doc: "Time after which a checkpoint that is not complete is given up",
    },
    ConfigOption {
        key: "checkpoint.tolerable-failures",
        kind: ConfigKind::Count,
        default: "0",
        doc: "Checkpoints that may fail one after the other without failing the job",
    },
    ConfigOption {
        key: "checkpoint.retained",
        kind: ConfigKind::Integer,
        default: "2",
        doc: "Complete checkpoints that are kept: if one is damaged, the one before is gone on from",
    },
    ConfigOption {
        key: "checkpoint.mode",
        kind: ConfigKind::CheckpointMode,
        default: "exactly-once",
        doc: "exactly-once, or at-least-once: then tasks with several inputs do not wait for barriers",
    },
    ConfigOption {
        key: "checkpoint.unaligned",
        kind: ConfigKind::Boolean,
        default: "false",
        doc: "Whether barriers overtake rows that wait, which become part of the checkpoint, so that it \
              does not wait for slow tasks",
    },
    ConfigOption {
        key: "checkpoint.aligned-timeout",
        kind: ConfigKind::Duration,
        default: "0 ms",
        doc: "How long an unaligned checkpoint is tried as an aligned one, at each task",
    },
    ConfigOption {
        key: "checkpoint.restore",
        kind: ConfigKind::Text,
        default: "latest",
        doc: "What a job begins from: its latest checkpoint, if there is one; none; or the directory of one",
    },
    ConfigOption {
        key: "checkpoint.claim-mode",
        kind: ConfigKind::Claim,
        default: "no-claim",
        doc: "To whom the checkpoint or savepoint belongs that checkpoint.restore names: no-claim, to the \
              user, never touched; or claim, to the engine, removed when newer ones are complete",
    },
    ConfigOption {
        key: "checkpoint.allow-non-restored-state",
        kind: ConfigKind::Boolean,
        default: "false",
        doc: "Whether state that no operator of the job takes is left behind, instead of refused",
    },
    ConfigOption {
        key: "checkpoint.savepoint-dir",
        kind: ConfigKind::Text,
        default: "",
        doc: "Where savepoints go, each into a directory of its own; there are none if not set",
    },
    ConfigOption {
        key: "heartbeat.timeout",
        kind: ConfigKind::Duration,
        default: "50 s",
        doc: "After so long a worker process that says nothing is taken for dead",
    },
    ConfigOption {
        key: "restart.attempts",
        kind: ConfigKind::Count,
        default: "3",
        doc: "How often a job with checkpoints, or a part of it, begins anew when a task fails, without having \
              gone well for an hour; when a process of it dies, it always does",
    },
    ConfigOption {
        key: "exchange.buffer-timeout",
        kind: ConfigKind::Timeout,
        default: "100 ms",
        doc: "How long a page that is not full may wait; 0 sends after each record, -1 only full \
              pages",
    },
    ConfigOption {
        key: "exchange.exclusive-segments",
        kind: ConfigKind::Integer,
        default: "2",
        doc: "Segments of each channel from another process, its first credit",
    },
    ConfigOption {
        key: "exchange.floating-segments",
        kind: ConfigKind::Integer,
        default: "8",
        doc: "Segments that such a channel, or a result partition, may use beyond its own",
    },
    ConfigOption {
        key: "exchange.max-record-size",
        kind: ConfigKind::Bytes,
        default: "16 MiB",
        doc: "The largest row; a row that does not fit a segment travels in memory of its own, of \
              which there is four times this",
    },
    ConfigOption {
        key: "source.rows-per-second",
        kind: ConfigKind::Integer,
        default: "",
        doc: "Rows that each subtask of a source reads or makes in a second at most; as many as it can if \
              not set",
    },
    ConfigOption {
        key: "exchange.debloat.enabled",
        kind: ConfigKind::Boolean,
        default: "false",
        doc: "Whether pages get smaller under backpressure, so that little is in flight",
    },
    ConfigOption {
        key: "exchange.debloat.target",
        kind: ConfigKind::Duration,
        default: "1 s",
        doc: "What is in flight towards a task should be processed within this time",
    },
    ConfigOption {
        key: "exchange.debloat.period",
        kind: ConfigKind::Duration,
        default: "200 ms",
        doc: "How often a task's throughput is measured",
    },
    ConfigOption {
        key: "exchange.debloat.samples",
        kind: ConfigKind::Integer,
        default: "20",
        doc: "Over how many measurements the size of pages is averaged",
    },
    ConfigOption {
        key: "exchange.debloat.threshold-percent",
        kind: ConfigKind::Integer,
        default: "25",
        doc: "The least change of size that producers are told, in percent",
    },
    ConfigOption {
        key: "exchange.zero-copy",
        kind: ConfigKind::ZeroCopy,
        default: "auto",
        doc: "Whether io_uring sends large pages with SENDMSG_ZC: true, false, or auto, which stops \
              where the kernel copies after all",
    },
];

impl ConfigKind {
    /// What a value should be, if this is none.
    pub(super) fn mismatch(self, value: &str) -> Option<&'static str> {
        let (good, expected) = match self {
            Self::Integer => (value.parse::<u32>().is_ok_and(|n| n > 0), "a whole number above 0"),
            Self::Count => (value.parse::<u32>().is_ok(), "a whole number"),
            Self::Boolean => (value.parse::<bool>().is_ok(), "`true` or `false`"),
            Self::Claim => (["claim", "no-claim"].contains(&value), "`claim` or `no-claim`"),
            Self::Bytes => (parse_bytes(value).is_some(), "a number of bytes such as `64 MiB`"),
            Self::SegmentSize => {
                let bytes = parse_bytes(value).and_then(|bytes| usize::try_from(bytes).ok());
                let good = bytes.is_some_and(|bytes| check_segment_size(bytes).is_ok());
                (good, "a power of two from 4 KiB to 16 MiB")
            }
            Self::Duration => (parse_duration(value).is_some(), "a time such as `100 ms`"),
            Self::Text => (true, "text"),
            Self::ZeroCopy => {
                (matches!(value, "auto" | "true" | "false"), "`auto`, `true` or `false`")
            }
            Self::CheckpointMode => {
                let good = matches!(value, "exactly-once" | "at-least-once");
                (good, "`exactly-once` or `at-least-once`")
            }
            Self::Compression => {
                let is_known = |codec: &str| matches!(codec.trim(), "none" | "lz4");
                let good = value.split(',').count() <= 2 && value.split(',').all(is_known);
                (good, "`none` or `lz4`, or two of them with a comma between")
            }
            Self::StateBackend => (matches!(value, "memory" | "lsm"), "`memory` or `lsm`"),
            Self::Storage => {
                (matches!(value, "auto" | "uring" | "threads"), "`auto`, `uring` or `threads`")
            }
            Self::Timeout => {
                let good = value == "-1" || parse_duration(value).is_some();
                (good, "a time such as `100 ms`, 0 or -1")
            }
        };
        (!good).then_some(expected)
    }
}
