//! `POST /policy`: a ConfigMap that holds a policy is judged before it is stored, so that `kubectl apply` says what is wrong with it.
//!
//! Only what would put a bad policy in the place of another is denied. Repair, deletion and every change beside the policy pass, also while what is
//! stored is invalid.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::civil::Date;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::handler::{Fault, bad_request, checked, guarded};
use super::response::{Response, Status};
use super::review::{Raw, Request};
use super::{Answer, Outcome};
use crate::model::{Json, explain};
use crate::policy::{ConfigMapName, Exemption, KEY, MOST_BYTES, OnInternalError, PolicyErrors, load, without_key};

/// A denial shows at most this many errors, each cut at so many characters: who has repaired eight asks again.
const ERRORS_SHOWN: usize = 8;
const ERROR_CHARS: usize = 400;
/// A line of the policy that is shown below an error is cut here.
const LINE_CHARS: usize = 100;

/// The part of a ConfigMap that is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
    #[serde(default)]
    #[allow(clippy::zero_sized_map_values)] // only the keys matter, and serde reads a map into a map
    binary_data: Option<BTreeMap<String, IgnoredAny>>,
}

impl ConfigMap {
    fn read(raw: Json<'_>) -> Result<Self, Fault> {
        serde_json::from_str(raw.get()).map_err(|error| Fault(format!("the ConfigMap cannot be read: {}", explain(&error))))
    }

    fn policy(&self) -> Option<&str> {
        self.data.as_ref()?.get(KEY).map(String::as_str)
    }
}

/// Answers one review. `ours` is the ConfigMap that this process follows; without one, any that has the key is judged.
pub(super) fn answer(ours: Option<&ConfigMapName>, on_internal_error: OnInternalError, today: Date, body: &[u8]) -> Answer {
    let Ok(text) = std::str::from_utf8(body) else { return bad_request("the body is not UTF-8") };
    let review: Raw<'_> = match serde_json::from_str(text) {
        Ok(review) => review,
        Err(error) => return bad_request(&format!("the body is not an AdmissionReview: {}", explain(&error))),
    };
    let request = match checked(review.api_version.as_deref(), review.kind.as_deref(), review.request) {
        Ok(request) => request,
        Err(problem) => return bad_request(problem),
    };
    guarded(on_internal_error, &request, |outcome| judge(ours, &request, today, outcome))
}

fn judge(
    ours: Option<&ConfigMapName>,
    request: &Request<'_, Json<'_>>,
    today: Date,
    outcome: &mut Outcome,
) -> Result<Response<'static>, Fault> {
    let name = ConfigMapName {
        namespace: request.namespace.as_deref().unwrap_or_default().to_owned(),
        name: request.name.as_deref().unwrap_or_default().to_owned(),
    };
    if ours.is_some_and(|ours| *ours != name) || request.sub_resource.as_deref().is_some_and(|part| !part.is_empty()) {
        return Ok(Response::allow(""));
    }
    let raw = match request.operation.as_deref() {
        Some("CREATE" | "UPDATE") => request.object.ok_or_else(|| Fault("the review has no object".to_owned()))?,
        Some("DELETE") => {
            if ours.is_none() {
                return Ok(Response::allow(""));
            }
            outcome.kind = "ConfigMap".into();
            outcome.verdict = "warned";
            let warning =
                "the policy stays in force where it is loaded, but no replica that starts anew gets ready without this ConfigMap";
            return Ok(Response::allow("").warn(vec![warning.to_owned()]));
        }
        _ => return Ok(Response::allow("")),
    };
    let new = ConfigMap::read(raw)?;
    if new.kind.as_deref() != Some("ConfigMap") {
        return Ok(Response::allow(""));
    }
    let problem = match new.policy() {
        None if ours.is_none() => return Ok(Response::allow("")),
        None => Problem::NoKey(without_key(keys(new.data.as_ref()), keys(new.binary_data.as_ref()))),
        Some(text) if text.len() > MOST_BYTES => Problem::TooLarge(text.len()),
        Some(text) => match load(text) {
            Ok(policy) => {
                outcome.kind = "ConfigMap".into();
                let warnings: Vec<String> = policy.ended_exemptions(today).map(Exemption::ending).collect();
                if !warnings.is_empty() {
                    outcome.verdict = "warned";
                }
                return Ok(Response::allow("").warn(warnings));
            }
            Err(errors) => Problem::Invalid(errors, text),
        },
    };
    outcome.kind = "ConfigMap".into();
    // What was invalid before does not get worse by a label; and finalizers, owners and controllers must be able to do their work on it.
    if let Some(old) = request.old_object
        && ConfigMap::read(old)?.policy() == new.policy()
    {
        outcome.verdict = "warned";
        return Ok(Response::allow("").warn(vec![format!("not in force: {} (not denied: it was there before)", problem.first())]));
    }
    outcome.verdict = "denied";
    let mut response = Response::allow("");
    response.allowed = false;
    response.status = Some(Status::forbidden(problem.describe(&name)));
    Ok(response)
}

