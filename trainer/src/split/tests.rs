use std::collections::HashSet;
use std::path::{Path, PathBuf};

use detector::dataset::{Dataset, Layout};
use detector::run::Use;

use super::Selection;
use super::groups::GROUPS;
use crate::recipe::{Data, Draw, Folding};

/// 15 % of the good images are held out for the threshold.
const HELD_OUT: Folding = Folding { folds: 5, held_out: Some(0.15) };
/// The threshold comes from all good images.
const ALL: Folding = Folding { folds: 5, held_out: None };

/// `good` training images and `defects` of each type, all different.
fn dataset(layout: Layout, good: usize, defects: &[(&str, usize)]) -> (tempfile::TempDir, Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let mut number = 0u32;
    let mut make = |name: String| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        number += 1;
        image::RgbImage::from_pixel(4, 4, image::Rgb([number as u8, (number >> 8) as u8, 7])).save(path).unwrap();
    };
    let train = if layout == Layout::Flat { "good" } else { "train/good" };
    (0..good).for_each(|i| make(format!("{train}/{i:02}.png")));
    for (defect, count) in defects {
        let folder = if layout == Layout::Flat { "anomalous".into() } else { format!("test/{defect}") };
        (0..*count).for_each(|i| make(format!("{folder}/{i:02}.png")));
    }
    let data = Dataset::open(folder.path()).unwrap();
    (folder, data)
}

