//! `millstream config explain`.

use std::{error::Error, io::Write};

use millstream::Config;

/// Shows each option, its value, where that came from and what it means, and the parts of memory.
pub(crate) fn explain(config: &Config) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let width = config.explain().map(|(option, ..)| option.key.len()).max().unwrap_or(0);
    for (option, value, origin) in config.explain() {
        let value = if value.is_empty() { "(not set)" } else { value };
        writeln!(out, "{:<width$} {value:<12} {origin}", option.key)?;
        writeln!(out, "    {}", option.doc)?;
    }
    // What `run` would refuse is refused here, too.
    config.builder()?;
    match config.memory()? {
        Some(table) => writeln!(out, "\n{table}")?,
        None => writeln!(
            out,
            "\nSet memory.process.size or memory.engine.size to see how the parts follow from it."
        )?,
    }
    Ok(())
}
