//! A disk in memory, with limited room and with faults.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustix::io::Errno;

use super::disk::{Disk, Handle, Status};
use super::rotate::numbered;

/// What goes wrong in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Nothing,
    /// A write takes at most this many bytes.
    Short(usize),
    Fails(Errno),
    /// A write fails after it has taken this many bytes.
    FailsAfter(usize, Errno),
}

#[derive(Clone, Debug, Default)]
pub struct FakeDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub struct State {
    names: BTreeMap<PathBuf, u64>,
    files: BTreeMap<u64, Vec<u8>>,
    /// Most bytes of all files together.
    pub capacity: usize,
    /// Faults of the next calls, in order.
    pub faults: VecDeque<Fault>,
    /// Content of files that were replaced, the oldest first.
    pub replaced: Vec<u8>,
}

#[derive(Debug)]
pub struct FakeFile {
    disk: FakeDisk,
    file: u64,
}

impl FakeDisk {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn fault(&self) -> io::Result<Fault> {
        match self.state().faults.pop_front().unwrap_or(Fault::Nothing) {
            Fault::Fails(errno) => Err(errno.into()),
            fault => Ok(fault),
        }
    }
}

impl State {
    /// The file of this number, see [`numbered`].
    pub fn content(&self, path: &Path, number: u32) -> Option<&[u8]> {
        self.names.get(&numbered(path, number)).map(|file| self.files[file].as_slice())
    }
}

impl Disk for FakeDisk {
    type File = FakeFile;

    fn standard_output(&self) -> io::Result<FakeFile> {
        Err(Errno::BADF.into())
    }

    fn open(&self, path: &Path) -> io::Result<FakeFile> {
        self.fault()?;
        let mut state = self.state();
        let next = state.files.len() as u64;
        let file = *state.names.entry(path.into()).or_insert(next);
        state.files.entry(file).or_default();
        Ok(FakeFile { disk: self.clone(), file })
    }

    fn is_fifo(&self, _: &Path) -> bool {
        false
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.fault()?;
        Ok(self.state().names.contains_key(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.fault()?;
        let mut state = self.state();
        let file = state.names.remove(from).ok_or(Errno::NOENT)?;
        if let Some(old) = state.names.insert(to.into(), file) {
            let content = std::mem::take(state.files.get_mut(&old).unwrap());
            state.replaced.extend(content);
        }
        Ok(())
    }

    fn real(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(path.into())
    }

    fn may_rename_in(&self, _: &Path) -> bool {
        true
    }
}

impl Handle for FakeFile {
    fn status(&self) -> io::Result<Status> {
        self.disk.fault()?;
        let state = self.disk.state();
        let named = state.names.values().any(|file| *file == self.file);
        Ok(Status { regular: true, size: state.files[&self.file].len() as u64, identity: (0, self.file), named })
    }

    fn ready(&self, _: Duration) -> io::Result<bool> {
        Ok(true)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let fault = self.disk.fault()?;
        let mut state = self.disk.state();
        let room = state.capacity.saturating_sub(state.files.values().map(Vec::len).sum());
        let (taken, result) = match fault {
            Fault::Short(taken) => (taken.max(1), Ok(())),
            Fault::FailsAfter(taken, errno) => (taken, Err(errno)),
            _ => (bytes.len(), Ok(())),
        };
        let taken = taken.min(room).min(bytes.len());
        state.files.get_mut(&self.file).unwrap().extend_from_slice(&bytes[..taken]);
        result?;
        if taken == 0 { Err(Errno::NOSPC.into()) } else { Ok(taken) }
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.disk.fault()?;
        self.disk.state().files.get_mut(&self.file).unwrap().resize(length as usize, 0);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.fault()?;
        let state = self.disk.state();
        let rest = &state.files[&self.file][offset as usize..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}
