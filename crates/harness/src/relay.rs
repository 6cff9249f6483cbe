//! A TCP relay between a host and its database: a network that is slow, and an address that moves.
//!
//! `tc qdisc add … netem delay` would delay in the kernel, but not every kernel has `sch_netem`, and it takes
//! root.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

/// The most bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// A relay, on a port of its own of the loopback address. It serves until the process ends.
#[derive(Debug)]
pub struct Relay {
    /// The port that it listens on.
    pub port: u16,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    to: u16,
    delay: Duration,
    /// How many chunks have been delayed.
    delayed: u64,
    open: Vec<TcpStream>,
}

impl Relay {
    /// Passes connections on to port `to` of the loopback address.
    pub fn start(to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Mutex::new(Shared {
            to,
            delay: Duration::ZERO,
            delayed: 0,
            open: Vec::new(),
        }));
        let relay = Self {
            port,
            shared: Arc::clone(&shared),
        };
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is not there closes the client's connection: it is dropped.
                let _ = connect(client, &shared);
            }
        });
        Ok(relay)
    }

    /// From now on, each chunk arrives `delay` after it was sent, in each direction. Returns how many have
    /// been delayed so far.
    pub fn slow_down(&self, delay: Duration) -> u64 {
        let mut shared = lock(&self.shared);
        shared.delay = delay;
        shared.delayed
    }

    /// Passes new connections on to port `to`, and cuts those that are open.
    pub fn move_to(&self, to: u16) {
        let mut shared = lock(&self.shared);
        shared.to = to;
        for stream in shared.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(client: TcpStream, shared: &Arc<Mutex<Shared>>) -> io::Result<()> {
    let mut locked = lock(shared);
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, locked.to))?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        locked.open.push(stream.try_clone()?);
    }
    drop(locked);
    pass(client.try_clone()?, server.try_clone()?, Arc::clone(shared));
    pass(server, client, Arc::clone(shared));
    Ok(())
}

/// Passes on what `from` sends, until one of both ends.
fn pass(mut from: TcpStream, mut to: TcpStream, shared: Arc<Mutex<Shared>>) {
    // Reading goes on while a chunk waits: a chunk delays no other.
    let (sender, chunks) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; CHUNK];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let mut shared = lock(&shared);
            let due = Instant::now() + shared.delay;
            shared.delayed += u64::from(!shared.delay.is_zero());
            drop(shared);
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

    /// A server that answers each connection with `byte`, and closes it when the client does.
    fn server(byte: u8) -> u16 {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = client.write_all(&[byte]);
                    let _ = client.read(&mut [0]);
                });
            }
        });
        port
    }

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
        let relay = Relay::start(port).expect("it starts");
        relay.slow_down(delay);
        let mut client = TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it accepts");
        let started = Instant::now();
        client.write_all(b"word").expect("it reads");
        let mut said = Vec::new();
        client.read_to_end(&mut said).expect("it closes");
        assert_eq!(said, b"word");
        assert!(started.elapsed() >= delay * 2, "{:?}", started.elapsed());
        echo.join().expect("the server is content");
    }

    #[test]
    fn a_move_cuts_what_is_open_and_takes_new_connections_elsewhere() {
        let relay = Relay::start(server(b'1')).expect("it starts");
        let connect = || {
            let mut client =
                TcpStream::connect((Ipv4Addr::LOCALHOST, relay.port)).expect("it accepts");
            let mut byte = [0];
            client.read_exact(&mut byte).expect("the server answers");
            (client, byte[0])
        };
        let (mut first, byte) = connect();
        assert_eq!(byte, b'1');
        relay.move_to(server(b'2'));
        assert_eq!(first.read(&mut [0]).expect("it is closed"), 0);
        assert_eq!(connect().1, b'2');
    }
}
