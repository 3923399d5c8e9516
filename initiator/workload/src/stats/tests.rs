use super::{DepthCounts, DirectionStats, RateSamples, Running};

#[test]
fn moments_are_those_of_the_values_however_they_were_merged() {
    let values = [3u64, 9, 1, 400, 7, 7, 52];
    let mut whole = Running::default();
    values.iter().for_each(|&v| whole.add(v));
    let (mut left, mut right) = (Running::default(), Running::default());
    values[..2].iter().for_each(|&v| left.add(v));
    values[2..].iter().for_each(|&v| right.add(v));
    left.merge(&right);
    left.merge(&Running::default());
    for series in [whole, left] {
        assert_eq!((series.count(), series.min(), series.max()), (7, 1, 400));
        assert!((series.mean() - 479.0 / 7.0).abs() < 1e-9);
        assert!((series.stddev() - 147.3).abs() < 0.1, "{}", series.stddev());
    }
}

#[test]
fn histograms_of_several_cores_merge() {
    let (mut a, mut b) = (DirectionStats::default(), DirectionStats::default());
    for i in 1..=50 {
        a.record(4096, 0, 100, 100 + i * 1000);
        b.record(4096, 0, 100, 100 + (50 + i) * 1000);
    }
    a.runtime_ns = 7;
    b.runtime_ns = 5;
    a.merge(&b);
    assert_eq!((a.ios, a.bytes, a.runtime_ns), (100, 409_600, 7));
    assert_eq!(a.clat.classes(&[10_000, 50_000]), [10, 40, 50]);
    for (percent, expected) in [(50.0, 50_000f64), (99.0, 99_000.0), (99.99, 100_000.0)] {
        let found = a.clat.percentile(percent) as f64;
        assert!((found / expected - 1.0).abs() < 0.002, "{percent}: {found}");
    }
    assert_eq!(a.lat.max(), 100_100);
    assert_eq!(a.slat.mean(), 100.0);
}

#[test]
fn latencies_beyond_an_hour_are_counted_not_lost() {
    let mut stats = DirectionStats::default();
    stats.record(1, 0, 0, u64::MAX);
    assert_eq!(stats.clat.moments.max(), u64::MAX);
    assert_eq!(stats.clat.classes(&[1]), [0, 1]);
}

#[test]
fn rates_side_by_side_add_up() {
    let (mut a, mut b) = (RateSamples::default(), RateSamples::default());
    [10, 20].into_iter().for_each(|r| a.add(r));
    [100, 300].into_iter().for_each(|r| b.add(r));
    a.merge(&b);
    assert_eq!((a.min, a.max, a.mean, a.samples), (110, 320, 215.0, 4));
}

#[test]
fn depths_fall_into_fios_classes() {
    let mut depth = DepthCounts::default();
    [1, 2, 3, 4, 7, 8, 16, 31, 32, 63, 64, 4000].into_iter().for_each(|d| depth.add_depth(d));
    assert_eq!(depth.0, [1, 2, 2, 1, 2, 2, 2]);
    let mut batch = DepthCounts::default();
    [0, 1, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 1000].into_iter().for_each(|d| batch.add_batch(d));
    assert_eq!(batch.0, [1, 2, 2, 2, 2, 2, 2]);
}
