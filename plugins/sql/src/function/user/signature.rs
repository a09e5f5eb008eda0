//! What a function takes and gives, in SQL's types.

use millstream_data::types::{DataType, Field, Schema};
use millstream_loader::{FunctionInfo, FunctionKind, SignatureInfo};

use super::UserFunction;
use crate::{
    bind::{Bound, widen},
    types::{BYTES, Kind, STRING, Type},
};

/// Types that a function takes, and what it then gives.
#[derive(Clone, Debug)]
pub(super) struct Signature {
    /// As the plugin says it.
    pub(super) info: SignatureInfo,
    pub(super) arguments: Vec<Type>,
    /// The columns of the result, without the last one of a table function.
    pub(super) results: Vec<(String, Type)>,
}

impl Signature {
    /// Those of a function that SQL has the types of.
    ///
    /// # Errors
    /// If there is none.
    pub(super) fn all(function: &str, info: &FunctionInfo) -> Result<Vec<Self>, String> {
        let known = info.signatures.iter().map(|signature| Self::of(signature, info.kind));
        let known: Vec<_> = known.collect();
        let mut other = known.iter().filter_map(|signature| signature.as_ref().err());
        match other.next() {
            Some(other) if known.iter().all(Result::is_err) => Err(format!(
                "`{function}` is of a type that functions cannot have in SQL yet: {other}"
            )),
            _ => Ok(known.into_iter().flatten().collect()),
        }
    }

    /// The error is a field whose type is not there.
    fn of(info: &SignatureInfo, kind: FunctionKind) -> Result<Self, String> {
        let typed = |field: &Field| {
            let kind = kind_of(&field.data_type);
            let kind = kind.ok_or_else(|| format!("{} {}", field.name, field.data_type))?;
            Ok((field.name.clone(), Type { kind, nullable: field.nullable }))
        };
        let all = |fields: &[Field]| fields.iter().map(typed).collect::<Result<Vec<_>, String>>();
        let results = match (kind, &info.results.fields[..]) {
            // The argument row.
            (FunctionKind::Table, [results @ .., _]) => all(results)?,
            (_, results) => all(results)?,
        };
        let arguments = all(&info.arguments.fields)?.into_iter().map(|(_, of)| of).collect();
        Ok(Self { info: info.clone(), arguments, results })
    }

    /// Which of the arguments may be NULL although the function takes none.
    pub(super) fn strict(&self, arguments: &[Bound]) -> Vec<usize> {
        let pairs = self.arguments.iter().zip(arguments).enumerate();
        let strict =
            pairs.filter(|(_, (takes, given))| !takes.nullable && given.data_type.nullable);
        strict.map(|(at, _)| at).collect()
    }

    /// The arguments, as an error shows them.
    fn shown(&self) -> String {
        let named = self.info.arguments.fields.iter().zip(&self.arguments);
        let shown: Vec<_> = named.map(|(field, of)| format!("{} {of}", field.name)).collect();
        format!("({})", shown.join(", "))
    }

    /// The columns of results that have arrays.
    pub(super) fn columns(&self) -> Schema {
        let fields = self.info.results.fields.iter().take(self.results.len());
        Schema::new(fields.cloned().collect::<Vec<_>>())
    }
}

impl UserFunction {
    /// The signature that takes the arguments with the least change, and the arguments as it takes them.
    pub(super) fn choose(&self, arguments: Vec<Bound>) -> Result<(&Signature, Vec<Bound>), String> {
        let cost = |signature: &&Signature| {
            let pairs = signature.arguments.iter().zip(&arguments);
            let costs = pairs.map(|(takes, given)| cost(&given.data_type.kind, &takes.kind));
            let count = signature.arguments.len() == arguments.len();
            costs.sum::<Option<u32>>().filter(|_| count)
        };
        let all = self.signatures.iter().filter_map(|found| Some((cost(&found)?, found)));
        let Some((_, signature)) = all.min_by_key(|(cost, _)| *cost) else {
            let given = arguments.iter().map(|bound| bound.data_type.kind.to_string());
            let given = given.collect::<Vec<_>>().join(", ");
            let takes: Vec<_> = self.signatures.iter().map(Signature::shown).collect();
            let takes = takes.join(", or ");
            return Err(format!("{} does not take ({given}): it takes {takes}", self.name));
        };
        let pairs = arguments.into_iter().zip(&signature.arguments);
        Ok((signature, pairs.map(|(given, takes)| widen(given, takes.kind.clone())).collect()))
    }
}

