use detector::bundle::Variant;
use detector::engine::EngineKind;
use proptest::prelude::*;

use super::history::HISTORY_LIMIT;
use super::*;
use crate::memory::{End, Memory, finish, interrupt};

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

fn carry_out<F: FileSystem>(command: Command, store: Store<F>) -> Result<(), ModelError> {
    let store = store.lock()?;
    match command {
        Command::Install(number) => {
            let (model, bytes) = model(number);
            store.install(model, &bytes).map(drop)
        }
        Command::Activate(number) => store.activate(&id(number)).map(drop),
        Command::RollBack => store.roll_back().map(drop),
        Command::Remove(number) => store.remove(&id(number)).map(drop),
    }
}

/// What a service that starts now finds.
fn seen<F: FileSystem>(store: &Store<F>) -> (Vec<Model>, Option<String>, Option<String>) {
    let models = store.models().unwrap();
    for model in &models.installed {
        let bytes = store.files.read(&models.path(model), SIZE_LIMIT).unwrap();
        assert_eq!(files::sha256(&bytes), model.id, "an installed bundle is whole");
    }
    let active = models.history.active().map(|_| models.active().unwrap().id.clone());
    (models.installed.clone(), active, models.history.before().map(Into::into))
}

/// The state folder on a file system in memory.
fn on(disk: &Memory) -> Store<Memory> {
    Store::on(disk.clone(), "/var/lib/apc")
}

#[test]
fn a_crash_anywhere_and_another_while_recovering_leave_the_old_models_or_the_new_ones() {
    use Command::{Activate, Install, Remove, RollBack};
    let before = Memory::new();
    for command in [Install(1), Install(2), Install(3), Activate(3), Activate(1), Activate(2)] {
        finish(&before, |disk| carry_out(command, on(disk)));
    }
    let old = seen(&on(&before));
    let (mut states, mut pairs) = (0, 0);
    for command in [Install(4), Install(1), Activate(3), Activate(1), RollBack, Remove(3)] {
        let go = |disk: &Memory| carry_out(command, on(disk));
        let whole = before.restarted(usize::MAX);
        finish(&whole, go);
        let new = seen(&on(&whole));
        states += interrupt(&before, go, |end, after| {
            let found = seen(&on(after));
            // A model that is being removed may have left the older history: only the active model and the one before count.
            assert!(found == old || found == new, "{command:?}, {end:?}: {found:?}");
            // A command that only locks the folder, and is interrupted too, changes nothing. Only what was never synced may still be lost.
            let lock = |disk: &Memory| on(disk).lock().map(drop);
            pairs += interrupt(after, lock, |second, after| {
                let later = seen(&on(after));
                let is_lost = matches!(end, End::Killed(_)) && later == old;
                assert!(later == found || is_lost, "{command:?}, {end:?}, then {second:?}: {later:?}");
            });
            if found != old {
                return;
            }
            // The command can be given again, and interrupted again.
            pairs += interrupt(after, go, |second, after| {
                let later = seen(&on(after));
                assert!(later == old || later == new, "{command:?}, {end:?}, then {second:?}: {later:?}");
            });
            finish(after, go);
            assert_eq!(seen(&on(after)), new, "{command:?} again after {end:?}");
            let names = after.list(Path::new("/var/lib/apc/models")).unwrap();
            assert!(!names.iter().any(|path| path.to_string_lossy().contains("/.")), "leftovers are swept: {names:?}");
        });
    }
    assert!(states >= 100 && pairs >= 1000, "{states} states after a crash, {pairs} after two");
}

#[test]
fn the_active_model_changes_and_goes_back() {
    let folder = tempfile::tempdir().unwrap();
    let go = |command| carry_out(command, Store::at(folder.path()));
    let run = |commands: &[Command]| commands.iter().for_each(|command| go(*command).unwrap());
    let models = || seen(&Store::at(folder.path()));
    assert!(matches!(Store::at(folder.path()).models().unwrap().active(), Err(ModelError::NoneActive(_))));
    run(&[Command::Install(1), Command::Install(2)]);
    assert_eq!(models().1, None, "installing activates nothing");
    run(&[Command::Activate(1), Command::Activate(2), Command::Activate(2)]);
    assert_eq!(models().1, Some(id(2)));
    assert!(matches!(go(Command::Remove(1)), Err(ModelError::InUse(_))), "it is needed to go back");
    go(Command::RollBack).unwrap();
    assert_eq!(models().1, Some(id(1)));
    assert!(matches!(go(Command::RollBack), Err(ModelError::NoneBefore)));
    assert!(matches!(go(Command::Activate(9)), Err(ModelError::Unknown { .. })));
    go(Command::Remove(2)).unwrap();
    assert_eq!(models().0.len(), 1);
}

#[test]
fn models_are_found_by_any_clear_beginning() {
    let disk = Memory::new();
    for number in [1, 2] {
        carry_out(Command::Install(number), on(&disk)).unwrap();
    }
    let models = on(&disk).models().unwrap();
    assert_eq!(models.find("part1").unwrap().id, id(1));
    assert_eq!(models.find(&id(2)[..8]).unwrap().id, id(2));
    let error = models.find("part").unwrap_err().to_string();
    assert!(error.contains("part1") && error.contains("part2"), "{error}");
    assert!(models.find("disc").unwrap_err().to_string().contains("part1"));
}

#[test]
fn a_bundle_that_changed_is_not_activated_and_room_is_bounded() {
    let disk = Memory::new();
    let go = |command| carry_out(command, on(&disk));
    (0..MODELS_LIMIT as u8).for_each(|number| go(Command::Install(number)).unwrap());
    assert!(matches!(go(Command::Install(99)), Err(ModelError::Full)));
    go(Command::Install(1)).unwrap();
    let models = on(&disk).models().unwrap();
    disk.write(&models.path(models.find(&id(1)).unwrap()), b"other").unwrap();
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
