//! Endpoints that a test scripts: what no server says, or not when it is wanted.
//!
//! An endpoint is a listener in a pod, served by threads of the test itself. Each call is treated as its path's script says: it
//! is asked at the call's head, when more of its body has come and at its end what to say, and whether to leave.

use crate::error::{Context, Result};
use crate::heard::Heard;
use crate::http2::{
    Block, PREFACE, flag, frame, headers, kind, message, server_begin, window_update,
};
use crate::network::Pod;
use socket2::SockRef;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a write may take: a peer that does not read is none of a script's affairs.
const WRITE_LIMIT: Duration = Duration::from_secs(20);

/// When a script is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// The head of the call has come.
    Head,
    /// More of its body has come.
    Data,
    /// It has ended.
    End,
}

/// A call's point at which a script is asked.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// The point.
    pub at: At,
    /// The call's stream.
    pub stream: u32,
    /// How many calls of the path came before.
    pub before: u32,
}

/// What an endpoint does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Act {
    /// What it says.
    pub says: Vec<u8>,
    /// Whether it leaves then.
    pub leaves: Option<Leaving>,
}

/// How an endpoint leaves its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// By FIN.
    Finish,
    /// By RST.
    Abort,
}

impl Act {
    /// Does nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Says something and stays.
    #[must_use]
    pub fn say(says: Vec<u8>) -> Self {
        Self { says, leaves: None }
    }

    /// Says something and leaves.
    #[must_use]
    pub fn leave(says: Vec<u8>, how: Leaving) -> Self {
        Self {
            says,
            leaves: Some(how),
        }
    }
}

/// What calls of a path get.
pub type Script = Arc<dyn Fn(Point) -> Act + Send + Sync>;

/// What an endpoint does with a new connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// Begins as a server does, and treats calls as their scripts say.
    Server,
    /// Says something, and reads whatever comes without a word more.
    Only(Vec<u8>),
    /// Leaves after having said something and read the client's first bytes.
    Leave(Vec<u8>),
    /// There is nobody to make a connection with.
    Nobody,
}

/// What all endpoints of a test know.
#[derive(Clone, Default)]
pub struct Scripts {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Default)]
struct Shared {
    scripts: BTreeMap<String, Script>,
    seen: BTreeMap<String, Seen>,
    accepted: BTreeMap<u16, u32>,
}

/// What an endpoint has seen of calls of a path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Calls.
    pub calls: u32,
    /// The codes of resets.
    pub resets: Vec<u32>,
}

impl std::fmt::Debug for Scripts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = self.lock();
        f.debug_struct("Scripts")
            .field("seen", &shared.seen)
            .finish_non_exhaustive()
    }
}

impl Scripts {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Treats calls of a path so. Others get an answer like that of an obliging server.
    pub fn put(&self, path: &str, script: impl Fn(Point) -> Act + Send + Sync + 'static) {
        let script: Script = Arc::new(script);
        self.lock().scripts.insert(path.to_owned(), script);
    }

    /// What was seen of calls of a path.
    #[must_use]
    pub fn seen(&self, path: &str) -> Seen {
        self.lock().seen.get(path).cloned().unwrap_or_default()
    }

    /// Connections that were made to a port.
    #[must_use]
    pub fn accepted(&self, port: u16) -> u32 {
        self.lock().accepted.get(&port).copied().unwrap_or(0)
    }