/// How much a value changes that is of another type then; `None` if that takes a CAST.
fn cost(from: &Kind, to: &Kind) -> Option<u32> {
    if *from == Kind::Null || from.data_type() == to.data_type() {
        return Some(0);
    }
    if from.is_nested() || !to.common(from)?.same_values(to) {
        return None;
    }
    Some(match (from.digits(), to) {
        (Some((from, _)), to) if to.is_integer() => u32::from(to.digits()?.0.abs_diff(from)),
        (_, Kind::Decimal(..)) => 100,
        (_, Kind::Float) => 200,
        (_, Kind::Double) => 201,
        _ => 1,
    })
}

/// The type in SQL; `None` if there is none, or it is nested.
fn kind_of(data_type: &DataType) -> Option<Kind> {
    Some(match data_type {
        DataType::Boolean => Kind::Boolean,
        DataType::Int8 => Kind::TinyInt,
        DataType::Int16 => Kind::SmallInt,
        DataType::Int32 => Kind::Int,
        DataType::Int64 => Kind::BigInt,
        DataType::Float32 => Kind::Float,
        DataType::Float64 => Kind::Double,
        DataType::Decimal { precision, scale } => Kind::Decimal(*precision, *scale),
        DataType::String => STRING,
        DataType::Bytes => BYTES,
        DataType::Date => Kind::Date,
        DataType::Time => Kind::Time(3),
        DataType::Timestamp { precision: precision @ 0..=6 } => Kind::Timestamp(*precision),
        DataType::TimestampLtz { precision: precision @ 0..=6 } => Kind::TimestampLtz(*precision),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_type_costs_least() {
        let all = [Kind::Int, Kind::BigInt, Kind::Decimal(20, 0), Kind::Float, Kind::Double];
        let costs: Vec<_> = all.iter().map(|to| cost(&Kind::Int, to)).collect();
        // FLOAT does not have all of INT.
        assert!(costs[0] == Some(0) && costs[3].is_none(), "{costs:?}");
        let rest: Vec<_> = costs.into_iter().flatten().collect();
        assert!(rest.len() == 4 && rest.is_sorted_by(|a, b| a < b), "{rest:?}");
        assert_eq!(cost(&Kind::BigInt, &Kind::Int), None);
        assert_eq!(cost(&Kind::Char(3), &STRING), Some(0));
        assert_eq!(cost(&Kind::BigInt, &STRING), None);
        assert_eq!(cost(&Kind::Null, &Kind::Date), Some(0));
        assert_eq!(cost(&Kind::Timestamp(3), &Kind::Timestamp(6)), Some(1));
        assert_eq!(cost(&Kind::Timestamp(6), &Kind::Timestamp(3)), None);
    }

    #[test]
    fn signatures_of_types_that_sql_has_not_are_passed_over() {
        let signature = |of| SignatureInfo {
            arguments: Schema::new(vec![Field::new("a", of)]),
            results: Schema::new(vec![Field::new("b", DataType::Int64)]),
            accumulator: Schema::new(Vec::new()),
            doc: String::new(),
        };
        let list = DataType::Array(Box::new(Field::new("element", DataType::Int64)));
        let mut info = FunctionInfo {
            kind: FunctionKind::Scalar,
            deterministic: true,
            retracts: false,
            signatures: vec![signature(list), signature(DataType::Int64)],
        };
        assert_eq!(Signature::all("f", &info).unwrap().len(), 1);
        info.signatures.pop();
        let message = Signature::all("f", &info).unwrap_err();
        assert!(
            message.starts_with("`f` is of a type that functions cannot have in SQL yet: a ARRAY<"),
            "{message}"
        );
    }
}
