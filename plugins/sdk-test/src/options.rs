//! What every connector owes to its users: options that explain themselves.

use millstream_loader::{ExtensionInfo, Kind, Registry, check_options};

/// The extension of this kind and name.
///
/// # Panics
/// If the plugin does not offer it.
pub(crate) fn extension<'a>(registry: &'a Registry, kind: Kind, name: &str) -> &'a ExtensionInfo {
    let mut all = registry.plugins().iter().flat_map(|plugin| &plugin.extensions);
    let found = all.find(|extension| extension.kind() == kind && extension.name == name);
    found.unwrap_or_else(|| panic!("the plugin offers no {} called `{name}`", kind.name()))
}

/// Checks names, documentation and defaults.
///
/// # Panics
/// If something is missing or does not fit.
pub(crate) fn check(extension: &ExtensionInfo) {
    let owner = format!("{} `{}`", extension.kind().name(), extension.name);
    assert!(!extension.summary.is_empty(), "{owner} has no summary");
    for option in &extension.options {
        let name = &option.name;
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-*".contains(c);
        assert!(
            !name.is_empty() && name.chars().all(good),
            "the option `{name}` of {owner} is not named like `split-size` or `csv.quote`"
        );
        assert!(!option.doc.is_empty(), "the option `{name}` of {owner} is not documented");
        if let Some(default) = &option.default {
            assert!(
                !option.required,
                "the option `{name}` of {owner} is required, so its default is never used"
            );
            let given = [(name.replace('*', "x"), default.clone())];
            let mut declared = option.clone();
            declared.required = false;
            if let Err(error) = check_options(&owner, &[declared], &given) {
                panic!("the default of an option is refused: {error}");
            }
        }
        let twice = extension.options.iter().filter(|other| other.name == *name).count();
        assert_eq!(twice, 1, "{owner} declares the option `{name}` {twice} times");
    }
}
