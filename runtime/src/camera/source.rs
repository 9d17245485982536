//! The interface of everything that gives frames.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use detector::Result;
use detector::picture::Picture;

/// A camera, or image files in place of one.
pub trait Source: Send {
    /// Waits for the next frame, at most about `patience`, and at most until `wake` becomes readable: the caller has other work to do in
    /// between.
    ///
    /// # Errors
    /// When the source has failed for good. A damaged frame is no error of the source: see [`Shot::picture`].
    fn next(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Capture>;

    /// A part was triggered at this time. Only sources that wait for a trigger use it; a camera learns from it that a frame is due.
    fn trigger(&mut self, _at: Instant) {}

    /// The line makes this product from now on: frames are to be taken on its settings. See [`Shot::product`].
    fn set_product(&mut self, product: usize);
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Capture> {
        (**self).next(patience, wake)
    }

    fn trigger(&mut self, at: Instant) {
        (**self).trigger(at);
    }

    fn set_product(&mut self, product: usize) {
        (**self).set_product(product);
    }
}

/// The result of waiting for a frame.
#[derive(Debug)]
pub enum Capture {
    /// A frame.
    Shot(Shot),
    /// No frame came in time.
    Nothing,
    /// The source has no more frames.
    End,
}

/// One frame as the source delivers it.
#[derive(Debug)]
pub struct Shot {
    /// The camera's device or the image file.
    pub source: String,
    /// When the frame was captured.
    pub at: Instant,
    /// The product on whose settings the frame certainly was taken; none while the settings change.
    pub product: Option<usize>,
    /// The picture, or what is wrong with the frame.
    pub picture: std::result::Result<Picture, String>,
}
