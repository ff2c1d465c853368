//! What an UPDATE changes.

use serde::Deserialize;
use serde_json::Value;

use super::handler::Fault;
use crate::{
    engine::{Past, findings_before},
    model::{Json, Kind, Kinds, Text, Workload, at_pointer},
    policy::Policy,
    rules::Finding,
};

/// The change of an object. The object as it was is decoded only when an answer needs it.
pub(super) struct Change<'a> {
    /// The object's own bytes.
    pub(super) object: &'a dyn Fn() -> Result<Json<'a>, Fault>,
    pub(super) old: Option<Json<'a>>,
    /// `options` of the request.
    pub(super) options: Option<Json<'a>>,
    /// The object as it is now.
    pub(super) workload: &'a Workload<'a>,
    pub(super) kinds: &'a Kinds,
}

impl<'a> Change<'a> {
    /// The object as it was; `Ok(None)` where it had no template: a custom kind may come to its template later.
    pub(super) fn before(&self) -> Result<Option<Workload<'a>>, Fault> {
        let read = self.old.and_then(|old| Workload::read(old.get(), self.kinds).ok());
        let unreadable = || Fault("the old object cannot be read".to_owned());
        let old = read.ok_or_else(unreadable)?;
        if old.is_some() || self.workload.custom.is_some() { Ok(old) } else { Err(unreadable()) }
    }

    /// What is known of the object's past; `findings` takes up what was wrong with it. Where that cannot be told, an old violation would look new: a fault
    /// of ours, not a reason to deny.
    pub(super) fn past<'f>(&self, policy: &Policy, findings: &'f mut Vec<Finding>) -> Result<Past<'f>, Fault> {
        let object = (self.object)()?;
        let Some(old) = self.before()? else { return Ok(Past::Had(findings)) };
        let around = |workload: &Workload<'_>| (workload.progress_deadline, workload.min_ready);
        if self.keeps_template(object) && around(&old) == around(self.workload) {
            return Ok(Past::Unchanged);
        }
        *findings =
            findings_before(policy, old, self.workload).map_err(|rule| Fault(format!("rule {rule} failed on the old object")))?;
        Ok(if self.rolls_back(object) { Past::RolledBack(findings) } else { Past::Had(findings) })
    }

    /// Whether the pod template is the same. The API server serialises both the same way, so the bytes tell.
    pub(super) fn keeps_template(&self, object: Json<'_>) -> bool {
        let pointer = self.workload.template_pointer();
        at_pointer(object.get(), pointer) == self.old.and_then(|old| at_pointer(old.get(), pointer))
    }

    /// Whether this is `kubectl rollout undo`, as far as a request shows it: it is kubectl's only change of a template that names no field manager, so that the
    /// API server calls its manager by the program's name, `kubectl`; and it changes nothing but the template and the annotations. Every other command of
    /// kubectl names itself (`kubectl-patch`, `kubectl-edit`, ...), also with `--field-manager=kubectl`, and other programs have other names.
    pub(super) fn rolls_back(&self, object: Json<'_>) -> bool {
        let undone = matches!(self.workload.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet);
        let Some(old) = self.old.filter(|_| undone && self.names_no_manager()) else { return false };
        let (before, template) = (managers(old), self.workload.template_pointer());
        managers(object).iter().any(|entry| entry.is_kubectls_own() && !before.contains(entry))
            && rest(object, template).is_some_and(|new| Some(new) == rest(old, template))
    }

    fn names_no_manager(&self) -> bool {
        let options: Option<Options<'_>> = self.options.and_then(|options| serde_json::from_str(options.get()).ok());
        options.is_some_and(|options| options.field_manager.is_none_or(|manager| manager.is_empty()))
    }
}

/// What is read of `options`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options<'a> {
    #[serde(borrow, default)]
    field_manager: Option<Text<'a>>,
}

/// What is read of an entry of `managedFields`.
#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, default)]
    manager: Option<Text<'a>>,
    #[serde(borrow, default)]
    operation: Option<Text<'a>>,
    #[serde(borrow, default)]
    subresource: Option<Text<'a>>,
    #[serde(borrow, default)]
    time: Option<Text<'a>>,
    #[serde(default, rename = "fieldsV1")]
    fields: Value,
}

impl Entry<'_> {
    /// Whether kubectl, called by no other name, set something of the template.
    fn is_kubectls_own(&self) -> bool {
        self.manager.as_deref() == Some("kubectl")
            && self.operation.as_deref() == Some("Update")
            && self.subresource.is_none()
            && self.fields.pointer("/f:spec/f:template").is_some()
    }
}

fn managers(object: Json<'_>) -> Vec<Entry<'_>> {
    let entries = at_pointer(object.get(), "/metadata/managedFields");
    entries.and_then(|entries| serde_json::from_str(entries).ok()).unwrap_or_default()
}

/// The object without its template, its annotations and what the API server keeps in it.
fn rest(object: Json<'_>, template: &str) -> Option<Value> {
    let mut object: Value = serde_json::from_str(object.get()).ok()?;
    *object.pointer_mut(template)? = Value::Null;
    let metadata = object.get_mut("metadata")?.as_object_mut()?;
    for kept in ["annotations", "generation", "managedFields", "resourceVersion"] {
        metadata.remove(kept);
    }
    object.as_object_mut()?.remove("status");
    Some(object)
}
