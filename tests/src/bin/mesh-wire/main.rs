//! `mesh-wire`: sockets whose every byte a test decides. Driven through [`mesh_tests::wire`].

mod socket;

use mesh_tests::wire::{Answer, Order, from_hex, to_hex};
use socket::Sockets;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::from(2)
        }
    }
}

/// Carries out the orders of standard input, one per line.
fn serve() -> io::Result<()> {
    let mut sockets = Sockets::default();
    let mut output = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let order: Order = serde_json::from_str(&line?)?;
        let answer = carry_out(&mut sockets, order).unwrap_or_else(|error| Answer {
            error: Some(error.to_string()),
            ..Answer::default()
        });
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
    }
    Ok(())
}

fn carry_out(sockets: &mut Sockets, order: Order) -> io::Result<Answer> {
    let mut answer = Answer::default();
    match order {
        Order::Listen { address, how } => sockets.listen(address, how)?,
        Order::Connect { target, how } => answer.socket = sockets.connect(target, how)?,
        Order::Accept => answer.socket = sockets.accept()?,
        Order::Send { socket, pieces } => {
            for piece in pieces {
                sockets.send(socket, &bytes(&piece)?)?;
            }
        }
        Order::SendOften {
            socket,
            piece,
            times,
        } => {
            let piece = bytes(&piece)?;
            for _ in 0..times {
                sockets.send(socket, &piece)?;
            }
        }
        Order::Flood {
            socket,
            piece,
            times,
        } => answer.count = sockets.flood(socket, &bytes(&piece)?, times)?,
        Order::Hear { socket, until } => {
            let (heard, is_over) = sockets.hear(socket, until)?;
            answer.bytes = to_hex(&heard);
            answer.is_over = is_over;
        }
        Order::Receive { socket, bytes } => {
            answer.bytes = to_hex(&sockets.receive(socket, bytes)?);
        }
        Order::Swallow { socket, bytes } => sockets.swallow(socket, bytes)?,
        Order::AwaitEnds { socket, streams } => sockets.await_ends(socket, streams)?,
        Order::Stamp { socket, requests } => {
            for request in requests {
                answer
                    .times_ns
                    .push(sockets.stamp(socket, &bytes(&request)?)?);
            }
        }
        Order::Drain { socket } => answer.count = sockets.drain(socket)?,
        Order::Finish { socket } => sockets.finish(socket)?,
        Order::Close { socket } => sockets.close(socket),
        Order::Abort { socket } => sockets.abort(socket)?,
    }
    Ok(answer)
}

fn bytes(text: &str) -> io::Result<Vec<u8>> {
    from_hex(text).ok_or_else(|| io::Error::other(format!("not hexadecimal: {text}")))
}

#[expect(clippy::print_stderr, reason = "a program's last word")]
fn complain(error: &io::Error) {
    eprintln!("mesh-wire: {error}");
}
