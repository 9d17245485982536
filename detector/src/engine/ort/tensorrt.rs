//! Where TensorRT keeps the engines that it builds: in one folder for each bundle, GPU and set of library versions, since a built engine
//! runs nowhere else.

use std::ffi::{CStr, c_char, c_int};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use libloading::Library;

use crate::files;

/// Number of folders that are kept, more than the bundles of one configuration. The least recently used are removed first.
const KEPT: usize = 64;
/// File that names what the engines of a folder depend on.
const KEY: &str = "key.txt";

/// Everything that a built engine depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    bundle: String,
    gpu: Gpu,
    tensorrt: c_int,
    onnxruntime: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Gpu {
    name: String,
    /// Compute capability.
    capability: (c_int, c_int),
    /// Version of the driver.
    driver: c_int,
}

impl Key {
    fn text(&self) -> String {
        let Key { bundle, gpu: Gpu { name, capability: (major, minor), driver }, tensorrt, onnxruntime } = self;
        format!(
            "bundle {bundle}\ngpu {name}, compute capability {major}.{minor}, driver {driver}\ntensorrt {tensorrt}\n\
             onnxruntime {onnxruntime}\n"
        )
    }
}

/// The folder for a bundle on this machine's GPU; it is made if it is not there.
pub(super) fn cache(state: &Path, bundle: &str, onnxruntime: &str) -> Result<PathBuf, String> {
    let key = Key { bundle: bundle.into(), gpu: gpu()?, tensorrt: tensorrt_version()?, onnxruntime: onnxruntime.into() };
    folder(&state.join("tensorrt"), &key)
        .map_err(|error| format!("{}: cannot keep what TensorRT builds: {error}", state.display()))
}

fn folder(root: &Path, key: &Key) -> crate::Result<PathBuf> {
    let text = key.text();
    let folder = root.join(&files::sha256(text.as_bytes())[..32]);
    let path = folder.join(KEY);
    if fs::read(&path).is_ok_and(|known| known == text.as_bytes()) {
        // The file's time says when the folder was last used. If the folder is another user's, the time stays as it is.
        let _ = fs::File::options().write(true).open(&path).and_then(|file| file.set_modified(SystemTime::now()));
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(crate::Error::io(&folder, "create"))?;
    files::write_atomic(&path, text.as_bytes())?;
    prune(root, &folder)?;
    Ok(folder)
}

/// Removes the least recently used folders beyond [`KEPT`].
fn prune(root: &Path, current: &Path) -> crate::Result<()> {
    let used = |folder: &Path| fs::metadata(folder.join(KEY)).and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let entries = fs::read_dir(root).map_err(crate::Error::io(root, "read"))?;
    let mut others: Vec<(SystemTime, PathBuf)> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir() && path != current)
        .map(|path| (used(&path), path))
        .collect();
    others.sort();
    let surplus = (others.len() + 1).saturating_sub(KEPT);
    others.iter().take(surplus).try_for_each(|(_, path)| fs::remove_dir_all(path).map_err(crate::Error::io(path, "remove")))
}

