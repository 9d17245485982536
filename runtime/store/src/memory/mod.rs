//! A file system in memory, for tests. The power can be cut before any step; then everything that was not synced may be lost.
//!
//! What a power cut may take: the content of a file that was not synced, and each change of a name in a folder that was not synced, one
//! independently of the other. A renamed file has two such changes, its new name and the end of the old one: more than journals lose.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use detector::file_system::{FileSystem, Kind, TEMPORARY};
use detector::{Error, Result};

/// What a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    Folder,
    /// By its place in [`State::contents`].
    File(usize),
}

/// Bytes of a file.
#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    synced: Vec<u8>,
}

/// A change of a name that has not reached the disk.
#[derive(Clone, Debug)]
struct Change {
    path: PathBuf,
    node: Option<Node>,
}

#[derive(Clone, Debug)]
struct State {
    /// Names as programs see them.
    names: BTreeMap<PathBuf, Node>,
    /// Names on the disk.
    synced: BTreeMap<PathBuf, Node>,
    unsynced: Vec<Change>,
    contents: Vec<Content>,
    locked: BTreeSet<PathBuf>,
    /// Steps taken since the start.
    steps: usize,
    /// The power goes off before this step.
    cut: usize,
}

/// One file system; a clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Memory(Rc<RefCell<State>>);

/// Holds a lock until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock(Memory, PathBuf);

impl Drop for Lock {
    fn drop(&mut self) {
        self.0.0.borrow_mut().locked.remove(&self.1);
    }
}

impl Memory {
    /// An empty one, whose root is `/`.
    pub(crate) fn new() -> Memory {
        let names = BTreeMap::from([(PathBuf::from("/"), Node::Folder)]);
        Memory::of(State {
            synced: names.clone(),
            names,
            unsynced: vec![],
            contents: vec![],
            locked: BTreeSet::new(),
            steps: 0,
            cut: usize::MAX,
        })
    }

    fn of(state: State) -> Memory {
        Memory(Rc::new(RefCell::new(state)))
    }

    /// The same files as in another program, which runs from now on; its power goes off before the step of this number.
    pub(crate) fn restarted(&self, cut: usize) -> Memory {
        let state = State { locked: BTreeSet::new(), steps: 0, cut, ..self.0.borrow().clone() };
        Memory::of(state)
    }

    fn steps(&self) -> usize {
        self.0.borrow().steps
    }

    /// How many things a power cut may take from what is there.
    pub(crate) fn unsynced(&self) -> usize {
        let state = self.0.borrow();
        state.unsynced.len() + state.unsynced_contents().count()
    }

    /// Every state that a power cut at this moment may leave.
    pub(crate) fn after_power_cut(&self) -> impl Iterator<Item = Memory> {
        let unsynced = self.unsynced();
        assert!(unsynced < 12, "{unsynced} changes are not synced");
        (0..1 << unsynced).map(move |kept: usize| Memory::of(self.0.borrow().after_power_cut(kept)))
    }

    fn step<T>(&self, step: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.borrow_mut();
        if state.steps >= state.cut {
            return Err(ErrorKind::Interrupted.into());
        }
        state.steps += 1;
        step(&mut state)
    }
}

