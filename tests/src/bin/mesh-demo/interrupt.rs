//! Ctrl-C and `SIGTERM`: a reason to clean up and end, not to die.

use mesh_tests::Result;
use mesh_tests::error::Context;
use std::cell::Cell;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tokio::signal::unix::{SignalKind, signal};

/// Whether somebody wants the demo to end.
pub(crate) struct Interrupt {
    signals: Receiver<()>,
    is_raised: Cell<bool>,
}

impl Interrupt {
    /// Takes over both signals for the rest of the process.
    pub(crate) fn listen() -> Result<Self> {
        let (sender, signals) = channel();
        let (ready, listening) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(async {
                let mut interrupt = signal(SignalKind::interrupt())?;
                let mut terminate = signal(SignalKind::terminate())?;
                // The demo has ended if nobody receives.
                while ready.send(()).is_ok() {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if sender.send(()).is_err() {
                        break;
                    }
                }
                io::Result::Ok(())
            })
        });
        listening
            .recv()
            .map_err(io::Error::other)
            .context(|| "listen for Ctrl-C")?;
        Ok(Self {
            signals,
            is_raised: Cell::new(false),
        })
    }

    /// Waits until a moment; says whether the demo is to go on.
    pub(crate) fn wait_until(&self, moment: Instant) -> bool {
        let rest = moment.saturating_duration_since(Instant::now());
        self.wait(rest)
    }

    fn wait(&self, time: Duration) -> bool {
        if !self.is_raised.get() {
            let outcome = self.signals.recv_timeout(time);
            self.is_raised
                .set(outcome != Err(RecvTimeoutError::Timeout));
        }
        !self.is_raised.get()
    }
}
