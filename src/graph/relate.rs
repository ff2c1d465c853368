//! Facts to relations.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use super::asks::{plain_host, service_name};
use super::{Ask, Budget, Fact, Ingress, Member, Service, TargetPort, cascade};
use crate::model::ProbeKind;

/// Objects of a set, related to each other.
#[derive(Debug, Default)]
pub struct Graph {
    pub(super) members: Vec<Member>,
    services: Vec<Service>,
    budgets: Vec<Budget>,
    ingresses: Vec<Ingress>,
    /// Members by namespace and label.
    labelled: HashMap<Label, Vec<usize>>,
    /// Services by namespace and name.
    named: HashMap<Name, Vec<usize>>,
    /// For each member, the Services and budgets that select it.
    services_of: Vec<Vec<usize>>,
    budgets_of: Vec<Vec<usize>>,
    /// For each Service, the nodes that stand behind it.
    providers: Vec<Vec<usize>>,
    pub(super) nodes: Vec<Node>,
    names: Vec<Box<str>>,
    /// The node of each member; none for one that another workload made.
    node_of: Vec<Option<usize>>,
    pub(super) edges: Vec<Edge>,
    /// For each node, the edges that ask it.
    pub(super) edges_to: Vec<Vec<usize>>,
    /// For each node, whose unreadiness is certain to become its own.
    pub(super) spreads: Vec<Vec<usize>>,
    /// For each node, the circle of readiness probes that it is part of.
    pub(super) circles: Vec<Option<usize>>,
}

/// Namespace and name.
type Name = (Option<Box<str>>, Box<str>);

/// Namespace, key and value.
type Label = (Option<Box<str>>, Box<str>, Box<str>);

/// Who asks or is asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A workload of the set. Several files of one kind, namespace and name are one.
    Workload {
        /// Absent where the file leaves it to the command line.
        namespace: Option<Box<str>>,
        /// Its name.
        name: Box<str>,
        /// As in a manifest.
        kind: Cow<'static, str>,
    },
    /// A host that no workload of the set stands behind.
    Outside {
        /// As the probe has it.
        host: Box<str>,
    },
}

/// A probe that asks another workload or host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// Index of the node that asks.
    pub from: usize,
    /// Indices of the nodes that may answer: several where a Service selects pods of several workloads. Never empty.
    pub to: Vec<usize>,
    /// What is asked.
    pub ask: Ask,
    /// Whether an answer needs the other to be ready, not only to run: false where its Service lists pods that are not ready and the question is
    /// not about readiness.
    pub needs_ready: bool,
}

impl Graph {
    /// Relates facts to each other. Their order decides the order of everything that comes out.
    pub fn new(facts: impl IntoIterator<Item = Fact>) -> Self {
        let mut graph = Self::default();
        for fact in facts {
            match fact {
                Fact::Member(member) => graph.members.push(member),
                Fact::Service(service) => graph.services.push(service),
                Fact::Budget(budget) => graph.budgets.push(budget),
                Fact::Ingress(ingress) => graph.ingresses.push(ingress),
            }
        }
        graph.number_nodes();
        graph.index();
        graph.select();
        graph.draw_edges();
        graph.name_nodes();
        graph.edges_to = vec![Vec::new(); graph.nodes.len()];
        for (at, edge) in graph.edges.iter().enumerate() {
            for to in &edge.to {
                if let Some(list) = graph.edges_to.get_mut(*to) {
                    list.push(at);
                }
            }
        }
        graph.spreads = cascade::spreads(&graph);
        graph.circles = cascade::circles(&graph.spreads);
        graph
    }

