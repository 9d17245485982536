//! ONNX Runtime's shared library: one per process, checked before it is used, because `ort` panics where it cannot load one.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::sys::{ORT_API_VERSION, OrtApiBase};

/// The environment variable that names the library if the configuration does not.
const VARIABLE: &str = "ORT_DYLIB_PATH";

/// The loaded ONNX Runtime.
#[derive(Clone, Debug)]
pub struct OrtLibrary {
    /// Where it was loaded from.
    pub path: PathBuf,
    /// The version that the library gives.
    pub version: String,
    pub(super) environment: Environment,
}

static LOADED: Mutex<Option<OrtLibrary>> = Mutex::new(None);

impl OrtLibrary {
    /// Loads the library, or gives the one that is loaded already.
    ///
    /// # Errors
    /// A message that names the library: when no library is named, or it is missing, is no ONNX Runtime or is too old, or the process uses
    /// another one.
    pub(super) fn load(named: Option<&Path>) -> Result<OrtLibrary, String> {
        let path = match named {
            Some(path) => path.to_path_buf(),
            None => std::env::var_os(VARIABLE).filter(|path| !path.is_empty()).map(PathBuf::from).ok_or_else(|| {
                format!("needs ONNX Runtime's library: name it with `onnxruntime` in [runtime], --onnxruntime or {VARIABLE}")
            })?,
        };
        let shown = path.display();
        // Links are followed, so that two names of one library count as one. dlopen would look for a relative path elsewhere.
        let path = path.canonicalize().map_err(|error| format!("{shown}: ONNX Runtime's library cannot be found: {error}"))?;
        let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
        match &*loaded {
            Some(library) if library.path == path => return Ok(library.clone()),
            Some(library) => {
                let other = library.path.display();
                return Err(format!("{shown}: this process uses {other} already, and there can be only one ONNX Runtime"));
            }
            None => {}
        }
        let problem = |problem: String| format!("{shown}: {problem}");
        complete(&path).map_err(problem)?;
        let version = probe(&path).map_err(problem)?;
        let builder = ort::init_from(&path).map_err(|error| problem(error.to_string()))?;
        let builder = builder.with_name("apc").with_telemetry(false).with_logger(Arc::new(log));
        let environment = builder.build().map_err(|error| problem(format!("ONNX Runtime {version} does not start: {error}")))?;
        let library = OrtLibrary { path, version, environment };
        *loaded = Some(library.clone());
        Ok(library)
    }
}

/// Whether all segments of an ELF file are there. The loader maps them without looking, and a file that was cut short then ends the
/// process with a signal.
fn complete(path: &Path) -> Result<(), String> {
    let broken = |error: io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(broken)?;
    let length = file.metadata().map_err(broken)?.len();
    check_segments(&mut BufReader::new(file), length)
}

/// [`complete`] for a file of `length` bytes. No number of the header decides how much memory is taken.
fn check_segments(file: &mut (impl Read + Seek), length: u64) -> Result<(), String> {
    /// A program header of 64-bit ELF. The loader, too, takes no other size.
    const ENTRY: u64 = 56;
    let broken = |error: io::Error| format!("cannot be read: {error}");
    let cut = || "is damaged: it is shorter than its header says; copy it again".to_string();
    let mut header = [0u8; 64];
    file.read_exact(&mut header).map_err(|_| "is no shared library: it is too short".to_string())?;
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    if !header.starts_with(b"\x7fELF") {
        return Err("is no shared library: it has no ELF header".into());
    }
    // 64-bit little-endian is what every supported camera runs; the loader refuses others by itself.
    if header[4..6] != [2, 1] {
        return Ok(());
    }
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    let (table, size, count) = (number(&header[32..40]), number(&header[54..56]), number(&header[56..58]));
    if size != ENTRY {
        return Err(format!("is damaged: its program headers have {size} bytes, {ENTRY} were expected; copy it again"));
    }
    if table.checked_add(ENTRY * count).is_none_or(|end| end > length) {
        return Err(cut());
    }
    file.seek(SeekFrom::Start(table)).map_err(broken)?;
    for _ in 0..count {
        let mut entry = [0u8; ENTRY as usize];
        file.read_exact(&mut entry).map_err(|_| cut())?;
        if number(&entry[8..16]).checked_add(number(&entry[32..40])).is_none_or(|end| end > length) {
            return Err(cut());
        }
    }
    Ok(())
}

