//! One request: bytes to verdict to bytes. Pure and synchronous: nothing here waits for anything.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use jiff::civil::Date;

use super::{
    Answer, Outcome, Route,
    change::Change,
    config_map,
    response::{self, AuditAnnotations, Response},
    review::{API_VERSION, Decoded, KIND, NoObject, Raw, Request},
};
use crate::{
    clock,
    engine::{Past, decide, defaults, evaluate_briefly, patch},
    model::{Annotations, Json, Object, Owner, WitnessTexts, Witnesses, Workload, bounded, explain},
    policy::{Action, ConfigMapName, OnInternalError, OwnedObjects, Policy, PolicyStore},
};

/// Judges AdmissionReviews by the policy in force.
#[derive(Debug)]
pub struct Admission {
    store: Arc<PolicyStore>,
    today: fn() -> Date,
    /// The ConfigMap that the policy comes from.
    policy_in: Option<ConfigMapName>,
}

impl Admission {
    /// Judges by what the store holds at the moment of each request.
    pub fn new(store: Arc<PolicyStore>) -> Self {
        Self::at(store, clock::today)
    }

    /// As [`Admission::new`], with another clock: it gives the date in UTC.
    pub fn at(store: Arc<PolicyStore>, today: fn() -> Date) -> Self {
        Self { store, today, policy_in: None }
    }

    /// The same, with the ConfigMap that the policy comes from: on [`Route::Policy`] it alone is judged.
    #[must_use]
    pub fn with_policy_in(self, policy_in: ConfigMapName) -> Self {
        Self { policy_in: Some(policy_in), ..self }
    }

    /// Answers one request. Every input gets an answer: what cannot be read as a review 400, a fault of ours what policy says of it, and 503
    /// as long as there is no policy.
    pub fn answer(&self, route: Route, body: &[u8]) -> Answer {
        let policy = self.store.load();
        if route == Route::Policy {
            // This one must work without a policy in force: it is how one gets there.
            let on_internal_error = policy.as_ref().map(|policy| policy.on_internal_error).unwrap_or_default();
            let mut answer = config_map::answer(self.policy_in.as_ref(), on_internal_error, (self.today)(), body);
            answer.outcome.policy = policy.map(|policy| policy.hash.clone()).unwrap_or_default();
            return answer;
        }
        let Some(policy) = policy else { return refused(503, "no policy is loaded yet") };
        let mut answer = answer(&policy, route, body, self.today);
        answer.outcome.policy.clone_from(&policy.hash);
        answer
    }
}

fn answer(policy: &Policy, route: Route, body: &[u8], today: fn() -> Date) -> Answer {
    let Ok(text) = simdutf8::basic::from_utf8(body) else { return bad_request("the body is not UTF-8") };
    let review = match Decoded::read(text) {
        Some(review) => review,
        None => match bounded(text).map_err(serde::de::Error::custom).and_then(|()| serde_json::from_str::<Decoded<'_>>(text)) {
            Ok(review) => review,
            Err(error) => return undecoded(policy, route, text, &error, today),
        },
    };
    let request = match checked(review.api_version.as_deref(), review.kind.as_deref(), review.request) {
        Ok(request) => request,
        Err(problem) => return bad_request(problem),
    };
    let (request, object) = request.split();
    guarded(policy.on_internal_error, &request, |outcome| judge(policy, route, text, &request, object, today, outcome))
}

/// The answer to a review that is one. The rules guard themselves; this guards everything else between two well-formed texts.
pub(super) fn guarded<'r, O>(
    on_internal_error: OnInternalError,
    request: &'r Request<'_, O>,
    judge: impl FnOnce(&mut Outcome) -> Result<Response<'r>, Fault>,
) -> Answer {
    let uid = request.uid.as_deref().unwrap_or_default();
    let mut outcome = Outcome {
        operation: operation_label(request.operation.as_deref()),
        kind: "other".into(),
        verdict: "allowed",
        uid: uid.to_owned(),
        object: object_name(request),
        ..Outcome::default()
    };
    let judged = catch_unwind(AssertUnwindSafe(|| judge(&mut outcome)));
    let result = judged.unwrap_or_else(|_| Err(Fault("probekeeper failed on this object (a bug; please report it)".to_owned())));
    match result {
        Ok(mut response) => {
            response.uid = uid;
            Answer { status: 200, body: response.to_bytes(), outcome }
        }
        Err(Fault(message)) => internal_error(on_internal_error, uid, message, outcome),
    }
}

/// A fault that must not become a denial.
pub(super) struct Fault(pub(super) String);

