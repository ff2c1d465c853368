//! What an update excuses, as variables in CEL: nothing that is judged has changed, it is a rollback, or a container only has another name.
//! `engine::findings_before` and `admission::change`.

use super::facts::Variable;
use super::table::same_check;

/// The variables: `unchanged`, `rolled_back`, and `renamed`, a list of the new and the old name of each container that has another.
pub(super) fn variables() -> Vec<Variable> {
    vec![
        // Labels come from the new object, and rules read no other metadata but annotations.
        Variable::new(
            "unchanged",
            "size(variables.objects) > 1 && variables.objects[0].pod == variables.objects[1].pod && variables.objects[0].meta == variables.objects[1].meta &&\n  \
             ['progressDeadlineSeconds', 'minReadySeconds'].all(f, variables.objects[0].object.spec[?f] == variables.objects[1].object.spec[?f])",
        ),
        Variable::new("rolled_back", rolled_back()),
        Variable::new("renamed", renamed()),
    ]
}

/// Whether this is `kubectl rollout undo`, as far as a request shows it: no field manager is named, `kubectl` is new among the managers of the template, and
/// nothing else has changed but annotations.
fn rolled_back() -> String {
    let managers = |at: usize| format!("variables.objects[{at}].object.metadata.?managedFields.orValue([])");
    let same_entry =
        ["manager", "operation", "subresource", "time", "fieldsV1"].map(|field| format!("b.?{field} == e.?{field}")).join(" && ");
    let rest = |of: &str, without: &[&str]| {
        let without: Vec<String> = without.iter().map(|key| format!("'{key}'")).collect();
        format!("p[0]{of}.all(k, k in [{}] || k in p[1]{of} && p[0]{of}[k] == p[1]{of}[k])", without.join(", "))
    };
    format!(
        "size(variables.objects) > 1 && request.kind.kind in ['Deployment', 'StatefulSet', 'DaemonSet'] &&\n  \
         dyn(request.options).?fieldManager.orValue('') == '' &&\n  \
         {new}.exists(e, e.?manager.orValue('') == 'kubectl' && e.?operation.orValue('') == 'Update' && !e.?subresource.hasValue() &&\n    \
           e.?fieldsV1[?'f:spec'][?'f:template'].hasValue() && !{old}.exists(b, {same_entry})) &&\n  \
         [[variables.objects[0].object, variables.objects[1].object], [variables.objects[1].object, variables.objects[0].object]].all(p,\n    \
           {object} &&\n    {metadata} &&\n    {spec})",
        new = managers(0),
        old = managers(1),
        object = rest("", &["metadata", "spec", "status"]),
        metadata = rest(".metadata", &["annotations", "generation", "managedFields", "resourceVersion"]),
        spec = rest(".spec", &["template"]),
    )
}

/// Of each container whose name is new, the one that it was: one whose name is gone, if two of three agree: image, place, probes; the strongest evidence
/// first.
fn renamed() -> String {
    let image = |container: &str| format!("{container}.raw.?image.orValue('')");
    let place = |at: usize, container: &str| {
        let pod = format!("variables.objects[{at}].pod");
        format!("[{pod}.containers.indexOf({container}.raw), {pod}.?initContainers.orValue([]).indexOf({container}.raw)]")
    };
    let words = "['liveness', 'readiness', 'startup']";
    let numbers = ["d", "p", "t", "f", "s"].map(|number| format!("p[0].{number} == p[1].{number}")).join(" && ");
    let grace = |probe: &str| format!("{probe}.raw.?terminationGracePeriodSeconds.orValue(0)");
    let probes = format!(
        "{words}.exists(k, k in n) && {words}.all(k, (k in w) == (k in n) && (!(k in w) || [[w[k], n[k]]].all(p, {numbers} && {} == {} &&\n      {})))",
        grace("p[0]"),
        grace("p[1]"),
        same_check("p[0]", "p[1]", "n.ports")
    );
    format!(
        "size(variables.objects) < 2 ? [] :\n  \
         variables.containers[0].filter(n, !variables.containers[1].exists(w, w.name == n.name)).map(n,\n    \
           [variables.containers[1].filter(w, !variables.containers[0].exists(c, c.name == w.name)).map(w, {{\n      \
             'name': dyn(w.name), 'image': dyn({} == {}), 'place': dyn({} == {}),\n      \
             'probes': dyn({probes})\n    }})]\n    \
           .map(l, l.filter(w, w.image && w.probes) + l.filter(w, w.place && w.probes) + l.filter(w, w.image && w.place))\n    \
           .map(l, {{'new': dyn(n.name), 'old': dyn(size(l) > 0 ? l[0].name : '')}})[0])",
        image("w"),
        image("n"),
        place(1, "w"),
        place(0, "n"),
    )
}
