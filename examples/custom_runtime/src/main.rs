//! A runtime from chosen backends, and a program that runs on it.
//!
//! `cargo run --release -p custom_runtime` counts words of the given arguments, or of a sentence.

use millstream::{
    Runtime,
    dataflow::{Environment, task::BufferTimeout},
    executor::Inline,
    result::Collected,
};
use millstream_segments::HeapArena;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Segments of 8 KiB on the heap instead of a mapping; tasks run on this thread instead of one for
    // each core; rows go on after a millisecond at the latest.
    let runtime = Runtime::builder()
        .segments(Box::new(HeapArena::new(8 << 10, 64)?))
        .executor(Inline::new())
        .parallelism(2)
        .buffer_timeout(BufferTimeout::After(1000))
        .build()?;

    let text = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let text = if text.is_empty() { "to be or not to be".to_owned() } else { text };

    let env = Environment::new("words");
    env.generate(move |subtask, parallelism| {
        let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
        words.into_iter().skip(subtask as usize).step_by(parallelism as usize)
    })
    .map(|word| (word.to_owned(), 1u64))
    .key_by::<String, _>(|pair| pair.0)
    .reduce_at_end(|count, pair| count.1 += pair.1)
    .result();

    let counts = Collected::<(String, u64)>::new();
    runtime.run(env.build(), counts.sink())?;
    let mut counts = counts.take();
    counts.sort();
    for (word, count) in counts {
        println!("{count} {word}");
    }
    Ok(())
}
