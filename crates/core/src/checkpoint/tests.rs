use super::record::DoneWindows;
use super::*;
use crate::digest::block::BlockDigest;
use crate::progress::CycleKind;
use std::fs;
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
    let bytes = 8 * WINDOW_BYTES;
    let written = Record { open: Some(open), disk_bytes: bytes, source_bytes: bytes, ..record() };
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
    // What redb says of every later use is no damage.
    let later = checkpoint.storage_error(redb::Error::PreviousIo);
    assert!(matches!(&later, CheckpointError::Io { .. }), "{later:?}");
}

#[test]
fn an_older_format_that_is_no_longer_read_is_told_from_damage() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    checkpoint.commit(&Record { format: record::OLDEST - 1, ..record() }, &Change::default()).unwrap();
    drop(checkpoint);
    assert!(matches!(Checkpoint::open(&path), Err(CheckpointError::Older { format: 0, oldest: 1, .. })));
}

#[test]
fn a_checkpoint_that_others_can_change_is_refused_until_it_is_put_right() {
    use std::os::unix::fs::PermissionsExt;
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = create(&folder);
    for (exposed, wide, right) in [(path.as_path(), 0o666, 0o600), (path.parent().unwrap(), 0o777, 0o700)] {
        chmod(exposed, wide);
        let error = Checkpoint::open(&path).unwrap_err();
        assert_eq!(crate::error::Diagnose::code(&error), "checkpoint.exposed");
        let names = |words: &str| error.to_string().contains(words);
        assert!(names(&format!("{wide:04o}")) && names(&format!("chmod go-w '{}'", exposed.display())), "{error}");
        chmod(exposed, right);
        Checkpoint::open(&path).unwrap().unwrap();
    }
}

#[test]
fn a_checkpoint_cut_short_at_any_length_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    checkpoint
        .commit(&record(), &Change { map: vec![(0, map::encode(&some_states(128)))], ..Change::default() })
        .unwrap();
    drop(checkpoint);
    let whole = fs::read(&path).unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let lengths = [1, 8, 9, 63, 64, 319, 320, 511, 512, 4095, 4096, 4097, 8192, whole.len() - 1];
    for len in lengths.into_iter().chain(std::iter::repeat_with(|| random.usize(..whole.len())).take(60)) {
        fs::write(&path, &whole[..len]).unwrap();
        let opened = Checkpoint::open(&path).map(|_| ());
        assert!(matches!(opened, Err(CheckpointError::Damaged { .. })), "{len} of {} bytes: {opened:?}", whole.len());
    }
}

/// A process that was killed leaves a file that redb repairs: it may go back by one commit when the last one
/// is damaged. The doubt of blocks that may have been written since must not be lost that way.
#[test]
fn no_flipped_bit_takes_doubt_away_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (path, checkpoint) = create(&folder);
    let states = some_states(128);
    checkpoint.commit(&record(), &Change { map: vec![(0, map::encode(&states))], ..Change::default() }).unwrap();
    let doubt = runs(&[(3, 5)]);
    checkpoint.commit(&record(), &Change { doubt: vec![(0, doubt.clone())], ..Change::default() }).unwrap();
    // Still open: what a killed process leaves.
    let whole = fs::read(&path).unwrap();
    drop(checkpoint);

    let mut random = fastrand::Rng::with_seed(11);
    let header = (0..320 * 8).step_by(11);
    let used: Vec<usize> = (320..whole.len()).filter(|at| whole[*at] != 0).collect();
    let elsewhere: Vec<usize> = (0..120).map(|_| used[random.usize(..used.len())] * 8 + random.usize(..8)).collect();
    let mut refused = 0;
    let mut tried = 0;
    for bit in header.chain(elsewhere) {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, bytes).unwrap();
        tried += 1;
        match Checkpoint::open(&path) {
            Err(CheckpointError::Damaged { .. } | CheckpointError::Older { .. }) => refused += 1,
            Err(error) => panic!("bit {bit}: {error:?}"),
            Ok(opened) => {
                let row = opened.unwrap().window(0, record().disk(), Blank::Zero).unwrap();
                assert_eq!(row.doubt, doubt, "bit {bit} of {}", whole.len() * 8);
                assert!(
                    row.states.iter().zip(&states).all(|(found, kept)| *found == BlockState::Unknown || found == kept)
                );
            }
        }
    }
    println!("{tried} bits flipped, {refused} refused, {} harmless", tried - refused);
    assert!(refused > 0);
}

/// What redb's checksums cannot see: a whole database with rows that no version of ours writes.
mod hostile_rows {
    use super::*;

    /// Opens what `write` made of a good checkpoint, reads everything, and says what came of it.
    fn after(write: impl FnOnce(&redb::WriteTransaction)) -> Result<(), CheckpointError> {
        let folder = tempfile::tempdir().unwrap();
        let (path, checkpoint) = create(&folder);
        let change = Change { map: vec![(0, map::encode(&some_states(128)))], ..Change::default() };
        checkpoint.commit(&record(), &change).unwrap();
        drop(checkpoint);
        let db = Database::open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        write(&txn);
        txn.commit().unwrap();
        drop(db);

        let checkpoint = Checkpoint::open(&path)?.unwrap();
        let record = checkpoint.record()?;
        for window in 0..record.disk().windows() {
            checkpoint.window(window, record.disk(), record.blank)?;
        }
        checkpoint.part(0).map(drop)
    }

