//! Easemob apps whose numbers grow until a test ends it, with the truth about them and a record of when they were asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::runtime::Runtime;

use crate::support::eventually;
use crate::support::scripted_provider::{ScriptedProvider, respond};
use crate::support::simulate;

/// Seconds between two polls of an app.
pub const INTERVAL: u64 = 2;
/// Easemob's documented limit: requests in a window.
pub const LIMIT: (usize, Duration) = (10, Duration::from_secs(10));

/// How often an app was asked.
#[derive(Clone, Default)]
pub struct Asked {
    recent: VecDeque<Instant>,
    /// The most requests in one window of the limit.
    pub most: usize,
    /// All requests.
    pub all: usize,
}

#[derive(Default)]
struct Truth {
    /// Deliveries by app and day.
    sent: Mutex<BTreeMap<(String, String), i64>>,
    asked: Mutex<BTreeMap<String, Asked>>,
    is_over: AtomicBool,
}

/// The provider of these apps.
pub struct GrowingApps {
    runtime: Runtime,
    truth: Arc<Truth>,
    count: usize,
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
        let mut all = self.asked.lock().unwrap();
        let asked = all.entry((*app).to_owned()).or_default();
        let now = Instant::now();
        asked.recent.push_back(now);
        while asked.recent.front().is_some_and(|first| now.duration_since(*first) > LIMIT.1) {
            asked.recent.pop_front();
        }
        asked.most = asked.most.max(asked.recent.len());
        asked.all += 1;
        drop(all);
        let sent = self.sent.lock().unwrap();
        let days = sent.iter().filter(|((of, day), _)| of == app && (*begin..=*end).contains(&day.as_str()));
        let days: Vec<String> =
            days.map(|((_, day), count)| format!(r#""{day}":{{"APNS":{{"successCount":{count}}}}}"#)).collect();
        respond(200, format!(r#"{{"status":"OK","data":{{{}}}}}"#, days.join(",")))
    }
}

impl GrowingApps {
    /// Starts the provider of `app0`, `app1`, …; returns their configuration too.
    pub fn start(count: usize) -> (GrowingApps, String) {
        let (truth, runtime) = (Arc::new(Truth::default()), Runtime::new().unwrap());
        let answering = Arc::clone(&truth);
        let provider = ScriptedProvider::answering(move |request| answering.answer(request));
        let (_, address) = runtime.block_on(simulate(provider));
        let app = |number| {
            format!(
                "  - {{app: app{number}, base_url: 'http://{address}', org_name: acme, app_name: app{number}, client_id: a, client_secret: b, interval: {INTERVAL}s}}\n"
            )
        };
        let apps = format!("easemob:\n{}", (0..count).map(app).collect::<String>());
        (GrowingApps { runtime, truth, count }, apps)
    }

    /// Lets the numbers grow, once each app has its baseline of nothing, so that every delivery counts.
    pub fn begin(&self) {
        let truth = Arc::clone(&self.truth);
        eventually("each app to be asked", 60, || (truth.asked.lock().unwrap().len() == self.count).then_some(()));
        std::thread::sleep(Duration::from_secs(INTERVAL));
        let count = self.count;
        self.runtime.spawn_blocking(move || {
            let mut random = fastrand::Rng::with_seed(7);
            while !truth.is_over.load(Ordering::Relaxed) {
                let app = format!("app{}", random.usize(..count));
                *truth.sent.lock().unwrap().entry((app, today())).or_default() += random.i64(1..50);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
    }

    /// Ends the growth.
    pub fn end(&self) {
        self.truth.is_over.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(100));
    }

    /// All deliveries by app.
    pub fn totals(&self) -> BTreeMap<String, i64> {
        let mut totals: BTreeMap<String, i64> = (0..self.count).map(|number| (format!("app{number}"), 0)).collect();
        for ((app, _), count) in self.truth.sent.lock().unwrap().iter() {
            *totals.entry(app.clone()).or_default() += count;
        }
        totals
    }

    /// How often each app was asked.
    pub fn asked(&self) -> BTreeMap<String, Asked> {
        self.truth.asked.lock().unwrap().clone()
    }
}

impl Drop for GrowingApps {
    fn drop(&mut self) {
        self.end();
    }
}
