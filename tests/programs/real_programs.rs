//! The page as real programs read it: promtool, a Prometheus server, curl, Python's gzip.

use std::time::{Duration, Instant};

use crate::support::jpush_script::Scene;
use crate::support::prometheus::Prometheus;
use crate::support::{Page, Program, eventually, minutes, tool};

/// Whether every report of the demo has succeeded: the demo has some of each kind, and more with each provider.
fn is_all_up(page: &Page) -> bool {
    let up = page.starting(&["push_up"]);
    up.len() > 12 && up.values().all(|up| *up == 1)
}

fn assert_silent(page: &str) {
    let output = tool("promtool", &["check", "metrics"], page.as_bytes());
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_has_nothing_to_say() {
    // Everything that goes well …
    let program = Program::start(&["demo"]);
    let page = eventually("a full page", 60, || {
        let (_, text) = program.get("/metrics");
        let page = Page::parse(&text);
        let is_full = is_all_up(&page)
            && page.counters().values().any(|count| *count > 0)
            && [
                "push_window_users_reached",
                "push_department_window_messages_sent",
                "push_token_expiry",
                "push_unknown_fields_total",
                "push_data_last_change",
                "push_messages_displayed_total",
                "push_newest_message_targeted",
                "push_newest_message_timestamp_seconds",
                "push_tracked_messages",
                "push_users",
                "push_test_devices",
                "push_vendor_quota",
                "push_vendor_quota_used",
                "push_message_file_bad_lines_total",
            ]
            .iter()
            .all(|family| !page.starting(&[family]).is_empty());
        is_full.then_some(text)
    });
    assert_silent(&page);
    eventually("CPU seconds with a fraction", 30, || {
        let cpu = program.try_scrape()?.get("process_cpu_seconds_total")?;
        (cpu.fract() != 0.0).then_some(())
    });
    // … and what goes badly.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("push-exporter.yml");
    std::fs::write(&file, "feishu:\n  - {app: bot, base_url: 'http://127.0.0.1:1', app_id: cli_x, app_secret: s}\n")
        .unwrap();
    let program = Program::start(&["--config.file", file.to_str().unwrap()]);
    let page = eventually("a failure", 60, || {
        let (_, text) = program.get("/metrics");
        text.contains("push_poll_failing{").then_some(text)
    });
    assert_silent(&page);
}

#[tokio::test(start_paused = true)]
async fn promtool_has_nothing_to_say_of_messages_either() {
    let scene = Scene::new().await;
    let exporter = scene.start("newest_messages: 5, messages: {ids: [1]}").await;
    scene.say(1, r#""android_pns_sent":2,"android_pns_received":1"#);
    minutes(20.0).await;
    let (_, text) = exporter.get("/metrics").await;
    let page = Page::parse(&text);
    for family in ["push_messages_sent_at_10m_total", "push_messages_received_at_10m_total", "push_newest_message_sent"]
    {
        assert_eq!(page.starting(&[family]).len(), 1, "{family}");
    }
    assert_silent(&text);
    exporter.stop().await;
}

#[test]
fn curl_and_python_read_the_compressed_page() {
    let program = Program::start(&["demo"]);
    let url = format!("http://{}/metrics", program.address);
    eventually("all up", 60, || is_all_up(&Page::parse(&program.get("/metrics").1)).then_some(()));
    let output = tool(
        "curl",
        &["--silent", "--show-error", "--fail", "--compressed", "--dump-header", "/dev/stderr", &url],
        b"",
    );
    let head = String::from_utf8(output.stderr).unwrap().to_ascii_lowercase();
    assert!(output.status.success() && head.contains("content-encoding: gzip"), "{head}");
    let by_curl = Page::parse(&String::from_utf8(output.stdout).unwrap());
    // The last family of the last block, behind every flush.
    assert!(by_curl.get("push_exporter_task_panics_total").is_some());

    let script = "import gzip,sys,urllib.request as r\n\
        q=r.Request(sys.argv[1],headers={'Accept-Encoding':'gzip'})\n\
        a=r.urlopen(q)\nassert a.headers['Content-Encoding']=='gzip'\n\
        sys.stdout.write(gzip.decompress(a.read()).decode())";
    let output = tool("python3", &["-c", script, &url], b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let by_python = Page::parse(&String::from_utf8(output.stdout).unwrap());
    // Series may have been added meanwhile, but none is gone.
    assert!(by_curl.0.keys().all(|series| by_python.0.contains_key(series)));
}

#[test]
fn a_real_prometheus_scrapes_the_demo_for_a_minute() {
    let program = Program::start(&["demo"]);
    let folder = tempfile::tempdir().unwrap();
    let job = format!("    static_configs: [{{targets: ['{}'], labels: {{app: overridden}}}}]\n", program.address);
    let prometheus = Prometheus::start(folder.path(), &job);
    let started = Instant::now();
    let minutes: u64 = std::env::var("PUSH_EXPORTER_SCRAPE_MINUTES").map_or(1, |minutes| minutes.parse().unwrap());
    eventually("all the scrapes", minutes * 60 + 60, || {
        let scrapes = prometheus.query("count_over_time(up[1m])");
        let is_over = started.elapsed() > Duration::from_secs(minutes * 60);
        (is_over && scrapes.first().is_some_and(|count| *count >= 25.0)).then_some(())
    });
    assert_eq!(prometheus.query("min_over_time(up[1h])"), [1.0], "up is 1 at every scrape");
    for (provider, count) in
        [("jpush", 10.0), ("easemob", 1.0), ("feishu", 1.0), ("engagelab", 3.0), ("getui", 5.0), ("onesignal", 1.0)]
    {
        let grown =
            prometheus.query(&format!("sum(increase(push_messages_sent_total{{provider=\"{provider}\"}}[1m]))"));
        assert!(grown.first().is_some_and(|grown| *grown > 0.0), "{provider} grew by {grown:?}");
        let apps = prometheus.query(&format!("count(push_up{{provider=\"{provider}\",app!=\"overridden\"}})"));
        assert_eq!(apps, [count], "the label app is ours");
    }
    assert_eq!(
        prometheus.query("max_over_time((scrape_samples_scraped - scrape_samples_post_metric_relabeling)[2m:2s])"),
        [0.0]
    );
    let own = Page::parse(&prometheus.own());
    let dropped = own.starting(&["prometheus_target_scrapes_sample_", "prometheus_target_scrapes_exceeded_"]);
    assert!(dropped.len() >= 3, "{dropped:?}");
    assert_eq!(dropped.values().sum::<i64>(), 0, "samples were dropped: {dropped:?}");
}
