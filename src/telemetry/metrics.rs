//! The process's metrics recorder, with the buckets of its histograms.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// Buckets of every metric whose name ends in `_seconds`: from a no-op call in a process (tens of
/// microseconds) to the longest jobs.
const SECONDS: [f64; 20] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0,
];
/// Buckets of every metric whose name ends in `_bytes` and that is a histogram.
const BYTES: [f64; 8] =
    [64.0, 1024.0, 16384.0, 65536.0, 1_048_576.0, 16_777_216.0, 67_108_864.0, 268_435_456.0];

/// Installs the recorder, once per process (several nodes of one test share it), and gives the
/// handle that renders it. Whoever serves it also calls its `run_upkeep` now and then, or the
/// samples of histograms pile up.
pub fn init_metrics() -> PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(install).clone()
}

fn install() -> PrometheusHandle {
    let recorder = with_buckets(PrometheusBuilder::new()).build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::error!("another metrics recorder was installed first: /metrics stays empty");
    }
    handle
}

/// Adds the buckets. They are constants and not empty, the only thing the builder can refuse; it
/// is given back as it was if that ever changes.
fn with_buckets(builder: PrometheusBuilder) -> PrometheusBuilder {
    let mut builder = builder;
    for (suffix, buckets) in [("_seconds", &SECONDS[..]), ("_bytes", &BYTES[..])] {
        builder = builder
            .set_buckets_for_metric(Matcher::Suffix(suffix.to_owned()), buckets)
            .unwrap_or_else(|_| PrometheusBuilder::new());
    }
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_histograms_with_our_buckets() {
        let recorder = with_buckets(PrometheusBuilder::new()).build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            metrics::histogram!("faasm_test_seconds").record(0.000_2);
        });
        let text = handle.render();
        assert!(text.contains("faasm_test_seconds_bucket{le=\"0.0001\"} 0"), "{text}");
        assert!(text.contains("faasm_test_seconds_bucket{le=\"0.00025\"} 1"), "{text}");
    }

    #[test]
    fn the_recorder_is_installed_once() {
        let (first, second) = (init_metrics(), init_metrics());
        metrics::counter!("faasm_test_total").increment(1);
        assert!(first.render().contains("faasm_test_total 1"));
        assert!(second.render().contains("faasm_test_total 1"));
    }
}
