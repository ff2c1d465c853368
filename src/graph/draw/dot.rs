//! The graph for Graphviz.

use std::fmt::Write as _;

use super::{connected, printable};
use crate::graph::Graph;
use crate::model::ProbeKind;

/// A digraph of everyone who asks or is asked.
pub fn dot(graph: &Graph) -> String {
    let mut out = "digraph probes {\n  rankdir=TB\n  node [shape=box, style=rounded, fontname=\"sans-serif\"]\n  edge [fontname=\"sans-serif\", fontsize=10]\n".to_owned();
    for node in connected(graph) {
        let style = if graph.is_workload(node) { "" } else { ", style=dashed" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "  n{node} [label={}{style}]", quoted(graph.name(node)));
    }
    for edge in graph.edges() {
        for to in &edge.to {
            let mut attributes = format!("label={}, tooltip={}", quoted(edge.ask.probe.word()), quoted(&edge.ask.question));
            if edge.ask.probe != ProbeKind::Readiness {
                attributes += ", style=dashed";
            }
            if graph.is_circular(edge) {
                attributes += ", color=red, fontcolor=red";
            }
            let _ = writeln!(out, "  n{} -> n{to} [{attributes}]", edge.from);
        }
    }
    out += "}\n";
    out
}

/// A double-quoted ID, in which only the quote and, for labels, the backslash mean anything.
fn quoted(text: &str) -> String {
    format!("\"{}\"", printable(text).replace('\\', "\\\\").replace('"', "\\\""))
}
