//! The graph as a picture: one file without scripts and references, legible on light and dark pages.

use std::fmt::Write as _;

use super::layout::{BOX_HEIGHT, lay_out};
use super::{connected, printable};
use crate::graph::Graph;
use crate::model::ProbeKind;

/// Everyone who asks or is asked, those who ask on top.
pub fn svg(graph: &Graph) -> String {
    let arrows = arrows(graph);
    let lines: Vec<(usize, usize)> = arrows.iter().map(|arrow| (arrow.from, arrow.to)).collect();
    let layout = lay_out(graph, &lines, |node| text_width(&label(graph, node)) + 28.0);
    let legend = legend(graph);
    let caption = legend.iter().map(|line| text_width(line) * 12.0 / 14.0 + 48.0).fold(240.0, f64::max);
    let width = layout.width.max(caption).ceil();
    let legend_top = layout.height;
    #[expect(clippy::cast_precision_loss, reason = "a few lines")]
    let height = (legend_top + 18.0 * legend.len() as f64 + 14.0).ceil();
    let shift = ((width - layout.width) / 2.0).round();

    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>Whose probes ask whom</title>\n{STYLE}<rect class=\"page\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>\n"
    );
    // Writing to a String cannot fail.
    let _ = writeln!(out, "<g transform=\"translate({shift} 0)\">");
    // Red lines last, so that they lie on top.
    let (circular, plain): (Vec<_>, Vec<_>) = arrows.iter().zip(&layout.lines).partition(|(arrow, _)| arrow.circular);
    for (arrow, points) in plain.into_iter().chain(circular) {
        let class = ["line", if arrow.readiness { "" } else { " other" }, if arrow.circular { " circular" } else { "" }].concat();
        let head = if arrow.circular { "circular-head" } else { "head" };
        let own = layout.boxes.iter().find(|placed| arrow.from == arrow.to && placed.node == arrow.from);
        let way = own.map_or_else(|| curve(points), |placed| loop_at(placed.x + placed.width / 2.0, placed.y));
        let _ = writeln!(
            out,
            "<path class=\"{class}\" marker-end=\"url(#{head})\" d=\"{way}\"><title>{}</title></path>",
            escaped(&arrow.title)
        );
    }
    for placed in &layout.boxes {
        let class = if graph.is_workload(placed.node) { "box" } else { "box outside" };
        let (x, y) = (placed.x - placed.width / 2.0, placed.y - BOX_HEIGHT / 2.0);
        let _ = writeln!(
            out,
            "<g><title>{}</title><rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BOX_HEIGHT}\" rx=\"6\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
            escaped(graph.name(placed.node)),
            placed.width,
            placed.x,
            placed.y + 5.0,
            escaped(&label(graph, placed.node)),
        );
    }
    out += "</g>\n";
    let mut y = legend_top + 8.0;
    for line in &legend {
        let _ = writeln!(out, "<text class=\"legend\" x=\"24\" y=\"{y:.1}\">{}</text>", escaped(line));
        y += 18.0;
    }
    out += "</svg>\n";
    out
}

