//! A graph in the forms that people and programs read.

mod dot;
mod json;
mod layout;
mod svg;
mod text;

pub use dot::dot;
pub use json::json;
pub use svg::svg;
pub use text::text;

use super::{Fall, Fallen, Graph};

/// `a -> b -> a`, or `a -> its own Service`.
fn round(graph: &Graph, cycle: &[usize], arrow: &str) -> String {
    match cycle {
        [one] => format!("{} asks its own Service", graph.name(*one)),
        several => several.iter().chain(several.first()).map(|node| graph.name(*node)).collect::<Vec<_>>().join(arrow),
    }
}

/// The fallen of one kind and step, by name.
fn names<'g>(graph: &'g Graph, fallen: &[Fallen], fall: Fall, step: usize) -> Vec<&'g str> {
    fallen.iter().filter(|fallen| fallen.fall == fall && fallen.step == step).map(|fallen| graph.name(fallen.node)).collect()
}

/// Nodes that ask or are asked: the rest has nothing to draw.
fn connected(graph: &Graph) -> Vec<usize> {
    let mut nodes: Vec<usize> = graph.edges().iter().flat_map(|edge| edge.to.iter().copied().chain([edge.from])).collect();
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Control characters would move the cursor or break a line; in names of objects they are a mistake anyway.
fn printable(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}
