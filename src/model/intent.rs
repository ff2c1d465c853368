//! Who set a leaf: the author, or the API server's defaulting (semantics 4). After defaulting the bytes are the same, so three witnesses are asked:
//! `managedFields`, `kubectl apply`'s annotation, and our own record.

use super::{
    Container, Kind, Kinds, Leaf, Metadata, Probe, ProbeKind, Record, Workload,
    managed::{HookFields, Ownership, ProbeFields, ownerships},
    strings::unescaped,
};

/// Who a leaf's value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// Somebody wrote it: it stays.
    Set,
    /// The author left it out; the value is the API server's default.
    Omitted,
    /// We filled it in earlier; it counts as omitted and is computed anew.
    Ours,
    /// Nothing tells (Helm 3, `kubectl create`, client libraries): the value equals the API default.
    Unknown,
}

/// What is known about the authorship of one object's leaves.
#[derive(Debug)]
pub enum Witnesses<'w> {
    /// A file: what is absent was omitted.
    File,
    /// An object in an admission review.
    Live(Box<LiveWitnesses<'w>>),
}

/// The witnesses of an object that came through the API server.
#[derive(Debug)]
pub struct LiveWitnesses<'w> {
    record: &'w Record,
    applied: Vec<Ownership<'w>>,
    updated: Vec<Ownership<'w>>,
    last_applied: Option<Workload<'w>>,
    /// On UPDATE: the object as it was, and what its author had written.
    old: Option<OldWitnesses<'w>>,
    /// The API server fills nothing in (custom kinds): what stands there, somebody wrote.
    as_written: bool,
}

#[derive(Debug)]
struct OldWitnesses<'w> {
    workload: &'w Workload<'w>,
    last_applied: Option<Workload<'w>>,
    same_last_applied: bool,
}

/// Texts that witnesses borrow from: kept by the caller, because annotations are JSON inside a JSON string and must be unescaped first.
#[derive(Debug, Default)]
pub struct WitnessTexts {
    last_applied: Option<String>,
    old_last_applied: Option<String>,
}

impl WitnessTexts {
    /// Unescapes the last-applied annotations of the new and the old object.
    pub fn of(new: &Workload<'_>, old: Option<&Workload<'_>>) -> Self {
        Self { last_applied: unescape(&new.metadata), old_last_applied: old.and_then(|old| unescape(&old.metadata)) }
    }
}

fn unescape(metadata: &Metadata<'_>) -> Option<String> {
    let raw = metadata.annotations.as_ref()?.last_applied?;
    unescaped(raw.get())
}

impl<'w> Witnesses<'w> {
    /// Reads the witnesses of an object in an admission review. Whatever cannot be read is no witness.
    pub fn live(new: &'w Workload<'w>, old: Option<&'w Workload<'w>>, texts: &'w WitnessTexts) -> Self {
        let pod = new.custom.as_ref().map(|_| new.pod_spec_pointer());
        let (applied, updated) = new.metadata.managed_fields.map(|raw| ownerships(raw, pod)).unwrap_or_default();
        let kinds = Kinds::like(new);
        let author_file = |json| Workload::read(json, &kinds).ok().flatten();
        Self::Live(Box::new(LiveWitnesses {
            as_written: new.kind == Kind::Custom,
            record: &new.filled,
            applied,
            updated,
            last_applied: texts.last_applied.as_deref().and_then(author_file),
            old: old.map(|workload| OldWitnesses {
                workload,
                last_applied: texts.old_last_applied.as_deref().and_then(author_file),
                same_last_applied: texts.last_applied == texts.old_last_applied,
            }),
        }))
    }

