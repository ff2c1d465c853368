//! Every alert fires when it should and at no other time, as promtool sees it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::helm::{Helm, object, objects};
use crate::promtool::{self, Case, Series};

const NAMESPACE: &str = "probekeeper-system";

/// Two replicas that work, for two hours.
const HEALTHY: &[(&str, &str, &str)] = &[
    ("probekeeper_admission_in_flight", "", "0+0x120"),
    ("probekeeper_admission_requests_total", "verdict=\"allowed\"", "0+60x120"),
    ("probekeeper_admission_requests_total", "verdict=\"denied\"", "0+6x120"),
    ("probekeeper_rule_errors_total", "rule=\"exec-shell\"", "0+0x120"),
    ("probekeeper_requests_refused_total", "reason=\"bad_request\"", "0+6x120"),
    ("probekeeper_admission_duration_seconds_bucket", "le=\"0.001\"", "0+66x120"),
    ("probekeeper_admission_duration_seconds_bucket", "le=\"1.0\"", "0+66x120"),
    ("probekeeper_admission_duration_seconds_bucket", "le=\"+Inf\"", "0+66x120"),
    ("probekeeper_policy_stale", "", "0+0x120"),
    ("probekeeper_policy_info", "hash=\"aa\"", "1+0x120"),
    ("probekeeper_policy_read_timestamp_seconds", "", "0+60x120"),
    ("probekeeper_certificate_not_after_seconds", "which=\"leaf\"", "604800+0x120"),
    ("probekeeper_certificate_not_after_seconds", "which=\"ca\"", "31536000+0x120"),
    ("probekeeper_certificate_actions_total", "action=\"look\",result=\"ok\"", "0+1x120"),
    ("probekeeper_tls_handshakes_total", "result=\"ok\"", "0+6x120"),
    ("probekeeper_file_refused", "file=\"client_ca\"", "0+0x120"),
    ("probekeeper_ca_bundle_in_sync", "configuration=\"validating\"", "1+0x120"),
    ("probekeeper_webhook_configuration_present", "configuration=\"validating\"", "1+0x120"),
    ("probekeeper_exemptions_expired", "", "0+0x120"),
];

/// Of others: labels of their own.
const FOREIGN: &[(&str, &str)] = &[
    ("kube_deployment_status_replicas_available{namespace=\"probekeeper-system\",deployment=\"probekeeper\"}", "3+0x120"),
    ("kube_deployment_spec_replicas{namespace=\"probekeeper-system\",deployment=\"probekeeper\"}", "3+0x120"),
];

/// An alert with its labels, and what is different on one replica from the twentieth minute on, as name, labels and values.
const CASES: &[(Firing, Different)] = &[
    (
        &[("ProbekeeperErrors", "severity=\"warning\"")],
        &[("probekeeper_admission_requests_total", "verdict=\"error\"", "_x19 1+1x100")],
    ),
    (
        &[("ProbekeeperRuleErrors", "rule=\"exec-shell\",severity=\"warning\"")],
        &[("probekeeper_rule_errors_total", "rule=\"exec-shell\"", "0+0x49 1+0x70")],
    ),
    (
        &[("ProbekeeperRequestsRefused", "reason=\"deadline\",severity=\"warning\"")],
        &[("probekeeper_requests_refused_total", "reason=\"deadline\"", "_x19 1+1x100")],
    ),
    (
        &[("ProbekeeperSlow", "severity=\"warning\"")],
        &[
            ("probekeeper_admission_duration_seconds_bucket", "le=\"0.001\"", "0+66x19 1320+0x100"),
            ("probekeeper_admission_duration_seconds_bucket", "le=\"1.0\"", "0+66x120"),
        ],
    ),
    (&[("ProbekeeperPolicyStale", "severity=\"warning\"")], &[("probekeeper_policy_stale", "", "0+0x19 1+0x100")]),
    (
        &[("ProbekeeperPoliciesDiffer", "severity=\"warning\"")],
        &[("probekeeper_policy_info", "hash=\"aa\"", "1+0x19"), ("probekeeper_policy_info", "hash=\"bb\"", "_x19 1+0x100")],
    ),
    (
        &[("ProbekeeperCertificateExpires", "severity=\"critical\",which=\"leaf\"")],
        &[("probekeeper_certificate_not_after_seconds", "which=\"leaf\"", "604800+0x19 50000+0x100")],
    ),
    (
        &[("ProbekeeperCertificateStepsFail", "action=\"publish\",severity=\"warning\"")],
        &[("probekeeper_certificate_actions_total", "action=\"publish\",result=\"failed\"", "_x19 1+2x100")],
    ),
    (
        &[("ProbekeeperFileRefused", "file=\"client_ca\",severity=\"warning\"")],
        &[("probekeeper_file_refused", "file=\"client_ca\"", "0+0x19 1+0x100")],
    ),
    (
        &[("ProbekeeperHandshakesFail", "severity=\"warning\"")],
        &[("probekeeper_tls_handshakes_total", "result=\"failed\"", "_x19 1+3x100")],
    ),
    (
        &[("ProbekeeperCaBundleOutOfSync", "configuration=\"validating\",severity=\"critical\"")],
        &[("probekeeper_ca_bundle_in_sync", "configuration=\"validating\"", "1+0x19 0+0x100")],
    ),
    (
        &[("ProbekeeperDisarmed", "configuration=\"validating\",severity=\"info\"")],
        &[("probekeeper_webhook_configuration_present", "configuration=\"validating\"", "1+0x19 0+0x100")],
    ),
    (&[("ProbekeeperExemptionsExpired", "severity=\"info\"")], &[("probekeeper_exemptions_expired", "", "0+0x19 1+0x100")]),
];

