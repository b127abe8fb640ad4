//! The page: one file, no script, nothing loaded from elsewhere.

use super::{Happening, Judgement, Report};
use crate::timeline::Sample;
use std::collections::BTreeSet;
use std::fmt::Write as _;

/// Pixels of the drawing.
const WIDTH: u64 = 1040;
const LEFT: u64 = 64;
const RIGHT: u64 = 16;
const TOP: u64 = 28;
/// Of the throughput.
const HEIGHT: u64 = 150;
/// Of one replica's lane, and between two.
const LANE: u64 = 20;
const GAP: u64 = 6;

const STYLE: &str = "
:root{--ink:#1c2430;--soft:#5d6b7c;--line:#d8dee6;--paper:#fff;--card:#f5f7fa;--good:#1a7f4b;--bad:#b3261e;--area:#3b78c9;
--v0:#3b78c9;--v1:#c98a1b;--v2:#2c9b82;--v3:#a3569e;--v4:#6a7fd1;--v5:#b5654a;--off:#c3cad3}
@media(prefers-color-scheme:dark){:root{--ink:#e7ecf2;--soft:#9aa8b8;--line:#333d49;--paper:#12171d;--card:#1b222a;--good:#52c98a;--bad:#ff8a80;
--area:#6ea8ee;--v0:#5b95e0;--v1:#d6a246;--v2:#48b89e;--v3:#c07cbb;--v4:#8b9df0;--v5:#d0866c;--off:#424c58}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1088px;margin:0 auto;padding:28px 24px 64px}h1{font-size:26px;margin:0}h2{font-size:16px;margin:32px 0 10px}
.about{color:var(--soft);margin:4px 0 20px}.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(260px,1fr));gap:12px}
.card{background:var(--card);border-radius:8px;padding:12px 16px;border-left:5px solid var(--good)}.card.bad{border-color:var(--bad)}
.card b{display:block;font-size:13px;letter-spacing:.04em}.card.bad b{color:var(--bad)}.card ul{margin:8px 0 0;padding-left:18px}
.badge{display:inline-block;border-radius:6px;padding:2px 10px;color:#fff;background:var(--good);font-size:14px;vertical-align:4px;margin-left:10px}
.badge.bad{background:var(--bad)}.badge.open{background:var(--soft)}svg{width:100%;height:auto;display:block}
svg text{fill:var(--soft);font:11px system-ui,sans-serif}svg .name{fill:var(--ink)}table{border-collapse:collapse;width:100%}
td{padding:4px 12px 4px 0;border-bottom:1px solid var(--line);vertical-align:top}td:nth-child(-n+2){white-space:nowrap;color:var(--soft)}
td:nth-child(-n+2){text-align:right;font-variant-numeric:tabular-nums}.key{color:var(--soft);font-size:13px;margin:6px 0}
.key i{display:inline-block;width:12px;height:12px;border-radius:3px;margin:0 5px 0 14px;vertical-align:-1px}
pre{background:var(--card);border-radius:8px;padding:12px 16px;overflow:auto;font-size:13px}p{margin:4px 0}
";

/// Something to mark on the time line.
struct Mark {
    at_ms: u64,
    what: String,
    accuses: bool,
}

pub(super) fn render(report: &Report) -> String {
    let mut marks: Vec<Mark> = report
        .happened
        .iter()
        .map(|Happening { at_ms, what }| Mark { at_ms: *at_ms, what: what.clone(), accuses: false })
        .collect();
    marks.extend(report.timeline.accusations().into_iter().map(|(at_ms, holder, accused)| Mark {
        at_ms,
        what: format!("r{holder} holds a proof against r{accused}"),
        accuses: true,
    }));
    marks.sort_by_key(|mark| mark.at_ms);
    let (class, word) = match report.passed {
        None => ("badge open", "running"),
        Some(true) => ("badge", "as it should be"),
        Some(false) => ("badge bad", "not as it should be"),
    };
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title} · Varangian</title><style>{STYLE}</style></head><body><main>\
         <h1>{title}<span class=\"{class}\">{word}</span></h1><p class=\"about\">{about}{seed}</p>",
        title = escape(&report.title),
        about = escape(&report.about),
        seed = report.seed.map(|seed| format!(" · seed {seed}")).unwrap_or_default(),
    );
    page.push_str("<div class=\"cards\">");
    report.judgements.iter().for_each(|judgement| page.push_str(&card(judgement)));
    page.push_str("</div>");
    for remark in &report.remarks {
        push(&mut page, format_args!("<p class=\"key\">{}</p>", escape(remark)));
    }
    page.push_str("<h2>Over time</h2>");
    page.push_str(&drawing(report, &marks));
    let what = if report.timeline.slots { "slots executed" } else { "operations acknowledged" };
    push(
        &mut page,
        format_args!(
            "<p class=\"key\">Above: {what} per second. Below: each replica's own word, a colour for each view\
             <i style=\"background:var(--off)\"></i>no answer<i style=\"border:2px solid var(--soft)\"></i>between views. \
             Numbers are those of the table; red ones are proofs.</p>"
        ),
    );
    page.push_str("<h2>What happened</h2><table>");
    for (number, mark) in marks.iter().enumerate() {
        push(
            &mut page,
            format_args!(
                "<tr><td>{}</td><td>{}</td><td>{}</td></tr>",
                number + 1,
                seconds(mark.at_ms),
                escape(&mark.what)
            ),
        );
    }
    page.push_str("</table>");
    if let Some(file) = &report.file {
        push(&mut page, format_args!("<h2>The scenario</h2><pre>{}</pre>", escape(file)));
    }
    page.push_str("</main></body></html>\n");
    page
}

