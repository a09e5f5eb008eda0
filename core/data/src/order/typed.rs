//! The order of Rust types.

use alloc::{string::String, vec::Vec};
use core::cmp::Ordering;

use super::{KeySink, KeyValue, Nulls, Prefix, VALUE};
use crate::{
    Decimal, Value,
    value::{Bytes, Date, Time, Timestamp, TimestampLtz},
};

/// A value with an order, ascending and NULL first; [`Inverted`](super::Inverted) turns it round.
pub trait Ordered: Value {
    /// Bytes of the longest key of this type; `None` where there is no longest.
    const KEY_BYTES_MAX: Option<usize>;

    /// Appends the key of a value.
    fn put_key(view: Self::View<'_>, sink: &mut impl KeySink);

    /// How two values are ordered: as their keys are.
    fn compare(a: Self::View<'_>, b: Self::View<'_>) -> Ordering;

    /// Whether the first `bytes` of two keys are equal only if the values are.
    fn prefix_decides(bytes: usize) -> bool {
        Self::KEY_BYTES_MAX.is_some_and(|length| length <= bytes)
    }
}

/// The first eight bytes of a value's key, as a number of the same order.
#[inline]
pub fn prefix<T: Ordered>(view: T::View<'_>) -> u64 {
    let mut prefix = Prefix::<8>::new();
    T::put_key(view, &mut prefix);
    prefix.word()
}

/// The whole key of a value.
pub fn full_key<T: Ordered>(view: T::View<'_>) -> Vec<u8> {
    let mut key = Vec::new();
    T::put_key(view, &mut key);
    key
}

macro_rules! plain {
    ($($type:ty $(where const $p:ident)?, $bytes:expr, $key:expr;)*) => {$(
        impl$(<const $p: u8>)? Ordered for $type {
            const KEY_BYTES_MAX: Option<usize> = $bytes;

            #[inline]
            fn put_key(view: Self::View<'_>, sink: &mut impl KeySink) {
                $key(view).put(sink);
            }

            #[inline]
            fn compare(a: Self::View<'_>, b: Self::View<'_>) -> Ordering {
                $key(a).compare($key(b))
            }
        }
    )*};
}

plain! {
    bool, Some(1), KeyValue::Boolean;
    i8, Some(1), |v: i8| KeyValue::Signed(v.into(), 1);
    i16, Some(2), |v: i16| KeyValue::Signed(v.into(), 2);
    i32, Some(4), |v: i32| KeyValue::Signed(v.into(), 4);
    i64, Some(8), |v: i64| KeyValue::Signed(v, 8);
    u8, Some(1), |v: u8| KeyValue::Unsigned(v.into(), 1);
    u16, Some(2), |v: u16| KeyValue::Unsigned(v.into(), 2);
    u32, Some(4), |v: u32| KeyValue::Unsigned(v.into(), 4);
    u64, Some(8), |v: u64| KeyValue::Unsigned(v, 8);
    f32, Some(4), KeyValue::Float32;
    f64, Some(8), KeyValue::Float64;
    Date, Some(4), |v: Date| KeyValue::Signed(v.0.into(), 4);
    Time, Some(4), |v: Time| KeyValue::Signed(v.0.into(), 4);
    Timestamp<P> where const P, Some(8), |v: Self| KeyValue::Signed(v.0, 8);
    TimestampLtz<P> where const P, Some(8), |v: Self| KeyValue::Signed(v.0, 8);
    Bytes, None, KeyValue::Bytes;
    String, None, text;
}

fn text(view: &str) -> KeyValue<'_> {
    KeyValue::Bytes(view.as_bytes())
}

impl<const P: u8, const S: u8> Ordered for Decimal<P, S> {
    const KEY_BYTES_MAX: Option<usize> = Some(16);

    fn put_key(view: Self, sink: &mut impl KeySink) {
        KeyValue::Decimal(view.0).put(sink);
    }

    fn compare(a: Self, b: Self) -> Ordering {
        a.0.cmp(&b.0)
    }
}

impl<T: Ordered> Ordered for Option<T> {
    const KEY_BYTES_MAX: Option<usize> = add(Some(1), T::KEY_BYTES_MAX);

    fn put_key(view: Self::View<'_>, sink: &mut impl KeySink) {
        match view {
            Some(value) => {
                sink.put(&[VALUE]);
                T::put_key(value, sink);
            }
            None => sink.put(&[Nulls::First.byte()]),
        }
    }

    fn compare(a: Self::View<'_>, b: Self::View<'_>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) => T::compare(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        }
    }
}

/// The sum, if both are known.
const fn add(a: Option<usize>, b: Option<usize>) -> Option<usize> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a + b),
        _ => None,
    }
}

macro_rules! tuples {
    ($($($name:ident $index:tt),+;)*) => {$(
        impl<$($name: Ordered),+> Ordered for ($($name,)+) {
            const KEY_BYTES_MAX: Option<usize> = {
                let bytes = Some(0);
                $(let bytes = add(bytes, $name::KEY_BYTES_MAX);)+
                bytes
            };

            #[inline]
            fn put_key(view: Self::View<'_>, sink: &mut impl KeySink) {
                $($name::put_key(view.$index, sink);)+
            }

            #[inline]
            fn compare(a: Self::View<'_>, b: Self::View<'_>) -> Ordering {
                Ordering::Equal$(.then_with(|| $name::compare(a.$index, b.$index)))+
            }
        }
    )*};
}

tuples! {
    A 0;
    A 0, B 1;
    A 0, B 1, C 2;
    A 0, B 1, C 2, D 3;
    A 0, B 1, C 2, D 3, E 4;
    A 0, B 1, C 2, D 3, E 4, F 5;
}