/// Series that are not as usual: name, labels and values.
type Different = &'static [(&'static str, &'static str, &'static str)];

/// Alerts and their labels.
type Firing = &'static [(&'static str, &'static str)];

fn rule() -> Value {
    let args = ["--set", "metrics.prometheusRule.enabled=true"];
    object(&objects(&Helm::Four.template(&args)), "PrometheusRule", "probekeeper")
}

/// `name{labels}` as scraped from one replica.
fn of(pod: &str, name: &str, labels: &str) -> String {
    let comma = if labels.is_empty() { "" } else { "," };
    format!("{name}{{namespace=\"{NAMESPACE}\",pod=\"{pod}\"{comma}{labels}}}")
}

fn healthy() -> Series {
    let ours =
        HEALTHY.iter().flat_map(|(name, labels, values)| ["a", "b"].map(|pod| (of(pod, name, labels), (*values).to_owned())));
    ours.chain(FOREIGN.iter().map(|(series, values)| ((*series).to_owned(), (*values).to_owned()))).collect()
}

#[test]
fn promtool_takes_every_rule() {
    promtool::check_rules(&rule());
}

#[test]
fn each_alert_fires_alone_when_its_time_has_come_and_none_while_all_is_well() {
    let rule = rule();
    let mut cases = vec![Case { name: "all is well", series: healthy(), firing: vec![(15, &[]), (90, &[])] }];
    let mut case = |name, firing: Firing, minute, different: &[(String, &str)]| {
        let mut series = healthy();
        series.extend(different.iter().map(|(series, values)| (series.clone(), (*values).to_owned())));
        cases.push(Case { name, series, firing: vec![(15, &[]), (minute, firing)] });
    };
    for (firing, different) in CASES {
        let different: Vec<_> = different.iter().map(|(name, labels, values)| (of("a", name, labels), *values)).collect();
        // The longest that one waits is an hour.
        case(firing[0].0, firing, if firing[0].0 == "ProbekeeperExemptionsExpired" { 85 } else { 65 }, &different);
    }

    let down: &[_] = &[("ProbekeeperDown", "namespace=\"probekeeper-system\",severity=\"critical\"")];
    case("ProbekeeperDown", down, 50, &[]);
    let missing: &[_] =
        &[("ProbekeeperReplicasMissing", "deployment=\"probekeeper\",namespace=\"probekeeper-system\",severity=\"warning\"")];
    case("ProbekeeperReplicasMissing", missing, 65, &[(FOREIGN[0].0.to_owned(), "3+0x19 2+0x100")]);
    // Scraped all the time, but the policy not read: what the replicas show stands still.
    let unread: &[_] = &[("ProbekeeperPolicyUnread", "severity=\"warning\"")];
    let read = |pod| (of(pod, "probekeeper_policy_read_timestamp_seconds", ""), "0+60x19 1140+0x100");
    case("ProbekeeperPolicyUnread", unread, 65, &[read("a"), read("b")]);
    // The API server's counter is not there before the first object that passed: one object alone must be told.
    let open: &[_] = &[("ProbekeeperFailOpen", "name=\"validate.probekeeper.dev\",severity=\"warning\"")];
    let passed = "apiserver_admission_webhook_fail_open_count{name=\"validate.probekeeper.dev\",type=\"validating\"}".to_owned();
    case("ProbekeeperFailOpen", open, 26, &[(passed.clone(), "_x19 1+0x100")]);
    case("ProbekeeperFailOpen, which ends", &[], 50, &[(passed.clone(), "_x19 1+0x100")]);
    case("ProbekeeperFailOpen, again and again", open, 50, &[(passed, "1+0x19 2+1x100")]);
    for case in cases.iter_mut().filter(|case| case.name == "ProbekeeperDown") {
        case.series.retain(|series, _| !series.starts_with("probekeeper_"));
        let ours = healthy().into_iter().filter(|(series, _)| series.starts_with("probekeeper_"));
        case.series.extend(ours.map(|(series, values)| (series, values.replace("x120", "x19"))));
    }
    promtool::assert_firing(&rule, &cases);

    let seen: BTreeSet<&str> =
        cases.iter().flat_map(|case| case.firing.iter().flat_map(|(_, alerts)| alerts.iter().map(|(name, _)| *name))).collect();
    let alerts = rule["spec"]["groups"][0]["rules"].as_array().expect("rules");
    assert_eq!(seen, alerts.iter().map(|rule| rule["alert"].as_str().expect("a name")).collect(), "an alert without a case");
}
