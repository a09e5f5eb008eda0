//! Flink's functions, on arrays.
//!
//! DataFusion's registry is empty here: each function says what it takes and gives by Flink's rules, and
//! wraps a kernel of Arrow's where that is equal.

mod address;
mod analysis;
mod arguments;
mod arithmetic;
mod array;
mod calendar;
mod cast;
mod clock;
mod condition;
mod digest;
mod edit;
mod encoding;
mod extract;
mod gather;
pub(crate) mod json;
mod kind;
mod length;
mod map;
mod math;
mod nested;
mod numeral;
mod pattern;
mod printf;
mod random;
mod rounding;
mod text;
mod time;
mod url;
mod user;
mod zoned;

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{array::ArrayRef, datatypes::DataType as Arrow};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    expr::ScalarFunction,
};

pub(crate) use arithmetic::{Arithmetic, decimal, integer};
pub(crate) use calendar::{WITH_UNITS, date_and_interval, rounded, with_unit};
pub(crate) use cast::{cast, checked_cast};
pub(crate) use extract::extract;
pub(crate) use gather::{array_of_one, multiset_of_one};
pub(crate) use length::{fitted, measured};
pub(crate) use nested::{field, in_order, item};
pub(crate) use pattern::similar;
pub(crate) use time::PROCTIME;
pub(crate) use user::{
    AggregateCaller, Functions, Given, UserAggregate, UserCall, UserFunction, of_user,
};

use crate::{
    bind::Bound,
    error::suggestion,
    types::{Kind, Type},
};

/// A function that queries can call.
pub(crate) struct Function {
    /// Its names, the usual one first.
    pub(crate) names: &'static [&'static str],
    /// How it is called, and what it gives.
    pub(crate) doc: &'static str,
    /// Checks the arguments and makes the call. The error is a sentence without the function's name.
    bind: fn(&'static str, Vec<Bound>) -> Result<Bound, String>,
}

/// All functions.
pub(crate) fn all() -> impl Iterator<Item = &'static Function> {
    let times = [time::FUNCTIONS, calendar::FUNCTIONS, clock::FUNCTIONS, random::FUNCTIONS];
    let numbers = [rounding::FUNCTIONS, analysis::FUNCTIONS, numeral::FUNCTIONS];
    let others = [address::FUNCTIONS, kind::FUNCTIONS, printf::FUNCTIONS];
    let texts = [edit::FUNCTIONS, pattern::FUNCTIONS, digest::FUNCTIONS, encoding::FUNCTIONS];
    let families = [text::FUNCTIONS, math::FUNCTIONS, condition::FUNCTIONS, url::FUNCTIONS];
    let nested = [nested::FUNCTIONS, array::FUNCTIONS, map::FUNCTIONS, json::FUNCTIONS];
    let all =
        families.into_iter().chain(times).chain(numbers).chain(texts).chain(nested).chain(others);
    all.flatten()
}

/// Functions of many rows, which plans know in another way: their names, and how they are called.
pub(crate) const AGGREGATES: &[(&str, &str)] = &[
    (
        "ARRAY_AGG",
        "ARRAY_AGG([DISTINCT] value [RESPECT NULLS | IGNORE NULLS]) [FILTER (WHERE condition)]",
    ),
    ("AVG", "AVG([DISTINCT] number) [FILTER (WHERE condition)]"),
    ("COLLECT", "COLLECT([DISTINCT] value) [FILTER (WHERE condition)], a multiset"),
    ("FIRST_VALUE", "FIRST_VALUE(value) [FILTER (WHERE condition)]"),
    ("LAST_VALUE", "LAST_VALUE(value) [FILTER (WHERE condition)]"),
    ("LISTAGG", "LISTAGG([DISTINCT] text [, separator]) [FILTER (WHERE condition)]"),
    ("STDDEV", "STDDEV([DISTINCT] number), that is STDDEV_SAMP"),
    ("STDDEV_POP", "STDDEV_POP([DISTINCT] number)"),
    ("STDDEV_SAMP", "STDDEV_SAMP([DISTINCT] number)"),
    ("VARIANCE", "VARIANCE([DISTINCT] number), that is VAR_SAMP"),
    ("VAR_POP", "VAR_POP([DISTINCT] number)"),
    ("VAR_SAMP", "VAR_SAMP([DISTINCT] number)"),
    ("COUNT", "COUNT(*), COUNT([DISTINCT] value) [FILTER (WHERE condition)]"),
    ("JSON_ARRAYAGG", "JSON_ARRAYAGG(value [NULL ON NULL])"),
    ("JSON_OBJECTAGG", "JSON_OBJECTAGG([KEY] key VALUE value [ABSENT ON NULL])"),
    ("MAX", "MAX(value) [FILTER (WHERE condition)]"),
    ("MIN", "MIN(value) [FILTER (WHERE condition)]"),
    (
        "ROW_NUMBER",
        "ROW_NUMBER() OVER (PARTITION BY … ORDER BY …), where the query around it keeps the first rows",
    ),
    ("RANK", "RANK() OVER (… ORDER BY …)"),
    ("DENSE_RANK", "DENSE_RANK() OVER (… ORDER BY …)"),
    ("PERCENT_RANK", "PERCENT_RANK() OVER (… ORDER BY …), in batch mode"),
    ("CUME_DIST", "CUME_DIST() OVER (… ORDER BY …), in batch mode"),
    ("NTILE", "NTILE(parts) OVER (… ORDER BY …), in batch mode"),
    ("LAG", "LAG(value [, rows [, instead]]) OVER (… ORDER BY …)"),
    ("LEAD", "LEAD(value [, rows [, instead]]) OVER (… ORDER BY …), in batch mode"),
    ("SUM", "SUM([DISTINCT] number) [FILTER (WHERE condition)]"),
];