fn judge<'p>(
    policy: &'p Policy,
    route: Route,
    text: &str,
    request: &Request<'_, NoObject>,
    object: Option<Object<'_>>,
    today: fn() -> Date,
    outcome: &mut Outcome,
) -> Result<Response<'p>, Fault> {
    let Some(create) = judged_operation(request) else { return Ok(Response::allow("")) };
    let Some(object) = object else { return Err(Fault("the review has no object".to_owned())) };
    let (api_version, kind) = (object.api_version.as_deref(), object.kind.as_deref());
    let Some(known) = policy.kinds.find(api_version.unwrap_or_default(), kind.unwrap_or_default()) else {
        return Ok(Response::allow(""));
    };
    let workload = if known.is_in_view() {
        Workload::from_object(object, known, &policy.kinds)
    } else {
        // Its template is where the view does not look: the object's own text has it.
        let read = raw_object(text, request)?.map(|object| Workload::read(object.get(), &policy.kinds));
        read.transpose().map_err(|error| Fault(format!("the object cannot be read: {error}")))?.flatten()
    };
    let Some(workload) = workload else { return Ok(Response::allow("")) };
    Judgement { policy, text, today, create }.of(route, workload, request, outcome)
}

/// Whether the operation is a CREATE; `None` where it changes no probe: DELETE has no object, CONNECT another one, subresources are not the template.
fn judged_operation<O>(request: &Request<'_, O>) -> Option<bool> {
    if request.sub_resource.as_deref().is_some_and(|subresource| !subresource.is_empty()) {
        return None;
    }
    match request.operation.as_deref() {
        Some("CREATE") => Some(true),
        Some("UPDATE") => Some(false),
        _ => None,
    }
}

/// The object's own bytes.
pub(super) fn raw_object<'t, O>(text: &'t str, request: &Request<'t, O>) -> Result<Option<Json<'t>>, Fault> {
    if request.object_text.is_some() {
        return Ok(request.object_text);
    }
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| Fault(explain(&error)))?;
    Ok(raw.request.and_then(|request| request.object))
}

/// One object being judged.
struct Judgement<'p, 'w> {
    policy: &'p Policy,
    text: &'w str,
    today: fn() -> Date,
    create: bool,
}

impl<'p, 'w> Judgement<'p, 'w> {
    fn of<O>(
        &self,
        route: Route,
        mut workload: Workload<'w>,
        request: &Request<'w, O>,
        outcome: &mut Outcome,
    ) -> Result<Response<'p>, Fault> {
        outcome.kind = match &workload.custom {
            Some(custom) => custom.definition.kind.clone().into(),
            None => workload.kind.name().into(),
        };
        if (workload.kind.only_on_create() && !self.create) || workload.metadata.deletion_timestamp.is_some() {
            return Ok(Response::allow(""));
        }
        // The request always says it; the object of a client that leaves it to the path may not.
        if request.namespace.as_deref().is_some_and(|namespace| !namespace.is_empty()) {
            workload.metadata.namespace.clone_from(&request.namespace);
        }
        let object = || raw_object(self.text, request)?.ok_or_else(|| Fault("the review has no object".to_owned()));
        let change = (!self.create).then_some(Change {
            object: &object,
            old: request.old_object,
            options: request.options,
            workload: &workload,
            kinds: &self.policy.kinds,
        });
        if route == Route::Mutate {
            return mutate(self.policy, &workload, change.as_ref(), &object, outcome);
        }
        validate(self.policy, &workload, change.as_ref(), (self.today)(), outcome)
    }
}

