//! The plugins that functions are of.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use millstream_loader::Registry;

use crate::{error::SqlError, parse::CreateFunction};

/// The plugins that functions are of. Each file has a registry of its own, so that plugins of one name are not in
/// each other's way.
#[derive(Debug, Default)]
pub(super) struct Libraries {
    /// Of the host's plugins.
    directories: Vec<PathBuf>,
    /// These, loaded when they are asked for first.
    given: Option<Arc<Registry>>,
    /// By the file that USING PLUGIN names.
    files: BTreeMap<PathBuf, Arc<Registry>>,
}

impl Libraries {
    /// Nothing is loaded yet.
    pub(super) fn of(directories: &[PathBuf]) -> Self {
        Self { directories: directories.to_vec(), ..Self::default() }
    }

    /// The plugins that a function may be of, and the beginning of the sentence that it is of none.
    pub(super) fn registry(
        &mut self,
        created: &CreateFunction,
    ) -> Result<(Arc<Registry>, String), SqlError> {
        let Some((file, span)) = &created.library else {
            let given = self.given().map_err(|why| SqlError::spanned(created.function_at, why))?;
            return Ok((given, "the plugins of --plugin-path have".to_owned()));
        };
        let path = Path::new(file);
        if let Some(registry) = self.files.get(path) {
            return Ok((Arc::clone(registry), format!("the plugin {file} has")));
        }
        let mut registry = Registry::new();
        registry.load(path).map_err(|error| SqlError::spanned(*span, error.to_string()))?;
        let registry = Arc::new(registry);
        self.files.insert(path.to_owned(), Arc::clone(&registry));
        Ok((registry, format!("the plugin {file} has")))
    }

    /// The plugins that the host was given.
    fn given(&mut self) -> Result<Arc<Registry>, String> {
        if self.directories.is_empty() {
            return Err(
                "no plugin is known: say USING PLUGIN '/path/to/lib.so', or run the script with \
                        --plugin-path DIRECTORY"
                    .to_owned(),
            );
        }
        if let Some(given) = &self.given {
            return Ok(Arc::clone(given));
        }
        let mut registry = Registry::new();
        for directory in &self.directories {
            // Of those that are refused the host has said so.
            registry.load_directory(directory).map_err(|error| error.to_string())?;
        }
        Ok(Arc::clone(self.given.insert(Arc::new(registry))))
    }
}
