//! A reader of JSON text for the serving path: it reads what is asked for and skips the rest by blocks of 64 bytes, several times as fast as a parser that
//! looks at every byte.
//!
//! It knows only plain JSON. Whatever is not (a key with escapes, a number that is no whole one, a member that stands twice, a fault) it calls [`Strange`],
//! and the caller reads the text again with serde_json, which either accepts it or says what is wrong. So there is one authority on what is accepted, but
//! for one thing: of a value that is skipped, only strings and the number of brackets are checked. What is in it nobody reads, and the API server wrote it.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use wide::u8x16;

use super::{
    Text,
    strings::{plain, sixty_four, unescaped},
};

/// The text of one JSON value. Of what is in it, only that strings end and brackets balance is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// The text.
    pub const fn get(self) -> &'a str {
        self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&RawValue>::deserialize(deserializer).map(|raw| Self(raw.get()))
    }
}

/// The JSON text of something that was read. It may hold what is secret, so `Debug` does not show it; empty where another reader than [`Reader`] read it.
#[derive(Default, Clone, Copy)]
pub(crate) struct Verbatim<'a>(pub(crate) &'a str);

impl fmt::Debug for Verbatim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// Not plain JSON, or not of the type that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Strange;

pub(crate) type Read<T> = Result<T, Strange>;

/// Deeper than any object whose parts are read. (What is skipped may be as deep as it likes: no stack is used for it.)
const DEPTH: u8 = 48;

/// What the items of all lists of a text may take, in bytes. An item of three bytes of text can take half a kilobyte: without a bound, the 8 MiB that
/// anybody may send would take gigabytes. This is room for 1,900 containers, or for 13,000 ports; rules and findings compare containers with
/// each other, and for so many that takes up to half a second.
const MOST_ITEM_BYTES: usize = 1 << 20;

