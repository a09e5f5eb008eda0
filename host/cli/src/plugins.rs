//! `millstream plugin`.

use std::{
    error::Error,
    fmt::Write,
    path::{Path, PathBuf},
};

use millstream::{
    builder,
    loader::{
        ExtensionInfo, FunctionInfo, Kind, OptionInfo, OptionType, PluginInfo, Registry, nearest,
    },
};

/// The bundled plugins and those of these directories. A library that is refused is a warning, for
/// the others may be what is asked for.
pub(crate) fn registry(directories: &[PathBuf]) -> Result<Registry, Box<dyn Error>> {
    let mut registry = Registry::new();
    builder::bundle(&mut registry)?;
    for directory in directories {
        for refused in registry.load_directory(directory)? {
            eprintln!("warning: {refused}");
        }
    }
    Ok(registry)
}

/// What `plugin list` prints: a line for each thing that a plugin offers.
pub(crate) fn list(registry: &Registry) -> String {
    let mut rows = vec![["KIND".into(), "NAME".into(), "PLUGIN".into(), "WHAT IT IS".into()]];
    for plugin in registry.plugins() {
        for extension in &plugin.extensions {
            rows.push([
                extension.kind().name().into(),
                extension.name.clone(),
                format!("{} {} ({})", plugin.name, plugin.version, file_name(&plugin.origin)),
                extension.summary.clone(),
            ]);
        }
    }
    table(&rows)
}

/// What `plugin inspect` prints: all about a plugin, a connector of any, or a library.
pub(crate) fn inspect(registry: &mut Registry, what: &str) -> Result<String, Box<dyn Error>> {
    if what.contains('/') || Path::new(what).extension().is_some_and(|end| end == "so") {
        let plugin = registry.load(Path::new(what))?;
        return Ok(describe(plugin, &|_| true));
    }
    let plugins = registry.plugins();
    if let Some(plugin) = plugins.iter().find(|plugin| plugin.name == what) {
        return Ok(describe(plugin, &|_| true));
    }
    let offers = |plugin: &&PluginInfo| plugin.extensions.iter().any(|e| e.name == what);
    let found: String =
        plugins.iter().filter(offers).map(|plugin| describe(plugin, &|e| e.name == what)).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names = plugins.iter().flat_map(|plugin| {
        let extensions = plugin.extensions.iter().map(|extension| extension.name.as_str());
        extensions.chain([plugin.name.as_str()])
    });
    let hint = match nearest(what, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "`millstream plugin list` shows what there is".into(),
    };
    Err(format!(
        "there is no plugin, source, sink, format, function or job called `{what}`: {hint}"
    )
    .into())
}

fn describe(plugin: &PluginInfo, wanted: &dyn Fn(&ExtensionInfo) -> bool) -> String {
    let PluginInfo { name, version, summary, origin, .. } = plugin;
    let mut out = format!("{name} {version}: {summary}\nfrom: {origin}\n");
    for extension in plugin.extensions.iter().filter(|extension| wanted(extension)) {
        let kind = extension.kind();
        // Writing to a string does not fail.
        let _ = write!(out, "\n{} {}: {}\n", kind.name(), extension.name, extension.summary);
        if let Some(function) = &extension.function {
            describe_function(&mut out, function);
            continue;
        }
        if extension.options.is_empty() {
            out.push_str("  no options\n");
            continue;
        }
        let head = ["OPTION", "TYPE", "DEFAULT", "WHAT IT IS"].map(String::from);
        let rows = extension.options.iter().map(|option| option_row(option, extension));
        let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
        for line in table(&rows).lines() {
            let _ = writeln!(out, "  {line}");
        }
    }
    out.push('\n');
    out
}

/// The kind of a function, and a line for each of its signatures.
fn describe_function(out: &mut String, function: &FunctionInfo) {
    let mut kind = function.kind.name().to_owned();
    if !function.deterministic {
        kind.push_str(", not deterministic");
    }
    if function.retracts {
        kind.push_str(", takes rows back");
    }
    // Writing to a string does not fail.
    let _ = writeln!(out, "  {kind}");
    for signature in &function.signatures {
        let doc = if signature.doc.is_empty() { "" } else { ": " };
        let _ = writeln!(out, "  {signature}{doc}{}", signature.doc);
    }
}

fn option_row(option: &OptionInfo, owner: &ExtensionInfo) -> [String; 4] {
    let value_type = match option.value_type {
        OptionType::String => "text",
        OptionType::Integer => "integer",
        OptionType::Float => "number",
        OptionType::Boolean => "boolean",
        OptionType::Bytes => "bytes",
        OptionType::Duration => "time",
        OptionType::Format => "format",
    };
    let default = match (&option.default, option.required, option.secret) {
        (_, true, _) => "(required)".into(),
        (Some(_), _, true) => "(secret)".into(),
        (Some(default), ..) if default.trim().is_empty() => format!("{default:?}"),
        (Some(default), ..) => default.clone(),
        (None, ..) => "-".into(),
    };
    let secret = if option.secret { " (secret: its value is never shown)" } else { "" };
    // As they are written: those of a job on the command line, those of a format beside the options
    // of the connector that uses it.
    let name = match owner.kind() {
        Kind::Job => format!("--{}", option.name),
        Kind::Format => format!("{}.{}", owner.name, option.name),
        _ => option.name.clone(),
    };
    [name, value_type.into(), default, format!("{}{secret}", option.doc)]
}

/// Rows in columns, two spaces apart.
fn table(rows: &[[String; 4]]) -> String {
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let widths: [usize; 3] = std::array::from_fn(width);
    let line = |[a, b, c, d]: &[String; 4]| {
        let [x, y, z] = widths;
        format!("{a:x$}  {b:y$}  {c:z$}  {d}").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn file_name(origin: &str) -> &str {
    origin.rsplit('/').next().unwrap_or(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bundled_connector_is_listed() {
        let listed = list(&registry(&[]).unwrap());
        for line in ["source  nexmark", "source  datagen", "sink    print", "sink    filesystem"] {
            assert!(listed.contains(line), "{line} in\n{listed}");
        }
        for line in ["format  csv", "format  json", "format  text", "format  debezium-json"] {
            assert!(listed.contains(line), "{line} in\n{listed}");
        }
        assert!(listed.starts_with("KIND    NAME            PLUGIN"), "{listed}");
    }

    #[test]
    fn options_are_explained() {
        let mut registry = registry(&[]).unwrap();
        let shown = inspect(&mut registry, "filesystem").unwrap();
        assert!(shown.contains("\nsource filesystem: ") && shown.contains("\nsink filesystem: "));
        let path = shown.lines().find(|line| line.trim_start().starts_with("path ")).unwrap();
        assert!(path.contains("text") && path.contains("(required)"), "{path}");
        let format = shown.lines().find(|line| line.trim_start().starts_with("format ")).unwrap();
        assert!(format.contains("  format  ") && format.contains("  csv  "), "{format}");
        let shown = inspect(&mut registry, "csv").unwrap();
        assert!(shown.contains("\nformat csv: "), "{shown}");
        let delimiter = shown.lines().find(|line| line.contains("csv.field-delimiter")).unwrap();
        assert!(delimiter.contains("  ,  "), "{delimiter}");
        let said = inspect(&mut registry, "nexmrak").unwrap_err().to_string();
        assert!(said.contains("did you mean `nexmark`?"), "{said}");
        let said = inspect(&mut registry, "./absent.so").unwrap_err().to_string();
        assert!(said.contains("absent.so"), "{said}");
    }
}
