use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use detector::file_system::{Disk, FileSystem};

use super::*;

/// The contents of a file that a power cut may leave; none where it is gone.
fn contents(disk: &Memory, path: &Path) -> BTreeSet<Option<String>> {
    let content = |after: Memory| Some(String::from_utf8(after.read(path, 99).ok()?).unwrap());
    disk.after_power_cut().map(content).collect()
}

#[test]
fn a_power_cut_takes_what_was_not_synced() {
    let (disk, path) = (Memory::new(), Path::new("/a/file"));
    let some = |text: &str| Some(text.to_owned());
    disk.create_folder(Path::new("/a")).unwrap();
    let (temporary, mut file) = disk.create_temporary(Path::new("/a")).unwrap();
    disk.fill(&mut file, b"new").unwrap();
    disk.rename(&temporary, path).unwrap();
    assert_eq!(contents(&disk, path), BTreeSet::from([None, some(""), some("new")]));
    disk.sync(&file).unwrap();
    assert_eq!(contents(&disk, path), BTreeSet::from([None, some("new")]));
    disk.sync_folder(Path::new("/a")).unwrap();
    assert_eq!(contents(&disk, path), BTreeSet::from([None, some("new")]), "the folder itself may be lost");
    disk.sync_folder(Path::new("/")).unwrap();
    assert_eq!(contents(&disk, path), BTreeSet::from([some("new")]));
    disk.unlink(path).unwrap();
    assert_eq!(contents(&disk, path), BTreeSet::from([None, some("new")]));
}

#[test]
fn a_write_leaves_the_old_file_or_the_new_one() {
    let (before, path) = (Memory::new(), Path::new("/file"));
    finish(&before, |disk| disk.write(path, b"old"));
    let mut found = BTreeSet::new();
    let states = interrupt(
        &before,
        |disk| disk.write(path, b"new"),
        |end, after| {
            let content = String::from_utf8(after.read(path, 99).unwrap()).unwrap();
            assert!(["old", "new"].contains(&content.as_str()), "{end:?}: {content:?}");
            found.insert(content);
        },
    );
    assert!(states > 20 && found.len() == 2, "{states} states");
}

#[test]
fn the_disk_and_the_memory_do_the_same() {
    let folder = tempfile::tempdir().unwrap();
    fn story(files: &impl FileSystem, root: &Path) -> Vec<String> {
        let (deep, file) = (root.join("a/b"), root.join("a/b/file"));
        let kind = |result: io::Result<()>| result.map_err(|error| error.kind());
        let mut found = vec![
            format!("{:?}", files.write(&file, b"x").is_err()),
            format!("{:?}", files.create_folders(&deep).is_ok()),
            format!("{:?}", kind(files.create_folder(&deep))),
            format!("{:?}", files.write(&file, b"one").is_ok()),
            format!("{:?}", files.write(&file, b"two").is_ok()),
            format!("{:?}", files.read(&file, 3).ok()),
            format!("{:?}", files.read(&file, 2).map_err(|error| error.to_string().replace(&*root.to_string_lossy(), ""))),
            format!("{:?}", files.read(&deep, 9).is_err()),
            format!("{:?}", [root, &deep, &file, &root.join("c")].map(|path| files.kind(path))),
            format!("{:?}", files.list(&deep).unwrap().len()),
            format!("{:?}", kind(files.rename(&root.join("c"), &file))),
            format!("{:?}", kind(files.unlink(&root.join("c")))),
            format!("{:?}", files.create_folders(&file).is_err()),
            format!("{:?}", files.write(&deep, b"x").is_err()),
            format!("{:?}", files.list(&root.join("a")).unwrap().len()),
        ];
        let lock = files.lock(&root.join(".lock")).unwrap();
        found.push(format!("{:?}", files.lock(&root.join(".lock")).unwrap().is_none()));
        drop(lock);
        found.push(format!("{:?}", files.lock(&root.join(".lock")).unwrap().is_some()));
        files.remove(&file).unwrap();
        files.remove(&file).unwrap();
        found.push(format!("{:?}", files.kind(&file)));
        found
    }
    let memory = Memory::new();
    memory.create_folder(Path::new("/root")).unwrap();
    assert_eq!(story(&Disk, folder.path()), story(&memory, Path::new("/root")));
}
