//! Failovers while numbers grow: kills, suspended processes, a network that is cut, clean stops, in turn. A real Prometheus
//! scrapes both replicas all the time. No counter falls, what it has at the end is the truth, and no provider is asked more
//! often than its documented limit allows.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::runtime::Runtime;

use crate::support::cuttable_proxy::CuttableProxy;
use crate::support::fleet::{LEASE, all_apps, shared};
use crate::support::postgres::Server;
use crate::support::prometheus::Prometheus;
use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::{Program, eventually, fast_dir, signal, simulate};

const APPS: usize = 10;
/// Seconds between two polls of an app.
const INTERVAL: u64 = 2;
/// Easemob's documented limit: requests in a window of seconds.
const LIMIT: (usize, Duration) = (10, Duration::from_secs(10));

/// How often a replica fails; `tests/long.sh` asks for a hundred times.
fn failovers() -> usize {
    std::env::var("PUSH_EXPORTER_FAILOVERS").map_or(8, |count| count.parse().expect("a number of failovers"))
}

/// Easemob apps whose numbers grow, and a record of when they were asked.
#[derive(Default)]
struct Truth {
    /// Deliveries by app and day.
    sent: Mutex<BTreeMap<(String, String), i64>>,
    /// Requests for statistics by app within the last window, and the most that were in one; and their number.
    asked: Mutex<BTreeMap<String, (VecDeque<Instant>, usize, usize)>>,
    is_over: AtomicBool,
}

fn today() -> String {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::get("Asia/Shanghai").unwrap()).date().to_string()
}

