//! A git server of the test's own: git-http-backend(1) behind nginx, with TLS and a password where asked for; and git-daemon(1).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::authority::Authority;
use super::nginx::Nginx;
use super::registry::free_port;
use super::{run, scratch};

/// Who is let in where a password is wanted.
pub const USER: (&str, &str) = ("x-access-token", "hunter2");

/// Repositories, served while the value lives.
pub struct GitServer {
    nginx: Nginx,
    wrap: Child,
    dir: tempfile::TempDir,
    scheme: &'static str,
}

/// Who may read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    Everybody,
    /// [`USER`] alone.
    Password,
}

impl GitServer {
    /// Starts one with a certificate of `authority`, or over plain HTTP.
    pub fn start(authority: Option<&Authority>, access: Access) -> GitServer {
        let dir = scratch();
        fs::create_dir(dir.path().join("repositories")).unwrap();
        let socket = dir.path().join("socket");
        let mut wrap = Command::new("fcgiwrap");
        wrap.arg("-s").arg(format!("unix:{}", socket.display())).stdin(Stdio::null()).stderr(Stdio::null());
        let wrap = wrap.spawn().expect("fcgiwrap (see scripts/install-deps.sh)");
        let limit = Instant::now() + Duration::from_secs(20);
        while !socket.exists() {
            assert!(Instant::now() < limit, "fcgiwrap does not start");
            std::thread::sleep(Duration::from_millis(10));
        }
        let hash = run(Command::new("openssl").args(["passwd", "-apr1", USER.1]));
        fs::write(dir.path().join("passwords"), format!("{}:{}\n", USER.0, hash.trim())).unwrap();
        let nginx = Nginx::start(|port, log| http(port, log, dir.path(), authority, access));
        GitServer { nginx, wrap, dir, scheme: if authority.is_some() { "https" } else { "http" } }
    }

    /// The address of a repository.
    pub fn address(&self, name: &str) -> String {
        format!("{}://{}", self.scheme, self.nginx.name(name))
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        self.nginx.name("").trim_end_matches('/').to_owned()
    }

    /// The directory of the repositories, bare ones.
    pub fn repositories(&self) -> PathBuf {
        self.dir.path().join("repositories")
    }

    /// The requests so far: method, address, status and the credential that came along.
    pub fn log(&self, expected: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.nginx.log(expected)
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        self.wrap.kill().ok();
        self.wrap.wait().ok();
    }
}

fn http(port: u16, log: &Path, dir: &Path, authority: Option<&Authority>, access: Access) -> String {
    let (listen, tls) = match authority.map(Authority::server) {
        Some((certificate, key)) => {
            let (certificate, key) = (certificate.display(), key.display());
            (" ssl", format!("ssl_certificate {certificate}; ssl_certificate_key {key};"))
        }
        None => ("", String::new()),
    };
    let auth = match access {
        Access::Password => format!("auth_basic here; auth_basic_user_file {};", dir.join("passwords").display()),
        Access::Everybody => String::new(),
    };
    format!(
        "log_format git '$request_method $request_uri $status \"$http_authorization\" \"$request_body\"';
        access_log {log}/access.log git;
        server {{ listen 127.0.0.1:{port}{listen}; {tls} {auth}
          location /moved/ {{ rewrite ^/moved/(.*)$ $scheme://$http_host/$1 redirect; }}
          location / {{
            fastcgi_pass unix:{dir}/socket;
            fastcgi_param SCRIPT_FILENAME /usr/lib/git-core/git-http-backend;
            fastcgi_param GIT_PROJECT_ROOT {dir}/repositories;
            fastcgi_param GIT_HTTP_EXPORT_ALL 1;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param REMOTE_USER $remote_user;
          }} }}",
        log = log.display(),
        dir = dir.display(),
    )
}

/// `git-daemon` on a free port.
pub struct Daemon {
    child: Child,
    port: u16,
}

impl Daemon {
    /// Serves the repositories of a directory.
    pub fn start(repositories: &Path) -> Daemon {
        let port = free_port();
        let mut command = Command::new("/usr/lib/git-core/git-daemon");
        command.args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"]).arg(format!("--port={port}"));
        command.arg(format!("--base-path={}", repositories.display())).arg(repositories);
        let child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("git-daemon");
        let limit = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < limit, "git-daemon does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Daemon { child, port }
    }

    /// The address of a repository.
    pub fn address(&self, name: &str) -> String {
        format!("git://127.0.0.1:{}/{name}", self.port)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A bare repository being made.
pub struct Repo(PathBuf);

impl Repo {
    /// A new one.
    pub fn new(repositories: &Path, name: &str) -> Repo {
        let path = repositories.join(name);
        run(git(Path::new("/")).args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&path));
        Repo(path)
    }

    /// Runs git in it.
    pub fn git(&self, args: &[&str]) -> String {
        run(git(&self.0).args(args)).trim().to_owned()
    }

    /// Stores an object.
    pub fn blob(&self, content: &[u8]) -> String {
        self.store(&["hash-object", "-w", "--stdin"], content)
    }

    /// A tree of `mode type id` and a name each, without any check of them.
    pub fn tree(&self, entries: &[(&str, &str, &[u8])]) -> String {
        let mut raw = Vec::new();
        for (mode, id, name) in entries {
            raw.extend_from_slice(mode.as_bytes());
            raw.push(b' ');
            raw.extend_from_slice(name);
            raw.push(0);
            raw.extend((0..20).map(|at| u8::from_str_radix(&id[at * 2..at * 2 + 2], 16).unwrap()));
        }
        self.store(&["hash-object", "-w", "--stdin", "-t", "tree", "--literally"], &raw)
    }

    /// A commit of a tree, on `branch`.
    pub fn commit(&self, branch: &str, tree: &str) -> String {
        let name = format!("refs/heads/{branch}");
        let mut command = git(&self.0);
        command.args(["commit-tree", "-m", "a commit", tree]);
        let parent = git(&self.0).args(["rev-parse", "--quiet", "--verify", &name]).output().unwrap();
        if parent.status.success() {
            command.arg("-p").arg(String::from_utf8(parent.stdout).unwrap().trim());
        }
        let id = run(&mut command).trim().to_owned();
        self.git(&["update-ref", &name, &id]);
        id
    }

    /// What `git archive` makes of a commit, unpacked into `into`.
    pub fn archive(&self, commit: &str, into: &Path) {
        let tar = git(&self.0).args(["-c", "tar.umask=0022", "archive", "--format=tar", commit]).output().unwrap();
        assert!(tar.status.success(), "{tar:?}");
        fs::create_dir_all(into).unwrap();
        let mut command = Command::new("tar");
        super::piped(
            command.args(["--extract", "--preserve-permissions", "--no-same-owner", "-C"]).arg(into),
            &tar.stdout,
        );
    }

    fn store(&self, args: &[&str], content: &[u8]) -> String {
        String::from_utf8(super::piped(git(&self.0).args(args), content)).unwrap().trim().to_owned()
    }
}

/// git without the machine's configuration, at a fixed time.
pub fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null").env("HOME", "/");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "a test").env(format!("GIT_{who}_EMAIL"), "a@test");
        command.env(format!("GIT_{who}_DATE"), "1000000000 +0000");
    }
    command
}