    /// Listens at a port of a pod until the test's process ends.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn listen(&self, pod: &Pod, port: u16, greeting: Greeting) -> Result {
        if greeting == Greeting::Nobody {
            return Ok(());
        }
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let bound = pod.namespace().enter(|| TcpListener::bind(address))?;
        let listener = bound.context(|| format!("listen at {address}"))?;
        let scripts = self.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(std::result::Result::ok) {
                *scripts.lock().accepted.entry(port).or_default() += 1;
                let (scripts, greeting) = (scripts.clone(), greeting.clone());
                // A peer that has left ends the connection, as it should.
                std::thread::spawn(move || scripts.serve(socket, &greeting).ok());
            }
        });
        Ok(())
    }

    fn serve(&self, mut socket: TcpStream, greeting: &Greeting) -> std::io::Result<()> {
        socket.set_nodelay(true)?;
        socket.set_write_timeout(Some(WRITE_LIMIT))?;
        match greeting {
            Greeting::Server | Greeting::Nobody => {}
            Greeting::Only(says) => {
                socket.write_all(says)?;
                return drain(&mut socket);
            }
            Greeting::Leave(says) => {
                socket.write_all(says)?;
                let _first = socket.read(&mut [0; 4_096])?;
                return socket.shutdown(Shutdown::Both);
            }
        }
        socket.read_exact(&mut [0; PREFACE.len()])?;
        socket.write_all(&server_begin())?;
        socket.write_all(&window_update(0))?;
        let mut conversation = Conversation::new(self.clone());
        let mut buffer = vec![0; 65_536];
        loop {
            let count = socket.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            for act in conversation.hear(&buffer[..count]) {
                socket.write_all(&act.says)?;
                match act.leaves {
                    None => {}
                    Some(Leaving::Finish) => {
                        socket.shutdown(Shutdown::Write)?;
                        return drain(&mut socket);
                    }
                    Some(Leaving::Abort) => {
                        return SockRef::from(&socket).set_linger(Some(Duration::ZERO));
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // A script that panics does so outside.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads to the end.
fn drain(socket: &mut TcpStream) -> std::io::Result<()> {
    std::io::copy(socket, &mut std::io::sink()).map(drop)
}

/// One connection as its endpoint follows it.
struct Conversation {
    scripts: Scripts,
    heard: Heard,
    calls: BTreeMap<u32, Call>,
    settings_frames: u32,
}

/// How far a call is known.
struct Call {
    path: String,
    script: Script,
    before: u32,
    data_bytes: u64,
    is_ended: bool,
    is_reset: bool,
}

impl Conversation {
    fn new(scripts: Scripts) -> Self {
        Self {
            scripts,
            heard: Heard::new(),
            calls: BTreeMap::new(),
            settings_frames: 0,
        }
    }

    /// What to do about bytes that have come.
    fn hear(&mut self, bytes: &[u8]) -> Vec<Act> {
        self.heard.take(bytes);
        let mut acts = Vec::new();
        for _ in self.settings_frames..self.heard.settings_frames {
            acts.push(Act::say(frame(kind::SETTINGS, flag::ACK, 0, &[])));
        }
        self.settings_frames = self.heard.settings_frames;
        for (&stream, said) in &self.heard.streams {
            if said.blocks == 0 {
                continue;
            }
            let is_new = !self.calls.contains_key(&stream);
            let call = self.calls.entry(stream).or_insert_with(|| {
                let path = said.field(":path").unwrap_or_default();
                self.scripts.begin(path)
            });
            let mut ask = |at| {
                acts.push((call.script)(Point {
                    at,
                    stream,
                    before: call.before,
                }));
            };
            if is_new {
                ask(At::Head);
            }
            if said.data_bytes > call.data_bytes {
                call.data_bytes = said.data_bytes;
                ask(At::Data);
            }
            if said.is_ended && !call.is_ended {
                call.is_ended = true;
                ask(At::End);
            }
            if let Some(code) = said.reset
                && !call.is_reset
            {
                call.is_reset = true;
                let mut shared = self.scripts.lock();
                let seen = shared.seen.entry(call.path.clone()).or_default();
                seen.resets.push(code);
            }
        }
        acts
    }
}

impl Scripts {
    /// A call of a path begins.
    fn begin(&self, path: &str) -> Call {
        let mut shared = self.lock();
        let seen = shared.seen.entry(path.to_owned()).or_default();
        let before = seen.calls;
        seen.calls += 1;
        let script = shared.scripts.get(path).cloned();
        Call {
            path: path.to_owned(),
            script: script.unwrap_or_else(|| Arc::new(oblige)),
            before,
            data_bytes: 0,
            is_ended: false,
            is_reset: false,
        }
    }
}

/// What an obliging server does: a message for each, and OK at the end.
#[must_use]
pub fn oblige(point: Point) -> Act {
    let stream = point.stream;
    Act::say(match point.at {
        At::Head => headers(stream, false, Block::response().bytes()),
        At::Data => message(stream, false, &[2; 40]),
        At::End => headers(stream, true, Block::trailers(0).bytes()),
    })
}