/// Opens the library and asks for its version and for the interface that `ort` needs.
#[allow(unsafe_code, reason = "loading a library and calling its functions")]
fn probe(path: &Path) -> Result<String, String> {
    // SAFETY: loading runs the library's initialisers; the service's own configuration names it, and it is trusted as the program is.
    let library = unsafe { libloading::Library::new(path) }.map_err(|error| format!("cannot be loaded: {error}"))?;
    type GetApiBase = unsafe extern "C" fn() -> *const OrtApiBase;
    // SAFETY: the symbol has had this type in every ONNX Runtime.
    let base = unsafe { library.get::<GetApiBase>(b"OrtGetApiBase\0") };
    let base = base.map_err(|_| "is no ONNX Runtime: it has no OrtGetApiBase".to_string())?;
    // SAFETY: the function takes nothing and gives a static table or null; version and interface are read from that table alone.
    let (version, api) = unsafe {
        let Some(base) = base().as_ref() else {
            return Err("is no ONNX Runtime: OrtGetApiBase gives nothing".into());
        };
        let version = (base.GetVersionString)();
        if version.is_null() {
            return Err("is no ONNX Runtime: it gives no version".into());
        }
        (CStr::from_ptr(version).to_string_lossy().into_owned(), (base.GetApi)(ORT_API_VERSION))
    };
    if api.is_null() {
        return Err(format!("is ONNX Runtime {version}; version 1.{ORT_API_VERSION} or newer is needed"));
    }
    // Kept open: a library that ran its initialisers may not like to be unloaded.
    std::mem::forget(library);
    Ok(version)
}

/// Hands ONNX Runtime's messages to the log.
fn log(level: LogLevel, category: &str, _id: &str, _place: &str, message: &str) {
    let level = match level {
        LogLevel::Verbose => log::Level::Trace,
        // ONNX Runtime's "info" messages are about its inner workings.
        LogLevel::Info => log::Level::Debug,
        LogLevel::Warning => log::Level::Warn,
        LogLevel::Error | LogLevel::Fatal => log::Level::Error,
    };
    log::log!(level, "ONNX Runtime ({category}): {message}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes in memory, and the largest piece that was read at once.
    struct Watched<'a> {
        bytes: io::Cursor<&'a [u8]>,
        largest: usize,
    }

    impl Read for Watched<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.largest = self.largest.max(buffer.len());
            self.bytes.read(buffer)
        }
    }

    impl Seek for Watched<'_> {
        fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
            self.bytes.seek(to)
        }
    }

    /// Checks a file of these bytes, and that the memory for it does not grow with what its header says.
    fn checked(bytes: &[u8]) -> Result<(), String> {
        let mut file = Watched { bytes: io::Cursor::new(bytes), largest: 0 };
        let result = check_segments(&mut file, bytes.len() as u64);
        assert!(file.largest <= 64, "{} bytes were asked for at once", file.largest);
        result
    }

    /// A header, two program headers and what they describe.
    fn small_elf() -> Vec<u8> {
        let mut elf = vec![0u8; 64 + 2 * 56 + 40];
        elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        elf[32] = 64;
        elf[54] = 56;
        elf[56] = 2;
        for (entry, offset, length) in [(64, 0, 176), (120, 176, 40)] {
            elf[entry + 8] = offset;
            elf[entry + 32] = length;
        }
        elf
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_damaged_header_is_not_believed() {
        let sound = small_elf();
        assert_eq!(checked(&sound), Ok(()));
        for cut in 64..sound.len() {
            assert!(checked(&sound[..cut]).unwrap_err().contains("damaged"), "{cut}");
        }
        let damaged = |at: usize, bytes: &[u8]| {
            let mut elf = sound.clone();
            elf[at..at + bytes.len()].copy_from_slice(bytes);
            checked(&elf).unwrap_err()
        };
        // Sizes and counts of the table that make gigabytes, a table behind the end, segments behind the end.
        for (at, bytes) in [(54, &[255; 4][..]), (56, &[255; 2]), (32, &[255; 8]), (32, &[240]), (72, &[255; 8]), (152, &[41])] {
            assert!(damaged(at, bytes).contains("damaged"), "{at} {bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = checked(&bytes);
        }

        #[test]
        fn any_damage_is_an_answer(changes in prop::collection::vec((0usize..216, any::<u8>()), 1..9), cut in 0usize..217) {
            let mut elf = small_elf();
            changes.into_iter().for_each(|(at, byte)| elf[at] = byte);
            let _ = checked(&elf[..cut]);
            let _ = checked(&elf);
        }
    }

    fn refused(content: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("libonnxruntime.so");
        std::fs::write(&path, content).unwrap();
        let error = OrtLibrary::load(Some(&path)).unwrap_err();
        assert!(error.contains("libonnxruntime.so"), "{error}");
        error
    }

    #[test]
    fn what_is_no_library_is_an_error() {
        let missing = OrtLibrary::load(Some(Path::new("/nowhere/libonnxruntime.so"))).unwrap_err();
        assert!(missing.contains("/nowhere") && missing.contains("cannot be found"), "{missing}");
        assert!(refused(b"").contains("too short"));
        assert!(refused(&[b'x'; 100]).contains("no shared library"));
        let folder = OrtLibrary::load(Some(Path::new("/"))).unwrap_err();
        assert!(folder.contains("cannot be read") || folder.contains("too short"), "{folder}");
    }

    /// The test program itself: sound ELF, and no ONNX Runtime.
    #[test]
    #[cfg(target_os = "linux")]
    fn another_program_and_a_cut_one_are_errors() {
        let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        // The rest of a test program may be notes for debuggers, which no segment needs.
        assert!(refused(&program[..4096]).contains("damaged"));
        assert!(refused(&program[..200]).contains("damaged"));
        let error = refused(&program);
        assert!(error.contains("cannot be loaded") || error.contains("OrtGetApiBase"), "{error}");
    }
}
