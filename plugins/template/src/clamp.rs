//! A scalar function.

use millstream_sdk::prelude::*;

/// `clamp(number, low, high)`: the number, or the bound that it is beyond.
#[derive(Debug)]
pub struct Clamp;

impl ScalarFunction for Clamp {
    const NAME: &'static str = "clamp";
    const SUMMARY: &'static str = "A number, or the bound that it is beyond";

    fn signatures() -> Vec<Signature> {
        let number = |name| Field::new(name, DataType::Int64);
        // Several signatures are overloads; `open` is told which one is meant.
        vec![
            Signature::new([number("number").nullable(), number("low"), number("high")])
                .returns(number("clamped").nullable())
                .doc("NULL stays NULL"),
        ]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        // The columns of a page of rows: once for all of them.
        let valid = arguments.column(0).validity();
        let [numbers, lows, highs] = [0, 1, 2].map(|index| arguments.column(index).fixed::<i64>());
        arguments.each(results, |row, results| {
            match valid.is_valid(row) {
                true => {
                    let clamped = numbers[row].min(highs[row]).max(lows[row]);
                    results.put_fixed(0, clamped.to_le_bytes());
                }
                false => results.put_null(0),
            }
            Ok(())
        });
        Ok(())
    }
}
