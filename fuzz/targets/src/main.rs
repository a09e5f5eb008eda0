//! Mutates the inputs of every target: `millstream-fuzz SECONDS [TARGET]`; or writes them into
//! folders for another fuzzer: `millstream-fuzz --inputs DIRECTORY`.

use std::{fs, io, path::Path, process::ExitCode, time::Duration};

use millstream_fuzz::{TARGETS, mutate};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("--inputs") {
        let directory = arguments.next().ok_or("`--inputs` is followed by a directory")?;
        write_inputs(Path::new(&directory))?;
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = first.map_or(Ok(30.0), |text| text.parse::<f64>())?;
    let only = arguments.next();
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    let targets: Vec<_> = TARGETS.iter().filter(|target| wanted(target.name)).collect();
    let each = Duration::from_secs_f64(seconds / targets.len().max(1) as f64);
    for target in targets {
        let report = mutate::run(target, &mutate::inputs(target)?, 1, each);
        println!("{}: {} inputs", target.name, report.tried);
        if let Some(input) = report.failed {
            let directory = mutate::corpus(target);
            fs::create_dir_all(&directory)?;
            let path = directory.join(format!("failed-{}", input.len()));
            fs::write(&path, input)?;
            eprintln!("{} failed: its input is {}", target.name, path.display());
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the inputs of each target into a folder of its name.
fn write_inputs(directory: &Path) -> io::Result<()> {
    for target in TARGETS {
        let directory = directory.join(target.name);
        fs::create_dir_all(&directory)?;
        for (number, input) in mutate::inputs(target)?.iter().enumerate() {
            fs::write(directory.join(format!("input-{number}")), input)?;
        }
    }
    Ok(())
}