fn validate<'p>(
    policy: &'p Policy,
    workload: &Workload<'_>,
    change: Option<&Change<'_>>,
    today: Date,
    outcome: &mut Outcome,
) -> Result<Response<'p>, Fault> {
    let owned = match (workload.owner(), policy.owned_objects) {
        (Owner::Node, _) | (Owner::Judged, OwnedObjects::Skip) => return Ok(Response::allow("")),
        (Owner::Judged, OwnedObjects::Warn) => true,
        (Owner::Judged, OwnedObjects::Deny) | (Owner::None | Owner::Other, _) => false,
    };
    let evaluation = evaluate_briefly(policy, workload, today);
    outcome.rule_errors = evaluation.rule_errors;
    let would_deny = evaluation.findings.iter().any(|finding| finding.action == Action::Deny);
    let mut before = Vec::new();
    let past = match change {
        _ if owned => Past::Owned,
        // Only where something would be denied does it matter what was there.
        Some(change) if would_deny => change.past(policy, &mut before)?,
        _ => Past::None,
    };
    let verdict = decide(evaluation.findings, past);

    let mut response = Response::allow("");
    response.warnings = response::warnings(&verdict);
    response.audit_annotations = Some(AuditAnnotations {
        policy: &policy.hash,
        findings: response::audited(&verdict),
        exempted: response::audited_exemptions(&evaluation.exempted),
        filled: String::new(),
        rollback: if matches!(past, Past::RolledBack(_)) { "kubectl rollout undo" } else { "" },
    });
    outcome.exempted = evaluation.exempted.iter().map(|exempted| exempted.finding.rule.id).collect();
    outcome.findings = verdict.judged.iter().map(|judged| (judged.finding.rule.id, judged.finding.action.name())).collect();
    if verdict.denies() {
        response.allowed = false;
        response.status = Some(response::denial(workload, &verdict, policy));
        outcome.verdict = "denied";
    } else if let Some(rule) = outcome.rule_errors.first() {
        return match policy.on_internal_error {
            OnInternalError::Fail => Err(Fault(format!("rule {rule} failed on this object"))),
            OnInternalError::Allow => {
                response.warnings.insert(
                    0,
                    format!("probekeeper: rule {rule} failed on this object and was left out (a bug; please report it)"),
                );
                response.warnings = response::within_budget(response.warnings);
                outcome.verdict = "error";
                Ok(response)
            }
        };
    } else if !response.warnings.is_empty() {
        outcome.verdict = "warned";
    }
    Ok(response)
}

fn mutate<'p, 'o>(
    policy: &'p Policy,
    workload: &Workload<'_>,
    change: Option<&Change<'_>>,
    object: &dyn Fn() -> Result<Json<'o>, Fault>,
    outcome: &mut Outcome,
) -> Result<Response<'p>, Fault> {
    if workload.owner() != Owner::None || workload.declines_defaults() {
        return Ok(Response::allow(""));
    }
    let before = match change.map(Change::before).transpose() {
        Ok(before) => before.flatten(),
        // Without the old object nothing tells whether the template changed.
        Err(_) => return Ok(Response::allow("")),
    };
    let texts = WitnessTexts::of(workload, before.as_ref());
    let witnesses = Witnesses::live(workload, before.as_ref(), &texts);
    let plan = defaults::plan(policy, workload, &witnesses, change.is_none());
    if plan.is_empty() || !workload.has_metadata {
        return Ok(Response::allow(""));
    }
    let object = object()?;
    // Patching an unchanged template would start a rollout for someone else's change of a label (H5).
    // And what a rollback brings back is what ran before: another template would be another revision.
    if change.is_some_and(|change| change.keeps_template(object) || change.rolls_back(object)) {
        return Ok(Response::allow(""));
    }
    let record = plan.record.to_annotation();
    let operations = patch::operations(workload, &plan, &record, object.get())
        .filter(|operations| patch::applies(workload, object.get(), operations));
    let operations = operations.ok_or_else(|| Fault("the values to fill in do not fit this object".to_owned()))?;
    let mut response = Response::allow("");
    response.patch(&patch::to_json(&operations));
    outcome.filled = plan.fields();
    outcome.verdict = "patched";
    response.warnings = response::within_budget(replaced_unknown(workload, &plan).into_iter().collect());
    response.audit_annotations = Some(AuditAnnotations { policy: &policy.hash, filled: record, ..AuditAnnotations::default() });
    Ok(response)
}

/// One warning for the numbers that were replaced although nothing tells whether somebody meant them. What was plainly absent needs none.
fn replaced_unknown(workload: &Workload<'_>, plan: &defaults::Plan) -> Option<String> {
    let mut replaced = plan.fills.iter().filter(|fill| fill.unknown).filter_map(|fill| {
        let container = &workload.containers[fill.container].name;
        Some(format!("{container} {} {} -> {}", fill.field(), fill.present?, fill.value))
    });
    let first = replaced.next()?;
    let all = replaced.fold(first, |all, next| format!("{all}, {next}"));
    Some(format!(
        "probekeeper filled in what looks left out (annotation {}: \"off\" keeps Kubernetes' defaults): {all}",
        Annotations::DEFAULTS
    ))
}

/// A request that can be answered: our version and kind, and a uid.
pub(super) fn checked<'a, O>(
    api_version: Option<&str>,
    kind: Option<&str>,
    request: Option<Request<'a, O>>,
) -> Result<Request<'a, O>, &'static str> {
    if (api_version, kind) != (Some(API_VERSION), Some(KIND)) {
        return Err("the body is not an AdmissionReview of admission.k8s.io/v1");
    }
    let request = request.ok_or("the AdmissionReview has no request")?;
    if request.uid.as_deref().is_none_or(str::is_empty) {
        return Err("the request has no uid");
    }
    Ok(request)
}

