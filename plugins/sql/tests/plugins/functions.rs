//! Functions that tests call from SQL.
#![forbid(unsafe_code)]

use std::sync::atomic::{AtomicI64, Ordering};

use millstream_sdk::{data::page::Full, prelude::*};

fn text(name: &str) -> Field {
    Field::new(name, DataType::String)
}

fn number(name: &str) -> Field {
    Field::new(name, DataType::Int64)
}

/// `shout(text)`: never asked about NULL.
struct Shout;

impl ScalarFunction for Shout {
    const NAME: &'static str = "shout";
    const SUMMARY: &'static str = "A text in capitals, with a mark behind it";

    fn signatures() -> Vec<Signature> {
        vec![Signature::new([text("text")]).returns(text("shouted"))]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        let texts = arguments.column(0).strings();
        arguments.each(results, |row, results| {
            results.put_str(0, &format!("{}!", texts.at(row).to_uppercase()))
        });
        Ok(())
    }
}

/// `whisper(text)`
struct Whisper;

impl ScalarFunction for Whisper {
    const NAME: &'static str = "whisper";
    const SUMMARY: &'static str = "A text in small letters";

    fn signatures() -> Vec<Signature> {
        vec![Signature::new([text("text")]).returns(text("whispered"))]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        let texts = arguments.column(0).strings();
        arguments.each(results, |row, results| results.put_str(0, &texts.at(row).to_lowercase()));
        Ok(())
    }
}

/// `or_zero(number)`: an overload for BIGINT, one for DOUBLE; both take NULL. 13 is an error.
struct OrZero {
    signature: usize,
}

impl ScalarFunction for OrZero {
    const NAME: &'static str = "or_zero";
    const SUMMARY: &'static str = "A number, or 0 instead of NULL; 13 is an error";

    fn signatures() -> Vec<Signature> {
        let double = |name| Field::new(name, DataType::Float64);
        vec![
            Signature::new([double("number").nullable()]).returns(double("result")),
            Signature::new([number("number").nullable()]).returns(number("result")),
        ]
    }

    fn open(signature: usize) -> Result<Self, Error> {
        Ok(Self { signature })
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        let column = arguments.column(0);
        let valid = column.validity();
        if self.signature == 0 {
            let numbers = column.fixed::<f64>();
            arguments.each(results, |row, results| {
                let number = if valid.is_valid(row) { numbers[row] } else { 0.0 };
                results.put_fixed(0, number.to_le_bytes());
                Ok(())
            });
            return Ok(());
        }
        let numbers = column.fixed::<i64>();
        if arguments.rows().any(|row| valid.is_valid(row) && numbers[row] == 13) {
            return Err(Error::new("13 is no number for a function"));
        }
        arguments.each(results, |row, results| {
            let number = if valid.is_valid(row) { numbers[row] } else { 0 };
            results.put_fixed(0, number.to_le_bytes());
            Ok(())
        });
        Ok(())
    }
}

/// `tick()`: another number each time.
struct Tick;

static TICKS: AtomicI64 = AtomicI64::new(0);

impl ScalarFunction for Tick {
    const NAME: &'static str = "tick";
    const SUMMARY: &'static str = "Another number each time";
    const DETERMINISTIC: bool = false;

    fn signatures() -> Vec<Signature> {
        vec![Signature::new([]).returns(number("tick"))]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        arguments.each(results, |_, results| {
            results.put_fixed(0, TICKS.fetch_add(1, Ordering::Relaxed).to_le_bytes());
            Ok(())
        });
        Ok(())
    }
}

/// `words(text)`: the words of a text and their lengths; an empty word has no length.
struct Words {
    /// Byte in the text where the next word begins; behind the text there is none.
    next: usize,
}

impl TableFunction for Words {
    const NAME: &'static str = "words";
    const SUMMARY: &'static str = "The words of a text, and their lengths";

    fn signatures() -> Vec<Signature> {
        let length = Field::new("length", DataType::Int32).nullable();
        vec![Signature::new([text("text")]).returns(text("word")).returns(length)]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self { next: 0 })
    }

    fn begin(&mut self, _arguments: &Arguments<'_>, _row: usize) -> Result<(), Error> {
        self.next = 0;
        Ok(())
    }

    fn next(
        &mut self,
        arguments: &Arguments<'_>,
        row: usize,
        results: &mut Rows<'_>,
    ) -> Result<bool, Full> {
        let text = arguments.column(0).strings().at(row);
        let Some(rest) = text.get(self.next..).filter(|_| !text.is_empty()) else {
            return Ok(false);
        };
        let word = rest.split(' ').next().unwrap_or_default();
        results.put_str(0, word)?;
        match word.chars().count() as i32 {
            0 => results.put_null(1),
            length => results.put_fixed(1, length.to_le_bytes()),
        }
        self.next += word.len() + 1;
        Ok(true)
    }
}

/// `dice(sides)`: a row with another number each time.
struct Dice {
    thrown: bool,
}

impl TableFunction for Dice {
    const NAME: &'static str = "dice";
    const SUMMARY: &'static str = "Another number each time";
    const DETERMINISTIC: bool = false;

