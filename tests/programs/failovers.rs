//! Failovers while numbers grow: kills, suspended processes, a network that is cut, clean stops, in turn. A real Prometheus
//! scrapes both replicas all the time. No counter falls, what it has at the end is the truth, and no provider is asked more
//! often than its documented limit allows.

use std::time::{Duration, Instant};

use crate::support::cuttable_proxy::CuttableProxy;
use crate::support::fleet::{LEASE, all_apps, shared};
use crate::support::growing_apps::{GrowingApps, INTERVAL, LIMIT};
use crate::support::postgres::Server;
use crate::support::prometheus::Prometheus;
use crate::support::{Program, eventually, fast_dir, signal};

const APPS: usize = 10;

/// How often a replica fails; `tests/long.sh` asks for a hundred times.
fn failovers() -> usize {
    std::env::var("PUSH_EXPORTER_FAILOVERS").map_or(8, |count| count.parse().expect("a number of failovers"))
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
    let (server, folder) = (Server::start(), fast_dir());
    let (world, apps) = GrowingApps::start(APPS);
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
    world.begin();

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
    world.end();

    // Every sample that Prometheus has, in its order.
    let metric = "push_messages_sent_total";
    let totals = world.totals();
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
    let expected = seconds / INTERVAL as usize;
    let mut all = 0;
    for (app, asked) in world.asked() {
        assert!(asked.most <= LIMIT.0, "{app}: {} requests in ten seconds", asked.most);
        // Beyond its pace, an app is asked at most twice more for each failover: at the takeover and at the return.
        assert!(asked.all <= expected + 2 * failovers() + 5, "{app}: {} requests in {seconds} s", asked.all);
        all += asked.all;
    }
    println!(
        "{} failovers in {seconds} s: {samples} samples, {all} requests, {} expected",
        failovers(),
        expected * APPS
    );
}
