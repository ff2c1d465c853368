//! Durations and sizes as people and API servers write them: `10s`, `1m0.5s`, `64MiB`.

use std::time::Duration;

/// Reads a duration in Go's notation: decimal numbers with a unit each (`ns`, `us`, `ms`, `s`, `m`, `h`), as `500ms`, `2.5s` or `1m0s`.
///
/// No sign, at most a year: a longer one is a typing error.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write it as 10s, 500ms or 2m");
    let mut rest = text;
    let mut seconds = 0.0_f64;
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(end);
        let scale = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        seconds += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = tail;
    }
    if seconds > 365.0 * 86_400.0 {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

/// Reads a size in bytes: a whole number, alone or with `KiB`, `MiB` or `GiB` (also `K`, `M`, `G`, `Ki`, `Mi`, `Gi`, all powers of 1024).
pub fn bytes(text: &str) -> Result<usize, String> {
    let wrong = || format!("`{text}` is not a size; write it as 65536, 512KiB or 8MiB");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale: usize = match unit.trim_start() {
        "" | "B" => 1,
        "K" | "Ki" | "KiB" => 1 << 10,
        "M" | "Mi" | "MiB" => 1 << 20,
        "G" | "Gi" | "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.parse::<usize>().ok().and_then(|number| number.checked_mul(scale)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, milliseconds) in
            [("10s", 10_000), ("2.5s", 2_500), ("500ms", 500), ("1m0s", 60_000), ("1h", 3_600_000), ("0", 0), ("1m0.5s", 60_500)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "10", "-1s", "1d", "1..5s", "10 s", "999999h", "1e9s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes() {
        for (text, size) in
            [("0", 0), ("65536", 65_536), ("512KiB", 512 << 10), ("8MiB", 8 << 20), ("8Mi", 8 << 20), ("1G", 1 << 30)]
        {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "MiB", "8MB", "-1", "1.5MiB", "99999999999999999999", "99999999999999GiB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