/// Reads a text from its start.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u8,
    item_bytes: usize,
    /// For tests: the places of all values that were skipped.
    #[cfg(test)]
    pub(crate) skipped: Vec<std::ops::Range<usize>>,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            item_bytes: 0,
            #[cfg(test)]
            skipped: Vec::new(),
        }
    }

    /// Reads one value, after which nothing may stand.
    pub(crate) fn whole<T>(text: &'a str, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        let mut reader = Self::new(text);
        let value = read(&mut reader)?;
        reader.space();
        if reader.at == text.len() { Ok(value) } else { Err(Strange) }
    }

    /// Makes room for one more item of a list.
    pub(crate) fn room_for<T>(&mut self) -> Read<()> {
        self.item_bytes += size_of::<T>();
        if self.item_bytes > MOST_ITEM_BYTES { Err(Strange) } else { Ok(()) }
    }

    fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    fn here(&self) -> Option<u8> {
        self.bytes().get(self.at).copied()
    }

    #[cold]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.here() {
            self.at += 1;
        }
    }

    /// The next byte that is no space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        match self.here() {
            // What an API server sends has no spaces.
            Some(byte) if byte > b' ' => Some(byte),
            _ => {
                self.space();
                self.here()
            }
        }
    }

    #[inline]
    fn take(&mut self, byte: u8) -> Read<()> {
        if self.peek() != Some(byte) {
            return Err(Strange);
        }
        self.at += 1;
        Ok(())
    }

    fn word(&mut self, word: &str) -> Read<()> {
        if !self.bytes().get(self.at..).is_some_and(|rest| rest.starts_with(word.as_bytes())) {
            return Err(Strange);
        }
        self.at += word.len();
        Ok(())
    }

    /// Whether `null` stands there; it is then read.
    pub(crate) fn null(&mut self) -> Read<bool> {
        if self.peek() != Some(b'n') {
            return Ok(false);
        }
        self.word("null").map(|()| true)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Read<bool> {
        match self.peek() {
            Some(b't') => self.word("true").map(|()| true),
            _ => self.word("false").map(|()| false),
        }
    }

    /// A whole number of at most 18 digits.
    pub(crate) fn integer(&mut self) -> Read<i64> {
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let start = self.at;
        let mut number = 0_i64;
        while let Some(digit @ b'0'..=b'9') = self.here() {
            if self.at - start == 18 {
                return Err(Strange);
            }
            number = number * 10 + i64::from(digit - b'0');
            self.at += 1;
        }
        let digits = self.at - start;
        let leading_zero = digits > 1 && self.bytes()[start] == b'0';
        // serde_json reads -0 as a float.
        if digits == 0 || leading_zero || (negative && number == 0) || matches!(self.here(), Some(b'.' | b'e' | b'E')) {
            return Err(Strange);
        }
        Ok(if negative { -number } else { number })
    }

    /// A string, borrowed where it has no escapes.
    pub(crate) fn text(&mut self) -> Read<Text<'a>> {
        self.take(b'"')?;
        let start = self.at;
        self.at = start + plain(&self.bytes()[start..]);
        match self.here() {
            Some(b'"') => {
                let text = self.text.get(start..self.at).ok_or(Strange)?;
                self.at += 1;
                Ok(Text::from(text))
            }
            Some(b'\\') => {
                self.at = start - 1;
                self.skip_string()?;
                let quoted = self.text.get(start - 1..self.at).ok_or(Strange)?;
                unescaped(quoted).map(|text| Text(text.into())).ok_or(Strange)
            }
            _ => Err(Strange),
        }
    }

    /// A mapping of which each key is shown as it stands, without escapes. `see` reads or skips the value.
    pub(crate) fn members(&mut self, mut see: impl FnMut(&mut Self, &'a str) -> Read<()>) -> Read<()> {
        self.sequence(b'{', b'}', |reader| {
            reader.take(b'"')?;
            let start = reader.at;
            reader.at = start + plain(&reader.bytes()[start..]);
            if reader.here() != Some(b'"') {
                return Err(Strange);
            }
            let key = reader.text.get(start..reader.at).ok_or(Strange)?;
            reader.at += 1;
            reader.take(b':')?;
            see(reader, key)
        })
    }

    /// A mapping of which each key is shown unescaped.
    pub(crate) fn entries(&mut self, mut see: impl FnMut(&mut Self, Text<'a>) -> Read<()>) -> Read<()> {
        self.sequence(b'{', b'}', |reader| {
            let key = reader.text()?;
            reader.take(b':')?;
            see(reader, key)
        })
    }

    /// A list. `see` reads or skips each item.
    pub(crate) fn items(&mut self, see: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.sequence(b'[', b']', see)
    }

    fn sequence(&mut self, open: u8, close: u8, mut see: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.take(open)?;
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(Strange);
        }
        if self.peek() == Some(close) {
            self.at += 1;
            self.depth -= 1;
            return Ok(());
        }
        loop {
            see(self)?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(byte) if byte == close => break,
                _ => return Err(Strange),
            }
        }
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    /// Any value, as its text.
    pub(crate) fn raw(&mut self) -> Read<Json<'a>> {
        self.peek();
        let start = self.at;
        self.skip()?;
        self.text.get(start..self.at).map(Json).ok_or(Strange)
    }

    /// Where the next value begins.
    pub(crate) fn place(&mut self) -> usize {
        self.peek();
        self.at
    }

    /// The text from a place to here.
    pub(crate) fn since(&self, place: usize) -> Json<'a> {
        Json(self.text.get(place..self.at).unwrap_or_default())
    }

    /// Any value.
    #[cfg(test)]
    pub(crate) fn skip(&mut self) -> Read<()> {
        let start = self.place();
        self.skip_value()?;
        self.skipped.push(start..self.at);
        Ok(())
    }

    /// Any value.
    #[cfg(not(test))]
    pub(crate) fn skip(&mut self) -> Read<()> {
        self.skip_value()
    }

    fn skip_value(&mut self) -> Read<()> {
        let closing = match self.peek().ok_or(Strange)? {
            b'"' => return self.skip_string(),
            b'{' => b'}',
            b'[' => b']',
            b't' => return self.word("true"),
            b'f' => return self.word("false"),
            b'n' => return self.word("null"),
            _ => return self.skip_number(),
        };
        if self.bytes().get(self.at + 1) == Some(&closing) {
            self.at += 2;
            return Ok(());
        }
        let mut depth = 0_usize;
        let mut blocks = Blocks::new(&self.bytes()[self.at..]);
        while let Some(block) = blocks.next() {
            let outside = !block.in_string;
            let (open, close) = (block.open & outside, block.close & outside);
            let closed = close.count_ones() as usize;
            if closed < depth {
                // It cannot end in this block.
                depth = depth + open.count_ones() as usize - closed;
                continue;
            }
            let mut brackets = open | close;
            while brackets != 0 {
                let bit = brackets & brackets.wrapping_neg();
                if open & bit != 0 {
                    depth += 1;
                } else {
                    depth = depth.checked_sub(1).ok_or(Strange)?;
                    if depth == 0 {
                        self.at += block.start + bit.trailing_zeros() as usize + 1;
                        return Ok(());
                    }
                }
                brackets &= brackets - 1;
            }
        }
        Err(Strange)
    }

    fn skip_string(&mut self) -> Read<()> {
        let start = self.at + 1;
        let rest = &self.bytes()[start..];
        let length = plain(rest);
        match rest.get(length) {
            Some(b'"') => {
                self.at = start + length + 1;
                return Ok(());
            }
            Some(b'\\') => {}
            _ => return Err(Strange),
        }
        // From its opening quote on, the string ends where a block is first outside of one again.
        let mut blocks = Blocks::new(&self.bytes()[self.at..]);
        while let Some(block) = blocks.next() {
            let closing = block.quotes & !block.in_string;
            if closing != 0 {
                self.at += block.start + closing.trailing_zeros() as usize + 1;
                return Ok(());
            }
        }
        Err(Strange)
    }

    fn skip_number(&mut self) -> Read<()> {
        let digits = |reader: &mut Self| {
            let start = reader.at;
            while let Some(b'0'..=b'9') = reader.here() {
                reader.at += 1;
            }
            if reader.at > start { Ok(reader.at - start) } else { Err(Strange) }
        };
        if self.here() == Some(b'-') {
            self.at += 1;
        }
        let zero = self.here() == Some(b'0');
        if digits(self)? > 1 && zero {
            return Err(Strange);
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            digits(self)?;
        }
        if let Some(b'e' | b'E') = self.here() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.here() {
                self.at += 1;
            }
            digits(self)?;
        }
        Ok(())
    }
}

