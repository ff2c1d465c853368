//! The linter and the webhook say the same of the same file: same findings, same values filled in.

use std::{collections::BTreeSet, fs, sync::Arc};

use probekeeper::{
    admission::{Admission, Route},
    lint::{self, Inputs, Judge},
    policy::{PolicyStore, Profile},
    rules::Finding,
};
use proptest::prelude::*;
use serde_json::Value;

use crate::{
    apiserver::{Client, numbers, review, telling_client},
    ask, config,
    generate::{compile, file},
    mutate,
};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_linter_agrees_with_the_webhook(written in file(), client in telling_client(), profile in proptest::sample::select(Profile::ALL.to_vec())) {
        agree(&written, client, profile)?;
    }
}

/// The examples, which people read first.
#[test]
fn the_linter_agrees_with_the_webhook_about_the_examples() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let mut judged = 0;
    let mut folders = vec![std::path::PathBuf::from(root)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            for document in probekeeper::yaml::parse(&fs::read_to_string(&path).unwrap()) {
                let mut json = String::new();
                document.root.unwrap().to_json(&mut json);
                let written: Value = serde_json::from_str(&json).unwrap();
                if written["kind"] != "Deployment" {
                    continue;
                }
                for profile in Profile::ALL {
                    agree(&written, Client::Apply, profile).unwrap();
                }
                judged += 1;
            }
        }
    }
    assert!(judged > 8, "only {judged} examples");
}

fn agree(written: &Value, client: Client, profile: Profile) -> Result<(), TestCaseError> {
    let choices = probekeeper::policy::Choices { profile, ..Default::default() };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.json");
    fs::write(&path, written.to_string()).unwrap();
    let report = lint::run(Inputs::collect([&path]), &Judge::new(compile(&choices), true));

    let admission = Admission::new(Arc::new(PolicyStore::new(compile(&choices))));
    let sent = client.create(written);
    let (stored, _) = mutate(&admission, &review("CREATE", &sent, None));
    let stored = crate::apiserver::defaulted(&stored);
    let answer = admission.answer(Route::Validate, review("CREATE", &stored, None).to_string().as_bytes());
    // A file that the API server could not even read, or would refuse as incomplete, is no workload for the linter.
    if answer.outcome.error.is_some() || !report.errors.is_empty() || report.summary.workloads == 0 {
        return Ok(());
    }
    let linted: Vec<(&str, &str)> = report.findings.iter().map(|found| rule_and_action(&found.finding)).collect();
    let webhook: BTreeSet<(&str, &str)> = answer.outcome.findings.iter().copied().collect();
    prop_assert_eq!(
        linted.len(),
        answer.outcome.findings.len(),
        "{:?} and {:?} about {}",
        &linted,
        &answer.outcome.findings,
        written
    );
    prop_assert_eq!(linted.into_iter().collect::<BTreeSet<_>>(), webhook, "{}", written);

    let before: BTreeSet<(String, i64)> = numbers(&sent).into_iter().collect();
    let filled: BTreeSet<(String, i64)> = numbers(&stored).into_iter().filter(|number| !before.contains(number)).collect();
    let shown: BTreeSet<(String, i64)> = report.filled.iter().map(|filled| (filled.pointer.clone(), filled.value)).collect();
    prop_assert_eq!(shown, filled, "{}", written);
    // The webhook's own answer keeps its contract.
    ask(&admission, Route::Validate, review("CREATE", &stored, None).to_string().as_bytes());
    Ok(())
}

fn rule_and_action(finding: &Finding) -> (&'static str, &'static str) {
    (finding.rule.id, finding.action.name())
}