/// The first GPU, as the driver names it.
#[allow(unsafe_code, reason = "calling the functions of a vendor's library")]
fn gpu() -> Result<Gpu, String> {
    const MAJOR: c_int = 75;
    const MINOR: c_int = 76;
    let failed = |what: &str| format!("there is no usable NVIDIA GPU: {what}");
    // SAFETY: the driver's own library; every function has the type that cuda.h gives it, and gets pointers to live variables.
    unsafe {
        let driver = Library::new("libcuda.so.1").map_err(|error| failed(&format!("its driver cannot be loaded: {error}")))?;
        let missing = |error: libloading::Error| failed(&error.to_string());
        let init = driver.get::<unsafe extern "C" fn(u32) -> c_int>(b"cuInit\0").map_err(missing)?;
        let version = driver.get::<unsafe extern "C" fn(*mut c_int) -> c_int>(b"cuDriverGetVersion\0").map_err(missing)?;
        let device = driver.get::<unsafe extern "C" fn(*mut c_int, c_int) -> c_int>(b"cuDeviceGet\0").map_err(missing)?;
        let name = driver.get::<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int>(b"cuDeviceGetName\0");
        let name = name.map_err(missing)?;
        let attribute = driver.get::<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int>(b"cuDeviceGetAttribute\0");
        let attribute = attribute.map_err(missing)?;
        let (mut number, mut handle, mut capability, mut text) = (0, 0, (0, 0), [0 as c_char; 256]);
        let steps = [
            ("cuInit", init(0)),
            ("cuDriverGetVersion", version(&mut number)),
            ("cuDeviceGet", device(&mut handle, 0)),
            ("cuDeviceGetName", name(text.as_mut_ptr(), 255, handle)),
            ("cuDeviceGetAttribute", attribute(&mut capability.0, MAJOR, handle)),
            ("cuDeviceGetAttribute", attribute(&mut capability.1, MINOR, handle)),
        ];
        if let Some((step, code)) = steps.into_iter().find(|(_, code)| *code != 0) {
            return Err(failed(&format!("{step} gives error {code}")));
        }
        // The last byte is never written, so the text ends.
        let name = CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned();
        Ok(Gpu { name, capability, driver: number })
    }
}

/// TensorRT's version as one number, e.g. 101300.
#[allow(unsafe_code, reason = "calling the functions of a vendor's library")]
fn tensorrt_version() -> Result<c_int, String> {
    let names = ["libnvinfer.so.11", "libnvinfer.so.10", "libnvinfer.so.8", "libnvinfer.so"];
    // SAFETY: TensorRT's own library, which the provider loads next; the function takes nothing and gives a number.
    unsafe {
        let library = names.iter().find_map(|name| Library::new(*name).ok());
        let library = library.ok_or_else(|| format!("TensorRT cannot be loaded: none of {} was found", names.join(", ")))?;
        let version = library.get::<unsafe extern "C" fn() -> c_int>(b"getInferLibVersion\0");
        Ok(version.map_err(|error| format!("TensorRT does not tell its version: {error}"))?())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(bundle: &str) -> Key {
        let gpu = Gpu { name: "Orin".into(), capability: (8, 7), driver: 12060 };
        Key { bundle: bundle.into(), gpu, tensorrt: 101_300, onnxruntime: "1.23.0".into() }
    }

    #[test]
    fn every_part_of_the_key_makes_another_folder() {
        let root = tempfile::tempdir().unwrap();
        let base = key("a");
        let mut others = vec![base.clone(); 5];
        others[0].bundle = "b".into();
        others[1].gpu.capability.1 = 9;
        others[2].gpu.driver += 1;
        others[3].tensorrt += 1;
        others[4].onnxruntime = "1.23.1".into();
        let first = folder(root.path(), &base).unwrap();
        assert_eq!(folder(root.path(), &base).unwrap(), first, "the same key gives the same folder");
        let mut all: Vec<_> = others.iter().map(|key| folder(root.path(), key).unwrap()).collect();
        all.push(first.clone());
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 6);
        assert_eq!(fs::read_to_string(first.join(KEY)).unwrap(), base.text());
    }

    #[test]
    fn folders_do_not_grow_without_end() {
        let root = tempfile::tempdir().unwrap();
        let keys: Vec<_> = (0..KEPT + 3).map(|i| key(&i.to_string())).collect();
        let old = SystemTime::UNIX_EPOCH;
        for (i, key) in keys.iter().enumerate() {
            let folder = folder(root.path(), key).unwrap();
            fs::write(folder.join("model.engine"), "built").unwrap();
            let used = old + std::time::Duration::from_secs(i as u64);
            fs::File::open(folder.join(KEY)).unwrap().set_modified(used).unwrap();
        }
        let left: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(left.len(), KEPT);
        let of = |key: &Key| root.path().join(&files::sha256(key.text().as_bytes())[..32]);
        assert!(!of(&keys[0]).exists() && of(&keys[KEPT + 2]).exists());
    }
}
