use std::fs;
use std::io;

use detector::bundle::Variant;
use detector::engine::EngineKind;
use proptest::prelude::*;

use super::history::HISTORY_LIMIT;
use super::*;

/// Stands for a bundle: whoever installs one has read and tested it.
fn model(number: u8) -> (Model, Vec<u8>) {
    let bytes = vec![number; 300];
    let id = files::sha256(&bytes);
    let model = Model {
        file: format!("part{number}-{}.apc", short(&id)),
        id,
        product: "part".into(),
        engine: EngineKind::Tract,
        variant: Variant::Float,
        self_test_difference: 1e-6,
        self_test_tolerance: 1e-3,
        installed: 1_767_323_045,
    };
    (model, bytes)
}

fn id(number: u8) -> String {
    model(number).0.id
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Install(u8),
    Activate(u8),
    RollBack,
    Remove(u8),
}

fn carry_out(command: Command, folder: &Path, disk: &mut Disk<'_>) -> Result<(), ModelError> {
    let state = State::open(folder)?;
    match command {
        Command::Install(number) => {
            let (model, bytes) = model(number);
            install(&state, disk, model, &bytes).map(drop)
        }
        Command::Activate(number) => activate(&state, disk, &id(number)).map(drop),
        Command::RollBack => roll_back(&state, disk).map(drop),
        Command::Remove(number) => remove(&state, disk, &id(number)).map(drop),
    }
}

fn run(commands: &[Command], folder: &Path) {
    commands.iter().for_each(|command| carry_out(*command, folder, &mut Disk::default()).unwrap());
}

/// What a service that starts now finds.
fn seen(folder: &Path) -> (Vec<Model>, Option<String>, Option<String>) {
    let models = Models::read(folder).unwrap();
    for model in &models.installed {
        assert_eq!(files::sha256_file(&models.path(model)).unwrap(), model.id, "an installed bundle is whole");
    }
    let active = models.history.active().map(|_| models.active().unwrap().id.clone());
    (models.installed.clone(), active, models.history.before().map(Into::into))
}

#[test]
fn a_power_cut_anywhere_leaves_the_old_models_or_the_new_ones() {
    use Command::{Activate, Install, Remove, RollBack};
    let before = [Install(1), Install(2), Install(3), Activate(3), Activate(1), Activate(2)];
    for command in [Install(4), Install(1), Activate(3), Activate(1), RollBack, Remove(3)] {
        let whole = tempfile::tempdir().unwrap();
        run(&before, whole.path());
        let old = seen(whole.path());
        let mut steps = 0;
        let mut count = |_| {
            steps += 1;
            Ok(())
        };
        carry_out(command, whole.path(), &mut Disk::watched(&mut count)).unwrap();
        let new = seen(whole.path());
        assert!(steps >= 4, "{command:?} has steps to be cut between");
        for cut in 0..steps {
            let folder = tempfile::tempdir().unwrap();
            run(&before, folder.path());
            let mut left = cut;
            let mut watch = |_| match left {
                0 => Err(io::Error::from(io::ErrorKind::Interrupted)),
                _ => {
                    left -= 1;
                    Ok(())
                }
            };
            assert!(carry_out(command, folder.path(), &mut Disk::watched(&mut watch)).is_err());
            let after = seen(folder.path());
            // What a removed model leaves in the history is nobody's business as long as active and before are the same.
            assert!(after == old || after == new, "{command:?} cut before step {cut}: {after:?}");
            // And the command can be given again.
            if after == old {
                carry_out(command, folder.path(), &mut Disk::default()).unwrap();
                assert_eq!(seen(folder.path()), new, "{command:?} again after a cut before step {cut}");
            }
            let state = State::open(folder.path()).unwrap();
            let hidden = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().to_string_lossy().starts_with('.');
            assert!(!fs::read_dir(state.folder().join(FOLDER)).unwrap().any(hidden), "leftovers are swept");
        }
    }
}

#[test]
fn the_active_model_changes_and_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let go = |command| carry_out(command, folder.path(), &mut Disk::default());
    let active = || seen(folder.path()).1;
    assert!(matches!(Models::read(folder.path()).unwrap().active(), Err(ModelError::NoneActive(_))));
    run(&[Command::Install(1), Command::Install(2)], folder.path());
    assert_eq!(active(), None, "installing activates nothing");
    run(&[Command::Activate(1), Command::Activate(2), Command::Activate(2)], folder.path());
    assert_eq!(active(), Some(id(2)));
    assert!(matches!(go(Command::Remove(1)), Err(ModelError::InUse(_))), "it is needed to go back");
    go(Command::RollBack).unwrap();
    assert_eq!(active(), Some(id(1)));
    assert!(matches!(go(Command::RollBack), Err(ModelError::NoneBefore)));
    assert!(matches!(go(Command::Activate(9)), Err(ModelError::Unknown { .. })));
    go(Command::Remove(2)).unwrap();
    assert_eq!(seen(folder.path()).0.len(), 1);
}

#[test]
fn models_are_found_by_any_clear_beginning() {
    let folder = tempfile::tempdir().unwrap();
    run(&[Command::Install(1), Command::Install(2)], folder.path());
    let models = Models::read(folder.path()).unwrap();
    assert_eq!(models.find("part1").unwrap().id, id(1));
    assert_eq!(models.find(&id(2)[..8]).unwrap().id, id(2));
    let error = models.find("part").unwrap_err().to_string();
    assert!(error.contains("part1") && error.contains("part2"), "{error}");
    assert!(models.find("disc").unwrap_err().to_string().contains("part1"));
}

#[test]
fn a_bundle_that_changed_is_not_activated_and_room_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let go = |command| carry_out(command, folder.path(), &mut Disk::default());
    (0..MODELS_LIMIT as u8).for_each(|number| go(Command::Install(number)).unwrap());
    assert!(matches!(go(Command::Install(99)), Err(ModelError::Full)));
    go(Command::Install(1)).unwrap();
    let models = Models::read(folder.path()).unwrap();
    fs::write(models.path(models.find(&id(1)).unwrap()), "other").unwrap();
    let error = go(Command::Activate(1)).unwrap_err().to_string();
    assert!(error.contains("part1") && error.contains("install it again"), "{error}");
}

proptest! {
    #[test]
    fn rolling_back_undoes_activating(ids in prop::collection::vec("[a-d]", 1..40)) {
        let mut history = History::default();
        for id in &ids {
            let (before, active) = (history.clone(), history.active().map(str::to_owned));
            history = history.activated(id);
            prop_assert_eq!(history.active(), Some(id.as_str()));
            prop_assert!(history.history.len() <= HISTORY_LIMIT);
            if let Some(active) = active.filter(|active| active != id) {
                let back = history.clone().rolled_back().unwrap();
                prop_assert_eq!(back.active(), Some(active.as_str()));
                prop_assert!(before.history.ends_with(&back.history));
            }
        }
    }
}