fn keys<V>(map: Option<&BTreeMap<String, V>>) -> impl Iterator<Item = &str> {
    map.into_iter().flat_map(BTreeMap::keys).map(String::as_str)
}

/// Why a ConfigMap is not accepted.
enum Problem<'a> {
    NoKey(String),
    /// In bytes.
    TooLarge(usize),
    Invalid(PolicyErrors, &'a str),
}

impl Problem<'_> {
    /// In one line.
    fn first(&self) -> String {
        match self {
            Self::NoKey(why) => why.clone(),
            Self::TooLarge(bytes) => format!("`{KEY}` has {bytes} bytes; at most {MOST_BYTES} are read"),
            Self::Invalid(PolicyErrors(errors), _) => errors.first().map_or_else(String::new, |error| format!("{KEY}:{error}")),
        }
    }

    fn describe(&self, name: &ConfigMapName) -> String {
        let mut text = match self {
            Self::NoKey(_) | Self::TooLarge(_) => format!("ConfigMap \"{name}\" holds no policy: {}\n", self.first()),
            Self::Invalid(PolicyErrors(errors), policy) => {
                let plural = if errors.len() == 1 { "error" } else { "errors" };
                let mut text =
                    format!("ConfigMap \"{name}\" has {} {plural} in {KEY} (lines count from its first):\n", errors.len());
                for error in errors.iter().take(ERRORS_SHOWN) {
                    let _ = writeln!(text, "\n{}", cut(&error.to_string(), ERROR_CHARS));
                    if let Some(line) = policy.lines().nth(error.line.saturating_sub(1)).filter(|line| !line.trim().is_empty()) {
                        let _ = writeln!(text, "  {} | {}", error.line, cut(line.trim_end(), LINE_CHARS));
                    }
                }
                if let Some(more) = errors.len().checked_sub(ERRORS_SHOWN).filter(|more| *more > 0) {
                    let _ = writeln!(text, "\nand {more} more");
                }
                text
            }
        };
        text.push_str(
            "\nNothing was changed: the policy in force stays. Check a file before you apply it: probekeeper policy check FILE",
        );
        text
    }
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}…", text.get(..end).unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const GOOD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\n";
    const BAD: &str = "apiVersion: probekeeper.dev/v1\nkind: ProbePolicy\nrules:\n  agressive-liveness: deny\nprofile: strickt\n";

    const TODAY: Date = Date::constant(2026, 11, 25);

    fn ours() -> ConfigMapName {
        ConfigMapName { namespace: "pk".to_owned(), name: "policy".to_owned() }
    }

    fn config_map(data: &Value) -> Value {
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "policy" }, "data": data })
    }

    /// Verdict, and the denial's message or the warnings.
    fn ask(ours: Option<&ConfigMapName>, operation: &str, name: &str, object: &Value, old: &Value) -> (&'static str, String) {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u", "operation": operation, "namespace": "pk", "name": name, "object": object, "oldObject": old },
        });
        let answer = answer(ours, OnInternalError::Allow, TODAY, review.to_string().as_bytes());
        assert_eq!(answer.status, 200);
        let response = serde_json::from_slice::<Value>(&answer.body).unwrap()["response"].clone();
        assert_eq!(response["uid"], "u");
        assert_eq!(response["allowed"], json!(answer.outcome.verdict != "denied"));
        if answer.outcome.verdict == "denied" {
            assert_eq!((&response["status"]["code"], &response["status"]["reason"]), (&json!(403), &json!("Forbidden")));
        }
        let said = response["status"]["message"].as_str().or_else(|| response["warnings"][0].as_str()).unwrap_or_default();
        (answer.outcome.verdict, said.to_owned())
    }

    #[test]
    fn an_invalid_policy_is_denied_with_all_its_errors() {
        let (verdict, message) =
            ask(Some(&ours()), "CREATE", "policy", &config_map(&json!({ "policy.yaml": BAD })), &Value::Null);
        assert_eq!(verdict, "denied");
        insta::assert_snapshot!(message, @r#"
        ConfigMap "pk/policy" has 2 errors in policy.yaml (lines count from its first):

        4:3: rules: unknown rule `agressive-liveness`, did you mean `aggressive-liveness`?
          4 |   agressive-liveness: deny

        5:10: profile: unknown value `strickt`, did you mean `strict`?
          5 | profile: strickt

        Nothing was changed: the policy in force stays. Check a file before you apply it: probekeeper policy check FILE
        "#);
        let many: String = (0..30).fold(String::new(), |text, n| text + "key" + &n.to_string() + ": " + &"x".repeat(3000) + "\n");
        let (_, message) = ask(Some(&ours()), "UPDATE", "policy", &config_map(&json!({ "policy.yaml": many })), &Value::Null);
        assert!(message.contains("\nand 24 more\n"), "{message}");
        assert!(message.len() < 6000, "{}", message.len());
    }

    #[test]
    fn what_is_denied_and_what_passes() {
        let ours = ours();
        let with = |text: &str| config_map(&json!({ "policy.yaml": text }));
        let (good, bad, none) = (with(GOOD), with(BAD), config_map(&json!({ "policy.yml": GOOD })));
        let labelled = |object: &Value| {
            let mut object = object.clone();
            object["metadata"]["labels"] = json!({ "a": "b" });
            object
        };
        let null = Value::Null;
        for (operation, object, old, expected) in [
            ("CREATE", &good, &null, "allowed"),
            ("CREATE", &bad, &null, "denied"),
            ("CREATE", &none, &null, "denied"),
            ("CREATE", &with(""), &null, "denied"),
            ("CREATE", &with(&"#".repeat(MOST_BYTES + 1)), &null, "denied"),
            ("UPDATE", &good, &bad, "allowed"),
            ("UPDATE", &good, &none, "allowed"),
            ("UPDATE", &bad, &good, "denied"),
            ("UPDATE", &none, &good, "denied"),
            ("UPDATE", &with("profile: 1\n"), &bad, "denied"),
            ("UPDATE", &labelled(&bad), &bad, "warned"),
            ("UPDATE", &labelled(&none), &none, "warned"),
            ("DELETE", &null, &bad, "warned"),
            ("DELETE", &null, &good, "warned"),
            ("CONNECT", &null, &null, "allowed"),
            // Our own faults are no denial.
            ("CREATE", &null, &null, "error"),
            ("CREATE", &json!({ "kind": "ConfigMap", "data": 5 }), &null, "error"),
            ("UPDATE", &good, &json!({ "kind": "ConfigMap", "data": 5 }), "allowed"),
            ("UPDATE", &bad, &json!({ "kind": "ConfigMap", "data": 5 }), "error"),
            ("CREATE", &json!({ "kind": "Secret", "data": { "policy.yaml": BAD } }), &null, "allowed"),
        ] {
            assert_eq!(ask(Some(&ours), operation, "policy", object, old).0, expected, "{operation} {object} {old}");
            // Somebody else's ConfigMap.
            assert_eq!(ask(Some(&ours), operation, "other", object, old).0, "allowed", "{operation} {object} {old}");
        }
        assert_eq!(
            ask(Some(&ours), "CREATE", "policy", &none, &null).1.lines().next(),
            Some("ConfigMap \"pk/policy\" holds no policy: there is no key `policy.yaml`; rename `policy.yml` to it")
        );
        assert_eq!(
            ask(Some(&ours), "UPDATE", "policy", &labelled(&bad), &bad).1,
            "not in force: policy.yaml:4:3: rules: unknown rule `agressive-liveness`, did you mean `aggressive-liveness`? (not denied: it was there before)"
        );
        let ended = format!(
            "{GOOD}exemptions:\n  - {{ match: {{ namespaces: [legacy] }}, rules: [missing-readiness], reason: moves away, until: 2026-11-24 }}\n"
        );
        assert_eq!(
            ask(Some(&ours), "CREATE", "policy", &with(&ended), &null),
            ("warned", "exemptions[0] ended after 2026-11-24 and no longer applies: moves away".to_owned())
        );
        assert_eq!(ask(Some(&ours), "CREATE", "policy", &with(&ended.replace("24 }", "25 }")), &null).0, "allowed");
        // A process that follows no ConfigMap judges whatever has the key.
        for (operation, object, expected) in
            [("CREATE", &bad, "denied"), ("CREATE", &good, "allowed"), ("CREATE", &none, "allowed"), ("DELETE", &null, "allowed")]
        {
            assert_eq!(ask(None, operation, "any", object, &null).0, expected);
        }
    }

    #[test]
    fn a_fault_obeys_the_policy_and_a_body_that_is_no_review_is_refused() {
        let review = json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": { "uid": "u", "operation": "CREATE", "namespace": "pk", "name": "policy" },
        });
        assert_eq!(answer(Some(&ours()), OnInternalError::Fail, TODAY, review.to_string().as_bytes()).status, 500);
        for body in ["", "{}", r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{}}"#] {
            assert_eq!(answer(None, OnInternalError::Allow, TODAY, body.as_bytes()).status, 400, "{body}");
        }
        assert_eq!(answer(None, OnInternalError::Allow, TODAY, &[0xff]).status, 400);
    }
}
