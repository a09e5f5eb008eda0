//! What a call of an aggregate function keeps of the rows of a group.

use std::sync::Arc;

use millstream_data::{
    order::Cells,
    row::{RowLayout, RowWriter},
    types::DataType,
};

use super::listed;
use crate::{
    error::SqlError,
    nested::Nested,
    relation::{AggregateCall, AggregateFunction, Spread},
};

/// What a call keeps in the fixed part of a group's state: 16 bytes for a sum or a value, and eight that count
/// the values.
pub(super) const SLOT: usize = 24;

/// How the cells of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    /// A whole number, a time or a boolean, of so many bytes.
    Whole(u8),
    /// FLOAT.
    Single,
    /// DOUBLE.
    Double,
    /// DECIMAL.
    Decimal,
    /// Text or bytes.
    Text,
}

impl Cell {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean | DataType::Int8 => Self::Whole(1),
            DataType::Int16 => Self::Whole(2),
            DataType::Int32 | DataType::Date | DataType::Time => Self::Whole(4),
            DataType::Int64 | DataType::Timestamp { .. } | DataType::TimestampLtz { .. } => {
                Self::Whole(8)
            }
            DataType::Float32 => Self::Single,
            DataType::Float64 => Self::Double,
            DataType::Decimal { .. } => Self::Decimal,
            DataType::String | DataType::Bytes => Self::Text,
            _ => return None,
        })
    }
}

/// A number as it is kept: its bits, as an `i128` or those of an `f64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bits(i128);

impl Bits {
    fn double(self) -> f64 {
        f64::from_bits(self.0 as u64)
    }

    fn of_double(value: f64) -> Self {
        Self(i128::from(value.to_bits()))
    }
}

/// A call, ready to be computed.
#[derive(Clone, Debug)]
pub(super) struct Accumulator {
    function: AggregateFunction,
    pub(super) argument: Option<usize>,
    pub(super) filter: Option<usize>,
    /// What is between the values of LISTAGG.
    separator: String,
    cell: Cell,
    result: Cell,
    /// By how many powers of ten the result of AVG has more digits behind the point than the argument.
    scale_up: u32,
    /// The powers of ten that a decimal is in, as argument and as result.
    scales: [i32; 2],
    /// What its values become, if that is an array or a multiset.
    gathered: Option<Arc<Nested>>,
    /// Where its slot is in the fixed part of the state.
    slot: usize,
    /// If it keeps a text, or a list of them: the number of it.
    pub(super) text: Option<usize>,
    user: Option<OfUser>,
}

/// What is known here of a function of a user.
#[derive(Clone, Debug)]
struct OfUser {
    /// Columns that must have values for a row to count.
    strict: Vec<usize>,
    results: Arc<RowLayout>,
}

impl Accumulator {
    /// What is computed for a call; `argument` and `result` are columns. It is the `number`th call, and `texts`
    /// counts those that keep one.
    pub(super) fn new(
        call: &AggregateCall,
        argument: Option<&DataType>,
        result: &DataType,
        number: usize,
        texts: &mut usize,
    ) -> Result<Self, SqlError> {
        use AggregateFunction::{
            Array, Avg, First, Last, List, Max, Min, Multiset, Single, Spread, Sum,
        };
        let unsupported =
            || SqlError::new(format!("`{}` of this type is not supported yet", call.name));
        let cell = match argument {
            Some(argument) if !matches!(call.function, AggregateFunction::Count) => {
                Cell::of(argument).ok_or_else(unsupported)?
            }
            _ => Cell::Whole(8),
        };
        let result_cell = Cell::of(result).ok_or_else(unsupported)?;
        if cell == Cell::Text && matches!(call.function, Sum | Avg | Spread(_)) {
            return Err(unsupported());
        }
        let is_list = matches!(call.function, List | Array | Multiset);
        if cell != Cell::Text && is_list {
            return Err(unsupported());
        }
        let keeps = is_list || matches!(call.function, Min | Max | First | Last | Single);
        let text = (cell == Cell::Text && keeps).then(|| {
            *texts += 1;
            *texts - 1
        });
        let scale = |data_type: Option<&DataType>| match data_type {
            Some(DataType::Decimal { scale, .. }) => u32::from(*scale),
            _ => 0,
        };
        Ok(Self {
            function: call.function,
            argument: call.argument,
            filter: call.filter,
            separator: call.separator.clone(),
            cell,
            result: result_cell,
            scale_up: scale(Some(result)).saturating_sub(scale(argument)),
            scales: [scale(argument) as i32, scale(Some(result)) as i32],
            gathered: Nested::of(&call.output.kind)
                .filter(|_| matches!(call.function, Array | Multiset))
                .map(Arc::new),
            slot: 8 + number * SLOT,
            text,
            user: None,
        })
    }