fn card(Judgement { name, passed, text, findings }: &Judgement) -> String {
    let (class, word) = if *passed { ("card", "pass") } else { ("card bad", "FAIL") };
    let mut card = format!("<div class=\"{class}\"><b>{} {word}</b>{}", escape(name), escape(text));
    if !findings.is_empty() {
        let items: String = findings.iter().map(|finding| format!("<li>{}</li>", escape(finding))).collect();
        push(&mut card, format_args!("<ul>{items}</ul>"));
    }
    card.push_str("</div>");
    card
}

/// Throughput above, a lane for each replica below, what happened across both.
fn drawing(report: &Report, marks: &[Mark]) -> String {
    let samples: Vec<&Sample> = report.timeline.samples.iter().collect();
    let begin = samples.first().map_or(0, |sample| sample.at_ms);
    let last = samples.last().map(|sample| sample.at_ms);
    let end = last.into_iter().chain(marks.iter().map(|mark| mark.at_ms)).max().unwrap_or(0).max(begin + 1);
    let across = WIDTH - LEFT - RIGHT;
    let x = |at_ms: u64| LEFT + at_ms.saturating_sub(begin) * across / (end - begin);
    let ids: BTreeSet<u16> = samples.iter().flat_map(|sample| sample.replicas.keys().copied()).collect();
    let lanes = TOP + HEIGHT + 14;
    let bottom = lanes + ids.len() as u64 * (LANE + GAP);
    let mut svg = format!("<svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"time line\">", bottom + 22);

    let rates = rates(&samples);
    let top = round_up(rates.iter().map(|(_, rate)| *rate).max().unwrap_or(0));
    let y = |rate: u64| TOP + HEIGHT - rate * HEIGHT / top;
    for part in 0..=2 {
        let rate = top * part / 2;
        push(
            &mut svg,
            format_args!(
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"var(--line)\"/><text x=\"{}\" y=\"{}\" text-anchor=\"end\">{rate}/s</text>",
                WIDTH - RIGHT,
                LEFT - 8,
                y(rate) + 4,
                y = y(rate),
            ),
        );
    }
    if let (Some((first, _)), Some((last, _))) = (rates.first(), rates.last()) {
        let points: String = rates.iter().map(|(at, rate)| format!("{},{} ", x(*at), y(*rate))).collect();
        push(
            &mut svg,
            format_args!(
                "<polygon points=\"{},{base} {points}{},{base}\" fill=\"var(--area)\" opacity=\".25\"/><polyline points=\"{points}\" fill=\"none\" stroke=\"var(--area)\" stroke-width=\"2\"/>",
                x(*first),
                x(*last),
                base = y(0),
            ),
        );
    }
    for (place, id) in ids.iter().enumerate() {
        let y = lanes + place as u64 * (LANE + GAP);
        push(
            &mut svg,
            format_args!("<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">r{id}</text>", LEFT - 8, y + 14),
        );
        lane(&mut svg, &samples, *id, y, end, x);
    }
    let mut free = 0;
    for (number, mark) in marks.iter().enumerate() {
        let x = x(mark.at_ms);
        let colour = if mark.accuses { "var(--bad)" } else { "var(--soft)" };
        push(
            &mut svg,
            format_args!(
                "<g><title>{}</title><line x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\" stroke=\"{colour}\" stroke-dasharray=\"2 3\"/>",
                escape(&format!("{} {}", seconds(mark.at_ms), mark.what)),
                TOP - 4,
            ),
        );
        // Numbers that would lie on each other are left to the table.
        if x >= free {
            push(
                &mut svg,
                format_args!(
                    "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" style=\"fill:{colour}\">{}</text>",
                    TOP - 10,
                    number + 1
                ),
            );
            free = x + 16;
        }
        svg.push_str("</g>");
    }
    let step =
        [1, 2, 5, 10, 20, 60, 120, 300, 600].into_iter().find(|step| (end - begin) / 1000 / step <= 14).unwrap_or(1800);
    for second in (begin / 1000..=end / 1000).filter(|second| second % step == 0 && second * 1000 >= begin) {
        push(
            &mut svg,
            format_args!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>",
                x(second * 1000),
                bottom + 16
            ),
        );
    }
    svg.push_str("</svg>");
    svg
}

