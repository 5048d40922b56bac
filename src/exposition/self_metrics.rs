//! The exporter's own metrics: the last, small block of the exposition, written for each scrape.

use prometheus::TextEncoder;

use crate::exposition::{ExpositionFormat, openmetrics};
use crate::metrics::self_metrics::SelfMetrics;

/// Returns the text of the exporter's own metrics, if `is_wanted`, and the end marker if the format has one.
pub fn encode(metrics: &SelfMetrics, format: ExpositionFormat, is_wanted: bool, has_lease: bool) -> Vec<u8> {
    let families = if is_wanted { metrics.gather(has_lease) } else { Vec::new() };
    if format != ExpositionFormat::Text {
        let mut text = Vec::new();
        openmetrics::own(&mut text, &families, metrics.created_ms());
        text.extend_from_slice(openmetrics::END);
        return text;
    }
    let mut text = String::new();
    if let Err(error) = TextEncoder::new().encode_utf8(&families, &mut text) {
        tracing::error!(error = error.to_string(), "cannot write the exporter's own metrics");
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::catalog::Family;
    use jiff::Timestamp;

    #[tokio::test]
    async fn no_name_is_in_the_table_too() {
        let metrics = SelfMetrics::new(Timestamp::now()).unwrap();
        metrics.http_requests.with_label_values(&["metrics", "200"]).inc();
        metrics.http_duration.with_label_values(&["metrics"]).observe(0.001);
        let text = String::from_utf8(encode(&metrics, ExpositionFormat::Text, true, true)).unwrap();
        let own: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(own.len(), 24, "{own:?}");
        let shared: Vec<_> = own.iter().filter(|name| Family::from_name(name).is_some()).collect();
        assert!(shared.is_empty(), "{shared:?}");
    }
}
