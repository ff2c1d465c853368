//! `--policy` of the program itself: a file that changes, and what keeps it from starting.

use std::path::Path;

use crate::process::{Process, replaced};

const HEAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";

fn info(policy: &str) -> String {
    let policy = probekeeper::policy::load(policy).unwrap();
    format!("probekeeper_policy_info{{hash=\"{}\",profile=\"{}\"}} 1", policy.hash, policy.profile)
}

/// The kubelet replaces a mounted ConfigMap by turning a link to another folder.
fn mount(folder: &Path, version: &str, policy: &str) {
    let target = folder.join(version);
    std::fs::create_dir(&target).unwrap();
    std::fs::write(target.join("policy.yaml"), policy).unwrap();
    std::os::unix::fs::symlink(version, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

#[tokio::test]
async fn a_file_is_followed_and_the_last_good_policy_stays() {
    let folder = tempfile::tempdir().unwrap();
    let strict = format!("{HEAD}profile: strict\n");
    mount(folder.path(), "v1", HEAD);
    let file = folder.path().join("..data/policy.yaml");
    let process = Process::start(folder.path(), &["--policy", &format!("file:{}", file.display())]).await;
    process.counted(&info(HEAD)).await;

    mount(folder.path(), "v2", &strict);
    process.counted(&info(&strict)).await;
    process.counted("probekeeper_policy_stale 0").await;
    mount(folder.path(), "v3", "profile: nonsense\n");
    process.counted("probekeeper_policy_reload_total{result=\"invalid\"} 1").await;
    process.counted("probekeeper_policy_stale 1").await;
    process.counted(&info(&strict)).await;
    std::fs::remove_file(folder.path().join("..data")).unwrap();
    process.counted("probekeeper_policy_reload_total{result=\"missing\"} 1").await;
    process.counted(&info(&strict)).await;
    mount(folder.path(), "v4", HEAD);
    process.counted(&info(HEAD)).await;
    process.counted("probekeeper_policy_stale 0").await;
    process.counted("probekeeper_policy_reload_total{result=\"ok\"} 2").await;
}

#[test]
fn what_is_wrong_with_the_policy_at_start_is_said_and_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let bad = folder.path().join("bad.yaml").display().to_string();
    let large = folder.path().join("large.yaml").display().to_string();
    let none = folder.path().join("none.yaml").display().to_string();
    std::fs::write(&bad, "kind: ProbePolicy\nprofil: strict\n").unwrap();
    std::fs::write(&large, format!("{HEAD}{}", "#\n".repeat(1 << 20))).unwrap();
    for (source, expected) in [
        (
            format!("file:{bad}"),
            format!(
                "{bad}:1:1: `apiVersion` is missing: it must be `probekeeper.dev/v1`\n{bad}:2:1: unknown key `profil`, did you mean `profile`?"
            ),
        ),
        (format!("file:{large}"), format!("cannot read the policy {large}: file too large")),
        (format!("file:{none}"), format!("cannot read the policy {none}: No such file or directory")),
        (
            "configmap:probekeeper/policy".to_owned(),
            "no cluster is configured: run in a pod with a service account, set KUBECONFIG, or write ~/.kube/config".to_owned(),
        ),
        ("configmap:policy".to_owned(), "write it as file:PATH or configmap:NAMESPACE/NAME".to_owned()),
    ] {
        let mut command = replaced(["--policy", &source]);
        command.env("HOME", folder.path()).env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST");
        let output = command.output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(&expected), "`{expected}` in {text}");
    }
}
