//! What the states of a chain mean: written beside them, and compared when they are put back.

use alloc::{boxed::Box, format, vec, vec::Vec};
use core::fmt;

use millstream_data::{
    evolution::{Compatibility, RowRewriting, Snapshot, compatibility},
    types::Schema,
    value::Record,
};
use millstream_state::{
    Backend, Kind, StateId,
    description::{DESCRIPTIONS, Description, Part, width},
    format::{Chunk, ReadChunk},
};

use super::{
    KeyedState,
    rewritten::{Rewritten, Source},
};
use crate::chain::TaskError;

/// What the bytes of a state mean, beside its keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contents {
    /// Whether it belongs to a key group as a whole.
    pub(crate) of_group: bool,
    pub(crate) namespace: Vec<Part>,
    pub(crate) map_key: Vec<Part>,
    pub(crate) value: Vec<Part>,
}

/// States by their number in a snapshot, and how their values are rewritten, if they are.
type Matched = (Vec<StateId>, Vec<Option<Rewritten>>);

impl Contents {
    /// Rows of a type, one for each key, without a namespace.
    pub(crate) fn rows<T: Record>() -> Self {
        Self { value: vec![Part::Row(T::schema())], ..Self::default() }
    }

    /// The same, in namespaces of so many bytes that only the operator understands; without if it is 0.
    pub(crate) fn within(self, bytes: usize) -> Self {
        let namespace = match bytes {
            0 => Vec::new(),
            bytes => vec![Part::Opaque(Some(bytes as u32))],
        };
        Self { namespace, ..self }
    }
}

impl KeyedState {
    /// Says of which type keys are. Before any state is described.
    pub(crate) fn keyed_by<K: Record>(&mut self) {
        self.key = K::schema();
    }

    /// As [`keyed_by`](Self::keyed_by), for keys whose columns are known only at run time.
    pub(crate) fn keyed_by_rows_of(&mut self, key: Schema) {
        self.key = key;
    }

    /// What a key consists of.
    pub(crate) fn key_parts(&self) -> [Part; 2] {
        [Part::Hash, Part::Key(self.key.clone())]
    }

    /// Says what the bytes of a state mean.
    pub(crate) fn describe(&mut self, id: StateId, contents: Contents) {
        let Some(spec) = self.backend.spec(id) else { return };
        let key = match contents.of_group {
            true => vec![Part::Hash],
            false => self.key_parts().into(),
        };
        let Contents { namespace, map_key, value, .. } = contents;
        if let (Some(described), Some(kept)) = (width(&value), spec.value) {
            debug_assert_eq!(described, kept, "bytes of values of the state {}", spec.name);
        }
        let (name, kind) = (spec.name.clone(), spec.kind);
        self.described.push((id, Description { name, kind, key, namespace, map_key, value }));
    }

    /// Adds all descriptions to the snapshot that begins.
    pub(super) fn write_descriptions(&mut self) {
        let mut chunk = Chunk::begin(DESCRIPTIONS, self.owned.first, &mut self.urgent);
        for (id, description) in &self.described {
            let number = self.states.iter().position(|state| state == id).unwrap_or(0);
            description.write(number as u16, &mut chunk);
        }
        chunk.end();
    }

    /// The states of a snapshot, by their numbers there, as they were registered here, found by name; and
    /// how values are rewritten whose schema was changed.
    ///
    /// # Errors
    /// If there is one that was not registered, or is something else now.
    pub(super) fn matched(&self, descriptions: &ReadChunk<'_>) -> Result<Matched, TaskError> {
        let (mut states, mut rewritten) = (Vec::new(), Vec::new());
        for (number, entry) in descriptions.entries().enumerate() {
            let read = Description::read(&entry);
            let (found, old) = read.map_err(|error| TaskError::new(format!("{error}")))?;
            if usize::from(found) != number {
                return Err(TaskError::new("the descriptions of its states are not in order"));
            }
            let own = self.described.iter().find(|(_, own)| own.name == old.name);
            let Some((id, own)) = own else {
                let all: Vec<&str> = self.described.iter().map(|(_, own)| &*own.name).collect();
                return Err(TaskError::new(format!(
                    "it had the state `{}`, which it does not have any more, only [{}]: keep the state, or \
                     give the operator another uid and leave all of its state behind with \
                     --allow-non-restored-state",
                    old.name,
                    all.join(", ")
                )));
            };
            rewritten.push(check(&old, own)?);
            states.push(*id);
        }
        Ok((states, rewritten))
    }
}

/// What has to be done so that what a state was can be read as what it is now: nothing, or rewriting values.
///
/// # Errors
/// If nothing helps, with both schemas side by side.
pub(super) fn check(old: &Description, new: &Description) -> Result<Option<Rewritten>, TaskError> {
    let refuse = |what: &dyn fmt::Display| {
        Err(TaskError::new(format!("its state `{}` cannot be restored: {what}", new.name)))
    };
    if old.kind != new.kind {
        let name = |kind| match kind {
            Kind::Value => "a value",
            Kind::List => "a list",
            Kind::Map => "a map",
        };
        let (old, new) = (name(old.kind), name(new.kind));
        return refuse(&format_args!("it was {old} and is {new} now, give it another name"));
    }
    for (old, new, what) in [
        (&old.key, &new.key, "keys"),
        (&old.namespace, &new.namespace, "namespaces"),
        (&old.map_key, &new.map_key, "map keys"),
    ] {
        let keys = |parts: &[Part]| {
            parts.iter().find_map(|part| match part {
                Part::Key(schema) => Some(Snapshot::key(schema.clone())),
                _ => None,
            })
        };
        if old == new {
            continue;
        }
        if let (Some(old), Some(new)) = (keys(old), keys(new))
            && let Compatibility::Incompatible(why) = compatibility(&old, &new)
        {
            return refuse(&format_args!("{what}: {why}"));
        }
        return refuse(&format_args!("its {what} are made of other parts now"));
    }
    if old.value == new.value {
        return Ok(None);
    }
    let plain = |parts: &[Part]| -> Vec<(usize, Part)> {
        let numbered = parts.iter().cloned().enumerate();
        numbered.filter(|(_, part)| *part != Part::Flag).collect()
    };
    let (olds, news) = (plain(&old.value), plain(&new.value));
    if olds.len() != news.len() {
        return refuse(&"its values are made of other parts now");
    }
    let mut sources = Vec::new();
    if new.value.contains(&Part::Flag) {
        sources.push(Source::Flag);
    }
    for ((number, old), (_, new)) in olds.into_iter().zip(news) {
        let mut count = 1;
        let (old, new) = match (old, new) {
            (old, new) if old == new => {
                sources.push(Source::Same(number));
                continue;
            }
            (Part::Rows(old, olds), Part::Rows(new, news)) if olds == news => {
                count = olds;
                (Snapshot::value(old), Snapshot::value(new))
            }
            (Part::Row(old), Part::Row(new)) => (Snapshot::value(old), Snapshot::value(new)),
            (Part::Key(old), Part::Key(new)) => (Snapshot::key(old), Snapshot::key(new)),
            _ => return refuse(&"its values are made of other parts now"),
        };
        sources.push(match compatibility(&old, &new) {
            Compatibility::AsIs => Source::Same(number),
            Compatibility::AfterMigration(plan) => {
                let rewriting = RowRewriting::new(plan, &old.schema, &new.schema);
                Source::Rows(number, count, Box::new(rewriting))
            }
            Compatibility::Incompatible(why) => return refuse(&format_args!("values: {why}")),
        });
    }
    Ok(Some(Rewritten::new(old.kind, &old.value, &new.value, sources)))
}
