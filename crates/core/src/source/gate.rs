//! The gate: which further files an image may make us open.
//!
//! An image names its parent, its backing file, its extents. Whoever wrote the image chose those names,
//! and for a guest's own disk that is the guest: believed, a name like `/etc/shadow` or `../other-tenant`
//! would read that file and send it away as the guest's disk. So a name is only a wish. A [`Gate`] grants
//! it inside the image's own folder, and in what the caller allowed; nowhere else.
//!
//! Names are resolved as the file system sees them, symbolic links included: a link that leads out of the
//! folder leads out. The folder's owner is trusted, the image is not; who can swap files in the folder
//! while it is read can also write the image itself.

use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{DiskSource, RawSource, SourceError};

/// The bytes of one file of an image, and the name that errors call it by.
#[derive(Clone)]
pub struct ImageFile {
    bytes: Arc<dyn DiskSource>,
    path: PathBuf,
}

impl ImageFile {
    /// Bytes from anywhere: memory, an object store, an NBD export.
    pub fn new(bytes: Arc<dyn DiskSource>, path: impl Into<PathBuf>) -> Self {
        Self { bytes, path: path.into() }
    }

    /// Opens the file or block device at `path` read-only.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        Ok(Self::new(Arc::new(RawSource::open(path)?), path))
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &Arc<dyn DiskSource> {
        &self.bytes
    }

    /// What the file is called.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Debug for ImageFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ImageFile({})", self.path.display())
    }
}

/// Which further files an image may make us open. By default, regular files of its own folder.
///
/// ```
/// use libmigrate::source::Gate;
///
/// let gate = Gate::same_folder().allow("/srv/templates").allow("/dev/vg0/base");
/// ```
#[derive(Clone, Debug)]
pub struct Gate {
    same_folder: bool,
    allowed: Vec<PathBuf>,
    supplied: Vec<(String, ImageFile)>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::same_folder()
    }
}

impl Gate {
    /// Regular files of the image's own folder.
    pub const fn same_folder() -> Self {
        Self { same_folder: true, allowed: Vec::new(), supplied: Vec::new() }
    }

    /// Nothing but what is allowed or supplied by name.
    pub const fn closed() -> Self {
        Self { same_folder: false, allowed: Vec::new(), supplied: Vec::new() }
    }

    /// Also allows the file or device at `path`, or everything below it when it is a folder.
    #[must_use]
    pub fn allow(mut self, path: impl Into<PathBuf>) -> Self {
        self.allowed.push(path.into());
        self
    }

    /// Answers the name `stated`, exactly as the image states it, with a file that the caller brings.
    #[must_use]
    pub fn supply(mut self, stated: impl Into<String>, file: ImageFile) -> Self {
        self.supplied.push((stated.into(), file));
        self
    }

    /// The same gate without the image's own folder, for an image whose format its content alone decided.
    pub(super) fn without_folder(&self) -> Self {
        Self { same_folder: false, ..self.clone() }
    }

    /// Opens the file that the image at `image` calls `stated`: a path relative to the image's folder, or
    /// an absolute one.
    ///
    /// Fails with [`SourceError::NotAllowed`] when the gate does not let it through, whether it is there or
    /// not: an image must not be able to tell.
    pub(super) fn open(&self, image: &Path, stated: &str) -> Result<ImageFile, SourceError> {
        if let Some((_, file)) = self.supplied.iter().find(|(name, _)| name == stated) {
            return Ok(file.clone());
        }
        let refused = || SourceError::NotAllowed { path: image.to_path_buf(), named: shortened(stated) };
        let failed = |source| SourceError::Open { path: PathBuf::from(shortened(stated)), source };
        let folder = folder_of(image);
        let wished = folder.join(stated);
        // A name that leads out by its own words is refused before the file system is asked anything.
        if !self.is_wish_inside(&folder, stated) {
            return Err(refused());
        }
        let path = wished.canonicalize().map_err(failed)?;
        let in_folder =
            || self.same_folder && folder.canonicalize().is_ok_and(|folder| path.starts_with(folder)) && path.is_file();
        let is_allowed = |allowed: &PathBuf| allowed.canonicalize().is_ok_and(|allowed| path.starts_with(allowed));
        if !in_folder() && !self.allowed.iter().any(is_allowed) {
            return Err(refused());
        }
        ImageFile::open(path)
    }

    /// Whether the words of `stated` stay in the image's folder, or reach something that was allowed.
    fn is_wish_inside(&self, folder: &Path, stated: &str) -> bool {
        let mut depth = 0;
        let stays = Path::new(stated).components().all(|part| match part {
            Component::Normal(_) => {
                depth += 1;
                true
            }
            Component::CurDir => true,
            Component::ParentDir => {
                depth -= 1;
                depth >= 0
            }
            Component::RootDir | Component::Prefix(_) => false,
        });
        if stays && (self.same_folder || !self.allowed.is_empty()) {
            return true;
        }
        let wished = lexically_absolute(&folder.join(stated));
        self.allowed.iter().any(|allowed| {
            wished.starts_with(lexically_absolute(allowed))
                || allowed.canonicalize().is_ok_and(|allowed| wished.starts_with(allowed))
        })
    }
}

