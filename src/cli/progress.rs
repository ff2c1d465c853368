//! A bar on stderr while a run takes long.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Shorter runs show nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// As often as an eye follows.
const REDRAW: Duration = Duration::from_millis(100);

/// A bar that goes away when this is dropped. On anything but a terminal there is none.
pub(super) struct Progress {
    drawing: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Progress {
    /// `taken` counts up to `total`.
    pub(super) fn start(total: usize, taken: &Arc<AtomicUsize>) -> Self {
        if !io::stderr().is_terminal() {
            return Self { drawing: None };
        }
        let taken = Arc::clone(taken);
        let (done, waiting) = mpsc::channel::<()>();
        let draw = move || {
            if waiting.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Timeout) {
                return;
            }
            let bar = ProgressBar::new(total as u64);
            if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos} of {len} files") {
                bar.set_style(style);
            }
            loop {
                bar.set_position(taken.load(Ordering::Relaxed).min(total) as u64);
                if waiting.recv_timeout(REDRAW) != Err(RecvTimeoutError::Timeout) {
                    return bar.finish_and_clear();
                }
            }
        };
        // Where no thread can be had, the run goes on without a bar.
        let drawing = thread::Builder::new().name("progress".to_owned()).spawn(draw).ok();
        Self { drawing: drawing.map(|thread| (done, thread)) }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((done, thread)) = self.drawing.take() {
            drop(done);
            // A bar that failed has nothing to add.
            let _ = thread.join();
        }
    }
}
