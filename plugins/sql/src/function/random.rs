//! Functions whose result is another one each time.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::array::{ArrayRef, Float64Array, Int32Array, StringViewArray};
use datafusion_common::DataFusionError;

use super::{
    Function,
    arguments::{Rows, constant_integer, count, integer},
    nullable, volatile,
};
use crate::{
    bind::Bound,
    types::{Kind, Type},
};

pub(super) const FUNCTIONS: &[Function] = &[
    Function { names: &["UUID"], doc: "UUID()", bind: uuid },
    Function { names: &["RAND"], doc: "RAND([seed])", bind: rand },
    Function { names: &["RAND_INTEGER"], doc: "RAND_INTEGER([seed,] bound)", bind: rand_integer },
];

/// Of the fourth version: random but for six bits.
fn uuid(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 0..=0)?;
    let result = Type::required(Kind::Char(36));
    Ok(volatile(name, String::new(), arguments, result, |_, rows| {
        let random = RandomState::new();
        let of_row = |row| format_uuid([0, 1].map(|half| random.hash_one((row, half))));
        Ok(Arc::new((0..rows).map(|row| Some(of_row(row))).collect::<StringViewArray>())
            as ArrayRef)
    }))
}

fn format_uuid([high, low]: [u64; 2]) -> String {
    let high = high & !0xf000 | 0x4000;
    let low = low & (u64::MAX >> 2) | 1 << 63;
    let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    let (d, e) = (low >> 48, low & 0xffff_ffff_ffff);
    format!("{a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}")
}

/// Where the random numbers of a call come from.
enum Source {
    /// From nothing that is known.
    Unknown,
    /// A constant: each row has the next number.
    Seed(AtomicU64),
    /// A column: each row has the first number of its own.
    Column,
}

impl Source {
    /// That of a call, and the seed if it is an argument.
    fn of(seed: Option<Bound>) -> Result<(Self, String, Option<Bound>), String> {
        let Some(seed) = seed else { return Ok((Self::Unknown, String::new(), None)) };
        if let Some(number) = constant_integer(&seed) {
            let source = Self::Seed(AtomicU64::new(Random::new(number).0));
            return Ok((source, format!("seed {number}"), None));
        }
        Ok((Self::Column, String::new(), Some(integer(seed)?)))
    }

    /// Makes a value of each row's random numbers; there is none where its seed is NULL.
    fn each<T>(
        &self,
        seeds: &Rows<'_>,
        rows: usize,
        make: impl Fn(&mut Random, usize) -> T,
    ) -> Vec<Option<T>> {
        let unknown = RandomState::new();
        let one = |row: usize| match self {
            Self::Unknown => Some(make(&mut Random(unknown.hash_one(row) & MASK), row)),
            Self::Column => Some(make(&mut Random::new(seeds.integer(0, row)?), row)),
            Self::Seed(state) => {
                let mut random = Random(state.load(Ordering::Relaxed));
                let made = make(&mut random, row);
                state.store(random.0, Ordering::Relaxed);
                Some(made)
            }
        };
        (0..rows).map(one).collect()
    }
}

fn rand(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 0..=1)?;
    let (source, key, seed) = Source::of(arguments.into_iter().next())?;
    let arguments: Vec<Bound> = seed.into_iter().collect();
    let result = Type { kind: Kind::Double, nullable: nullable(&arguments) };
    Ok(volatile(name, key, arguments, result, move |arrays, rows| {
        let made = source.each(&Rows::new(arrays), rows, |random, _| random.double());
        Ok(Arc::new(Float64Array::from(made)) as ArrayRef)
    }))
}

/// From 0 to below the bound.
fn rand_integer(name: &'static str, arguments: Vec<Bound>) -> Result<Bound, String> {
    count(&arguments, 1..=2)?;
    let mut arguments = arguments;
    let bound = arguments.pop().ok_or("the bound is missing")?;
    let positive = |number| i32::try_from(number).ok().filter(|number| *number > 0);
    let wrong = "the bound must be an INT above 0";
    if constant_integer(&bound).is_some_and(|bound| positive(bound).is_none()) {
        return Err(wrong.into());
    }
    let (source, key, seed) = Source::of(arguments.pop())?;
    let at = usize::from(seed.is_some());
    let arguments: Vec<Bound> = seed.into_iter().chain([integer(bound)?]).collect();
    let result = Type { kind: Kind::Int, nullable: nullable(&arguments) };
    Ok(volatile(name, key, arguments, result, move |arrays, rows| {
        let values = Rows::new(arrays);
        let made = source.each(&values, rows, |random, row| {
            let Some(bound) = values.integer(at, row) else { return Ok(None) };
            let bound = positive(bound)
                .ok_or_else(|| DataFusionError::Execution(format!("RAND_INTEGER: {wrong}")))?;
            Ok(Some(random.integer(bound)))
        });
        let made = made.into_iter().map(|made| made.unwrap_or(Ok(None)));
        Ok(Arc::new(made.collect::<Result<Int32Array, DataFusionError>>()?) as ArrayRef)
    }))
}

/// Java's `Random`, whose numbers a seed stands for.
struct Random(u64);

const MASK: u64 = (1 << 48) - 1;
const FACTOR: u64 = 0x5_DEEC_E66D;

impl Random {
    fn new(seed: i64) -> Self {
        Self((seed.cast_unsigned() ^ FACTOR) & MASK)
    }

    fn next(&mut self, bits: u32) -> i32 {
        self.0 = self.0.wrapping_mul(FACTOR).wrapping_add(0xB) & MASK;
        (self.0 >> (48 - bits)) as i32
    }

    fn double(&mut self) -> f64 {
        let (high, low) = (i64::from(self.next(26)), i64::from(self.next(27)));
        ((high << 27) + low) as f64 / (1u64 << 53) as f64
    }

    fn integer(&mut self, bound: i32) -> i32 {
        if bound & (bound - 1) == 0 {
            return ((i64::from(bound) * i64::from(self.next(31))) >> 31) as i32;
        }
        loop {
            let bits = self.next(31);
            let value = bits % bound;
            // Numbers behind the last whole multiple would make some more likely than others.
            if bits.checked_sub(value).and_then(|first| first.checked_add(bound - 1)).is_some() {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_stands_for_the_numbers_of_javas() {
        assert_eq!(Random::new(7).double(), 0.730_699_042_060_042_1);
        assert_eq!(Random::new(-7).double(), 0.269_121_809_326_076_1);
        let mut random = Random::new(7);
        assert!((0..1000).all(|_| (0..100).contains(&random.integer(100))));
        assert!((0..1000).all(|_| (0..16).contains(&random.integer(16))));
    }

    #[test]
    fn uuids_say_their_version() {
        assert_eq!(format_uuid([0, 0]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(format_uuid([u64::MAX; 2]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
    }
}
