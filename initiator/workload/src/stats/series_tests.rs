use super::*;

const SECOND: u64 = 1_000_000_000;

fn sums(series: &Series) -> (u64, u64) {
    series.points.iter().fold((0, 0), |(ios, bytes), p| (ios + p.ios, bytes + p.bytes))
}

#[test]
fn classes_of_latency_follow_one_another_without_gaps() {
    for class in 0..CLASSES - 1 {
        assert_eq!(class_of(class_start_ns(class)), class);
        assert_eq!(class_of(class_start_ns(class + 1) - 1), class);
    }
    assert_eq!(class_of(u64::MAX), CLASSES - 1);
}

#[test]
fn rates_are_those_of_their_stretch_of_time() {
    let mut series = Series::default();
    for at in 0..4 {
        let from = 7 * SECOND + at * SECOND / 2;
        series.add(from, from + SECOND / 2, 100 * (at + 1), 4096);
    }
    let points: Vec<_> = series.points().map(|(end, point)| (end, point.iops())).collect();
    assert_eq!(points, [(0.5, 200.0), (1.0, 400.0), (1.5, 600.0), (2.0, 800.0)]);
}

#[test]
fn a_sample_that_spans_stretches_is_spread_over_them() {
    let mut series = Series::default();
    series.add(0, 2 * SECOND, 1001, 4004);
    assert_eq!(series.points.len(), 4);
    assert_eq!(sums(&series), (1001, 4004));
    assert!(series.points.iter().all(|point| point.ios.abs_diff(250) <= 1));
}

#[test]
fn a_long_run_has_no_more_points_than_a_chart_has_room_for_and_loses_nothing() {
    let mut series = Series::default();
    let capacity = series.points.capacity();
    for at in 0..10_000 {
        series.add(at * SECOND, (at + 1) * SECOND, 10, 20);
    }
    assert!((POINTS_MAX / 2..=POINTS_MAX).contains(&series.points.len()));
    assert_eq!(series.points.capacity(), capacity, "nothing was allocated");
    assert_eq!(sums(&series), (100_000, 200_000));
    let end = series.points().last().expect("there are points").0;
    assert!((end - 10_000.0).abs() < 0.1, "{end}");
    assert!(series.points().all(|(_, point)| (point.iops() - 10.0).abs() < 0.5));
}

#[test]
fn percentiles_are_those_of_the_stretch_and_not_of_the_run() {
    let mut series = Series::default();
    (0..100).for_each(|_| series.record(1000));
    series.add(0, SECOND / 2, 100, 0);
    (0..100).for_each(|_| series.record(1_000_000));
    series.add(SECOND / 2, SECOND, 100, 0);
    let p99: Vec<f64> =
        series.points.iter().map(|p| p.percentile(99.0).expect("there are some") as f64).collect();
    assert!((p99[0] / 1000.0 - 1.0).abs() < 0.07, "{p99:?}");
    assert!((p99[1] / 1_000_000.0 - 1.0).abs() < 0.07, "{p99:?}");
    assert_eq!(Point::EMPTY.percentile(50.0), None);
}

#[test]
fn instances_side_by_side_add_up() {
    let mut one = Series::default();
    one.record(500);
    one.add(0, SECOND, 100, 100);
    let mut other = Series::default();
    for at in 0..1000 {
        other.add(at * SECOND, (at + 1) * SECOND, 100, 100);
    }
    one.merge(&other);
    assert_eq!(sums(&one), (100 + 100_000, 100 + 100_000));
    let first = &one.points[0];
    assert_eq!(first.time_ns, one.width_ns);
    assert!(first.percentile(50.0).is_some());
}
