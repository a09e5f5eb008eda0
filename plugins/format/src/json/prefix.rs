//! Texts that others mostly begin with: names of members.

/// Bytes that are compared at once.
const WORD: usize = 16;

/// A text that is looked for at the beginning of others.
#[derive(Debug)]
pub(super) struct Prefix {
    text: Box<[u8]>,
    /// Its first bytes, and which of the first bytes of others are compared with them.
    word: u128,
    mask: u128,
}

impl Prefix {
    pub(super) fn new(text: Vec<u8>) -> Self {
        let mut first = [[0; WORD]; 2];
        for (at, byte) in text.iter().take(WORD).enumerate() {
            (first[0][at], first[1][at]) = (*byte, 0xFF);
        }
        let [word, mask] = first.map(u128::from_le_bytes);
        Self { text: text.into(), word, mask }
    }

    /// Its bytes.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether `rest` begins with it.
    #[inline]
    pub(super) fn begins(&self, rest: &[u8]) -> bool {
        match rest.first_chunk::<WORD>() {
            Some(first) => {
                u128::from_le_bytes(*first) & self.mask == self.word
                    && (self.text.len() <= WORD || rest.starts_with(&self.text))
            }
            None => rest.starts_with(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_prefix_is_one(text in "[ab]{0,20}", other in "[ab]{0,24}", same in 0usize..24) {
            let prefix = Prefix::new(text.clone().into_bytes());
            // Often the beginning of the same text.
            let other: String = text.chars().take(same).chain(other.chars()).collect();
            prop_assert_eq!(prefix.begins(other.as_bytes()), other.starts_with(&text));
            prop_assert_eq!(prefix.len(), text.len());
        }
    }
}