impl State {
    /// Files whose content has not reached the disk, and that a name leads to, before a power cut or after it. Nobody reads temporary files.
    fn unsynced_contents(&self) -> impl Iterator<Item = usize> {
        let changed = self.unsynced.iter().filter_map(|change| Some((&change.path, change.node.as_ref()?)));
        let is_temporary = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(TEMPORARY));
        let named = self.names.iter().chain(&self.synced).chain(changed).filter(|(path, _)| !is_temporary(path));
        let named: Vec<Node> = named.map(|(_, node)| *node).collect();
        let differs = |place: &usize| self.contents[*place].now != self.contents[*place].synced;
        (0..self.contents.len()).filter(move |place| differs(place) && named.contains(&Node::File(*place)))
    }

    fn after_power_cut(&self, kept: usize) -> State {
        let mut after = self.clone();
        after.names = self.synced.clone();
        let is_kept = |bit: usize| (kept >> bit) & 1 == 1;
        for (bit, Change { path, node }) in self.unsynced.iter().enumerate() {
            if !is_kept(bit) {
                continue;
            }
            match node {
                Some(node) => after.names.insert(path.clone(), *node),
                None => after.names.remove(path),
            };
        }
        // What lies in a folder that is lost is lost. Folders come before what lies in them.
        let mut reachable: BTreeMap<PathBuf, Node> = BTreeMap::new();
        for (path, node) in after.names {
            if path.parent().is_none_or(|folder| reachable.get(folder) == Some(&Node::Folder)) {
                reachable.insert(path, node);
            }
        }
        for (bit, place) in self.unsynced_contents().enumerate() {
            if !is_kept(self.unsynced.len() + bit) {
                after.contents[place].now = self.contents[place].synced.clone();
            }
        }
        after.contents.iter_mut().for_each(|content| content.synced = content.now.clone());
        State { synced: reachable.clone(), names: reachable, unsynced: vec![], locked: BTreeSet::new(), cut: usize::MAX, ..after }
    }

    fn content(&self, path: &Path) -> io::Result<&Content> {
        match self.names.get(path) {
            Some(Node::File(place)) => Ok(&self.contents[*place]),
            Some(Node::Folder) => Err(ErrorKind::IsADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn expect_folder(&self, path: &Path) -> io::Result<()> {
        match self.names.get(path) {
            Some(Node::Folder) => Ok(()),
            Some(Node::File(_)) => Err(ErrorKind::NotADirectory.into()),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn change(&mut self, path: &Path, node: Option<Node>) {
        match node {
            Some(node) => self.names.insert(path.to_owned(), node),
            None => self.names.remove(path),
        };
        self.unsynced.push(Change { path: path.to_owned(), node });
    }

    fn create(&mut self, path: &Path, node: Node) -> io::Result<()> {
        self.expect_folder(path.parent().unwrap_or(path))?;
        if self.names.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        self.change(path, Some(node));
        Ok(())
    }
}

impl FileSystem for Memory {
    type Temporary = usize;
    type Lock = Lock;

    fn kind(&self, path: &Path) -> Option<Kind> {
        self.0.borrow().names.get(path).map(|node| match node {
            Node::Folder => Kind::Folder,
            Node::File(_) => Kind::File,
        })
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        let state = self.0.borrow();
        let bytes = &state.content(path).map_err(Error::io(path, "open"))?.now;
        match bytes.len() as u64 <= limit {
            true => Ok(bytes.clone()),
            false => Err(Error::file(path, format!("holds {} bytes; at most {limit} were expected", bytes.len()))),
        }
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let state = self.0.borrow();
        state.expect_folder(folder)?;
        Ok(state.names.keys().filter(|path| path.parent() == Some(folder)).cloned().collect())
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>> {
        let locked = self.0.borrow_mut().locked.insert(path.to_owned());
        Ok(locked.then(|| Lock(self.clone(), path.to_owned())))
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.step(|state| state.create(path, Node::Folder))
    }

    fn create_temporary(&self, folder: &Path) -> io::Result<(PathBuf, usize)> {
        self.step(|state| {
            let place = state.contents.len();
            let path = folder.join(format!("{TEMPORARY}{place}"));
            state.create(&path, Node::File(place))?;
            state.contents.push(Content::default());
            Ok((path, place))
        })
    }

    fn fill(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        self.step(|state| {
            state.contents[*file].now.extend_from_slice(bytes);
            Ok(())
        })
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        self.step(|state| {
            state.contents[*file].synced = state.contents[*file].now.clone();
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|state| {
            let node = state.names.get(from).copied().ok_or(ErrorKind::NotFound)?;
            state.expect_folder(to.parent().unwrap_or(to))?;
            if state.names.get(to) == Some(&Node::Folder) {
                return Err(ErrorKind::IsADirectory.into());
            }
            state.change(to, Some(node));
            state.change(from, None);
            Ok(())
        })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.step(|state| {
            state.content(path)?;
            state.change(path, None);
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.step(|state| {
            state.expect_folder(folder)?;
            let (synced, unsynced) =
                std::mem::take(&mut state.unsynced).into_iter().partition(|change| change.path.parent() == Some(folder));
            state.unsynced = unsynced;
            for Change { path, node } in synced {
                match node {
                    Some(node) => state.synced.insert(path, node),
                    None => state.synced.remove(&path),
                };
            }
            Ok(())
        })
    }
}

/// How an interrupted command was interrupted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The power was cut before this step. What was not synced may be lost.
    PowerCut(usize),
    /// The program was killed before this step. Nothing is lost yet: a later power cut may take it.
    Killed(usize),
}

/// Interrupts `command` before each of its steps in turn, in every way, and after its end, and shows `check` every state that may be found
/// then. Gives the number of these states.
pub(crate) fn interrupt<E>(
    before: &Memory,
    command: impl Fn(&Memory) -> std::result::Result<(), E>,
    mut check: impl FnMut(End, &Memory),
) -> usize {
    let mut states = 0;
    for cut in 0.. {
        let disk = before.restarted(cut);
        let finished = command(&disk).is_ok();
        assert!(finished || disk.steps() == cut, "the command fails by itself after {} steps", disk.steps());
        let lost = disk.after_power_cut().map(|after| (End::PowerCut(cut), after));
        let killed = [(End::Killed(cut), disk.restarted(usize::MAX))];
        for (end, after) in lost.chain(killed) {
            check(end, &after);
            states += 1;
        }
        if finished {
            break;
        }
    }
    states
}

/// Carries out a command to its end. Nothing of it may be lost by a later power cut.
pub(crate) fn finish<E: std::fmt::Debug>(disk: &Memory, command: impl FnOnce(&Memory) -> std::result::Result<(), E>) {
    command(disk).unwrap();
    assert_eq!(disk.unsynced(), 0, "a finished command is on the disk: {:?}", disk.0.borrow().unsynced);
}

mod tests;
