//! Histories in real Prometheus servers: a time that `push-exporter backfill` writes at its end, and the same time as a
//! Prometheus has it that scraped all the time; day by day and series by series they are the same. And the figures of a year.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use push_exporter::backfill::{Backfill, Settings};
use push_exporter::metrics::help::HelpTexts;
use push_exporter::provider::config;
use push_exporter::provider::registry::PROVIDERS;
use push_exporter::simulator::easemob::{EasemobApp, EasemobSimulator};
use push_exporter::simulator::feishu::{FeishuApp, FeishuSimulator};
use push_exporter::util::clock::Clock;
use tokio_util::sync::CancellationToken;

use crate::history::write_page;
use crate::support::prometheus::Prometheus;
use crate::support::window_totals::{beijing, days};
use crate::support::{Exporter, Program, eventually, fast_dir, network, said, simulate, tool, until};

const FIRST: &str = "2026-03-03";
/// Number of days: a month if `PUSH_EXPORTER_HISTORY` says 31.
fn number_of_days() -> i64 {
    std::env::var("PUSH_EXPORTER_HISTORY").map_or(10, |days| days.parse().unwrap())
}

/// The day that is so many days after the first.
fn day(number: i64) -> String {
    let first: jiff::civil::Date = FIRST.parse().unwrap();
    (first + jiff::Span::new().days(number)).to_string()
}

/// The last day.
fn last() -> String {
    day(number_of_days() - 1)
}

/// Interval between scrapes, and between the samples of the history. Long, since the month has many of them; the queries are
/// about whole days and about the times of scrapes.
const STEP: i64 = 1800;
/// Each scrape is so many seconds after a multiple of that; the polls of that time have been made by then.
const AFTER: i64 = 60;

/// Makes blocks of a history, long ones: promtool reads the whole file for each.
fn blocks(history: &Path, data: &Path) {
    let paths = [history, data].map(|path| path.to_str().unwrap());
    let command =
        [["tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=54h", "--quiet"].as_slice(), &paths];
    let output = tool("promtool", &command.concat(), b"");
    assert!(output.status.success(), "{}", said(&output));
}

/// Writes the month as it is scraped to `live`, and at its end the history to `written`.
async fn record(live: &Path, written: &Path) {
    // Ten seconds past a multiple of five minutes, so that polls fall between events.
    let clock = Clock::following_tokio(beijing(FIRST, 9.0) + SignedDuration::from_secs(10));
    let easemob = EasemobApp { step: 300, kept: 60, per_day: 60_000.0, ..EasemobApp::demo("acme", "chat") };
    let feishu = FeishuApp { step: 300, kept: 120, per_day: 600.0, users: 300, ..FeishuApp::demo("cli_month") };
    let (id, secret, app_secret) =
        (easemob.client_id.clone(), easemob.client_secret.clone(), feishu.app_secret.clone());
    let (_, easemob) = simulate(EasemobSimulator::new(clock.clone(), easemob)).await;
    let (_, feishu) = simulate(FeishuSimulator::new(clock.clone(), feishu)).await;
    let text = format!(
        "easemob:\n  - {{app: chat, base_url: 'http://{easemob}', org_name: acme, app_name: chat, client_id: {id}, client_secret: {secret}}}\n\
         feishu:\n  - {{app: office-bot, base_url: 'http://{feishu}', app_id: cli_month, app_secret: {app_secret}, departments: [od-sales]}}\n"
    );
    let folder = fast_dir();
    let exporter = Exporter::start(&text, folder.path(), &clock).await;
    let mut file = std::io::BufWriter::new(std::fs::File::create(live).unwrap());
    // Feishu's last day appears two days after it, at 10:00.
    let (mut at, end) = ((clock.now().as_second() / STEP) * STEP + AFTER, beijing(&last(), 84.0).as_second());
    while at <= end {
        until(&clock, Timestamp::from_second(at).unwrap()).await;
        let began = Instant::now();
        let (status, page) = exporter.get("/metrics").await;
        assert_eq!(status, 200);
        write_page(&mut file, &page, began.elapsed(), at);
        at += STEP;
    }
    writeln!(file, "# EOF").unwrap();
    file.flush().unwrap();
    exporter.stop().await;
    let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let settings = Settings {
        from: FIRST.parse().unwrap(),
        to: Some(day(number_of_days() + 1).parse().unwrap()),
        step: Duration::from_secs(STEP.unsigned_abs()),
        labels: vec![label("job", "push-exporter"), label("instance", "push-exporter:10110")],
        output: written.to_owned(),
        resume: false,
    };
    let config = config::parse("test.yml", &text, folder.path(), &Default::default(), PROVIDERS).unwrap();
    let prepared = Backfill::prepare(&config, HelpTexts::default(), settings, &clock).await.unwrap();
    let summary = prepared.run(network(), Default::default(), CancellationToken::new()).await.unwrap();
    assert_eq!(summary.refused, []);
}

