//! Waiting with a bound, and with a descriptor that may end the wait early.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A time as poll(2) takes it.
pub(in crate::camera) fn timespec(time: Duration) -> Timespec {
    // Seconds of any wait fit a signed integer.
    Timespec { tv_sec: time.as_secs() as _, tv_nsec: time.subsec_nanos().into() }
}

/// Waits for `patience`, or until `wake` becomes readable.
pub fn wait(patience: Duration, wake: Option<BorrowedFd<'_>>) {
    match wake {
        None => std::thread::sleep(patience),
        Some(wake) => {
            let mut polled = [PollFd::from_borrowed_fd(wake, PollFlags::IN)];
            // An interrupted wait only ends early.
            let _ = poll(&mut polled, Some(&timespec(patience)));
        }
    }
}
