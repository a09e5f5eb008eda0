//! Functions that fail when they are told to by their argument: 1 panics, 2 is an error, anything
//! else is doubled, summed or counted down from.

use millstream_sdk::{data::page::Full, prelude::*};

fn reach(call: &str, number: i64) -> Result<(), Error> {
    assert!(number != 1, "the function's own mistake in {call}");
    match number == 2 {
        true => Err(Error::new(format!("{call} does not work today"))),
        false => Ok(()),
    }
}

fn check(call: &str, numbers: &[i64]) -> Result<(), Error> {
    numbers.iter().try_for_each(|number| reach(call, *number))
}

fn of(result: &str) -> Vec<Signature> {
    let number = Field::new("number", DataType::Int64);
    vec![Signature::new([number]).returns(Field::new(result, DataType::Int64))]
}

struct Double;

impl ScalarFunction for Double {
    const NAME: &'static str = "double";
    const SUMMARY: &'static str = "A number, doubled";

    fn signatures() -> Vec<Signature> {
        let mut signatures = of("doubled");
        // One that cannot be opened.
        let text = Field::new("text", DataType::String);
        signatures.push(Signature::new([text.clone()]).returns(text));
        signatures
    }

    fn open(signature: usize) -> Result<Self, Error> {
        assert!(signature != 1, "the function's own mistake in open");
        Ok(Self)
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        let numbers = arguments.column(0).fixed::<i64>();
        check("call", numbers)?;
        arguments.each(results, |row, results| {
            results.put_fixed(0, (2 * numbers[row]).to_le_bytes());
            Ok(())
        });
        Ok(())
    }
}

struct Sum;

impl Aggregate for Sum {
    const NAME: &'static str = "total";
    const SUMMARY: &'static str = "The sum of numbers";
    const RETRACTS: bool = true;
    type Accumulator = (i64, u64);

    fn signatures() -> Vec<Signature> {
        of("sum")
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn create(&self) -> (i64, u64) {
        (0, 0)
    }

    fn add(
        &mut self,
        accumulators: &mut [(i64, u64)],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        let numbers = arguments.column(0).fixed::<i64>();
        check("add", numbers)?;
        for (group, number) in groups.iter().zip(numbers) {
            accumulators[*group as usize].0 += number;
            accumulators[*group as usize].1 += 1;
        }
        Ok(())
    }

    fn retract(
        &mut self,
        accumulators: &mut [(i64, u64)],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        for (group, number) in groups.iter().zip(arguments.column(0).fixed::<i64>()) {
            accumulators[*group as usize].0 -= number;
            let count = &mut accumulators[*group as usize].1;
            *count = count.wrapping_sub(1);
        }
        Ok(())
    }

    fn merge(&mut self, into: &mut (i64, u64), from: (i64, u64)) -> Result<(), Error> {
        reach("merge", from.0)?;
        *into = (into.0 + from.0, into.1 + from.1);
        Ok(())
    }

    fn result(&mut self, accumulator: &(i64, u64), result: &mut Rows<'_>) -> Result<(), Full> {
        assert!(accumulator.0 != 1, "the function's own mistake in result");
        result.put_fixed(0, accumulator.0.to_le_bytes());
        Ok(())
    }
}

struct Down(i64);

impl TableFunction for Down {
    const NAME: &'static str = "down";
    const SUMMARY: &'static str = "The numbers from one down to 1";
    const DETERMINISTIC: bool = false;

    fn signatures() -> Vec<Signature> {
        of("number")
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self(0))
    }

    fn begin(&mut self, arguments: &Arguments<'_>, row: usize) -> Result<(), Error> {
        self.0 = arguments.column(0).fixed::<i64>()[row];
        reach("begin", self.0)
    }

    fn next(
        &mut self,
        _arguments: &Arguments<'_>,
        _row: usize,
        results: &mut Rows<'_>,
    ) -> Result<bool, Full> {
        results.put_fixed(0, self.0.to_le_bytes());
        self.0 -= 1;
        Ok(self.0 >= 0)
    }
}

millstream_sdk::plugin! {
    name: "function_calls",
    summary: "Functions that fail when they are told to",
    scalars: [Double],
    aggregates: [Sum],
    tables: [Down],
}
millstream_sdk::export!(plugin);