/// What stands where in 64 bytes; bit 0 is the first of them.
struct Block {
    /// Of the first byte.
    start: usize,
    open: u64,
    close: u64,
    /// Those that begin or end a string.
    quotes: u64,
    /// From an opening quote to before the closing one.
    in_string: u64,
}

/// The blocks of a text that begins outside of any string.
struct Blocks<'t> {
    bytes: &'t [u8],
    at: usize,
    /// All ones while a string goes on from one block to the next.
    in_string: u64,
    /// 1 where the first byte of the next block is escaped.
    escaped: u64,
}

impl<'t> Blocks<'t> {
    const fn new(bytes: &'t [u8]) -> Self {
        Self { bytes, at: 0, in_string: 0, escaped: 0 }
    }

    #[inline]
    fn next(&mut self) -> Option<Block> {
        let rest = self.bytes.get(self.at..).filter(|rest| !rest.is_empty())?;
        let mut padded = [b' '; 64];
        let block = sixty_four(rest, &mut padded);
        let (mut quotes, mut backslashes, mut open, mut close) = (0_u64, 0_u64, 0_u64, 0_u64);
        for (part, sixteen) in block.as_chunks::<16>().0.iter().enumerate() {
            let bytes = u8x16::new(*sixteen);
            // Brackets and braces differ in one bit alone.
            let folded = bytes | u8x16::splat(0x20);
            let found = |bytes: u8x16, byte: u8| u64::from(bytes.simd_eq(u8x16::splat(byte)).to_bitmask()) << (16 * part);
            quotes |= found(bytes, b'"');
            backslashes |= found(bytes, b'\\');
            open |= found(folded, b'{');
            close |= found(folded, b'}');
        }
        let quotes = quotes & !self.escaped_by(backslashes);
        let in_string = prefix_xor(quotes) ^ self.in_string;
        self.in_string = if in_string >> 63 == 1 { u64::MAX } else { 0 };
        let start = self.at;
        self.at += 64;
        Some(Block { start, open, close, quotes, in_string })
    }

