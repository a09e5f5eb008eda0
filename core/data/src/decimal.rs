//! Exact decimal numbers.

use core::fmt;

/// A number of at most `P` decimal digits, `S` of them after the point, held as `value * 10^S`.
///
/// ```
/// use millstream_data::Decimal;
/// let mean = Decimal::<18, 4>::ratio(10, 3).unwrap();
/// assert_eq!(mean.to_string(), "3.3333");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const P: u8, const S: u8>(pub i128);

impl<const P: u8, const S: u8> Decimal<P, S> {
    /// The quotient of two integers, rounded half away from zero. `None` if `denominator` is zero
    /// or the quotient has more than `P` digits.
    pub fn ratio(numerator: i64, denominator: i64) -> Option<Self> {
        let denominator = i128::from(denominator);
        let scaled = i128::from(numerator).checked_mul(10i128.checked_pow(u32::from(S))?)?;
        let quotient = scaled.checked_div(denominator)?;
        let remainder = (scaled % denominator).unsigned_abs();
        let away = i128::from(remainder * 2 >= denominator.unsigned_abs());
        let sign = if (scaled < 0) == (denominator < 0) { 1 } else { -1 };
        let value = quotient + sign * away;
        (value.unsigned_abs() < 10u128.checked_pow(u32::from(P))?).then_some(Self(value))
    }
}

impl<const P: u8, const S: u8> fmt::Display for Decimal<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, S)
    }
}

/// Writes `value / 10^scale` with exactly `scale` digits after the point.
pub fn write_decimal(out: &mut impl fmt::Write, value: i128, scale: u8) -> fmt::Result {
    if value < 0 {
        out.write_char('-')?;
    }
    let magnitude = value.unsigned_abs();
    let Some(unit) = 10u128.checked_pow(u32::from(scale)).filter(|_| scale > 0) else {
        return write!(out, "{magnitude}");
    };
    let width = usize::from(scale);
    write!(out, "{}.{:0width$}", magnitude / unit, magnitude % unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ratios_round_half_away_from_zero() {
        let ratio = |n, d| Decimal::<10, 2>::ratio(n, d).unwrap().to_string();
        assert_eq!(ratio(1, 3), "0.33");
        assert_eq!(ratio(2, 3), "0.67");
        assert_eq!(ratio(1, 200), "0.01");
        assert_eq!(ratio(-1, 200), "-0.01");
        assert_eq!(ratio(-7, 2), "-3.50");
        assert_eq!(ratio(7, -2), "-3.50");
        assert_eq!(ratio(0, 5), "0.00");
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(Decimal::<10, 2>::ratio(1, 0), None);
        assert_eq!(Decimal::<4, 2>::ratio(100, 1), None);
        assert!(Decimal::<5, 2>::ratio(100, 1).is_some());
    }
}
