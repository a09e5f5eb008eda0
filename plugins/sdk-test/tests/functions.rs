//! Functions in a host in miniature.

use millstream_sdk::prelude::*;
use millstream_sdk_test::FunctionTest;

/// `repeat(text, times)`: the text so many times, NULL if either is.
struct Repeat {
    wide: bool,
}

impl ScalarFunction for Repeat {
    const NAME: &'static str = "repeat";
    const SUMMARY: &'static str = "A text, so many times";

    fn signatures() -> Vec<Signature> {
        let text = Field::new("text", DataType::String);
        let times = |data_type| Field::new("times", data_type);
        let result = Field::new("repeated", DataType::String);
        vec![
            Signature::new([text.clone().nullable(), times(DataType::Int32).nullable()])
                .returns(result.clone().nullable())
                .doc("NULL if either is"),
            Signature::new([text, times(DataType::Int64)]).returns(result),
        ]
    }

    fn open(signature: usize) -> Result<Self, Error> {
        Ok(Self { wide: signature == 1 })
    }

    fn call(&mut self, arguments: &Arguments<'_>, results: &mut Rows<'_>) -> Result<(), Error> {
        let (texts, times) = (arguments.column(0), arguments.column(1));
        let text = texts.views();
        arguments.each(results, |row, results| {
            if !texts.validity().is_valid(row) || !times.validity().is_valid(row) {
                results.put_null(0);
                return Ok(());
            }
            let times = match self.wide {
                true => times.fixed::<i64>()[row],
                false => times.fixed::<i32>()[row].into(),
            };
            let times = usize::try_from(times).unwrap_or(0);
            let text = String::from_utf8_lossy(text.at(row)).repeat(times);
            results.put_str(0, &text)
        });
        Ok(())
    }
}

/// The longest text of a group.
struct Longest;

impl Aggregate for Longest {
    const NAME: &'static str = "longest";
    const SUMMARY: &'static str = "The longest text";
    type Accumulator = (u64, Option<String>);

    fn signatures() -> Vec<Signature> {
        let text = Field::new("text", DataType::String);
        vec![Signature::new([text.clone()]).returns(text.nullable())]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self)
    }

    fn create(&self) -> Self::Accumulator {
        (0, None)
    }

    fn add(
        &mut self,
        accumulators: &mut [Self::Accumulator],
        groups: &[u32],
        arguments: &Arguments<'_>,
    ) -> Result<(), Error> {
        let texts = arguments.column(0).views();
        for (row, group) in arguments.rows().zip(groups) {
            let text = String::from_utf8_lossy(texts.at(row)).into_owned();
            self.merge(&mut accumulators[*group as usize], (1, Some(text)))?;
        }
        Ok(())
    }

    fn merge(
        &mut self,
        into: &mut Self::Accumulator,
        from: Self::Accumulator,
    ) -> Result<(), Error> {
        into.0 += from.0;
        let length = |text: &Option<String>| text.as_ref().map(String::len);
        if length(&from.1) > length(&into.1) {
            into.1 = from.1;
        }
        Ok(())
    }

    fn result(
        &mut self,
        accumulator: &Self::Accumulator,
        result: &mut Rows<'_>,
    ) -> Result<(), Full> {
        match &accumulator.1 {
            Some(text) => result.put_str(0, text),
            None => {
                result.put_null(0);
                Ok(())
            }
        }
    }
}

/// The numbers below one.
#[derive(Default)]
struct Below {
    next: i64,
}

impl TableFunction for Below {
    const NAME: &'static str = "below";
    const SUMMARY: &'static str = "The numbers below one, with their squares";

    fn signatures() -> Vec<Signature> {
        let number = |name| Field::new(name, DataType::Int64);
        vec![Signature::new([number("bound")]).returns(number("number")).returns(number("square"))]
    }

    fn open(_signature: usize) -> Result<Self, Error> {
        Ok(Self::default())
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
        if self.next >= arguments.column(0).fixed::<i64>()[row] {
            return Ok(false);
        }
        results.put_fixed(0, self.next.to_le_bytes());
        results.put_fixed(1, (self.next * self.next).to_le_bytes());
        self.next += 1;
        Ok(true)
    }
}

millstream_sdk::plugin! {
    name: "functions",
    summary: "Functions for tests",
    scalars: [Repeat],
    aggregates: [Longest],
    tables: [Below],
}

#[test]
fn a_scalar_function_gives_a_result_for_each_row() {
    let repeat = FunctionTest::new(plugin, "repeat");
    let rows = [
        (Some("ab".to_owned()), Some(3)),
        (None, Some(1)),
        (Some("c".into()), None),
        // Beyond a page of results of 4 KiB.
        (Some("long".into()), Some(30_000)),
        (Some(String::new()), Some(5)),
    ];
    let results = repeat.scalar::<_, Option<String>>(&rows).unwrap();
    let lengths: Vec<_> = results.iter().map(|text| text.as_ref().map(String::len)).collect();
    assert_eq!(lengths, [Some(6), None, None, Some(120_000), Some(0)]);
    assert_eq!(results[0].as_deref(), Some("ababab"));
    let many: Vec<_> = (0..1000).map(|n| (Some(format!("{n},")), Some(n % 50))).collect();
    repeat.check_scalar::<_, Option<String>>(&many);
    repeat.check_scalar::<_, Option<String>>(&rows);
    assert_eq!(repeat.scalar::<_, String>(&[("z".to_owned(), 2i64)]).unwrap(), ["zz"]);
}

#[test]
fn arguments_that_nothing_takes_are_refused_with_what_is_taken() {
    let repeat = FunctionTest::new(plugin, "repeat");
    let said = repeat.scalar::<(String,), String>(&[]).unwrap_err().to_string();
    assert!(
        said.contains("function `repeat` of plugin functions does not take (STRING)"),
        "{said}"
    );
    assert!(said.contains("(text STRING NULL, times INT NULL) -> repeated STRING NULL"), "{said}");
    // The second signature takes no NULL.
    let said = repeat.scalar::<(Option<String>, i64), String>(&[]).unwrap_err().to_string();
    assert!(said.contains("does not take (STRING NULL, BIGINT)"), "{said}");
    let said = repeat.table::<(String, i64), String>(&[]).unwrap_err().to_string();
    assert!(
        said.contains("is no table function, but a function of another kind: scalar function"),
        "{said}"
    );
}

#[test]
fn accumulators_are_bytes_that_can_be_merged() {
    let longest = FunctionTest::new(plugin, "longest");
    let rows = [(0, "a"), (2, "ccc"), (0, "aa"), (2, "c")].map(|(n, text)| (n, text.to_owned()));
    let results = longest.aggregate::<String, Option<String>>(&rows).unwrap();
    assert_eq!(results, [Some("aa".into()), None, Some("ccc".into())]);
    let texts: Vec<String> = (0..20).map(|n| "x".repeat(n * 7 % 20)).collect();
    longest.check_aggregate::<String, Option<String>>(&texts);
}

#[test]
fn a_table_function_says_to_which_row_a_result_belongs() {
    let below = FunctionTest::new(plugin, "below");
    let results = below.table::<i64, (i64, i64, u32)>(&[2, 0, 3]).unwrap();
    assert_eq!(results, [(0, 0, 0), (1, 1, 0), (0, 0, 2), (1, 1, 2), (2, 4, 2)]);
    // More than a page of results, also from one row.
    below.check_table::<i64, (i64, i64, u32)>(&[1000, 1, 5000, 0, 3]);
}
