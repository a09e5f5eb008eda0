//! Mutates the inputs of every target: `millstream-fuzz SECONDS [TARGET]`.

use std::{fs, process::ExitCode, time::Duration};

use millstream_fuzz::{TARGETS, mutate};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let seconds = arguments.next().map_or(Ok(30.0), |text| text.parse::<f64>())?;
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
