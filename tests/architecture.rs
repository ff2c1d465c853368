//! The invariants of ARCHITECTURE.md that can be read from the source.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is how a test fails, in its helpers too")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Every source file below `src/`, as its path from there and its text without tests and comments.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("entry").path();
            if path.is_dir() { walk(&path, files) } else { files.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let read = |path: &PathBuf| {
        let text = fs::read_to_string(path).expect("UTF-8");
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let code: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (path.strip_prefix(&root).expect("below src").to_string_lossy().into_owned(), code.join("\n"))
    };
    files.iter().map(read).collect()
}

/// Nothing outside `allowed` (paths or prefixes from `src/`) contains any of `words`.
fn only_in(allowed: &[&str], words: &[&str]) {
    for (path, code) in sources() {
        if allowed.iter().any(|allowed| path.starts_with(allowed)) {
            continue;
        }
        for word in words {
            assert!(!code.contains(word), "src/{path} names `{word}`, which belongs to {allowed:?}");
        }
    }
}

#[test]
fn the_core_does_no_io_and_knows_no_clock() {
    let pure = |path: &str| {
        (path.starts_with("model/")
            || path.starts_with("graph/")
            || path.starts_with("rules/")
            || path.starts_with("engine/")
            || path.starts_with("export/")
            || path.starts_with("policy/"))
            && !["policy/source.rs", "policy/store.rs"].contains(&path)
    };
    let mut seen = 0;
    for (path, code) in sources().into_iter().filter(|(path, _)| pure(path)) {
        seen += 1;
        for word in [
            "tokio",
            "kube::",
            "hyper",
            "std::fs",
            "std::env",
            "std::net::Tcp",
            "SystemTime",
            "Instant",
            "static mut",
            "crate::server",
            "crate::admission",
            "crate::lint",
            "crate::cli",
        ] {
            assert!(
                !code.contains(word),
                "src/{path} names `{word}`: the core does no I/O, knows no clock and looks up to nobody"
            );
        }
    }
    assert!(seen > 30, "only {seen} files looked at");
}

#[test]
fn certificates_are_decided_and_issued_without_io() {
    let pure = ["assess.rs", "certificate.rs", "issue.rs", "memory.rs", "secret.rs"].map(|name| format!("pki/{name}"));
    let seen: Vec<_> = sources().into_iter().filter(|(path, _)| pure.contains(path)).collect();
    assert_eq!(seen.len(), pure.len());
    for (path, code) in seen {
        for word in ["tokio", "kube::", "async ", "std::fs", "SystemTime::now", "Instant", "crate::server", "crate::cli"] {
            assert!(!code.contains(word), "src/{path} names `{word}`: what it does depends on what it is given");
        }
    }
}

#[test]
fn each_foreign_thing_is_named_in_one_room() {
    only_in(&["admission/", "lint/"], &["AdmissionReview"]);
    only_in(&["server/", "pki/"], &["rustls"]);
    only_in(&["yaml/"], &["saphyr"]);
    only_in(&["cluster/", "cli/serve/", "pki/inject.rs", "pki/keep.rs", "pki/publish.rs"], &["kube::", "k8s_openapi"]);
    only_in(&["export/"], &["orValue", "optMap"]);
    only_in(&["telemetry/metrics.rs"], &["probekeeper_admission", "prometheus_client"]);
    only_in(&["server/", "lifecycle.rs", "cli/serve/", "cluster/", "pki/"], &["tokio::"]);
}

#[test]
fn rules_know_no_front() {
    for (path, code) in sources().into_iter().filter(|(path, _)| path.starts_with("rules/")) {
        for word in ["crate::engine", "Witnesses", "managed_fields"] {
            assert!(!code.contains(word), "src/{path} names `{word}`");
        }
    }
}

/// Nothing is asked for over the network but the API server, and no program is started.
#[test]
fn only_the_api_server_is_called() {
    only_in(&["cluster/mod.rs"], &["Client::try_from", "Client::try_default", "Client::new(", "ClientBuilder"]);
    // The server looks at its own port, by address.
    only_in(&["server/tls.rs"], &["TcpStream::connect", "TcpSocket::new"]);
    let nowhere = [
        "UdpSocket",
        "UnixStream",
        "UnixDatagram",
        "lookup_host",
        "ToSocketAddrs",
        "hyper::client",
        "hyper_util::client",
        "process::Command",
    ];
    only_in(&[], &nowhere);
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).expect("manifest");
    let of_program = manifest.split("[dev-dependencies]").next().expect("a part");
    for client in ["reqwest", "ureq", "hyper-rustls", "hyper-tls", "isahc", "attohttpc", "curl", "opentelemetry", "sentry"] {
        assert!(!of_program.contains(&format!("\n{client} ")), "{client} calls somebody");
    }
    let own = of_program.lines().filter(|line| line.starts_with("hyper")).collect::<String>();
    assert!(own.contains("\"server\"") && !own.contains("client"), "{own}");
}
