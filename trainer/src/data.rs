//! Reading of images, and reading ahead on a thread of its own.

use std::path::Path;
use std::sync::mpsc;

use detector::dataset::Sample;
use detector::picture::{self, Picture};
use detector::preprocess::{Prepared, Preprocess};
use detector::{Error, Result};

/// Reads an image and brings it to the network's size.
///
/// # Errors
/// When it cannot be read or has another colour than the product.
pub fn prepare(path: &Path, rule: &Preprocess) -> Result<Prepared> {
    let picture = Picture::read(path)?;
    picture.expect_colour(rule.colour, path)?;
    rule.prepare(&picture.pixels).map_err(|error| Error::file(path, error.to_string()))
}

/// The mask of a sample in the network's geometry; none where there is no mask.
///
/// # Errors
/// When it cannot be read or is not of the image's size.
pub fn prepare_mask(sample: &Sample, rule: &Preprocess) -> Result<Option<Vec<bool>>> {
    let Some(path) = &sample.mask else { return Ok(None) };
    let mask = picture::read_mask(path)?;
    let picture = Picture::read(&sample.path)?.pixels;
    if mask.dimensions() != picture.dimensions() {
        let ((mask_width, mask_height), (width, height)) = (mask.dimensions(), picture.dimensions());
        let problem =
            format!("is {mask_width}x{mask_height} px; a mask of {width}x{height} px was expected, the size of its image");
        return Err(Error::file(path, problem));
    }
    rule.prepare_mask(&mask).map(Some)
}

/// Calls `make` for every number of `range` on a thread of its own, at most two results ahead, and gives the results to `take` in
/// order: images are loaded while the network learns. Ends early when `make` or `take` fails.
///
/// # Errors
/// The first error of either side.
pub fn ahead<T: Send, E: From<Error>>(
    range: std::ops::Range<usize>,
    make: impl Fn(usize) -> Result<T> + Send,
    mut take: impl FnMut(usize, T) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::sync_channel(2);
        scope.spawn(move || {
            for index in range {
                let made = make(index);
                let failed = made.is_err();
                // A closed channel means that `take` has failed.
                if sender.send((index, made)).is_err() || failed {
                    return;
                }
            }
        });
        for (index, made) in receiver {
            take(index, made?)?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ahead_keeps_order_and_reports_errors() {
        let mut taken = Vec::new();
        ahead(
            0..20,
            |i| Ok(i * i),
            |i, square| {
                taken.push((i, square));
                Ok::<_, Error>(())
            },
        )
        .unwrap();
        assert_eq!(taken, (0..20).map(|i| (i, i * i)).collect::<Vec<_>>());
        let failing = |i| if i == 3 { Err(Error::invalid("three")) } else { Ok(i) };
        assert!(ahead(0..20, failing, |_, _| Ok::<_, Error>(())).unwrap_err().to_string().contains("three"));
        assert!(ahead(0..20, Ok, |i, _| if i == 1 { Err(Error::invalid("taker")) } else { Ok(()) }).is_err());
    }
}