#[test]
fn a_written_history_is_what_a_prometheus_has_that_scraped_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(record(&path("live.om"), &path("written.om")));
    let servers = ["live", "written"].map(|name| {
        std::fs::create_dir(path(name)).unwrap();
        blocks(&path(&format!("{name}.om")), &path(name).join("data"));
        let server = Prometheus::start(&path(name), "    static_configs: []\n");
        eventually("Prometheus", 60, || server.query("vector(1)").first().copied());
        server
    });
    let [live, written] = &servers;
    let mut compared = 0;
    // The exporter was started in the middle of the first day, and began to count then.
    for day in days(&day(1), &last()) {
        let end = beijing(&day, 24.0).as_second();
        // A day of Easemob is counted when it happens; the last events of the day by the poll just after it.
        for metric in ["sent", "failed", "received"] {
            let query = |app: &str| format!("increase(push_messages_{metric}_total{{app=\"{app}\"}}[1d1ms])");
            let (scraped, told) = (live.query_at(&query("chat"), end + AFTER), written.query_at(&query("chat"), end));
            // Deliveries of a day that arrive after its end are counted on the next.
            let tolerance = if metric == "received" { 0.03 } else { 0.0 };
            compared += assert_close(&scraped, &told, tolerance, &format!("{metric} of Easemob on {day}"));
        }
        // A day of Feishu is counted when it appears, two days after it.
        let appeared = end + 2 * 86_400 + AFTER;
        for metric in ["sent", "read_within_1h", "read_within_12h"] {
            let query = format!("increase(push_messages_{metric}_total{{app=\"office-bot\"}}[1d1ms])");
            if appeared <= beijing(&last(), 84.0).as_second() {
                let (scraped, told) = (live.query_at(&query, appeared), written.query_at(&query, end));
                compared += assert_close(&scraped, &told, 0.0, &format!("{metric} of Feishu on {day}"));
            }
        }
        // Gauges are there at the same time. Easemob's may still grow by late arrivals, and are asked an hour after midnight.
        for hours in [1.0, 12.0] {
            let at = beijing(&day, hours).as_second();
            let query = r#"{__name__=~"push_(department_)?window_.*", __name__!="push_window_unaccounted_messages"}"#;
            let (scraped, told) = (live.query_at(query, at + AFTER), written.query_at(query, at));
            compared += assert_close(&scraped, &told, 0.0, &format!("gauges on {day} at {hours}"));
        }
    }
    // Each day has sixteen counters of Easemob, three of Feishu but for the last days, and twice some forty gauges, most of which
    // begin when Feishu's first week has closed.
    assert!(compared as i64 > (number_of_days() - 1) * (16 + 2 * 18), "{compared}");
    // Whole, the deliveries that arrived are the same too, but for those of the last day that came after it.
    let all = format!("sum(increase(push_messages_received_total[{}d1ms]))", number_of_days() - 1);
    let end = beijing(&last(), 24.0).as_second();
    let total = |server: &Prometheus, at| *server.query_at(&all, at).values().next().unwrap();
    assert!((total(live, end + AFTER) / total(written, end) - 1.0).abs() < 0.03 / number_of_days() as f64);
    eprintln!("{compared} values compared");
}

/// Asserts that two results have the same series with values that differ by at most a share. Returns the number of series.
#[track_caller]
fn assert_close(scraped: &BTreeMap<String, f64>, told: &BTreeMap<String, f64>, share: f64, when: &str) -> usize {
    let names = |values: &BTreeMap<String, f64>| values.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(scraped), names(told), "{when}");
    for (series, value) in scraped {
        let (value, other) = (value.round(), told[series].round());
        assert!((value - other).abs() <= value * share, "{when}: {series}: {value} was scraped, {other} written");
    }
    scraped.len()
}

/// Bytes of a line of `/proc/…/status`, such as `VmHWM`.
fn status(process: u32, line: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let found =
        text.lines().find_map(|found| found.strip_prefix(line)?.trim_start_matches(':').split_whitespace().next());
    found.and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap_or(0) * 1024
}

