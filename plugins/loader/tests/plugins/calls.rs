//! Fails in whichever call it is told to.

use millstream_sdk::prelude::*;

const OPTIONS: &[OptionDoc] = &[
    OptionDoc::string("panic", "The call that panics").default(""),
    OptionDoc::string("error", "The call that gives an error").default(""),
];

/// Which call fails, and how.
#[derive(Clone)]
struct Fault {
    panic: String,
    error: String,
}

impl Fault {
    fn new(options: &Options) -> Result<Self, Error> {
        Ok(Self { panic: options.string("panic")?.into(), error: options.string("error")?.into() })
    }

    fn reach(&self, call: &str) -> Result<(), Error> {
        assert!(self.panic != call, "the plugin's own mistake in {call}");
        match self.error == call {
            true => Err(Error::new(format!("{call} does not work today"))),
            false => Ok(()),
        }
    }
}

/// A source of the numbers below ten.
struct Numbers(Fault);

impl Source for Numbers {
    const NAME: &'static str = "calls";
    const SUMMARY: &'static str = "Ten numbers, or less";
    const OPTIONS: &'static [OptionDoc] = OPTIONS;
    type Reader = NumbersReader;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        let fault = Fault::new(options)?;
        fault.reach("open")?;
        Ok(Self(fault))
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        self.0.reach("splits")?;
        Ok(vec![vec![0], vec![5]])
    }

    fn reader(&self, _subtask: Subtask) -> Result<NumbersReader, Error> {
        self.0.reach("reader")?;
        Ok(NumbersReader { fault: self.0.clone(), next: 0 })
    }
}

struct NumbersReader {
    fault: Fault,
    next: u64,
}

impl SplitReader for NumbersReader {
    fn begin(&mut self, split: &[u8]) -> Result<(), Error> {
        self.fault.reach("begin")?;
        self.next = split.first().copied().unwrap_or_default().into();
        Ok(())
    }

    fn fill(&mut self, rows: &mut Rows<'_>) -> Result<Filled, Error> {
        self.fault.reach("fill")?;
        for number in self.next..self.next + 5 {
            rows.put_fixed(0, number.to_le_bytes());
            rows.commit();
        }
        Ok(Filled::SplitDone)
    }
}

impl Drop for NumbersReader {
    fn drop(&mut self) {
        // An error has nowhere to go from here; a panic must not leave either.
        let _ = self.fault.reach("close");
    }
}

/// A sink that forgets.
struct Forget(Fault);

impl Sink for Forget {
    const NAME: &'static str = "calls";
    const SUMMARY: &'static str = "Forgets what it is given";
    const OPTIONS: &'static [OptionDoc] = OPTIONS;
    type Writer = ForgetWriter;

    fn open(options: &Options, _schema: &Schema) -> Result<Self, Error> {
        let fault = Fault::new(options)?;
        fault.reach("open")?;
        Ok(Self(fault))
    }

    fn writer(&self, _subtask: Subtask) -> Result<ForgetWriter, Error> {
        self.0.reach("writer")?;
        Ok(ForgetWriter(self.0.clone()))
    }
}

struct ForgetWriter(Fault);

impl PageWriter for ForgetWriter {
    fn write(&mut self, _page: &ValidPage<'_>) -> Result<(), Error> {
        self.0.reach("write")
    }

    fn finish(&mut self) -> Result<(), Error> {
        self.0.reach("finish")
    }
}

/// A job that sums ten numbers.
struct Sum;

impl Job for Sum {
    const NAME: &'static str = "sum";
    const SUMMARY: &'static str = "Sums ten numbers";
    const OPTIONS: &'static [OptionDoc] = OPTIONS;

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let fault = Fault::new(options)?;
        fault.reach("build")?;
        env.generate(|subtask, parallelism| {
            (0..10u64).skip(subtask as usize).step_by(parallelism as usize)
        })
        .map(move |number| fault.reach("process").map(|()| number).unwrap_or_default())
        .key_by::<u64, _>(|_| 0)
        .reduce_at_end(|sum, number| *sum += number)
        .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "calls",
    summary: "Fails in whichever call it is told to",
    sources: [Numbers],
    sinks: [Forget],
    jobs: [Sum],
}
millstream_sdk::export!(plugin);