/// Those of Flink's that are missing.
const MISSING_AGGREGATES: &[&str] = &["APPROX_COUNT_DISTINCT", "PERCENTILE"];

/// Whether this is the name of a function of many rows.
pub(crate) fn is_aggregate(name: &str) -> bool {
    if let Some(user) = of_user(name) {
        return user.is_aggregate();
    }
    AGGREGATES.iter().any(|(known, _)| *known == name) || MISSING_AGGREGATES.contains(&name)
}

/// The names of all functions that run, in small letters, as Flink lists them.
pub(crate) fn names() -> Vec<String> {
    let of_one_row = all().flat_map(|function| function.names.iter().copied());
    let others = AGGREGATES.iter().chain(WITH_UNITS).map(|(name, _)| *name);
    let names = of_one_row.chain(others);
    names.map(str::to_lowercase).collect()
}

/// How a function of one row is called, by its name in capitals.
pub(crate) fn doc(name: &str) -> Option<&'static str> {
    all().find(|function| function.names.contains(&name)).map(|function| function.doc)
}

/// Calls a function by its name, in capitals.
///
/// # Errors
/// If there is none, or it does not take these arguments.
pub(crate) fn call(name: &str, arguments: Vec<Bound>) -> Result<Bound, String> {
    let Some(function) = all().find(|function| function.names.contains(&name)) else {
        let known = all().flat_map(|function| function.names.iter().copied());
        return Err(format!("there is no function {name}{}", suggestion(name, known)));
    };
    let usual = function.names[0];
    (function.bind)(usual, arguments)
        .map_err(|wrong| format!("{usual}: {wrong}; it is called as {}", function.doc))
}

/// What computes an array of as many rows from the arrays of the arguments.
type Run = dyn Fn(&[ArrayRef], usize) -> Result<ArrayRef, DataFusionError> + Send + Sync;

/// A function with its types, and what is constant in it prepared.
struct Prepared {
    name: Cow<'static, str>,
    /// Tells calls of one function apart that were prepared with other constants.
    key: String,
    /// The plugin that it is of; empty for ours.
    origin: String,
    signature: Signature,
    result: Arrow,
    run: Box<Run>,
}

impl Prepared {
    fn identity(&self) -> (&str, &str, &str, &Arrow, &Signature) {
        (&self.name, &self.key, &self.origin, &self.result, &self.signature)
    }
}

impl PartialEq for Prepared {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Prepared {}

impl Hash for Prepared {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name, self.key)
    }
}

