//! JSON strings, unescaped and written, by blocks.

use std::fmt::Write as _;

use wide::u8x16;

/// The text of a JSON string, which stands in quotes.
///
/// JSON within a string has an escaped quote every ten bytes or so. Of 64 bytes it is found at once where the backslashes are; what stands between two of
/// them is copied by sixteen bytes, and those from the next escape on are written over: to copy just as many as there are takes longer.
pub(crate) fn unescaped(quoted: &str) -> Option<String> {
    let bytes = quoted.strip_prefix('"')?.strip_suffix('"')?.as_bytes();
    let mut text = vec![0; bytes.len() + 16];
    let (mut from, mut to) = (0_usize, 0);
    let copy = |text: &mut [u8], from: usize, to: usize, length: usize| -> Option<()> {
        match (bytes.get(from..).and_then(<[u8]>::first_chunk::<16>), text.get_mut(to..).and_then(<[u8]>::first_chunk_mut::<16>))
        {
            (Some(source), Some(target)) if length <= 16 => *target = *source,
            _ => text.get_mut(to..to + length)?.copy_from_slice(bytes.get(from..from + length)?),
        }
        Some(())
    };
    for start in (0..bytes.len()).step_by(64) {
        let (mut backslashes, mut others) = escapable(&bytes[start..]);
        // An escape that began in the block before ends in this one.
        let begun = !0 << (from.saturating_sub(start)).min(63);
        (backslashes, others) = (backslashes & begun, others & begun);
        while backslashes != 0 {
            let bit = backslashes & backslashes.wrapping_neg();
            let place = start + bit.trailing_zeros() as usize;
            copy(&mut text, from, to, place - from)?;
            to += place - from;
            text[to] = match bytes.get(place + 1)? {
                escaped @ (b'"' | b'\\' | b'/') => *escaped,
                b'n' => b'\n',
                b't' => b'\t',
                b'r' => b'\r',
                b'b' => 8,
                b'f' => 12,
                // Numbers of characters, in pairs perhaps, are seldom.
                _ => return serde_json::from_str(quoted).ok(),
            };
            to += 1;
            from = place + 2;
            let done = !(bit | bit << 1);
            (backslashes, others) = (backslashes & done, others & done);
        }
        if others != 0 {
            return None;
        }
    }
    let length = bytes.len() - from;
    copy(&mut text, from, to, length)?;
    text.truncate(to + length);
    String::from_utf8(text).ok()
}

/// The first 64 bytes; where there are fewer, spaces follow them.
pub(super) fn sixty_four<'b>(bytes: &'b [u8], padded: &'b mut [u8; 64]) -> &'b [u8; 64] {
    bytes.first_chunk().unwrap_or_else(|| {
        padded[..bytes.len()].copy_from_slice(bytes);
        padded
    })
}

/// Where in the first 64 bytes there are backslashes, and where quotes and control characters.
fn escapable(bytes: &[u8]) -> (u64, u64) {
    let mut padded = [b' '; 64];
    let block = sixty_four(bytes, &mut padded);
    let control = u8x16::splat(0x1f);
    let (mut backslashes, mut others) = (0, 0);
    for (part, sixteen) in block.as_chunks::<16>().0.iter().enumerate() {
        let block = u8x16::new(*sixteen);
        let other = block.simd_eq(u8x16::splat(b'"')) | block.max(control).simd_eq(control);
        backslashes |= u64::from(block.simd_eq(u8x16::splat(b'\\')).to_bitmask()) << (16 * part);
        others |= u64::from(other.to_bitmask()) << (16 * part);
    }
    (backslashes, others)
}

/// How many of these bytes there are before the first that is a quote, a backslash or a control character.
fn plain_in(block: [u8; 16]) -> usize {
    let block = u8x16::new(block);
    let control = u8x16::splat(0x1f);
    let found = block.simd_eq(u8x16::splat(b'"')) | block.simd_eq(u8x16::splat(b'\\')) | block.max(control).simd_eq(control);
    (found.to_bitmask() | 1 << 16).trailing_zeros() as usize
}

/// Writes a text as a JSON string: as it stands up to each byte that must be escaped. (A general serialiser looks at each byte alone.)
pub(crate) fn quote(text: &str, into: &mut String) {
    into.push('"');
    let mut rest = text;
    loop {
        let (as_it_stands, escaped) = rest.split_at(plain(rest.as_bytes()));
        into.push_str(as_it_stands);
        let Some(byte) = escaped.bytes().next() else { break };
        match byte {
            b'"' => into.push_str("\\\""),
            b'\\' => into.push_str("\\\\"),
            b'\n' => into.push_str("\\n"),
            b'\r' => into.push_str("\\r"),
            b'\t' => into.push_str("\\t"),
            8 => into.push_str("\\b"),
            12 => into.push_str("\\f"),
            control => {
                let _ = write!(into, "\\u{control:04x}");
            }
        }
        rest = &escaped[1..];
    }
    into.push('"');
}

/// How many bytes there are before the first that is a quote, a backslash or a control character.
pub(super) fn plain(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(block) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let length = plain_in(*block);
        at += length;
        if length < 16 {
            return at;
        }
    }
    let rest = &bytes[at.min(bytes.len())..];
    at + rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::model::json::tests::value;

    proptest! {
        /// As an author's file stands in its annotation: every part of it that may be cut off within an escape or a block.
        #[test]
        fn json_within_a_string_is_unescaped(value in value(), pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let quoted = Value::from(&*text).to_string();
            prop_assert_eq!(unescaped(&quoted), Some(text));
            for cut in (0..quoted.len()).filter(|cut| quoted.is_char_boundary(*cut)) {
                let cut = format!("{}\"", &quoted[..cut]);
                prop_assert_eq!(unescaped(&cut), serde_json::from_str::<String>(&cut).ok(), "{}", cut);
            }
        }

        #[test]
        fn strings_are_written_as_serde_json_writes_them(text in "[a\"\\\\\u{7f}\u{1f}\n\u{e9}]{0,40}|\\PC{0,80}") {
            let mut written = String::new();
            quote(&text, &mut written);
            prop_assert_eq!(written, serde_json::to_string(&text).unwrap());
        }
    }
}