/// The folder that relative names of the image at `image` start from: where the file is, not where a link to
/// it is.
fn folder_of(image: &Path) -> PathBuf {
    let file = image.canonicalize();
    match file.as_deref().unwrap_or(image).parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// `path` from the root, `.` and `..` worked out on the words alone.
fn lexically_absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut plain = PathBuf::new();
    for part in path.components() {
        if part == Component::ParentDir {
            plain.pop();
        } else {
            plain.push(part);
        }
    }
    plain
}

/// A stated name as it may be shown: of sane length, without control characters.
pub(super) fn shortened(stated: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown: String = stated.chars().take(LONGEST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if stated.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;
    use tempfile::TempDir;

    use super::*;

    /// `vm/` with an image and a file beside it, `vm/deeper/` with one, and `secret/` with one.
    fn folders() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        for file in ["vm/image", "vm/beside", "vm/deeper/below", "secret/key"] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        let image = folder.path().join("vm/image");
        (folder, image)
    }

    fn is_refused(gate: &Gate, image: &Path, stated: &str) -> bool {
        matches!(gate.open(image, stated), Err(SourceError::NotAllowed { .. }))
    }

    #[test]
    fn files_beside_the_image_and_below_are_let_through() {
        let (_folder, image) = folders();

        for stated in ["beside", "./beside", "deeper/below", "deeper/../beside"] {
            assert!(Gate::same_folder().open(&image, stated).is_ok(), "{stated}");
        }
    }

    #[test]
    fn files_elsewhere_are_refused_however_they_are_named() {
        let (folder, image) = folders();
        let absolute = folder.path().join("secret/key");

        for stated in ["../secret/key", "deeper/../../secret/key", "/etc/passwd", "..", "/", absolute.to_str().unwrap()]
        {
            assert!(is_refused(&Gate::same_folder(), &image, stated), "{stated}");
        }
    }

    #[test]
    fn what_is_not_there_looks_like_what_is_refused_outside_the_folder() {
        let (_folder, image) = folders();
        assert!(is_refused(&Gate::same_folder(), &image, "../secret/no-such-file"));
    }

    #[test]
    fn a_link_that_leads_out_of_the_folder_is_refused() {
        let (folder, image) = folders();
        symlink(folder.path().join("secret/key"), folder.path().join("vm/link")).unwrap();
        symlink(folder.path().join("secret"), folder.path().join("vm/folder-link")).unwrap();

        assert!(is_refused(&Gate::same_folder(), &image, "link"));
        assert!(is_refused(&Gate::same_folder(), &image, "folder-link/key"));
    }

    #[test]
    fn an_image_that_is_named_by_a_link_has_the_files_beside_itself() {
        let (folder, image) = folders();
        let link = folder.path().join("secret/link");
        symlink(&image, &link).unwrap();

        assert!(Gate::same_folder().open(&link, "beside").is_ok());
        assert!(is_refused(&Gate::same_folder(), &link, "../secret/key"));
    }

    #[test]
    fn a_closed_gate_refuses_even_the_neighbour() {
        let (_folder, image) = folders();
        assert!(is_refused(&Gate::closed(), &image, "beside"));
    }

    #[test]
    fn what_is_allowed_is_let_through_by_any_of_its_names() {
        let (folder, image) = folders();
        let key = folder.path().join("secret/key");

        for gate in [Gate::closed().allow(folder.path().join("secret")), Gate::closed().allow(&key)] {
            assert!(gate.open(&image, "../secret/key").is_ok());
            assert!(gate.open(&image, key.to_str().unwrap()).is_ok());
            assert!(is_refused(&gate, &image, "beside"), "allowed was something else");
        }
    }

    #[test]
    fn only_regular_files_come_out_of_the_folder() {
        let image = Path::new("/dev/image");
        assert!(is_refused(&Gate::same_folder(), image, "null"));
    }

    #[test]
    fn a_supplied_file_answers_its_name_and_no_other() {
        let (_folder, image) = folders();
        let gate = Gate::closed().supply("base", ImageFile::new(Arc::new(vec![7u8; 3]), "from the vendor"));

        assert_eq!(gate.open(&image, "base").unwrap().path(), Path::new("from the vendor"));
        assert!(is_refused(&gate, &image, "base2"));
    }

    #[test]
    fn a_hostile_name_is_shown_short_and_plain() {
        let stated = format!("a\u{1b}[31m\n{}", "b".repeat(10_000));
        let shown = shortened(&stated);

        assert!(shown.chars().count() <= 201 && !shown.contains(char::is_control), "{shown}");
    }

    proptest! {
        #[test]
        fn no_words_lead_out_of_the_folder(parts in prop::collection::vec(
            prop::sample::select(vec!["..", ".", "secret", "key", "vm", "deeper", "/", "", "image"]), 0..8)
        ) {
            let (folder, image) = folders();
            if let Ok(file) = Gate::same_folder().open(&image, &parts.join("/")) {
                prop_assert!(file.path().starts_with(folder.path().canonicalize().unwrap().join("vm")));
            }
        }
    }
}
