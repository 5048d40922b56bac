//! A real Prometheus server that scrapes the exporter, and what it is asked.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Running, tool};

/// A Prometheus of its own, which ends with the test.
pub struct Prometheus {
    _running: Running,
    port: u16,
}

impl Prometheus {
    /// With one job, of which these are the settings, scraping every two seconds.
    pub fn start(folder: &Path, job: &str) -> Prometheus {
        Prometheus::with_rules(folder, job, "")
    }

    /// With rules besides, a glob of files, evaluated every two seconds unless they say otherwise.
    pub fn with_rules(folder: &Path, job: &str, rules: &str) -> Prometheus {
        let config = folder.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 2s}}\nrule_files: [{rules}]\n\
             scrape_configs:\n  - job_name: push-exporter\n    honor_labels: true\n{job}"
        );
        std::fs::write(&config, text).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("prometheus")
            .args([
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", folder.join("data").display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                // A history may be longer than two weeks by the clock of a test.
                "--storage.tsdb.retention.time=1y".to_owned(),
                "--log.level=error".to_owned(),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is missing; tests/run.sh installs it");
        Prometheus { _running: Running(child), port }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The values of an instant query; none while it cannot answer.
    pub fn query(&self, expression: &str) -> Vec<f64> {
        let url = format!("{}/api/v1/query", self.url());
        let data = format!("query={expression}");
        let output = tool("curl", &["--silent", "--get", "--data-urlencode", &data, &url], b"");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let samples = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        samples.iter().filter_map(|sample| sample["value"][1].as_str()?.parse().ok()).collect()
    }

    /// The values of an instant query at a time in Unix seconds, by the labels of the series.
    pub fn query_at(&self, expression: &str, at: i64) -> BTreeMap<String, f64> {
        let url = format!("{}/api/v1/query", self.url());
        let (query, time) = (format!("query={expression}"), format!("time={at}"));
        let parameters = ["--data-urlencode", &query, "--data-urlencode", &time];
        let output = tool("curl", &[&["--silent", "--get"], parameters.as_slice(), &[&url]].concat(), b"");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let samples = answer["data"]["result"].as_array().unwrap_or_else(|| panic!("{expression}: {answer}"));
        let value = |sample: &serde_json::Value| {
            // The names of labels are in order.
            (sample["metric"].to_string(), sample["value"][1].as_str().unwrap().parse().unwrap())
        };
        samples.iter().map(value).collect()
    }

    /// Every sample of the last day of a metric, by app: time and value.
    pub fn samples(&self, metric: &str) -> BTreeMap<String, Vec<(f64, f64)>> {
        let url = format!("{}/api/v1/query?query={metric}%5B1d%5D", self.url());
        let output = tool("curl", &["--silent", &url], b"");
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let mut series = BTreeMap::new();
        for one in answer["data"]["result"].as_array().into_iter().flatten() {
            let pair = |pair: &serde_json::Value| Some((pair[0].as_f64()?, pair[1].as_str()?.parse().ok()?));
            let values = one["values"].as_array().into_iter().flatten().filter_map(pair).collect();
            let app = one["metric"]["app"].as_str().unwrap_or_default().to_owned();
            assert!(series.insert(app.clone(), values).is_none(), "{app} has two series: {}", one["metric"]);
        }
        series
    }

    /// Its own metrics.
    pub fn own(&self) -> String {
        let output = tool("curl", &["--silent", &format!("http://127.0.0.1:{}/metrics", self.port)], b"");
        String::from_utf8(output.stdout).unwrap()
    }
}
