//! OpenMetrics: the official parser takes the page, it says what the text says, and times of creation stay.

use std::collections::BTreeMap;
use std::io::Read;
use std::time::Duration;

use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::util::clock::Clock;

use crate::support::{Exporter, Page, Program, eventually, fast_dir, simulate, tool};

/// What Prometheus 2.42 sends, and Prometheus 3.
const PROMETHEUS_2: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

struct Answer {
    status: u16,
    content_type: String,
    coding: String,
    length: String,
    text: String,
}

async fn ask(address: std::net::SocketAddr, method: &str, accept: &str, coding: &str) -> Answer {
    let client = reqwest::Client::builder().no_proxy().no_gzip().build().unwrap();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = client.request(method, format!("http://{address}/metrics"));
    let response = request.header("accept", accept).header("accept-encoding", coding).send().await.unwrap();
    let header = |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
    let (content_type, coding, length) = (header("content-type"), header("content-encoding"), header("content-length"));
    let status = response.status().as_u16();
    let body = response.bytes().await.unwrap();
    let mut text = String::new();
    if coding == "gzip" && !body.is_empty() {
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    } else {
        text = String::from_utf8(body.to_vec()).unwrap();
    }
    Answer { status, content_type, coding, length, text }
}

/// The samples but for times of creation, and those times by the counter that they are of.
fn split(text: &str) -> (BTreeMap<String, f64>, BTreeMap<String, f64>) {
    let Page(series) = Page::parse(text);
    let (created, samples): (BTreeMap<_, _>, BTreeMap<_, _>) =
        series.into_iter().partition(|(name, _)| name.split('{').next().unwrap().ends_with("_created"));
    (samples, created)
}