    /// What the record says of a leaf that was edited by hand since. It must stay recorded: once another patch had dropped it, an edit back to the API
    /// default would look like an omission.
    pub fn edited_by_hand(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Option<i64> {
        match self {
            Self::File => None,
            Self::Live(live) => live.edited(container, kind, leaf),
        }
    }

    /// Who set a leaf of a container's probe.
    pub fn author(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Author {
        let value = container.probe(kind).and_then(|probe| probe.leaf(leaf));
        match self {
            Self::File => value.map_or(Author::Omitted, |_| Author::Set),
            Self::Live(live) => live.author(container, kind, leaf),
        }
    }
}

/// Where something comes from that may be ours as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// It is the author's, or not there.
    Author,
    /// We added it, and nobody has touched it since.
    Ours,
    /// The author has written it where ours stood, and the two were merged: these places in it are still ours (semantics H3).
    Mixed(Vec<&'static str>),
}

impl Witnesses<'_> {
    /// Whose a container's startup probe is.
    pub fn startup(&self, container: &Container<'_>) -> Origin {
        match self {
            Self::File => Origin::Author,
            Self::Live(live) => live.startup(container).unwrap_or(Origin::Author),
        }
    }

    /// Whose a container's preStop hook is.
    pub fn pre_stop(&self, container: &Container<'_>) -> Origin {
        match self {
            Self::File => Origin::Author,
            Self::Live(live) => live.pre_stop(container).unwrap_or(Origin::Author),
        }
    }
}

/// Fields of a handler that the author may leave out, so that ours would stay behind.
const OPTIONAL: [&str; 6] =
    ["httpGet/path", "httpGet/scheme", "httpGet/host", "httpGet/httpHeaders", "tcpSocket/host", "grpc/service"];

impl LiveWitnesses<'_> {
    /// `None`: the author's.
    fn startup(&self, container: &Container<'_>) -> Option<Origin> {
        let name = &*container.name;
        let probe = container.startup_probe.as_ref()?;
        if !self.record.added_startup(name) || self.applied.iter().any(|owner| owner.all) {
            return None;
        }
        let in_file = self.last_applied.as_ref().and_then(|file| file.container(name)?.startup_probe.as_ref());
        let appliers: Vec<&ProbeFields> = self.applied.iter().filter_map(|owner| owner.probe(name, ProbeKind::Startup)).collect();
        if in_file.is_some() || !appliers.is_empty() {
            let writes =
                |place: &str| in_file.is_some_and(|file| has(file, place)) || appliers.iter().any(|fields| fields.owns(place));
            return mixed(probe, writes);
        }
        let old = self.old.as_ref().and_then(|old| old.workload.container(name)?.startup_probe.as_ref());
        let numbers_are_ours = Leaf::ALL.into_iter().all(|leaf| {
            let recorded = self.record.get(name, ProbeKind::Startup, leaf);
            recorded.or(leaf.api_default()) == probe.defaulted(leaf)
        });
        let copied = container.liveness_probe.iter().chain(old).any(|source| source.has_handlers_of(probe));
        if numbers_are_ours && copied {
            return Some(Origin::Ours);
        }
        // No witness, but a second handler beside the one that was there: that one was ours.
        match (old.and_then(|old| old.handler()), probe.handler_fields().count()) {
            (Some(ours), 2) => mixed(probe, |place| !place.starts_with(ours.field())),
            _ => None,
        }
    }

    fn pre_stop(&self, container: &Container<'_>) -> Option<Origin> {
        let name = &*container.name;
        let hook = container.lifecycle.as_ref()?.pre_stop.as_ref()?;
        let recorded = self.record.pre_stop_sleep(name)?;
        if hook.sleep.as_ref()?.seconds != Some(recorded) {
            return None;
        }
        let file = self.last_applied.as_ref().and_then(|file| file.container(name)?.lifecycle.as_ref()?.pre_stop.as_ref());
        let appliers: Vec<&HookFields> = self.applied.iter().filter_map(|owner| owner.pre_stop(name)).collect();
        if file.is_some_and(|file| file.sleep.is_some())
            || self.applied.iter().any(|owner| owner.all)
            || appliers.iter().any(|fields| fields.sleep.is_some())
        {
            return None;
        }
        let others = hook.exec.is_some() || hook.http_get.is_some() || hook.tcp_socket.is_some();
        Some(if others { Origin::Mixed(vec!["sleep"]) } else { Origin::Ours })
    }

