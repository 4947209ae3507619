//! A folder that nobody else can change, and the files in it that are ours alone.
//!
//! What a checkpoint says is believed (which blocks the target holds), and what a local replica holds is a
//! server's disk. So neither may come from, or go to, somebody else. The rules are those of programs that
//! have kept such files for long:
//!
//! - The folder belongs to us or to root, and neither group nor others may write to it; a sticky bit does
//!   not help, as it lets others put files there. (OpenSSH's `safe_path`, for `authorized_keys`.) One that
//!   we make has mode 0700.
//! - A link in the path is followed, since administrators move state to larger disks that way: what counts
//!   is what it leads to. The last name may be a link only if it is ours or root's.
//! - The folder is opened once and checked through that handle, and files are opened relative to it: it
//!   cannot be exchanged after the check. Folders above it need no check for this reason.
//! - A file is opened without following a link (sudo does so with its time stamps), and must be a regular
//!   file of ours that others cannot write to and that has no second name, under which others may have it.
//! - A file is created with mode 0600, which no umask widens: there is no moment at which others can open
//!   it. One of ours that others can read, such as one that an earlier version made, is closed to them.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// Write permission for group or others.
const WRITE_BY_OTHERS: u32 = 0o022;

/// Any permission for group or others.
const ANY_FOR_OTHERS: u32 = 0o077;

/// The folder, open.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    handle: File,
    path: PathBuf,
}

/// Why a folder or file was not opened.
#[derive(Debug)]
pub(crate) enum Refused {
    Exposed { path: PathBuf, exposure: Exposure },
    Io { path: PathBuf, source: io::Error },
}

/// How somebody else may have had a hand in a folder or file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Exposure {
    /// It is something else than what is kept there.
    Kind {
        /// What it is.
        found: &'static str,
    },
    /// It belongs to somebody else.
    Owner {
        /// User id of its owner.
        owner: u32,
        /// Our user id.
        ours: u32,
    },
    /// Group or others may write to it.
    Mode {
        /// Its permission bits.
        mode: u32,
    },
    /// It has further names in other folders.
    Names {
        /// How many names it has.
        count: u64,
    },
}

impl PrivateFolder {
    /// Opens and checks the folder at `path`; `None` when nothing is there.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, Refused> {
        let failed = |source: io::Error| Refused::Io { path: path.into(), source };
        let refuse = |exposure| Refused::Exposed { path: path.into(), exposure };
        let named = match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            named => named.map_err(failed)?,
        };
        check_owner(named.uid(), Owners::OursOrRoot).map_err(refuse)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        let handle = File::from(handle);
        let found = handle.metadata().map_err(failed)?;
        check_owner(found.uid(), Owners::OursOrRoot).map_err(refuse)?;
        check_mode(found.mode()).map_err(refuse)?;
        Ok(Some(Self { handle, path: path.into() }))
    }

    /// As [`PrivateFolder::open`]; makes what is missing of the path, for us alone.
    pub(crate) fn open_or_create(path: &Path) -> Result<Self, Refused> {
        let failed = |source| Refused::Io { path: path.into(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        Self::open(path)?.ok_or_else(|| failed(io::ErrorKind::NotFound.into()))
    }

    /// Opens and checks a file for reading and writing; `None` when it is not there.
    pub(crate) fn open_file(&self, name: &OsStr) -> Result<Option<File>, Refused> {
        let path = self.path.join(name);
        let failed = |source: io::Error| Refused::Io { path: path.clone(), source };
        let refuse = |exposure| Refused::Exposed { path: path.clone(), exposure };
        // NONBLOCK: a pipe that somebody put there must not hold us up.
        let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.handle, name, flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(errno) => {
                // What cannot be opened may be told by what it is.
                let found = rustix::fs::statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW);
                let kind = found.ok().and_then(|found| foreign_kind(found.st_mode));
                return Err(kind.map_or_else(|| failed(errno.into()), |found| refuse(Exposure::Kind { found })));
            }
        };
        let found = file.metadata().map_err(failed)?;
        if let Some(found) = foreign_kind(found.mode()) {
            return Err(refuse(Exposure::Kind { found }));
        }
        check_owner(found.uid(), Owners::OursAlone).map_err(refuse)?;
        check_mode(found.mode()).map_err(refuse)?;
        if found.nlink() > 1 {
            return Err(refuse(Exposure::Names { count: found.nlink() }));
        }
        if found.mode() & ANY_FOR_OTHERS != 0 {
            rustix::fs::fchmod(&file, Mode::RUSR | Mode::WUSR).map_err(|errno| failed(errno.into()))?;
        }
        Ok(Some(file))
    }

    /// Creates a file that is not there yet, for us alone.
    pub(crate) fn create_file(&self, name: &OsStr) -> Result<File, Refused> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat(&self.handle, name, flags, Mode::RUSR | Mode::WUSR)
            .map(File::from)
            .map_err(|errno| Refused::Io { path: self.path.join(name), source: errno.into() })
    }

    /// Opens and checks a file; creates it, for us alone, if it is not there, whoever else does the same.
    pub(crate) fn open_or_create_file(&self, name: &OsStr) -> Result<File, Refused> {
        if let Some(file) = self.open_file(name)? {
            return Ok(file);
        }
        match self.create_file(name) {
            Err(Refused::Io { path, source }) if source.kind() == io::ErrorKind::AlreadyExists => {
                self.open_file(name)?.ok_or(Refused::Io { path, source })
            }
            created => created,
        }
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove_file(&self, name: &OsStr) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.handle, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => Ok(removed?),
        }
    }

    /// Makes what was created or removed in the folder survive a power loss.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    /// Gives a file another name, over whatever has that name, and makes that survive a power loss.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        rustix::fs::renameat(&self.handle, from, &self.handle, to)?;
        self.handle.sync_all()
    }
}

