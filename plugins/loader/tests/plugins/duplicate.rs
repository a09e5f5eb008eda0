//! Offers a source by a name that another plugin has, too.

use millstream_sdk::prelude::*;

struct Again;

impl Source for Again {
    const NAME: &'static str = "calls";
    const SUMMARY: &'static str = "Has the name of another source";
    const OPTIONS: &'static [OptionDoc] = &[];
    type Reader = Nothing;

    fn open(_options: &Options, _schema: &Schema) -> Result<Self, Error> {
        Ok(Self)
    }

    fn splits(&self) -> Result<Vec<Vec<u8>>, Error> {
        Ok(Vec::new())
    }

    fn reader(&self, _subtask: Subtask) -> Result<Nothing, Error> {
        Ok(Nothing)
    }
}

struct Nothing;

impl SplitReader for Nothing {
    fn begin(&mut self, _split: &[u8]) -> Result<(), Error> {
        Ok(())
    }

    fn fill(&mut self, _rows: &mut Rows<'_>) -> Result<Filled, Error> {
        Ok(Filled::SplitDone)
    }
}

millstream_sdk::plugin! {
    name: "duplicate",
    summary: "Has a source of a name that is taken",
    sources: [Again],
}
millstream_sdk::export!(plugin);
