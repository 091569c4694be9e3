//! The task of one connection to an endpoint: makes it, moves it, and ends with it.

use super::entry::Entry;
use super::silence::{Due, Look, Silence};
use super::{Client, ConnectionFigures, Makings};
use crate::proxy::clock;
use crate::proxy::wire::{self, Cut, Driver, Opener};
use crate::resilience::{Permit, Resource};
use socket2::SockRef;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};

/// Makes a connection for an entry that has counted it, and moves it until it is over.
pub(super) async fn run(makings: Arc<Makings>, entry: Arc<Entry>, client: Client, permit: Permit) {
    let (opener, driver) = match make(&makings, &entry).await {
        Ok(made) => made,
        Err(error) => {
            drop(permit);
            entry.dial_failed(error);
            makings.forget(&entry);
            return;
        }
    };
    let _counted = Counted::new(Arc::clone(&client.figures));
    let (id, to_dial) = Entry::connected(&entry, opener);
    for _ in 0..to_dial {
        dial_another(&makings, &entry, client.clone());
    }
    let mut moved = pin!(Moved::new(driver, &entry, id, &makings));
    poll_fn(|cx| moved.as_mut().poll(cx)).await;
    entry.withdraw(id);
    makings.forget(&entry);
}

async fn make(makings: &Makings, entry: &Entry) -> io::Result<(Opener, Driver)> {
    let making = async {
        let socket = (makings.dial)(entry.key()).await?;
        prepare(&socket, makings.times.user_timeout)?;
        let connected = wire::connect(socket, &makings.limits).await;
        connected.map_err(|_: Cut| io::ErrorKind::ConnectionReset.into())
    };
    timeout(makings.times.connect, making)
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

fn prepare(socket: &TcpStream, user_timeout: Duration) -> io::Result<()> {
    socket.set_nodelay(true)?;
    SockRef::from(socket).set_tcp_user_timeout(Some(user_timeout))
}

/// More wait than this connection has room for.
fn dial_another(makings: &Arc<Makings>, entry: &Arc<Entry>, client: Client) {
    let Some(permit) = client.breaker.take(Resource::Connection) else {
        entry.dial_denied();
        return;
    };
    let (makings, entry) = (Arc::clone(makings), Arc::clone(entry));
    // Boxed, since it is this very future once more.
    let next: Pin<Box<dyn Future<Output = ()> + Send>> =
        Box::pin(run(makings, entry, client, permit));
    tokio::spawn(next);
}

/// Keeps the gauge honest, whatever ends the task.
struct Counted {
    figures: Arc<ConnectionFigures>,
}

impl Counted {
    fn new(figures: Arc<ConnectionFigures>) -> Self {
        figures.active.fetch_add(1, Ordering::Relaxed);
        figures.opened.fetch_add(1, Ordering::Relaxed);
        Self { figures }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.figures.active.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection that is moved: ready when it is over.
struct Moved<'e> {
    driver: Driver,
    makings: &'e Makings,
    entry: &'e Entry,
    id: u64,
    /// Fixed when the connection is made: a complaint ends it.
    ping: Duration,
    is_withdrawn: bool,
    silence: Silence,
    check: Pin<Box<Sleep>>,
}

impl<'e> Moved<'e> {
    fn new(driver: Driver, entry: &'e Entry, id: u64, makings: &'e Makings) -> Self {
        let idle = makings.times.idle;
        let ping = makings.ping(entry.key().endpoint);
        Self {
            driver,
            makings,
            entry,
            id,
            ping,
            is_withdrawn: false,
            silence: Silence::new(clock::now(), idle),
            check: Box::pin(sleep(idle.min(ping))),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.driver.poll(cx);
        if self.driver.is_going_away() && !self.is_withdrawn {
            self.is_withdrawn = true;
            self.entry.withdraw(self.id);
            if self.driver.is_pinged_too_often() {
                let endpoint = self.entry.key().endpoint;
                self.makings.ping_less(endpoint, self.ping);
            }
        }
        while self.check.as_mut().poll(cx).is_ready() {
            self.check(cx);
        }
        polled
    }

    /// Looks whether the connection is idle, or silent though it has streams.
    fn check(&mut self, cx: &Context<'_>) {
        let now = clock::now();
        let (due, wait) = self.silence.look(Look {
            now,
            read_bytes: self.driver.read_bytes(),
            is_idle: self.entry.streams(self.id) == Some(0),
            ping: self.ping,
        });
        match due {
            Due::Nothing => {}
            // Unless a stream has begun just now.
            Due::Close => self.is_withdrawn = self.entry.withdraw_idle(self.id),
            Due::Ping => {
                self.driver.ping();
                cx.waker().wake_by_ref();
            }
        }
        self.check.as_mut().reset((now + wait).into());
    }
}
