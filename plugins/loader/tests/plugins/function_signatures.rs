//! A function whose signatures contradict each other.

use millstream_sdk::prelude::*;

struct Twice;

impl ScalarFunction for Twice {
    const NAME: &'static str = "twice";
    const SUMMARY: &'static str = "Takes the same types twice";

    fn signatures() -> Vec<Signature> {
        let number = |name| Field::new(name, DataType::Int64);
        let text = Field::new("text", DataType::String);
        vec![
            Signature::new([number("a")]).returns(number("b")),
            Signature::new([number("other").nullable()]).returns(text),
        ]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn call(&mut self, _arguments: &Arguments<'_>, _results: &mut Rows<'_>) -> Result<(), Error> {
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "function_signatures",
    summary: "A function that cannot be resolved",
    scalars: [Twice],
}
millstream_sdk::export!(plugin);