/// The one-pass decode failed: if all but the object is a proper review, the object is at fault, and that must not become a denial. The view does not fit
/// every object whose template is elsewhere.
fn undecoded(policy: &Policy, route: Route, text: &str, error: &serde_json::Error, today: fn() -> Date) -> Answer {
    let Ok(review) = serde_json::from_str::<Raw<'_>>(text) else {
        return bad_request(&format!("the body is not an AdmissionReview: {}", explain(error)));
    };
    let request = match checked(review.api_version.as_deref(), review.kind.as_deref(), review.request) {
        Ok(request) => request,
        Err(problem) => return bad_request(problem),
    };
    guarded(policy.on_internal_error, &request, |outcome| {
        let read = request.object.map(|object| Workload::read(object.get(), &policy.kinds));
        match read.transpose().map(Option::flatten) {
            Ok(Some(workload)) => {
                let Some(create) = judged_operation(&request) else { return Ok(Response::allow("")) };
                Judgement { policy, text, today, create }.of(route, workload, &request, outcome)
            }
            // A review in which the object can be read has a fault outside the object's view.
            Ok(None) => Err(Fault(format!("the object cannot be read: {}", explain(error)))),
            Err(place) => Err(Fault(format!("the object cannot be read: {place}"))),
        }
    })
}

/// Our own fault: allowed with a warning, or a bare 500 so that `failurePolicy` decides. Never a denial.
fn internal_error(on_internal_error: OnInternalError, uid: &str, message: String, mut outcome: Outcome) -> Answer {
    outcome.verdict = "error";
    let answer = match on_internal_error {
        OnInternalError::Fail => (500, error_body(&message)),
        OnInternalError::Allow => {
            let mut response = Response::allow(uid);
            response.warnings = response::within_budget(vec![format!("probekeeper did not check this object: {message}")]);
            (200, response.to_bytes())
        }
    };
    outcome.error = Some(message);
    Answer { status: answer.0, body: answer.1, outcome }
}

pub(super) fn bad_request(problem: &str) -> Answer {
    refused(400, problem)
}

fn refused(status: u16, problem: &str) -> Answer {
    let outcome = Outcome {
        operation: "other",
        kind: "other".into(),
        verdict: "error",
        error: Some(problem.to_owned()),
        ..Outcome::default()
    };
    Answer { status, body: error_body(problem), outcome }
}

fn error_body(message: &str) -> Vec<u8> {
    serde_json::json!({ "error": message }).to_string().into_bytes()
}

fn operation_label(operation: Option<&str>) -> &'static str {
    match operation {
        Some("CREATE") => "CREATE",
        Some("UPDATE") => "UPDATE",
        Some("DELETE") => "DELETE",
        Some("CONNECT") => "CONNECT",
        _ => "other",
    }
}

fn object_name<O>(request: &Request<'_, O>) -> String {
    [request.namespace.as_deref().unwrap_or_default(), "/", request.name.as_deref().unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Profile;

    /// Without the old object nothing tells what is new.
    #[test]
    fn an_update_whose_old_object_cannot_be_read_is_not_denied() {
        let probe = r#"{"httpGet":{"port":80},"periodSeconds":1,"timeoutSeconds":1,"failureThreshold":1,"successThreshold":1}"#;
        let object = format!(
            r#"{{"apiVersion":"apps/v1","kind":"Deployment","metadata":{{"name":"web"}},"spec":{{"selector":{{}},"template":{{"spec":{{"containers":[
            {{"name":"web","image":"i","livenessProbe":{probe}}}]}}}}}}}}"#
        );
        let admission = Admission::new(Arc::new(PolicyStore::new(Policy::builtin(Profile::Recommended))));
        for old in ["null", "{}", r#"{"apiVersion":"apps/v1","kind":"Deployment","spec":5}"#, &*object] {
            let review = format!(
                r#"{{"apiVersion":"{API_VERSION}","kind":"{KIND}","request":{{"uid":"u","operation":"UPDATE","object":{object},"oldObject":{old}}}}}"#
            );
            let answer = admission.answer(Route::Validate, review.as_bytes());
            let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((answer.status, &body["response"]["allowed"]), (200, &serde_json::Value::Bool(true)), "{old}: {body}");
            assert!(body["response"]["warnings"][0].is_string(), "{old}: {body}");
        }
        let create = format!(
            r#"{{"apiVersion":"{API_VERSION}","kind":"{KIND}","request":{{"uid":"u","operation":"CREATE","object":{object}}}}}"#
        );
        assert_eq!(admission.answer(Route::Validate, create.as_bytes()).outcome.verdict, "denied");
    }
}