    /// What stands around a member, by its place among the members that went in.
    pub fn around(&self, member: usize) -> Option<Around<'_>> {
        (member < self.members.len()).then_some(Around { graph: self, member })
    }

    /// Everyone who asks or could be asked, workloads first.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Who asks whom, in the order of workloads, containers and probes.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The edges of a node.
    pub fn edges_from(&self, node: usize) -> impl Iterator<Item = &Edge> {
        self.edges.iter().filter(move |edge| edge.from == node)
    }

    /// `namespace/name`, with the kind where another workload has the same name, or the host.
    pub fn name(&self, node: usize) -> &str {
        self.names.get(node).map_or("", |name| name)
    }

    fn name_nodes(&mut self) {
        let name = |node: &Node| match node {
            Node::Workload { namespace: Some(namespace), name, .. } => format!("{namespace}/{name}"),
            Node::Workload { namespace: None, name, .. } => name.to_string(),
            Node::Outside { host } => host.to_string(),
        };
        let mut bearers: HashMap<String, usize> = HashMap::new();
        for node in &self.nodes {
            *bearers.entry(name(node)).or_default() += 1;
        }
        self.names = self
            .nodes
            .iter()
            .map(|node| match (name(node), node) {
                (name, Node::Workload { kind, .. }) if bearers.get(&name).is_some_and(|bearers| *bearers > 1) => {
                    format!("{name} ({kind})").into()
                }
                (name, _) => name.into(),
            })
            .collect();
    }

    fn number_nodes(&mut self) {
        let mut known: HashMap<Node, usize> = HashMap::new();
        for member in &self.members {
            if member.owned {
                self.node_of.push(None);
                continue;
            }
            let node =
                Node::Workload { namespace: member.namespace.clone(), name: member.name.clone(), kind: member.kind.clone() };
            let next = self.nodes.len();
            let number = *known.entry(node).or_insert_with_key(|node| {
                self.nodes.push(node.clone());
                next
            });
            self.node_of.push(Some(number));
        }
    }

    fn index(&mut self) {
        for (at, member) in self.members.iter().enumerate() {
            for (key, value) in &member.labels {
                let label = (member.namespace.clone(), key.clone(), value.clone());
                self.labelled.entry(label).or_default().push(at);
            }
        }
        for (at, service) in self.services.iter().enumerate() {
            self.named.entry((service.namespace.clone(), service.name.clone())).or_default().push(at);
        }
    }

    /// Members of a namespace with all these labels, in order. The rarest label is asked first: a set may hold thousands of objects.
    fn having(&self, namespace: Option<&str>, labels: &[(Box<str>, Box<str>)]) -> Vec<usize> {
        let lists: Option<Vec<&Vec<usize>>> = labels
            .iter()
            .map(|(key, value)| self.labelled.get(&(namespace.map(Into::into), key.clone(), value.clone())))
            .collect();
        let rarest = lists.and_then(|lists| lists.into_iter().min_by_key(|list| list.len()));
        let mut found: Vec<usize> = rarest.into_iter().flatten().copied().collect();
        found.dedup();
        found.retain(|at| {
            self.members.get(*at).is_some_and(|member| labels.iter().all(|(key, value)| member.label(key) == Some(value)))
        });
        found
    }

    fn select(&mut self) {
        self.services_of = vec![Vec::new(); self.members.len()];
        self.budgets_of = vec![Vec::new(); self.members.len()];
        for (at, service) in self.services.iter().enumerate() {
            let selected = self.having(service.namespace.as_deref(), &service.selector);
            for member in &selected {
                if let Some(services) = self.services_of.get_mut(*member) {
                    services.push(at);
                }
            }
            let providers: BTreeSet<usize> = selected.iter().filter_map(|member| *self.node_of.get(*member)?).collect();
            self.providers.push(providers.into_iter().collect());
        }
        for (at, budget) in self.budgets.iter().enumerate() {
            let candidates = if budget.selector.labels.is_empty() {
                (0..self.members.len())
                    .filter(|at| self.members.get(*at).is_some_and(|m| m.namespace == budget.namespace))
                    .collect()
            } else {
                self.having(budget.namespace.as_deref(), &budget.selector.labels)
            };
            for member in candidates {
                if self.members.get(member).is_some_and(|member| budget.selector.matches(member))
                    && let Some(budgets) = self.budgets_of.get_mut(member)
                {
                    budgets.push(at);
                }
            }
        }
    }

    /// Places of the Services that a host means from within a namespace.
    fn services_named(&self, host: &str, namespace: Option<&str>) -> &[usize] {
        service_name(host, namespace)
            .and_then(|(name, namespace)| self.named.get(&(namespace.map(Into::into), name.into())))
            .map_or(&[], Vec::as_slice)
    }

    fn draw_edges(&mut self) {
        let mut edges = Vec::new();
        let mut outside: HashMap<Box<str>, usize> = HashMap::new();
        let mut added = Vec::new();
        let mut known = HashSet::new();
        for (member, from) in self.members.iter().zip(&self.node_of) {
            let Some(from) = *from else { continue };
            for ask in &member.asks {
                let services = self.services_named(&ask.host, member.namespace.as_deref());
                let mut to: Vec<usize> = services.iter().filter_map(|at| self.providers.get(*at)).flatten().copied().collect();
                to.sort_unstable();
                to.dedup();
                let unready_too = !services.is_empty()
                    && services.iter().all(|at| self.services.get(*at).is_some_and(|service| service.publishes_unready));
                let inside = !to.is_empty();
                if !inside {
                    let next = self.nodes.len() + added.len();
                    to.push(*outside.entry(ask.host.clone()).or_insert_with_key(|host| {
                        added.push(Node::Outside { host: host.clone() });
                        next
                    }));
                }
                // The same workload in two files asks the same twice.
                if known.insert((from, ask)) {
                    edges.push(Edge { from, to, ask: ask.clone(), needs_ready: ask.of_readiness || !unready_too });
                }
            }
        }
        self.nodes.extend(added);
        self.edges = edges;
    }
}

