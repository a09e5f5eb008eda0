//! Arrays and multisets of one value each, which become one: what ARRAY_AGG and COLLECT keep and say.

use std::{collections::HashMap, sync::Arc};

use arrow::array::{Array, ArrayRef, Int32Array};
use datafusion_common::DataFusionError;
use millstream_data::row::{RowList, RowWriter};

use super::Nested;
use crate::types::Kind;

impl Nested {
    /// Each value as an array or a multiset of just it. One that is NULL is NULL, too, if they are `passed` over.
    pub(crate) fn of_one(
        &self,
        values: &ArrayRef,
        passed: bool,
    ) -> Result<ArrayRef, DataFusionError> {
        let ones =
            (0..values.len()).map(|row| (!passed || values.is_valid(row)).then_some(row..row + 1));
        match &self.parts[..] {
            // A multiset has how often each value is there.
            [_, Kind::Int] => {
                let times = Arc::new(Int32Array::from(vec![1; values.len()]));
                self.of_lists(&[Arc::clone(values), times], ones)
            }
            _ => self.of_lists(&[Arc::clone(values)], ones),
        }
    }

    /// The elements of some arrays as one array.
    pub(crate) fn behind_each_other<'a>(
        &'a self,
        arrays: impl Iterator<Item = &'a [u8]>,
    ) -> Vec<u8> {
        let elements: Vec<_> = arrays.filter_map(|array| self.only(array)).collect();
        self.written(elements.into_iter(), |element, row| {
            (0..self.column(1)).for_each(|column| row.copy(&element.at(0), column));
        })
    }

    /// A multiset of the elements of some that have one each, in the order in which they came first.
    pub(crate) fn counted<'a>(&'a self, ones: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut places, mut different) = (HashMap::new(), Vec::<(RowList<'_>, i32)>::new());
        for one in ones {
            // Equal values are equal bytes.
            let place = *places.entry(one).or_insert(different.len());
            match different.get_mut(place) {
                Some((_, times)) => *times = times.saturating_add(1),
                None => different.extend(self.only(one).map(|element| (element, 1))),
            }
        }
        let count = self.column(1);
        self.written(different.into_iter(), |(element, times), row| {
            (0..count).for_each(|column| row.copy(&element.at(0), column));
            row.put_fixed(times.to_le_bytes());
        })
    }

    /// The list in these bytes, which has one element; they were made here.
    fn only<'a>(&'a self, bytes: &'a [u8]) -> Option<RowList<'a>> {
        let row = self.layout.trusted(bytes).ok()?;
        Some(row.list(0)).filter(|list| !list.is_empty())
    }

    fn written<I>(
        &self,
        elements: impl ExactSizeIterator<Item = I>,
        write: impl FnMut(I, &mut RowWriter<'_>),
    ) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.layout.write(&mut bytes, |row| row.put_list(elements, write));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, BinaryViewArray, StringViewArray};

    use super::*;
    use crate::types::{STRING, Type};

    fn texts(texts: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringViewArray::from(texts.to_vec()))
    }

    fn read(of: &Nested, bytes: &[u8]) -> Vec<ArrayRef> {
        let array: ArrayRef = Arc::new(BinaryViewArray::from(vec![bytes]));
        of.spread(&array).unwrap().0
    }

    #[test]
    fn arrays_of_one_become_one() {
        let of = Nested::of(&Kind::Array(Box::new(Type::nullable(STRING)))).unwrap();
        let values = texts(&[Some("b"), None, Some("a text that is long"), Some("b")]);
        let ones = of.of_one(&values, false).unwrap();
        let all = of.behind_each_other(ones.as_binary_view().iter().flatten());
        assert_eq!(*read(&of, &all)[0], *values);
        assert_eq!(of.of_one(&values, true).unwrap().null_count(), 1);
        assert!(read(&of, &of.behind_each_other(std::iter::empty()))[0].is_empty());
    }

    #[test]
    fn multisets_count_equal_values() {
        let of = Nested::of(&Kind::Multiset(Box::new(Type::nullable(STRING)))).unwrap();
        let values = texts(&[Some("b"), None, Some("a"), Some("b")]);
        let ones = of.of_one(&values, true).unwrap();
        let all = of.counted(ones.as_binary_view().iter().flatten());
        let expected: ArrayRef = Arc::new(Int32Array::from(vec![2, 1]));
        let parts = read(&of, &all);
        assert_eq!(*parts[0], *texts(&[Some("b"), Some("a")]));
        assert_eq!(*parts[1], *expected);
        assert!(read(&of, &of.counted(std::iter::empty()))[0].is_empty());
    }
}
