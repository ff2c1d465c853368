//! Hosts and URLs of commands: this pod, or another.

use std::net::IpAddr;

use super::{
    Reach,
    scope::{Arg, Scope},
    shell::{OWN, SETTING, UNKNOWN},
};

/// Where a host that a command names leads, seen from inside the pod. When unsure it is unknown.
pub(super) fn reach(host: &str, scope: &Scope<'_>) -> Reach {
    let host = host.trim().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    // No host means the local default; a path is a unix socket.
    if host.is_empty() || host.starts_with(['/', '@', '~']) {
        return Reach::Local;
    }
    let lower = host.to_ascii_lowercase();
    if matches!(&*lower, "localhost" | "localhost4" | "localhost6" | "ip6-localhost" | "ip6-loopback" | "localhost.localdomain")
        || lower.ends_with(".localhost")
    {
        return Reach::Local;
    }
    if let Ok(address) = lower.split('%').next().unwrap_or_default().parse::<IpAddr>() {
        let own = match address {
            IpAddr::V4(address) => address.is_loopback() || address.is_unspecified(),
            IpAddr::V6(address) => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback() || address.is_unspecified())
            }
        };
        // On the node's network any address may be the node's, and so the pod's own.
        return if own || scope.workload.host_network { Reach::Local } else { Reach::Remote };
    }
    let first = lower.split('.').next().unwrap_or_default();
    if first.starts_with(OWN) && (first.chars().count() == 1 || !first.contains([UNKNOWN, SETTING])) {
        // `$(hostname)-something` is another name.
        return if first.chars().count() == 1 { Reach::Local } else { Reach::Unknown };
    }
    if first.contains(SETTING) {
        return if first.chars().count() == 1 { Reach::Setting } else { Reach::Unknown };
    }
    // Behind the first dot, a namespace or domain may be unknown.
    let name_like = first.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        && lower.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | OWN | UNKNOWN | SETTING));
    // `127.1`, `0`, a port in the place of a host.
    let number_like = lower.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !name_like || number_like {
        return if lower.starts_with("127.") { Reach::Local } else { Reach::Unknown };
    }
    own_name(first, &lower, scope)
}

fn own_name(first: &str, host: &str, scope: &Scope<'_>) -> Reach {
    let workload = scope.workload;
    if workload.own_names.iter().any(|name| name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(first)) {
        return Reach::Local;
    }
    let labels = [&workload.template_metadata.labels, &workload.metadata.labels];
    let labels = labels.into_iter().flat_map(|labels| &labels.0).filter(|(key, _)| {
        matches!(
            &**key,
            "app" | "name" | "k8s-app" | "app.kubernetes.io/name" | "app.kubernetes.io/instance" | "app.kubernetes.io/component"
        )
    });
    let mut names =
        std::iter::once(workload.name()).chain(std::iter::once(&*scope.container.name)).chain(labels.map(|(_, value)| &**value));
    // Its own Service, or one of its own pods: which, only the cluster knows.
    let own = names.any(|name| {
        !name.is_empty()
            && first.strip_prefix(&*name.to_ascii_lowercase()).is_some_and(|rest| {
                matches!(rest, "" | "-headless" | "-hl" | "-hs" | "-svc" | "-service" | "-internal" | "-discovery")
                    || rest
                        .strip_prefix('-')
                        .is_some_and(|ordinal| !ordinal.is_empty() && ordinal.bytes().all(|b| b.is_ascii_digit()))
            })
    });
    if own { Reach::OwnService } else { Reach::Remote }
}

/// The parts of a URL that matter.
#[derive(Debug, Clone, Default)]
pub(super) struct Url<'t> {
    /// Empty when the text has none.
    pub(super) scheme: &'t str,
    pub(super) host: &'t str,
    pub(super) port: Option<&'t str>,
    /// Path and query, as written; may be empty.
    pub(super) path: &'t str,
}

/// Splits a URL, `host:port`, or `host`. Credentials are dropped.
pub(super) fn url(text: &str) -> Url<'_> {
    let (scheme, rest) = match text.find("://") {
        Some(end) if text[..end].bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) => {
            (&text[..end], &text[end + 3..])
        }
        _ => ("", text),
    };
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(authority_end);
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (host, port) = host_and_port(authority);
    Url { scheme, host, port, path: path.split('#').next().unwrap_or_default() }
}

/// Splits `host:port`, `[v6]:port`, `v6`.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    if let Some(inside) = text.strip_prefix('[')
        && let Some((host, after)) = inside.split_once(']')
    {
        return (host, after.strip_prefix(':'));
    }
    match text.rsplit_once(':') {
        // More than one colon without brackets is an IPv6 address.
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (text, None),
    }
}

/// A port number.
pub(super) fn port(text: Option<&str>) -> Option<u16> {
    text?.parse().ok().filter(|port| *port > 0)
}

/// A host for a message: names of variables, never their values.
pub(super) fn shown_host(arg: &Arg, part: impl Fn(&str) -> &str) -> String {
    let host = part(arg.shown());
    if host.contains([OWN, UNKNOWN, SETTING]) || host.is_empty() { "...".to_owned() } else { host.to_owned() }
}
