//! Flink's types, and how values of them are kept.

use std::fmt;

use arrow::datatypes::{DataType as Arrow, IntervalUnit, TimeUnit};
use millstream_arrow::arrow_type;
use millstream_data::types::{DataType, Field};

/// The length of STRING, which is VARCHAR of this, and of BYTES.
pub(crate) const MAX_LENGTH: u32 = i32::MAX as u32;
/// The most digits of a decimal.
pub(crate) const MAX_PRECISION: u8 = 38;

/// A type, and whether values may be NULL.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub struct Type {
    /// What values are.
    pub kind: Kind,
    /// Whether NULL is allowed.
    pub nullable: bool,
}

/// What values are.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Hash)]
pub enum Kind {
    /// The type of a bare NULL.
    Null,
    /// BOOLEAN
    Boolean,
    /// TINYINT
    TinyInt,
    /// SMALLINT
    SmallInt,
    /// INT
    Int,
    /// BIGINT
    BigInt,
    /// FLOAT
    Float,
    /// DOUBLE
    Double,
    /// DECIMAL(precision, scale)
    Decimal(u8, u8),
    /// CHAR(length)
    Char(u32),
    /// VARCHAR(length), STRING
    Varchar(u32),
    /// BINARY(length)
    Binary(u32),
    /// VARBINARY(length), BYTES
    Varbinary(u32),
    /// DATE
    Date,
    /// TIME(precision)
    Time(u8),
    /// TIMESTAMP(precision)
    Timestamp(u8),
    /// TIMESTAMP_LTZ(precision)
    TimestampLtz(u8),
    /// INTERVAL DAY TO SECOND, in microseconds
    DayTime,
    /// INTERVAL YEAR TO MONTH, in months
    YearMonth,
    /// ARRAY
    Array(Box<Type>),
    /// MAP, of keys and values
    Map(Box<Type>, Box<Type>),
    /// MULTISET: values, and how often each is there
    Multiset(Box<Type>),
    /// ROW
    Row(Vec<(String, Type)>),
}

/// STRING.
pub(crate) const STRING: Kind = Kind::Varchar(MAX_LENGTH);
/// BYTES
pub(crate) const BYTES: Kind = Kind::Varbinary(MAX_LENGTH);

impl Type {
    /// The type of values that may be NULL.
    pub fn nullable(kind: Kind) -> Self {
        Self { kind, nullable: true }
    }

    /// The type of values that are never NULL.
    pub fn required(kind: Kind) -> Self {
        Self { kind, nullable: false }
    }

    /// The same type, NULL allowed or not.
    pub fn with_nullable(self, nullable: bool) -> Self {
        Self { nullable, ..self }
    }

    /// The column of a page for values of the type; `None` if there is none.
    pub fn field(&self, name: &str) -> Option<Field> {
        let field = Field::new(name, self.kind.data_type()?);
        Some(if self.nullable { field.nullable() } else { field })
    }

    /// The same between operators, where nested values are [bytes](crate::nested).
    pub(crate) fn kept(&self, name: &str) -> Option<Field> {
        let field = self.field(name)?;
        let data_type = if self.kind.is_nested() { DataType::Bytes } else { field.data_type };
        Some(Field { data_type, ..field })
    }
}

impl Type {
    /// The type that values of both can be without loss.
    pub(crate) fn common(&self, other: &Self) -> Option<Self> {
        let nullable = self.nullable || other.nullable;
        Some(Self { kind: self.kind.common(&other.kind)?, nullable })
    }
}

/// A field of what is nested.
fn inner(name: &str, kind: &Kind) -> Option<Field> {
    Some(Field::new(name, kind.data_type()?).nullable())
}

impl Kind {
    /// The type of a column of pages; `None` for what is not stored.
    pub fn data_type(&self) -> Option<DataType> {
        Some(match self {
            Self::Boolean => DataType::Boolean,
            Self::TinyInt => DataType::Int8,
            Self::SmallInt => DataType::Int16,
            Self::Int => DataType::Int32,
            Self::BigInt => DataType::Int64,
            Self::Float => DataType::Float32,
            Self::Double => DataType::Float64,
            Self::Decimal(precision, scale) => {
                DataType::Decimal { precision: *precision, scale: *scale }
            }
            Self::Char(_) | Self::Varchar(_) => DataType::String,
            Self::Binary(_) | Self::Varbinary(_) => DataType::Bytes,
            Self::Date => DataType::Date,
            Self::Time(_) => DataType::Time,
            Self::Timestamp(precision) => DataType::Timestamp { precision: *precision },
            Self::TimestampLtz(precision) => DataType::TimestampLtz { precision: *precision },
            // What is nested may be NULL, whatever is said: values of types that differ in this only are equal
            // bytes.
            Self::Array(element) => DataType::Array(Box::new(inner("element", &element.kind)?)),
            Self::Map(key, value) => DataType::Map(
                Box::new(inner("key", &key.kind)?),
                Box::new(inner("value", &value.kind)?),
            ),
            Self::Multiset(element) => DataType::Map(
                Box::new(inner("element", &element.kind)?),
                Box::new(inner("count", &Self::Int)?),
            ),
            Self::Row(fields) => {
                let fields = fields.iter().map(|(name, of)| inner(name, &of.kind));
                DataType::Row(fields.collect::<Option<_>>()?)
            }
            Self::Null | Self::DayTime | Self::YearMonth => return None,
        })
    }

