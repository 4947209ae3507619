use std::fs;

use super::record::DoneWindows;
use super::*;
use crate::digest::block::BlockDigest;
use crate::progress::CycleKind;
use uuid::Uuid;

fn record() -> Record {
    Record {
        format: FORMAT,
        replication: Uuid::from_u128(1),
        location: "local:web01.vhd".into(),
        disk_bytes: 3 * WINDOW_BYTES / 2,
        source_bytes: 3 * WINDOW_BYTES / 2 - 5,
        block_bytes: 1 << 20,
        source_identity: None,
        owner: Uuid::from_u128(2),
        next_owner: None,
        lease: Uuid::from_u128(3),
        blank: Blank::Zero,
        footer_for: None,
        sealed: None,
        strayed: false,
        open: None,
    }
}

fn runs(pairs: &[(u64, u64)]) -> ExtentSet {
    pairs.iter().filter_map(|(first, count)| Extent::new(*first, *count)).collect()
}

fn some_states(blocks: usize) -> Vec<BlockState> {
    (0..blocks).map(|i| BlockState::Data(BlockDigest::of(&i.to_le_bytes()))).collect()
}

fn create(folder: &tempfile::TempDir) -> (PathBuf, Checkpoint) {
    let path = folder.path().join("state").join("web01.redb");
    let checkpoint = Checkpoint::create(&path, &record()).unwrap();
    (path, checkpoint)
}

#[test]
fn what_was_committed_is_there_after_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    let states = some_states(64);
    let change =
        Change { map: vec![(1, map::encode(&states))], doubt: vec![(1, runs(&[(3, 2)]))], ..Change::default() };
    checkpoint.commit(&record(), &change).unwrap();
    drop(checkpoint);

    let checkpoint = Checkpoint::open(&path).unwrap().unwrap();
    let row = checkpoint.window(1, record().disk(), Blank::Zero).unwrap();
    assert_eq!(checkpoint.record().unwrap(), record());
    assert_eq!(row.doubt, runs(&[(3, 2)]));
    assert_eq!(row.states[2], states[2]);
    assert_eq!(row.states[3..5], [BlockState::Unknown; 2]);
    assert_eq!(row.states[5], states[5]);
}

#[test]
fn a_window_without_a_row_is_blank() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = create(&folder);
    let row = checkpoint.window(0, record().disk(), Blank::Zero).unwrap();
    assert_eq!(row.states, vec![BlockState::Zero; 128]);
}

#[test]
fn a_changed_window_forgets_the_hash_of_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let (_, checkpoint) = create(&folder);
    let hash = Hash::of(b"part");
    checkpoint.commit(&record(), &Change { parts: vec![(0, hash)], ..Change::default() }).unwrap();
    assert_eq!(checkpoint.part(0).unwrap(), Some(hash));
    let settle = Change { map: vec![(1, map::encode(&some_states(64)))], ..Change::default() };
    checkpoint.commit(&record(), &settle).unwrap();
    assert_eq!(checkpoint.part(0).unwrap(), None);
}

#[test]
fn a_second_opener_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _held) = create(&folder);
    assert!(matches!(Checkpoint::open(&path), Err(CheckpointError::InUse { .. })));
}

#[test]
fn a_newer_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    checkpoint.commit(&Record { format: FORMAT + 1, ..record() }, &Change::default()).unwrap();
    drop(checkpoint);
    assert!(matches!(Checkpoint::open(&path), Err(CheckpointError::Newer { format, .. }) if format == FORMAT + 1));
}

#[test]
fn an_empty_or_foreign_file_is_damaged_not_started_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.redb");
    fs::write(&path, b"").unwrap();
    assert!(matches!(Checkpoint::open(&path), Err(CheckpointError::Damaged { .. })));
    fs::write(&path, vec![7; 9000]).unwrap();
    assert!(matches!(Checkpoint::open(&path), Err(CheckpointError::Damaged { .. })));
    assert_eq!(fs::read(&path).unwrap(), vec![7; 9000]);
}

/// The last commit before the damage may be undone by redb's own recovery; older ones must be whole, or
/// the file must be refused.
#[test]
fn flipped_bytes_are_refused_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    let states = some_states(128);
    checkpoint.commit(&record(), &Change { map: vec![(0, map::encode(&states))], ..Change::default() }).unwrap();
    checkpoint.commit(&record(), &Change { doubt: vec![(1, runs(&[(0, 1)]))], ..Change::default() }).unwrap();
    drop(checkpoint);
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(7);
    let refused = (0..60)
        .filter(|_| {
            let mut bytes = whole.clone();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
            let damaged = folder.path().join("damaged.redb");
            fs::write(&damaged, bytes).unwrap();
            match Checkpoint::open(&damaged) {
                Err(_) => true,
                Ok(opened) => {
                    let row = opened.unwrap().window(0, record().disk(), Blank::Unknown).unwrap();
                    assert_eq!(row.states, states, "byte {at}");
                    false
                }
            }
        })
        .count();
    println!("{refused} of 60 refused");
}

#[test]
fn an_unwritable_state_folder_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("file");
    fs::write(&blocked, b"").unwrap();
    let error = Checkpoint::create(&blocked.join("web01.redb"), &record()).unwrap_err();
    assert!(matches!(&error, CheckpointError::Io { path, .. } if path.starts_with(&blocked)), "{error:?}");
}

#[test]
fn the_open_cycle_survives_as_json() {
    let mut done = DoneWindows::default();
    [5, 0, 1].into_iter().for_each(|window| done.insert(window));
    let open = OpenCycle {
        number: 7,
        kind: CycleKind::Delta,
        point: Some("p".into()),
        change_id: Some("52 de/81".into()),
        consistent: true,
        list_ignored: None,
        done,
        counts: Default::default(),
        sealing: Some(Hash::of(b"")),
    };
    let written = Record { open: Some(open), ..record() };
    let read = Record::from_json(&written.to_json()).unwrap();
    assert_eq!(read, written);
    assert_eq!(read.open.unwrap().done.missing(8), runs(&[(2, 3), (6, 2)]));
}

#[test]
fn no_room_left_is_an_error_of_its_own_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    let error = checkpoint.storage_error(redb::Error::Io(io::ErrorKind::StorageFull.into()));
    assert!(matches!(&error, CheckpointError::Full { path: named, .. } if *named == path), "{error:?}");
    assert_eq!(crate::error::Diagnose::code(&error), "checkpoint.full");
}

/// Another machine owned the target, and this one crashes right after it has claimed it: it must not be taken
/// for the one that knows what the target holds.
#[test]
fn a_stale_checkpoint_is_not_known_by_the_name_that_it_claims_under() {
    let [ours, another, next] = [2, 7, 8].map(Uuid::from_u128);
    let stale = record().about_to_own(another, next);
    assert!(!stale.knows(next) && !stale.knows(another));

    let good = record().about_to_own(ours, next);
    assert!(good.knows(next) && good.knows(ours));
    let claimed = good.about_to_own(next, another);
    assert!(claimed.knows(next) && claimed.knows(another) && !claimed.knows(ours));
}
