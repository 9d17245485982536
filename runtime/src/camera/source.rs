//! Where frames come from.

use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use detector::Result;
use detector::picture::Picture;

/// A camera, or what stands for one.
pub trait Source: Send {
    /// Waits for the next frame, at most about `patience`, and no longer than until `wake` becomes readable: the caller looks after other
    /// things in between.
    ///
    /// # Errors
    /// When no frame will ever come again though one was due. A frame that is damaged is no error of the source: see
    /// [`Shot::picture`].
    fn next(&mut self, patience: Duration, wake: Option<BorrowedFd<'_>>) -> Result<Capture>;

    /// A part was seen at this time. For sources that wait for a trigger and that the trigger's line does not reach by itself.
    fn trigger(&mut self, _at: Instant) {}

    /// Another product is made from now on: frames are to be taken on this product's settings. See [`Shot::product`].
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

/// What a source has to say.
#[derive(Debug)]
pub enum Capture {
    /// A frame.
    Shot(Shot),
    /// Nothing came in time: ask again.
    Nothing,
    /// There are no more.
    End,
}

/// One frame as the source delivers it.
#[derive(Debug)]
pub struct Shot {
    /// Camera or file.
    pub source: String,
    /// When it was captured.
    pub at: Instant,
    /// The product on whose settings it was taken for sure; nothing while they change.
    pub product: Option<usize>,
    /// The picture, or what is wrong with it.
    pub picture: std::result::Result<Picture, String>,
}
