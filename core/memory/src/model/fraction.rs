//! Fractions that multiply exactly.

use core::error::Error;
use core::fmt;

/// A number from 0 to below 1, to nine decimal places.
///
/// Decimal, because that is how it was configured: a tenth of 1000 bytes is 100 bytes, whatever a
/// binary floating-point number thinks a tenth is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fraction {
    billionths: u32,
}

const BILLION: u32 = 1_000_000_000;

impl Fraction {
    /// `percent` hundredths.
    ///
    /// # Panics
    ///
    /// When `percent` is above 99.
    pub const fn percent(percent: u32) -> Self {
        assert!(percent < 100, "a fraction is below 1");
        Self { billionths: percent * (BILLION / 100) }
    }

    /// The nearest fraction to `value`.
    ///
    /// # Errors
    ///
    /// [`FractionError`] when `value` is not a number from 0 to below 1.
    pub fn new(value: f64) -> Result<Self, FractionError> {
        let billionths = value * f64::from(BILLION) + 0.5;
        if (0.0..1.0).contains(&value) && billionths < f64::from(BILLION) {
            Ok(Self { billionths: billionths as u32 })
        } else {
            Err(FractionError { value })
        }
    }

    /// This fraction of `total`, rounded down.
    pub fn of(self, total: u64) -> u64 {
        (u128::from(total) * u128::from(self.billionths) / u128::from(BILLION)) as u64
    }

    /// What `rest` leaves to this fraction when both make up the total: `rest * f / (1 - f)`,
    /// rounded down.
    pub fn beside(self, rest: u64) -> u64 {
        let others = u128::from(BILLION - self.billionths);
        let bytes = u128::from(rest) * u128::from(self.billionths) / others;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for Fraction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut digits, mut width) = (self.billionths, 9);
        while width > 1 && digits % 10 == 0 {
            digits /= 10;
            width -= 1;
        }
        write!(f, "0.{digits:0width$}")
    }
}

/// A number that is not a fraction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FractionError {
    /// The number.
    pub value: f64,
}

impl fmt::Display for FractionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not a fraction; give a number from 0 to below 1", self.value)
    }
}

impl Error for FractionError {}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::string::ToString;

    use super::Fraction;

    #[test]
    fn fractions_multiply_as_decimals() {
        let tenth = Fraction::new(0.1).unwrap();
        assert_eq!(tenth, Fraction::percent(10));
        assert_eq!((tenth.of(1000), tenth.of(1009), tenth.of(9)), (100, 100, 0));
        assert_eq!((tenth.beside(900), tenth.beside(8)), (100, 0));
        assert_eq!(Fraction::percent(99).beside(u64::MAX), u64::MAX);
        assert_eq!(Fraction::percent(0).of(u64::MAX), 0);
        // Nine tenths of a tenth, the usual trap of binary fractions.
        assert_eq!(Fraction::new(0.7).unwrap().of(10), 7);
    }

    #[test]
    fn fractions_are_shown_as_they_were_given() {
        for text in ["0.0", "0.4", "0.05", "0.999999999", "0.000000001", "0.25"] {
            assert_eq!(Fraction::new(text.parse().unwrap()).unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_numbers_are_refused() {
        for value in [-0.1, 1.0, 40.0, f64::NAN, f64::INFINITY, 0.999_999_999_9] {
            let error = Fraction::new(value).unwrap_err();
            assert!(error.to_string().contains("from 0 to below 1"), "{error}");
        }
    }
}
