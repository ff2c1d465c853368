//! What a scalar means, as go-yaml 2 resolves it (its `resolve.go`): YAML 1.1 with Go's number syntax.

use std::borrow::Cow;

use base64::Engine as _;
use serde_json::Number;

use super::Value;

/// A scalar before it is resolved.
pub(super) struct Scalar<'a> {
    pub(super) text: Cow<'a, str>,
    /// Not in quotes and not a block.
    pub(super) plain: bool,
    /// Short form: `!!int`, `!custom`.
    pub(super) tag: Option<String>,
}

/// Resolves a scalar, or says why the tag and the text do not agree.
pub(super) fn resolve(scalar: Scalar<'_>) -> Result<Value<'_>, String> {
    let Scalar { text, plain, tag } = scalar;
    match tag.as_deref() {
        None if plain => untagged(text),
        Some("!!binary") => binary(&text),
        Some(tag @ ("!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp")) => {
            let tag = tag.to_owned();
            let shown = text.clone();
            let value = untagged(text)?;
            let agrees = match (&*tag, &value) {
                ("!!bool", Value::Bool(_)) | ("!!float", Value::Number(_)) | ("!!null", Value::Null) => true,
                ("!!int", Value::Number(number)) => !number.is_f64(),
                ("!!timestamp", Value::String(text)) => text.starts_with(|first: char| first.is_ascii_digit()),
                _ => false,
            };
            if agrees {
                Ok(value)
            } else {
                Err(format!("`{shown}` is not what its tag {tag} says: remove the tag or change the value"))
            }
        }
        // Quoted, `!!str`, or a tag that go-yaml does not know (`!` too): the text as it is.
        None | Some(_) => Ok(Value::String(text)),
    }
}

/// A key as a string, as `sigs.k8s.io/yaml` makes keys strings on the way to JSON.
pub(super) fn key(value: Value<'_>) -> Result<Cow<'_, str>, String> {
    match value {
        Value::String(text) => Ok(text),
        Value::Bool(true) => Ok(Cow::Borrowed("true")),
        Value::Bool(false) => Ok(Cow::Borrowed("false")),
        Value::Number(number) => Ok(Cow::Owned(number.to_string())),
        Value::Null => Err("a key is missing before `:`, or is null: quote it if it is meant as text".to_owned()),
        Value::Seq(_) | Value::Map(_) => Err(KEY_IS_COLLECTION.to_owned()),
    }
}

pub(super) const KEY_IS_COLLECTION: &str = "a list or mapping cannot be a key: quote it if it is meant as text";

/// The value of an integral or finite float as JSON carries it. Go writes integral floats without a fraction.
pub(super) fn number(float: f64) -> Option<Number> {
    // Below 2^63 every integral f64 is an i64.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if float.fract() == 0.0 && float > -LIMIT && float < LIMIT {
        #[expect(clippy::cast_possible_truncation, reason = "integral and in range, as checked")]
        return Some(Number::from(float as i64));
    }
    Number::from_f64(float)
}

fn untagged(text: Cow<'_, str>) -> Result<Value<'_>, String> {
    // Most scalars are words: the first byte tells.
    let Some(first) = text.bytes().next() else { return Ok(Value::Null) };
    match first {
        b'y' | b'Y' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'o' | b'O' | b'~' => Ok(match &*text {
            "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Value::Bool(true),
            "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => Value::Bool(false),
            "~" | "null" | "Null" | "NULL" => Value::Null,
            _ => Value::String(text),
        }),
        b'.' | b'+' | b'-' | b'0'..=b'9' => match &*text {
            ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" => {
                Err(format!("`{text}` cannot be sent to a cluster, JSON has no such number: quote it if it is meant as text"))
            }
            _ => Ok(numeric(&text).map_or(Value::String(text), Value::Number)),
        },
        _ => Ok(Value::String(text)),
    }
}

fn numeric(text: &str) -> Option<Number> {
    if text.starts_with('.') {
        return float(text);
    }
    let plain = if text.contains('_') { Cow::Owned(text.replace('_', "")) } else { Cow::Borrowed(text) };
    integer(&plain).or_else(|| float(&plain))
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`: the base is in the prefix, a leading zero means octal.
fn integer(text: &str) -> Option<Number> {
    let (negative, signed, digits) = match text.as_bytes().first()? {
        b'-' => (true, true, text.get(1..)?),
        b'+' => (false, true, text.get(1..)?),
        _ => (false, false, text),
    };
    let (digits, base) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (digits.get(2..)?, 16),
        [b'0', b'o' | b'O', ..] => (digits.get(2..)?, 8),
        [b'0', b'b' | b'B', ..] => (digits.get(2..)?, 2),
        [b'0', _, ..] => (digits.get(1..)?, 8),
        _ => (digits, 10),
    };
    // `from_str_radix` would take a second sign.
    if !digits.as_bytes().first()?.is_ascii_alphanumeric() {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, base).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(Number::from);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(Number::from(value)),
        Err(_) if signed => None,
        Err(_) => Some(Number::from(magnitude)),
    }
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`, and finite: Go reports a range error, and the text stays text.
fn float(text: &str) -> Option<Number> {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_fits = match mantissa.split_once('.') {
        Some(("", fraction)) => !fraction.is_empty() && digits(fraction),
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_fits = exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent));
    if !(mantissa_fits && exponent_fits) {
        return None;
    }
    text.parse::<f64>().ok().and_then(number)
}

fn binary(text: &str) -> Result<Value<'static>, String> {
    let packed: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    match base64::engine::general_purpose::STANDARD.decode(packed) {
        Ok(bytes) => Ok(Value::String(Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()))),
        Err(_) => Err("the value is not base64, as its tag !!binary says: remove the tag or correct the value".to_owned()),
    }
}
