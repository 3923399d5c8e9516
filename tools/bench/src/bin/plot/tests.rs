//! What the charts say about the figures they were given.

use super::{compare, history};
use crate::table::{Table, median};

fn table(text: &str) -> Table {
    Table::parse(text).expect("a table")
}

#[test]
fn a_line_of_the_history_passes_where_its_figures_are_and_has_a_gap_where_there_is_none() {
    let text =
        "# remark\ndate\tcommit\tread\tring\n2026-01-01\tabc\t1000\t-\n2026-01-02\tdef\t500\t20\n";
    let svg = history(&table(text)).expect("drawn");
    assert!(svg.contains("read at abc: 1000") && svg.contains("read at def: 500"), "{svg}");
    assert!(!svg.contains("ring at abc") && svg.contains("ring at def: 20"), "{svg}");
    // The larger of two figures is drawn higher: half the height between axis and it.
    let y = |name: &str| -> f64 {
        let line = svg.lines().find(|line| line.contains(name)).expect("a mark");
        let cy = line.split("cy=\"").nth(1).expect("its height");
        cy.split('"').next().and_then(|cy| cy.parse().ok()).expect("a number")
    };
    assert!(y("read at abc") < y("read at def"));
}

#[test]
fn rates_are_shown_as_multiples_of_the_kernel_clients_in_the_same_round() {
    let mut text = "boot\tround\tjob\tinline\tcontender\tiops\n".to_owned();
    // In the second boot everything is ten times as fast.
    for (boot, round, kernel, ours) in [(1, 1, 100, 200), (1, 2, 200, 600), (2, 1, 2000, 5000)] {
        for (client, rate) in [("kernel", kernel), ("initiator", ours)] {
            text += &format!("{boot}\t{round}\tj\t4096\t{client}\t{rate}\n");
        }
    }
    let svg = compare(&table(&(text + "1\t1\tlonely\t4096\tinitiator\t1\n"))).expect("drawn");
    assert!(svg.contains("initiator: 2.50") && svg.contains("kernel: 1.00"), "{svg}");
    assert!(!svg.contains("lonely"), "there is nothing to compare it with");
}

#[test]
fn a_table_that_is_none_is_refused_with_its_line() {
    let error = Table::parse("a\tb\n1\t2\n1\n").expect_err("a field is missing");
    assert!(error.to_string().contains("line 3: 1 fields, not 2"), "{error}");
    assert!(Table::parse("a\tb\n").is_err());
    let error = compare(&table("a\tb\n1\t2\n")).expect_err("no such columns");
    assert!(error.to_string().contains("boot"), "{error}");
}

#[test]
fn the_median_of_an_even_number_lies_between() {
    assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
    assert_eq!(median(&mut [9.0, 1.0, 2.0]), 2.0);
}
