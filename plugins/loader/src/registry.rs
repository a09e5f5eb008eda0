//! The plugins that an engine knows.

use std::path::Path;

use millstream_abi::{EntryFn, FunctionTable};
use millstream_data::types::Schema;
use strsim::levenshtein;

use crate::{
    CallError, ExtensionInfo, FunctionKind, Kind, LoadError, OpenAggregate, OpenFormat, OpenJob,
    OpenScalar, OpenSink, OpenSource, OpenTableFunction, OptionInfo, OptionType, PluginInfo,
    SignatureInfo,
    call::Name,
    format::{Formats, offering},
    library,
    options::check_options,
    plugin::{Table, read_plugin},
};

/// The plugins that an engine knows, by name.
#[derive(Debug, Default)]
pub struct Registry {
    plugins: Vec<PluginInfo>,
    formats: Formats,
}

impl Registry {
    /// A registry without plugins.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a plugin that is linked into this program.
    ///
    /// # Errors
    /// If its tables are refused, or something of its name is there already.
    pub fn bundle(&mut self, entry: EntryFn) -> Result<&PluginInfo, LoadError> {
        self.add(read_plugin("bundled", entry)?)
    }

    /// Loads a plugin from a file. It is never unloaded, even if it is refused.
    ///
    /// # Errors
    /// If the file is refused, or something of its name is there already.
    pub fn load(&mut self, path: &Path) -> Result<&PluginInfo, LoadError> {
        self.add(library::load(path)?)
    }

