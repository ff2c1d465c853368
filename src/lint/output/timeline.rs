//! A story drawn: lanes over an axis of seconds, as text and as SVG.

use std::fmt::Write as _;

use maud::{Markup, html};

use crate::model::{Lane, Phase, Story};

/// Characters of a lane.
const WIDTH: usize = 60;

/// Characters before it.
const LABEL: usize = 12;

/// The story as lines of text, each indented.
pub(super) fn text(story: &Story, indent: &str) -> String {
    let mut out = String::new();
    for lane in &story.lanes {
        let bar: String = (0..WIDTH).map(|column| symbol(at(lane, column, story.end))).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{indent}{:LABEL$}{bar}", lane.kind.word());
    }
    let (mut ruler, mut labels) = (vec!['─'; WIDTH], vec![' '; WIDTH + 12]);
    for tick in ticks(story) {
        let column = (0..WIDTH).find(|column| reaches(*column, story.end, tick)).unwrap_or(WIDTH);
        let Some(place) = ruler.get_mut(column) else { continue };
        *place = '┴';
        let label = format!("{tick} s");
        // A label that would touch the one before it is left out.
        let free = labels[column.saturating_sub(1)..labels.len().min(column + label.len() + 1)].iter().all(|c| *c == ' ');
        if free {
            for (place, character) in labels[column..].iter_mut().zip(label.chars()) {
                *place = character;
            }
        }
    }
    let labels: String = labels.into_iter().collect();
    let _ = writeln!(out, "{indent}{:LABEL$}{}", "", ruler.into_iter().collect::<String>());
    let _ = writeln!(out, "{indent}{:LABEL$}{}", "", labels.trim_end());
    out
}

/// What the characters of the lanes mean, of those that occur.
pub(super) fn legend(phases: &[Phase]) -> String {
    let mut parts: Vec<(char, Vec<&str>)> = Vec::new();
    for phase in phases {
        let symbol = symbol(*phase);
        match parts.iter_mut().find(|(known, _)| *known == symbol) {
            Some((_, meanings)) => meanings.push(phase.meaning()),
            None => parts.push((symbol, vec![phase.meaning()])),
        }
    }
    let parts: Vec<_> = parts.iter().map(|(symbol, meanings)| format!("{symbol} {}", meanings.join(" or "))).collect();
    parts.join("   ")
}

/// Every phase that occurs, each once.
pub(super) fn phases<'s>(stories: impl IntoIterator<Item = &'s Story>) -> Vec<Phase> {
    let mut phases = Vec::new();
    for stretch in stories.into_iter().flat_map(|story| &story.lanes).flat_map(|lane| &lane.stretches) {
        if !phases.contains(&stretch.phase) {
            phases.push(stretch.phase);
        }
    }
    phases
}

const fn symbol(phase: Phase) -> char {
    match phase {
        Phase::Unasked | Phase::NotReady => '·',
        Phase::Tolerates => '─',
        Phase::Perhaps => '░',
        Phase::Stops => '▒',
        Phase::Kills | Phase::NoTraffic => '█',
        Phase::Ready => '═',
        Phase::Available => '━',
    }
}

/// The name that a style sheet colours it by.
pub(super) const fn class(phase: Phase) -> &'static str {
    match phase {
        Phase::Unasked | Phase::NotReady => "idle",
        Phase::Tolerates => "fine",
        Phase::Perhaps => "perhaps",
        Phase::Stops => "stops",
        Phase::Kills => "kills",
        Phase::NoTraffic => "out",
        Phase::Ready => "ready",
        Phase::Available => "available",
    }
}

const VIEW: usize = 640;
const GUTTER: usize = 104;
const LANE: usize = 28;

/// The story as a drawing that takes its colours from the page. Shapes differ too: what depends on the moment is hatched.
pub(super) fn svg(story: &Story, description: &str) -> Markup {
    let lanes = story.lanes.len();
    let height = lanes * LANE + 32;
    let x = |second: i64| GUTTER + column(second, story.end, VIEW - GUTTER - 8);
    html! {
        svg viewBox=(format!("0 0 {VIEW} {height}")) role="img" aria-label=(description) {
            title { (description) }
            @for (row, lane) in story.lanes.iter().enumerate() {
                @let top = row * LANE + 4;
                text x="0" y=(top + 15) class="label" { (lane.kind.word()) }
                @for stretch in lane.stretches.iter().filter(|stretch| stretch.from < story.end) {
                    @let from = x(stretch.from);
                    @let to = x(stretch.to.min(story.end));
                    rect x=(from) y=(top) width=(to.saturating_sub(from).max(1)) height="20" class=(class(stretch.phase)) {
                        title { (span(stretch.from, stretch.to)) ": " (stretch.phase.meaning()) }
                    }
                }
            }
            line x1=(GUTTER) x2=(VIEW - 8) y1=(lanes * LANE + 4) y2=(lanes * LANE + 4) class="axis" {}
            @for (tick, label) in spaced(story) {
                line x1=(x(tick)) x2=(x(tick)) y1=(lanes * LANE + 1) y2=(lanes * LANE + 8) class="axis" {}
                @if label { text x=(x(tick)) y=(lanes * LANE + 27) class="tick" { (tick) " s" } }
            }
        }
    }
}

fn span(from: i64, to: i64) -> String {
    if to == i64::MAX { format!("from {from} s") } else { format!("{from} to {to} s") }
}

/// The seconds at which something changes, in order.
fn ticks(story: &Story) -> Vec<i64> {
    let mut ticks: Vec<i64> = story.lanes.iter().flat_map(|lane| &lane.stretches).map(|stretch| stretch.from).collect();
    ticks.sort_unstable();
    ticks.dedup();
    ticks
}

/// Ticks, and whether there is room for the number below.
fn spaced(story: &Story) -> Vec<(i64, bool)> {
    let mut free_from = 0;
    ticks(story)
        .into_iter()
        .map(|tick| {
            let place = column(tick, story.end, VIEW - GUTTER - 8);
            let half = (tick.to_string().len() + 2) * 6;
            let fits = place + GUTTER >= free_from + half && place + half <= VIEW - GUTTER;
            if fits {
                free_from = place + GUTTER + half;
            }
            (tick, fits)
        })
        .collect()
}

/// Where a second lies on a line of so many columns.
fn column(second: i64, end: i64, columns: usize) -> usize {
    let share = i128::from(second) * columns as i128 / i128::from(end.max(1));
    usize::try_from(share).unwrap_or(0).min(columns)
}

/// Whether a second has come by the middle of a character.
fn reaches(column: usize, end: i64, second: i64) -> bool {
    i128::from(second) * 2 * WIDTH as i128 <= (2 * column as i128 + 1) * i128::from(end)
}

/// What holds in the middle of a character.
fn at(lane: &Lane, column: usize, end: i64) -> Phase {
    let began = lane.stretches.iter().rfind(|stretch| reaches(column, end, stretch.from));
    began.map_or(Phase::Unasked, |stretch| stretch.phase)
}