impl Truth {
    fn answer(&self, request: &Request<Vec<u8>>) -> Response<Vec<u8>> {
        let path: Vec<&str> = request.uri().path().split('/').collect();
        let [_, _, app, .., "begin", begin, "end", end] = path.as_slice() else {
            return respond(200, r#"{"access_token":"t","expires_in":86400}"#.to_owned());
        };
        let mut asked = self.asked.lock().unwrap();
        let (recent, most, all) = asked.entry((*app).to_owned()).or_default();
        let now = Instant::now();
        recent.push_back(now);
        while recent.front().is_some_and(|first| now.duration_since(*first) > LIMIT.1) {
            recent.pop_front();
        }
        *most = recent.len().max(*most);
        *all += 1;
        drop(asked);
        let sent = self.sent.lock().unwrap();
        let days = sent.iter().filter(|((of, day), _)| of == app && (*begin..=*end).contains(&day.as_str()));
        let days: Vec<String> =
            days.map(|((_, day), count)| format!(r#""{day}":{{"APNS":{{"successCount":{count}}}}}"#)).collect();
        respond(200, format!(r#"{{"status":"OK","data":{{{}}}}}"#, days.join(",")))
    }

    /// Lets the numbers grow until it is over.
    fn grow(&self) {
        let mut random = fastrand::Rng::with_seed(7);
        while !self.is_over.load(Ordering::Relaxed) {
            let app = format!("app{}", random.usize(..APPS));
            *self.sent.lock().unwrap().entry((app, today())).or_default() += random.i64(1..50);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn total(&self, app: &str) -> i64 {
        self.sent.lock().unwrap().iter().filter(|((of, _), _)| of == app).map(|(_, count)| count).sum()
    }
}

/// One of the two replicas, with a port of its own that it has again after a restart, and a network that can be cut.
struct Member {
    name: &'static str,
    port: u16,
    database: CuttableProxy,
    program: Option<Program>,
}

impl Member {
    fn new(name: &'static str, server: &Server) -> Member {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let database = CuttableProxy::to(([127, 0, 0, 1], server.port).into());
        Member { name, port, database, program: None }
    }

    fn start(&mut self, folder: &std::path::Path, apps: &str) {
        let file = folder.join(format!("{}.yml", self.name));
        let keys = format!("replica: {{name: {}, lease: {LEASE}s, instance: fleet}}\nnew_series_hold: 2s\n", self.name);
        let ledger = format!("postgres://push@127.0.0.1:{}/push", self.database.port);
        std::fs::write(&file, format!("ledger: {ledger}\n{keys}{apps}")).unwrap();
        let address = format!("127.0.0.1:{}", self.port);
        let arguments = ["--web.listen-address", &address, "--config.file", file.to_str().unwrap()];
        self.program = Program::try_start(&arguments, &[("PGPASSWORD", "hunter2")]);
        assert!(self.program.is_some(), "{} ended at once", self.name);
    }

    fn program(&mut self) -> &mut Program {
        self.program.as_mut().unwrap()
    }
}

#[test]
fn no_counter_falls_and_what_prometheus_has_is_the_truth() {
    let (server, folder, runtime) = (Server::start(), fast_dir(), Runtime::new().unwrap());
    let truth = Arc::new(Truth::default());
    let answering = Arc::clone(&truth);
    let provider = ScriptedProvider::answering(move |request| answering.answer(request));
    let (_provider, address) = runtime.block_on(simulate(provider));
    let app = |number| {
        format!(
            "  - {{app: app{number}, base_url: 'http://{address}', org_name: acme, app_name: app{number}, client_id: a, client_secret: b, interval: {INTERVAL}s}}\n"
        )
    };
    let apps = format!("easemob:\n{}", (0..APPS).map(app).collect::<String>());
    let mut members = [Member::new("first", &server), Member::new("second", &server)];
    let job = format!(
        "    scrape_interval: 1s\n    scrape_timeout: 1s\n    static_configs: [{{targets: ['127.0.0.1:{}', '127.0.0.1:{}']}}]\n",
        members[0].port, members[1].port
    );
    let prometheus = Prometheus::start(folder.path(), &job);
    let began = Instant::now();
    for member in &mut members {
        member.start(folder.path(), &apps);
    }
    // Numbers grow once each app has its baseline of nothing, so that every delivery counts.
    eventually("each app to be asked", 60, || (truth.asked.lock().unwrap().len() == APPS).then_some(()));
    std::thread::sleep(Duration::from_secs(INTERVAL));
    let growing = Arc::clone(&truth);
    let growth = std::thread::spawn(move || growing.grow());

    let longer = Duration::from_secs(LEASE + 2);
    for round in 0..failovers() {
        {
            let [first, second] = &members;
            shared(&[first.program.as_ref().unwrap(), second.program.as_ref().unwrap()], APPS, 1);
        }
        let (victim, other) = if round % 2 == 0 { (0, 1) } else { (1, 0) };
        let takes_over = |members: &[Member; 2]| {
            let other = members[other].program.as_ref().unwrap();
            eventually("the other to take over", 60, || (all_apps(&[other]).len() == APPS).then_some(()));
        };
        match round / 2 % 4 {
            0 => {
                members[victim].program().child.kill().unwrap();
                members[victim].program().exit_code();
                takes_over(&members);
                members[victim].start(folder.path(), &apps);
            }
            1 => {
                signal(&members[victim].program().child, "STOP");
                std::thread::sleep(longer);
                takes_over(&members);
                signal(&members[victim].program().child, "CONT");
            }
            2 => {
                members[victim].database.cut();
                std::thread::sleep(longer);
                takes_over(&members);
                members[victim].database.mend();
            }
            _ => {
                assert_eq!(members[victim].program().terminate().0, Some(0));
                takes_over(&members);
                members[victim].start(folder.path(), &apps);
            }
        }
    }
    truth.is_over.store(true, Ordering::Relaxed);
    growth.join().unwrap();

    // Every sample that Prometheus has, in its order.
    let metric = "push_messages_sent_total";
    let totals: BTreeMap<String, i64> =
        (0..APPS).map(|number| format!("app{number}")).map(|app| (app.clone(), truth.total(&app))).collect();
    let series = eventually("the last numbers to be scraped", 60, || {
        let series = prometheus.samples(metric);
        let last = |app: &str| Some(series.get(app)?.last()?.1 as i64);
        totals.iter().all(|(app, total)| last(app) == Some(*total)).then_some(series)
    });
    assert_eq!(series.len(), APPS, "one series for each app, whoever shows it");
    let mut samples = 0;
    for (app, values) in &series {
        assert_eq!(values[0].1, 0.0, "{app} begins at 0");
        for pair in values.windows(2) {
            assert!(pair[0].1 <= pair[1].1, "{app} falls from {} to {} at {}", pair[0].1, pair[1].1, pair[1].0);
        }
        samples += values.len();
    }
    assert_eq!(prometheus.query(&format!("sum(resets({metric}[1d]))")), [0.0]);
    let rejected = prometheus.own();
    let rejected = rejected.lines().filter(|line| {
        line.starts_with("prometheus_target_scrapes_sample_") && line.contains("_total ") && !line.ends_with(" 0")
    });
    assert_eq!(rejected.collect::<Vec<_>>(), Vec::<&str>::new(), "samples that Prometheus did not take");

    let seconds = began.elapsed().as_secs() as usize;
    let asked = truth.asked.lock().unwrap();
    let expected = seconds / INTERVAL as usize;
    for (app, (_, most, all)) in asked.iter() {
        assert!(*most <= LIMIT.0, "{app}: {most} requests in ten seconds");
        // Beyond its pace, an app is asked at most twice more for each failover: at the takeover and at the return.
        assert!(*all <= expected + 2 * failovers() + 5, "{app}: {all} requests in {seconds} s");
    }
    let all: usize = asked.values().map(|(.., all)| all).sum();
    println!(
        "{} failovers in {seconds} s: {samples} samples, {all} requests, {} expected",
        failovers(),
        expected * APPS
    );
}
