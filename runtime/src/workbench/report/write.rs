//! From a report to its page.

use std::path::Path;

use detector::{Result, files};

use super::content::{Pictures, Report};
use super::{defects, gallery, page};

impl Report<'_> {
    /// Writes the page to `path`, all of it or nothing. `pictures` gives the pictures of `images[i]`; it is called for the few images that
    /// are shown.
    ///
    /// # Errors
    /// A NaN score, an error of `pictures`, pictures that do not fit together, or the file cannot be written.
    pub fn write(&self, path: &Path, pictures: impl FnMut(usize) -> Result<Pictures>) -> Result<()> {
        files::write_atomic(path, self.html(pictures)?.as_bytes())
    }

    /// The page as text; see [`Report::write`].
    ///
    /// # Errors
    /// As there, except for the file.
    pub fn html(&self, mut pictures: impl FnMut(usize) -> Result<Pictures>) -> Result<String> {
        let ranking = defects::rank(self.images)?;
        let groups = gallery::pick(self.images, self.threshold);
        let galleries = groups.iter().map(|group| gallery::html(self, group, &mut pictures)).collect::<Result<String>>()?;
        Ok(page::html(self, &ranking, &defects::rows(self)?, &galleries))
    }
}