    /// The same for a function of a user, which keeps its texts from `text` on; `strict` are columns that must not
    /// be NULL.
    pub(super) fn of_user(self, results: RowLayout, strict: Vec<usize>, text: usize) -> Self {
        let user = OfUser { strict, results: Arc::new(results) };
        Self { argument: None, text: Some(text), user: Some(user), ..self }
    }

    /// Whether there is one row at most.
    pub(super) fn is_single(&self) -> bool {
        self.function == AggregateFunction::Single
    }

    /// Whether it keeps a text.
    pub(super) fn has_text(&self) -> bool {
        self.text.is_some()
    }

    /// Whether a row counts: its filter is TRUE, and it has a value.
    pub(super) fn counts(&self, row: &impl Cells) -> bool {
        let is_true = |column: usize| !row.is_null(column) && row.fixed::<1>(column) != [0];
        let strict = self.user.iter().flat_map(|user| &user.strict);
        self.filter.is_none_or(is_true)
            && self.argument.iter().chain(strict).all(|column| !row.is_null(*column))
    }

    /// Adds the value of a row that [counts](Self::counts), or takes it back.
    pub(super) fn add(
        &self,
        row: &impl Cells,
        retract: bool,
        fixed: &mut [u8],
        texts: &mut [Vec<u8>],
    ) {
        let sign: i64 = if retract { -1 } else { 1 };
        let (kept, count) = self.kept(fixed);
        let kept = match (self.function, self.argument) {
            (AggregateFunction::CountAll | AggregateFunction::Count, _) | (_, None) => kept,
            (AggregateFunction::Sum | AggregateFunction::Avg, Some(column)) => {
                let value = self.value(row, column);
                match self.cell {
                    Cell::Single | Cell::Double => {
                        Bits::of_double(kept.double() + value.double() * sign as f64)
                    }
                    _ => Bits(kept.0.wrapping_add(value.0 * i128::from(sign))),
                }
            }
            (AggregateFunction::Spread(_), Some(column)) => {
                Moments::of(kept).add(self.number(row, column), count, retract).bits()
            }
            (
                AggregateFunction::List | AggregateFunction::Array | AggregateFunction::Multiset,
                Some(column),
            ) => {
                if let Some(list) = self.text.and_then(|text| texts.get_mut(text)) {
                    let change = if retract { listed::remove } else { listed::push };
                    change(list, row.variable(column));
                }
                kept
            }
            // What is the result then is not known here.
            (_, _) if retract => kept,
            (_, Some(column)) => match self.text {
                Some(text) => {
                    if let Some(text) = texts.get_mut(text) {
                        self.keep_text(row.variable(column), count == 0, text);
                    }
                    kept
                }
                None => {
                    let value = self.value(row, column);
                    if count == 0 || self.replaces(value, kept) { value } else { kept }
                }
            },
        };
        self.keep(fixed, kept, count.wrapping_add(sign));
    }

    /// The value of a row as a number.
    fn number(&self, row: &impl Cells, column: usize) -> f64 {
        let value = self.value(row, column);
        match self.cell {
            Cell::Single | Cell::Double => value.double(),
            _ => value.0 as f64 / 10f64.powi(self.scales[0]),
        }
    }

    fn replaces(&self, value: Bits, kept: Bits) -> bool {
        let order = match self.cell {
            Cell::Single | Cell::Double => value.double().total_cmp(&kept.double()),
            _ => value.0.cmp(&kept.0),
        };
        match self.function {
            AggregateFunction::Min => order.is_lt(),
            AggregateFunction::Max => order.is_gt(),
            function => matches!(function, AggregateFunction::Last | AggregateFunction::Single),
        }
    }

    fn keep_text(&self, value: &[u8], is_first: bool, kept: &mut Vec<u8>) {
        let replaces = match self.function {
            AggregateFunction::Min => value < &kept[..],
            AggregateFunction::Max => value > &kept[..],
            function => matches!(function, AggregateFunction::Last | AggregateFunction::Single),
        };
        if is_first || replaces {
            kept.clear();
            kept.extend_from_slice(value);
        }
    }

    /// Appends what is kept of a row's value.
    pub(super) fn put_value(&self, row: &impl Cells, out: &mut Vec<u8>) {
        let Some(column) = self.argument else { return };
        match self.text {
            Some(_) => out.extend_from_slice(row.variable(column)),
            None => out.extend_from_slice(&self.value(row, column).0.to_le_bytes()),
        }
    }

    /// Keeps a value that was [put](Self::put_value) somewhere.
    pub(super) fn set_value(&self, value: &[u8], fixed: &mut [u8], texts: &mut [Vec<u8>]) {
        if let Some(text) = self.text.and_then(|text| texts.get_mut(text)) {
            text.clear();
            text.extend_from_slice(value);
        } else {
            let bits = value.first_chunk().map_or(0, |bits| i128::from_le_bytes(*bits));
            let (_, count) = self.kept(fixed);
            self.keep(fixed, Bits(bits), count);
        }
    }