/// A set of objects as one of its workloads sees it.
#[derive(Debug, Clone, Copy)]
pub struct Around<'g> {
    graph: &'g Graph,
    member: usize,
}

/// The workloads of the set that a host leads to.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'g> {
    /// The Service that was named.
    pub service: &'g Service,
    /// Whether the asking workload's own pods are behind it.
    pub own: bool,
    /// Whether an answer needs the other to be ready, not only to run.
    pub needs_ready: bool,
    graph: &'g Graph,
    node: Option<usize>,
    providers: &'g [usize],
}

impl<'g> Around<'g> {
    /// The Services that select its pods.
    pub fn services(self) -> impl Iterator<Item = &'g Service> {
        let services = self.graph.services_of.get(self.member).map_or(&[][..], Vec::as_slice);
        services.iter().filter_map(move |at| self.graph.services.get(*at))
    }

    /// The budgets that cover its pods.
    pub fn budgets(self) -> impl Iterator<Item = &'g Budget> {
        let budgets = self.graph.budgets_of.get(self.member).map_or(&[][..], Vec::as_slice);
        budgets.iter().filter_map(move |at| self.graph.budgets.get(*at))
    }

    /// The first Service through which Google's load balancer controller reaches its pods; it copies their readiness probe.
    pub fn gce_service(self) -> Option<&'g Service> {
        self.services().find(|service| {
            service.has_neg
                || self.graph.ingresses.iter().any(|ingress| {
                    ingress.is_gce && ingress.namespace == service.namespace && ingress.services.contains(&service.name)
                })
        })
    }

    /// Numbers of the pod's ports that a Service sends requests to. A name that several containers declare counts for each of them.
    pub fn targets(self, service: &Service) -> Vec<i64> {
        let Some(member) = self.graph.members.get(self.member) else { return Vec::new() };
        let mut numbers: Vec<i64> = service
            .ports
            .iter()
            .flat_map(|port| match &port.target {
                TargetPort::Number(number) => vec![*number],
                TargetPort::Name(name) => member
                    .ports
                    .iter()
                    .filter(|declared| declared.name.as_ref() == Some(name) && declared.protocol == port.protocol)
                    .map(|declared| declared.number)
                    .collect(),
            })
            .collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// What a Service says is spoken on a port of the pod.
    pub fn app_protocol(self, number: i64) -> Option<&'g str> {
        let member = self.graph.members.get(self.member)?;
        self.services().flat_map(|service| &service.ports).find_map(|port| {
            let here = match &port.target {
                TargetPort::Number(target) => *target == number,
                TargetPort::Name(name) => {
                    member.ports.iter().any(|declared| declared.number == number && declared.name.as_ref() == Some(name))
                }
            };
            if here { port.app_protocol.as_deref() } else { None }
        })
    }

    /// Whom a probe of a container asks.
    pub fn asks(self, container: &str, probe: ProbeKind) -> impl Iterator<Item = &'g Ask> {
        let asks = self.graph.members.get(self.member).map_or(&[][..], |member| member.asks.as_slice());
        asks.iter().filter(move |ask| &*ask.container == container && ask.probe == probe)
    }

    /// Whom a host leads to, if that is in the set. `of_readiness`: what is asked for is the other's readiness.
    pub fn asked(self, host: &str, of_readiness: bool) -> Option<Asked<'g>> {
        let member = self.graph.members.get(self.member)?;
        let services = self.graph.services_named(&plain_host(host), member.namespace.as_deref());
        // Two files may hold the same Service: the first that leads anywhere counts.
        let at = services.iter().copied().find(|at| self.graph.providers.get(*at).is_some_and(|found| !found.is_empty()))?;
        let service = self.graph.services.get(at)?;
        Some(Asked {
            service,
            own: self.graph.services_of.get(self.member).is_some_and(|own| own.contains(&at)),
            graph: self.graph,
            node: self.graph.node_of.get(self.member).copied().flatten(),
            providers: self.graph.providers.get(at).map_or(&[], Vec::as_slice),
            needs_ready: of_readiness || !service.publishes_unready,
        })
    }
}

