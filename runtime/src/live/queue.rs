//! Where frames wait for the detector.

use std::collections::VecDeque;

use verdict::Ticket;

/// A ticket and its picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame<P> {
    /// The number, part, source and time of the frame.
    pub ticket: Ticket,
    /// The picture.
    pub picture: P,
}

/// Holds the newest free-running frame and nothing else.
#[derive(Debug)]
pub struct Mailbox<P> {
    waiting: Option<Frame<P>>,
    /// Largest sequence number so far.
    newest: u64,
    replaced: u64,
}

impl<P> Default for Mailbox<P> {
    fn default() -> Self {
        Mailbox { waiting: None, newest: 0, replaced: 0 }
    }
}

impl<P> Mailbox<P> {
    /// Takes a frame in. The frame that waited is dropped and counted. So is the new frame if a newer one came before it: frames leave the
    /// mailbox in the order of their sequence numbers.
    pub fn put(&mut self, frame: Frame<P>) {
        if frame.ticket.sequence <= self.newest {
            self.replaced += 1;
            return;
        }
        self.newest = frame.ticket.sequence;
        self.replaced += u64::from(self.waiting.replace(frame).is_some());
    }

    /// Takes the newest frame out.
    pub fn take(&mut self) -> Option<Frame<P>> {
        self.waiting.take()
    }

    /// The frame that waits.
    pub fn front(&self) -> Option<&Frame<P>> {
        self.waiting.as_ref()
    }

    /// Frames that were dropped for a newer one.
    pub fn replaced(&self) -> u64 {
        self.replaced
    }
}

/// Frames bound to parts, first in, first out, at most `capacity`.
#[derive(Debug)]
pub struct PartQueue<P> {
    waiting: VecDeque<Frame<P>>,
    capacity: usize,
}

impl<P> PartQueue<P> {
    /// An empty queue for at most `capacity` frames.
    pub fn new(capacity: usize) -> PartQueue<P> {
        PartQueue { waiting: VecDeque::with_capacity(capacity), capacity }
    }

    /// Takes a frame in.
    ///
    /// # Errors
    /// Gives the frame back when the queue is full: its part must be reported as `unknown`.
    pub fn put(&mut self, frame: Frame<P>) -> Result<(), Frame<P>> {
        if self.waiting.len() == self.capacity {
            return Err(frame);
        }
        self.waiting.push_back(frame);
        Ok(())
    }

    /// Takes the frame out that has waited longest.
    pub fn take(&mut self) -> Option<Frame<P>> {
        self.waiting.pop_front()
    }

    /// The frame that has waited longest.
    pub fn front(&self) -> Option<&Frame<P>> {
        self.waiting.front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    fn frame(sequence: u64) -> Frame<()> {
        let ticket = Ticket { sequence, part: None, source: String::new(), captured: Duration::ZERO, product: Some(0), view: 0 };
        Frame { ticket, picture: () }
    }

    proptest! {
        /// `None` takes, `Some` puts; sequence numbers come in any order.
        #[test]
        fn a_mailbox_never_goes_back_and_counts_every_frame(steps in prop::collection::vec(prop::option::of(1u64..50), 0..200)) {
            let mut mailbox = Mailbox::default();
            let (mut put, mut newest, mut given) = (0, 0, vec![]);
            for step in steps {
                match step {
                    Some(sequence) => {
                        mailbox.put(frame(sequence));
                        put += 1;
                        newest = sequence.max(newest);
                    }
                    None => {
                        let taken = mailbox.take().map(|frame| frame.ticket.sequence);
                        prop_assert!(taken.is_none_or(|sequence| sequence == newest), "only the newest frame leaves the mailbox");
                        given.extend(taken);
                    }
                }
            }
            prop_assert!(given.windows(2).all(|pair| pair[0] < pair[1]));
            let waiting = u64::from(mailbox.front().is_some());
            prop_assert_eq!(put, given.len() as u64 + mailbox.replaced() + waiting);
        }

        #[test]
        fn a_part_queue_is_a_bounded_fifo(capacity in 1usize..6, steps in prop::collection::vec(any::<bool>(), 0..200)) {
            let mut queue = PartQueue::new(capacity);
            let (mut next, mut model) = (0, VecDeque::new());
            for put in steps {
                if put {
                    next += 1;
                    let full = model.len() == capacity;
                    prop_assert_eq!(queue.put(frame(next)).is_err(), full);
                    if !full {
                        model.push_back(next);
                    }
                } else {
                    prop_assert_eq!(queue.take().map(|frame| frame.ticket.sequence), model.pop_front());
                }
                prop_assert_eq!(queue.front().map(|frame| frame.ticket.sequence), model.front().copied());
            }
        }
    }
}
