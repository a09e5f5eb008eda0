//! A place in the text of an object, from token to token.

use std::borrow::Cow;

use super::{
    prefix::Prefix,
    scan::{special, structural},
};

/// Text that is no JSON, at a byte of the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    pub(super) at: usize,
    pub(super) what: &'static str,
}

/// How deep what is skipped may be nested.
const DEPTH_MAX: u32 = 128;

/// A place in a line.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

/// What is written between two quotes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quoted<'a> {
    /// As it is written, without the quotes.
    pub(super) raw: &'a str,
    escaped: bool,
    /// Where it begins.
    at: usize,
}

/// A number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number<'a> {
    /// One of at most eighteen digits, without a point or an exponent.
    Integer(i64),
    /// Another one, as it is written.
    Other(&'a str),
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str) -> Self {
        Self { line, at: 0 }
    }

    /// The next byte that is not white space.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Goes over the next byte that is not white space if it is this one.
    #[inline]
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    /// Goes over this text if it is what comes next.
    #[inline]
    pub(super) fn takes_text(&mut self, text: &Prefix) -> bool {
        let is = self.peek().is_some() && text.begins(self.rest());
        self.at += if is { text.len() } else { 0 };
        is
    }

    /// Goes over a byte that has to come next.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), Malformed> {
        if self.takes(byte) { Ok(()) } else { Err(self.malformed(what)) }
    }

    /// Behind an item of an array or object that ends with `end`: whether another one follows.
    #[inline]
    pub(super) fn another(&mut self, end: u8) -> Result<bool, Malformed> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            _ if end == b'}' => Err(self.malformed("expected `,` or `}`")),
            _ => Err(self.malformed("expected `,` or `]`")),
        }
    }

    /// Goes over a string; the cursor is at its first quote.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted<'a>, Malformed> {
        let start = self.at + 1;
        let bytes = self.line.as_bytes();
        let (mut end, mut escaped) = (start, false);
        loop {
            end = special(bytes, end);
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    end += 2;
                }
                Some(_) => {
                    return Err(Malformed { at: end, what: "a control character in a string" });
                }
                None => return Err(Malformed { at: bytes.len(), what: "a string does not end" }),
            }
        }
        self.at = end + 1;
        // Quotes are ASCII, so that both are between characters.
        let raw = self.line.get(start..end).unwrap_or("");
        Ok(Quoted { raw, escaped, at: start })
    }

    /// Goes over a number.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'a>, Malformed> {
        const SAFE_DIGITS: usize = 18;
        let rest = self.rest();
        let negative = rest.first() == Some(&b'-');
        let digits = rest.get(usize::from(negative)..).unwrap_or(&[]);
        let (mut value, mut count) = (0i64, 0);
        while count <= SAFE_DIGITS
            && let Some(digit @ 0..=9) = digits.get(count).map(|byte| byte.wrapping_sub(b'0'))
        {
            value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
            count += 1;
        }
        let goes_on = matches!(digits.get(count), Some(b'.' | b'e' | b'E' | b'0'..=b'9'));
        let odd = count == 0 || count > SAFE_DIGITS || digits.first() == Some(&b'0');
        if goes_on || odd && (count != 1 || negative) {
            return self.other_number();
        }
        self.at += usize::from(negative) + count;
        Ok(Number::Integer(if negative { -value } else { value }))
    }

    /// Goes over a number with a point, an exponent or many digits, by JSON's grammar.
    #[cold]
    fn other_number(&mut self) -> Result<Number<'a>, Malformed> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(Number::Other(self.since(start)))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let count = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return Err(self.malformed("expected a digit"));
        }
        self.at += count;
        Ok(())
    }

    /// Goes over `true`, `false` or `null`.
    #[inline]
    pub(super) fn word(&mut self, word: &'static str) -> Result<&'static str, Malformed> {
        let rest = self.rest();
        let ends = !rest.get(word.len()).is_some_and(u8::is_ascii_alphanumeric);
        if ends && rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(word);
        }
        Err(self.malformed("expected a value"))
    }

    /// Goes over a value of any kind and gives its text. Of what is nested, only brackets and
    /// strings are looked at.
    pub(super) fn skip(&mut self) -> Result<&'a str, Malformed> {
        let first = self.peek();
        let start = self.at;
        match first {
            Some(b'"') => drop(self.string()?),
            Some(b'{' | b'[') => self.skip_nested()?,
            Some(b't') => drop(self.word("true")?),
            Some(b'f') => drop(self.word("false")?),
            Some(b'n') => drop(self.word("null")?),
            _ => drop(self.number()?),
        }
        Ok(self.since(start))
    }

    fn skip_nested(&mut self) -> Result<(), Malformed> {
        // A bit for each level, the innermost the lowest: whether it is an object.
        let (mut objects, mut depth) = (0u128, 0);
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.string()?;
                    continue;
                }
                Some(open @ (b'{' | b'[')) => {
                    if depth == DEPTH_MAX {
                        return Err(self.malformed("values are nested too deeply"));
                    }
                    objects = objects << 1 | u128::from(open == b'{');
                    depth += 1;
                }
                Some(close @ (b'}' | b']')) => {
                    if (close == b'}') != (objects & 1 == 1) {
                        return Err(self.malformed("a bracket of the other kind"));
                    }
                    objects >>= 1;
                    depth -= 1;
                    if depth == 0 {
                        self.at += 1;
                        return Ok(());
                    }
                }
                Some(_) => {
                    self.at = structural(self.line.as_bytes(), self.at + 1);
                    continue;
                }
                None => return Err(self.malformed("an object or array does not end")),
            }
            self.at += 1;
        }
    }

    /// Where it is.
    #[inline]
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// What it has gone over since it was at `place`.
    #[inline]
    pub(super) fn since(&self, place: usize) -> &'a str {
        self.line.get(place..self.at).unwrap_or("")
    }

    /// Whether nothing but white space is left.
    #[inline]
    pub(super) fn is_done(&mut self) -> bool {
        self.peek().is_none()
    }

    /// What comes next is not what has to.
    #[cold]
    pub(super) fn malformed(&self, what: &'static str) -> Malformed {
        Malformed { at: self.at.min(self.line.len()), what }
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    #[inline]
    fn rest(&self) -> &'a [u8] {
        self.line.as_bytes().get(self.at..).unwrap_or(&[])
    }
}

