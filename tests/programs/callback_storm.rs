//! Callbacks of JPush in a storm, half of them rubbish: memory stays, scrapes are answered, and what was answered with 200 is in
//! the ledger after a kill.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::{Program, fast_dir, signal, try_talk};

const TOKEN: &str = "c4llback-t0ken";
/// Threads that post.
const CALLERS: u64 = 8;

/// One connection that posts callback after callback.
struct Caller {
    address: SocketAddr,
    stream: Option<TcpStream>,
}

impl Caller {
    /// Posts a body and returns the status of the answer; `None` if there is none.
    fn post(&mut self, token: &str, encoding: &str, body: &[u8]) -> Option<u16> {
        let head = format!(
            "POST /callback/jpush/shop?token={token} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n{encoding}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(TcpStream::connect(self.address).ok()?),
        };
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let answer = exchange(stream, &[head.as_bytes(), body].concat());
        if answer.as_ref().is_none_or(|answer| answer.contains("connection: close")) {
            self.stream = None;
        }
        answer?.split(' ').nth(1)?.parse().ok()
    }
}

/// Sends a request and reads the answer, in lower case.
fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<String> {
    // A body that is too large is refused before all of it is read.
    let _ = stream.write_all(request);
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let read = stream.read(&mut chunk).ok().filter(|read| *read > 0)?;
        answer.extend(&chunk[..read]);
        let text = String::from_utf8_lossy(&answer).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok())?;
            if body.len() >= length {
                return Some(text);
            }
        }
    }
}

fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn what_was_answered_is_there_after_a_storm_and_a_kill() {
    let seconds: u64 = std::env::var("PUSH_EXPORTER_CALLBACKS").ok().and_then(|text| text.parse().ok()).unwrap_or(4);
    let folder = fast_dir();
    let config = folder.path().join("push-exporter.yml");
    let text = format!(
        "message_api: {{token: t0ken}}\njpush:\n  - {{app: shop, base_url: 'http://127.0.0.1:1', app_key: k, master_secret: s, callback_token: {TOKEN}}}\n"
    );
    std::fs::write(&config, text).unwrap();
    let start = || Program::start(&["--config.file", config.to_str().unwrap()]);
    let mut program = start();
    let (address, pid) = (program.address, program.child.id());
    let before = memory(pid);
    let (is_over, is_killed) = (AtomicBool::new(false), AtomicBool::new(false));
    let (posts, next) = (AtomicU64::new(0), AtomicU64::new(1));
    let (kept, scrapes) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
    let large = vec![b' '; 2 * 1024 * 1024];
    std::thread::scope(|scope| {
        for place in 0..CALLERS {
            let (is_killed, posts, next, kept, large) = (&is_killed, &posts, &next, &kept, &large);
            scope.spawn(move || {
                let mut caller = Caller { address, stream: None };
                for round in place.. {
                    if is_killed.load(Ordering::Relaxed) {
                        return;
                    }
                    let new = next.fetch_add(1, Ordering::Relaxed);
                    let body = format!(r#"[{{"msg_id":"{new}","registration_id":"r"}},{{"msg_id":1}}]"#);
                    // New ones are few beside repeats, since a push is followed by a callback for each device.
                    let answered = match round % 20 {
                        0 => caller.post(TOKEN, "", body.as_bytes()).map(|status| (status, Some(new))),
                        1 => {
                            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
                            gzip.write_all(body.as_bytes()).unwrap();
                            let body = gzip.finish().unwrap();
                            caller.post(TOKEN, "Content-Encoding: gzip\r\n", &body).map(|status| (status, Some(new)))
                        }
                        2..=9 => caller.post(TOKEN, "", br#"{"msg_id":"1"}"#).map(|status| (status, None)),
                        10..=13 => caller.post("wrong", "", body.as_bytes()).map(|status| (status, None)),
                        14..=17 => caller.post(TOKEN, "", b"msg_id=1&x=<html>").map(|status| (status, None)),
                        18 => caller.post(TOKEN, "Content-Encoding: gzip\r\n", b"no gzip").map(|status| (status, None)),
                        _ if round % 400 == 19 => caller.post(TOKEN, "", large).map(|status| (status, None)),
                        _ => caller.post(TOKEN, "", br#"{"x":[]}"#).map(|status| (status, None)),
                    };
                    posts.fetch_add(1, Ordering::Relaxed);
                    if let Some((200, Some(id))) = answered {
                        kept.lock().unwrap().push(id);
                    }
                }
            });
        }
        let (is_over, scrapes, program) = (&is_over, &scrapes, &program);
        scope.spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                let began = Instant::now();
                let scraped = program.try_scrape().is_some();
                assert!(scraped || is_over.load(Ordering::Relaxed), "a scrape failed");
                scrapes.lock().unwrap().push(began.elapsed());
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        std::thread::sleep(Duration::from_secs(seconds));
        let after = memory(pid);
        is_over.store(true, Ordering::Relaxed);
        let posts = posts.load(Ordering::Relaxed);
        let slowest = scrapes.lock().unwrap().iter().max().copied().unwrap_or_default();
        eprintln!(
            "{posts} posts in {seconds} s; {before} kB of memory before, {after} kB after; slowest scrape {slowest:?}"
        );
        assert!(after < before + 64 * 1024, "{before} kB before, {after} kB after");
        // In the middle of it.
        signal(&program.child, "KILL");
        is_killed.store(true, Ordering::Relaxed);
    });
    let _ = program.exit_code();
    let kept = kept.into_inner().unwrap();
    assert!(kept.len() > 100, "{}", kept.len());
    let again = start();
    for ids in kept.chunks(5000) {
        let lines: Vec<String> = ids.iter().map(|id| format!("{{\"msg_id\":\"{id}\"}}")).collect();
        let body = lines.join("\n");
        let request = format!(
            "POST /api/v1/messages?app=shop HTTP/1.1\r\nHost: test\r\nConnection: close\r\nAuthorization: Bearer t0ken\r\nContent-Type: application/x-ndjson\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let (status, answer) = try_talk(again.address, &request).unwrap();
        assert_eq!((status, answer), (200, format!(r#"{{"received":{},"new":0,"too_old":0}}"#, ids.len())));
    }
}