/// Colours of text on page of at least 4.5:1 in both modes, of lines at least 3:1. The page is painted: a host page may be of the other mode.
const STYLE: &str = "<style>
svg { color-scheme: light dark; }
.page { fill: #ffffff; } .box { fill: #eef3fb; stroke: #3b6ea8; stroke-width: 1.5; } .outside { fill: #ffffff; stroke-dasharray: 4 3; }
.line { fill: none; stroke: #4a5568; stroke-width: 1.6; } .other { stroke-dasharray: 6 4; } .circular { stroke: #c22727; stroke-width: 2.2; }
.head { fill: #4a5568; } .circular-head { fill: #c22727; }
text { font: 14px system-ui, sans-serif; fill: #1a202c; text-anchor: middle; } .legend { font-size: 12px; fill: #4a5568; text-anchor: start; }
@media (prefers-color-scheme: dark) {
.page { fill: #0f151e; } .box { fill: #1c2a3d; stroke: #7eaee6; } .outside { fill: #0f151e; }
.line { stroke: #a9b6c8; } .circular { stroke: #ff7b72; } .head { fill: #a9b6c8; } .circular-head { fill: #ff7b72; }
text { fill: #e6edf5; } .legend { fill: #a9b6c8; }
}
</style>
<defs>
<marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"10\" markerHeight=\"10\" orient=\"auto\" markerUnits=\"userSpaceOnUse\"><path class=\"head\" d=\"M0 0 10 5 0 10z\"/></marker>
<marker id=\"circular-head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"11\" markerHeight=\"11\" orient=\"auto\" markerUnits=\"userSpaceOnUse\"><path class=\"circular-head\" d=\"M0 0 10 5 0 10z\"/></marker>
</defs>
";

/// All questions of one node to another in one line.
struct Arrow {
    from: usize,
    to: usize,
    readiness: bool,
    circular: bool,
    title: String,
}

fn arrows(graph: &Graph) -> Vec<Arrow> {
    let mut arrows: Vec<Arrow> = Vec::new();
    for edge in graph.edges() {
        for to in &edge.to {
            let readiness = edge.ask.probe == ProbeKind::Readiness;
            let title = format!("{} of container \"{}\" asks {}", edge.ask.probe.word(), edge.ask.container, edge.ask.question);
            // Edges come grouped by who asks.
            let known = arrows
                .iter_mut()
                .rev()
                .take_while(|arrow| arrow.from == edge.from)
                .find(|arrow| arrow.to == *to && arrow.readiness == readiness);
            match known {
                Some(arrow) => {
                    arrow.circular |= graph.is_circular(edge);
                    arrow.title += &["\n", &title].concat();
                }
                None => arrows.push(Arrow { from: edge.from, to: *to, readiness, circular: graph.is_circular(edge), title }),
            }
        }
    }
    arrows
}

fn legend(graph: &Graph) -> Vec<String> {
    let (edges, nodes) = (graph.edges(), connected(graph));
    if nodes.is_empty() {
        return vec!["No probe asks another workload or host.".to_owned()];
    }
    let mut legend = vec!["An arrow leads from a workload to the one that its readiness probe asks.".to_owned()];
    if edges.iter().any(|edge| edge.ask.probe != ProbeKind::Readiness) {
        legend.push("Broken lines: liveness or startup probes.".to_owned());
    }
    if nodes.iter().any(|node| !graph.is_workload(*node)) {
        legend.push("Broken boxes: not in this set.".to_owned());
    }
    if edges.iter().any(|edge| graph.is_circular(edge)) {
        legend.push("Red: they wait for each other; once all are unready, none becomes ready again.".to_owned());
    }
    legend
}

/// A name as its box has room for it; the whole one is the box's title.
fn label(graph: &Graph, node: usize) -> String {
    const ROOM: usize = 40;
    let name = graph.name(node);
    if name.chars().count() <= ROOM { name.to_owned() } else { name.chars().take(ROOM - 1).chain(['…']).collect() }
}

/// Pixels that a text takes at most in the common sans-serif faces, at 14 px.
fn text_width(text: &str) -> f64 {
    text.chars()
        .map(|character| match character {
            'i' | 'l' | 'j' | '.' | ',' | ':' | ';' | '\'' | '|' => 4.6,
            'f' | 't' | 'r' | '-' | '/' | ' ' | '(' | ')' => 5.8,
            'm' | 'w' | 'M' | 'W' => 12.4,
            'A'..='Z' => 9.8,
            ' '..='~' => 8.4,
            _ => 14.0,
        })
        .sum()
}

/// A smooth line through points from layer to layer.
fn curve(points: &[(f64, f64)]) -> String {
    let mut points = points.iter();
    let Some((mut x, mut y)) = points.next().copied() else { return String::new() };
    let mut way = format!("M{x:.1} {y:.1}");
    for (to_x, to_y) in points.copied() {
        let middle = f64::midpoint(y, to_y);
        // Writing to a String cannot fail.
        let _ = write!(way, " C{x:.1} {middle:.1} {to_x:.1} {middle:.1} {to_x:.1} {to_y:.1}");
        (x, y) = (to_x, to_y);
    }
    way
}

/// A loop at the right side of a box.
fn loop_at(x: f64, y: f64) -> String {
    format!(
        "M{x:.1} {:.1} C{:.1} {:.1} {:.1} {:.1} {:.1} {:.1}",
        y - 8.0,
        x + 24.0,
        y - 22.0,
        x + 24.0,
        y + 22.0,
        x + 1.0,
        y + 8.0
    )
}

fn escaped(text: &str) -> String {
    let text: Vec<String> = text.split('\n').map(printable).collect();
    text.join("\n").replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