    /// Loads every library of a directory, in the order of their names, that is not loaded yet; gives
    /// those that were refused.
    ///
    /// # Errors
    /// If the directory cannot be listed.
    pub fn load_directory(&mut self, directory: &Path) -> Result<Vec<LoadError>, LoadError> {
        let unreadable = |error| LoadError::Directory { path: directory.into(), error };
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.extension().is_some_and(|extension| extension == "so") {
                paths.push(path);
            }
        }
        paths.sort();
        paths.retain(|path| !self.is_loaded(path));
        Ok(paths.iter().filter_map(|path| self.load(path).err()).collect())
    }

    /// Whether the plugin of this very file is here.
    fn is_loaded(&self, path: &Path) -> bool {
        let path = path.canonicalize().map(|path| path.display().to_string());
        path.is_ok_and(|path| self.plugins.iter().any(|plugin| plugin.origin == path))
    }

    /// The plugins, in the order they came.
    pub fn plugins(&self) -> &[PluginInfo] {
        &self.plugins
    }

    /// Opens a source for rows of `schema`.
    ///
    /// # Errors
    /// If there is none of this name, its options are refused, or it refuses.
    pub fn source(
        &self,
        name: &str,
        options: &[(String, String)],
        schema: &Schema,
    ) -> Result<OpenSource, CallError> {
        let (extension, owner) = self.find(Kind::Source, name)?;
        self.check(&format!("source `{name}`"), &extension.options, options)?;
        OpenSource::open(owner, extension, &self.formats, options, schema)
    }

    /// Opens a sink for rows of `schema`.
    ///
    /// # Errors
    /// As [`Registry::source`].
    pub fn sink(
        &self,
        name: &str,
        options: &[(String, String)],
        schema: &Schema,
    ) -> Result<OpenSink, CallError> {
        let (extension, owner) = self.find(Kind::Sink, name)?;
        self.check(&format!("sink `{name}`"), &extension.options, options)?;
        offering(&self.formats, || OpenSink::open(owner, extension, options, schema)).0
    }

    /// Opens a format for rows of `schema`; its options without its name in front.
    ///
    /// # Errors
    /// As [`Registry::source`].
    pub fn format(
        &self,
        name: &str,
        options: &[(String, String)],
        schema: &Schema,
    ) -> Result<OpenFormat, CallError> {
        let offered = self.formats.find(name)?;
        check_options(&format!("format `{name}`"), &offered.options, options)?;
        OpenFormat::open(offered.owner.clone(), offered.table, options, schema)
    }

    /// Opens a job of a plugin.
    ///
    /// # Errors
    /// As [`Registry::source`].
    pub fn job(
        &self,
        plugin: &PluginInfo,
        name: &str,
        options: &[(String, String)],
    ) -> Result<OpenJob, CallError> {
        let extension = plugin.extensions.iter().find(|e| e.kind() == Kind::Job && e.name == name);
        let extension = extension
            .ok_or_else(|| CallError::new(format!("plugin {} has no job `{name}`", plugin.name)))?;
        check_options(&format!("job `{name}`"), &extension.options, options)?;
        OpenJob::open(owner(plugin, extension), extension, options)
    }

    /// Opens a scalar function for pages with these columns as arguments, and results in segments of
    /// this size.
    ///
    /// # Errors
    /// If there is none of this name, no signature takes the arguments, or it refuses.
    pub fn scalar(
        &self,
        name: &str,
        arguments: &Schema,
        segment_size: usize,
    ) -> Result<OpenScalar, CallError> {
        let (owner, table, number, signature) =
            self.function(FunctionKind::Scalar, name, arguments)?;
        OpenScalar::open(owner, table, arguments, (number, &signature.results), segment_size)
    }

    /// Opens a table function, as [`Registry::scalar`].
    ///
    /// # Errors
    /// As [`Registry::scalar`].
    pub fn table_function(
        &self,
        name: &str,
        arguments: &Schema,
        segment_size: usize,
    ) -> Result<OpenTableFunction, CallError> {
        let (owner, table, number, signature) =
            self.function(FunctionKind::Table, name, arguments)?;
        OpenTableFunction::open(owner, table, arguments, (number, &signature.results), segment_size)
    }

    /// Opens an aggregate function, as [`Registry::scalar`].
    ///
    /// # Errors
    /// As [`Registry::scalar`].
    pub fn aggregate(
        &self,
        name: &str,
        arguments: &Schema,
        segment_size: usize,
    ) -> Result<OpenAggregate, CallError> {
        let (owner, table, number, signature) =
            self.function(FunctionKind::Aggregate, name, arguments)?;
        OpenAggregate::open(owner, table, arguments, (number, signature), segment_size)
    }

    /// The signature of a function that takes these arguments: what it gives.
    ///
    /// # Errors
    /// If there is no such function, or no signature takes the arguments.
    pub fn signature(
        &self,
        kind: FunctionKind,
        name: &str,
        arguments: &Schema,
    ) -> Result<&SignatureInfo, CallError> {
        self.function(kind, name, arguments).map(|(.., signature)| signature)
    }

    fn function(
        &self,
        kind: FunctionKind,
        name: &str,
        arguments: &Schema,
    ) -> Result<(Name, &FunctionTable, usize, &SignatureInfo), CallError> {
        let (extension, owner) = self.find(Kind::Function, name)?;
        let (Table::Function(table), Some(info)) = (&extension.table, &extension.function) else {
            return Err(CallError::new(format!("{owner} is no function")));
        };
        if info.kind != kind {
            let (is, asked) = (info.kind.name(), kind.name());
            return Err(CallError::new(format!(
                "{owner} is no {asked}, but a function of another kind: {is}"
            )));
        }
        let (number, signature) = info.resolve(&owner, arguments)?;
        Ok((owner, table, number, signature))
    }

    /// Checks the options of a connector, and those of the formats that they name.
    fn check(
        &self,
        owner: &str,
        declared: &[OptionInfo],
        given: &[(String, String)],
    ) -> Result<(), CallError> {
        let mut all = declared.to_vec();
        for option in declared.iter().filter(|option| option.value_type == OptionType::Format) {
            let value = given.iter().rev().find(|(name, _)| *name == option.name);
            let value = value.map(|(_, value)| value.as_str()).or(option.default.as_deref());
            let Some(name) = value else { continue };
            let format = self.formats.find(name).map_err(|error| {
                CallError::new(format!("the option `{}` of {owner}: {error}", option.name))
            })?;
            let prefixed = |option: &OptionInfo| OptionInfo {
                name: format!("{name}.{}", option.name),
                ..option.clone()
            };
            all.extend(format.options.iter().map(prefixed));
        }
        check_options(owner, &all, given)
    }

    fn find(&self, kind: Kind, name: &str) -> Result<(&ExtensionInfo, Name), CallError> {
        let all = || {
            let of = |plugin| move |extension| (plugin, extension);
            self.plugins
                .iter()
                .flat_map(move |plugin: &PluginInfo| plugin.extensions.iter().map(of(plugin)))
        };
        let found = all().find(|(_, e)| e.kind() == kind && e.name == name);
        found.map(|(plugin, extension)| (extension, owner(plugin, extension))).ok_or_else(|| {
            let known: Vec<_> =
                all().filter(|(_, e)| e.kind() == kind).map(|(_, e)| e.name.as_str()).collect();
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => "no plugin that is loaded or bundled offers one".into(),
                None => format!("known are {}", known.join(", ")),
            };
            CallError::new(format!("there is no {} called `{name}`: {hint}", kind.name()))
        })
    }

    fn add(&mut self, plugin: PluginInfo) -> Result<&PluginInfo, LoadError> {
        let duplicate = |what, name: &str, first: &PluginInfo| LoadError::Duplicate {
            what,
            name: name.into(),
            origin: format!("{} ({})", plugin.name, plugin.origin),
            first: format!("{} ({})", first.name, first.origin),
        };
        for known in &self.plugins {
            if known.name == plugin.name {
                return Err(duplicate("the name", &plugin.name, known));
            }
            for extension in &plugin.extensions {
                let same =
                    |e: &&ExtensionInfo| e.kind() == extension.kind() && e.name == extension.name;
                if known.extensions.iter().find(same).is_some() {
                    return Err(duplicate(extension.kind().name(), &extension.name, known));
                }
            }
        }
        for extension in &plugin.extensions {
            if let Table::Format(table) = &extension.table {
                let owner = owner(&plugin, extension);
                self.formats.add(&extension.name, owner, &extension.options, table);
            }
        }
        self.plugins.push(plugin);
        Ok(self.plugins.last().expect("a plugin was just added"))
    }
}

fn owner(plugin: &PluginInfo, extension: &ExtensionInfo) -> Name {
    format!("{} `{}` of plugin {}", extension.kind().name(), extension.name, plugin.name).into()
}

/// The known name that is nearest to one that is not known, if one is near.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|known| (levenshtein(name, known), known)).min()?;
    (near.0 <= name.len().max(3) / 3 + 1).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_near() {
        let known = || ["filesystem", "nexmark", "datagen"].into_iter();
        assert_eq!(nearest("filesytem", known()), Some("filesystem"));
        assert_eq!(nearest("nexmrak", known()), Some("nexmark"));
        assert_eq!(nearest("kafka", known()), None);
    }

    #[test]
    fn distances() {
        assert_eq!(levenshtein("", "abc"), 3);
        assert_eq!(levenshtein("abc", "abc"), 0);
        assert_eq!(levenshtein("kitten", "sitting"), 3);
    }
}
