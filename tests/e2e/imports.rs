//! No two files of a crate import each other, directly or by a chain: the whole workspace can be read from the bottom up.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Crates of the workspace, by their folders.
const CRATES: [&str; 8] =
    ["detector", "trainer", "export", "runtime/verdict", "runtime/config", "runtime/store", "runtime", "xtask"];

/// A crate's files by module path, `["bank", "kernel"]`, without tests.
type Files = BTreeMap<Vec<String>, String>;

fn files_of(source: &Path) -> Files {
    let mut files = Files::new();
    let mut folders = vec![source.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let file = path.strip_prefix(source).unwrap();
            let is_test = file.iter().any(|part| part == "tests" || part == "tests.rs");
            if path.extension().is_some_and(|extension| extension == "rs") && !is_test {
                let text = fs::read_to_string(&path).unwrap();
                files.insert(module_of(file), without_tests(&text));
            }
        }
    }
    files
}

/// The code before a file's own module of tests, which stands at its end.
fn without_tests(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_start = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].ends_with("mod tests {");
    let end = lines.windows(2).position(is_start).unwrap_or(lines.len());
    lines[..end].join("\n")
}

fn module_of(file: &Path) -> Vec<String> {
    let mut module: Vec<String> = file.with_extension("").iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        module.pop();
    }
    module
}

/// The paths that the `use` declarations of a file name, one for each item, without `as`.
fn imports(code: &str) -> Vec<(bool, String)> {
    let mut found = Vec::new();
    for declaration in code.split(';') {
        let Some((before, tree)) = declaration.rsplit_once("use ") else { continue };
        let is_public = before.trim_end().ends_with("pub") || before.trim_end().ends_with(')');
        if before.is_empty() || before.ends_with(['\n', ' ']) {
            flatten("", tree, &mut |path| found.push((is_public, path)));
        }
    }
    found
}

/// Splits `a::{b, c::{d, self}}` into its paths.
fn flatten(prefix: &str, tree: &str, found: &mut impl FnMut(String)) {
    let tree = tree.trim();
    let Some((head, rest)) = tree.split_once('{') else {
        let item = tree.split(" as ").next().unwrap_or_default().trim();
        let path = format!("{prefix}{item}");
        return found(path.strip_suffix("::self").map(str::to_owned).unwrap_or(path));
    };
    let (mut depth, mut start) = (0, 0);
    let inner = rest.strip_suffix('}').unwrap_or(rest);
    for (at, sign) in inner.char_indices().chain([(inner.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                if !inner[start..at].trim().is_empty() {
                    flatten(&format!("{prefix}{head}"), &inner[start..at], found);
                }
                start = (at + 1).min(inner.len());
            }
            _ => {}
        }
    }
}

/// What an import of a file of `module` names, from the crate's root; none for other crates.
fn from_root(files: &Files, module: &[String], import: &str) -> Option<Vec<String>> {
    let mut parts = import.split("::").peekable();
    let first = (*parts.peek()?).to_owned();
    let child = [module, std::slice::from_ref(&first)].concat();
    let mut root = match first.as_str() {
        "crate" => Vec::new(),
        "self" => module.to_vec(),
        "super" => module[..module.len().checked_sub(1)?].to_vec(),
        _ if files.contains_key(&child) => child,
        _ => return None,
    };
    parts.next();
    while parts.next_if_eq(&"super").is_some() {
        root.pop();
    }
    root.extend(parts.map(str::to_owned));
    Some(root)
}

/// The file that defines what a path names: a re-export leads on to the file behind it.
fn file_of(files: &Files, path: &[String]) -> Option<Vec<String>> {
    let length = (0..=path.len()).rev().find(|length| files.contains_key(&path[..*length]))?;
    let module = &path[..length];
    let Some(item) = path.get(length) else { return Some(module.to_vec()) };
    for (is_public, import) in imports(&files[module]) {
        if is_public && import.rsplit("::").next() == Some(item) {
            let target = from_root(files, module, &import)?;
            return if target == path { None } else { file_of(files, &target) };
        }
    }
    Some(module.to_vec())
}

/// Files that lie on a circle, or lead to one.
fn circle(files: &Files) -> BTreeSet<Vec<String>> {
    let mut arrows: BTreeMap<Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, code) in files {
        // A re-export is an address, not a use.
        let used = imports(code).into_iter().filter(|(is_public, _)| !is_public);
        let targets = used.filter_map(|(_, import)| file_of(files, &from_root(files, module, &import)?));
        arrows.insert(module.clone(), targets.filter(|target| target != module).collect());
    }
    loop {
        let ends: Vec<_> = arrows.iter().filter(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()).collect();
        if ends.is_empty() {
            return arrows.into_keys().collect();
        }
        for end in ends {
            arrows.remove(&end);
            for to in arrows.values_mut() {
                to.remove(&end);
            }
        }
    }
}

#[test]
fn no_circle_of_imports_lies_between_files() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for name in CRATES {
        let files = files_of(&root.join(name).join("src"));
        assert!(files.len() > 1, "{name} has no source");
        let circle = circle(&files);
        let names: Vec<PathBuf> = circle.iter().map(|module| module.iter().collect()).collect();
        assert!(names.is_empty(), "{name}: these files import each other, or files that do: {names:?}");
    }
}

#[test]
fn circles_are_found_through_re_exports_and_groups() {
    let files = |sources: &[(&str, &str)]| -> Files {
        sources.iter().map(|(file, code)| (module_of(Path::new(file)), (*code).to_owned())).collect()
    };
    let chain =
        [("lib.rs", "mod a;\npub use a::A;\n"), ("a.rs", "use crate::b::{self, c::C};\n"), ("b/mod.rs", ""), ("b/c.rs", "")];
    assert!(circle(&files(&chain)).is_empty());
    let child = [("a/mod.rs", "mod b;\nuse b::B;\npub struct A;\n"), ("a/b.rs", "use super::A;\n"), ("lib.rs", "")];
    assert_eq!(circle(&files(&child)).len(), 2, "parent and child");
    let two =
        [("lib.rs", ""), ("a.rs", "use std::fs;\nuse super::{\n    b::B,\n};\n"), ("b.rs", "pub use c::C;\nuse crate::a::A;\n")];
    assert_eq!(circle(&files(&two)).len(), 2);
    let behind = [
        ("room/mod.rs", "mod a;\nmod b;\npub use a::A;\n"),
        ("room/a.rs", "use super::b::B;\n"),
        ("room/b.rs", "use crate::room::A;\n"),
        ("lib.rs", ""),
    ];
    assert_eq!(circle(&files(&behind)).len(), 2, "b takes A from a, by its room");
}
