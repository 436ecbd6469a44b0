//! A name server on a loopback address of its own that knows one answer: 127.0.0.1. RFC 1035, section 4.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// It listens on port 53, since resolv.conf cannot name another, until it is dropped.
pub struct NameServer {
    address: Ipv4Addr,
    questions: Arc<Mutex<Vec<Vec<u8>>>>,
    socket: Arc<UdpSocket>,
    stopped: Arc<std::sync::atomic::AtomicBool>,
}

impl NameServer {
    pub fn start() -> NameServer {
        let [high, low] = (std::process::id() as u16).to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        let socket = Arc::new(UdpSocket::bind((address, 53)).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let server = NameServer { address, questions: Arc::default(), socket, stopped: Arc::default() };
        let (socket, questions, stopped) = (server.socket.clone(), server.questions.clone(), server.stopped.clone());
        thread::spawn(move || {
            let mut buffer = [0; 512];
            while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
                questions.lock().unwrap().push(buffer[..length].to_vec());
                socket.send_to(&answer(&buffer[..length]), from).unwrap();
            }
        });
        server
    }

    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Whether somebody asked for that name.
    pub fn asked(&self, name: &str) -> bool {
        let labels: Vec<u8> =
            name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
        self.questions.lock().unwrap().iter().any(|question| question[12..].starts_with(&labels))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stopped.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

/// The address for a question of type A, and no record of any other type.
fn answer(query: &[u8]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let is_a = query[end - 4..end - 2] == [0, 1];
    let mut reply = [&query[..2], &[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0], &query[12..end]].concat();
    if is_a {
        // The name is that of the question; type A, class IN, 60 seconds, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    reply
}
