//! A PostgreSQL server of a test's own, which `tests/run.sh` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::eventually;

/// A server that ends with the test. Its role `push` owns the database `push`, with the password `hunter2`.
pub struct Server {
    folder: tempfile::TempDir,
    pub port: u16,
}

/// The folder of the newest version's programs, which Debian does not put into the path.
fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL is not installed; run tests/run.sh");
    let mut versions: Vec<PathBuf> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
    versions.sort();
    versions.pop().expect("PostgreSQL is not installed; run tests/run.sh")
}

/// A program that must not be run by root, as nobody if this is root.
fn run(program: &str, arguments: &[&str]) -> String {
    let path = programs().join(program);
    let is_root = rustix::process::geteuid().is_root();
    let mut command = Command::new(if is_root { Path::new("setpriv") } else { &path });
    if is_root {
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&path);
    }
    let output = command.args(arguments).current_dir("/").output().unwrap();
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
    said
}

impl Server {
    pub fn start() -> Server {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        std::fs::write(&password, "hunter2").unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Server { folder, port };
        let password = format!("--pwfile={}", password.display());
        let data = server.data();
        let settings = ["--auth=scram-sha-256", &password, "--encoding=UTF8", "--locale=C", "--no-sync"];
        run("initdb", &[&["-D", &data, "-U", "push"][..], &settings].concat());
        server.resume();
        server.sql("postgres", "CREATE DATABASE push");
        server
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    /// A standby of this server, which commits nothing that the standby does not have.
    pub fn standby(&self) -> Server {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let standby = Server { folder, port };
        let source = format!("host=127.0.0.1 port={} user=push password=hunter2", self.port);
        run("pg_basebackup", &["-d", &source, "-D", &standby.data(), "-R", "--checkpoint=fast"]);
        standby.resume();
        self.sql("postgres", "ALTER SYSTEM SET synchronous_standby_names = '*'");
        self.sql("postgres", "SELECT pg_reload_conf()");
        eventually("the standby to be synchronous", 30, || {
            (self.sql("postgres", "SELECT sync_state FROM pg_stat_replication") == "sync").then_some(())
        });
        standby
    }

    /// Makes a standby the primary.
    pub fn promote(&self) {
        run("pg_ctl", &["-D", &self.data(), "-w", "promote"]);
    }

    /// Starts it again after [`Server::halt`].
    pub fn resume(&self) {
        let folder = self.folder.path().display();
        let options = format!("-p {} -k {folder} -c listen_addresses=127.0.0.1", self.port);
        let log = format!("{folder}/log");
        run("pg_ctl", &["-D", &self.data(), "-o", &options, "-l", &log, "-w", "start"]);
    }

    /// Ends it at once, as a crash does.
    pub fn halt(&self) {
        run("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// Returns the log of the server.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Turns TLS on, with a certificate and its key.
    pub fn encrypt(&self, certificate: &Path, key: &Path) {
        self.install(certificate, "server.crt");
        self.install(key, "server.key");
        self.set("ssl = on");
    }

    /// Verifies certificates of clients by this CA.
    pub fn trust_clients_of(&self, ca: &Path) {
        self.install(ca, "client-ca.pem");
        self.set("ssl_ca_file = 'client-ca.pem'");
    }

    fn install(&self, file: &Path, name: &str) {
        let target = self.folder.path().join("data").join(name);
        let mut install = Command::new("install");
        if rustix::process::geteuid().is_root() {
            install.args(["--owner=65534", "--group=65534"]);
        }
        assert!(install.arg("--mode=0600").arg(file).arg(target).status().unwrap().success());
    }

    fn set(&self, setting: &str) {
        self.sql("postgres", &format!("ALTER SYSTEM SET {setting}"));
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Runs statements in a database and returns what they print, one row a line.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new("psql")
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "push", "-d", database, "-qAtc", sql])
            .env("PGPASSWORD", "hunter2")
            .output()
            .expect("psql is not installed; run tests/run.sh");
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success(), "{sql}: {said}");
        said.trim().to_owned()
    }

    /// The address of a database, without the password.
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        let _ = std::panic::catch_unwind(|| run("pg_ctl", &["-D", &data, "-m", "immediate", "stop"]));
    }
}
