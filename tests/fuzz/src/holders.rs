//! Those who hold the streams of a connection: they do whatever they may, in whatever order is chosen.

use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Method, Response, Uri};

use crate::choices::Choices;
use crate::frames::WINDOW_BYTES;
use mesh_agent::http2::{Connection, ErrorCode, Head, Piece};

/// Streams that are opened at once.
const OPEN_MAX: usize = 6;

/// A stream that is held.
struct Held {
    place: usize,
    holders: u8,
    /// Its head was read.
    has_head: bool,
    /// Nothing more is to be read.
    is_read: bool,
    /// Its head was written.
    has_answered: bool,
    /// Nothing more is to be written.
    is_written: bool,
    /// Bytes that were read, and not passed on.
    kept: usize,
}

pub(crate) struct Holders {
    is_server: bool,
    held: Vec<Held>,
    /// Streams that were opened.
    pub(crate) opened: u32,
}

impl Holders {
    pub(crate) const fn new(is_server: bool) -> Self {
        Self {
            is_server,
            held: Vec::new(),
            opened: 0,
        }
    }

    pub(crate) fn act(&mut self, connection: &mut Connection, choices: &mut Choices<'_>) {
        let what = choices.next();
        if what.is_multiple_of(4) || self.held.is_empty() {
            return self.begin(connection, what);
        }
        let index = usize::from(choices.next()) % self.held.len();
        let held = &mut self.held[index];
        match what / 4 % 8 {
            0 | 1 => held.read(connection),
            2 => held.pass_on(connection),
            3 | 4 => held.write(connection, choices),
            5 => held.finish(connection, choices.next()),
            6 => connection.reset(held.place, ErrorCode::CANCEL),
            _ => {
                held.pass_on(connection);
                for _ in 0..held.holders {
                    connection.release_stream(held.place);
                }
                self.held.swap_remove(index);
            }
        }
        let kept: usize = self.held.iter().map(|held| held.kept).sum();
        assert!(kept <= 2 * WINDOW_BYTES as usize);
    }

    /// Takes a request, or makes one.
    fn begin(&mut self, connection: &mut Connection, what: u8) {
        let place = if self.is_server {
            connection.next_request().map(|(place, head)| {
                let fields = head.headers.iter();
                let bytes: usize = fields
                    .map(|(name, value)| name.as_str().len() + value.len() + 32)
                    .sum();
                assert!(bytes <= 600);
                place
            })
        } else if self.held.len() < OPEN_MAX {
            let place = open(connection, what & 4 != 0);
            self.opened += u32::from(place.is_some());
            place
        } else {
            None
        };
        self.held.extend(place.map(|place| Held {
            place,
            holders: 2,
            has_head: self.is_server,
            is_read: false,
            has_answered: !self.is_server,
            is_written: !self.is_server && what & 4 != 0,
            kept: 0,
        }));
    }
}

fn open(connection: &mut Connection, is_end: bool) -> Option<usize> {
    let uri = Uri::from_static("http://inventory.shop/shop.Inventory/Reserve");
    let head = Head {
        method: &Method::POST,
        uri: &uri,
        headers: &some_headers(),
        instead: &HeaderMap::new(),
    };
    connection.open(&head, is_end).ok()
}

fn some_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(
        "content-type",
        http::HeaderValue::from_static("application/grpc"),
    );
    headers
}

impl Held {
    fn read(&mut self, connection: &mut Connection) {
        let context = Context::from_waker(Waker::noop());
        if !self.has_head {
            match connection.poll_head(self.place, &context) {
                Poll::Ready(Ok(_)) => {
                    self.has_head = true;
                    self.holders += 1;
                }
                // It is not asked again.
                Poll::Ready(Err(_)) => (self.has_head, self.is_read) = (true, true),
                Poll::Pending => {}
            }
            return;
        }
        while !self.is_read {
            match connection.poll_piece(self.place, &context) {
                Poll::Ready(Ok(Piece::Data(data))) => {
                    assert!(!data.is_empty());
                    self.kept += data.len();
                    assert!(self.kept <= WINDOW_BYTES as usize);
                }
                Poll::Ready(Ok(Piece::Trailers(_) | Piece::End) | Err(_)) => self.is_read = true,
                Poll::Pending => return,
            }
        }
    }

    fn pass_on(&mut self, connection: &mut Connection) {
        connection.release(self.place, std::mem::take(&mut self.kept));
    }

    fn write(&mut self, connection: &mut Connection, choices: &mut Choices<'_>) {
        let how = choices.next();
        if self.is_written {
            return;
        }
        let is_last = how & 1 != 0;
        if !self.has_answered {
            let mut head = Response::new(()).into_parts().0;
            head.headers = some_headers();
            self.has_answered = true;
            let responded = connection.respond(self.place, &head, is_last);
            self.is_written = is_last || responded.is_err();
            return;
        }
        let mut data = Bytes::from(vec![0; usize::from(how) * 40]);
        if how & 6 == 6 {
            let sent = connection.send_whole(self.place, &data, is_last);
            self.is_written = is_last || sent.is_err();
            return;
        }
        let context = Context::from_waker(Waker::noop());
        let before = data.len();
        match connection.poll_send(self.place, &context, &mut data, is_last) {
            Poll::Ready(Ok(sent)) => {
                assert_eq!(sent + data.len(), before);
                assert!(sent > 0 || before == 0);
                self.is_written = is_last && data.is_empty();
            }
            Poll::Ready(Err(_)) => self.is_written = true,
            Poll::Pending => assert_eq!(data.len(), before),
        }
    }

    fn finish(&mut self, connection: &mut Connection, how: u8) {
        if self.has_answered && !self.is_written {
            let trailers = (how & 1 != 0).then(some_headers);
            self.is_written = true;
            // A stream that was reset in the meantime has no end.
            connection.finish_stream(self.place, trailers).ok();
        }
    }
}
