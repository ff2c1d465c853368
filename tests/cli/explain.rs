//! `probekeeper explain`, and `lint --format html`

use insta::assert_snapshot;

use super::lint::{BAD, good};
use super::{anywhere, folder, run};

/// The defaults of semantics 3's last column, with a readiness and a deadline.
const TUTORIAL: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: web, namespace: shop }
spec:
  selector: { matchLabels: { app: web } }
  minReadySeconds: 10
  progressDeadlineSeconds: 60
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: web:1
          livenessProbe: { httpGet: { path: /healthz, port: 80 }, initialDelaySeconds: 10, periodSeconds: 5 }
          readinessProbe: { httpGet: { path: /readyz, port: 80 }, periodSeconds: 5 }
";

#[test]
fn as_written() {
    assert_snapshot!(anywhere(&["explain", "-", "--no-defaults"], TUTORIAL).all(), @r#"
    Deployment shop/web (-:1)

      container "web"
        livenessProbe: GET http://POD:80/healthz every 5 s from second 10 on, each within 1 s; 3 failures in a row trip it
          - a hang of 11 s restarts the container; it is noticed within 16 s at worst, and the next container starts within 46 s (grace period 30 s)
          - a refusal restarts the container after 10 to 15 s
          - 20 s are guaranteed to start; a container that still refuses after 25 s is surely killed
        readinessProbe: GET http://POD:80/readyz every 5 s, each within 1 s; 3 failures in a row trip it
          - a hang of 11 s takes the pod out of traffic; it is noticed within 16 s at worst
          - a refusal takes the pod out of traffic after 10 to 15 s
          - traffic comes back within 5 s after it answers again
        rollout: ready 0 s at the earliest, 25 s at the latest where it uses all of the 20 s that are guaranteed to start; it counts 10 s later (minReadySeconds); even the slowest start that survives is within progressDeadlineSeconds 60

        start-up (if it needs this long to start)
          liveness    ·····················────────────────────░░░░░░░░░░░████████
                      ┴────────────────────┴───────────────────┴──────────┴───────
                      0 s                  10 s                20 s       25 s

        hang (if it hangs for this long)
          liveness    ────────────░░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒████████
          readiness   ────────────░░░░░░██████████████████████████████████████████
                      ┴───────────┴─────┴─────────────────────────────────┴───────
                      0 s         11 s  16 s                              46 s

        refusal (if it refuses for this long)
          liveness    ────────────░░░░░▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒████████
          readiness   ────────────░░░░░███████████████████████████████████████████
                      ┴───────────┴────┴──────────────────────────────────┴───────
                      0 s         10 s 15 s                               45 s

        rollout (after the container started)
          readiness   ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░═══════════════━━━━━━━━
                      ┴────────────────────────────────────┴──────────────┴───────
                      0 s                                  25 s           35 s

        · not asked yet   ─ nothing happens   ░ depends on the moment   █ killed or out of traffic   ▒ stopping, up to its grace period   ═ ready, not yet available   ━ available

    --- stderr
    --- exit code 0
    "#);
}

#[test]
fn as_stored() {
    let stored = anywhere(&["explain", "-"], TUTORIAL);
    let text: Vec<_> = stored.stdout.lines().take_while(|line| !line.is_empty()).collect();
    assert_snapshot!(text.join("\n"), @"
    Deployment shop/web (-:1)
      filled in by probekeeper: web livenessProbe.timeoutSeconds: 5, web livenessProbe.failureThreshold: 4, web readinessProbe.timeoutSeconds: 3
    ");
    assert!(stored.stdout.contains("a hang of 20 s restarts the container"), "{}", stored.stdout);
}

#[test]
fn what_if() {
    let lines = |text: &str, args: &[&str]| -> String {
        let run = anywhere(&[&["explain", "-", "--no-defaults"], args].concat(), text);
        assert_eq!(run.code, 0, "{}", run.stderr);
        run.stdout
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("if it "))
            .fold(String::new(), |all, line| all + line + "\n")
    };
    let mut all = String::new();
    for start in ["20s", "22s", "40s", "1m30s"] {
        all += &lines(TUTORIAL, &["--starts-in", start]);
    }
    for hang in ["500ms", "10.9s", "12s", "20s"] {
        all += &lines(TUTORIAL, &["--hangs-for", hang]);
    }
    let ready_too_soon =
        good("a").replace("        readinessProbe: { httpGet: { path: /readyz, port: 80 }, timeoutSeconds: 3 }\n", "");
    all += &lines(&ready_too_soon, &["--starts-in", "40s"]);
    assert_snapshot!(all, @"
    if it needs 20 s to start: never killed by its liveness probe; ready 20 s to 25 s after its start
    if it needs 22 s to start: possibly killed by its liveness probe, depending on the moment of its runs: 20 s to 22 s after its start; if not killed, ready 22 s to 27 s after its start
    if it needs 40 s to start: surely killed by its liveness probe: 20 s to 25 s after its start
    if it needs 90 s to start: surely killed by its liveness probe: 20 s to 25 s after its start
    if it hangs for 0.5 s: never restarted by its liveness probe
    if it hangs for 0.5 s: never taken out of traffic
    if it hangs for 10.9 s: never restarted by its liveness probe
    if it hangs for 10.9 s: never taken out of traffic
    if it hangs for 12 s: possibly restarted by its liveness probe, depending on the moment of its runs: 11 s to 12 s after the hang began
    if it hangs for 12 s: possibly taken out of traffic, depending on the moment of its runs: 11 s to 12 s after the hang began; back within 5 s after the hang
    if it hangs for 20 s: surely restarted by its liveness probe: 11 s to 16 s after the hang began
    if it hangs for 20 s: surely taken out of traffic: 11 s to 16 s after the hang began
    if it needs 40 s to start: never killed by a probe; ready 0 s after its start, before it can serve
    ");
}

#[test]
fn what_cannot_work() {
    let startup = BAD.replace("readinessProbe:", "startupProbe:");
    let stuck = startup.replace("{ path: /readyz, port: http }", "{ path: /readyz, port: nowhere }");
    let run = anywhere(&["explain", "-", "--starts-in", "40s"], &stuck);
    assert_snapshot!(run.all(), @r#"
    Deployment shop/web (-:6)
      filled in by probekeeper: web livenessProbe.timeoutSeconds: 5, web startupProbe.timeoutSeconds: 5, web startupProbe.failureThreshold: 4

      container "web"
        livenessProbe: GET http://POD:web/healthz every 10 s, each within 5 s; 3 failures in a row trip it
          - port "web" is not declared by this container, so every run is an error and is thrown away: it never acts
        startupProbe: GET http://POD:nowhere/readyz every 10 s, each within 5 s; 4 failures in a row trip it
          - port "nowhere" is not declared by this container, so every run is an error and is thrown away: the container never counts as started, is never ready and never restarted
        no readiness probe: it gets traffic once it has started, and whatever happens later
        rollout: never ready, so a rollout never finishes
        if it needs 40 s to start: never killed by a probe; never ready

    --- stderr
    --- exit code 0
    "#);
}

#[test]
fn errors() {
    let all = [("a: b: c\n", &[][..]), ("a: 1\n", &[]), (TUTORIAL, &["--starts-in", "soon"])].map(|(text, args)| {
        let run = anywhere(&[&["explain", "-"], args].concat(), text);
        format!("{}\n", run.all())
    });
    assert_snapshot!(all.concat(), @"
    no workload to explain
    --- stderr
    -:1:5: a second `: ` on this line, or a mapping where none can be: quote the value or correct the indentation
    --- exit code 2
    no workload to explain
    --- stderr
    --- exit code 0
    --- stderr
    error: invalid value 'soon' for '--starts-in <DURATION>': `soon` is not a duration; write it as 10s, 500ms or 2m

    For more information, try '--help'.
    --- exit code 2
    ");
}

#[test]
fn html() {
    let hostile = BAD.replace("/healthz", "\"/<script>alert(1)</script>\"").replace("port: web # a typo", "port: \"<b>\"");
    let folder = folder(&[("a.yaml", &hostile), ("b.yaml", TUTORIAL), ("<i>.yaml", "a: b: c\n")]);
    let run = run(folder.path(), &["lint", "--format", "html", "."], "");
    assert_eq!(run.code, 2);
    let page = run.stdout;
    assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
    for tag in ["<script", "<b>", "<i>", "<link", "@import", "url(http", " src="] {
        assert!(!page.contains(tag), "{tag}");
    }
    assert_eq!(page.matches("<article").count(), 2);
    assert_eq!(page.matches("<figure").count(), page.matches("role=\"img\"").count());
    assert!(page.matches("<figure").count() >= 4, "{page}");
    // Whatever is opened is closed.
    for tag in ["svg", "section", "article", "details", "figure", "pre", "ul", "li", "rect", "text"] {
        let opened = page.matches(&format!("<{tag} ")).count() + page.matches(&format!("<{tag}>")).count();
        assert_eq!(opened, page.matches(&format!("</{tag}>")).count(), "{tag}");
    }
}
