//! Bytes as text: base64 with the standard alphabet and padding (RFC 4648, section 4), as Flink
//! writes `BYTES` in CSV and JSON.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// What stands for bytes that are not there in the last group.
const PADDING: u8 = b'=';
/// In [`VALUES`]: not of the alphabet.
const NONE: u8 = 64;

/// By character: its position in the alphabet.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < ALPHABET.len() {
        values[ALPHABET[value] as usize] = value as u8;
        value += 1;
    }
    values
};

/// Adds the text of some bytes.
pub(crate) fn encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for group in bytes.chunks(3) {
        let mut word = [0; 4];
        word[1..=group.len()].copy_from_slice(group);
        let word = u32::from_be_bytes(word);
        for place in 0..4 {
            let value = (word >> (18 - 6 * place)) as usize % 64;
            out.push(if place > group.len() { PADDING } else { ALPHABET[value] });
        }
    }
}

/// Adds the bytes of a text; `false` if it is not what [`encode`] writes for any.
pub(crate) fn decode(out: &mut Vec<u8>, text: &[u8]) -> bool {
    let (groups, rest) = text.as_chunks::<4>();
    let Some((last, groups)) = groups.split_last() else { return rest.is_empty() };
    if !rest.is_empty() {
        return false;
    }
    for group in groups {
        let Some(word) = word(group) else { return false };
        out.extend_from_slice(&word.to_be_bytes()[1..]);
    }
    let padding = last.iter().rev().take_while(|character| **character == PADDING).count();
    let mut padded = *last;
    match padding {
        0 => {}
        1 => padded[3] = b'A',
        2 => padded[2..].fill(b'A'),
        _ => return false,
    }
    let Some(word) = word(&padded) else { return false };
    let bytes = word.to_be_bytes();
    let (given, beyond) = bytes[1..].split_at(3 - padding);
    out.extend_from_slice(given);
    // Bits that no byte has are zero: each byte string has one text.
    beyond.iter().all(|byte| *byte == 0)
}

/// The 24 bits of four characters.
fn word(group: &[u8; 4]) -> Option<u32> {
    let mut word = 0;
    for character in group {
        let value = VALUES[usize::from(*character)];
        if value == NONE {
            return None;
        }
        word = word << 6 | u32::from(value);
    }
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        encode(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(text(bytes.as_bytes()), expected);
        }
    }

    #[test]
    fn what_nobody_writes_is_refused() {
        for wrong in ["Z", "Zg", "Zg=", "Zg===", "=", "====", "Zh==", "Zm9=", "Zg==Zg==", "Zm 9"] {
            assert!(!decode(&mut Vec::new(), wrong.as_bytes()), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            prop_assert!(decode(&mut out, text(&bytes).as_bytes()));
            prop_assert_eq!(out, bytes);
        }

        #[test]
        fn what_is_accepted_is_what_is_written(given in "[A-Da-d0-3+/=]{0,12}") {
            let mut out = Vec::new();
            if decode(&mut out, given.as_bytes()) {
                prop_assert_eq!(text(&out), given);
            }
        }
    }
}
