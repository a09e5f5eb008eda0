//! Arrays, maps and rows in expressions: what is made of values, and what is taken out of them.

use sqlparser::ast::{self, AccessExpr, Ident, Subscript};

use super::{
    Bound, Cells, Column,
    expression::{Scope, unsupported},
};
use crate::{
    error::{SqlError, suggestion},
    function,
    types::Kind,
};

impl Scope<'_> {
    /// `ARRAY[…]`
    pub(super) fn array(&self, array: &ast::Array, part: &ast::Expr) -> Result<Bound, SqlError> {
        if !array.named {
            return Err(SqlError::at(part, "an array is written `ARRAY[…]`"));
        }
        self.made("ARRAY", &array.elem, part)
    }

    /// `(a, b)`, which is `ROW(a, b)`.
    pub(super) fn row(&self, fields: &[ast::Expr], part: &ast::Expr) -> Result<Bound, SqlError> {
        self.made("ROW", fields, part)
    }

    fn made(&self, name: &str, parts: &[ast::Expr], whole: &ast::Expr) -> Result<Bound, SqlError> {
        let parts = parts.iter().map(|part| self.bind(part)).collect::<Result<_, _>>()?;
        function::call(name, parts).map_err(|message| SqlError::at(whole, message))
    }

    /// A field, an element of an array or the value of a key, and what is within these.
    pub(super) fn accessed(
        &self,
        root: &ast::Expr,
        chain: &[AccessExpr],
        part: &ast::Expr,
    ) -> Result<Bound, SqlError> {
        let mut rest = chain.iter().peekable();
        let mut names = match root {
            ast::Expr::Identifier(name) => vec![name.clone()],
            ast::Expr::CompoundIdentifier(names) => names.clone(),
            _ => Vec::new(),
        };
        let mut bound = if names.is_empty() {
            self.bind(root)?
        } else {
            while let Some(AccessExpr::Dot(ast::Expr::Identifier(name))) = rest.peek() {
                names.push(name.clone());
                rest.next();
            }
            self.path(&names)?
        };
        for access in rest {
            bound = match access {
                AccessExpr::Dot(ast::Expr::Identifier(name)) => field_of(bound, name)?,
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    let key = self.bind(index)?;
                    function::item(bound, key).map_err(|message| SqlError::at(index, message))?
                }
                _ => return Err(unsupported(part)),
            };
        }
        Ok(bound)
    }
}

/// A field of a nested row, or of one within it.
pub(super) fn field(column: &Column, path: &[Ident]) -> Result<Bound, SqlError> {
    let (mut cells, mut data_type) = (&column.cells, column.data_type.clone());
    let mut path = path.iter();
    for name in path.by_ref() {
        let (Cells::Row(_, inner), Kind::Row(types)) = (cells, &data_type.kind) else {
            // The row was computed, or its fields are within something that is read as a whole.
            let whole = Column { cells: cells.clone(), data_type, ..column.clone() }.bound();
            return path.try_fold(field_of(whole, name)?, field_of);
        };
        let found = inner.iter().zip(types).find(|((field, _), _)| *field == name.value);
        let Some(((_, next), (_, field_type))) = found else {
            return Err(no_field(name, inner.iter().map(|(field, _)| field.as_str())));
        };
        let nullable = data_type.nullable || field_type.nullable;
        (cells, data_type) = (next, field_type.clone().with_nullable(nullable));
    }
    Ok(Column { cells: cells.clone(), data_type, ..column.clone() }.bound())
}

/// A field of a row that was computed.
fn field_of(bound: Bound, name: &Ident) -> Result<Bound, SqlError> {
    let Kind::Row(fields) = &bound.data_type.kind else {
        let kind = &bound.data_type.kind;
        let message = format!("{kind} has no fields: there is no `{}`", name.value);
        return Err(SqlError::at(name, message));
    };
    match fields.iter().position(|(field, _)| *field == name.value) {
        Some(at) => function::field(bound, at).map_err(|message| SqlError::at(name, message)),
        None => Err(no_field(name, fields.iter().map(|(field, _)| field.as_str()))),
    }
}

fn no_field<'a>(name: &Ident, known: impl Iterator<Item = &'a str>) -> SqlError {
    let near = suggestion(&name.value, known);
    SqlError::at(name, format!("the row has no field `{}`{near}", name.value))
}
