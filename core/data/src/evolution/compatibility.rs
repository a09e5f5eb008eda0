//! The rules.

use alloc::{format, string::String, vec::Vec};

use super::{Defaults, Incompatible, Plan, Reason, Role, Snapshot, cast::Cast, plan::Step};
use crate::{
    page::{Physical, Shape},
    types::{DataType, Field},
};

/// What becomes of rows that were written with another schema.
#[derive(Clone, Debug)]
pub enum Compatibility {
    /// They can be read as they are.
    AsIs,
    /// Each has to be rewritten.
    AfterMigration(Plan),
    /// They cannot be read.
    Incompatible(Incompatible),
}

/// Whether rows that were written with `old` can be read with `new`, by the rules of the
/// [module](super).
pub fn compatibility(old: &Snapshot, new: &Snapshot) -> Compatibility {
    compatibility_with(old, new, &Defaults::none())
}

/// As [`compatibility`], with values for fields that the old rows do not have.
pub fn compatibility_with(old: &Snapshot, new: &Snapshot, defaults: &Defaults) -> Compatibility {
    let incompatible = |reasons| {
        let (old, new) = (old.schema.clone(), new.schema.clone());
        Compatibility::Incompatible(Incompatible { reasons, old, new })
    };
    let whole = |what: &str| Vec::from([Reason { path: String::new(), what: what.into() }]);
    if old.role != new.role {
        return incompatible(whole("one of them is a key, the other a value"));
    }
    if old.schema == new.schema {
        return Compatibility::AsIs;
    }
    if old.role == Role::Key {
        return incompatible(whole(
            "it is a key, which decides where state is kept: keep the old key, or start without \
             the state",
        ));
    }
    let (old_shape, new_shape) = (Shape::new(&old.schema), Shape::new(&new.schema));
    let mut rules = Rules { defaults, reasons: Vec::new() };
    let mut from = Cursor { columns: old_shape.columns(), next: 0 };
    let mut to = Cursor { columns: new_shape.columns(), next: 0 };
    let steps = rules.fields(&old.schema.fields, &new.schema.fields, &mut from, &mut to, "");
    if rules.reasons.is_empty() {
        Compatibility::AfterMigration(Plan::new(&old_shape, &new_shape, steps))
    } else {
        incompatible(rules.reasons)
    }
}

/// Goes through the physical columns of a schema as its fields are laid out.
#[derive(Clone, Copy)]
struct Cursor<'a> {
    columns: &'a [Physical],
    next: usize,
}

impl Cursor<'_> {
    fn take(&mut self) -> usize {
        debug_assert!(self.next < self.columns.len(), "a field has as many columns as its shape");
        self.next += 1;
        self.next - 1
    }

    /// The same at the field `index` of some.
    fn at(self, fields: &[Field], index: usize) -> Self {
        let before: usize = fields.iter().take(index).map(width).sum();
        Self { next: self.next + before, ..self }
    }
}

/// Physical columns of a field.
fn width(field: &Field) -> usize {
    match &field.data_type {
        DataType::Array(element) => 1 + width(element),
        DataType::Map(key, value) => 1 + width(key) + width(value),
        DataType::Row(fields) => {
            usize::from(field.nullable) + fields.iter().map(width).sum::<usize>()
        }
        _ => 1,
    }
}

struct Rules<'a> {
    defaults: &'a Defaults,
    reasons: Vec<Reason>,
}

impl Rules<'_> {
    /// The steps for the fields of a row; `path` is that of the row, with a point behind it.
    fn fields(
        &mut self,
        old: &[Field],
        new: &[Field],
        from: &mut Cursor<'_>,
        to: &mut Cursor<'_>,
        path: &str,
    ) -> Vec<Step> {
        let begin = *from;
        from.next += old.iter().map(width).sum::<usize>();
        let mut steps = Vec::with_capacity(new.len());
        for field in new {
            let path = format!("{path}{}", field.name);
            let before = old.iter().position(|before| before.name == field.name);
            let step = match before.and_then(|index| Some((index, old.get(index)?))) {
                Some((index, before)) => {
                    self.field(before, field, &mut begin.at(old, index), to, &path)
                }
                None => self.added(field, to, path),
            };
            steps.extend(step);
        }
        steps
    }

    fn field(
        &mut self,
        old: &Field,
        new: &Field,
        from: &mut Cursor<'_>,
        to: &mut Cursor<'_>,
        path: &str,
    ) -> Option<Step> {
        if old.nullable && !new.nullable {
            self.refuse(path, "it may be NULL in old rows: make it nullable".into());
        }
        let nullable = old.nullable;
        match (&old.data_type, &new.data_type) {
            (DataType::Row(old_fields), DataType::Row(new_fields)) => {
                let from_group = old.nullable.then(|| from.take());
                let to_group = new.nullable.then(|| to.take());
                let begin = to.next;
                let path = format!("{path}.");
                let fields = self.fields(old_fields, new_fields, from, to, &path);
                Some(Step::Row { from: from_group, to: to_group, columns: begin..to.next, fields })
            }
            (DataType::Array(old_element), DataType::Array(new_element)) => {
                let (from_list, to_list) = (from.take(), to.take());
                let path = format!("{path}[]");
                let element = self.field(old_element, new_element, from, to, &path);
                let elements = element.into_iter().collect();
                Some(Step::List { from: from_list, nullable, to: to_list, elements })
            }
            (DataType::Map(old_key, old_value), DataType::Map(new_key, new_value)) => {
                let (from_list, to_list) = (from.take(), to.take());
                let key = self.field(old_key, new_key, from, to, &format!("{path}{{key}}"));
                let value = self.field(old_value, new_value, from, to, &format!("{path}{{}}"));
                let elements = key.into_iter().chain(value).collect();
                Some(Step::List { from: from_list, nullable, to: to_list, elements })
            }
            (old_type, new_type) => {
                let source = from.next;
                let target = to.next;
                from.next += width(old);
                to.next += width(new);
                let Some(cast) = Cast::new(old_type, new_type) else {
                    let what = format!("{old_type} cannot become {new_type} without loss");
                    self.refuse(path, what);
                    return None;
                };
                Some(Step::Cell { from: source, nullable, to: target, cast })
            }
        }
    }

    /// The step for a field that old rows do not have.
    fn added(&mut self, field: &Field, to: &mut Cursor<'_>, path: String) -> Option<Step> {
        let begin = to.next;
        to.next += width(field);
        let columns = begin..to.next;
        match self.defaults.of(&path) {
            Some(value) if value.fits(&field.data_type) => {
                Some(Step::Default { columns, field: field.clone(), value: value.clone() })
            }
            Some(value) => {
                let what = format!("its default {value:?} is no {}", field.data_type);
                self.refuse(&path, what);
                None
            }
            None if field.nullable => Some(Step::Blank { columns }),
            None => {
                self.refuse(
                    &path,
                    "old rows do not have it: make it nullable, or give a default".into(),
                );
                None
            }
        }
    }

    fn refuse(&mut self, path: &str, what: String) {
        self.reasons.push(Reason { path: path.into(), what });
    }
}
