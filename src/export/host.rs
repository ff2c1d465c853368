//! Where a probe's host leads, as regular expressions: [`crate::model::classify_host`] for CEL. CEL's own `isIP` refuses IPv4 addresses written as IPv6,
//! and an API server of 1.30 does not know it yet.

use std::fmt::Write as _;

/// A zero group of an IPv6 address.
const ZERO: &str = "0{1,4}";
/// Any group.
const GROUP: &str = "[0-9a-fA-F]{1,4}";
/// A part of an IPv4 address, without leading zeros.
const OCTET: &str = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";

/// Matches a host, without blanks around it, that is `localhost`, a loopback address or the unspecified one: the node itself.
pub(super) fn loopback() -> String {
    // Both cases of each letter: a regular expression that ignores case would take U+017F for an s.
    let localhost: String = "localhost".chars().fold(String::new(), |mut text, letter| {
        let _ = write!(text, "[{letter}{}]", letter.to_ascii_uppercase());
        text
    });
    let v4 = format!("127(?:\\.{OCTET}){{3}}");
    let one = zeros_then(7, "0{0,3}1") + "|" + &zeros_then(6, r"0\.0\.0\.1");
    let mapped = zeros_then(5, &format!("[fF]{{4}}:(?:{v4}|7[fF][0-9a-fA-F]{{2}}:{GROUP})"));
    let mapped_zero = format!("(?:{ZERO}:){{5}}[fF]{{4}}:7[fF][0-9a-fA-F]{{2}}::");
    let unspecified = format!(r"0\.0\.0\.0|(?:{ZERO}:){{7}}{ZERO}|{}|{}", compressed(ZERO, 8), zeros_then(6, r"0\.0\.0\.0"));
    format!(r"^\[*(?:{localhost}\.*|{v4}|{one}|{mapped}|{mapped_zero}|{unspecified})\]*$")
}

/// Matches an IP address.
pub(super) fn address() -> String {
    let v4 = format!("{OCTET}(?:\\.{OCTET}){{3}}");
    let mut v6 = format!("(?:{GROUP}:){{7}}{GROUP}|(?:{GROUP}:){{6}}{v4}|{}", compressed(GROUP, 8));
    for head in 0..=5 {
        let _ = write!(v6, "|{}:(?:{GROUP}:){{0,{}}}{v4}", heads(GROUP, head), 5 - head);
    }
    format!("^(?:{v4}|{v6})$")
}

/// `count` zero groups, in full or shortened by `::`, then `rest`.
fn zeros_then(count: usize, rest: &str) -> String {
    let mut text = format!("(?:(?:{ZERO}:){{{count}}}");
    for head in 0..count {
        let _ = write!(text, "|{}:(?:{ZERO}:){{0,{}}}", heads(ZERO, head), count - 1 - head);
    }
    text + ")(?:" + rest + ")"
}

/// Up to `count - 1` groups with one `::` among them, at either end or between.
fn compressed(group: &str, count: usize) -> String {
    let mut parts = Vec::new();
    for head in 0..count {
        let tail = count - 1 - head;
        let mut part = heads(group, head) + ":";
        if tail > 0 {
            let _ = write!(part, "(?:(?:{group}:){{0,{}}}{group})?", tail - 1);
        }
        parts.push(part);
    }
    parts.join("|")
}

/// `count` groups before a `::`, up to its first colon.
fn heads(group: &str, count: usize) -> String {
    if count == 0 { ":".to_owned() } else { format!("(?:{group}:){{{count}}}") }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::model::{Host, classify_host};

    #[test]
    fn the_expressions_agree_with_what_the_rules_ask() {
        let groups = ["0", "0000", "1", "01", "ffff", "FFFF", "7f00", "7fAB", "7f0", "2001", "10000", ""];
        let ends = ["", "127.0.0.1", "127.255.0.256", "0.0.0.0", "0.0.0.1", "10.0.0.1", "1", "::", "0:0", "7f00:1", "7F00::"];
        let mut hosts: Vec<String> = [
            "localhost",
            "LocalHost.",
            "[localhost]",
            "localhost..",
            "loca1host",
            "localho\u{17f}t",
            "a.localhost",
            "127.1",
            "127.0.0.01",
        ]
        .map(str::to_owned)
        .to_vec();
        for zeros in 0..9 {
            for end in ends {
                for middle in ["", "ffff:", "FFFF:", "fff:"] {
                    hosts.push(format!("{}{middle}{end}", "0:".repeat(zeros)));
                    for at in 0..=zeros {
                        hosts.push(format!("{}:{}{middle}{end}", "0:".repeat(at), "0:".repeat(zeros - at)));
                        hosts.push(format!("{}::{}{middle}{end}", "0:".repeat(at), "0:".repeat(zeros - at)));
                    }
                }
            }
        }
        for a in groups {
            for b in groups {
                for c in groups {
                    hosts.push(format!("{a}:{b}:{c}"));
                    hosts.push(format!("{a}::{b}:{c}"));
                    hosts.push(format!("[{a}:{b}::{c}]"));
                    hosts.push(format!("{a}:{b}:{c}:0:0:{c}:{b}:{a}"));
                    hosts.push(format!("{a}:{b}:{c}:0:0:{c}:1.2.3.4"));
                    hosts.push(format!("1.{a}.{b}.{c}"));
                }
            }
        }
        let [loopback, address] = [loopback(), address()].map(|text| regex::Regex::new(&text).unwrap());
        let mut seen = [0, 0];
        for host in &hosts {
            let (is_loopback, is_address) = (classify_host(Some(host)) == Host::Loopback, host.parse::<IpAddr>().is_ok());
            assert_eq!(loopback.is_match(host), is_loopback, "loopback: {host}");
            assert_eq!(address.is_match(host), is_address, "address: {host}");
            seen[0] += usize::from(is_loopback);
            seen[1] += usize::from(is_address);
        }
        assert!(seen[0] > 100 && seen[1] > 500, "{seen:?} of {}", hosts.len());
    }
}
