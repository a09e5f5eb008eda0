//! The largest member of an object, for the error that it is too large.

use crate::Largest;

/// The largest member of the object at the start of `data`, which may end within it. Names stay as
/// they are written, escapes included.
pub(super) fn member(data: &[u8]) -> Largest {
    let line = memchr::memchr(b'\n', data).map_or(data, |end| &data[..end]);
    let mut largest = Largest::default();
    let (mut depth, mut in_text, mut escaped) = (0u32, false, false);
    // Of the object itself: where the text at hand begins, the last name, where its value begins.
    let (mut text, mut name, mut value) = (0, &line[..0], None);
    for (at, byte) in line.iter().enumerate() {
        if in_text {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_text = false,
                _ => {}
            }
            if !in_text && depth == 1 && value.is_none() {
                name = line.get(text..at).unwrap_or(&[]);
            }
            continue;
        }
        match byte {
            b'"' => (in_text, text) = (true, at + 1),
            b':' if depth == 1 && value.is_none() => value = Some(at + 1),
            b'{' | b'[' => depth += 1,
            b',' | b'}' | b']' => {
                let ends = depth == 1;
                if let Some(start) = value.take_if(|_| ends) {
                    largest.consider(at - start, false, || text_of(name));
                }
                depth = depth.saturating_sub(u32::from(*byte != b','));
            }
            _ => {}
        }
    }
    let start = value.unwrap_or(if in_text { text } else { line.len() });
    largest.consider(line.len() - start, line.len() == data.len(), || text_of(name));
    largest
}

fn text_of(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_member_is_found_even_if_it_does_not_end() {
        for (line, name, bytes, cut) in [
            (r#"{"a":"xx","b":[1,2,{"c":"}],"}],"d":1}"#, "b", 17, false),
            (r#"{"a":"xx","b":"\"yyyyyyyy"#, "b", 11, true),
            (r#"{"a":"xxxxxx","b":"y"#, "a", 8, false),
            ("{\"a\":1}\n{\"b\":22222}", "a", 1, false),
            ("{\"a", "", 1, true),
            ("", "", 0, false),
        ] {
            let found = member(line.as_bytes());
            assert_eq!((found.name.as_str(), found.bytes, found.cut), (name, bytes, cut), "{line}");
        }
    }
}