    /// Keeps nothing but a value that was [put](Self::put_value) somewhere.
    pub(super) fn set_alone(&self, value: &[u8], fixed: &mut [u8], texts: &mut [Vec<u8>]) {
        self.keep(fixed, Bits(0), 1);
        self.set_value(value, fixed, texts);
    }

    /// Adds what another accumulator of the call has kept; that of a sum or a count may be of rows that went.
    pub(super) fn merge(
        &self,
        (fixed, texts): (&mut [u8], &mut [Vec<u8>]),
        (other, other_texts): (&[u8], &[Vec<u8>]),
    ) {
        use AggregateFunction::{
            Array, Avg, Count, CountAll, First, Last, List, Max, Min, Multiset, Place, Single,
            Spread, Sum, User,
        };
        let ((kept, count), (found, more)) = (self.kept(fixed), self.kept(other));
        // Rows that came and went may leave a sum.
        if more == 0 && !matches!(self.function, Sum | Avg) {
            return;
        }
        let kept = match self.function {
            CountAll | Count | Place(_) | User => kept,
            Sum | Avg => match self.cell {
                Cell::Single | Cell::Double => Bits::of_double(kept.double() + found.double()),
                _ => Bits(kept.0.wrapping_add(found.0)),
            },
            Spread(_) => Moments::of(kept).merge(count, (Moments::of(found), more)).bits(),
            List | Array | Multiset => {
                let both =
                    self.text.and_then(|text| texts.get_mut(text).zip(other_texts.get(text)));
                if let Some((list, more)) = both {
                    list.extend_from_slice(more);
                }
                kept
            }
            Min | Max | First | Last | Single => match self.text {
                Some(text) => {
                    if let (Some(kept), Some(found)) = (texts.get_mut(text), other_texts.get(text))
                    {
                        self.keep_text(found, count == 0, kept);
                    }
                    kept
                }
                None if count == 0 || self.replaces(found, kept) => found,
                None => kept,
            },
        };
        self.keep(fixed, kept, count.wrapping_add(more));
    }

    fn value(&self, row: &impl Cells, column: usize) -> Bits {
        match self.cell {
            Cell::Whole(1) => Bits(i8::from_le_bytes(row.fixed(column)).into()),
            Cell::Whole(2) => Bits(i16::from_le_bytes(row.fixed(column)).into()),
            Cell::Whole(4) => Bits(i32::from_le_bytes(row.fixed(column)).into()),
            Cell::Whole(_) => Bits(i64::from_le_bytes(row.fixed(column)).into()),
            Cell::Single => Bits::of_double(f32::from_le_bytes(row.fixed(column)).into()),
            Cell::Double => Bits::of_double(f64::from_le_bytes(row.fixed(column))),
            Cell::Decimal => Bits(i128::from_le_bytes(row.fixed(column))),
            Cell::Text => Bits(0),
        }
    }

    fn kept(&self, fixed: &[u8]) -> (Bits, i64) {
        let at = |begin: usize| fixed.get(begin..).unwrap_or(&[]);
        let bits = at(self.slot).first_chunk().map_or(0, |bits| i128::from_le_bytes(*bits));
        let count = at(self.slot + 16).first_chunk().map_or(0, |count| i64::from_le_bytes(*count));
        (Bits(bits), count)
    }

    fn keep(&self, fixed: &mut [u8], bits: Bits, count: i64) {
        if let Some(slot) = fixed.get_mut(self.slot..self.slot + SLOT) {
            slot[..16].copy_from_slice(&bits.0.to_le_bytes());
            slot[16..].copy_from_slice(&count.to_le_bytes());
        }
    }

    fn finish_spread(
        &self,
        Spread { root, sample }: Spread,
        moments: Moments,
        count: i64,
        out: &mut RowWriter<'_>,
    ) {
        let of = if sample { count - 1 } else { count };
        if of <= 0 {
            return out.leave_empty();
        }
        let variance = moments.squares / of as f64;
        let value = if root { variance.powf(0.5) } else { variance };
        let scaled = value * 10f64.powi(self.scales[1]);
        match self.result {
            Cell::Single | Cell::Double => self.write(Bits::of_double(value), out),
            Cell::Decimal => self.write(Bits(scaled.round() as i128), out),
            _ => self.write(Bits(value as i128), out),
        }
    }