#[tokio::test(start_paused = true)]
async fn the_same_as_the_text_with_times_of_creation_that_stay() {
    let clock = Clock::following_tokio("2026-03-10T09:00:00+08:00".parse().unwrap());
    let app = EasemobApp::demo("acme", "chat");
    let (_, address) = simulate(EasemobSimulator::new(clock.clone(), app.clone())).await;
    let folder = fast_dir();
    let text = format!(
        "easemob:\n  - {{app: chat, base_url: \"http://{address}\", org_name: acme, app_name: chat, client_id: {}, client_secret: {}}}\n",
        app.client_id, app.client_secret
    );
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    tokio::time::sleep(Duration::from_secs(3700)).await;
    let plain = exporter.scrape().await;
    let first = ask(exporter.address, "GET", PROMETHEUS_2, "identity").await;
    assert_eq!(first.content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(first.text.ends_with("\n# EOF\n"), "{}", &first.text[first.text.len() - 100..]);
    let (samples, created) = split(&first.text);
    // The process's own numbers move from scrape to scrape.
    let steady = |series: &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
        let moves = |name: &str| name.starts_with("push_exporter_http") || name.starts_with("process_");
        // A limit of a bucket has a point here.
        let name = |name: &str| name.replace(".0\"", "\"");
        series.iter().filter(|(name, _)| !moves(name)).map(|(series, value)| (name(series), *value)).collect()
    };
    assert_eq!(steady(&samples), steady(&plain.0));
    // Every counter and histogram has one, next to it.
    for series in samples.keys() {
        let (name, labels) = series.split_once('{').map_or((series.as_str(), ""), |(name, rest)| (name, rest));
        if let Some(base) = name.strip_suffix("_total").or_else(|| name.strip_suffix("_count")) {
            let braces = if labels.is_empty() { String::new() } else { format!("{{{labels}") };
            assert!(created.contains_key(&format!("{base}_created{braces}")), "{series}");
        }
    }
    // As the simulator's first answer came: ten seconds after nine at the latest.
    let began = "2026-03-10T09:00:00+08:00".parse::<jiff::Timestamp>().unwrap().as_second() as f64;
    let sent = r#"push_messages_sent_created{provider="easemob",app="chat",platform="ios",channel="apns",kind="notification"}"#;
    assert!((began..began + 10.0).contains(&created[sent]), "{}", created[sent]);
    assert!(created.values().all(|at| (began..began + 3800.0).contains(at)));

    for (accept, content_type) in [
        (PROMETHEUS_3, "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=0.0.1", "application/openmetrics-text; version=0.0.1; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.6,*/*;q=0.5", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
    ] {
        for coding in ["gzip", "identity"] {
            let get = ask(exporter.address, "GET", accept, coding).await;
            let head = ask(exporter.address, "HEAD", accept, coding).await;
            assert_eq!((get.status, get.content_type.as_str()), (200, content_type), "{accept}");
            assert_eq!(get.coding == "gzip", coding == "gzip");
            assert_eq!((head.status, head.content_type.as_str(), head.coding), (200, content_type, get.coding));
            assert!(head.text.is_empty() && head.length.parse::<usize>().unwrap() > 1000);
            assert_eq!(get.text.ends_with("# EOF\n"), content_type.starts_with("application"));
            // In the same order every time.
            let order = |text: &str| -> Vec<String> {
                let series = text.lines().filter(|line| {
                    !line.starts_with('#') && line.starts_with("push_") && !line.starts_with("push_exporter")
                });
                series.map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
            };
            let again = ask(exporter.address, "GET", accept, coding).await;
            assert_eq!(order(&get.text), order(&again.text));
        }
    }

    // A day later, and after a restart, what has been created has been created then.
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    let later = split(&ask(exporter.address, "GET", PROMETHEUS_3, "gzip").await.text).1;
    for (series, at) in &created {
        assert_eq!(later.get(series), Some(at), "{series}");
    }
    exporter.stop().await;
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let (samples, restarted) = split(&ask(exporter.address, "GET", PROMETHEUS_3, "gzip").await.text);
    let delivery: Vec<_> = later.iter().filter(|(series, _)| series.starts_with("push_messages")).collect();
    assert!(delivery.len() >= 10, "{delivery:?}");
    for (series, at) in delivery {
        assert_eq!(restarted.get(series), Some(at), "{series}");
    }
    let unknown = r#"push_unknown_fields_created{provider="easemob",report="offline_push"}"#;
    assert_eq!(restarted.get(unknown), later.get(unknown), "what is remembered goes on");
    // What starts anew says so.
    let own = r#"push_api_requests_created{provider="easemob",app="chat",report="offline_push",code="200"}"#;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let restarted = split(&ask(exporter.address, "GET", PROMETHEUS_3, "gzip").await.text).1;
    assert!(restarted[own] > later[own] + 80_000.0, "{samples:?}");
    exporter.stop().await;
}

/// Reads a page with a parser of PyPI's prometheus_client; a line for each sample.
fn parsed_by_python(module: &str, text: &str) -> BTreeMap<String, String> {
    let script = format!(
        "import sys\nfrom {module} import text_string_to_metric_families\n\
         for family in text_string_to_metric_families(sys.stdin.read()):\n\
         \x20   for s in family.samples:\n\
         \x20       print(s.name + '\\t' + repr(sorted(s.labels.items())) + '\\t' + repr(float(s.value)))\n"
    );
    let output = tool("target/python/bin/python", &["-c", &script], text.as_bytes());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .map(|line| {
            let (series, value) = line.rsplit_once('\t').unwrap();
            (series.to_owned(), value.to_owned())
        })
        .collect()
}

#[test]
fn the_official_parser_reads_the_full_demo() {
    let program = Program::start(&["demo"]);
    eventually("every kind of metric", 60, || {
        let page = program.try_scrape()?;
        let families =
            ["push_users{", "push_test_devices{", "push_messages_clicked_total{", "push_window_users_reached{"];
        families.iter().all(|family| !page.starting(&[family]).is_empty()).then_some(())
    });
    let fetch = |accept: &str| {
        let url = format!("http://{}/metrics", program.address);
        let output = tool("curl", &["-sS", "--compressed", "-H", &format!("Accept: {accept}"), &url], b"");
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let samples = |text: BTreeMap<String, String>| -> BTreeMap<String, String> {
        let own = ["process_", "push_exporter_http", "push_exporter_ledger"];
        text.into_iter()
            .filter(|(name, _)| !name.split('\t').next().unwrap().ends_with("_created"))
            .filter(|(name, _)| !own.iter().any(|own| name.starts_with(own)))
            .collect()
    };
    // The demo goes on between the two: one pair of pages shows the same moment.
    eventually("the same samples in both", 60, || {
        let (openmetrics, text) = (fetch(PROMETHEUS_2), fetch("text/plain"));
        let all = parsed_by_python("prometheus_client.openmetrics.parser", &openmetrics);
        assert!(all.len() > 500, "{} samples", all.len());
        let (ours, plain) = (samples(all), samples(parsed_by_python("prometheus_client.parser", &text)));
        let names = |samples: &BTreeMap<String, String>| samples.keys().cloned().collect::<Vec<_>>();
        (names(&ours) == names(&plain) && ours == plain).then_some(())
    });
    let openmetrics = fetch(PROMETHEUS_2);
    for line in [
        "# TYPE push_messages_sent counter",
        "# TYPE push_poll_duration_seconds gauge",
        "# UNIT push_poll_duration_seconds seconds",
        "# TYPE push_exporter_ledger_size_bytes gauge",
        "# UNIT push_exporter_ledger_size_bytes bytes",
        "# TYPE process_cpu_seconds counter",
        "# UNIT process_cpu_seconds seconds",
        "# TYPE push_exporter_http_request_duration_seconds histogram",
    ] {
        assert!(openmetrics.lines().any(|other| other == line), "{line}");
    }
}
