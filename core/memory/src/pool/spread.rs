//! How spare segments are shared out.

use alloc::vec::Vec;

/// What one local pool is promised and what it may have at most, in segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Promised.
    pub required: usize,
    /// At most; at least `required`.
    pub max: usize,
}

/// The size of each pool when `spare` segments, those promised to nobody, are shared out.
///
/// In proportion to min(spare, max - required) of each pool, rounded on the running total, so that
/// the rounding errors cancel out and nothing is left over that somebody could have had. No pool
/// gets more than its maximum.
pub fn spread_spare(spare: usize, quotas: impl Iterator<Item = Quota> + Clone) -> Vec<usize> {
    let appetite = |quota: Quota| spare.min(quota.max.saturating_sub(quota.required)) as u128;
    let appetite_total: u128 = quotas.clone().map(appetite).sum();
    let shared_out = appetite_total.min(spare as u128);
    let (mut appetite_so_far, mut given_so_far) = (0, 0);
    quotas
        .map(|quota| {
            appetite_so_far += appetite(quota);
            let given_now = match appetite_total {
                0 => 0,
                _ => shared_out * appetite_so_far / appetite_total,
            };
            let extra = given_now - given_so_far;
            given_so_far = given_now;
            quota.required + extra as usize
        })
        .collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use alloc::vec::Vec;

    use proptest::prelude::*;

    use super::{Quota, spread_spare};

    fn sizes(spare: usize, quotas: &[(usize, usize)]) -> Vec<usize> {
        spread_spare(spare, quotas.iter().map(|&(required, max)| Quota { required, max }))
    }

    #[test]
    fn golden_vectors() {
        const ALL: usize = usize::MAX;
        // Nothing to share out, nobody who may take more, nobody at all.
        assert_eq!(sizes(0, &[(2, 8), (4, ALL)]), [2, 4]);
        assert_eq!(sizes(10, &[(2, 2), (4, 4)]), [2, 4]);
        assert_eq!(sizes(10, &[]), [0usize; 0]);
        // One alone gets what it may have; all when unbounded.
        assert_eq!(sizes(14, &[(2, 8)]), [8]);
        assert_eq!(sizes(14, &[(2, ALL)]), [16]);
        // Enough for everybody: each at its maximum, the rest stays.
        assert_eq!(sizes(20, &[(2, 8), (4, 10)]), [8, 10]);
        // Unbounded pools share evenly, whatever they require; the odd one goes where the running
        // total passes a whole number.
        assert_eq!(sizes(10, &[(1, ALL), (5, ALL)]), [6, 10]);
        assert_eq!(sizes(10, &[(0, ALL), (0, ALL), (0, ALL)]), [3, 3, 4]);
        assert_eq!(sizes(1, &[(1, ALL), (1, ALL), (1, ALL)]), [1, 1, 2]);
        // In proportion to what each may still take: 6 and min(10, unbounded) = 10.
        assert_eq!(sizes(10, &[(2, 8), (4, ALL)]), [5, 11]);
        // Appetites 5, min(8, 10) and 1 for 8 segments: running totals 2.86, 7.43 and 8.
        assert_eq!(sizes(8, &[(0, 5), (0, 10), (0, 1)]), [2, 5, 1]);
    }

    proptest! {
        #[test]
        fn nothing_is_left_over_and_nobody_exceeds_its_maximum(
            spare in 0usize..5_000,
            quotas in proptest::collection::vec((0usize..100, 0usize..3_000), 0..20),
        ) {
            let quotas: Vec<_> =
                quotas.into_iter().map(|(required, more)| (required, required + more)).collect();
            let sizes = sizes(spare, &quotas);
            let mut given = 0;
            let mut room = 0;
            for (size, (required, max)) in sizes.into_iter().zip(quotas) {
                prop_assert!((required..=max).contains(&size));
                given += size - required;
                room += max - required;
            }
            prop_assert_eq!(given, spare.min(room));
        }
    }
}