fn count(selection: &Selection, wanted: Use) -> usize {
    selection.split().unwrap().images.iter().filter(|image| image.r#use == wanted).count()
}

#[test]
fn uses_are_disjoint_and_repeatable() {
    for layout in [Layout::Mvtec, Layout::Flat] {
        let (_keep, data) = dataset(layout, 40, &[("dent", 12)]);
        let choice = Data { anomalous_samples: 5, ..Data::default() };
        let selection = Selection::draw(&data, &choice, HELD_OUT, 3).unwrap();
        let again = Selection::draw(&data, &choice, HELD_OUT, 3).unwrap();
        assert_eq!((&selection.bank, &selection.anomalous), (&again.bank, &again.anomalous));
        assert_ne!(Selection::draw(&data, &choice, HELD_OUT, 4).unwrap().anomalous, selection.anomalous);
        let good_left = selection.test.iter().filter(|sample| !sample.is_anomalous()).count();
        assert_eq!(selection.test.len() - good_left, 7);
        assert_eq!(selection.bank.len() + selection.calibration.len() + good_left, 40);
        assert_eq!(good_left, if layout == Layout::Flat { 8 } else { 0 });
        assert!(selection.bank.iter().all(|path| !selection.calibration.contains(path)));
        assert!(selection.set_aside.is_empty());
    }
}

#[test]
fn too_few_images_are_counted() {
    let (_keep, data) = dataset(Layout::Mvtec, 5, &[("dent", 2)]);
    let error = Selection::draw(&data, &Data::default(), HELD_OUT, 0).err().unwrap().to_string();
    assert!(error.contains("5 good images"), "{error}");
    let (_keep, data) = dataset(Layout::Mvtec, 20, &[("dent", 2)]);
    let choice = Data { anomalous_samples: 3, ..Data::default() };
    assert!(Selection::draw(&data, &choice, HELD_OUT, 0).err().unwrap().to_string().contains("2 anomalous"));
}

#[test]
fn groups_never_stand_on_two_sides() {
    let (folder, data) = dataset(Layout::Mvtec, 40, &[("dent", 12), ("good", 4)]);
    let mut text = "path,group\n".to_string();
    (0..40).for_each(|i| text += &format!("train/good/{i:02}.png, part {}\n", i / 4));
    (0..12).for_each(|i| text += &format!("test/dent/{i:02}.png,dented {}\n", i / 3));
    text += "test/good/00.png,part 0\n";
    std::fs::write(folder.path().join(GROUPS), text).unwrap();
    let choice = Data { anomalous_samples: 4, ..Data::default() };
    for seed in 0..6 {
        let selection = Selection::draw(&data, &choice, HELD_OUT, seed).unwrap();
        let group = |path: &PathBuf| selection.groups.get(path).cloned();
        let bank: HashSet<_> = selection.bank.iter().map(group).collect();
        assert!(selection.calibration.iter().all(|path| !bank.contains(&group(path))));
        let learned: HashSet<_> = selection.anomalous.iter().map(|sample| group(&sample.path)).collect();
        assert!(selection.test.iter().all(|sample| sample.defect.is_none() || !learned.contains(&group(&sample.path))));
        assert!(!selection.test.iter().any(|sample| sample.path.ends_with("good/00.png")), "its part was learned from");
        assert_eq!(selection.calibration.len(), 8, "whole groups of four, at least 15 % of 40");
    }
    for (wrong, word) in [("path,part\n", "path,group"), ("path,group\nnone.png,1\n", "line 2"), ("path,group\na\n", "fields")] {
        std::fs::write(folder.path().join(GROUPS), wrong).unwrap();
        let error = Selection::draw(&data, &choice, HELD_OUT, 0).err().unwrap().to_string();
        assert!(error.contains(word) && error.contains(GROUPS), "{error}");
    }
}

#[test]
fn no_picture_is_used_twice() {
    let (folder, data) = dataset(Layout::Mvtec, 20, &[("dent", 6)]);
    // The same pixels in another file format, in training and in test.
    let picture = image::open(folder.path().join("train/good/03.png")).unwrap();
    picture.save(folder.path().join("train/good/copy.bmp")).unwrap();
    std::fs::create_dir_all(folder.path().join("test/good")).unwrap();
    picture.save(folder.path().join("test/good/copy.png")).unwrap();
    let more = Dataset::open(folder.path()).unwrap();
    assert_eq!(more.train.len(), data.train.len() + 1);
    let selection = Selection::draw(&more, &Data::default(), HELD_OUT, 0).unwrap();
    assert_eq!(selection.bank.len() + selection.calibration.len(), 20);
    assert!(selection.test.iter().all(|sample| sample.is_anomalous()));
    assert_eq!(count(&selection, Use::SetAside), 2);
}

#[test]
fn known_types_are_not_tested_and_a_stratified_draw_takes_all() {
    let (_keep, data) = dataset(Layout::Mvtec, 20, &[("dent", 9), ("crack", 3), ("stain", 9)]);
    let hard = Data { anomalous_samples: 4, learned_types: vec!["dent".into()], ..Data::default() };
    let selection = Selection::draw(&data, &hard, HELD_OUT, 1).unwrap();
    assert!(selection.anomalous.iter().all(|sample| sample.defect.as_deref() == Some("dent")));
    assert!(selection.test.iter().all(|sample| sample.defect.as_deref() != Some("dent")));
    assert_eq!((selection.test.len(), count(&selection, Use::SetAside)), (12, 5));
    let unknown = Data { learned_types: vec!["dust".into()], ..hard };
    assert!(Selection::draw(&data, &unknown, HELD_OUT, 1).err().unwrap().to_string().contains("dust"));
    let stratified = Data { anomalous_samples: 6, draw: Draw::Stratified, ..Data::default() };
    for seed in 0..5 {
        let selection = Selection::draw(&data, &stratified, HELD_OUT, seed).unwrap();
        for defect in ["dent", "crack", "stain"] {
            let drawn = selection.anomalous.iter().filter(|sample| sample.defect.as_deref() == Some(defect)).count();
            assert_eq!(drawn, 2, "{defect}");
        }
    }
}

/// A picture like no other in these tests.
fn paint(path: &Path, shade: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(4, 4, image::Rgb([shade, 200, 201])).save(path).unwrap();
}

/// The same picture in another file.
fn save_again(from: &Path, to: &Path) {
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    image::open(from).unwrap().save(to).unwrap();
}

#[test]
fn an_update_knows_pictures_by_their_pixels() {
    let (folder, data) = dataset(Layout::Mvtec, 20, &[("dent", 6), ("good", 3)]);
    let choice = Data { anomalous_samples: 2, ..Data::default() };
    let first = Selection::draw(&data, &choice, HELD_OUT, 0).unwrap();
    let add = tempfile::tempdir().unwrap();
    let added = |name: &str| add.path().join(name);
    save_again(&first.bank[0], &added("train/good/known.bmp"));
    save_again(&first.anomalous[0].path, &added("test/dent/known.bmp"));
    paint(&added("test/good/tested.png"), 1);
    let old = first.split().unwrap();
    let extended = || Selection::extended(&old, &data, &Dataset::open(add.path()).unwrap(), (&choice, HELD_OUT), 0);
    assert!(extended().err().unwrap().to_string().contains("already"));

    // What the first run would be tested on is learned from under another name.
    let tested = |good: bool| first.test.iter().find(|sample| sample.is_anomalous() != good).unwrap().path.clone();
    let learned = [tested(true), tested(false)];
    save_again(&learned[0], &added("train/good/learned.bmp"));
    save_again(&learned[1], &added("test/dent/learned.bmp"));
    save_again(&first.test[5].path, &added("test/good/twice.bmp"));
    paint(&added("train/good/new.png"), 2);
    let (selection, new) = extended().unwrap();
    assert_eq!(new, ["train/good/learned.bmp", "train/good/new.png"].map(added));
    assert_eq!(selection.bank[first.bank.len()..], new);
    assert_eq!(selection.anomalous[2..].iter().map(|sample| &sample.path).collect::<Vec<_>>(), [&added("test/dent/learned.bmp")]);
    let mut set_aside = learned.to_vec();
    set_aside.sort();
    assert_eq!(selection.set_aside, set_aside);
    let mut left: Vec<_> = first.test.iter().map(|sample| sample.path.clone()).filter(|path| !learned.contains(path)).collect();
    left.push(added("test/good/tested.png"));
    assert_eq!(selection.test.iter().map(|sample| sample.path.clone()).collect::<Vec<_>>(), left);

    paint(&folder.path().join(&old.images[0].path), 3);
    assert!(extended().err().unwrap().to_string().contains("has changed since the run used it"));
}

#[test]
fn an_update_keeps_groups_together() {
    let (folder, data) = dataset(Layout::Mvtec, 40, &[("dent", 4), ("good", 4)]);
    let mut text = "path,group\ntest/good/01.png,new part\n".to_string();
    (0..40).for_each(|i| text += &format!("train/good/{i:02}.png,part {}\n", i / 4));
    std::fs::write(folder.path().join(GROUPS), text).unwrap();
    let first = Selection::draw(&data, &Data::default(), HELD_OUT, 0).unwrap();
    let mut old = first.split().unwrap();
    // An earlier version kept no groups: the data set still has them.
    old.images.iter_mut().for_each(|image| image.group = None);
    let add = tempfile::tempdir().unwrap();
    let added = |name: &str| add.path().join(name);
    let (of_bank, of_calibration) = (&first.groups[&first.bank[0]], &first.groups[&first.calibration[0]]);
    let mut text = "path,group\n".to_string();
    let members = [("train/good/a", of_bank.as_str()), ("train/good/b", of_calibration), ("test/good/c", of_bank)];
    let parts = (0..4).map(|i| (format!("train/good/{i}"), "new part"));
    for (index, (name, group)) in members.map(|(name, group)| (name.to_owned(), group)).into_iter().chain(parts).enumerate() {
        paint(&added(&format!("{name}.png")), index as u8);
        text += &format!("{name}.png,{group}\n");
    }
    std::fs::write(added(GROUPS), text).unwrap();
    for seed in 0..6 {
        let added_data = Dataset::open(add.path()).unwrap();
        let (selection, new) = Selection::extended(&old, &data, &added_data, (&Data::default(), HELD_OUT), seed).unwrap();
        assert!(new.contains(&added("train/good/a.png")) && !new.contains(&added("train/good/b.png")));
        assert!(selection.calibration.contains(&added("train/good/b.png")));
        let held_out = (0..4).filter(|i| selection.calibration.contains(&added(&format!("train/good/{i}.png")))).count();
        assert_eq!(held_out, 4, "15 % of four, and whole groups");
        assert_eq!(selection.set_aside.len(), 2, "{:?}", selection.set_aside);
        assert!(selection.set_aside.contains(&folder.path().join("test/good/01.png")));
        assert!(selection.set_aside.contains(&added("test/good/c.png")));
        assert_eq!(selection.test.len(), 7);
    }
}

#[test]
fn folds_divide_the_good_images_and_keep_groups_together() {
    let (folder, data) = dataset(Layout::Mvtec, 40, &[("dent", 4)]);
    let alone = Selection::draw(&data, &Data::default(), ALL, 0).unwrap();
    assert!(alone.leaves_out_folds() && alone.for_threshold() == alone.bank && alone.bank.len() == 40);
    assert_eq!(alone.folds(), (0..40).map(|place| place % 5).collect::<Vec<_>>());
    let groups: String = (0..40).map(|i| format!("train/good/{i:02}.png,part {}\n", i / 3)).collect();
    std::fs::write(folder.path().join(GROUPS), format!("path,group\n{groups}")).unwrap();
    let grouped = Selection::draw(&data, &Data::default(), ALL, 0).unwrap();
    let folds = grouped.folds();
    assert!((0..40).all(|i| folds[i] == folds[i / 3 * 3]), "{folds:?}");
    assert!((0..5).all(|fold| folds.contains(&fold)));
    let few: String = (0..40).map(|i| format!("train/good/{i:02}.png,part {}\n", i % 4)).collect();
    std::fs::write(folder.path().join(GROUPS), format!("path,group\n{few}")).unwrap();
    let error = Selection::draw(&data, &Data::default(), ALL, 0).err().unwrap().to_string();
    assert!(error.contains("4 groups") && error.contains("at least 5"), "{error}");
}

#[test]
fn an_update_keeps_the_folds() {
    let (_folder, data) = dataset(Layout::Mvtec, 23, &[("dent", 4)]);
    let first = Selection::draw(&data, &Data::default(), ALL, 0).unwrap();
    let add = tempfile::tempdir().unwrap();
    // These names come before those of the run.
    (0..7).for_each(|i| paint(&add.path().join(format!("train/good/{i}.png")), i));
    let added = Dataset::open(add.path()).unwrap();
    let old = first.split().unwrap();
    let (selection, new) = Selection::extended(&old, &data, &added, (&Data::default(), ALL), 0).unwrap();
    assert_eq!((selection.bank.len(), new.len(), selection.calibration.len()), (30, 7, 0));
    assert_eq!(selection.folds()[..23], first.folds());
    assert_eq!(selection.folds(), (0..30).map(|place| place % 5).collect::<Vec<_>>());
}
