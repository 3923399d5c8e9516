use std::sync::Arc;

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};

use super::figures::{bandwidth, count, duration, grouped};
use super::svg::{linear_ticks, log_range, round_up};
use crate::jobfile::JobFile;
use crate::report::{Report, RunInfo};
use crate::stats::{JobFailure, JobResult};

/// A name that would run a script, close a tag, or leave an attribute, if it could.
const HOSTILE: &str = "</title></script><script>alert(1)</script>\"'&amp; http://evil.example/";

fn info() -> RunInfo {
    let counters = json!({
        "provider": "soft",
        "counters": {"sends": 1_234_567, "receives": 5},
        "cqes_per_rpc": 1.126,
        "mounts": [{"url": HOSTILE, "credits_granted": 64}],
        "reactors": [{"core": 1, "role": "jobs", "busy_percent": 62.5, "turns": 1000,
                      "turn_ns_max": 1_500_000, "stalls": 0}],
    });
    RunInfo {
        version: "initiator-0.1.0".into(),
        unix_time_ms: 1_795_334_256_972,
        pid: 8730,
        global_options: vec![("size".into(), "4m".into())],
        counters: counters.as_object().cloned().expect("an object"),
    }
}

/// Two seconds of reads and writes, of which each took a microsecond more than the one before.
fn result(rw: &str) -> JobResult {
    let text = format!("[job]\nrw={rw}\nsize=4m\niodepth=4\ndescription={HOSTILE}\n");
    let mut job = JobFile::parse(text.as_bytes(), "t").expect("right").jobs.remove(0);
    job.name = HOSTILE.into();
    let mut result = JobResult::new(Arc::new(job), 0);
    for direction in 0..2 {
        let wanted = if direction == 0 { ["read", "randrw"] } else { ["write", "randrw"] };
        if !wanted.contains(&rw) {
            continue;
        }
        let stats = &mut result.directions[direction];
        for second in 0..2_u64 {
            for i in 1..=1000 {
                stats.record(4096, 0, 0, (second * 1000 + i) * 1000);
            }
            let (from, to) = (second * 1_000_000_000, (second + 1) * 1_000_000_000);
            stats.series.add(from, to, 1000, 4_096_000);
        }
        stats.runtime_ns = 2_000_000_000;
    }
    result.runtime_ns = 2_000_000_000;
    result
}

fn page(results: Vec<JobResult>) -> (Report, String) {
    let report = Report::new(info(), results);
    let page = report.html();
    (report, page)
}

/// The page as a tree: a tag that is left open, or a stray `&`, fails here.
fn tree(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

fn all_text(node: Node<'_, '_>) -> String {
    node.descendants().filter_map(|node| node.text().filter(|_| node.is_text())).collect()
}

fn with_class<'a>(tree: &'a Document<'_>, class: &str) -> Vec<Node<'a, 'a>> {
    let has = |node: &Node<'_, '_>| {
        node.attribute("class").is_some_and(|list| list.split(' ').any(|one| one == class))
    };
    tree.descendants().filter(has).collect()
}

#[test]
fn the_page_is_well_formed_whatever_was_measured() {
    for results in
        [vec![], vec![result("read")], vec![result("write"), result("randrw")], vec![nothing()]]
    {
        tree(&page(results).1);
    }
}

/// A job that failed before its first operation.
fn nothing() -> JobResult {
    let mut result = result("randread");
    result.failure = Some(JobFailure { errno: 5, message: format!("went wrong: {HOSTILE}") });
    result
}

#[test]
fn a_failure_is_shown() {
    let (_, page) = page(vec![nothing()]);
    let tree = tree(&page);
    let failure = all_text(with_class(&tree, "failure")[0]);
    assert_eq!(failure, format!("went wrong: {HOSTILE}"));
}

#[test]
fn nothing_is_fetched_from_anywhere() {
    let (_, page) = page(vec![result("randrw")]);
    let tree = tree(&page);
    for node in tree.descendants().filter(Node::is_element) {
        let name = node.tag_name().name();
        assert!(
            !["link", "img", "iframe", "object", "a", "use", "image"].contains(&name),
            "{name}"
        );
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(!["src", "href", "xlink:href", "action"].contains(&name), "{name}");
            assert!(!name.starts_with("on"), "{name}");
        }
    }
    let ours = page.replace("http://evil.example/", "");
    for word in ["http:", "https:", "url(", "@import", "//cdn"] {
        assert!(!ours.contains(word), "{word}");
    }
}

