//! Content negotiation: the format by `Accept`, compression by `Accept-Encoding`, the language of advice by
//! `Accept-Language`, each with its quality values.

use http::{HeaderMap, header};

use crate::exposition::ExpositionFormat;
use crate::model::advice::Language;

/// Media type of OpenMetrics.
const OPENMETRICS: &str = "application/openmetrics-text";

/// Returns the format that the client prefers; text if it states no preference or accepts no supported format.
pub(super) fn exposition_format(headers: &HeaderMap) -> ExpositionFormat {
    let mut ranges: Vec<AcceptItem> = items(headers, header::ACCEPT).collect();
    // The sort is stable: among equal qualities the first wins.
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    let is_refused = |name: &str| ranges.iter().any(|range| range.name == name && range.quality == 0.0);
    for range in ranges.iter().filter(|range| range.quality > 0.0) {
        let offered = match range.name.as_str() {
            OPENMETRICS => match range.version.as_deref() {
                None | Some("1.0.0") => Some(ExpositionFormat::OpenMetrics),
                Some("0.0.1") => Some(ExpositionFormat::OpenMetrics001),
                Some(_) => None,
            },
            "text/plain" => Some(ExpositionFormat::Text),
            "application/*" if !is_refused(OPENMETRICS) => Some(ExpositionFormat::OpenMetrics),
            "text/*" | "*/*" if !is_refused("text/plain") => Some(ExpositionFormat::Text),
            "*/*" if !is_refused(OPENMETRICS) => Some(ExpositionFormat::OpenMetrics),
            _ => None,
        };
        if let Some(offered) = offered {
            return offered;
        }
    }
    ExpositionFormat::Text
}

/// Returns true if the client accepts gzip: by name, or as any coding, with a quality other than 0.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for coding in items(headers, header::ACCEPT_ENCODING) {
        match coding.name.as_str() {
            "gzip" => return coding.quality > 0.0,
            "*" => any = coding.quality > 0.0,
            _ => {}
        }
    }
    any
}

/// Returns the language that the client prefers; English if it names none that there is advice in.
pub(super) fn language(headers: &HeaderMap) -> Language {
    let mut ranges: Vec<AcceptItem> =
        items(headers, header::ACCEPT_LANGUAGE).filter(|range| range.quality > 0.0).collect();
    ranges.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    ranges.iter().find_map(|range| Language::from_tag(&range.name)).unwrap_or(Language::English)
}

/// An alternative in an `Accept`, `Accept-Encoding` or `Accept-Language` header.
struct AcceptItem {
    /// Name in lower case.
    name: String,
    version: Option<String>,
    /// Quality from 0, which means refused, to 1; an invalid quality counts as 0.
    quality: f32,
}

fn items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = AcceptItem> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter(|item| !item.trim().is_empty()).map(|item| {
        let mut parts = item.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let mut item = AcceptItem { name, version: None, quality: 1.0 };
        for (key, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            match key.trim().to_ascii_lowercase().as_str() {
                "q" => item.quality = value.parse().ok().filter(|q| (0.0..=1.0).contains(q)).unwrap_or(0.0),
                "version" => item.version = Some(value.to_owned()),
                _ => {}
            }
        }
        item
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: header::HeaderName, values: &[&'static str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn the_preferred_language_wins() {
        for (header, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("zh-TW", Language::Chinese),
            ("en-US,en;q=0.9,zh-CN;q=0.8", Language::English),
            ("de,zh;q=0.3,en;q=0.7", Language::English),
            ("de,zh;q=0.7,en;q=0.3", Language::Chinese),
            ("zh;q=0", Language::English),
            ("fr, *;q=0.5", Language::English),
            ("", Language::English),
        ] {
            assert_eq!(language(&headers(header::ACCEPT_LANGUAGE, &[header])), expected, "{header:?}");
        }
        assert_eq!(language(&HeaderMap::new()), Language::English);
    }

    #[test]
    fn gzip_is_negotiated() {
        for (header, expected) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("*", true),
            ("identity", false),
            ("gzip;q=0", false),
            ("gzip;q=0, *", false),
            ("*;q=0", false),
            ("gzip;q=nonsense", false),
            ("gzip;q=NaN", false),
            ("gzip;q=2", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(header::ACCEPT_ENCODING, &[header])), expected, "{header:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
        assert!(accepts_gzip(&headers(header::ACCEPT_ENCODING, &["br", "gzip"])));
    }

    #[test]
    fn the_format_is_negotiated() {
        use ExpositionFormat::{OpenMetrics, OpenMetrics001, Text};
        for (header, expected) in [
            // Prometheus 2.34 to 2.48.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // Prometheus 2.5 to 2.33, which supported only the draft.
            ("application/openmetrics-text; version=0.0.1,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", OpenMetrics001),
            // Prometheus 2.49 to 2.55.
            (
                "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // Prometheus with native histograms, which prefers protobuf.
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            // Prometheus with scrape_protocols: [PrometheusText0.0.4].
            ("text/plain;version=0.0.4;q=0.6,*/*;q=0.5", Text),
            ("text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;q=0.5", Text),
            // curl, a browser.
            ("*/*", Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", Text),
            ("", Text),
            ("application/json", Text),
            // Quality, order, refusals.
            ("application/openmetrics-text;q=0.2, text/plain;q=0.9", Text),
            ("application/openmetrics-text, text/plain", OpenMetrics),
            ("text/plain, application/openmetrics-text", Text),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"", OpenMetrics),
            ("application/openmetrics-text;version=2.0.0, */*;q=0.1", Text),
            ("application/openmetrics-text;q=0, */*", Text),
            ("text/plain;q=0, */*", OpenMetrics),
            ("text/plain;q=0, */*;q=0, application/openmetrics-text;q=0", Text),
            ("application/*", OpenMetrics),
            ("text/*;q=0.5, application/*;q=0.4", Text),
        ] {
            assert_eq!(exposition_format(&headers(header::ACCEPT, &[header])), expected, "{header:?}");
        }
        assert_eq!(exposition_format(&HeaderMap::new()), Text);
        assert_eq!(
            exposition_format(&headers(header::ACCEPT, &["text/plain;q=0.5", "application/openmetrics-text"])),
            OpenMetrics
        );
    }
}
