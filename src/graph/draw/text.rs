//! The graph for people.

use std::fmt::Write as _;

use super::{connected, names, printable, round};
use crate::graph::{Fall, Graph};

/// Who asks whom, the circles, and who falls with whom.
pub fn text(graph: &Graph) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let mut last = None;
    for edge in graph.edges() {
        if last != Some(edge.from) {
            let space = if last.is_some() { "\n" } else { "" };
            let _ = writeln!(out, "{space}{}", printable(graph.name(edge.from)));
            last = Some(edge.from);
        }
        let outside = edge.to.iter().any(|to| !graph.is_workload(*to));
        let to: Vec<_> = edge.to.iter().map(|to| graph.name(*to)).collect();
        let notes = [outside.then_some("not in this set"), graph.is_circular(edge).then_some("cycle")];
        let notes: Vec<_> = notes.into_iter().flatten().collect();
        let notes = if notes.is_empty() { String::new() } else { format!("  [{}]", notes.join(", ")) };
        let line = format!(
            "  {} of container \"{}\" asks {}  {}{notes}",
            edge.ask.probe.word(),
            edge.ask.container,
            to.join(" or "),
            edge.ask.question,
        );
        let _ = writeln!(out, "{}", printable(&line));
    }
    if last.is_some() {
        out.push('\n');
    }
    let cycles = graph.cycles();
    if !cycles.is_empty() {
        out += "Cycles: once all of them are unready, none becomes ready again\n";
        for cycle in &cycles {
            let _ = writeln!(out, "  {}", printable(&round(graph, cycle, " -> ")));
        }
        out.push('\n');
    }
    for (node, fallen) in graph.cascades() {
        let _ = writeln!(out, "If {} is down", printable(graph.name(node)));
        for step in 1..=fallen.last().map_or(0, |last| last.step) {
            for (fall, word) in [(Fall::Unready, "unready"), (Fall::Restarted, "restarted again and again")] {
                let names = names(graph, &fallen, fall, step);
                if !names.is_empty() {
                    let then = if step == 1 { "" } else { "then " };
                    let _ = writeln!(out, "  {then}{word}: {}", printable(&names.join(", ")));
                }
            }
        }
        out.push('\n');
    }
    let workloads = (0..graph.nodes().len()).filter(|node| graph.is_workload(*node)).count();
    let asking = connected(graph).into_iter().filter(|node| graph.edges_from(*node).next().is_some()).count();
    let noun = if workloads == 1 { "workload" } else { "workloads" };
    let circles = match cycles.len() {
        0 => "no cycle".to_owned(),
        1 => "1 cycle".to_owned(),
        more => format!("{more} cycles"),
    };
    let _ = match asking {
        0 => writeln!(out, "{workloads} {noun}: no probe asks others"),
        _ => writeln!(out, "{workloads} {noun}: the probes of {asking} ask others, {circles}"),
    };
    out
}
