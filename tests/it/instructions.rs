//! Instructions that need more than a root: what ADD fetches, and what the base of a stage left to be done.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use crate::support::executor::Build;
use crate::support::{bases, image, run};

/// Serves one file with a Last-Modified of 2001 below any name, and a redirect to it at `/moved/…`; `/gone` is not there.
fn serve(content: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut line = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            reader.read_line(&mut line).unwrap();
            let mut header = String::from("-");
            while !header.trim().is_empty() {
                header.clear();
                reader.read_line(&mut header).unwrap();
            }
            let head = match line.split(' ').nth(1).unwrap_or_default() {
                "/gone" => "404 Not Found\r\nContent-Length: 0\r\n".to_owned(),
                path if path.starts_with("/moved/") => {
                    format!("302 Found\r\nLocation: /{}\r\nContent-Length: 0\r\n", &path[7..])
                }
                _ => format!(
                    "200 OK\r\nLast-Modified: Sun, 09 Sep 2001 01:46:40 GMT\r\nContent-Length: {}\r\n",
                    content.len()
                ),
            };
            let body = if head.starts_with("200") { &content[..] } else { &[] };
            stream.write_all(format!("HTTP/1.1 {head}Connection: close\r\n\r\n").as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    address
}

fn tar(dir: &Path) -> Vec<u8> {
    fs::create_dir(dir.join("tree")).unwrap();
    fs::write(dir.join("tree/x"), "X").unwrap();
    run(Command::new("tar")
        .arg("--create")
        .arg("--xz")
        .arg("--file")
        .arg(dir.join("t"))
        .arg("-C")
        .arg(dir.join("tree"))
        .arg("x"));
    fs::read(dir.join("t")).unwrap()
}

#[test]
fn add_fetches_verifies_and_unpacks() {
    let dir = tempfile::tempdir().unwrap();
    let content = tar(dir.path());
    let sum = run(Command::new("sha256sum").arg(dir.path().join("t")));
    let sum = sum.split(' ').next().unwrap();
    let server = serve(content.clone());
    let text = format!(
        "FROM base\nADD {server}/a/file.tar.xz?token=hunter2 /got/\nADD --checksum=sha256:{sum} {server}/moved/y /sum\n\
         ADD --unpack --chown=5:6 {server}/t /unpacked\nADD --chmod=644 {server}/z /z\n"
    );
    let built = Build::new(&text).base("base", &bases::busybox()).arg("--no-push").succeed();
    let path = |name: &str| built.root().join(name);
    for (name, mode) in [("got/file.tar.xz", 0o600), ("sum", 0o600), ("z", 0o644)] {
        assert_eq!(fs::read(path(name)).unwrap(), content, "{name}");
        let data = fs::metadata(path(name)).unwrap();
        assert_eq!((data.mode() & 0o7777, data.uid(), data.mtime()), (mode, 0, 1_000_000_000), "{name}");
    }
    let data = fs::metadata(path("unpacked/x")).unwrap();
    assert_eq!((fs::read(path("unpacked/x")).unwrap(), data.uid(), data.gid()), (b"X".to_vec(), 5, 6));

    let fail = |text: String, said: &[&str]| {
        drop(Build::new(&text).base("base", &bases::busybox()).arg("--no-push").fail(1, said));
    };
    let wrong = "0".repeat(64);
    fail(format!("FROM base\nADD --checksum=sha256:{wrong} {server}/x /x\n"), &["Dockerfile:2", "--checksum", &wrong]);
    fail(format!("FROM base\nADD --checksum=md5:1 {server}/x /x\n"), &["Dockerfile:2", "--checksum"]);
    fail(format!("FROM base\nADD {server}/gone /x\n"), &["Dockerfile:2", "/gone", "not found"]);
}

#[test]
fn triggers_of_a_stage_and_of_a_base_come_first() {
    let parent = "FROM base AS parent\nONBUILD COPY file /copied\nONBUILD RUN echo $WHO >> /order\n\
                  ONBUILD ENV LEFT=1\nRUN echo parent > /order\n";
    let child = "ENV WHO=child\nRUN echo own >> /order\n";
    let text = format!("{parent}FROM parent\n{child}FROM base\nCOPY --from=1 /order /order\n");
    let local = Build::new(&format!("{parent}FROM parent\n{child}")).base("base", &bases::busybox()).file("file", "x");
    let local = local.arg("--no-push").succeed();
    let expected = "parent\n\nown\n";
    assert_eq!(fs::read_to_string(local.root().join("order")).unwrap(), expected);
    assert_eq!(fs::read_to_string(local.root().join("copied")).unwrap(), "x");
    drop(Build::new(&text).base("base", &bases::busybox()).file("file", "x").arg("--no-push").succeed());

    let pushed = Build::new(parent).base("base", &bases::busybox());
    let layout = pushed.dir().join("layout");
    let pushed = pushed.args(["--no-push".to_owned(), format!("--oci-layout-path={}", layout.display())]).succeed();
    let config = image::unpack(&format!("oci:{}", layout.display())).config();
    assert_eq!(
        config["config"]["OnBuild"],
        serde_json::json!(["COPY file /copied", "RUN echo $WHO >> /order", "ENV LEFT=1"])
    );
    let build = Build::new(&format!("FROM parent\n{child}")).file("file", "y");
    let out = build.dir().join("out");
    let layout = format!("--build-context=parent=oci-layout://{}", layout.display());
    let built = build.args([layout, "--no-push".to_owned(), format!("--oci-layout-path={}", out.display())]).succeed();
    assert_eq!(fs::read_to_string(built.root().join("order")).unwrap(), expected);
    assert_eq!(fs::read_to_string(built.root().join("copied")).unwrap(), "y");
    let config = image::unpack(&format!("oci:{}", out.display())).config();
    assert!(config["config"].get("OnBuild").is_none(), "{config}");
    assert!(config["config"]["Env"].to_string().contains("LEFT=1"));
    let rows: Vec<_> = config["history"].as_array().unwrap().iter().rev().take(5).collect();
    let row = |at: usize| (rows[4 - at]["created_by"].as_str().unwrap(), rows[4 - at]["empty_layer"] == true);
    let expected = [
        ("COPY file /copied # buildkit", false),
        ("RUN /bin/sh -c echo $WHO >> /order # buildkit", false),
        ("ENV LEFT=1", true),
        ("ENV WHO=child", true),
        ("RUN /bin/sh -c echo own >> /order # buildkit", false),
    ];
    assert_eq!([row(0), row(1), row(2), row(3), row(4)], expected);
    drop(pushed);
}

#[test]
fn a_directory_is_a_named_context() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("kept"), "K").unwrap();
    fs::write(dir.path().join("dropped"), "D").unwrap();
    fs::write(dir.path().join(".dockerignore"), "dropped\n.dockerignore\n").unwrap();
    let text = "FROM base\nCOPY --from=other . /copied/\nRUN --mount=from=other,target=/m ls -A /m > /seen\n";
    let context = format!("--build-context=other={}", dir.path().display());
    let build = || Build::new(text).base("base", &bases::busybox()).args(["--no-push", &context]);
    let built = build().succeed();
    assert_eq!(fs::read_to_string(built.root().join("copied/kept")).unwrap(), "K");
    assert_eq!(fs::read_to_string(built.root().join("seen")).unwrap(), "kept\n");
    assert!(!built.root().join("copied/dropped").exists());
    let from = Build::new("FROM other\n").args(["--no-push", &context]);
    drop(from.fail(1, &["Dockerfile:1", "no image"]));
}

