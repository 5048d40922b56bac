//! What systemd is told through its socket, and the sockets that it passes.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::{Program, Running, eventually, signal, try_get};

/// What has come to the socket so far.
fn told(socket: &UnixDatagram) -> Vec<String> {
    let mut told = Vec::new();
    let mut message = [0; 4096];
    while let Ok(length) = socket.recv(&mut message) {
        told.extend(String::from_utf8_lossy(&message[..length]).lines().map(str::to_owned));
    }
    told
}

#[test]
fn it_is_told_how_the_exporter_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_nonblocking(true).unwrap();
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")];
    let mut program = Program::try_start(&["demo"], &environment).unwrap();
    let mut all = Vec::new();
    eventually("READY", 30, || {
        all.extend(told(&socket));
        all.contains(&"READY=1".to_owned()).then_some(())
    });
    assert_eq!(program.get("/-/healthy").0, 200, "ready means that it answers");
    all.extend(told(&socket));
    let started = Instant::now();
    let before = all.iter().filter(|line| *line == "WATCHDOG=1").count();
    eventually("signs of life", 30, || {
        all.extend(told(&socket));
        (all.iter().filter(|line| *line == "WATCHDOG=1").count() >= before + 10).then_some(())
    });
    // Twice in the time that systemd waits: neither once nor all the time.
    assert!(started.elapsed() > Duration::from_millis(1500), "{:?}", started.elapsed());
    signal(&program.child, "HUP");
    eventually("RELOADING and READY again", 30, || {
        all.extend(told(&socket));
        let reloading = all.iter().position(|line| line == "RELOADING=1")?;
        assert!(all[reloading + 1].starts_with("MONOTONIC_USEC="), "{all:?}");
        all[reloading..].contains(&"READY=1".to_owned()).then_some(())
    });
    assert_eq!(program.terminate().0, Some(0));
    all.extend(told(&socket));
    assert!(all.contains(&"STOPPING=1".to_owned()), "{all:?}");
}

#[test]
fn sockets_that_are_passed_are_served() {
    // As systemd does it: descriptors from 3 on, and the process id in the environment.
    let script = "import os,socket,sys\n\
        held=[socket.socket() for _ in range(2)]\n\
        for s in held:\n\
        \x20   s.bind(('127.0.0.1',0)); s.listen()\n\
        print(*(s.getsockname()[1] for s in held),flush=True)\n\
        for n,s in enumerate(held): os.dup2(s.fileno(),100+n)\n\
        for n in range(2): os.dup2(100+n,3+n,inheritable=True)\n\
        os.environ.update(LISTEN_PID=str(os.getpid()),LISTEN_FDS='2')\n\
        os.execv(sys.argv[1],sys.argv[1:])";
    let mut command = Command::new("python3");
    let binary = Program::binary();
    command.args(["-c", script]).arg(binary.get_program()).args([
        "demo",
        "--web.systemd-socket",
        "--web.probe-address=127.0.0.1:0",
    ]);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    command.stdout(std::fs::File::create(&out).unwrap()).stderr(std::process::Stdio::null());
    let _running = Running(command.spawn().unwrap());
    let said = eventually("it serves", 30, || {
        let said = std::fs::read_to_string(&out).unwrap();
        said.contains("probes on ").then_some(said)
    });
    // The demo's own port is not served besides.
    assert!(!said.contains("listening on"), "{said}");
    for port in said.lines().next().unwrap().split(' ') {
        let address = format!("127.0.0.1:{port}").parse().unwrap();
        let answer = eventually("an answer", 30, || try_get(address, "/metrics"));
        assert_eq!(answer.0, 200);
    }
}
