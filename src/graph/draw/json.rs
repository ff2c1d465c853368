//! The graph for programs. Field names and order are an interface: additions only.

use serde::Serialize;

use crate::graph::{Fall, Graph, Node};

/// Counts up when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// One JSON document that ends with a line break: `nodes`, and `edges`, `cycles` and `cascades` that name them by their `id`.
pub fn json(graph: &Graph) -> Result<String, serde_json::Error> {
    let document = Document {
        version: VERSION,
        nodes: graph.nodes().iter().enumerate().map(|(id, node)| Vertex::of(id, node)).collect(),
        edges: graph
            .edges()
            .iter()
            .map(|edge| Arrow {
                from: edge.from,
                to: &edge.to,
                probe: edge.ask.probe.field(),
                container: &edge.ask.container,
                question: &edge.ask.question,
                cycle: graph.is_circular(edge),
            })
            .collect(),
        cycles: graph.cycles(),
        cascades: graph
            .cascades()
            .into_iter()
            .map(|(down, fallen)| Cascade {
                down,
                fallen: fallen
                    .iter()
                    .map(|fallen| Fell {
                        id: fallen.node,
                        step: fallen.step,
                        fall: match fallen.fall {
                            Fall::Unready => "unready",
                            Fall::Restarted => "restarted",
                        },
                    })
                    .collect(),
            })
            .collect(),
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

#[derive(Serialize)]
struct Document<'g> {
    version: u32,
    nodes: Vec<Vertex<'g>>,
    edges: Vec<Arrow<'g>>,
    cycles: Vec<Vec<usize>>,
    cascades: Vec<Cascade>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Vertex<'g> {
    Workload {
        id: usize,
        kind: &'g str,
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<&'g str>,
        name: &'g str,
    },
    Outside {
        id: usize,
        host: &'g str,
    },
}

impl<'g> Vertex<'g> {
    fn of(id: usize, node: &'g Node) -> Self {
        match node {
            Node::Workload { namespace, name, kind } => Self::Workload { id, kind, namespace: namespace.as_deref(), name },
            Node::Outside { host } => Self::Outside { id, host },
        }
    }
}

#[derive(Serialize)]
struct Arrow<'g> {
    from: usize,
    to: &'g [usize],
    probe: &'g str,
    container: &'g str,
    question: &'g str,
    cycle: bool,
}

#[derive(Serialize)]
struct Cascade {
    down: usize,
    fallen: Vec<Fell>,
}

#[derive(Serialize)]
struct Fell {
    id: usize,
    step: usize,
    fall: &'static str,
}
