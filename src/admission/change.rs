//! What an UPDATE changes.

use serde::Deserialize;

use super::handler::Fault;
use crate::{
    engine::{Past, findings_before},
    model::{Entry, Json, Kind, Kinds, Read, Reader, Text, Workload, at_pointer, entries},
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
        managers(object).iter().any(|entry| is_kubectls_own(entry) && !before.contains(entry))
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

/// Whether kubectl, called by no other name, set something of the template.
fn is_kubectls_own(entry: &Entry<'_>) -> bool {
    entry.manager.as_deref() == Some("kubectl")
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.is_none()
        && entry.fields_v1.is_some_and(|fields| at_pointer(fields.get(), "/f:spec/f:template").is_some())
}

fn managers(object: Json<'_>) -> Vec<Entry<'_>> {
    at_pointer(object.get(), "/metadata/managedFields").map(entries).unwrap_or_default()
}

/// A member of an object: the key of the mapping that it is in, its own key, and its text.
type Member<'o> = (&'o str, Text<'o>, &'o str);

/// The object without its template, its annotations and what the API server keeps in it. The API server serialises both objects the same way, so the
/// texts of what is left tell whether it is the same.
fn rest<'o>(object: Json<'o>, template: &'o str) -> Option<Vec<Member<'o>>> {
    let mut rest = Vec::new();
    Reader::whole(object.get(), |reader| leave(reader, "", template.split('/').skip(1), &mut rest)).ok()?;
    rest.sort_unstable();
    Some(rest)
}

/// Takes what is left of the mapping `within`; `template` leads from there to the template.
fn leave<'o>(reader: &mut Reader<'o>, within: &'o str, mut template: Split<'o>, rest: &mut Vec<Member<'o>>) -> Read<()> {
    let next = template.next();
    reader.entries(|reader, key| match (within, &*key) {
        ("", "status") | ("metadata", "annotations" | "generation" | "managedFields" | "resourceVersion") => reader.skip(),
        ("", "metadata") => leave(reader, "metadata", "".split('/').skip(1), rest),
        (_, token) => match next.filter(|next| *next == token) {
            // The template itself.
            Some(_) if template.clone().next().is_none() => reader.skip(),
            Some(next) => leave(reader, next, template.clone(), rest),
            None => {
                reader.room_for::<Member<'_>>()?;
                rest.push((within, key, reader.raw()?.get()));
                Ok(())
            }
        },
    })
}

type Split<'o> = std::iter::Skip<std::str::Split<'o, char>>;