    fn signatures() -> Vec<Signature> {
        vec![Signature::new([number("sides")]).returns(number("side"))]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self { thrown: false })
    }

    fn begin(&mut self, _arguments: &Arguments<'_>, _row: usize) -> Result<(), Error> {
        self.thrown = false;
        Ok(())
    }

    fn next(
        &mut self,
        arguments: &Arguments<'_>,
        row: usize,
        results: &mut Rows<'_>,
    ) -> Result<bool, Full> {
        if std::mem::replace(&mut self.thrown, true) {
            return Ok(false);
        }
        let sides = arguments.column(0).fixed::<i64>()[row].max(1);
        let side = TICKS.fetch_add(1, Ordering::Relaxed) % sides;
        results.put_fixed(0, side.to_le_bytes());
        Ok(true)
    }
}

/// `total(number)`
struct Total;

impl Aggregate for Total {
    const NAME: &'static str = "total";
    const SUMMARY: &'static str = "The sum of numbers";
    type Accumulator = (i64, u64);

    fn signatures() -> Vec<Signature> {
        vec![Signature::new([number("number")]).returns(number("total"))]
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
        for (group, number) in groups.iter().zip(numbers) {
            let (total, count) = &mut accumulators[*group as usize];
            *total += number;
            *count += 1;
        }
        Ok(())
    }

    fn merge(&mut self, into: &mut (i64, u64), from: (i64, u64)) -> Result<(), Error> {
        into.0 += from.0;
        into.1 += from.1;
        Ok(())
    }

    fn result(&mut self, accumulator: &(i64, u64), result: &mut Rows<'_>) -> Result<(), Full> {
        result.put_fixed(0, accumulator.0.to_le_bytes());
        Ok(())
    }
}

/// `middle(number)`: takes rows back, and has no result without rows.
struct Middle;

impl Aggregate for Middle {
    const NAME: &'static str = "middle";
    const SUMMARY: &'static str = "The number in the middle, the less of two";
    const RETRACTS: bool = true;
    /// In order.
    type Accumulator = Vec<i64>;

    fn signatures() -> Vec<Signature> {
        vec![Signature::new([number("number")]).returns(number("middle").nullable())]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn create(&self) -> Vec<i64> {
        Vec::new()
    }

    fn add(
        &mut self,
        accumulators: &mut [Vec<i64>],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        for (group, number) in groups.iter().zip(arguments.column(0).fixed::<i64>()) {
            let numbers = &mut accumulators[*group as usize];
            numbers.insert(numbers.partition_point(|other| other < number), *number);
        }
        Ok(())
    }

    fn retract(
        &mut self,
        accumulators: &mut [Vec<i64>],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        for (group, number) in groups.iter().zip(arguments.column(0).fixed::<i64>()) {
            let numbers = &mut accumulators[*group as usize];
            let at = numbers.binary_search(number);
            numbers.remove(at.map_err(|_| Error::new(format!("{number} is not there")))?);
        }
        Ok(())
    }

    fn merge(&mut self, into: &mut Vec<i64>, from: Vec<i64>) -> Result<(), Error> {
        into.extend(from);
        into.sort_unstable();
        Ok(())
    }

    fn result(&mut self, numbers: &Vec<i64>, result: &mut Rows<'_>) -> Result<(), Full> {
        match numbers.get(numbers.len().saturating_sub(1) / 2) {
            Some(number) => result.put_fixed(0, number.to_le_bytes()),
            None => result.put_null(0),
        }
        Ok(())
    }
}

/// `tally(text, times)`: is asked about NULL, too, and gives a text.
struct Tally;

impl Aggregate for Tally {
    const NAME: &'static str = "tally";
    const SUMMARY: &'static str = "How many letters there are, and how many rows without a text";
    const RETRACTS: bool = true;
    type Accumulator = (i64, i64);

    fn signatures() -> Vec<Signature> {
        let times = Field::new("times", DataType::Int32);
        vec![Signature::new([text("text").nullable(), times]).returns(text("tally"))]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn create(&self) -> (i64, i64) {
        (0, 0)
    }

    fn add(
        &mut self,
        accumulators: &mut [(i64, i64)],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        tally(accumulators, groups, arguments, 1);
        Ok(())
    }

    fn retract(
        &mut self,
        accumulators: &mut [(i64, i64)],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        tally(accumulators, groups, arguments, -1);
        Ok(())
    }

    fn merge(&mut self, into: &mut (i64, i64), from: (i64, i64)) -> Result<(), Error> {
        into.0 += from.0;
        into.1 += from.1;
        Ok(())
    }

    fn result(&mut self, (letters, nulls): &(i64, i64), result: &mut Rows<'_>) -> Result<(), Full> {
        result.put_str(0, &format!("{letters} and {nulls}"))
    }
}

fn tally(accumulators: &mut [(i64, i64)], groups: &[u32], arguments: &Arguments<'_>, sign: i64) {
    let (texts, times) = (arguments.column(0), arguments.column(1).fixed::<i32>());
    let (valid, texts) = (texts.validity(), texts.strings());
    for (row, group) in groups.iter().enumerate() {
        let (letters, nulls) = &mut accumulators[*group as usize];
        match valid.is_valid(row) {
            true => *letters += sign * texts.at(row).len() as i64 * i64::from(times[row]),
            false => *nulls += sign,
        }
    }
}

millstream_sdk::plugin! {
    name: "sql-functions",
    summary: "Functions that tests call from SQL",
    scalars: [Shout, Whisper, OrZero, Tick],
    aggregates: [Total, Middle, Tally],
    tables: [Words, Dice],
}
millstream_sdk::export!(plugin);
