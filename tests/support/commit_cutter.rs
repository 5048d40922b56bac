//! A proxy to PostgreSQL that cuts the connection of a COMMIT: within the request, or within the answer.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// Where the next COMMIT is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// After so many bytes of the request.
    Request(usize),
    /// After so many bytes of the answer.
    Answer(usize),
}

/// Bytes of a request to commit: `Q`, the length, `COMMIT` and a zero.
pub const REQUEST: usize = 12;
/// Bytes of the answer: `C`, the length, `COMMIT` and a zero; `Z`, the length, the state.
pub const ANSWER: usize = 18;

pub struct CommitCutter {
    pub port: u16,
    next: Arc<Mutex<Option<Cut>>>,
}

impl CommitCutter {
    pub fn to(server: SocketAddr) -> CommitCutter {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, next) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(None)));
        let of_all = Arc::clone(&next);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), TcpStream::connect(server).unwrap());
                let (from, to, next) = (client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&of_all));
                // Bytes of the answer that may still pass.
                let left = Arc::new(Mutex::new(None));
                let of_answer = Arc::clone(&left);
                std::thread::spawn(move || pass_requests(from, to, &next, &of_answer));
                std::thread::spawn(move || pass_answers(server, client, &left));
            }
        });
        CommitCutter { port, next }
    }

    /// Cuts the next COMMIT.
    pub fn cut(&self, cut: Cut) {
        *self.next.lock().unwrap() = Some(cut);
    }

    /// True if the last one was cut.
    pub fn is_done(&self) -> bool {
        self.next.lock().unwrap().is_none()
    }
}

fn close(one: &TcpStream, other: &TcpStream) {
    let _ = one.shutdown(Shutdown::Both);
    let _ = other.shutdown(Shutdown::Both);
}

fn pass_requests(mut from: TcpStream, mut to: TcpStream, next: &Mutex<Option<Cut>>, left: &Mutex<Option<usize>>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let sent = &buffer[..length];
        let commit = sent.windows(7).position(|bytes| bytes == b"COMMIT\0").and_then(|place| place.checked_sub(5));
        let cut = commit.and_then(|_| next.lock().unwrap().take());
        match (commit, cut) {
            (Some(place), Some(Cut::Request(bytes))) => {
                let _ = to.write_all(&sent[..place + bytes]);
                break;
            }
            (_, Some(Cut::Answer(bytes))) => *left.lock().unwrap() = Some(bytes),
            _ => {}
        }
        if to.write_all(sent).is_err() {
            break;
        }
    }
    close(&from, &to);
}

fn pass_answers(mut from: TcpStream, mut to: TcpStream, left: &Mutex<Option<usize>>) {
    let mut buffer = [0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let left = *left.lock().unwrap();
        if to.write_all(&buffer[..left.unwrap_or(length).min(length)]).is_err() || left.is_some() {
            break;
        }
    }
    close(&from, &to);
}
