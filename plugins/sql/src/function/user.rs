//! Functions of users: CREATE FUNCTION takes them from plugins.

mod aggregate;
mod library;
mod open;
mod page;
mod scalar;
mod signature;
mod table;

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, sync::Arc};

use millstream_loader::{FunctionInfo, FunctionKind, Registry};
use sqlparser::ast::Ident;

pub(crate) use aggregate::{AggregateCaller, Given, UserAggregate, UserCall};
use library::Libraries;
use signature::Signature;

use crate::{
    bind::Bound,
    error::{SqlError, suggestion},
    parse::CreateFunction,
};

/// Calls that the parser reads in a way of their own, whose functions are always ours.
const OF_SYNTAX: &[&str] =
    &["CEIL", "CEILING", "EXTRACT", "FLOOR", "OVERLAY", "POSITION", "SUBSTRING", "SUBSTR", "TRIM"];

/// The functions of users, by their names in capitals.
type ByName = BTreeMap<String, Arc<UserFunction>>;

thread_local! {
    /// Those that the statement may call which is being bound. Expressions are bound in many places, most of
    /// which know the rows only that they are about.
    static KNOWN: RefCell<Arc<ByName>> = RefCell::default();
}

/// The functions that a script has made, and the plugins that they are of.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    by_name: Arc<ByName>,
    libraries: Libraries,
}

/// A function of a plugin, by the name that queries call.
#[derive(Debug)]
pub(crate) struct UserFunction {
    /// As it was created.
    name: String,
    /// What its plugin calls it.
    function: String,
    /// The function, its plugin and its file: tells functions of one name apart.
    origin: String,
    kind: FunctionKind,
    deterministic: bool,
    /// Whether an aggregate function takes rows back.
    retracts: bool,
    signatures: Vec<Signature>,
    registry: Arc<Registry>,
}

/// While it lives, queries that this thread binds know some functions.
#[derive(Debug)]
pub(crate) struct Known(Arc<ByName>);

impl Drop for Known {
    fn drop(&mut self) {
        KNOWN.with_borrow_mut(|known| std::mem::swap(known, &mut self.0));
    }
}

/// The function of this name, in capitals, if a user has made one.
pub(crate) fn of_user(name: &str) -> Option<Arc<UserFunction>> {
    KNOWN.with_borrow(|known| known.get(name).cloned())
}

impl Functions {
    /// None yet; those without a file are of plugins in these directories.
    pub(crate) fn of(directories: &[PathBuf]) -> Self {
        Self { by_name: Arc::default(), libraries: Libraries::of(directories) }
    }

    /// Lets this thread's queries call them.
    pub(crate) fn known(&self) -> Known {
        Known(KNOWN.replace(Arc::clone(&self.by_name)))
    }

    /// Their names, in order and in small letters, as Flink lists them.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        self.by_name.keys().map(|name| name.to_lowercase())
    }

    /// Adds a function.
    ///
    /// # Errors
    /// If the name is taken, or no plugin has the function.
    pub(crate) fn create(&mut self, created: &CreateFunction) -> Result<(), SqlError> {
        let CreateFunction { name, function, function_at, .. } = created;
        let called = name.value.to_uppercase();
        if self.by_name.contains_key(&called) {
            let message = || format!("there is a function `{}` already", name.value);
            return if created.if_not_exists { Ok(()) } else { Err(SqlError::at(name, message())) };
        }
        check_name(&called, created)?;
        let (registry, of) = self.libraries.registry(created)?;
        let function = UserFunction::find(&registry, &of, (&name.value, function))
            .map_err(|message| SqlError::spanned(*function_at, message))?;
        Arc::make_mut(&mut self.by_name).insert(called, Arc::new(function));
        Ok(())
    }

    /// Removes a function.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn remove(&mut self, name: &Ident, if_exists: bool) -> Result<(), SqlError> {
        let found = Arc::make_mut(&mut self.by_name).remove(&name.value.to_uppercase());
        if found.is_some() || if_exists {
            return Ok(());
        }
        let near = suggestion(&name.value, self.by_name.keys().map(String::as_str));
        let message = format!("there is no function `{}` of CREATE FUNCTION{near}", name.value);
        Err(SqlError::at(name, message))
    }
}

/// Refuses a name under which Flink would call another function, without a word.
fn check_name(called: &str, created: &CreateFunction) -> Result<(), SqlError> {
    let name = &created.name;
    if OF_SYNTAX.contains(&called) {
        let message = format!("{called} has a syntax of its own: give the function another name");
        return Err(SqlError::at(name, message));
    }
    let is_built_in = super::names().iter().any(|known| known.to_uppercase() == called);
    if is_built_in && !created.system {
        let message = format!(
            "there is a built-in function {called}, which is called instead: give the function another name, \
             or let it take its place with CREATE TEMPORARY SYSTEM FUNCTION"
        );
        return Err(SqlError::at(name, message));
    }
    Ok(())
}

impl UserFunction {
    /// The function that plugins call `function`, by the name of a user; `of` says which plugins these are.
    fn find(
        registry: &Arc<Registry>,
        of: &str,
        (name, function): (&str, &str),
    ) -> Result<Self, String> {
        let all = || {
            registry.plugins().iter().flat_map(|plugin| {
                let functions = plugin.extensions.iter();
                functions.filter_map(move |e| Some((plugin, &*e.name, e.function.as_ref()?)))
            })
        };
        let Some((plugin, _, info)) = all().find(|(_, known, _)| *known == function) else {
            let known: Vec<_> = all().map(|(_, name, _)| name).collect();
            let there = match (suggestion(function, known.iter().copied()), known.is_empty()) {
                (_, true) => ": there is no function at all".to_owned(),
                (near, false) if near.is_empty() => format!(": there are {}", known.join(", ")),
                (near, false) => near,
            };
            return Err(format!("{of} no function `{function}`{there}"));
        };
        let FunctionInfo { kind, deterministic, retracts, .. } = *info;
        Ok(Self {
            name: name.to_owned(),
            function: function.to_owned(),
            origin: format!("{function} of {} ({})", plugin.name, plugin.origin),
            kind,
            deterministic,
            retracts,
            signatures: Signature::all(function, info)?,
            registry: Arc::clone(registry),
        })
    }

    /// As it was created.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether equal arguments give equal results.
    pub(super) fn is_deterministic(&self) -> bool {
        self.deterministic
    }

    /// Tells it apart from others of its name.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// Whether it makes several rows of one.
    pub(crate) fn is_table(&self) -> bool {
        self.kind == FunctionKind::Table
    }

    /// Whether it makes one row of those of a group.
    pub(crate) fn is_aggregate(&self) -> bool {
        self.kind == FunctionKind::Aggregate
    }

    /// The values of a call for each row: of a table function a list of rows.
    ///
    /// # Errors
    /// If it does not take these arguments.
    pub(crate) fn call(self: &Arc<Self>, arguments: Vec<Bound>) -> Result<Bound, String> {
        let (signature, arguments) = self.choose(arguments)?;
        match self.is_table() {
            false => scalar::call(self, signature, arguments),
            true => table::call(self, signature, arguments),
        }
    }
}
