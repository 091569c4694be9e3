//! Whether a connection speaks HTTP/2: its first bytes say so, and where it has none, what the service port spoke before.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// The client's preface (RFC 9113, 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long the first bytes may take.
const LIMIT: Duration = Duration::from_millis(100);

/// The same at a port that is known not to speak HTTP/2: its servers may be the first to speak.
const LIMIT_OF_BYTES: Duration = Duration::from_millis(5);

/// How often part of a preface is looked at again: the kernel does not tell of more.
const AGAIN: Duration = Duration::from_millis(1);

/// Service ports that are remembered; beyond that all are forgotten.
const PORTS_MAX: usize = 4_096;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speech {
    /// HTTP/2.
    Http2,
    /// Something else.
    Bytes,
}

/// What there was to see of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    /// Its first bytes.
    Began(Speech),
    /// No bytes, or too few of a preface, in time.
    Silent,
    /// Its end before anything else.
    Ended,
}

/// What service ports spoke before.
#[derive(Debug, Default)]
pub struct Spoken(Mutex<HashMap<SocketAddr, Speech>>);

impl Spoken {
    /// Says what a connection to the service port `requested` speaks. Consumes nothing of it.
    ///
    /// # Errors
    /// The connection is broken.
    pub async fn detect(&self, stream: &TcpStream, requested: SocketAddr) -> io::Result<Speech> {
        let known = self.lock().get(&requested).copied();
        let limit = match known {
            Some(Speech::Bytes) => LIMIT_OF_BYTES,
            Some(Speech::Http2) | None => LIMIT,
        };
        let sight = match timeout(limit, look(stream)).await {
            Ok(sight) => sight?,
            Err(_) => Sight::Silent,
        };
        if let Some(learnt) = learn(sight, known) {
            let mut spoken = self.lock();
            if spoken.len() >= PORTS_MAX {
                spoken.clear();
            }
            spoken.insert(requested, learnt);
        }
        Ok(decide(sight, known))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SocketAddr, Speech>> {
        // Every critical section leaves the map whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look(stream: &TcpStream) -> io::Result<Sight> {
    let mut buffer = [0; PREFACE.len()];
    loop {
        let length = stream.peek(&mut buffer).await?;
        if length == 0 {
            return Ok(Sight::Ended);
        }
        if let Some(speech) = judge(&buffer[..length]) {
            return Ok(Sight::Began(speech));
        }
        sleep(AGAIN).await;
    }
}

/// What the first bytes say; `None`: a preface may come of them.
fn judge(bytes: &[u8]) -> Option<Speech> {
    if !bytes
        .iter()
        .zip(PREFACE)
        .all(|(byte, expected)| byte == expected)
    {
        return Some(Speech::Bytes);
    }
    (bytes.len() >= PREFACE.len()).then_some(Speech::Http2)
}

/// Bytes decide; without any, what the port spoke before.
fn decide(sight: Sight, known: Option<Speech>) -> Speech {
    match sight {
        Sight::Began(speech) => speech,
        Sight::Silent => known.unwrap_or(Speech::Bytes),
        Sight::Ended => Speech::Bytes,
    }
}

/// What is new about the port. One client that speaks HTTP/2 says more than many that do not, or are slow; one that comes and
/// goes says nothing.
fn learn(sight: Sight, known: Option<Speech>) -> Option<Speech> {
    let learnt = match (sight, known) {
        (Sight::Began(Speech::Http2), _) => Speech::Http2,
        (Sight::Began(Speech::Bytes) | Sight::Silent, None) => Speech::Bytes,
        (Sight::Began(Speech::Bytes) | Sight::Silent | Sight::Ended, _) => return None,
    };
    (known != Some(learnt)).then_some(learnt)
}

#[cfg(test)]
mod tests {
    use super::{PREFACE, Sight, Speech, Spoken, decide, judge, learn};
    use proptest::prelude::*;
    use std::net::SocketAddr;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    #[test]
    fn bytes_decide_and_silence_is_what_was_spoken_before() {
        use Speech::{Bytes, Http2};
        for (sight, known, speech, learnt) in [
            (Sight::Began(Http2), None, Http2, Some(Http2)),
            (Sight::Began(Http2), Some(Bytes), Http2, Some(Http2)),
            (Sight::Began(Http2), Some(Http2), Http2, None),
            (Sight::Began(Bytes), None, Bytes, Some(Bytes)),
            (Sight::Began(Bytes), Some(Http2), Bytes, None),
            (Sight::Silent, None, Bytes, Some(Bytes)),
            (Sight::Silent, Some(Http2), Http2, None),
            (Sight::Silent, Some(Bytes), Bytes, None),
            (Sight::Ended, None, Bytes, None),
            (Sight::Ended, Some(Http2), Bytes, None),
        ] {
            assert_eq!(decide(sight, known), speech, "{sight:?} {known:?}");
            assert_eq!(learn(sight, known), learnt, "{sight:?} {known:?}");
        }
    }

    #[test]
    fn a_preface_is_known_whole_only() {
        for length in 0..PREFACE.len() {
            assert_eq!(judge(&PREFACE[..length]), None, "{length}");
        }
        assert_eq!(judge(PREFACE), Some(Speech::Http2));
        assert_eq!(judge(b"GET / HTTP/1.1\r\n"), Some(Speech::Bytes));
    }

    proptest! {
        #[test]
        fn one_wrong_byte_is_enough(at in 0..PREFACE.len(), wrong: u8, length in 1..=PREFACE.len()) {
            prop_assume!(wrong != PREFACE[at] && at < length);
            let mut bytes = *PREFACE;
            bytes[at] = wrong;
            prop_assert_eq!(judge(&bytes[..length]), Some(Speech::Bytes));
        }
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap());
        let (client, server) = tokio::join!(client, listener.accept());
        (client.unwrap(), server.unwrap().0)
    }

    #[tokio::test]
    async fn nothing_of_a_preface_is_consumed() {
        let (mut client, mut server) = pair().await;
        let requested: SocketAddr = "10.96.0.1:80".parse().unwrap();
        client.write_all(PREFACE).await.unwrap();

        let spoken = Spoken::default();
        let speech = spoken.detect(&server, requested).await.unwrap();

        assert_eq!(speech, Speech::Http2);
        let mut read = [0; PREFACE.len()];
        tokio::io::AsyncReadExt::read_exact(&mut server, &mut read)
            .await
            .unwrap();
        assert_eq!(&read, PREFACE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_says_nothing_is_not_waited_for_long() {
        let (_client, server) = pair().await;
        let requested: SocketAddr = "10.96.0.1:80".parse().unwrap();
        let start = tokio::time::Instant::now();

        let spoken = Spoken::default();
        let speech = spoken.detect(&server, requested).await.unwrap();

        assert_eq!(speech, Speech::Bytes);
        assert_eq!(start.elapsed(), super::LIMIT);
    }
}