/// A year of some apps, half at Easemob and half at Feishu: how long it takes, how many requests, how much memory and how large
/// the file is. The providers' rate limits are real, so a year takes about a quarter of an hour; by default it is a fortnight.
#[test]
fn figures_of_a_history() {
    let variable = |name: &str, default: i64| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let (apps, days) = (variable("PUSH_EXPORTER_BACKFILL_APPS", 2), variable("PUSH_EXPORTER_BACKFILL_DAYS", 14));
    let step = std::env::var("PUSH_EXPORTER_BACKFILL_STEP").unwrap_or_else(|_| "5m".to_owned());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (mut easemob, mut feishu) = ("easemob:\n".to_owned(), "feishu:\n".to_owned());
    for number in 0..apps.div_euclid(2).max(1) {
        let app = EasemobApp {
            step: 6 * 3600,
            history: days + 10,
            kept: days + 20,
            seed: number.unsigned_abs(),
            per_day: 20_000.0,
            ..EasemobApp::demo("acme", &format!("chat-{number}"))
        };
        let (name, id, secret) = (app.app_name.clone(), app.client_id.clone(), app.client_secret.clone());
        let (_, at) = runtime.block_on(simulate(EasemobSimulator::new(Clock::system(), app)));
        easemob += &format!(
            "  - {{app: {name}, base_url: 'http://{at}', org_name: acme, app_name: {name}, client_id: {id}, client_secret: {secret}}}\n"
        );
        let app = FeishuApp {
            step: 6 * 3600,
            history: days + 70,
            kept: days + 80,
            seed: number.unsigned_abs(),
            per_day: 200.0,
            ..FeishuApp::demo(&format!("cli_{number:016}"))
        };
        let (id, secret) = (app.app_id.clone(), app.app_secret.clone());
        let (_, at) = runtime.block_on(simulate(FeishuSimulator::new(Clock::system(), app)));
        feishu += &format!("  - {{app: bot-{number}, base_url: 'http://{at}', app_id: {id}, app_secret: {secret}}}\n");
    }
    let config = folder.path().join("push-exporter.yml");
    std::fs::write(&config, easemob + &feishu).unwrap();
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Shanghai").unwrap()).date();
    let from = today.checked_sub(jiff::Span::new().days(days)).unwrap().to_string();
    let output = folder.path().join("history.om.gz");
    let command = |more: &[&str]| {
        let mut command: Command = Program::binary();
        command.args(["backfill", "--config.file"]).arg(&config).arg("--output").arg(&output);
        command.args(["--from", &from, "--step", &step]).args(more).stdin(Stdio::null()).stderr(Stdio::null());
        command
    };
    let estimate = command(&["--dry-run"]).output().unwrap();
    assert!(estimate.status.success());
    let estimate = String::from_utf8(estimate.stdout).unwrap();
    let began = Instant::now();
    let mut child = command(&[]).stdout(Stdio::piped()).spawn().unwrap();
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(status(child.id(), "VmHWM"));
        std::thread::sleep(Duration::from_millis(200));
    }
    let told = said(&child.wait_with_output().unwrap());
    let took = began.elapsed().as_secs();
    eprintln!(
        "{apps} apps, {days} days, every {step}: {took} s, peak {} MiB\n{}\n{told}",
        peak / 1024 / 1024,
        estimate.lines().last().unwrap()
    );
    // As estimated, and the memory of a process that has little to remember.
    let requests = |text: &str, before: &str| {
        let words: Vec<&str> =
            text.lines().find(|line| line.contains(" requests")).unwrap().split_whitespace().collect();
        let at = words.iter().position(|word| word.trim_end_matches(',') == before).unwrap();
        words[at - 1].replace(',', "").parse::<u64>().unwrap()
    };
    let (sent, estimated) = (requests(&told, "requests"), requests(estimate.lines().last().unwrap(), "requests"));
    // On a busy machine some are sent again.
    assert!((estimated..=estimated + estimated / 100).contains(&sent), "{sent} requests, {estimated} estimated");
    assert!(peak < 150 * 1024 * 1024, "{peak} bytes");
    // The text of a year does not fit in memory.
    let end = format!("gzip -dc {} | tail -c 6", output.display());
    assert_eq!(tool("sh", &["-c", &end], b"").stdout, b"# EOF\n");
}