    fn row(table: TableDefinition<'static, u64, &'static [u8]>, key: u64, bytes: &[u8]) -> Result<(), CheckpointError> {
        after(|txn| {
            txn.open_table(table).unwrap().insert(key, bytes).unwrap();
        })
    }

    fn record_of(json: &str) -> Result<(), CheckpointError> {
        after(|txn| {
            txn.open_table(RECORD).unwrap().insert("record", json.as_bytes()).unwrap();
        })
    }

    /// A good record with one field replaced.
    fn record_with(pointer: &str, value: serde_json::Value) -> Result<(), CheckpointError> {
        let mut done = DoneWindows::default();
        done.insert(0);
        let open = OpenCycle {
            number: 7,
            kind: CycleKind::Delta,
            point: None,
            change_id: None,
            consistent: true,
            list_ignored: None,
            done,
            counts: Default::default(),
            sealing: None,
        };
        let seal = Seal { cycle: 6, root: Hash::of(b""), change_id: None };
        let good = Record { open: Some(open), sealed: Some(seal), ..record() };
        let mut json: serde_json::Value = serde_json::from_slice(&good.to_json()).unwrap();
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("the record has no {pointer}")) = value;
        record_of(&json.to_string())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a reference would be written 40 times")]
    fn damaged(result: Result<(), CheckpointError>) {
        assert!(matches!(result, Err(CheckpointError::Damaged { .. })), "{result:?}");
    }

    #[test]
    fn states_of_another_shape_are_damaged() {
        let zeros = |count: u32| [&[1][..], &count.to_le_bytes()].concat();
        damaged(row(MAP, 0, b""));
        damaged(row(MAP, 0, &[1]));
        damaged(row(MAP, 0, &zeros(0)));
        damaged(row(MAP, 0, &zeros(127)));
        damaged(row(MAP, 0, &zeros(129)));
        damaged(row(MAP, 0, &zeros(u32::MAX)));
        damaged(row(MAP, 0, &[9, 128, 0, 0, 0]));
        damaged(row(MAP, 0, &[2, 128, 0, 0, 0]));
        damaged(row(MAP, 0, &vec![0; 5 << 20]));
    }

    #[test]
    fn rows_past_the_end_are_damaged() {
        let bytes = map::encode(&some_states(1));
        damaged(row(MAP, 2, &bytes));
        damaged(row(MAP, u64::MAX, &bytes));
        damaged(row(DOUBT, 2, &[0; 8]));
        damaged(row(PART, 1, Hash::of(b"").to_string().as_bytes()));
    }

    #[test]
    fn doubt_that_makes_no_sense_is_damaged() {
        let run = |first: u32, count: u32| [first.to_le_bytes(), count.to_le_bytes()].concat();
        damaged(row(DOUBT, 0, &[1, 2, 3]));
        damaged(row(DOUBT, 0, &run(3, 0)));
        damaged(row(DOUBT, 0, &run(128, 1)));
        damaged(row(DOUBT, 0, &run(127, 2)));
        damaged(row(DOUBT, 0, &run(u32::MAX, u32::MAX)));
        damaged(row(DOUBT, 0, &run(0, 1).repeat(129)));
        // In any order it means the same.
        row(DOUBT, 0, &[run(9, 3), run(0, 10)].concat()).unwrap();
    }

    #[test]
    fn a_hash_that_is_none_is_damaged() {
        damaged(row(PART, 0, b"short"));
        damaged(row(PART, 0, &[0xff; 64]));
    }

    #[test]
    fn a_record_that_is_none_is_damaged() {
        damaged(record_of(""));
        damaged(record_of("{}"));
        damaged(record_of("[]"));
        damaged(record_of(&"[".repeat(100_000)));
        damaged(record_of(r#"{"format":1}"#));
        damaged(after(|txn| drop(txn.open_table(RECORD).unwrap().remove("record").unwrap())));
        damaged(after(|txn| {
            txn.delete_table(RECORD).unwrap();
            let other: TableDefinition<'_, u64, u64> = TableDefinition::new("record");
            txn.open_table(other).unwrap().insert(1, 1).unwrap();
        }));
    }

    #[test]
    fn numbers_that_no_disk_has_are_damaged() {
        record_with("/open/number", 7.into()).unwrap();
        for bytes in [0, 1, 512, (1 << 20) + 1, 8 << 40, u64::MAX] {
            damaged(record_with("/disk_bytes", bytes.into()));
        }
        for bytes in [0, (3 * WINDOW_BYTES / 2) + 1, u64::MAX] {
            damaged(record_with("/source_bytes", bytes.into()));
        }
        for bytes in [0, 512, 5000, 2 << 20, u64::MAX] {
            damaged(record_with("/block_bytes", bytes.into()));
        }
        damaged(record_with("/sealed/cycle", u32::MAX.into()));
        damaged(record_with("/sealed/root", "no hash".into()));
        damaged(record_with("/open/number", 6.into()));
        damaged(record_with("/open/number", u32::MAX.into()));
        for run in [[2, 1], [0, 3], [u64::MAX - 1, 1], [0, u64::MAX]] {
            damaged(record_with("/open/done", serde_json::json!([{ "offset": run[0], "len": run[1] }])));
        }
        for count in ["read", "hole", "unlisted", "sent", "cleared", "skipped", "hole_cleared", "puts", "clears"] {
            damaged(record_with(&format!("/open/counts/{count}"), u64::MAX.into()));
        }
    }
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