/// Who may own a thing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Owners {
    OursOrRoot,
    OursAlone,
}

fn check_owner(owner: u32, owners: Owners) -> Result<(), Exposure> {
    let ours = rustix::process::geteuid().as_raw();
    if owner == ours || (owners == Owners::OursOrRoot && owner == 0) {
        return Ok(());
    }
    Err(Exposure::Owner { owner, ours })
}

fn check_mode(mode: u32) -> Result<(), Exposure> {
    let mode = mode & 0o7777;
    if mode & WRITE_BY_OTHERS == 0 { Ok(()) } else { Err(Exposure::Mode { mode }) }
}

/// What a thing is that is no regular file.
fn foreign_kind(mode: u32) -> Option<&'static str> {
    match rustix::fs::FileType::from_raw_mode(mode) {
        rustix::fs::FileType::RegularFile => None,
        rustix::fs::FileType::Symlink => Some("symbolic link"),
        rustix::fs::FileType::Directory => Some("folder"),
        _ => Some("device, pipe or socket"),
    }
}

impl Exposure {
    /// What is wrong with `path`, and the command that puts it right.
    pub(crate) fn of(&self, path: &Path) -> String {
        let path = format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
        match self {
            Self::Kind { found } => format!("is a {found}; move it away: mv {path} {path}.moved"),
            Self::Owner { owner, ours } => {
                format!("belongs to user {owner}, not to user {ours}; if you trust it: chown {ours} {path}")
            }
            Self::Mode { mode } => {
                format!("can be written by others (mode {mode:04o}); if you trust it: chmod go-w {path}")
            }
            Self::Names { count } => format!(
                "has {count} names (hard links); if you trust it: cp -p {path} {path}.own && mv {path}.own {path}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn state() -> (tempfile::TempDir, PathBuf) {
        let around = tempfile::tempdir().unwrap();
        let path = around.path().join("state");
        (around, path)
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    fn exposure<T: fmt::Debug>(result: Result<T, Refused>) -> Exposure {
        match result.unwrap_err() {
            Refused::Exposed { exposure, .. } => exposure,
            Refused::Io { path, source } => panic!("{}: {source}", path.display()),
        }
    }

    #[test]
    fn what_is_made_is_for_its_owner_alone() {
        let (around, _) = state();
        let path = around.path().join("a/b/state");
        let folder = PrivateFolder::open_or_create(&path).unwrap();
        folder.create_file("x.redb".as_ref()).unwrap();
        assert_eq!((mode(&around.path().join("a")), mode(&path), mode(&path.join("x.redb"))), (0o700, 0o700, 0o600));
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_sticky_or_not() {
        let (_around, path) = state();
        fs::create_dir(&path).unwrap();
        for wide in [0o770, 0o707, 0o1777, 0o722] {
            chmod(&path, wide);
            assert_eq!(exposure(PrivateFolder::open(&path)), Exposure::Mode { mode: wide });
        }
        chmod(&path, 0o755);
        assert!(PrivateFolder::open(&path).unwrap().is_some(), "others may look");
    }

    #[test]
    fn a_link_to_a_folder_of_ours_is_followed() {
        let (around, path) = state();
        fs::create_dir(around.path().join("disk2")).unwrap();
        chmod(&around.path().join("disk2"), 0o700);
        symlink(around.path().join("disk2"), &path).unwrap();
        PrivateFolder::open_or_create(&path).unwrap().create_file("x".as_ref()).unwrap();
        assert!(around.path().join("disk2/x").exists());
    }

    #[test]
    fn a_file_that_others_may_have_had_is_refused_and_told_how_to_put_right() {
        let (around, path) = state();
        let folder = PrivateFolder::open_or_create(&path).unwrap();
        let name = OsStr::new("x.redb");
        let file = path.join(name);

        drop(folder.create_file(name).unwrap());
        chmod(&file, 0o620);
        let found = exposure(folder.open_file(name));
        assert_eq!(found, Exposure::Mode { mode: 0o620 });
        assert!(found.of(&file).contains(&format!("chmod go-w '{}'", file.display())), "{}", found.of(&file));
        chmod(&file, 0o600);

        fs::hard_link(&file, around.path().join("elsewhere")).unwrap();
        assert_eq!(exposure(folder.open_file(name)), Exposure::Names { count: 2 });

        fs::remove_file(&file).unwrap();
        symlink(around.path().join("elsewhere"), &file).unwrap();
        assert_eq!(exposure(folder.open_file(name)), Exposure::Kind { found: "symbolic link" });

        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_eq!(exposure(folder.open_file(name)), Exposure::Kind { found: "folder" });

        fs::remove_dir(&file).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &file, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(exposure(folder.open_file(name)), Exposure::Kind { found: "device, pipe or socket" });
    }

    #[test]
    fn a_file_that_others_may_read_is_closed_to_them() {
        let (_around, path) = state();
        let folder = PrivateFolder::open_or_create(&path).unwrap();
        drop(folder.create_file("x".as_ref()).unwrap());
        chmod(&path.join("x"), 0o644);
        assert!(folder.open_file("x".as_ref()).unwrap().is_some());
        assert_eq!(mode(&path.join("x")), 0o600);
    }

    /// Only root can give a file away.
    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("not shown: only root can make a file that belongs to somebody else");
            return;
        }
        let (around, path) = state();
        let folder = PrivateFolder::open_or_create(&path).unwrap();
        drop(folder.create_file("x".as_ref()).unwrap());
        std::os::unix::fs::chown(path.join("x"), Some(4711), None).unwrap();
        assert_eq!(exposure(folder.open_file("x".as_ref())), Exposure::Owner { owner: 4711, ours: 0 });

        std::os::unix::fs::lchown(&path, Some(4711), None).unwrap();
        assert_eq!(exposure(PrivateFolder::open(&path)), Exposure::Owner { owner: 4711, ours: 0 });
        std::os::unix::fs::lchown(&path, Some(0), None).unwrap();

        let link = around.path().join("link");
        symlink(&path, &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(4711), None).unwrap();
        assert_eq!(exposure(PrivateFolder::open(&link)), Exposure::Owner { owner: 4711, ours: 0 });
    }
}