#[test]
fn a_hostile_job_name_is_shown_and_not_obeyed() {
    let (_, page) = page(vec![result("randrw")]);
    let tree = tree(&page);
    let scripts: Vec<_> = tree.descendants().filter(|node| node.has_tag_name("script")).collect();
    assert_eq!(scripts.len(), 1, "only the data");
    assert_eq!(scripts[0].attribute("type"), Some("application/json"));
    assert_eq!(page.matches("</script>").count(), 1);
    let headings: Vec<_> = tree.descendants().filter(|node| node.has_tag_name("h2")).collect();
    assert_eq!(all_text(headings[0]), HOSTILE);
    let title = tree.descendants().find(|node| node.has_tag_name("title")).expect("a title");
    assert!(all_text(title).ends_with(HOSTILE));
}

#[test]
fn figures_are_those_of_the_json_report() {
    let (report, page) = page(vec![result("randrw")]);
    let tree = tree(&page);
    let json: Value = serde_json::from_str(&report.json()).expect("JSON");
    let data = tree.descendants().find(|node| node.attribute("id") == Some("report"));
    let data: Value = serde_json::from_str(&all_text(data.expect("the data"))).expect("JSON");
    assert_eq!(data, json);

    let tiles = with_class(&tree, "tiles");
    for (row, direction) in tiles.iter().zip(["read", "write"]) {
        let stats = &json["jobs"][0][direction];
        let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value}"));
        let percentile = |p: &str| duration(number(&stats["clat_ns"]["percentile"][p]));
        let shown: Vec<String> = row
            .descendants()
            .filter(|node| node.has_tag_name("b"))
            .map(|node| all_text(node))
            .collect();
        let expected = [
            count(number(&stats["iops"])),
            bandwidth(number(&stats["bw_bytes"])),
            duration(number(&stats["lat_ns"]["mean"])),
            percentile("50.000000"),
            percentile("99.000000"),
            percentile("99.990000"),
            duration(number(&stats["clat_ns"]["max"])),
        ];
        assert_eq!(shown, expected);
    }
    assert_eq!(tiles.len(), 2);
    let text = all_text(tree.root());
    for figure in ["62.5 %", "1\u{202f}234\u{202f}567", "1.126", "busy"] {
        assert!(text.contains(figure), "{figure}");
    }
}

#[test]
fn each_chart_shows_what_it_says() {
    let (_, page) = page(vec![result("randrw")]);
    let tree = tree(&page);
    let captions: Vec<String> = tree
        .descendants()
        .filter(|node| node.has_tag_name("figcaption"))
        .map(|node| node.text().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        captions,
        [
            "IOPS over time",
            "Bandwidth over time",
            "Read latency over time",
            "Read latency histogram",
            "Write latency over time",
            "Write latency histogram",
            "Latency percentiles",
        ]
    );
    let marks: Vec<String> = tree
        .descendants()
        .filter(|node| node.has_tag_name("title"))
        .map(|node| all_text(node))
        .collect();
    // Half-second stretches of a steady thousand a second.
    assert!(marks.contains(&"Read: 1000 at 0.5 s".to_owned()), "{marks:?}");
    let operations = |title: &String| {
        let (_, count) = title.rsplit_once(": ")?;
        count.strip_suffix(" operations")?.replace('\u{202f}', "").parse::<u64>().ok()
    };
    let in_bars: u64 = marks.iter().filter_map(operations).sum();
    assert_eq!(in_bars, 4000, "every operation is in a bar of a histogram");
    for rect in with_class(&tree, "bar") {
        let number = |name: &str| rect.attribute(name).and_then(|text| text.parse::<f64>().ok());
        let (x, y) = (number("x").expect("a number"), number("y").expect("a number"));
        assert!((0.0..=640.0).contains(&x) && (0.0..=250.0).contains(&y), "{rect:?}");
    }
}

#[test]
fn axes_have_round_numbers() {
    assert_eq!(linear_ticks(0.0, 10.0), [0.0, 2.0, 4.0, 6.0, 8.0, 10.0]);
    assert_eq!(round_up(47_428.0), 50_000.0);
    assert_eq!(round_up(0.0), 1.0);
    assert_eq!(log_range(174.0, 8304.0), (100.0, 10_000.0));
    assert_eq!(linear_ticks(0.0, f64::NAN), [0.0]);
}

#[test]
fn numbers_are_written_to_be_read() {
    assert_eq!(duration(672_230.0), "672 µs");
    assert_eq!(duration(1_131_110.0), "1.13 ms");
    assert_eq!(duration(0.0), "0 ns");
    assert_eq!(duration(12.4e9), "12.4 s");
    assert_eq!(bandwidth(194e6), "185 MiB/s");
    assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
    assert_eq!(grouped(12), "12");
}
