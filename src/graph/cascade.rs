//! What follows when a workload is down, and where readiness waits for itself.

use std::collections::VecDeque;

use super::{Edge, Graph};
use crate::model::ProbeKind;

/// A workload that goes down with another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fallen {
    /// Index of its node.
    pub node: usize,
    /// How many questions lie between: 1 asks the one that is down.
    pub step: usize,
    /// What becomes of it.
    pub fall: Fall,
}

/// What becomes of a workload whose probe gets no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fall {
    /// Its Services send it nothing.
    Unready,
    /// Its containers are restarted, again and again, and are not ready meanwhile.
    Restarted,
}

impl Graph {
    /// Who falls when all of these nodes are down, by steps. A question to a Service with pods of several workloads gets its answer while one of them
    /// stands. A startup probe asks only at the start, so nobody who runs falls by it.
    pub fn cascade(&self, down: &[usize]) -> Vec<Fallen> {
        let mut step_of: Vec<Option<usize>> = vec![None; self.nodes.len()];
        for node in down {
            if let Some(step) = step_of.get_mut(*node) {
                *step = Some(0);
            }
        }
        let is_down = |node: usize, step_of: &[Option<usize>], edge: &Edge| match step_of.get(node) {
            // Whoever is only unready still answers where unready pods are asked.
            Some(Some(step)) => *step == 0 || edge.needs_ready,
            _ => false,
        };
        let mut all = Vec::new();
        for step in 1..=self.nodes.len() {
            let mut fallen: Vec<Fallen> = Vec::new();
            for edge in self.edges.iter().filter(|edge| edge.ask.probe != ProbeKind::Startup) {
                let stands = step_of.get(edge.from).is_some_and(Option::is_none);
                if !stands || !edge.to.iter().all(|to| is_down(*to, &step_of, edge)) {
                    continue;
                }
                let fall = if edge.ask.probe == ProbeKind::Readiness { Fall::Unready } else { Fall::Restarted };
                fallen.push(Fallen { node: edge.from, step, fall });
            }
            if fallen.is_empty() {
                break;
            }
            for Fallen { node, .. } in &fallen {
                if let Some(place) = step_of.get_mut(*node) {
                    *place = Some(step);
                }
            }
            // Of two probes of one workload, the one that does more.
            fallen.sort_unstable_by_key(|fallen| (fallen.node, std::cmp::Reverse(fallen.fall)));
            fallen.dedup_by_key(|fallen| fallen.node);
            all.extend(fallen);
        }
        all
    }

    /// Everyone whose loss takes others with it, with those others: the longest list first.
    pub fn cascades(&self) -> Vec<(usize, Vec<Fallen>)> {
        let mut asked: Vec<usize> = self.edges.iter().flat_map(|edge| edge.to.iter().copied()).collect();
        asked.sort_unstable();
        asked.dedup();
        let mut cascades: Vec<_> =
            asked.into_iter().map(|node| (node, self.cascade(&[node]))).filter(|(_, fallen)| !fallen.is_empty()).collect();
        cascades.sort_by_key(|(_, fallen)| std::cmp::Reverse(fallen.len()));
        cascades
    }
}

/// From whom to whom unreadiness is certain to spread: readiness that asks the pods of one other workload.
pub(super) fn spreads(graph: &Graph) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); graph.nodes.len()];
    for edge in &graph.edges {
        if let ([to], ProbeKind::Readiness, true) = (&*edge.to, edge.ask.probe, edge.needs_ready)
            && *to != edge.from
            && let Some(list) = next.get_mut(edge.from)
        {
            list.push(*to);
        }
    }
    next
}

/// For each node the number of the circle it is part of: strongly connected components of more than one node (Tarjan, without recursion).
pub(super) fn circles(next: &[Vec<usize>]) -> Vec<Option<usize>> {
    const UNSEEN: usize = usize::MAX;
    let count = next.len();
    let (mut index, mut low, mut on_stack) = (vec![UNSEEN; count], vec![UNSEEN; count], vec![false; count]);
    let (mut stack, mut clock, mut circles, mut number) = (Vec::new(), 0, vec![None; count], 0);
    for root in 0..count {
        if index[root] != UNSEEN {
            continue;
        }
        // A node and how many of its neighbours were seen to.
        let mut calls = vec![(root, 0)];
        while let Some((node, done)) = calls.pop() {
            if done == 0 {
                index[node] = clock;
                low[node] = clock;
                clock += 1;
                stack.push(node);
                on_stack[node] = true;
            } else {
                let child = next[node][done - 1];
                low[node] = low[node].min(low[child]);
            }
            let mut at = done;
            let mut deeper = None;
            while let Some(&neighbour) = next[node].get(at) {
                at += 1;
                if index[neighbour] == UNSEEN {
                    deeper = Some(neighbour);
                    break;
                }
                if on_stack[neighbour] {
                    low[node] = low[node].min(index[neighbour]);
                }
            }
            if let Some(neighbour) = deeper {
                calls.push((node, at));
                calls.push((neighbour, 0));
                continue;
            }
            if low[node] == index[node] {
                let from = stack.iter().rposition(|member| *member == node).unwrap_or_default();
                let members = stack.split_off(from);
                for member in &members {
                    on_stack[*member] = false;
                    circles[*member] = (members.len() > 1).then_some(number);
                }
                number += 1;
            }
        }
    }
    circles
}

/// The shortest way along spreading edges, both ends included without the last: `from`, ..., the one before `to`. Both must be in one circle.
pub(super) fn way(graph: &Graph, from: usize, to: usize) -> Option<Vec<usize>> {
    let circle = (*graph.circles.get(from)?)?;
    if graph.circles.get(to) != Some(&Some(circle)) {
        return None;
    }
    let next = &graph.spreads;
    let mut before: Vec<Option<usize>> = vec![None; next.len()];
    let mut queue = VecDeque::from([from]);
    while let Some(node) = queue.pop_front() {
        for neighbour in next.get(node)? {
            if *neighbour == to {
                let mut way = vec![node];
                let mut at = node;
                while at != from {
                    at = (*before.get(at)?)?;
                    way.push(at);
                }
                way.reverse();
                return Some(way);
            }
            let place = before.get_mut(*neighbour)?;
            if place.is_none() && *neighbour != from {
                *place = Some(node);
                queue.push_back(*neighbour);
            }
        }
    }
    None
}

/// The shortest way round from a node of a circle back to it.
pub(super) fn round(graph: &Graph, node: usize) -> Option<Vec<usize>> {
    way(graph, node, node)
}
