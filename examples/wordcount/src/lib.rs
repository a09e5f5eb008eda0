//! How often each word occurs in a text.
//!
//! ```text
//! millstream run target/release/libwordcount.so [--input FILE]
//! ```

use millstream_sdk::prelude::*;

/// A row of the result.
#[derive(Clone, Record)]
struct Count {
    word: String,
    count: i64,
}

#[derive(Clone)]
struct Occurrences;

impl AggregateFunction for Occurrences {
    type In = String;
    type Key = String;
    type Accumulator = i64;
    type Out = Count;

    fn create(&self) -> i64 {
        0
    }

    fn add(&self, count: &mut i64, _word: &str) {
        *count += 1;
    }

    fn finish(&self, word: &str, count: &i64) -> Count {
        Count { word: word.into(), count: *count }
    }
}

/// The words of a line: letters, and apostrophes within; capitals do not matter.
fn words(line: &str) -> Vec<String> {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '\'';
    line.split(|c| !part_of_word(c))
        .map(|word| word.trim_matches('\'').to_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

struct WordCount;

impl Job for WordCount {
    const NAME: &'static str = "wordcount";
    const SUMMARY: &'static str = "How often each word occurs in a text";
    const OPTIONS: &'static [OptionDoc] =
        &[OptionDoc::string("input", "A text file, a directory, or a pattern")
            .default(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/gettysburg.txt"))];

    fn build(env: &Environment, options: &Options) -> Result<(), Error> {
        let lines = Connector::new("filesystem")
            .option("path", options.string("input")?)
            .option("format", "text");
        env.source::<String>("lines", lines)
            .flat_map(words)
            .key_by::<String, _>(|word| *word)
            .aggregate_at_end(Occurrences)
            .result();
        Ok(())
    }
}

millstream_sdk::plugin! {
    name: "wordcount",
    summary: "The second example of Millstream",
    jobs: [WordCount],
}
millstream_sdk::export!(plugin);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_letters_with_apostrophes_within() {
        assert_eq!(
            words("The people's 'rights' --- THE End."),
            ["the", "people's", "rights", "the", "end"]
        );
        assert!(words(" , ''").is_empty());
    }
}
