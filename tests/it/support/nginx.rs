//! A real nginx on loopback with a configuration of the test's own, for as long as the value lives.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::registry::free_port;
use super::scratch;

/// A running nginx.
pub struct Nginx {
    child: Child,
    port: u16,
    dir: tempfile::TempDir,
}

impl Nginx {
    /// Starts one whose `http` block is what `http` makes of a free port and a directory, in which `access.log` may be written.
    pub fn start(http: impl Fn(u16, &Path) -> String) -> Nginx {
        (0..5)
            .find_map(|_| Nginx::try_start(&http))
            .expect("nginx does not start: it is not installed, or its configuration is wrong")
    }

    fn try_start(http: &impl Fn(u16, &Path) -> String) -> Option<Nginx> {
        let (dir, port) = (scratch(), free_port());
        let place = |name: &str| dir.path().join(name).display().to_string();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {};\n", place(kind)))
            .concat();
        let text = format!(
            "user root;\ndaemon off;\nmaster_process off;\npid {};\nerror_log {} warn;\nevents {{}}\nhttp {{\n{temporary}{}\n}}\n",
            place("pid"),
            place("error.log"),
            http(port, dir.path())
        );
        fs::write(dir.path().join("nginx.conf"), text).unwrap();
        let log = fs::File::create(dir.path().join("output")).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg(place("error.log")).arg("-c").arg(place("nginx.conf"));
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let child = command.spawn().expect("nginx (see scripts/install-deps.sh)");
        let mut nginx = Nginx { child, port, dir };
        nginx.answers().then_some(nginx)
    }

    fn answers(&mut self) -> bool {
        let limit = Instant::now() + Duration::from_secs(20);
        while Instant::now() < limit && self.child.try_wait().unwrap().is_none() {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// `127.0.0.1:PORT/NAME`.
    pub fn name(&self, name: &str) -> String {
        format!("127.0.0.1:{}/{name}", self.port)
    }

    /// The lines of the access log, once there are as many as expected: they are written after the answers are sent.
    pub fn log(&self, expected: impl Fn(&[String]) -> bool) -> Vec<String> {
        let limit = Instant::now() + Duration::from_secs(10);
        loop {
            let text = fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            if expected(&lines) || Instant::now() > limit {
                return lines;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
