//! A TCP relay that takes its time: the network between a service and a database on another machine.
//!
//! `tc qdisc add … netem delay` would do that in the kernel, but not every kernel has `sch_netem`, and it
//! takes root.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

/// The most bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// Passes connections on to port `to` of the loopback address, each chunk `delay` after it came, in both
/// directions. Serves until the process ends, on the port that is returned.
pub fn start(to: u16, delay: Duration) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            if let Err(error) = connect(client, to, delay) {
                eprintln!("the relay to port {to} cannot pass a connection on: {error}");
            }
        }
    });
    Ok(port)
}

fn connect(client: TcpStream, to: u16, delay: Duration) -> io::Result<()> {
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, to))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    pass(client.try_clone()?, server.try_clone()?, delay);
    pass(server, client, delay);
    Ok(())
}

/// Passes on what `from` sends, until one of both ends.
fn pass(mut from: TcpStream, mut to: TcpStream, delay: Duration) {
    // Reading goes on while a chunk waits: a chunk delays no other.
    let (sender, chunks) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + delay;
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, chunk) in chunks {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&chunk).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_comes_back_after_two_delays() {
        let delay = Duration::from_millis(20);
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = server.local_addr().expect("an address").port();
        let echo = thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a client");
            let mut word = [0; 4];
            stream.read_exact(&mut word).expect("a word");
            stream.write_all(&word).expect("the client is there");
        });
        let port = start(port, delay).expect("it starts");
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("it accepts");
        let started = Instant::now();
        client.write_all(b"word").expect("it reads");
        let mut said = Vec::new();
        client.read_to_end(&mut said).expect("it closes");
        assert_eq!(said, b"word");
        assert!(started.elapsed() >= delay * 2, "{:?}", started.elapsed());
        echo.join().expect("the server is content");
    }
}