impl<'a> Quoted<'a> {
    /// What the string says.
    #[inline]
    pub(super) fn text(&self) -> Result<Cow<'a, str>, Malformed> {
        if self.escaped { self.unescaped().map(Cow::Owned) } else { Ok(Cow::Borrowed(self.raw)) }
    }

    #[cold]
    fn unescaped(&self) -> Result<String, Malformed> {
        let mut text = String::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some((plain, escape)) = rest.split_once('\\') {
            text.push_str(plain);
            let at = self.at + self.raw.len() - escape.len();
            let wrong = |what| Malformed { at, what };
            let mut after = escape.chars();
            let character = match after.next() {
                Some(same @ ('"' | '\\' | '/')) => same,
                Some('b') => '\u{8}',
                Some('f') => '\u{C}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => {
                    let (character, behind) = unicode(after.as_str())
                        .ok_or_else(|| wrong("an escape that is no character"))?;
                    after = behind.chars();
                    character
                }
                _ => return Err(wrong("no such escape")),
            };
            text.push(character);
            rest = after.as_str();
        }
        text.push_str(rest);
        Ok(text)
    }
}

/// The character whose number is at the start of `text` in four hexadecimal digits, or in two pairs
/// of them as a surrogate pair; and what follows.
fn unicode(text: &str) -> Option<(char, &str)> {
    let unit = |text: &str| {
        let digits = text.get(..4).filter(|four| four.bytes().all(|b| b.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    };
    let (high, rest) = (unit(text)?, text.get(4..)?);
    if !(0xD800..0xDC00).contains(&high) {
        return Some((char::from_u32(high)?, rest));
    }
    let rest = rest.strip_prefix("\\u")?;
    let low = unit(rest).filter(|low| (0xDC00..0xE000).contains(low))?;
    let character = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))?;
    Some((character, rest.get(4..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_jsons() {
        let number = |text| Cursor::new(text).number().ok();
        for (text, expected) in
            [("0", 0), ("-7,", -7), ("12 ", 12), ("999999999999999999", 999_999_999_999_999_999)]
        {
            assert_eq!(number(text), Some(Number::Integer(expected)), "{text}");
        }
        for text in ["-0", "1.5", "1e3", "-2.5E-10", "0.1", "1234567890123456789"] {
            assert_eq!(number(text), Some(Number::Other(text)), "{text}");
        }
        for text in ["", "-", "+1", ".5", "1.", "1e", "x", "-x"] {
            assert_eq!(number(text), None, "{text}");
        }
        let mut leading = Cursor::new("01");
        assert_eq!(leading.number(), Ok(Number::Other("0")), "and the 1 is left");
        assert_eq!(leading.at, 1);
    }

    #[test]
    fn strings_say_what_is_escaped() {
        let text = |line: &'static str| Cursor::new(line).string()?.text();
        assert_eq!(text(r#""plain" rest"#).as_deref(), Ok("plain"));
        assert_eq!(text(r#""a\"\\\/\b\f\n\r\tz""#).as_deref(), Ok("a\"\\/\u{8}\u{c}\n\r\tz"));
        assert_eq!(text(r#""\u00e4\ud83d\ude00!""#).as_deref(), Ok("ä😀!"));
        for (wrong, at) in [
            (r#""a\x""#, 3),
            (r#""\u12""#, 2),
            (r#""\ud83d""#, 2),
            (r#""\ud83dx\ude00""#, 2),
            (r#""\ude00""#, 2),
            (r#""\u+123""#, 2),
            (r#""ä\"#, 4),
            ("\"a\u{1}\"", 2),
        ] {
            assert_eq!(text(wrong).map_err(|error| error.at), Err(at), "{wrong}");
        }
    }

    #[test]
    fn values_are_skipped_to_their_end() {
        for value in ["1", "-1.5e3", "null", "\"a\\\"b\"", "[]", "{\"a\":[1,{\"b\":\"]}\"}]}"] {
            let line = format!(" {value} ,");
            let mut cursor = Cursor::new(&line);
            assert_eq!(cursor.skip(), Ok(value));
            assert!(cursor.takes(b','));
        }
        for value in ["[", "[}", "{\"a\"", "nul", "nullx", "\"a", ",", ""] {
            assert!(Cursor::new(value).skip().is_err(), "{value}");
        }
        let deep = "[".repeat(129) + &"]".repeat(129);
        assert!(Cursor::new(&deep).skip().is_err());
        assert!(Cursor::new(&deep[1..257]).skip().is_ok());
    }
}