impl<'g> Asked<'g> {
    /// Names of the workloads behind the Service.
    pub fn names(&self) -> Vec<&'g str> {
        self.providers.iter().map(|node| self.graph.name(*node)).collect()
    }

    /// Names of the workloads that become unready when all of these are down, the asking one first.
    pub fn cascade(&self) -> Vec<&'g str> {
        let mut fallen = self.graph.cascade(self.providers);
        fallen.sort_by_key(|fallen| Some(fallen.node) != self.node);
        fallen.iter().map(|fallen| self.graph.name(fallen.node)).collect()
    }

    /// The shortest circle of readiness probes that begins with this question: the asking workload, whom it asks, and so on, without the asking one
    /// again at its end. A Service with pods of several workloads does not close one: any of them may answer.
    pub fn circle(&self) -> Option<Vec<&'g str>> {
        let (node, [asked]) = (self.node?, self.providers) else { return None };
        if !self.needs_ready || node == *asked {
            return None;
        }
        let way = cascade::way(self.graph, *asked, node)?;
        Some(std::iter::once(node).chain(way).map(|node| self.graph.name(node)).collect())
    }
}

impl Graph {
    /// Whether a node is a workload that the set holds.
    pub fn is_workload(&self, node: usize) -> bool {
        matches!(self.nodes.get(node), Some(Node::Workload { .. }))
    }

    /// The circles of readiness probes, each as the shortest way round from its first node, and workloads whose readiness asks their own Service.
    pub fn cycles(&self) -> Vec<Vec<usize>> {
        let mut cycles = Vec::new();
        let mut seen = BTreeSet::new();
        for (node, circle) in self.circles.iter().enumerate() {
            if self
                .edges
                .iter()
                .any(|edge| edge.from == node && edge.to.contains(&node) && edge.ask.probe == ProbeKind::Readiness)
            {
                cycles.push(vec![node]);
            }
            if let Some(circle) = circle
                && seen.insert(*circle)
                && let Some(way) = cascade::round(self, node)
            {
                cycles.push(way);
            }
        }
        cycles
    }

    /// Whether an edge is part of a circle of readiness probes.
    pub fn is_circular(&self, edge: &Edge) -> bool {
        edge.ask.probe == ProbeKind::Readiness
            && edge.to.iter().any(|to| {
                *to == edge.from
                    || (edge.to.len() == 1
                        && edge.needs_ready
                        && self
                            .circles
                            .get(edge.from)
                            .is_some_and(|circle| circle.is_some() && self.circles.get(*to) == Some(circle)))
            })
    }
}
