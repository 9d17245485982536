//! Renders a small data set of one product: turned flanges on a conveyor belt, good ones and ones with six types of defects, in MVTec
//! layout with exact masks.
//!
//! The same options give the same pixels: each picture has its own stream of random numbers, and the arithmetic is exact on every
//! machine (see `math`). A mask holds the pixels in which a rendering with the defect differs visibly from one without.

mod defect;
mod geometry;
mod mark;
mod math;
mod part;
mod scene;
mod surface;
#[cfg(test)]
mod tests;

pub use defect::DefectKind;

use image::{GrayImage, ImageFormat, RgbImage};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use scene::Scene;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// How many images of which size.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct SynthOptions {
    /// Another seed gives another set
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Width and height of the images, 64 to 2048
    #[arg(long, default_value_t = 256)]
    pub size: u32,
    /// Good images in train/good
    #[arg(long, default_value_t = 200)]
    pub train: usize,
    /// Good images in test/good
    #[arg(long, default_value_t = 40)]
    pub good: usize,
    /// Anomalous images in test, spread evenly over the defect types
    #[arg(long, default_value_t = 60)]
    pub anomalous: usize,
}

impl Default for SynthOptions {
    fn default() -> Self {
        Self { seed: 0, size: 256, train: 200, good: 40, anomalous: 60 }
    }
}

/// Why no data set was written. The text is complete: it ends with the words of the cause, and no error has a `source`.
#[derive(Debug, thiserror::Error)]
pub enum SynthError {
    /// An option makes no sense.
    #[error("--{option} {found}: expected {expected}")]
    Option {
        /// Its name on the command line.
        option: &'static str,
        /// The given value.
        found: u64,
        /// The allowed values.
        expected: &'static str,
    },
    /// The output folder exists and is not empty.
    #[error("{0}: exists and is not an empty folder; choose another --out or remove it")]
    Exists(PathBuf),
    /// The operating system refused something.
    #[error("{path}: cannot {action}: {cause}")]
    Io {
        /// File or folder.
        path: PathBuf,
        /// The action that failed.
        action: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// A PNG could not be written.
    #[error("{path}: cannot write the image: {cause}")]
    Image {
        /// The file.
        path: PathBuf,
        /// The encoder's error.
        cause: image::ImageError,
    },
}

/// Renders a data set in MVTec layout into the folder `out`, which must not exist or be empty.
///
/// `progress` is called from several threads with the number of images that are done and the number of all images. The folder
/// gets its name only when it is complete.
///
/// # Errors
/// See [`SynthError`]; nothing is left behind then.
pub fn render_set(out: &Path, options: &SynthOptions, progress: &(dyn Fn(usize, usize) + Sync)) -> Result<(), SynthError> {
    check(options)?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    refuse_content(out)?;
    fs::create_dir_all(parent).map_err(io_error(parent, "create the folder"))?;
    let temporary = tempfile::Builder::new().prefix(".synth-").tempdir_in(parent);
    let temporary = temporary.map_err(io_error(parent, "create a temporary folder in it"))?;
    // A folder inside it, because temporary folders are closed to other users.
    let root = temporary.path().join("set");
    let jobs = jobs(options);
    for job in &jobs {
        for file in [Some(job.image(&root)), job.mask(&root)].into_iter().flatten() {
            let folder = file.parent().unwrap_or(&root);
            fs::create_dir_all(folder).map_err(io_error(folder, "create the folder"))?;
        }
    }
    let done = AtomicUsize::new(0);
    jobs.par_iter().try_for_each(|job| {
        let (picture, mask) = job.render(options);
        save(&job.image(&root), |path| picture.save_with_format(path, ImageFormat::Png))?;
        if let (Some(mask), Some(path)) = (mask, job.mask(&root)) {
            save(&path, |path| mask.save_with_format(path, ImageFormat::Png))?;
        }
        progress(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
        Ok(())
    })?;
    refuse_content(out)?;
    fs::rename(&root, out).map_err(io_error(out, "move the finished set to its name"))
}

/// One image to render. Its number chooses the stream of random numbers.
struct Job {
    stream: u64,
    folder: &'static str,
    defect: Option<DefectKind>,
    number: usize,
}

fn jobs(options: &SynthOptions) -> Vec<Job> {
    let good = |folder, first: u64, count: usize| {
        (0..count).map(move |number| Job { stream: first + number as u64, folder, defect: None, number })
    };
    let kinds = DefectKind::ALL.len();
    let anomalous = (0..options.anomalous).map(|i| Job {
        stream: (2 << 32) + i as u64,
        folder: "test",
        defect: Some(DefectKind::ALL[i % kinds]),
        number: i / kinds,
    });
    // Streams far apart, so that more images of one sort leave the others as they were.
    good("train", 0, options.train).chain(good("test", 1 << 32, options.good)).chain(anomalous).collect()
}

impl Job {
    fn image(&self, root: &Path) -> PathBuf {
        let folder = self.defect.map_or("good", DefectKind::name);
        root.join(self.folder).join(folder).join(format!("{:03}.png", self.number))
    }

    fn mask(&self, root: &Path) -> Option<PathBuf> {
        let folder = root.join("ground_truth").join(self.defect?.name());
        Some(folder.join(format!("{:03}_mask.png", self.number)))
    }

    fn render(&self, options: &SynthOptions) -> (RgbImage, Option<GrayImage>) {
        let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
        rng.set_stream(self.stream);
        let scene = Scene::draw(&mut rng);
        match self.defect {
            None => (scene.good(options.size), None),
            Some(kind) => {
                let (picture, mask) = scene.anomalous(options.size, kind, &mut rng);
                (picture, Some(mask))
            }
        }
    }
}

fn check(options: &SynthOptions) -> Result<(), SynthError> {
    const COUNT: std::ops::RangeInclusive<u64> = 0..=100_000;
    let bounds = [
        ("size", u64::from(options.size), 64..=2048, "64 to 2048 pixels"),
        ("train", options.train as u64, 1..=100_000, "1 to 100000 images"),
        ("good", options.good as u64, COUNT, "0 to 100000 images"),
        ("anomalous", options.anomalous as u64, COUNT, "0 to 100000 images"),
    ];
    match bounds.into_iter().find(|(_, found, range, _)| !range.contains(found)) {
        Some((option, found, _, expected)) => Err(SynthError::Option { option, found, expected }),
        None => Ok(()),
    }
}

fn refuse_content(out: &Path) -> Result<(), SynthError> {
    match fs::read_dir(out) {
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => Err(SynthError::Exists(out.to_path_buf())),
        },
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) if out.is_file() => Err(SynthError::Exists(out.to_path_buf())),
        Err(e) => Err(io_error(out, "read the folder")(e)),
    }
}

fn save(path: &Path, write: impl Fn(&Path) -> image::ImageResult<()>) -> Result<(), SynthError> {
    write(path).map_err(|cause| SynthError::Image { path: path.to_path_buf(), cause })
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> SynthError {
    move |cause| SynthError::Io { path: path.to_path_buf(), action, cause }
}