    /// The recorded value of a leaf that holds another one now and that no author's file names: somebody edited it by hand.
    fn edited(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Option<i64> {
        let name = &*container.name;
        let recorded = self.record.get(name, kind, leaf)?;
        let value = container.probe(kind)?.defaulted(leaf);
        let named = self.applied.iter().any(|owner| owner.owns_leaf(name, kind, leaf))
            || self.last_applied.as_ref().is_some_and(|file| writes(file, name, kind, leaf));
        (value != Some(recorded) && !named).then_some(recorded)
    }

    fn author(&self, container: &Container<'_>, kind: ProbeKind, leaf: Leaf) -> Author {
        let Some(probe) = container.probe(kind) else { return Author::Set };
        let name = &*container.name;
        let value = probe.defaulted(leaf);
        let owns = |owners: &[Ownership<'_>]| owners.iter().any(|owner| owner.owns_leaf(name, kind, leaf));
        let applied = owns(&self.applied);
        let in_file = self.last_applied.as_ref().is_some_and(|file| writes(file, name, kind, leaf));
        let recorded = self.record.get(name, kind, leaf);

        if recorded.is_some() && recorded == value && !applied && !in_file {
            return Author::Ours;
        }
        if self.as_written {
            return if probe.leaf(leaf).is_some() { Author::Set } else { Author::Omitted };
        }
        if value != leaf.api_default() {
            return Author::Set;
        }
        if self.applied.iter().any(|owner| owner.owns_probe(name, kind)) {
            return if applied || owns(&self.updated) { Author::Set } else { Author::Omitted };
        }
        if self.last_applied.is_none() {
            return Author::Unknown;
        }
        if in_file {
            return Author::Set;
        }
        if let Some(old) = &self.old {
            if old.last_applied.as_ref().is_some_and(|file| writes(file, name, kind, leaf)) {
                return Author::Omitted; // just taken out of the file
            }
            let before = old.workload.container(name).and_then(|container| container.probe(kind));
            match before.map(|probe| probe.defaulted(leaf)) {
                Some(before) if old.same_last_applied && before != value => return Author::Set, // edited by hand
                None if old.same_last_applied => return Author::Unknown, // the whole probe was added by hand
                _ => {}
            }
            if recorded.is_some() {
                return Author::Set; // edited by hand some time after we filled it in
            }
        }
        Author::Omitted
    }
}

/// What of a probe is left of ours, once the author writes a startup probe: `None` where all is the author's.
fn mixed(probe: &Probe<'_>, writes: impl Fn(&str) -> bool) -> Option<Origin> {
    let handlers: Vec<&'static str> = probe.handler_fields().collect();
    let mut ours: Vec<&'static str> = handlers.iter().copied().filter(|handler| !writes(handler)).collect();
    if ours.len() == handlers.len() {
        return None; // the author's would be none at all
    }
    let stays = |place: &&str| !ours.iter().any(|handler| place.starts_with(handler));
    let behind: Vec<&'static str> =
        OPTIONAL.into_iter().filter(stays).filter(|place| has(probe, place) && !writes(place)).collect();
    ours.extend(behind);
    (!ours.is_empty()).then_some(Origin::Mixed(ours))
}

/// Whether a place of a handler holds something other than the API server's default.
fn has(probe: &Probe<'_>, place: &str) -> bool {
    let other = |text: Option<&str>, default: &str| text.is_some_and(|text| !text.is_empty() && text != default);
    let (http, tcp, grpc) = (probe.http_get.as_ref(), probe.tcp_socket.as_ref(), probe.grpc.as_ref());
    match place {
        "httpGet/path" => other(http.and_then(|http| http.path.as_deref()), "/"),
        "httpGet/scheme" => other(http.and_then(|http| http.scheme.as_deref()), "HTTP"),
        "httpGet/host" => other(http.and_then(|http| http.host.as_deref()), ""),
        "httpGet/httpHeaders" => http.is_some_and(|http| !http.http_headers.is_empty()),
        "tcpSocket/host" => other(tcp.and_then(|tcp| tcp.host.as_deref()), ""),
        "grpc/service" => other(grpc.and_then(|grpc| grpc.service.as_deref()), ""),
        handler => probe.handler_fields().any(|field| field == handler),
    }
}

fn writes(file: &Workload<'_>, container: &str, kind: ProbeKind, leaf: Leaf) -> bool {
    file.container(container).and_then(|container| container.probe(kind)).is_some_and(|probe| probe.leaf(leaf).is_some())
}
