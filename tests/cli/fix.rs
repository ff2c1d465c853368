//! `probekeeper fix`

use std::fs;
use std::path::Path;

use insta::assert_snapshot;

use super::{anywhere, folder, run};

const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: { name: web }
spec:
  containers:
    - name: web # the server
      image: web:1
      ports: [ { name: http, containerPort: 80 } ]
      readinessProbe:
        httpGet: { host: localhost, path: ready, port: web }
";

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap()
}

#[test]
fn shows_what_would_change() {
    let folder = folder(&[("a.yaml", POD)]);
    assert_snapshot!(run(folder.path(), &["fix", "a.yaml"], "").all(), @r#"
    --- a/a.yaml
    +++ b/a.yaml
    @@ -7,4 +7,5 @@
           image: web:1
           ports: [ { name: http, containerPort: 80 } ]
           readinessProbe:
    -        httpGet: { host: localhost, path: ready, port: web }
    +        httpGet: { host: localhost, path: /ready, port: web }
    +        timeoutSeconds: 3
    --- stderr
    probekeeper: 1 file would change: 1 value filled in, 1 handler rewritten; 2 findings remain; --unsafe would rewrite 2
    --- exit code 1
    "#);
    assert_snapshot!(run(folder.path(), &["fix", "--diff", "--unsafe", "a.yaml"], "").all(), @r#"
    --- a/a.yaml
    +++ b/a.yaml
    @@ -7,4 +7,5 @@
           image: web:1
           ports: [ { name: http, containerPort: 80 } ]
           readinessProbe:
    -        httpGet: { host: localhost, path: ready, port: web }
    +        httpGet: { path: /ready, port: http }
    +        timeoutSeconds: 3
    --- stderr
    probekeeper: 1 file would change: 1 value filled in, 1 handler rewritten, 2 findings fixed
    --- exit code 1
    "#);
    assert_eq!(read(folder.path(), "a.yaml"), POD);
}

#[test]
fn writes_in_place_and_then_has_nothing_to_do() {
    let folder = folder(&[("a.yaml", POD), ("b.yaml", "a: 1\n")]);
    let written = run(folder.path(), &["fix", "--write", "--unsafe", "."], "");
    assert_eq!((written.code, &*written.stdout), (0, ""), "{}", written.stderr);
    assert_eq!(written.stderr, "probekeeper: 1 file changed: 1 value filled in, 1 handler rewritten, 2 findings fixed\n");
    let fixed = POD.replace("host: localhost, path: ready, port: web }", "path: /ready, port: http }\n        timeoutSeconds: 3");
    assert_eq!(read(folder.path(), "a.yaml"), fixed);
    let again = run(folder.path(), &["fix", "--unsafe", "a.yaml", "b.yaml"], "");
    assert_eq!((again.code, &*again.stdout, &*again.stderr), (0, "", "probekeeper: 0 files would change\n"));
    assert_eq!(run(folder.path(), &["lint", "--fail-on", "warn", "."], "").code, 0);
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn standard_input_goes_to_standard_output() {
    let run = anywhere(&["fix", "--write", "-"], POD);
    assert_eq!((run.code, run.stdout), (0, POD.replace("path: ready", "path: /ready") + "        timeoutSeconds: 3\n"));
    let run = anywhere(&["fix", "-"], POD);
    assert_eq!(run.code, 1);
    assert!(run.stdout.starts_with("--- a/-\n+++ b/-\n@@ "), "{}", run.stdout);
    let run = anywhere(&["fix", "--write", "-"], "a: b: c\n");
    assert_eq!((run.code, &*run.stdout), (2, "a: b: c\n"));
}

#[cfg(unix)]
#[test]
fn permissions_and_links_stay() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let folder = folder(&[("real/a.yaml", POD)]);
    let real = folder.path().join("real/a.yaml");
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink("real/a.yaml", folder.path().join("link.yaml")).unwrap();
    assert_eq!(run(folder.path(), &["fix", "--write", "link.yaml"], "").code, 0);
    assert!(fs::symlink_metadata(folder.path().join("link.yaml")).unwrap().is_symlink());
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert!(read(folder.path(), "real/a.yaml").contains("timeoutSeconds: 3"));
    assert_eq!(fs::read_dir(folder.path().join("real")).unwrap().count(), 1);
}

#[test]
fn a_failure_leaves_its_file_and_no_other() {
    let broken = format!("{POD}---\na: b: c\n");
    let folder = folder(&[("a.yaml", &broken), ("b.yaml", POD)]);
    let run = run(folder.path(), &["fix", "--write", "a.yaml", "b.yaml", "c.yaml"], "");
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("c.yaml: no such file or folder\n"), "{}", run.stderr);
    assert!(run.stderr.contains("a.yaml:12:5: a second"), "{}", run.stderr);
    assert_eq!(read(folder.path(), "a.yaml"), broken);
    assert_ne!(read(folder.path(), "b.yaml"), POD);
}

#[test]
fn templates_have_to_be_rendered() {
    let template = format!("{POD}      {{{{- if .Values.x }}}}\n");
    let folder = folder(&[("a.yaml", &template), ("chart/Chart.yaml", "name: x\n"), ("chart/templates/a.yaml", POD)]);
    let named = run(folder.path(), &["fix", "--write", "a.yaml"], "");
    assert_eq!(named.code, 2);
    assert!(named.stderr.contains("render it first"), "{}", named.stderr);
    let named = run(folder.path(), &["fix", "--write", "chart/templates/a.yaml"], "");
    assert!(named.code == 2 && named.stderr.contains("render it first"), "{}", named.stderr);
    let found = run(folder.path(), &["fix", "--write", "."], "");
    assert_eq!(
        (found.code, &*found.stderr),
        (0, "probekeeper: 0 files changed; skipped 2 templates (fix what they are made from)\n")
    );
    assert_eq!(read(folder.path(), "a.yaml"), template);
    assert_eq!(read(folder.path(), "chart/templates/a.yaml"), POD);
}

#[test]
fn policy_decides_what_is_filled_in() {
    let policy = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\ndefaults: { readinessProbe: { timeoutSeconds: 7 } }\n";
    let folder = folder(&[("a.yaml", POD), ("policy.yaml", policy), ("bad.yaml", "kind: x\n")]);
    let out = run(folder.path(), &["fix", "--policy", "policy.yaml", "a.yaml"], "");
    assert!(out.stdout.contains("+        timeoutSeconds: 7\n"), "{}", out.stdout);
    assert_eq!(run(folder.path(), &["fix", "--policy", "bad.yaml", "a.yaml"], "").code, 2);
    assert_eq!(run(folder.path(), &["fix", "--diff", "--write", "a.yaml"], "").code, 2);
    assert_eq!(run(folder.path(), &["fix"], "").code, 2);
}

const DEPLOYMENT: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: web:1
          ports: [ { name: http, containerPort: 80 } ]
          # whether it hangs
          livenessProbe:
            httpGet:
              path: /alive
              port: http
              httpHeaders: [ { name: Accept, value: \"*/*\" } ]
            timeoutSeconds: 5
        - name: side # no port
          image: side:1
          livenessProbe: { exec: { command: [ test, -f, \"/tmp/a b\" ] } }
        - { name: hook, image: \"hook:1\", ports: [ { containerPort: 81 } ], lifecycle: { postStart: { exec: { command: [ a ] } } } }
";

#[test]
fn whole_probes_and_hooks_are_added_where_the_policy_adds_them() {
    let policy =
        "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\ndefaults: { addStartupProbe: true, addPreStopSleepSeconds: 5 }\n";
    let folder = folder(&[("a.yaml", DEPLOYMENT), ("policy.yaml", policy)]);
    assert_snapshot!(run(folder.path(), &["fix", "--policy", "policy.yaml", "a.yaml"], "").all(), @r#"
    --- a/a.yaml
    +++ b/a.yaml
    @@ -17,7 +17,25 @@
                   port: http
                   httpHeaders: [ { name: Accept, value: "*/*" } ]
                 timeoutSeconds: 5
    +          startupProbe:
    +            httpGet:
    +              httpHeaders: [{ name: Accept, value: "*/*" }]
    +              path: /alive
    +              port: http
    +            timeoutSeconds: 5
    +            periodSeconds: 10
    +            failureThreshold: 4
    +          lifecycle:
    +            preStop:
    +              sleep:
    +                seconds: 5
             - name: side # no port
               image: side:1
    -          livenessProbe: { exec: { command: [ test, -f, "/tmp/a b" ] } }
    -        - { name: hook, image: "hook:1", ports: [ { containerPort: 81 } ], lifecycle: { postStart: { exec: { command: [ a ] } } } }
    +          livenessProbe: { exec: { command: [ test, -f, "/tmp/a b" ] }, timeoutSeconds: 5 }
    +          startupProbe:
    +            exec:
    +              command: [test, "-f", "/tmp/a b"]
    +            timeoutSeconds: 5
    +            periodSeconds: 10
    +            failureThreshold: 4
    +        - { name: hook, image: "hook:1", ports: [ { containerPort: 81 } ], lifecycle: { postStart: { exec: { command: [ a ] } }, preStop: { sleep: { seconds: 5 } } } }
    --- stderr
    probekeeper: 1 file would change: 5 values filled in; 2 findings remain
    --- exit code 1
    "#);
    assert_eq!(run(folder.path(), &["fix", "--policy", "policy.yaml", "--write", "a.yaml"], "").code, 0);
    let again = run(folder.path(), &["fix", "--policy", "policy.yaml", "a.yaml"], "");
    assert_eq!((again.code, &*again.stdout), (0, ""), "{}", again.stderr);
    let lint = run(folder.path(), &["lint", "--policy", "policy.yaml", "--format", "json", "a.yaml"], "");
    let report: serde_json::Value = serde_json::from_str(&lint.stdout).unwrap();
    assert_eq!(report["filled"], serde_json::json!([]));
}

/// A rule that needs the Service of another file counts what is left as `lint` does.
#[test]
fn files_are_judged_beside_each_other() {
    let web = "\
apiVersion: apps/v1
kind: Deployment
metadata: { name: web }
spec:
  selector: { matchLabels: { app: web } }
  template:
    metadata: { labels: { app: web } }
    spec:
      containers:
        - name: web
          image: web:1
          ports: [ { name: http, containerPort: 80 } ]
          readinessProbe: { httpGet: { path: ready, port: http }, timeoutSeconds: 3 }
";
    let service = "apiVersion: v1\nkind: Service\nmetadata: { name: web }\nspec: { selector: { app: web }, ports: [ { port: 80, targetPort: 81 } ] }\n";
    let folder = folder(&[("a.yaml", web), ("service.yaml", service)]);
    let policy = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nprofile: baseline\nrules: { service-port-mismatch: warn }\n";
    std::fs::write(folder.path().join("policy"), policy).unwrap();
    let remains = |paths: &[&str]| {
        let arguments = [&["fix", "--policy", "policy"], paths].concat();
        run(folder.path(), &arguments, "").stderr.split("; ").nth(1).unwrap_or_default().trim_end().to_owned()
    };
    assert_eq!(remains(&["a.yaml"]), "");
    assert_eq!(remains(&["a.yaml", "service.yaml"]), "1 finding remains");
    assert_eq!(remains(&["."]), "1 finding remains");
}
