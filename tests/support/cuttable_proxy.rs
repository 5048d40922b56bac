//! A TCP proxy that can be cut, as a network can: what is sent then arrives nowhere, and no connection ends by itself.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct CuttableProxy {
    pub port: u16,
    is_cut: Arc<AtomicBool>,
}

impl CuttableProxy {
    pub fn to(server: SocketAddr) -> CuttableProxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, is_cut) = (listener.local_addr().unwrap().port(), Arc::new(AtomicBool::new(false)));
        let cut = Arc::clone(&is_cut);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, cut) = (client.unwrap(), Arc::clone(&cut));
                std::thread::spawn(move || pass_both_ways(client, server, &cut));
            }
        });
        CuttableProxy { port, is_cut }
    }

    pub fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.is_cut.store(false, Ordering::SeqCst);
    }
}

fn pass_both_ways(client: TcpStream, server: SocketAddr, is_cut: &Arc<AtomicBool>) {
    let Some(server) = while_whole(is_cut).and_then(|()| TcpStream::connect(server).ok()) else { return };
    let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let cut = Arc::clone(is_cut);
    std::thread::spawn(move || pass(from_client, to_server, &cut));
    pass(server, client, is_cut);
}

/// Waits until it is not cut.
fn while_whole(is_cut: &AtomicBool) -> Option<()> {
    while is_cut.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_millis(10));
    }
    Some(())
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_cut: &AtomicBool) {
    from.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let mut buffer = [0; 16 * 1024];
    loop {
        while_whole(is_cut);
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                // Bytes that were read when it was cut are on the way until it is mended.
                while_whole(is_cut);
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(_) => break,
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
    let _ = from.shutdown(std::net::Shutdown::Both);
}
