//! Where boxes and lines of a drawing go: layers from those who ask, on top, to those who are asked (Sugiyama's method in its simplest form).

use std::collections::HashMap;

use super::connected;
use crate::graph::Graph;

/// Places in pixels.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) boxes: Vec<Placed>,
    /// Points from the bottom of the asking box to the top of the asked one, in the order of the lines that went in.
    pub(super) lines: Vec<Vec<(f64, f64)>>,
}

/// A box by its centre.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    pub(super) node: usize,
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
}

pub(super) const BOX_HEIGHT: f64 = 36.0;
const LAYER_HEIGHT: f64 = 104.0;
const GAP: f64 = 28.0;
const MARGIN: f64 = 24.0;
/// Room for a line that passes a layer.
const BEND_WIDTH: f64 = 16.0;

/// What takes room in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Slot {
    Node(usize),
    /// A line on its way through.
    Bend {
        line: usize,
        layer: usize,
    },
}

/// Lays out the lines `(from, to)`. `width` tells how wide a node's box is.
pub(super) fn lay_out(graph: &Graph, lines: &[(usize, usize)], width: impl Fn(usize) -> f64) -> Layout {
    let nodes = connected(graph);
    let layer_of = layers(&nodes, lines);
    let count = layer_of.values().max().map_or(0, |deepest| deepest + 1);
    let mut rows: Vec<Vec<Slot>> = vec![Vec::new(); count];
    for node in &nodes {
        if let Some(row) = layer_of.get(node).and_then(|layer| rows.get_mut(*layer)) {
            row.push(Slot::Node(*node));
        }
    }
    // Each line as the slots it goes through, top to bottom.
    let mut chains: Vec<Vec<Slot>> = Vec::new();
    for (line, (from, to)) in lines.iter().enumerate() {
        let layer = |node| layer_of.get(node).copied().unwrap_or_default();
        let (top, bottom) = if layer(from) <= layer(to) { (from, to) } else { (to, from) };
        let mut chain = vec![Slot::Node(*top)];
        for between in layer(top) + 1..layer(bottom) {
            let bend = Slot::Bend { line, layer: between };
            chain.push(bend);
            if let Some(row) = rows.get_mut(between) {
                row.push(bend);
            }
        }
        chain.push(Slot::Node(*bottom));
        chains.push(chain);
    }
    order(&mut rows, &chains);
    place(&rows, &chains, lines, &layer_of, &width)
}

/// The layer of each node: below everyone who asks it, as far as circles allow (a line that would close one points up instead).
fn layers(nodes: &[usize], lines: &[(usize, usize)]) -> HashMap<usize, usize> {
    let mut next: HashMap<usize, Vec<usize>> = HashMap::new();
    for (from, to) in lines.iter().filter(|(from, to)| from != to) {
        next.entry(*from).or_default().push(*to);
    }
    // A walk in depth; a line to a node that is still being walked closes a circle.
    let (mut state, mut finished): (HashMap<usize, bool>, Vec<usize>) = (HashMap::new(), Vec::new());
    let mut closing = Vec::new();
    for root in nodes {
        let mut calls = vec![(*root, 0)];
        while let Some((node, done)) = calls.pop() {
            if done == 0 && state.insert(node, true).is_some() {
                continue;
            }
            match next.get(&node).and_then(|next| next.get(done)) {
                Some(to) => {
                    calls.push((node, done + 1));
                    match state.get(to) {
                        None => calls.push((*to, 0)),
                        Some(true) => closing.push((node, *to)),
                        Some(false) => {}
                    }
                }
                None if state.get(&node) == Some(&true) => {
                    state.insert(node, false);
                    finished.push(node);
                }
                None => {}
            }
        }
    }
    let mut layer_of: HashMap<usize, usize> = nodes.iter().map(|node| (*node, 0)).collect();
    for node in finished.iter().rev() {
        let below = layer_of.get(node).map_or(0, |layer| layer + 1);
        for to in next.get(node).into_iter().flatten().filter(|to| !closing.contains(&(*node, **to))) {
            if let Some(layer) = layer_of.get_mut(to) {
                *layer = below.max(*layer);
            }
        }
    }
    layer_of
}