impl ScalarUDFImpl for Prepared {
    fn name(&self) -> &str {
        &self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[Arrow]) -> Result<Arrow, DataFusionError> {
        Ok(self.result.clone())
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String, DataFusionError> {
        let mut shown: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        if !self.key.is_empty() {
            shown.push(self.key.clone());
        }
        Ok(format!("{}({})", self.name, shown.join(", ")))
    }

    fn invoke_with_args(
        &self,
        arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        let ScalarFunctionArgs { args, number_rows, .. } = arguments;
        // What is constant is one row, and its result, too.
        let is_volatile = self.signature.volatility == Volatility::Volatile;
        let constant =
            !is_volatile && args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { number_rows };
        let arrays = args.into_iter().map(|value| value.into_array(rows));
        let result = (self.run)(&arrays.collect::<Result<Vec<_>, _>>()?, rows)?;
        Ok(match constant {
            true => {
                ColumnarValue::Scalar(datafusion_common::ScalarValue::try_from_array(&result, 0)?)
            }
            false => ColumnarValue::Array(result),
        })
    }
}

/// The call of a function whose arguments have the types that `run` takes; `key` says what is constant in
/// it.
fn prepared(
    name: &'static str,
    key: String,
    arguments: Vec<Bound>,
    data_type: Type,
    run: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, DataFusionError> + Send + Sync + 'static,
) -> Bound {
    let origin = String::new();
    call_of((name.into(), key, origin), arguments, data_type, Volatility::Immutable, Box::new(run))
}

/// [`prepared`], of a function whose result is another one each time.
fn volatile(
    name: &'static str,
    key: String,
    arguments: Vec<Bound>,
    data_type: Type,
    run: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, DataFusionError> + Send + Sync + 'static,
) -> Bound {
    let origin = String::new();
    call_of((name.into(), key, origin), arguments, data_type, Volatility::Volatile, Box::new(run))
}

/// [`prepared`], of a user's function.
fn of_plugin(
    function: &UserFunction,
    arguments: Vec<Bound>,
    data_type: Type,
    run: impl Fn(&[ArrayRef], usize) -> Result<ArrayRef, DataFusionError> + Send + Sync + 'static,
) -> Bound {
    let volatility = match function.is_deterministic() {
        true => Volatility::Immutable,
        false => Volatility::Volatile,
    };
    let name = function.name().to_owned().into();
    let which = (name, String::new(), function.origin().to_owned());
    call_of(which, arguments, data_type, volatility, Box::new(run))
}

fn call_of(
    (name, key, origin): (Cow<'static, str>, String, String),
    arguments: Vec<Bound>,
    data_type: Type,
    volatility: Volatility,
    run: Box<Run>,
) -> Bound {
    let types: Vec<Arrow> =
        arguments.iter().map(|argument| argument.data_type.kind.arrow()).collect();
    let result = data_type.kind.arrow();
    let signature = match types.is_empty() {
        true => Signature::nullary(volatility),
        false => Signature::exact(types, volatility),
    };
    let function = Prepared { name, key, origin, signature, result, run };
    let function = Arc::new(ScalarUDF::new_from_impl(function));
    let arguments = arguments.into_iter().map(|argument| argument.expr).collect();
    let expr = Expr::ScalarFunction(ScalarFunction::new_udf(function, arguments));
    Bound { expr, data_type }
}

/// Whether a result is NULL if one of these is.
fn nullable(arguments: &[Bound]) -> bool {
    arguments.iter().any(|argument| argument.data_type.nullable)
}

/// A type of values that may be NULL if one of these may.
fn of(kind: Kind, arguments: &[Bound]) -> Type {
    Type { kind, nullable: nullable(arguments) }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::script;

    const BEGIN: &str = "<!-- functions -->\n";
    const END: &str = "<!-- end of functions -->\n";

    /// The list of functions as the page about SQL has it.
    fn list() -> String {
        let line = |doc: &str, others: &[&str]| {
            let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
            match others.is_empty() {
                true => format!("- `{doc}`\n"),
                false => format!("- `{doc}`, also called {}\n", others.join(", ")),
            }
        };
        let mut one_row: Vec<_> = all()
            .map(|function| {
                let called = function.doc.split(['(', '[', ' ']).next().unwrap_or_default();
                let others = function.names.iter().copied().filter(|name| *name != called);
                line(function.doc, &others.collect::<Vec<_>>())
            })
            .collect();
        one_row.extend(WITH_UNITS.iter().map(|(_, doc)| line(doc, &[])));
        one_row.push(line("FLOOR(time TO unit), CEIL(time TO unit)", &[]));
        let extracted = extract::EXTRACTED.join(", ");
        one_row.push(line(
            &format!("EXTRACT(unit FROM time), of units that are functions, and of {extracted}"),
            &[],
        ));
        one_row.sort_unstable();
        let many_rows = AGGREGATES.iter().map(|(_, doc)| line(doc, &[]));
        let missing: Vec<_> = MISSING_AGGREGATES.iter().map(|name| format!("`{name}`")).collect();
        format!(
            "\nOf one row:\n\n{}\nOf many rows:\n\n{}\nFlink's functions of many rows that are refused by name: {}.\n\n",
            one_row.concat(),
            many_rows.collect::<String>(),
            missing.join(", ")
        )
    }

    /// With `WRITE_DOCS=1` the list is written anew.
    #[test]
    fn the_page_about_sql_has_all_functions() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/sql.md");
        let page = fs::read_to_string(&file).unwrap();
        let (before, rest) = page.split_once(BEGIN).expect("the beginning of the list");
        let (found, behind) = rest.split_once(END).expect("the end of the list");
        if std::env::var_os("WRITE_DOCS").is_some() {
            fs::write(&file, [before, BEGIN, &list(), END, behind].concat()).unwrap();
            return;
        }
        assert_eq!(found, list(), "the list in docs/sql.md is out of date: run with WRITE_DOCS=1");
    }

    #[test]
    fn functions_of_many_rows_run_or_are_refused_as_listed() {
        let planned = |call: &str| {
            script::explain(&format!(
                "CREATE TABLE t (n INT) WITH ('connector' = 'datagen'); SELECT {call} FROM t"
            ))
        };
        for (name, _) in AGGREGATES.iter().filter(|(_, how)| !how.contains(" OVER ")) {
            let argument = match *name {
                "LISTAGG" => "CAST(n AS STRING)",
                "JSON_OBJECTAGG" => "CAST(n AS STRING) VALUE n",
                _ => "n",
            };
            assert!(planned(&format!("{name}({argument})")).is_ok(), "{name}");
        }
        for name in MISSING_AGGREGATES {
            for call in [format!("{name}(n)"), format!("{name}(n) OVER (ORDER BY n)")] {
                assert!(planned(&call).is_err(), "{call} runs: list it");
            }
        }
    }
}