    /// The bytes that a backslash before them escapes: in a row of backslashes every second one escapes nothing. (The method is simdjson's.)
    fn escaped_by(&mut self, backslashes: u64) -> u64 {
        const ODD: u64 = 0xaaaa_aaaa_aaaa_aaaa;
        if backslashes == 0 {
            return std::mem::take(&mut self.escaped);
        }
        let escaping = backslashes & !self.escaped;
        let codes = (((escaping << 1) | ODD).wrapping_sub(escaping)) ^ ODD;
        let escaped = codes ^ (backslashes | self.escaped);
        self.escaped = (codes & backslashes) >> 63;
        escaped
    }
}

/// Each bit becomes the parity of those up to it.
const fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ (bits << 32)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Any JSON, with many quotes, backslashes and brackets in its strings.
    pub(in crate::model) fn value() -> impl Strategy<Value = Value> {
        let text = "[ab\"\\\\{}\\[\\],:\u{e9}\n]{0,90}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(text, inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_is_skipped_to_its_end(value in value(), pretty in any::<bool>(), after in "[,\\]} ]{0,70}") {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let all = format!("{text},{after}");
            let mut reader = Reader::new(&all);
            prop_assert_eq!(reader.raw().map(Json::get), Ok(&*text));
            // Cut anywhere it has no end, but for a number, which may end anywhere.
            if !value.is_number() {
                for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
                    prop_assert!(Reader::new(&text[..cut]).skip().is_err(), "{}", &text[..cut]);
                }
            }
        }

        #[test]
        fn strings_are_read_as_serde_json_reads_them(text in "\"[a\\\\\"u0-9n/\u{7}\u{e9}]{0,40}\"?") {
            let expected = serde_json::from_str::<String>(&text).ok();
            let read = Reader::whole(&text, Reader::text).ok().map(|text| text.to_string());
            prop_assert_eq!(read, expected);
        }

        #[test]
        fn numbers_are_read_as_serde_json_reads_them(text in "-?[0-9]{0,20}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,2})?") {
            if let Ok(number) = Reader::whole(&text, Reader::integer) {
                prop_assert_eq!(serde_json::from_str::<i64>(&text).ok(), Some(number));
            }
            prop_assert_eq!(Reader::whole(&text, Reader::skip).is_ok(), serde_json::from_str::<&RawValue>(&text).is_ok());
        }
    }

    #[test]
    fn what_is_not_plain_is_strange() {
        for text in [
            "",
            "{",
            "{\"a\"",
            "{\"a\":1",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{\"\\u0061\":1}",
            "{a:1}",
            "[1]",
            "{\"a\":1}}",
            "{\"a\":tru}",
            "{\"a\":01}",
        ] {
            assert!(Reader::whole(text, |reader| reader.members(|reader, _| reader.skip())).is_err(), "{text}");
        }
        for text in ["{}", " { } ", "{\"a\":1}", "{ \"a\" : 1 , \"b\" : [ ] }\n", "{\"a\":-1.5e+3,\"b\":null}"] {
            assert!(Reader::whole(text, |reader| reader.members(|reader, _| reader.skip())).is_ok(), "{text}");
        }
        assert_eq!(Reader::whole("[1,-2,0]", |reader| reader.items(|reader| reader.integer().map(|_| ()))), Ok(()));
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(Reader::whole(&deep, Reader::skip).is_ok());
        assert!(Reader::whole(&deep[1..], Reader::skip).is_err());
    }
}