#[test]
fn a_secret_authorises_what_add_fetches_from_its_host_alone() {
    let seen = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let start = |seen: &std::sync::Arc<std::sync::Mutex<Vec<String>>>, redirect: Option<String>| {
        let (listener, seen) = (TcpListener::bind("127.0.0.1:0").unwrap(), seen.clone());
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut request = String::new();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                while !request.ends_with("\r\n\r\n") && reader.read_line(&mut request).unwrap_or(0) > 0 {}
                seen.lock().unwrap().push(request.to_lowercase());
                let moved = redirect.as_ref().map(|to| format!("302 Found\r\nLocation: {to}\r\n"));
                let head = moved.unwrap_or_else(|| "200 OK\r\n".to_owned());
                let answer = format!("HTTP/1.1 {head}Content-Length: 2\r\nConnection: close\r\n\r\nx\n");
                (&stream).write_all(answer.as_bytes()).unwrap_or_default();
            }
        });
        host
    };
    let other = start(&seen, None);
    let host = start(&seen, Some(format!("http://{other}/there")));
    let build = Build::new(&format!("FROM scratch\nADD http://{host}/x /x\n")).arg("--no-push");
    let secret = build.dir().join("secret");
    fs::write(&secret, "hunter2\n").unwrap();
    let given = |build: Build, id: &str| build.arg(format!("--secret=id={id},src={}", secret.display()));
    let built = given(given(build, &format!("HTTP_AUTH_TOKEN_{host}")), "HTTP_AUTH_TOKEN_elsewhere.test");
    let built = built.arg("-v=trace").succeed();
    let requests = seen.lock().unwrap().clone();
    let (first, second) = (&requests[0], &requests[1]);
    assert!(first.contains("get /x ") && first.contains("authorization: bearer hunter2\r\n"), "{first}");
    assert!(second.contains("get /there ") && !second.contains("authorization"), "{second}");
    assert!(!built.stderr().contains("hunter2"));
    seen.lock().unwrap().clear();
    let build = Build::new(&format!("FROM scratch\nADD http://{other}/x /x\n")).arg("--no-push");
    let header = build.dir().join("header");
    fs::write(&header, "Basic abc").unwrap();
    let id = format!("--secret=id=HTTP_AUTH_HEADER_{other},src={}", header.display());
    drop(build.arg(id).succeed());
    assert!(seen.lock().unwrap()[0].contains("authorization: basic abc\r\n"));
}
