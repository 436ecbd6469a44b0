//! A server of a few files for ADD, all last changed on 2001-02-03 04:05:06.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

/// The server; it serves until the tests end.
pub struct Web {
    /// `http://127.0.0.1:PORT`.
    pub address: String,
}

impl Web {
    /// Starts it on a free port.
    pub fn start() -> Web {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || listener.incoming().flatten().for_each(|stream| serve(stream).unwrap_or_default()));
        Web { address }
    }
}

/// Answers one request: `/hello` and whatever else is "hello\n", `/undated…` without a time.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte)? == 1 {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    let body = if request.starts_with("HEAD ") { "" } else { "hello\n" };
    let undated = request.split(' ').nth(1).is_some_and(|path| path.starts_with("/undated"));
    let time = if undated { "" } else { "Last-Modified: Sat, 03 Feb 2001 04:05:06 GMT\r\n" };
    let head = format!("HTTP/1.1 200 OK\r\n{time}Content-Length: 6\r\nConnection: close\r\n\r\n");
    stream.write_all(format!("{head}{body}").as_bytes())
}