    /// The type of arrays of values.
    pub fn arrow(&self) -> Arrow {
        match self {
            Self::DayTime => Arrow::Duration(TimeUnit::Microsecond),
            Self::YearMonth => Arrow::Interval(IntervalUnit::YearMonth),
            other => other.data_type().and_then(|kind| arrow_type(&kind)).unwrap_or(Arrow::Null),
        }
    }

    /// Whether values are whole numbers.
    pub fn is_integer(&self) -> bool {
        matches!(self, Self::TinyInt | Self::SmallInt | Self::Int | Self::BigInt)
    }

    /// Whether values are floating-point numbers.
    pub fn is_approximate(&self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    /// Whether values are numbers.
    pub fn is_numeric(&self) -> bool {
        self.is_integer() || self.is_approximate() || matches!(self, Self::Decimal(..))
    }

    /// Whether values are text.
    pub fn is_text(&self) -> bool {
        matches!(self, Self::Char(_) | Self::Varchar(_))
    }

    /// Whether values are dates with a time of day.
    pub fn is_timestamp(&self) -> bool {
        matches!(self, Self::Timestamp(_) | Self::TimestampLtz(_))
    }

    /// Whether values have others in them.
    pub fn is_nested(&self) -> bool {
        matches!(self, Self::Array(_) | Self::Map(..) | Self::Multiset(_) | Self::Row(_))
    }

    /// Whether values are the same as those of another type: it differs at most within, in the names of fields and
    /// in what may be NULL.
    pub fn same_values(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Array(a), Self::Array(b)) | (Self::Multiset(a), Self::Multiset(b)) => {
                a.kind.same_values(&b.kind)
            }
            (Self::Map(a, x), Self::Map(b, y)) => {
                a.kind.same_values(&b.kind) && x.kind.same_values(&y.kind)
            }
            (Self::Row(a), Self::Row(b)) => {
                let mut both = a.iter().zip(b);
                a.len() == b.len() && both.all(|((_, a), (_, b))| a.kind.same_values(&b.kind))
            }
            (a, b) => a == b,
        }
    }

    /// Digits and scale of an exact number.
    pub fn digits(&self) -> Option<(u8, u8)> {
        Some(match self {
            Self::TinyInt => (3, 0),
            Self::SmallInt => (5, 0),
            Self::Int => (10, 0),
            Self::BigInt => (19, 0),
            Self::Decimal(precision, scale) => (*precision, *scale),
            _ => return None,
        })
    }

    /// The rank of whole numbers, the narrowest first.
    fn rank(&self) -> Option<u8> {
        [Self::TinyInt, Self::SmallInt, Self::Int, Self::BigInt]
            .iter()
            .position(|kind| kind == self)
            .map(|rank| rank as u8)
    }

    /// The type that both can be without loss of meaning: for CASE, comparisons, UNION and the like
    /// (Flink's `LogicalTypeMerging`).
    pub fn common(&self, other: &Self) -> Option<Self> {
        Some(match (self, other) {
            (a, b) if a == b => a.clone(),
            (Self::Null, other) | (other, Self::Null) => other.clone(),
            (a, b) if a.is_integer() && b.is_integer() => {
                if a.rank() > b.rank() {
                    a.clone()
                } else {
                    b.clone()
                }
            }
            (a, b) if a.is_numeric() && b.is_numeric() => match (a.digits(), b.digits()) {
                (Some((p1, s1)), Some((p2, s2))) => {
                    let scale = s1.max(s2);
                    let whole = (p1 - s1).max(p2 - s2);
                    Self::Decimal((whole + scale).min(MAX_PRECISION), scale)
                }
                (None, None) => Self::Double,
                // FLOAT with a decimal or BIGINT is DOUBLE, with what fits it FLOAT.
                (None, Some((p, _))) | (Some((p, _)), None) => {
                    let float = *a == Self::Float || *b == Self::Float;
                    if float && p <= 7 { Self::Float } else { Self::Double }
                }
            },
            (a, b) if a.is_text() && b.is_text() => Self::Varchar(a.length().max(b.length())),
            (Self::Binary(a) | Self::Varbinary(a), Self::Binary(b) | Self::Varbinary(b)) => {
                Self::Varbinary(*a.max(b))
            }
            (Self::Time(a), Self::Time(b)) => Self::Time(*a.max(b)),
            (Self::Timestamp(a), Self::Timestamp(b)) => Self::Timestamp(*a.max(b)),
            (Self::TimestampLtz(a), Self::TimestampLtz(b)) => Self::TimestampLtz(*a.max(b)),
            (Self::Date, Self::Timestamp(p)) | (Self::Timestamp(p), Self::Date) => {
                Self::Timestamp(*p)
            }
            (Self::Array(a), Self::Array(b)) => Self::Array(Box::new(a.common(b)?)),
            (Self::Map(a, x), Self::Map(b, y)) => {
                Self::Map(Box::new(a.common(b)?), Box::new(x.common(y)?))
            }
            (Self::Multiset(a), Self::Multiset(b)) => Self::Multiset(Box::new(a.common(b)?)),
            (Self::Row(a), Self::Row(b)) if a.len() == b.len() => {
                let both = a.iter().zip(b);
                let fields = both.map(|((name, a), (_, b))| Some((name.clone(), a.common(b)?)));
                Self::Row(fields.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    fn length(&self) -> u32 {
        match self {
            Self::Char(length) | Self::Varchar(length) => *length,
            _ => MAX_LENGTH,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.kind, if self.nullable { "" } else { " NOT NULL" })
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("NULL"),
            Self::Boolean => f.write_str("BOOLEAN"),
            Self::TinyInt => f.write_str("TINYINT"),
            Self::SmallInt => f.write_str("SMALLINT"),
            Self::Int => f.write_str("INT"),
            Self::BigInt => f.write_str("BIGINT"),
            Self::Float => f.write_str("FLOAT"),
            Self::Double => f.write_str("DOUBLE"),
            Self::Decimal(precision, scale) => write!(f, "DECIMAL({precision}, {scale})"),
            Self::Char(length) => write!(f, "CHAR({length})"),
            Self::Varchar(MAX_LENGTH) => f.write_str("STRING"),
            Self::Varchar(length) => write!(f, "VARCHAR({length})"),
            Self::Binary(length) => write!(f, "BINARY({length})"),
            Self::Varbinary(MAX_LENGTH) => f.write_str("BYTES"),
            Self::Varbinary(length) => write!(f, "VARBINARY({length})"),
            Self::Date => f.write_str("DATE"),
            Self::Time(precision) => write!(f, "TIME({precision})"),
            Self::Timestamp(precision) => write!(f, "TIMESTAMP({precision})"),
            Self::TimestampLtz(precision) => write!(f, "TIMESTAMP_LTZ({precision})"),
            Self::DayTime => f.write_str("INTERVAL DAY TO SECOND"),
            Self::YearMonth => f.write_str("INTERVAL YEAR TO MONTH"),
            Self::Array(element) => write!(f, "ARRAY<{element}>"),
            Self::Map(key, value) => write!(f, "MAP<{key}, {value}>"),
            Self::Multiset(element) => write!(f, "MULTISET<{element}>"),
            Self::Row(fields) => {
                f.write_str("ROW<")?;
                for (i, (name, data_type)) in fields.iter().enumerate() {
                    write!(f, "{}`{name}` {data_type}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(">")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_two_types_have_in_common_is_flinks() {
        let decimal = Kind::Decimal;
        for (a, b, common) in [
            (Kind::Int, Kind::BigInt, Some(Kind::BigInt)),
            (Kind::BigInt, decimal(3, 3), Some(decimal(22, 3))),
            (decimal(10, 2), decimal(8, 4), Some(decimal(12, 4))),
            (decimal(38, 10), decimal(38, 0), Some(decimal(38, 10))),
            (Kind::Int, Kind::Double, Some(Kind::Double)),
            (Kind::Char(3), Kind::Char(5), Some(Kind::Varchar(5))),
            (Kind::Char(3), STRING, Some(STRING)),
            (Kind::Null, Kind::Date, Some(Kind::Date)),
            (Kind::Timestamp(3), Kind::Timestamp(6), Some(Kind::Timestamp(6))),
            (Kind::Timestamp(3), Kind::TimestampLtz(3), None),
            (Kind::Int, STRING, None),
        ] {
            assert_eq!(a.common(&b), common, "{a} and {b}");
            assert_eq!(b.common(&a), common, "{b} and {a}");
        }
    }
}