/// One replica's lane: stretches of equal view and state.
fn lane(svg: &mut String, samples: &[&Sample], id: u16, y: u64, end: u64, x: impl Fn(u64) -> u64) {
    let state = |sample: &Sample| sample.replicas.get(&id).map(|stand| (stand.view, stand.active));
    let mut from = 0;
    while let Some(first) = samples.get(from) {
        let here = state(first);
        let next = samples
            .iter()
            .skip(from)
            .position(|sample| state(sample) != here)
            .map_or(samples.len(), |more| from + more);
        let until = samples.get(next).map_or(end, |sample| sample.at_ms);
        let (left, width) = (x(first.at_ms), x(until).saturating_sub(x(first.at_ms)).max(1));
        let (fill, title) = match here {
            None => ("fill=\"var(--off)\"".to_owned(), "no answer".to_owned()),
            Some((view, true)) => (format!("fill=\"var(--v{})\"", view % 6), format!("view {view}")),
            Some((view, false)) => (
                format!("fill=\"none\" stroke=\"var(--v{})\" stroke-width=\"2\"", view % 6),
                format!("on the way to view {view}"),
            ),
        };
        push(
            svg,
            format_args!(
                "<g><title>r{id}: {title}, {} to {}</title><rect x=\"{left}\" y=\"{y}\" width=\"{width}\" height=\"{LANE}\" rx=\"2\" {fill}/>",
                seconds(first.at_ms),
                seconds(until)
            ),
        );
        if let Some((view, true)) = here.filter(|_| width > 34) {
            push(svg, format_args!("<text x=\"{}\" y=\"{}\" style=\"fill:#fff\">v{view}</text>", left + 5, y + 14));
        }
        svg.push_str("</g>");
        from = next;
    }
}

/// Operations per second between looks a second apart, so that single looks do not make it jump.
fn rates(samples: &[&Sample]) -> Vec<(u64, u64)> {
    samples
        .iter()
        .zip(samples.iter().skip(4))
        .map(|(before, now)| {
            let (ms, operations) = (now.at_ms - before.at_ms, now.operations.saturating_sub(before.operations));
            (now.at_ms, operations * 1000 / ms.max(1))
        })
        .collect()
}

/// The next number with one digit that is not zero; at least 10.
fn round_up(number: u64) -> u64 {
    let mut scale = 10;
    while number > scale * 10 {
        scale *= 10;
    }
    number.div_ceil(scale).max(1) * scale
}

fn seconds(ms: u64) -> String {
    format!("{}.{} s", ms / 1000, ms % 1000 / 100)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Writing to a string does not fail.
fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    let written = page.write_fmt(text);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests {
    use super::{escape, render, round_up};
    use crate::report::{Happening, Judgement, Report};
    use crate::timeline::{Sample, Stand, Timeline};
    use std::collections::BTreeMap;

    fn report(samples: u64) -> Report {
        let stand = |view| Stand { view, active: true, executed: 1, accused: BTreeMap::from([(3, 1)]) };
        let samples = (0..samples).map(|at| Sample {
            at_ms: at * 250,
            operations: at * 100,
            replicas: BTreeMap::from([(0, stand(at / 10)), (1, stand(0))]),
        });
        Report {
            title: "a <script>".into(),
            about: "b & c".into(),
            seed: Some(7),
            passed: Some(false),
            judgements: vec![Judgement {
                name: "SAFETY".into(),
                passed: false,
                text: "t".into(),
                findings: vec!["slot 3: <forked>".into()],
            }],
            remarks: vec![],
            happened: vec![Happening { at_ms: 500, what: "r0 is killed".into() }],
            timeline: Timeline { samples: samples.collect(), slots: false },
            file: None,
        }
    }

    /// Whatever names say, none of it is markup; whatever there is of time, there is a page.
    #[test]
    fn a_page_is_self_contained_and_escaped() {
        for samples in [0, 1, 2, 40] {
            let page = render(&report(samples));
            assert!(page.contains("a &lt;script&gt;") && !page.contains("<script"), "{page}");
            assert!(page.contains("slot 3: &lt;forked&gt;") && page.contains("r0 is killed"));
            assert!(!page.contains("http"), "nothing is loaded from elsewhere");
            assert_eq!(page.matches("<svg").count(), 1);
            assert_eq!(samples > 0, page.contains("r0 holds a proof against r3"));
        }
        let page = render(&report(40));
        // 400 operations in each second, in views 0 to 3 of r0.
        assert!(page.contains(">400/s<") && page.contains("r0: view 3") && !page.contains("r1: view 1"), "{page}");
    }

    #[test]
    fn scales_are_round() {
        let scales = [(0, 10), (7, 10), (11, 20), (100, 100), (101, 200), (1_760, 2_000), (9_999, 10_000)];
        scales.iter().for_each(|(number, scale)| assert_eq!(round_up(*number), *scale));
        assert_eq!(escape("<a href=\"&\">"), "&lt;a href=&quot;&amp;&quot;&gt;");
    }
}
