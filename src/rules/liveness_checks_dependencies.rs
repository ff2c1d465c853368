use super::{Context, Findings, Rule};
use crate::{
    model::{Handler, Probe, ProbeKind},
    rules::finding::shorten,
};

declare_rule! {
    /// A liveness probe asks an endpoint that covers other services.
    ///
    /// ## What it does
    ///
    /// Fires when the path of a liveness probe is a readiness, aggregate or deep endpoint: one that ends in `/actuator/health` or `/q/health`, or
    /// one in which a path segment or a query key contains one of the words ready, readyz, readiness, deep, deps, dependencies; also full and db,
    /// where they stand in the last segment or in a query key (elsewhere they are part of an application's name).
    ///
    /// ## Why it is bad
    ///
    /// Such an endpoint also fails when a database, a queue or another service does. Restarting this container helps none of them, and all replicas
    /// are restarted at the same time.
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: /actuator/health, port: 8080 }
    /// ```
    ///
    /// ```yaml,fires
    /// livenessProbe:
    ///   httpGet: { path: "/healthz?deep=true", port: 8080 }
    /// ```
    ///
    /// ## Instead
    ///
    /// Ask what only the process itself answers for. Frameworks have such an endpoint.
    ///
    /// ```yaml,clean
    /// livenessProbe:
    ///   httpGet: { path: /actuator/health/liveness, port: 8080 }
    /// readinessProbe:
    ///   httpGet: { path: /actuator/health/readiness, port: 8080 }
    /// ```
    pub struct LivenessChecksDependencies {}
    id: "liveness-checks-dependencies",
    why: "the container is restarted when something that it depends on is down, and a restart does not help",
    actions: [Audit, Warn, Deny],
    needs: LIVENESS & HTTP_GET,
}

impl Rule for LivenessChecksDependencies {
    fn check(&self, cx: &Context<'_>, out: &mut Findings) {
        for container in &cx.workload.containers {
            let kind = ProbeKind::Liveness;
            let Some(Handler::HttpGet(http)) = container.valid_probe(kind).and_then(Probe::handler) else { continue };
            let path = http.path.as_deref().unwrap_or_default();
            let Some(reason) = covers(path) else { continue };
            let message = format!("liveness asks \"{}\", {reason}", shorten(path, 60));
            let help = format!("livenessProbe:\n  httpGet:\n    path: {}", proposal(path));
            out.probe(cx, container, kind, "httpGet/path", message, help);
        }
    }
}

/// Words that name such an endpoint wherever they stand, and words that do so only at the end: `/db/healthz` is the health of an application named db.
const WORDS: [&str; 6] = ["ready", "readyz", "readiness", "deep", "deps", "dependencies"];
const LAST_WORDS: [&str; 2] = ["full", "db"];

/// What the endpoint covers beyond the process, as the end of a sentence.
fn covers(path: &str) -> Option<String> {
    let path = path.split('#').next()?;
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let path = path.trim_end_matches('/');
    if path.ends_with("/actuator/health") || path.ends_with("/q/health") {
        return Some("which sums up everything that it depends on".to_owned());
    }
    let last = path.rsplit('/').next().unwrap_or_default();
    // The values of a query are no names.
    let keys = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default());
    let known = |words: &[&'static str], word: &str| words.iter().copied().find(|known| word.eq_ignore_ascii_case(known));
    let any = words(path).chain(keys.clone().flat_map(words)).find_map(|word| known(&WORDS, word));
    let word = any.or_else(|| keys.chain([last]).flat_map(words).find_map(|word| known(&LAST_WORDS, word)))?;
    Some(if word.starts_with("read") {
        "which says whether it can serve, not whether it is alive".to_owned()
    } else {
        format!("which by its name (\"{word}\") covers what it depends on")
    })
}

/// The words of a name: split at what is no letter, and where a capital begins a word.
fn words(name: &str) -> impl Iterator<Item = &str> {
    let mut rest = name;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|letter: char| !letter.is_alphabetic());
        let mut letters = rest.char_indices().peekable();
        let mut after_lower = false;
        let mut end = rest.len();
        while let Some((at, letter)) = letters.next() {
            let before_lower = letters.peek().is_some_and(|(_, next)| next.is_lowercase());
            let begins = at > 0 && letter.is_uppercase() && (after_lower || before_lower);
            if begins || !letter.is_alphabetic() {
                end = at;
                break;
            }
            after_lower = letter.is_lowercase();
        }
        let word;
        (word, rest) = rest.split_at(end);
        Some(word).filter(|word| !word.is_empty())
    })
}

fn proposal(path: &str) -> String {
    let bare = path.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    for (ending, better) in [
        ("/actuator/health", "/actuator/health/liveness"),
        ("/actuator/health/readiness", "/actuator/health/liveness"),
        ("/q/health", "/q/health/live"),
        ("/q/health/ready", "/q/health/live"),
        ("/health/ready", "/health/live"),
        ("/-/ready", "/-/healthy"),
        ("/readyz", "/livez"),
    ] {
        if let Some(prefix) = bare.strip_suffix(ending) {
            return format!("{prefix}{better}");
        }
    }
    "/livez   # one that only says whether the process still makes progress".to_owned()
}

#[cfg(test)]
mod tests {
    use super::covers;

    #[test]
    fn knows_endpoints_by_their_words() {
        let fires = [
            "/actuator/health",
            "/shop/actuator/health/",
            "/q/health",
            "/ready",
            "readyz",
            "/-/ready",
            "/isReady",
            "/health/readiness",
            "/healthz?deep=1",
            "/health/full",
            "/health/db",
            "/checkDB",
            "/deps/health",
            "/READY",
            "/DBHealth",
        ];
        let silent = [
            "",
            "/",
            "/healthz",
            "/livez",
            "/actuator/health/liveness",
            "/q/health/live",
            "/already",
            "/db/healthz",
            "/fulltext",
            "/full/health",
            "/healthz?mode=ready",
            "/readme",
            "/spready",
        ];
        for path in fires {
            assert!(covers(path).is_some(), "{path}");
        }
        for path in silent {
            assert_eq!(covers(path), None, "{path}");
        }
    }
}