/// Orders each row by the mean place of its neighbours above and below, a few times: fewer lines cross.
fn order(rows: &mut [Vec<Slot>], chains: &[Vec<Slot>]) {
    let mut neighbours: HashMap<Slot, Vec<Slot>> = HashMap::new();
    for pair in chains.iter().flat_map(|chain| chain.windows(2)) {
        if let [a, b] = pair {
            neighbours.entry(*a).or_default().push(*b);
            neighbours.entry(*b).or_default().push(*a);
        }
    }
    for round in 0..8 {
        let places: HashMap<Slot, f64> = rows
            .iter()
            .flat_map(|row| row.iter().enumerate().map(|(at, slot)| (*slot, (number(at) + 0.5) / number(row.len()))))
            .collect();
        // Rows take turns, so that two do not chase each other.
        for row in rows.iter_mut().skip(round % 2).step_by(2) {
            row.sort_by(|a, b| {
                let mean = |slot: &Slot| {
                    let around: Vec<f64> =
                        neighbours.get(slot).into_iter().flatten().filter_map(|slot| places.get(slot).copied()).collect();
                    if around.is_empty() { 0.5 } else { around.iter().sum::<f64>() / number(around.len()) }
                };
                mean(a).total_cmp(&mean(b))
            });
        }
    }
}

fn place(
    rows: &[Vec<Slot>],
    chains: &[Vec<Slot>],
    lines: &[(usize, usize)],
    layer_of: &HashMap<usize, usize>,
    width: impl Fn(usize) -> f64,
) -> Layout {
    let slot_width = |slot: &Slot| match slot {
        Slot::Node(node) => width(*node),
        Slot::Bend { .. } => BEND_WIDTH,
    };
    let row_width = |row: &Vec<Slot>| row.iter().map(slot_width).sum::<f64>() + GAP * number(row.len().saturating_sub(1));
    let widest = rows.iter().map(row_width).fold(0.0, f64::max);
    let mut at: HashMap<Slot, (f64, f64)> = HashMap::new();
    let mut boxes = Vec::new();
    for (layer, row) in rows.iter().enumerate() {
        let mut x = MARGIN + (widest - row_width(row)) / 2.0;
        let y = MARGIN + BOX_HEIGHT / 2.0 + LAYER_HEIGHT * number(layer);
        for slot in row {
            let middle = x + slot_width(slot) / 2.0;
            at.insert(*slot, (middle, y));
            if let Slot::Node(node) = slot {
                boxes.push(Placed { node: *node, x: middle, y, width: slot_width(slot) });
            }
            x += slot_width(slot) + GAP;
        }
    }
    let half = BOX_HEIGHT / 2.0;
    let lines = chains
        .iter()
        .zip(lines)
        .map(|(chain, (from, to))| {
            let layer = |node| layer_of.get(node).copied().unwrap_or_default();
            let upward = layer(from) > layer(to);
            let mut points: Vec<(f64, f64)> = chain.iter().filter_map(|slot| at.get(slot).copied()).collect();
            if upward {
                points.reverse();
            }
            // Lines up keep to the right of those down.
            let side = if upward { 14.0 } else { 0.0 };
            if let Some((x, y)) = points.first_mut() {
                *x += side;
                *y += if upward { -half } else { half };
            }
            if let Some((x, y)) = points.last_mut() {
                *x += side;
                *y += if upward { half } else { -half };
            }
            points
        })
        .collect();
    let height = if rows.is_empty() { 0.0 } else { BOX_HEIGHT + LAYER_HEIGHT * number(rows.len() - 1) };
    Layout { width: widest + 2.0 * MARGIN, height: height + 2.0 * MARGIN, boxes, lines }
}

#[expect(clippy::cast_precision_loss, reason = "counts of boxes")]
fn number(count: usize) -> f64 {
    count as f64
}