    /// Writes the result.
    pub(super) fn finish(&self, fixed: &[u8], texts: &[Vec<u8>], out: &mut RowWriter<'_>) {
        use AggregateFunction::{Avg, Count, CountAll};
        let (kept, count) = self.kept(fixed);
        if matches!(self.function, CountAll | Count) {
            return out.put_fixed(count.to_le_bytes());
        }
        if let Some(user) = &self.user {
            let said = self.text.and_then(|text| texts.get(text + 1));
            return match user.results.trusted(said.map_or(&[][..], Vec::as_slice)) {
                Ok(result) => out.copy(&result, 0),
                // Nothing was said of a group that is gone.
                Err(_) => out.leave_empty(),
            };
        }
        if count == 0 && self.function != AggregateFunction::Multiset {
            return out.leave_empty();
        }
        if let Some(text) = self.text {
            let text = texts.get(text).map_or(&[][..], Vec::as_slice);
            return match self.function {
                AggregateFunction::List => {
                    out.put_variable(&listed::joined(text, &self.separator));
                }
                AggregateFunction::Array if let Some(of) = &self.gathered => {
                    out.put_variable(&of.behind_each_other(listed::values(text)));
                }
                AggregateFunction::Multiset if let Some(of) = &self.gathered => {
                    out.put_variable(&of.counted(listed::values(text)));
                }
                _ => out.put_variable(text),
            };
        }
        if let AggregateFunction::Spread(spread) = self.function {
            return self.finish_spread(spread, Moments::of(kept), count, out);
        }
        let is_double = matches!(self.cell, Cell::Single | Cell::Double);
        let value = match (self.function, is_double) {
            (Avg, true) => Bits::of_double(kept.double() / count as f64),
            (Avg, false) if self.cell == Cell::Decimal => {
                let scaled =
                    10i128.checked_pow(self.scale_up).and_then(|by| kept.0.checked_mul(by));
                match scaled {
                    Some(scaled) => Bits(divide_rounded(scaled, count.into())),
                    None => return out.leave_empty(),
                }
            }
            (Avg, false) => Bits(i128::from(kept.0 as i64) / i128::from(count)),
            _ => kept,
        };
        self.write(value, out);
    }

    fn write(&self, value: Bits, out: &mut RowWriter<'_>) {
        match self.result {
            Cell::Whole(1) => out.put_fixed((value.0 as i8).to_le_bytes()),
            Cell::Whole(2) => out.put_fixed((value.0 as i16).to_le_bytes()),
            Cell::Whole(4) => out.put_fixed((value.0 as i32).to_le_bytes()),
            Cell::Whole(_) => out.put_fixed((value.0 as i64).to_le_bytes()),
            Cell::Single => out.put_fixed((value.double() as f32).to_le_bytes()),
            Cell::Double => out.put_fixed(value.double().to_le_bytes()),
            // More than 38 digits are NULL, as in Flink.
            Cell::Decimal if value.0.unsigned_abs() >= 10u128.pow(38) => out.leave_empty(),
            Cell::Decimal => out.put_fixed(value.0.to_le_bytes()),
            Cell::Text => out.leave_empty(),
        }
    }
}

/// The mean of some values, and the sum of the squares of their distances from it (B. P. Welford, "Note on a method for
/// calculating corrected sums of squares and products", 1962).
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    squares: f64,
}

impl Moments {
    fn of(Bits(bits): Bits) -> Self {
        let [mean, squares] = [bits, bits >> 64].map(|half| f64::from_bits(half as u64));
        Self { mean, squares }
    }

    fn bits(self) -> Bits {
        let [mean, squares] = [self.mean, self.squares].map(|half| u128::from(half.to_bits()));
        Bits((squares << 64 | mean) as i128)
    }

    /// With a value more than so many, or one less.
    fn add(self, value: f64, count: i64, retract: bool) -> Self {
        let left = if retract { count - 1 } else { count + 1 };
        if left <= 0 {
            return Self { mean: 0.0, squares: 0.0 };
        }
        let distance = value - self.mean;
        let sign = if retract { -1.0 } else { 1.0 };
        let mean = self.mean + sign * distance / left as f64;
        Self { mean, squares: self.squares + sign * distance * (value - mean) }
    }

    /// Those of both, of which there are so many.
    fn merge(self, count: i64, (other, more): (Self, i64)) -> Self {
        if count == 0 {
            return other;
        }
        let (a, b) = (count as f64, more as f64);
        let distance = other.mean - self.mean;
        Self {
            mean: self.mean + distance * b / (a + b),
            squares: self.squares + other.squares + distance * distance * a * b / (a + b),
        }
    }
}

/// Division that rounds halves away from zero.
fn divide_rounded(value: i128, by: i128) -> i128 {
    let (quotient, rest) = (value / by, value % by);
    let up = rest.unsigned_abs() * 2 >= by.unsigned_abs();
    quotient + if up { value.signum() * by.signum() } else { 0 }
}
