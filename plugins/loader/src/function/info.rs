//! What a function says of itself.

use std::{ffi::c_void, fmt, slice, str};

use millstream_abi::{
    BorrowedBytes, BorrowedSignature, FUNCTION_AGGREGATE, FUNCTION_DETERMINISTIC,
    FUNCTION_RETRACTS, FUNCTION_SCALAR, FUNCTION_TABLE, FunctionProperties, FunctionTable,
    SignatureSink,
};
use millstream_data::types::{DataType, Field, Schema};
use millstream_dataflow::graph::decode_schema;

use crate::{
    CallError,
    call::{Name, status},
};

/// What a function says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionInfo {
    /// What it gives for what.
    pub kind: FunctionKind,
    /// Equal arguments give equal results.
    pub deterministic: bool,
    /// An aggregate function that can take rows back.
    pub retracts: bool,
    /// Types that it takes, and what it then gives.
    pub signatures: Vec<SignatureInfo>,
}

/// What a function gives for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// One result for each row.
    Scalar,
    /// One result for the rows of a group.
    Aggregate,
    /// Any number of result rows for each row.
    Table,
}

/// Types that a function takes, and what it then gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureInfo {
    /// The arguments.
    pub arguments: Schema,
    /// The results; of a table function with one more column at the end, the argument row.
    pub results: Schema,
    /// The accumulator of an aggregate function.
    pub accumulator: Schema,
    /// One sentence about it; may be empty.
    pub doc: String,
}

impl FunctionKind {
    /// The kind's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar function",
            Self::Aggregate => "aggregate function",
            Self::Table => "table function",
        }
    }
}

impl FunctionInfo {
    /// The signature that takes these arguments, with its number.
    pub(crate) fn resolve(
        &self,
        name: &Name,
        arguments: &Schema,
    ) -> Result<(usize, &SignatureInfo), CallError> {
        let takes = |signature: &SignatureInfo| {
            let (takes, given) = (&signature.arguments.fields, &arguments.fields);
            takes.len() == given.len()
                && takes.iter().zip(given).all(|(takes, given)| {
                    takes.data_type == given.data_type && (takes.nullable || !given.nullable)
                })
        };
        let found = self.signatures.iter().enumerate().find(|(_, signature)| takes(signature));
        found.ok_or_else(|| {
            let list = |types: Vec<String>| types.join(", ");
            let given = list(arguments.fields.iter().map(shown_type).collect());
            let known = list(self.signatures.iter().map(SignatureInfo::to_string).collect());
            CallError::new(format!("{name} does not take ({given}): it takes {known}"))
        })
    }
}

impl fmt::Display for SignatureInfo {
    /// `(text STRING) -> length BIGINT`, with `NULL` where that may come or be given.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |schema: &Schema| {
            let shown = |field: &Field| format!("{} {}", field.name, shown_type(field));
            schema.fields.iter().map(shown).collect::<Vec<_>>().join(", ")
        };
        write!(f, "({}) -> {}", list(&self.arguments), list(&self.results))
    }
}

fn shown_type(field: &Field) -> String {
    format!("{}{}", field.data_type, if field.nullable { " NULL" } else { "" })
}

/// Asks a function what it is like, and checks what it says.
///
/// # Safety
/// The table is that of a plugin that is loaded.
pub(crate) unsafe fn describe(
    name: &Name,
    table: &FunctionTable,
) -> Result<FunctionInfo, CallError> {
    let size = size_of::<FunctionProperties>() as u32;
    let mut properties = FunctionProperties { size, kind: 0, flags: 0 };
    let mut given = Given::new();
    let sink = SignatureSink { context: (&raw mut given).cast(), take };
    // SAFETY: the caller's promise; what is lent outlives the call.
    status(name, |errors| unsafe { (table.describe)(&raw mut properties, sink, errors) })?;
    let wrong = |what: &str| CallError::new(format!("{name}: {what}"));
    let kind = match properties.kind {
        FUNCTION_SCALAR => FunctionKind::Scalar,
        FUNCTION_AGGREGATE => FunctionKind::Aggregate,
        FUNCTION_TABLE => FunctionKind::Table,
        _ => return Err(wrong("it is neither a scalar, nor an aggregate, nor a table function")),
    };
    let mut signatures = Vec::new();
    for signature in given {
        let mut signature = signature.map_err(|()| wrong("a signature of it is damaged"))?;
        match (kind, signature.results.fields.len()) {
            (_, 0) => return Err(wrong("a signature of it has no result")),
            (FunctionKind::Table, _) => {
                let row = Field::new("argument row", DataType::UInt32);
                signature.results.fields.push(row);
            }
            (_, 1) => {}
            _ => return Err(wrong("only table functions have several columns of results")),
        }
        if signatures.iter().any(|other: &SignatureInfo| {
            let types = |schema: &Schema| {
                schema.fields.iter().map(|field| field.data_type.clone()).collect::<Vec<_>>()
            };
            types(&other.arguments) == types(&signature.arguments)
        }) {
            return Err(wrong("two signatures of it take the same types"));
        }
        signatures.push(signature);
    }
    if signatures.is_empty() {
        return Err(wrong("it has no signature"));
    }
    Ok(FunctionInfo {
        kind,
        deterministic: properties.flags & FUNCTION_DETERMINISTIC != 0,
        retracts: properties.flags & FUNCTION_RETRACTS != 0,
        signatures,
    })
}

type Given = Vec<Result<SignatureInfo, ()>>;

unsafe extern "C" fn take(context: *mut c_void, signature: *const BorrowedSignature) {
    // SAFETY: `describe` passes its own list, which outlives the call; the plugin lends the
    // signature, which begins with its size.
    unsafe {
        let given = &mut *context.cast::<Given>();
        let whole = !signature.is_null()
            && *signature.cast::<u32>() as usize >= size_of::<BorrowedSignature>();
        given.push(if whole { read(&*signature) } else { Err(()) });
    }
}

/// # Safety
/// What the signature borrows is readable during the call.
unsafe fn read(signature: &BorrowedSignature) -> Result<SignatureInfo, ()> {
    let bytes = |bytes: BorrowedBytes| match bytes.length {
        0 => &[],
        // SAFETY: the caller's promise.
        length => unsafe { slice::from_raw_parts(bytes.start, length) },
    };
    let schema = |columns| decode_schema(bytes(columns)).map_err(|_| ());
    let BorrowedSignature { arguments, results, accumulator, doc, .. } = *signature;
    let doc = bytes(BorrowedBytes { start: doc.start, length: doc.length });
    Ok(SignatureInfo {
        arguments: schema(arguments)?,
        results: schema(results)?,
        accumulator: schema(accumulator)?,
        doc: str::from_utf8(doc).map_err(|_| ())?.into(),
    })
}
